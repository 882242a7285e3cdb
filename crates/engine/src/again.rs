//! `resume` and `abort`: a run that stopped is taken up again, or given up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::Timestamp;
use rollback_release::{ReleaseId, StateVersion, Version};

use crate::context::Context;
use crate::drive::{Approver, Drive, Outcome, remove_run_folder};
use crate::error::{EngineError, Result};
use crate::guard::lock_for;
use crate::journal::{Attempt, Event, Journal};
use crate::left_behind;
use crate::live::Live;
use crate::restore;
use crate::run::{Consent, Purpose, Run, Runs, Status};
use crate::target::Target;

/// Goes on with a run that stopped.
///
/// # Errors
/// As [`to`]; and where there is no such run.
pub fn resume(context: &Context, run: Option<&str>, consent: &Consent, approver: &dyn Approver) -> Result<Outcome> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (mut run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    if run.status.is_over() {
        return Err(EngineError::failed(format!(
            "run {} is over ({}): there is nothing to resume",
            run.id,
            run.status.as_str()
        ))
        .hint("`infra-rollback to` starts a new one"));
    }
    check_selection(context, &run)?;
    let locks = lock_for(context, &run.id)?;
    // What it holds is read again now that nobody else can change it.
    let (fresh, version) = runs
        .get(&run.id)?
        .ok_or_else(|| EngineError::failed(format!("run {} is gone", run.id)))?;
    run = fresh;
    let consent = consent.clone().signed(&context.actor, run.reason.as_deref());
    run.consent.add(&consent);
    if run.status.is_unfinished() {
        locks.mark_applying()?;
        run.status = Status::Applying;
    }
    let goal = goal_of(context, &runs, &run)?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?.fenced(locks.fence());
    if !journal.has_effect() {
        // Nothing was done: what is deployed is found out anew, and kept anew, as for a run that starts now.
        run.stacks.clear();
        run.backup = None;
    }
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        locks,
        started: Instant::now(),
        approval: None,
        folder: None,
        updates: None,
    };
    drive.journal.append(Event::Resumed {
        actor: context.actor.clone(),
        attempt: Attempt::here(&drive.locks.fence()),
    })?;
    drive.record_vouching()?;
    let result = drive.recover_all().and_then(|()| match &goal {
        Goal::Revision(target) => drive.go(target, approver, true),
        Goal::State(version) => drive.restore(version, approver),
    });
    drive.end(result)
}

impl Drive<'_> {
    /// A person's word that the former holder is dead goes on record before anything relies on it.
    fn record_vouching(&mut self) -> Result<()> {
        let Some(reason) = self.context.locking.holder_is_dead.clone() else {
            return Ok(());
        };
        self.journal.append(Event::HolderDeclaredDead {
            by: self.context.actor.clone(),
            reason,
        })
    }
}

/// The run to resume when none is named.
fn open_run(runs: &Runs<'_>) -> Result<(Run, Version)> {
    let mut open: Vec<(Run, Version)> = runs
        .all()?
        .into_iter()
        .filter(|(run, _)| !run.status.is_over())
        .collect();
    if open.iter().any(|(run, _)| run.status.is_unfinished()) {
        open.retain(|(run, _)| run.status.is_unfinished());
    }
    // Who goes on goes on with the undo, not with what it undoes.
    let undone: Vec<String> = (open.iter())
        .filter_map(|(run, _)| run.undoes().map(str::to_owned))
        .collect();
    open.retain(|(run, _)| !undone.contains(&run.id));
    open.truncate(if open.iter().all(|(run, _)| run.status.is_unfinished()) {
        open.len()
    } else {
        1
    });
    match open.len() {
        0 => Err(EngineError::failed("there is no run to resume").hint("`infra-rollback runs` lists them")),
        1 => Ok(open.remove(0)),
        _ => {
            let ids: Vec<&str> = open.iter().map(|(run, _)| run.id.as_str()).collect();
            Err(EngineError::usage("several runs stopped halfway").hint(format!("name one: {}", ids.join(", "))))
        }
    }
}

/// Where a run leads to.
enum Goal {
    Revision(Target),
    /// Nothing but this state.
    State(Box<StateVersion>),
}

fn goal_of(context: &Context, runs: &Runs<'_>, run: &Run) -> Result<Goal> {
    match restore::version_of(context, runs, run)? {
        Some(version) => Ok(Goal::State(Box::new(version))),
        None => target_of(context, run).map(Goal::Revision),
    }
}

