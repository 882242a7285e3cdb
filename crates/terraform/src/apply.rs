//! What an apply came to.

use std::path::PathBuf;

use crate::child::ChildRecord;
use crate::error::TerraformError;
use crate::stream::StreamSummary;

/// How an apply ended.
#[derive(Debug)]
pub enum ApplyEnd {
    /// Everything done and recorded.
    Complete,
    /// Terraform reported errors; part of it may have been done ([`StreamSummary::objects`]).
    ///
    /// A failure after good work (unlocking, writing the state) is among these: look at the state and at
    /// [`ApplyOutcome::errored_state`] before anything is applied again.
    Failed(TerraformError),
    /// A person interrupted; terraform finished what it had begun and saved the state.
    Interrupted,
    /// Somebody killed it: what was begun is unknown.
    Killed { signal: i32 },
}

/// An apply that was started.
#[derive(Debug)]
pub struct ApplyOutcome {
    pub end: ApplyEnd,
    pub summary: StreamSummary,
    pub record: ChildRecord,
    /// A state that terraform could not write where it belongs; see [`crate::errored`].
    pub errored_state: Option<PathBuf>,
}

impl ApplyOutcome {
    pub fn is_complete(&self) -> bool {
        matches!(self.end, ApplyEnd::Complete)
    }

    /// Whether any object may have been touched. A killed apply may always have.
    pub fn touched(&self) -> bool {
        self.summary.touched() || matches!(self.end, ApplyEnd::Killed { .. })
    }

    /// The outcome itself where it is complete, else the reason.
    pub fn into_result(self) -> Result<ApplyOutcome, TerraformError> {
        match self.end {
            ApplyEnd::Complete => Ok(self),
            ApplyEnd::Failed(error) => Err(error),
            ApplyEnd::Interrupted => Err(TerraformError::Interrupted {
                diagnostics: self.summary.diagnostics,
            }),
            ApplyEnd::Killed { signal } => Err(TerraformError::Killed { signal }),
        }
    }
}
