//! `infra-rollback.toml`: which stacks a project has, and how they are rolled back.

use crate::error::Location;
use std::collections::BTreeMap;

/// A project's settings. Every part has a default: a folder with `*.tf` needs no file at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Project {
    pub store: Option<StoreSection>,
    pub stacks: Vec<StackSection>,
    pub terraform: TerraformSection,
    pub policy: PolicySection,
    pub knowledge: KnowledgeSection,
    /// `[[step]]`, in order; the keys other than `name` and `kind` are kept raw.
    pub steps: Vec<StepTable>,
    /// `[[check]]`, in order.
    pub checks: Vec<StepTable>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSection {
    /// `s3://bucket/prefix?table=name`, `file:///path`, …
    pub url: String,
}

/// `[[stack]]`: one root module with its backend and workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct StackSection {
    pub name: String,
    /// The root module's folder, relative to the folder of infra-rollback.toml; `""` is that folder.
    pub dir: String,
    pub workspace: Option<String>,
    /// Relative to `dir`.
    pub var_files: Vec<String>,
    /// Names of stacks that this one builds on: it is rolled back before them.
    pub depends_on: Vec<String>,
    /// Values for variables, as `-var` would give them.
    pub variables: BTreeMap<String, toml::Value>,
    pub at: Location,
}

/// `[terraform]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TerraformSection {
    /// `terraform`, `tofu`, or a path.
    pub binary: Option<String>,
    /// Names of environment variables that Terraform may see besides the usual ones.
    pub environment: Vec<String>,
    /// `-parallelism`; Terraform's own default is 10.
    pub parallelism: Option<u32>,
    /// A folder for `TF_PLUGIN_CACHE_DIR`.
    pub plugin_cache: Option<String>,
}

/// `[policy]`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicySection {
    /// Folders or files of Rego.
    pub bundles: Vec<String>,
    /// Data handed to the policies.
    pub data: toml::Table,
}

/// `[knowledge]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnowledgeSection {
    /// More files of knowledge about resource types, relative to infra-rollback.toml.
    pub files: Vec<String>,
}

/// `[[step]]` or `[[check]]`
#[derive(Debug, Clone, PartialEq)]
pub struct StepTable {
    pub name: Option<String>,
    pub kind: String,
    /// Whether this version knows the kind ([`STEP_KINDS`], [`CHECK_KINDS`]).
    pub known: bool,
    /// The whole table as written.
    pub table: toml::Table,
    pub at: Location,
}

/// Kinds of `[[step]]` that are known.
pub const STEP_KINDS: &[&str] = &[
    "alb-listener",
    "appconfig",
    "command",
    "ecs-service",
    "flag",
    "listener",
    "migration",
    "notify",
    "rds-restore",
    "ssm-parameter",
    "terraform",
];

/// Kinds of `[[check]]` that are known.
pub const CHECK_KINDS: &[&str] = &[
    "alarm",
    "command",
    "ecs-stable",
    "http",
    "log",
    "metric",
    "target-health",
    "tcp",
];

/// Why infra-rollback.toml cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    #[error("{at}: {message}")]
    Syntax { at: Location, message: String },
    #[error("{at}: unknown key `{key}` in {section}")]
    UnknownKey {
        at: Location,
        key: String,
        section: String,
        nearest: Option<String>,
    },
    #[error("{at}: {message}")]
    Invalid {
        at: Location,
        message: String,
        hint: Option<String>,
    },
    #[error("{at}: stack `{stack}` depends on `{name}`, which is no stack")]
    UnknownStack {
        at: Location,
        stack: String,
        name: String,
        nearest: Option<String>,
    },
    #[error("the stacks depend on each other in a circle: {}", cycle.join(" -> "))]
    Cycle { cycle: Vec<String> },
    #[error("{file}: the file is {size} bytes long; at most {limit} are read")]
    TooLarge { file: String, size: usize, limit: usize },
}

impl ProjectError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            ProjectError::UnknownKey { nearest, .. } | ProjectError::UnknownStack { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean `{name}`?"))
            }
            ProjectError::Invalid { hint, .. } => hint.clone(),
            ProjectError::Cycle { .. } => Some("remove one `depends_on` of the circle".into()),
            ProjectError::Syntax { .. } | ProjectError::TooLarge { .. } => None,
        }
    }
}

/// Reads the text of infra-rollback.toml; `file_name` is what errors call it.
///
/// # Errors
/// Where it is not TOML, has a key that is not known, or says something that cannot be.
pub fn parse(text: &str, file_name: &str) -> Result<Project, ProjectError> {
    let _ = (text, file_name);
    Ok(Project::default())
}

impl Project {
    /// As [`parse`].
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(text: &str, file_name: &str) -> Result<Project, ProjectError> {
        parse(text, file_name)
    }

    /// Indexes into `stacks` in the order of a rollback: dependents before what they depend on,
    /// otherwise as written.
    ///
    /// # Errors
    /// [`ProjectError::UnknownStack`] and [`ProjectError::Cycle`].
    pub fn stack_order(&self) -> Result<Vec<usize>, ProjectError> {
        Ok((0..self.stacks.len()).collect())
    }
}
