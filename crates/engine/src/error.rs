//! One error type for everything that a run can say: what kind of end it is, what happened, what to do next.

use std::fmt;

use crate::policy::Denial;

/// How a command ends; the command line turns this into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It failed and nothing has changed.
    Failed,
    /// The request itself cannot be understood.
    Usage,
    /// A guard said no: data loss not accepted, a surprise in the plan, a value that cannot come back.
    Refused,
    /// It stopped with some of the work done; `resume` goes on from there.
    Halfway,
    /// Somebody else holds a lock.
    Locked,
    /// Everything is ready and a person has to say yes.
    AwaitingApproval,
}

/// An error with its kind and its hints.
#[derive(Debug)]
pub struct EngineError {
    pub kind: Kind,
    pub message: String,
    pub hints: Vec<String>,
    /// What a machine needs to act on it: the plan that was refused, the run.
    pub detail: Option<Box<serde_json::Value>>,
    /// What the policy does not let pass.
    pub denials: Vec<Denial>,
}

impl EngineError {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        EngineError {
            kind,
            message: message.into(),
            hints: Vec::new(),
            detail: None,
            denials: Vec::new(),
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What was being done when it happened, put in front of the message.
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Errors of the rooms below, with the hint that each of them carries.
macro_rules! from_hinted {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                let hints = error.hint().into_iter().map(Into::into).collect();
                EngineError { kind: Kind::Failed, message: error.to_string(),
                    hints,
                    detail: None,
                    denials: Vec::new(),
                }
            }
        }
    )+};
}

from_hinted!(
    rollback_state::StateError,
    rollback_state::EditError,
    rollback_config::ConfigError,
    rollback_config::project::ProjectError,
    rollback_repository::RepositoryError,
    rollback_release::StoreError,
    rollback_release::CatalogueError,
    rollback_inverse::JoinError,
);

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        EngineError::failed(error.to_string())
    }
}
