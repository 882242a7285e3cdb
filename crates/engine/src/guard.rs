//! Who and what stands in the way of a run: other people's locks, runs that stopped halfway, refusals without a yes.

use jiff::Timestamp;
use rollback_terraform::LocalState;

use crate::context::Context;
use crate::error::{EngineError, Kind, Result};
use crate::live::Live;
use crate::lock::{Holder, Locks, Process, host_name};
use crate::prepare::Prepared;
use crate::reconcile::{Guard, Refusal};
use crate::run::{Consent, Purpose, Runs};

/// A run that stopped halfway keeps its stacks until it is resumed, given up or undone.
pub(crate) fn nobody_stopped_halfway(context: &Context, runs: &Runs<'_>, purpose: &Purpose) -> Result<()> {
    for (other, _) in runs.unfinished()? {
        let undone = matches!(purpose, Purpose::Undo { run } if *run == other.id);
        let shared = context
            .stacks
            .iter()
            .find(|stack| other.selected.is_empty() || other.selected.contains(&stack.name));
        if let Some(stack) = shared.filter(|_| !undone) {
            return Err(EngineError::new(
                Kind::Locked,
                format!(
                    "stack {}: run {} of {} stopped halfway",
                    stack.name, other.id, other.actor
                ),
            )
            .hint(format!("`infra-rollback resume {}` finishes it", other.id))
            .hint(format!("`infra-rollback undo {}` goes back to before it", other.id))
            .hint(format!("`infra-rollback abort {}` leaves things as they are", other.id)));
        }
    }
    Ok(())
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

/// Takes the locks of the chosen stacks for a run.
///
/// # Errors
/// Somebody holds one of them.
pub fn lock_for<'c>(context: &'c Context, run: &str) -> Result<Locks<'c>> {
    let names: Vec<String> = context.stacks.iter().map(|stack| stack.name.clone()).collect();
    let holder = Holder {
        run: run.to_owned(),
        actor: context.actor.clone(),
        host: host_name(),
        process: Process::this(),
        since: Timestamp::now(),
        command: context.command.clone(),
    };
    Locks::acquire(context.store.as_ref(), &context.project, &names, &holder)
}

/// The refusals that the consent does not cover.
pub fn open_refusals(prepared: &[Prepared], consent: &Consent) -> Vec<Refusal> {
    prepared
        .iter()
        .flat_map(|stack| &stack.reconciled.refusals)
        .filter(|refusal| {
            let accepted = match refusal.guard {
                Guard::DataLoss => &consent.data_loss,
                _ => &consent.changes,
            };
            !accepted.contains(&refusal.address)
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
