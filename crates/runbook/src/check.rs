//! The port of a check: a question whose answer says whether all is well.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::step::StepError;

/// Asks one question of the running system. Changes nothing.
pub trait Check: Send + Sync {
    /// Asks once. `since` is when what is judged began (the end of the effects of a run, a deploy): logs and metrics
    /// before it say nothing about it.
    ///
    /// # Errors
    /// The question could not be asked: neither yes nor no. (That nobody listens at the address asked is a no.)
    fn ask(&self, since: Timestamp) -> Result<Verdict, StepError>;
}

/// An answer, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub passed: bool,
    /// One line: `200 in 31 ms`, `503, expected 200`.
    pub summary: String,
    /// More lines, where there is more to say: one for each endpoint, the last lines of a log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl Verdict {
    pub fn passed(summary: impl Into<String>) -> Verdict {
        Verdict {
            passed: true,
            summary: summary.into(),
            details: Vec::new(),
        }
    }

    pub fn failed(summary: impl Into<String>) -> Verdict {
        Verdict {
            passed: false,
            summary: summary.into(),
            details: Vec::new(),
        }
    }
}
