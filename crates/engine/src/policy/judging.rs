//! What a run would do, judged: each stack by a document of its own, and the steps by one.

use rollback_policy::{Document, Evaluation, Finding};

use super::denied::{self, Denial};
use super::facts::{self, Subject, Whole};
use super::{BY_CONSENT, Gate, Moment, refusal_of};
use crate::context::Context;
use crate::error::Result;
use crate::planning::Planned;
use crate::prepare::Prepared;
use crate::reconcile::Refusal;
use crate::run::Consent;
use crate::steps;

impl Gate {
    /// Judges every stack that has a real plan, and the steps; the verdicts are part of what is approved.
    pub fn judge(&self, context: &Context, planned: &mut Planned, moment: &Moment<'_>) {
        let whole = Whole::of(planned);
        for stack in planned.stacks.iter_mut().filter(|stack| stack.plan.is_some()) {
            let document = of_stack(self, context, stack, &whole, moment);
            let evaluation = self.evaluate(&document, moment);
            stack.envelope.policy = Some(self.record(&evaluation, moment));
            stack.evaluation = Some(evaluation);
        }
        let evaluation =
            of_steps(self, context, planned, &whole, moment).map(|document| self.evaluate(&document, moment));
        if let Some(evaluation) = &evaluation {
            let record = self.record(evaluation, moment);
            for envelope in planned.going_mut() {
                envelope.policy = Some(record.clone());
            }
        }
        planned.evaluation = evaluation;
    }

    /// Asks once more, right before the first effect: a freeze window may have begun, a policy changed.
    ///
    /// # Errors
    /// Refused where the verdict is another one now.
    pub fn judge_again(&self, context: &Context, planned: &Planned, moment: &Moment<'_>) -> Result<()> {
        let whole = Whole::of(planned);
        for stack in planned.stacks.iter().filter(|stack| stack.plan.is_some()) {
            let document = of_stack(self, context, stack, &whole, moment);
            refuse_late(&format!("stack {}", stack.stack), &self.evaluate(&document, moment))?;
        }
        match of_steps(self, context, planned, &whole, moment) {
            Some(document) => refuse_late("steps", &self.evaluate(&document, moment)),
            None => Ok(()),
        }
    }

    /// The documents that a run is judged by: one for each stack, one for the steps.
    pub fn documents(&self, context: &Context, planned: &Planned, moment: &Moment<'_>) -> Vec<serde_json::Value> {
        let whole = Whole::of(planned);
        let stacks = planned.stacks.iter();
        stacks
            .map(|stack| of_stack(self, context, stack, &whole, moment))
            .chain(of_steps(self, context, planned, &whole, moment))
            .map(|document| document.to_value())
            .collect()
    }
}

fn of_stack(gate: &Gate, context: &Context, stack: &Prepared, whole: &Whole, moment: &Moment<'_>) -> Document {
    facts::document(context, gate, Subject::of(context, stack), whole, moment)
}

/// None where no step has anything to do.
fn of_steps(gate: &Gate, context: &Context, planned: &Planned, whole: &Whole, moment: &Moment<'_>) -> Option<Document> {
    let ends = planned.ends.as_ref()?;
    Some(facts::document(context, gate, Subject::of_steps(ends), whole, moment))
}

pub(super) fn refuse_late(judged: &str, evaluation: &Evaluation) -> Result<()> {
    match evaluation.verdict.allows() {
        true => Ok(()),
        false => Err(refusal_of("", evaluation).during(format!("{judged}: right before the first effect"))),
    }
}

/// What the policy does not let pass, beside what the engine's own guards ask for.
///
/// # Errors
/// Refused, with the denials of every stack and of the steps.
pub fn open_denials(planned: &Planned) -> Result<()> {
    let mut open: Vec<Denial> = Vec::new();
    let mut judged = Vec::new();
    let mut add = |name: &str, evaluation: &Evaluation, asked_for: &[Refusal]| {
        let left: Vec<&Finding> = evaluation
            .refusals()
            .filter(|finding| {
                let by_consent = BY_CONSENT.iter().any(|package| finding.rule.starts_with(package));
                let address = finding.address.as_deref().unwrap_or_default();
                !(by_consent && asked_for.iter().any(|refusal| refusal.address == address))
            })
            .collect();
        let before = open.len();
        open.extend(denied::denials(name, evaluation, &left));
        if open.len() > before {
            judged.push(match name {
                "" => "steps".to_owned(),
                name => format!("stack {name}"),
            });
        }
    };
    for stack in &planned.stacks {
        if let Some(evaluation) = &stack.evaluation {
            add(&stack.stack, evaluation, &stack.reconciled.refusals);
        }
    }
    if let Some(evaluation) = &planned.evaluation {
        let asked_for = steps::open_refusals(&planned.steps, &Consent::default());
        add("", evaluation, &asked_for);
    }
    match open.is_empty() {
        true => Ok(()),
        false => Err(denied::refusal(open).during(judged.join(", "))),
    }
}