fn target_of(context: &Context, run: &Run) -> Result<Target> {
    if let Purpose::Undo { run } = &run.purpose {
        let undone = Runs::new(context.store.as_ref(), &context.project).find(run)?.0;
        let backup = undone.backup.and_then(|id| id.parse::<ReleaseId>().ok());
        let backup = backup.ok_or_else(|| EngineError::failed(format!("run {run} has no backup to go back to")))?;
        return Target::of_release(context, context.catalogue().get(&backup)?);
    }
    let releases: Vec<&str> = run.stacks.iter().filter_map(|part| part.release.as_deref()).collect();
    let commit = context.commit_of_record(&run.commit)?;
    if releases.is_empty() {
        return Target::of_commit(context, &run.revision, commit);
    }
    Target::of_releases(context, &run.revision, commit, &releases)
}

/// A run goes on with its own stacks, neither fewer nor more: the caller opens the context with them.
fn check_selection(context: &Context, run: &Run) -> Result<()> {
    let here: BTreeSet<&str> = context.stacks.iter().map(|stack| stack.name.as_str()).collect();
    let asked: BTreeSet<&str> = run.selected.iter().map(String::as_str).collect();
    for step in &run.steps {
        if !context.parts.iter().any(|part| part.name == *step) {
            return Err(EngineError::usage(format!(
                "run {} is about step {step}, which infra-rollback.toml does not have here",
                run.id
            ))
            .hint("resume it with the settings that it was started with"));
        }
    }
    if here == asked || (asked.is_empty() && !run.is_about_steps_alone()) {
        return Ok(());
    }
    let names: Vec<String> = run.selected.iter().map(|name| format!("--stack {name}")).collect();
    Err(EngineError::usage(format!(
        "run {} is about other stacks than the ones chosen here",
        run.id
    ))
    .hint(format!("its stacks are: {}", names.join(" "))))
}

/// The run that `resume` or `abort` would take up, once what runs left that are over is cleared away.
///
/// # Errors
/// There is no such run.
pub fn run_to_take_up(context: &Context, run: Option<&str>) -> Result<Run> {
    left_behind::clear_away(context);
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    Ok(run)
}

/// Gives a run up. What it changed stays.
///
/// # Errors
/// It is over, or still runs.
pub fn abort(context: &Context, run: Option<&str>) -> Result<Run> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    not_over(&run)?;
    let mut drive = take_up(context, &run)?;
    drive.journal.append(Event::Aborted {
        by: context.actor.clone(),
        left: what_is_left(context, &drive.run),
    })?;
    drive.run.status = Status::Aborted;
    drive.run.ended_at = Some(Timestamp::now());
    drive.save()?;
    remove_run_folder(context, &drive.run.id);
    Ok(drive.run)
}

/// What lies there now, for a snapshot to know it again. A state that cannot be read keeps no one from giving a run up.
fn what_is_left(context: &Context, run: &Run) -> BTreeMap<String, String> {
    let stacks = context.stacks.iter().filter(|stack| run.is_about(&stack.name));
    stacks
        .filter_map(|stack| {
            let live = Live::read(context, stack).ok()?;
            Some((stack.name.clone(), live.state()?.sha256()))
        })
        .collect()
}

/// A run whose process is gone is looked at and left halfway, so that it can be undone.
///
/// # Errors
/// Its process lives, or whether it does cannot be told from here.
pub(crate) fn leave_halfway(context: &Context, run: &Run) -> Result<()> {
    let mut drive = take_up(context, run)?;
    drive.journal.append(Event::Stopped {
        why: "its process is gone".to_owned(),
    })?;
    drive.run.status = Status::Halfway;
    drive.save()
}

fn not_over(run: &Run) -> Result<()> {
    match run.status.is_over() {
        true => Err(EngineError::failed(format!(
            "run {} is over ({})",
            run.id,
            run.status.as_str()
        ))),
        false => Ok(()),
    }
}

/// Takes the locks of a run that stopped, and looks at what it left of each stack.
fn take_up<'c>(context: &'c Context, run: &Run) -> Result<Drive<'c>> {
    check_selection(context, run)?;
    let locks = lock_for(context, &run.id)?;
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (run, version) = runs
        .get(&run.id)?
        .ok_or_else(|| EngineError::failed(format!("run {} is gone", run.id)))?;
    not_over(&run)?;
    if run.status.is_unfinished() {
        locks.mark_applying()?;
    }
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?.fenced(locks.fence());
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        locks,
        started: Instant::now(),
        approval: None,
        folder: None,
        updates: None,
    };
    drive.record_vouching()?;
    drive.recover_all()?;
    Ok(drive)
}
