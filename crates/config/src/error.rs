//! Errors that point at a place in a file.

use crate::tree::TreeError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in a file of the tree. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a configuration could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not HCL, or not JSON.
    #[error("{at}: {message}")]
    Syntax { at: Location, message: String },
    /// The file parses and says something that Terraform does not accept.
    #[error("{at}: {message}")]
    Invalid {
        at: Location,
        message: String,
        hint: Option<String>,
    },
    #[error("{at}: the file is not valid UTF-8")]
    Encoding { at: Location },
    #[error("{file}: the file is {size} bytes long; at most {limit} are read as configuration")]
    TooLarge { file: String, size: usize, limit: usize },
    /// The folder has no `*.tf` or `*.tf.json`.
    #[error("there is no Terraform configuration in {directory:?}")]
    NoConfiguration { directory: String },
    /// A local module that calls itself, directly or through others.
    #[error("{at}: module {module} calls itself through {}", chain.join(" -> "))]
    ModuleCycle {
        at: Location,
        module: String,
        chain: Vec<String>,
    },
    /// More modules, or modules nested deeper, than any configuration has.
    #[error("{at}: {message}")]
    TooManyModules { at: Location, message: String },
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl ConfigError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Syntax { .. } => {
                Some("`terraform validate` in that folder shows the same place with its surroundings".into())
            }
            ConfigError::Invalid { hint, .. } => hint.clone(),
            ConfigError::Encoding { .. } => Some("save the file as UTF-8".into()),
            ConfigError::TooLarge { .. } => Some("split the file".into()),
            ConfigError::NoConfiguration { .. } => {
                Some("check the stack's `dir` in infra-rollback.toml, and whether this commit has it".into())
            }
            ConfigError::ModuleCycle { .. } => Some("a module cannot contain itself: break the cycle".into()),
            ConfigError::TooManyModules { .. } => Some("look for modules that call each other many times over".into()),
            ConfigError::Tree(error) => error.hint(),
        }
    }

    /// Where, if the error points at a place in a file.
    pub fn location(&self) -> Option<&Location> {
        match self {
            ConfigError::Syntax { at, .. }
            | ConfigError::Invalid { at, .. }
            | ConfigError::Encoding { at }
            | ConfigError::ModuleCycle { at, .. }
            | ConfigError::TooManyModules { at, .. } => Some(at),
            _ => None,
        }
    }
}
