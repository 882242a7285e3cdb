//! `undo`: back to before a run, through the same guards.

use rollback_release::ReleaseId;

use crate::context::Context;
use crate::drive::{Approver, Options, Outcome, remove_run_folder, start};
use crate::error::{EngineError, Result};
use crate::fence::Fence;
use crate::journal::Journal;
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
    if !Journal::open(context.store.as_ref(), &context.project, &run.id)?.has_effect() {
        return Err(EngineError::failed(format!(
            "run {} changed nothing: there is nothing to undo",
            run.id
        )));
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
    start(context, Purpose::Undo { run: run.id }, &target, options, approver)
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
