//! What of the policy's verdict is part of what is approved.

use rollback_policy::{Evaluation, Verdict};
use serde::{Deserialize, Serialize};

use super::PolicyOverride;

/// The bundle and its verdict, as the envelope holds them. Messages are left out: they may tell an age, and yesterday's
/// approval must not fall for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub bundle_digest: String,
    pub verdict: Verdict,
    /// `rule address`, of what was said, `overridden` behind it where it was.
    pub findings: Vec<String>,
    /// Who overrode which of them, and why: another reason is another thing to approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<PolicyOverride>,
}

impl PolicyRecord {
    /// Without the rules whose override is a consent by address: that consent is no change of what is approved.
    pub(crate) fn of(evaluation: &Evaluation, by_consent: &[&str]) -> PolicyRecord {
        let mut findings: Vec<String> = evaluation
            .findings
            .iter()
            .filter(|finding| !by_consent.iter().any(|package| finding.rule.starts_with(package)))
            .map(|finding| {
                let address = finding.address.as_deref().unwrap_or("-");
                let mark = if finding.overridden { " overridden" } else { "" };
                format!("{} {address} {}{mark}", finding.rule, finding.level)
            })
            .collect();
        findings.sort();
        findings.dedup();
        let refuses = evaluation
            .refusals()
            .any(|finding| !by_consent.iter().any(|package| finding.rule.starts_with(package)));
        let verdict = match evaluation.verdict {
            Verdict::Refused if !refuses && findings.iter().any(|finding| finding.ends_with(" overridden")) => {
                Verdict::Overridden
            }
            Verdict::Refused if !refuses && findings.is_empty() => Verdict::Pass,
            Verdict::Refused if !refuses => Verdict::Warn,
            other => other,
        };
        PolicyRecord {
            bundle_digest: evaluation.bundle_digest.clone(),
            verdict,
            findings,
            overrides: Vec::new(),
        }
    }

    /// Whether a run that has begun may go on under this one after the other was approved: the same bundle, nothing
    /// overridden that was not.
    pub(crate) fn is_part_of(&self, approved: &PolicyRecord) -> bool {
        self.bundle_digest == approved.bundle_digest
            && self.verdict.allows()
            && self
                .findings
                .iter()
                .filter(|finding| finding.ends_with(" overridden"))
                .all(|finding| approved.findings.contains(finding))
    }
}
