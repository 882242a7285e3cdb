//! `undo`: back to before a run, through the same guards.

use std::collections::{BTreeMap, BTreeSet};

use rollback_release::{ReleaseId, ReleaseKind};

use crate::again::leave_halfway;
use crate::context::Context;
use crate::deployed::LOOK_BACK;
use crate::drive::{Approver, Options, Outcome, remove_run_folder, start};
use crate::error::{EngineError, Result};
use crate::fence::Fence;
use crate::journal::{Event, Journal};
use crate::restore;
use crate::run::{Purpose, Run, Runs, Status};
use crate::target::Target;
use jiff::Timestamp;

/// Goes back to before a run.
///
/// # Errors
/// As [`to`]; and where the run changed nothing.
pub fn undo(context: &Context, run: Option<&str>, options: &Options, approver: &dyn Approver) -> Result<Outcome> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let run = run_to_undo(context, run)?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?;
    if !journal.has_effect() {
        return Err(EngineError::failed(format!(
            "run {} changed nothing: there is nothing to undo",
            run.id
        )));
    }
    if matches!(run.status, Status::Applying | Status::NeedsReconcile) {
        leave_halfway(context, &run)?;
    }
    if let Some(version) = restore::before(context, &runs, &run)? {
        // A restore touched nothing but the state: neither does its undoing.
        return restore::start(context, Purpose::Undo { run: run.id }, &version, options, approver);
    }
    let backup = run
        .backup
        .as_ref()
        .ok_or_else(|| EngineError::failed(format!("run {} changed nothing: there is nothing to undo", run.id)))?;
    let id: ReleaseId = backup
        .parse()
        .map_err(|_| EngineError::failed(format!("{backup} is no release")))?;
    let target = Target::of_release(context, context.catalogue().get(&id)?)?;
    warn_of_later_deploy(context, &run)?;
    let mut options = options.clone();
    if options.targets.is_empty() && !run.targets.is_empty() {
        // What it left alone is none of the undo's business.
        options.targets = touched(&journal);
    }
    start(context, Purpose::Undo { run: run.id }, &target, &options, approver)
}

/// What was deployed after a run goes with it: nobody undoes that by accident.
fn warn_of_later_deploy(context: &Context, run: &Run) -> Result<()> {
    let newest = context.catalogue().list(LOOK_BACK)?;
    let later = newest.items.iter().find(|release| {
        matches!(release.kind, ReleaseKind::Snapshot)
            && release.created_at > run.created_at
            && run.selected.iter().any(|stack| release.stack(stack).is_some())
    });
    if let Some(release) = later {
        context.observer.warning(&format!(
            "commit {:.10} was deployed after run {} (release {}): going back to before that run takes it back as well",
            release.commit, run.id, release.id
        ));
    }
    Ok(())
}

/// What a run over some objects changed, by their stacks and the addresses that they had before it.
fn touched(journal: &Journal<'_>) -> Vec<String> {
    let mut before: BTreeSet<String> = BTreeSet::new();
    for entry in journal.entries() {
        let Event::Planned { envelope, .. } = &entry.event else {
            continue;
        };
        // `fate: from -> to`
        let moves = (envelope.refactors.iter()).filter_map(|refactor| refactor.split_once(": ")?.1.split_once(" -> "));
        let moves: BTreeMap<&str, &str> = moves.map(|(from, to)| (to, from)).collect();
        // `fate address digest`; a key in an address may hold spaces.
        let changed =
            (envelope.effects.iter()).filter_map(|effect| Some(effect.split_once(' ')?.1.rsplit_once(' ')?.0));
        let stack = &envelope.stack;
        let before_it = |address: &str| match moves.get(address) {
            Some(from) if !from.is_empty() => format!("{stack}:{from}"),
            _ => format!("{stack}:{address}"),
        };
        before.extend(changed.map(before_it));
        before.extend(
            moves
                .values()
                .filter(|from| !from.is_empty())
                .map(|from| format!("{stack}:{from}")),
        );
    }
    before.into_iter().collect()
}

/// The run that `undo` would take back.
///
/// # Errors
/// There is no such run.
pub fn run_to_undo(context: &Context, run: Option<&str>) -> Result<Run> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    match run {
        Some(text) => Ok(runs.find(text)?.0),
        None => last_to_undo(context, &runs),
    }
}

/// The newest run that changed something, is no undo itself and was not undone yet: one `undo` after the other goes
/// back step by step.
pub(crate) fn last_to_undo(context: &Context, runs: &Runs<'_>) -> Result<Run> {
    let all = runs.all()?;
    let undone: Vec<&str> = all
        .iter()
        .filter(|(run, _)| run.status == Status::Completed)
        .filter_map(|(run, _)| match &run.purpose {
            Purpose::Undo { run } => Some(run.as_str()),
            _ => None,
        })
        .collect();
    for (run, _) in &all {
        let is_undo = matches!(run.purpose, Purpose::Undo { .. });
        if is_undo || run.backup.is_none() || undone.contains(&run.id.as_str()) {
            continue;
        }
        if Journal::open(context.store.as_ref(), &context.project, &run.id)?.has_effect() {
            return Ok(run.clone());
        }
    }
    let mut error = EngineError::failed("there is no run left to undo").hint("`infra-rollback runs` lists them");
    let last = all.iter().find(|(run, _)| matches!(run.purpose, Purpose::Undo { .. }));
    if let Some((last, _)) = last {
        error = error.hint(format!("`infra-rollback undo {}` undoes the last undo", last.id));
    }
    Err(error)
}

/// A run that was undone is over: nobody may resume it later.
pub(crate) fn close_undone(context: &Context, runs: &Runs<'_>, undone: &str, fence: &Fence) -> Result<()> {
    let Some((mut run, version)) = runs.get(undone)? else {
        return Ok(());
    };
    if run.status.is_over() {
        return Ok(());
    }
    run.status = Status::Aborted;
    run.ended_at = Some(Timestamp::now());
    runs.update(&run, &version, fence)?;
    remove_run_folder(context, undone);
    Ok(())
}
