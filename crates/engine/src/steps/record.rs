//! What of a step goes into journals, digests and results.

use rollback_runbook::step::{Binding, StepPlan};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};
use crate::policy::PolicyRecord;

/// What is approved for one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEnvelope {
    pub step: String,
    pub kind: String,
    /// Where it is, as JSON text: serde_json's exact numbers do not survive in a flattened entry otherwise.
    pub from: String,
    /// Where it goes.
    pub to: String,
    pub plan: StepPlan,
    /// The policy's bundle and its verdict on all steps; none where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRecord>,
}

impl StepEnvelope {
    /// Where it goes.
    ///
    /// # Errors
    /// The text was changed.
    pub fn target(&self) -> Result<Binding> {
        parse(&self.step, &self.to)
    }

    /// Where it was when it was planned.
    ///
    /// # Errors
    /// The text was changed.
    pub fn origin(&self) -> Result<Binding> {
        parse(&self.step, &self.from)
    }

    /// Whether going there was approved with that one: to the same place, and at no higher price.
    pub fn is_part_of(&self, approved: &StepEnvelope) -> bool {
        self.step == approved.step
            && self.kind == approved.kind
            && self.to == approved.to
            && self.plan.reversibility <= approved.plan.reversibility
            && match (&self.policy, &approved.policy) {
                (Some(own), Some(approved)) => own.is_part_of(approved),
                (None, _) => true,
                (Some(_), None) => false,
            }
    }
}

pub(super) fn parse(step: &str, text: &str) -> Result<Binding> {
    serde_json::from_str(text).map_err(|error| {
        EngineError::failed(format!(
            "step {step}: its record in the journal cannot be read: {error}"
        ))
    })
}

/// How it went for one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepOutcome {
    pub step: String,
    pub kind: String,
    /// How much the plan said it would change; 0 where it was there already.
    pub changes: usize,
    /// It was done by an earlier attempt of this run.
    pub earlier: bool,
    pub seconds: f64,
}
