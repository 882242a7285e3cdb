//! The effects of a run on one stack: the joined state is written under Terraform's own lock, the approved plan file is
//! applied, and what came out is verified.

use std::time::Instant;

use rollback_state::State;
use rollback_terraform::{
    ApplyEnd, ApplyOutcome, ChildRecord, Event as TerraformEvent, Plan, ResourceChange, SealedPlan,
};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Kind, Result};
use crate::folder::WorkFolder;
use crate::journal::{Event, Journal};
use crate::observe::Stage;
use crate::prepare::Prepared;
use crate::recover;
use crate::terraform_error;
use crate::words::counted;
use crate::writing::{self, Reading};

/// What a plan of the target's configuration still shows afterwards, what is never at rest: the rest is an error.
pub struct Left {
    pub changes: usize,
    pub addresses: Vec<String>,
    /// A line for each value that came out as another one than the target had.
    pub otherwise: Vec<String>,
}

impl Left {
    /// What a person is told of it; nothing where nothing is left, and all is as it was.
    pub fn warnings(&self, stack: &str) -> Vec<String> {
        let otherwise = self.otherwise.iter();
        let mut lines: Vec<String> = otherwise
            .map(|line| format!("stack {stack}: it came out otherwise than at the target: {line}"))
            .collect();
        lines.extend((self.changes > 0).then(|| {
            format!(
                "stack {stack}: a plan of the target's configuration still shows {}: {}",
                counted(self.changes, "change"),
                self.addresses.join(", ")
            )
        }));
        lines
    }
}

/// Brings one stack to its target.
///
/// # Errors
/// [`Kind::Failed`] and [`Kind::Locked`] where nothing has changed, [`Kind::Halfway`] where something has.
pub fn stack(context: &Context, stack: &Stack, prepared: &Prepared, journal: &mut Journal<'_>) -> Result<Left> {
    let targets = prepared.targets.as_slice();
    let (Some(work), Some(sealed), Some(plan)) = (&prepared.work, &prepared.sealed, &prepared.plan) else {
        return Err(EngineError::failed(
            "this plan was made without terraform and cannot be applied",
        ));
    };
    if !prepared.joined.edited && !has_changes(plan) {
        // What was planned just now over what is there is empty: a second plan would say no more.
        journal.append(Event::Verified {
            stack: stack.name.clone(),
            changes_left: 0,
        })?;
        return Ok(Left {
            changes: 0,
            addresses: Vec::new(),
            otherwise: Vec::new(),
        });
    }
    let written = write(context, stack, prepared, work, journal)?;
    let again = (written && prepared.live.file().is_none())
        .then(|| plan_again(context, stack, prepared, work, plan, targets))
        .transpose()?;
    if let Some(path) = prepared.live.file() {
        work.link_state(&path)?;
    }
    if has_changes(plan) {
        let sealed = again.as_ref().unwrap_or(sealed);
        apply(context, stack, prepared, (work, sealed), journal, written)?;
    }
    context.observer.stage(&stack.name, Stage::Verifying);
    let mut left = verify(context, stack, work, plan, targets, journal)?;
    if let Some(awaited) = &prepared.awaited {
        let now = work.show_what_is_left()?;
        left.otherwise = awaited.came_out_otherwise(prepared, &context.knowledge, &now);
    }
    Ok(left)
}

/// Whether applying the plan would do anything: a state that was only rearranged needs no apply. What the refresh no
/// longer finds leaves the state by applying, even where nothing else is to do.
fn has_changes(plan: &Plan) -> bool {
    let changes = || {
        plan.resource_changes
            .iter()
            .any(|change| !change.is_untouched() && !change.reads())
            || plan
                .output_changes
                .iter()
                .any(|(_, change)| change.actions.iter().any(|action| action.as_str() != "no-op"))
    };
    (plan.applyable.unwrap_or(true) && changes()) || plan.resource_drift.iter().any(ResourceChange::deletes)
}

/// Writes the joined state where the live one lies, if that is still the one that was planned from. True when something
/// was written.
fn write(
    context: &Context,
    stack: &Stack,
    prepared: &Prepared,
    work: &WorkFolder,
    journal: &mut Journal<'_>,
) -> Result<bool> {
    if work.direct {
        // The plan is one of the live backend itself: terraform refuses it there when the state has moved on.
        return Ok(false);
    }
    if prepared.live.file().is_none() {
        work.attach_remote(&prepared.live)?;
    }
    let planned = prepared.live.state().map(State::bytes).unwrap_or_default();
    let written = writing::replace(
        context,
        &stack.name,
        &prepared.live,
        Reading::Checked,
        journal,
        |found| {
            if found != planned {
                return Err(changed_meanwhile(&stack.name));
            }
            if prepared.joined.edited {
                context.observer.stage(&stack.name, Stage::WritingState);
            }
            Ok(prepared.joined.edited.then(|| prepared.joined.state.clone()))
        },
    );
    if let Err(error) = &written
        && error.kind != Kind::Halfway
    {
        journal.append(Event::TakenBack {
            stack: stack.name.clone(),
        })?;
    }
    written
}

pub(crate) fn changed_meanwhile(stack: &str) -> EngineError {
    EngineError::failed(format!(
        "stack {stack}: somebody changed the live state after the plan was made; nothing was changed"
    ))
    .hint("run the command again: it plans from what is there now")
}

