//! Why a bundle cannot be used.

use std::path::PathBuf;

/// A bundle that cannot judge anything. Whoever gets it must refuse: a missing verdict is never a pass.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy bundle {} cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the policy bundle {} is refused: {reason}", path.display())]
    Hostile { path: PathBuf, reason: String },
    #[error("the policy bundle {origin} has no Rego in it")]
    Empty { origin: String },
    #[error("{file}: {reason}")]
    Rego { file: String, reason: String },
    #[error("{file}: the metadata of {subject} cannot be understood: {reason}")]
    Metadata {
        file: String,
        subject: String,
        reason: String,
    },
    #[error("{file}: the data cannot be read: {reason}")]
    Data { file: String, reason: String },
    #[error("the policy bundle has no rule called deny, violation or warn: it could never say no")]
    NoRules,
    #[error("it cannot be found out which rules the policy bundle {origin} has: {reason}")]
    Unbounded { origin: String, reason: String },
    #[error("{what} names {name:?}, and the policy has no such rule")]
    UnknownRule {
        what: &'static str,
        name: String,
        nearest: Option<String>,
    },
}

impl PolicyError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            PolicyError::Unreadable { .. } => {
                "check `bundle` under [policy] in infra-rollback.toml, or --bundle".to_owned()
            }
            PolicyError::Hostile { .. } => {
                "a bundle holds regular files only: no links, no absolute paths, no `..`".to_owned()
            }
            PolicyError::Empty { .. } | PolicyError::NoRules => {
                "write a rule such as `deny contains msg if { … }`, or leave `bundle` out to use the built-in policy"
                    .to_owned()
            }
            PolicyError::Rego { .. } => {
                "`infra-rollback policy test DIR` checks a bundle without a rollback".to_owned()
            }
            PolicyError::Metadata { .. } => {
                "the level of a rule is `custom: { level: advisory | soft-mandatory | hard-mandatory }`".to_owned()
            }
            PolicyError::Data { .. } => "data.json holds one JSON object, data.yaml one YAML mapping".to_owned(),
            PolicyError::Unbounded { .. } => {
                "a rule that needs no input must be done within the limits of time and memory as well".to_owned()
            }
            PolicyError::UnknownRule { nearest, .. } => match nearest {
                Some(nearest) => format!("did you mean {nearest}? `infra-rollback policy show` lists the rules"),
                None => "`infra-rollback policy show` lists the rules".to_owned(),
            },
        })
    }
}
