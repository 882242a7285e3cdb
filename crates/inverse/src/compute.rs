//! Puts the plan together.

use crate::{Input, InversePlan};

/// The inverse plan. Never fails: what is not known is said in the plan's notes and warnings.
pub fn compute(input: &Input<'_>) -> InversePlan {
    InversePlan {
        terraform_version: input.current.terraform_version().to_string(),
        ..InversePlan::default()
    }
}