/// Plans on the remote backend that has the joined state now, and proves that the plan, which is then the one to apply, does what
/// was approved.
fn plan_again(
    context: &Context,
    stack: &Stack,
    prepared: &Prepared,
    work: &WorkFolder,
    approved: &Plan,
    targets: &[String],
) -> Result<SealedPlan> {
    context.observer.stage(&prepared.stack, Stage::Planning);
    let (sealed, again) = work
        .plan(context, stack, targets)
        .map_err(|error| error.kind(Kind::Halfway))?;
    if again.digest() != approved.digest() {
        return Err(EngineError::new(
            Kind::Halfway,
            format!(
                "stack {}: on the live backend terraform plans something other than what was approved",
                stack.name
            ),
        )
        .hint("something changed in between; `resume` shows the new plan and asks again"));
    }
    Ok(sealed)
}

fn apply(
    context: &Context,
    stack: &Stack,
    prepared: &Prepared,
    (work, sealed): (&WorkFolder, &SealedPlan),
    journal: &mut Journal<'_>,
    written: bool,
) -> Result<()> {
    context.observer.stage(&stack.name, Stage::Applying);
    journal.append(Event::ApplyIntended {
        stack: stack.name.clone(),
        plan_sha256: sealed.sha256().to_owned(),
        folder: work.root().to_string_lossy().into_owned(),
    })?;
    let begun = Instant::now();
    let note = prepared
        .live
        .file()
        .and_then(|path| rollback_terraform::local_state::announce(&path, "infra-rollback"));
    let outcome = {
        let journal = &mut *journal;
        let mut on_start = |child: &ChildRecord| -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
            journal
                .append(Event::ApplyStarted {
                    stack: stack.name.clone(),
                    child: child.clone(),
                })
                .map_err(|error| error.to_string().into())
        };
        work.folder.apply(sealed, &mut on_start, &mut |event: TerraformEvent| {
            context.observer.terraform(&stack.name, &event);
        })
    };
    drop(note);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return not_applied(context, prepared, journal, terraform_error(error), written),
    };
    journal.append(Event::Applied {
        stack: stack.name.clone(),
        succeeded: outcome.is_complete(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        summary: format!(
            "{} done, {} failed",
            outcome.summary.completed(),
            outcome.summary.errored()
        ),
    })?;
    if outcome.errored_state.is_some() {
        recover::errored_state(context, stack, work.root(), journal)?;
    }
    match outcome.end {
        ApplyEnd::Complete => Ok(()),
        _ if !outcome.touched() => {
            let error = end_error(outcome);
            not_applied(context, prepared, journal, error, written)
        }
        _ => {
            let done = outcome.summary.completed();
            let failed = outcome.summary.errored();
            Err(end_error(outcome)
                .during(format!(
                    "stack {}: {} done, {failed} failed",
                    stack.name,
                    counted(done, "change")
                ))
                .kind(Kind::Halfway))
        }
    }
}

fn end_error(outcome: ApplyOutcome) -> EngineError {
    match outcome.into_result() {
        Ok(_) => EngineError::failed("terraform ended without a word"),
        Err(error) => terraform_error(error),
    }
}

/// Terraform touched nothing: the state that was written for it goes back to what it was, as a newer serial.
fn not_applied(
    context: &Context,
    prepared: &Prepared,
    journal: &mut Journal<'_>,
    error: EngineError,
    written: bool,
) -> Result<()> {
    let taken_back = if written {
        recover::take_back(context, prepared, journal)
    } else {
        Ok(())
    };
    match taken_back {
        Ok(()) => {
            journal.append(Event::TakenBack {
                stack: prepared.stack.clone(),
            })?;
            Err(error)
        }
        Err(second) => Err(error.hint(second.message).kind(Kind::Halfway)),
    }
}

/// A plan of the target's configuration over what came out. What was in the approved plan, was applied without an error
/// and is planned again (`timestamp()` in a trigger, a provider that never agrees with itself) is never at rest: that is
/// said, and no reason to call the run unfinished.
fn verify(
    context: &Context,
    stack: &Stack,
    work: &WorkFolder,
    approved: &Plan,
    targets: &[String],
    journal: &mut Journal<'_>,
) -> Result<Left> {
    let plan = work.plan_what_is_left(context, stack, targets).map_err(|error| {
        error
            .during(format!("stack {}: applied, but it could not be verified", stack.name))
            .kind(Kind::Halfway)
    })?;
    let left: Vec<_> = plan
        .iter()
        .flat_map(|plan| &plan.resource_changes)
        .filter(|change| !change.is_untouched() && !change.reads())
        .collect();
    journal.append(Event::Verified {
        stack: stack.name.clone(),
        changes_left: left.len(),
    })?;
    let restless = |change: &ResourceChange| {
        approved
            .resource_changes
            .iter()
            .any(|before| before.address == change.address && before.change.actions == change.change.actions)
    };
    let unfinished: Vec<&str> = left
        .iter()
        .filter(|change| change.deletes() || change.creates() || change.has_unknown_action())
        .filter(|change| !(change.is_replace() && restless(change)))
        .map(|change| change.address.as_str())
        .collect();
    if !unfinished.is_empty() {
        return Err(EngineError::new(
            Kind::Halfway,
            format!(
                "stack {}: a plan of the target's configuration is not empty: {}",
                stack.name,
                unfinished.join(", ")
            ),
        ));
    }
    let named = |change: &&ResourceChange| match change.is_replace() {
        true => format!("{} is made anew", change.address),
        false => format!("{} is updated in place", change.address),
    };
    let addresses: Vec<String> = left.iter().map(named).collect();
    Ok(Left {
        changes: addresses.len(),
        addresses,
        otherwise: Vec::new(),
    })
}
