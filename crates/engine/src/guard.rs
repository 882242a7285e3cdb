//! Who and what stands in the way of a run: other people's locks, runs that stopped halfway, refusals without a yes.

use std::time::{Duration, Instant};

use rollback_terraform::LocalState;

use crate::context::Context;
use crate::error::{EngineError, Kind, Result};
use crate::live::Live;
use crate::lock::{LEASE, Locks, Wanted};
use crate::prepare::Prepared;
use crate::reconcile::{Guard, Refusal};
use crate::run::{Consent, Purpose, Run, Runs, Status};

/// A run that stopped halfway keeps its stacks until it is resumed, given up or undone.
pub(crate) fn nobody_stopped_halfway(context: &Context, runs: &Runs<'_>, purpose: &Purpose) -> Result<()> {
    let unfinished = runs.unfinished()?;
    for (other, _) in &unfinished {
        let undone = matches!(purpose, Purpose::Undo { run } if *run == other.id);
        let shared = context.written_stacks().find(|stack| other.is_about(&stack.name));
        let step = context.parts.iter().find(|part| other.steps.contains(&part.name));
        let shared = shared
            .map(|stack| format!("stack {}", stack.name))
            .or(step.map(|part| format!("step {}", part.name)));
        if let Some(shared) = shared.filter(|_| !undone) {
            let undoing = unfinished
                .iter()
                .find(|(run, _)| run.undoes() == Some(other.id.as_str()));
            return Err(stopped_halfway(runs, &shared, undoing.map_or(other, |(run, _)| run)));
        }
    }
    Ok(())
}

/// What such a run means for whoever wants what it is about, `stack app`.
pub(crate) fn stopped_halfway(runs: &Runs<'_>, what: &str, run: &Run) -> EngineError {
    let (id, actor) = (&run.id, &run.actor);
    let how = match run.status {
        Status::NeedsReconcile => "fell silent while it applied",
        _ => "stopped halfway",
    };
    let which = match run.undoes() {
        Some(undone) => format!("run {id} of {actor}, which undoes run {undone},"),
        None => format!("run {id} of {actor}"),
    };
    let error = EngineError::new(Kind::Locked, format!("{what}: {which} {how}"))
        .hint(format!("`infra-rollback resume {id}` finishes it"));
    way_back(runs, error, run).hint(format!("`infra-rollback abort {id}` leaves things as they are"))
}

/// How to come back from where a run has stopped. Where it undoes one that stopped halfway itself, nobody can want back what was
/// there before it, but the end of that other run.
pub(crate) fn way_back(runs: &Runs<'_>, error: EngineError, run: &Run) -> EngineError {
    let id = &run.id;
    let undone = run.undoes().and_then(|undone| runs.get(undone).ok().flatten());
    match undone {
        Some((undone, _)) if undone.status.is_unfinished() => error.hint(format!(
            "`infra-rollback abort {id}`, then `infra-rollback resume {}`, goes where that run goes",
            undone.id
        )),
        _ => error.hint(format!("`infra-rollback undo {id}` goes back to before it")),
    }
}

/// Whether somebody's terraform works on a local state right now: better said before an hour of planning than after.
pub(crate) fn nobody_applies(context: &Context) -> Result<()> {
    for stack in &context.stacks {
        if let Some(path) = Live::locate(context, stack)?.filter(|path| path.exists()) {
            drop(LocalState::lock(&path, "infra-rollback").map_err(|error| {
                crate::terraform_error(error).during(format!("stack {}: its state is in use", stack.name))
            })?);
        }
    }
    Ok(())
}

/// Takes the locks of the chosen stacks and steps for a run.
///
/// # Errors
/// Somebody holds one of them, and does not let go in the time that the person wants to wait.
pub fn lock_for(context: &Context, run: &str) -> Result<Locks> {
    let stacks = context.written_stacks().map(|stack| stack.name.clone());
    let names: Vec<String> = stacks
        .chain(context.parts.iter().map(|part| part.name.clone()))
        .collect();
    let wanted = Wanted {
        run,
        actor: &context.actor,
        command: &context.command,
        lease: lease(),
        timeout: context.locking.timeout,
        vouched: context.locking.holder_is_dead.is_some(),
    };
    let began = Instant::now();
    let locks = Locks::acquire(&context.store, &context.project, &names, &wanted, &|stack, holder| {
        context.observer.warning(&format!(
            "waiting up to {} s for stack {stack}, locked by {}",
            context.locking.timeout.as_secs(),
            holder.describe()
        ));
    });
    context.observer.locked_after(began.elapsed());
    locks
}

/// [`LEASE`]; in debug builds `INFRA_ROLLBACK_LEASE_MILLISECONDS` makes it shorter for tests.
fn lease() -> Duration {
    let shorter = std::env::var("INFRA_ROLLBACK_LEASE_MILLISECONDS")
        .ok()
        .filter(|_| cfg!(debug_assertions))
        .and_then(|text| text.parse().ok());
    shorter.map_or(LEASE, Duration::from_millis)
}

/// The refusals that the consent does not cover. It names an address, which is then accepted in every stack, or a stack
/// and an address: `network:aws_vpc.main`.
pub fn open_refusals(prepared: &[Prepared], consent: &Consent) -> Vec<Refusal> {
    let is_open = |stack: &str, refusal: &Refusal| {
        let accepted = match refusal.guard {
            Guard::DataLoss => &consent.data_loss,
            _ => &consent.changes,
        };
        !accepted.iter().any(|named| {
            *named == refusal.address
                || named
                    .strip_prefix(stack)
                    .and_then(|rest| rest.strip_prefix(':'))
                    .is_some_and(|address| address == refusal.address)
        })
    };
    prepared
        .iter()
        .flat_map(|stack| {
            let refusals = stack.reconciled.refusals.iter();
            refusals.filter(|refusal| is_open(&stack.stack, refusal))
        })
        .cloned()
        .collect()
}

pub(crate) fn refused(refusals: &[Refusal]) -> EngineError {
    let lines: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.address, refusal.message))
        .collect();
    let mut error = EngineError::refused(format!("nothing was changed.\n  {}", lines.join("\n  ")));
    for refusal in refusals {
        error = error.hint(match refusal.guard {
            Guard::DataLoss => format!("if that is meant: --accept-data-loss '{}'", refusal.address),
            Guard::Difference => format!(
                "give the value as it was then (--var NAME=VALUE), or if the new one is meant: --accept-change '{}'",
                refusal.address
            ),
            Guard::Surprise | Guard::Impossible => format!("if that is meant: --accept-change '{}'", refusal.address),
        });
    }
    error
}
