//! What the policy does not let pass, for those who decide about it: people by the message, machines by the findings.

use rollback_policy::{Evaluation, Finding, Level, RuleError};
use serde::{Deserialize, Serialize};

use super::BY_CONSENT;
use crate::drive::Approver;
use crate::error::{EngineError, Kind};

/// One denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Empty where only one stack is concerned and nobody needs to be told which, and where steps are.
    pub stack: String,
    pub rule: String,
    /// `soft-mandatory`, `hard-mandatory`; `none` where the rule could not be judged.
    pub level: String,
    pub message: String,
    pub address: Option<String>,
}

impl Denial {
    fn is_soft(&self) -> bool {
        self.level == Level::SoftMandatory.as_str()
    }
}

/// The denials of an evaluation, but those that a consent by address settles, which the engine's own guard asks for.
pub(super) fn denials<'e>(
    stack: &str,
    evaluation: &'e Evaluation,
    left: &[&'e Finding],
) -> impl Iterator<Item = Denial> {
    let findings = left.iter().map(|finding| Denial {
        stack: stack.to_owned(),
        rule: finding.rule.clone(),
        level: finding.level.as_str().to_owned(),
        message: finding.message.clone(),
        address: finding.address.clone(),
    });
    let errors = evaluation.errors.iter().map(|error: &RuleError| Denial {
        stack: stack.to_owned(),
        rule: error.rule.clone(),
        level: "none".to_owned(),
        message: error.message.replace('\n', " "),
        address: None,
    });
    let all: Vec<Denial> = findings.chain(errors).collect();
    all.into_iter()
}

/// The refusal that these denials are.
pub(super) fn refusal(denials: Vec<Denial>) -> EngineError {
    let lines: Vec<String> = denials
        .iter()
        .map(|denial| match denial.level.as_str() {
            "none" => format!("{}: no verdict: {}", denial.rule, denial.message),
            level => format!("{} ({level}): {}", denial.rule, denial.message),
        })
        .collect();
    let mut error = EngineError::refused(format!(
        "the policy refuses it; nothing was changed.\n  {}",
        lines.join("\n  ")
    ));
    let mut soft: Vec<&str> = denials
        .iter()
        .filter(|denial| denial.is_soft())
        .map(|denial| denial.rule.as_str())
        .collect();
    soft.sort_unstable();
    soft.dedup();
    for rule in soft {
        error = error.hint(format!("if that is meant: --override-policy {rule} --reason TEXT"));
    }
    for denial in denials
        .iter()
        .filter(|denial| denial.level == Level::HardMandatory.as_str())
    {
        let by_consent = BY_CONSENT.iter().any(|package| denial.rule.starts_with(package));
        error = error.hint(match (&denial.address, by_consent) {
            (Some(address), true) => format!("if that is meant: --accept-data-loss '{address}'"),
            _ => format!(
                "{} is hard-mandatory: change what it objects to, or its level under [policy.levels]",
                denial.rule
            ),
        });
    }
    if denials.iter().any(|denial| denial.level == "none") {
        error =
            error.hint("what cannot be judged does not pass: mend the policy, or take the rule out with `disabled`");
    }
    error.denials = denials;
    error
}

/// Whether nothing but soft-mandatory rules stands in the way, so that an override can still come.
pub(crate) fn can_be_overridden(error: &EngineError) -> bool {
    !error.denials.is_empty() && error.denials.iter().all(Denial::is_soft)
}

/// A refusal that somebody may still override waits for that, where such a word can come.
pub(crate) fn held_open(error: EngineError, approver: &dyn Approver) -> EngineError {
    match approver.consent_may_come() && error.kind == Kind::Refused && can_be_overridden(&error) {
        true => error.kind(Kind::AwaitingApproval),
        false => error,
    }
}

/// What was not accepted, with what the policy denies beside it: both are to be known at once, and where the policy's
/// word is final there is nothing to wait for.
pub(crate) fn not_accepted(refused: EngineError, denied: Option<EngineError>, approver: &dyn Approver) -> EngineError {
    if !approver.consent_may_come() {
        return refused;
    }
    match denied {
        Some(denied) if !can_be_overridden(&denied) => denied,
        denied => {
            let mut refused = refused.kind(Kind::AwaitingApproval);
            refused.denials = denied.map(|denied| denied.denials).unwrap_or_default();
            refused
        }
    }
}
