//! What the policy said.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How binding a rule is, as HCP Terraform's policies have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It is said, and stops nobody.
    Advisory,
    /// It refuses until somebody who may do so overrides it, with a reason.
    SoftMandatory,
    /// It refuses, whoever asks.
    HardMandatory,
}

impl Level {
    /// The word for it: `advisory`, `soft-mandatory`, `hard-mandatory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Advisory => "advisory",
            Level::SoftMandatory => "soft-mandatory",
            Level::HardMandatory => "hard-mandatory",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Level> {
        [Level::Advisory, Level::SoftMandatory, Level::HardMandatory]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One message of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's whole name: `rollback.freeze_window.deny`.
    pub rule: String,
    pub level: Level,
    pub message: String,
    /// The object that it is about, where the rule says so (`address` or `resource` of its result).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Somebody overrode it.
    pub overridden: bool,
}

impl Finding {
    /// Whether it stands in the way.
    pub fn refuses(&self) -> bool {
        self.level > Level::Advisory && !self.overridden
    }
}

/// A rule that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleError {
    pub rule: String,
    pub message: String,
}

/// The whole of it, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    /// There are advisory findings.
    Warn,
    /// There are denials, and each was overridden.
    Overridden,
    Refused,
    /// A rule failed, the time was up: refused as well.
    None,
}

impl Verdict {
    /// The word for it: `pass`, `warn`, `overridden`, `refused`, `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Overridden => "overridden",
            Verdict::Refused => "refused",
            Verdict::None => "none",
        }
    }

    /// Whether the rollback may go on.
    pub fn allows(self) -> bool {
        self < Verdict::Refused
    }
}

/// What a policy said about one document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    pub verdict: Verdict,
    /// SHA-256 of the bundle: see [`crate::Bundle::digest`].
    pub bundle_digest: String,
    /// The worst first.
    pub findings: Vec<Finding>,
    pub errors: Vec<RuleError>,
    /// How many rules were asked.
    pub rules: usize,
    /// How many rules said nothing.
    pub passed: usize,
    /// Messages that an `exception` rule took back.
    pub exceptions: usize,
}

impl Evaluation {
    pub(crate) fn new(
        bundle_digest: &str,
        rules: usize,
        passed: usize,
        exceptions: usize,
        mut findings: Vec<Finding>,
        errors: Vec<RuleError>,
    ) -> Evaluation {
        findings.sort_by(|a, b| {
            (b.level.cmp(&a.level))
                .then_with(|| a.rule.cmp(&b.rule))
                .then_with(|| a.address.cmp(&b.address))
                .then_with(|| a.message.cmp(&b.message))
        });
        findings.dedup();
        let verdict = if !errors.is_empty() || rules == 0 {
            Verdict::None
        } else if findings.iter().any(Finding::refuses) {
            Verdict::Refused
        } else if findings.iter().any(|finding| finding.overridden) {
            Verdict::Overridden
        } else if findings.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Warn
        };
        Evaluation {
            verdict,
            bundle_digest: bundle_digest.to_owned(),
            findings,
            errors,
            rules,
            passed,
            exceptions,
        }
    }

    /// No verdict, for a reason that is no single rule's.
    pub fn without_verdict(bundle_digest: &str, reason: impl Into<String>) -> Evaluation {
        let error = RuleError {
            rule: "(bundle)".to_owned(),
            message: reason.into(),
        };
        Evaluation::new(bundle_digest, 0, 0, 0, Vec::new(), vec![error])
    }

    /// What stands in the way.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.refuses())
    }

    /// What was said and stops nobody.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Advisory)
    }

    /// Rules that were overridden, each once.
    pub fn overridden(&self) -> Vec<String> {
        let mut rules: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.overridden)
            .map(|finding| finding.rule.clone())
            .collect();
        rules.sort();
        rules.dedup();
        rules
    }
}
