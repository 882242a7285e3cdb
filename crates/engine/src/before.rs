//! What people were shown and said yes to before a run is planned once more: a resumed one needs a new yes only for what
//! is not covered by the former.

use crate::drive::Drive;
use crate::envelope::Envelope;
use crate::error::{EngineError, Kind, Result};
use crate::journal::Event;
use crate::planning::Planned;
use crate::run::{Run, Status};
use crate::steps::StepEnvelope;

/// What the journal knows of the parts of a plan, from before it was planned anew.
pub(crate) struct Before {
    stacks: Vec<Envelope>,
    steps: Vec<StepEnvelope>,
    was_approved: bool,
    was_awaiting: bool,
    /// The digest that was shown.
    shown: Option<String>,
}

impl Before {
    pub(crate) fn of(drive: &Drive<'_>, planned: &Planned) -> Before {
        let journal = &drive.journal;
        let names: Vec<&str> = planned.stacks.iter().map(|stack| stack.stack.as_str()).collect();
        let steps = planned.steps.iter();
        Before {
            stacks: names
                .iter()
                .filter_map(|name| journal.approved(name).cloned())
                .collect(),
            steps: steps
                .filter_map(|step| journal.approved_step(&step.part.name).cloned())
                .collect(),
            was_approved: (journal.entries().iter()).any(|entry| matches!(entry.event, Event::Approved { .. })),
            was_awaiting: drive.run.status == Status::AwaitingApproval,
            shown: journal.last_planned(&names),
        }
    }

    /// Whether there is nothing new in a plan. Once something was done, what is left of the approved one may be done;
    /// before that only that very one.
    pub(crate) fn covers(&self, planned: &Planned, had_effect: bool) -> bool {
        let stack_is = |own: &Envelope, approved: &Envelope| match had_effect {
            true => own.stack == approved.stack && own.is_part_of(approved),
            false => own == approved,
        };
        let step_is = |own: &StepEnvelope, approved: &StepEnvelope| match had_effect {
            true => own.is_part_of(approved),
            false => own == approved,
        };
        self.was_approved
            && (planned.stacks.iter()).all(|own| self.stacks.iter().any(|approved| stack_is(&own.envelope, approved)))
            && (planned.going()).all(|own| self.steps.iter().any(|approved| step_is(own, approved)))
    }

    /// Whoever takes up a plan that waits for a yes must mean the one that was shown.
    ///
    /// # Errors
    /// Awaiting approval: it is another one now.
    pub(crate) fn is_still(&self, digest: &str, resumed: bool, run: &Run) -> Result<()> {
        match &self.shown {
            Some(shown) if resumed && self.was_awaiting && shown != digest => Err(EngineError::new(
                Kind::AwaitingApproval,
                format!(
                    "the plan has changed since it was shown ({shown:.12} then, {digest:.12} now): look at it again"
                ),
            )
            .hint(format!(
                "`infra-rollback resume {} --auto-approve` applies this one",
                run.id
            ))),
            _ => Ok(()),
        }
    }
}
