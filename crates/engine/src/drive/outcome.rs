//! How a run ended, for whoever started it.

use std::collections::BTreeMap;
use std::time::Instant;

use rollback_runbook::checks::Verification;
use serde::Serialize;

use crate::planning::Planned;
use crate::prepare::Prepared;
use crate::steps::StepOutcome;
use crate::target::Target;

/// How a run ended well.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub run: Option<String>,
    pub status: &'static str,
    pub commit: String,
    pub digest: String,
    pub seconds: f64,
    pub stacks: Vec<StackOutcome>,
    pub steps: Vec<StepOutcome>,
    pub backup: Option<String>,
    pub result: Option<String>,
    /// What the checks said afterwards; none where there are none.
    pub verification: Option<Verification>,
    pub warnings: Vec<String>,
}

/// How it went for one stack.
#[derive(Debug, Serialize)]
pub struct StackOutcome {
    pub stack: String,
    pub effects: usize,
    pub verified: bool,
    /// Changes that a plan of the target's configuration still shows.
    pub changes_left: usize,
    /// What it reads of another stack changed after it was verified.
    pub changed_again: bool,
    /// A value that only the apply told came out as another one than the target had.
    pub otherwise: bool,
    pub seconds: f64,
}

impl StackOutcome {
    /// Of a stack that needed nothing so far.
    pub(crate) fn new(stack: &str) -> Self {
        StackOutcome {
            stack: stack.to_owned(),
            effects: 0,
            verified: true,
            changes_left: 0,
            changed_again: false,
            otherwise: false,
            seconds: 0.0,
        }
    }
}

/// Of a plan that was only shown.
pub(super) fn of_plan(target: &Target, started: Instant, planned: &Planned) -> Outcome {
    let prepared = &planned.stacks;
    Outcome {
        run: None,
        status: "planned",
        commit: target.commit.to_string(),
        digest: planned.digest(),
        seconds: started.elapsed().as_secs_f64(),
        stacks: prepared
            .iter()
            .map(|stack| StackOutcome {
                stack: stack.stack.clone(),
                effects: stack.reconciled.items.len(),
                verified: false,
                changes_left: stack.reconciled.items.len(),
                changed_again: false,
                otherwise: false,
                seconds: 0.0,
            })
            .collect(),
        steps: Vec::new(),
        backup: None,
        result: None,
        verification: None,
        warnings: planned.warnings().collect(),
    }
}

/// `1 create, 2 update`.
pub(crate) fn summary(prepared: &Prepared) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &prepared.reconciled.items {
        *counts.entry(item.fate.as_str()).or_default() += 1;
    }
    if counts.is_empty() {
        return "nothing to do".to_owned();
    }
    counts
        .iter()
        .map(|(fate, count)| format!("{count} {fate}"))
        .collect::<Vec<_>>()
        .join(", ")
}
