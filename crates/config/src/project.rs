//! `infra-rollback.toml`: which stacks a project has, and how they are rolled back.

pub use drill::DrillSection;
pub use identity::{IdentityRule, IdentitySection, TlsSection};
pub use incident::{ContactSection, IncidentSection, PostMortemSection};
pub use policy::{FreezeSection, KnownBadSection, PolicySection};

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
    /// `[[notify]]`, in order.
    pub notifications: Vec<StepTable>,
    pub incident: IncidentSection,
    /// `[[identity]]`: whose identity tokens the service takes.
    pub identities: Vec<IdentitySection>,
    pub tls: Option<TlsSection>,
    /// `[drill]`; none where nothing is rehearsed by itself.
    pub drill: Option<DrillSection>,
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

/// `[knowledge]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnowledgeSection {
    /// More files of knowledge about resource types, relative to infra-rollback.toml.
    pub files: Vec<String>,
}

/// `[[step]]`, `[[check]]` or `[[notify]]`
#[derive(Debug, Clone, PartialEq)]
pub struct StepTable {
    pub name: Option<String>,
    pub kind: String,
    /// Whether this version knows the kind ([`STEP_KINDS`], [`CHECK_KINDS`], [`NOTIFY_KINDS`]).
    pub known: bool,
    /// The whole table as written.
    pub table: toml::Table,
    pub at: Location,
}

impl StepTable {
    /// What it is called: its name, or its kind where it has none.
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.kind)
    }
}

/// Kinds of `[[step]]` that are known.
pub const STEP_KINDS: &[&str] = &[
    "alb-listener",
    "appconfig",
    "command",
    "ecs-environment",
    "ecs-image",
    "ecs-service",
    "migration",
    "rds-pitr",
    "rds-restore",
    "ssm-parameter",
];

/// Kinds of `[[check]]` that are known.
pub const CHECK_KINDS: &[&str] = &["command", "endpoints", "http", "logs", "metrics", "postgres"];

/// Kinds of `[[notify]]` that are known.
pub const NOTIFY_KINDS: &[&str] = &["command", "slack", "smtp", "sns", "webhook"];

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

/// Longer files are refused: 1 MiB.
const LARGEST_FILE: usize = 1 << 20;

/// Reads the text of infra-rollback.toml; `file_name` is what errors call it.
///
/// # Errors
/// Where it is not TOML, has a key that is not known, or says something that cannot be, such as stacks that depend
/// on each other in a circle.
pub fn parse(text: &str, file_name: &str) -> Result<Project, ProjectError> {
    if text.len() > LARGEST_FILE {
        return Err(ProjectError::TooLarge {
            file: file_name.to_owned(),
            size: text.len(),
            limit: LARGEST_FILE,
        });
    }
    let project = read::project(text, file_name)?;
    project.stack_order()?;
    Ok(project)
}

impl Project {
    /// As [`parse`].
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(text: &str, file_name: &str) -> Result<Project, ProjectError> {
        parse(text, file_name)
    }

    /// The project of a folder without infra-rollback.toml: one stack, named after the folder.
    pub fn of_folder(folder_name: &str, dir: &str) -> Project {
        let plain = |c: char| if is_name_character(c) { c } else { '-' };
        let name = folder_name.chars().map(plain).collect::<String>();
        let name = name.trim_start_matches(['.', '-', '_']);
        let stack = StackSection {
            name: if name.is_empty() {
                "default".to_owned()
            } else {
                name.to_owned()
            },
            dir: dir.to_owned(),
            workspace: None,
            var_files: Vec::new(),
            depends_on: Vec::new(),
            variables: BTreeMap::new(),
            at: Location {
                file: String::new(),
                line: 1,
                column: 1,
            },
        };
        Project {
            stacks: vec![stack],
            ..Project::default()
        }
    }

    /// The stack of this name.
    pub fn stack(&self, name: &str) -> Option<&StackSection> {
        self.stacks.iter().find(|stack| stack.name == name)
    }

    /// The step that is called so.
    pub fn step(&self, name: &str) -> Option<&StepTable> {
        self.steps.iter().find(|table| table.called() == name)
    }

    /// Indexes into `stacks` in the order of a rollback: dependents before what they depend on,
    /// otherwise as written.
    ///
    /// # Errors
    /// [`ProjectError::UnknownStack`] and [`ProjectError::Cycle`].
    pub fn stack_order(&self) -> Result<Vec<usize>, ProjectError> {
        let mut builds_on: Vec<Vec<usize>> = Vec::new();
        for stack in &self.stacks {
            let mut indexes = Vec::new();
            for name in &stack.depends_on {
                let index = self.stacks.iter().position(|other| other.name == *name);
                indexes.push(index.ok_or_else(|| ProjectError::UnknownStack {
                    at: stack.at.clone(),
                    stack: stack.name.clone(),
                    name: name.clone(),
                    nearest: nearest(name, self.stacks.iter().map(|stack| stack.name.as_str())),
                })?);
            }
            builds_on.push(indexes);
        }
        let mut order = Vec::new();
        let mut left: Vec<usize> = (0..self.stacks.len()).collect();
        while !left.is_empty() {
            let free = |at: &usize| !left.iter().any(|other| builds_on[*other].contains(at));
            match left.iter().copied().find(free) {
                Some(next) => {
                    left.retain(|index| *index != next);
                    order.push(next);
                }
                None => {
                    return Err(ProjectError::Cycle {
                        cycle: self.circle(&left, &builds_on),
                    });
                }
            }
        }
        Ok(order)
    }

    /// The names of one circle among `left`, each of which something in `left` depends on.
    fn circle(&self, left: &[usize], builds_on: &[Vec<usize>]) -> Vec<String> {
        // Going against the arrows never ends, so it comes back to where it was.
        let mut way = vec![left[0]];
        loop {
            let here = way[way.len() - 1];
            let Some(next) = left.iter().copied().find(|other| builds_on[*other].contains(&here)) else {
                break;
            };
            if let Some(start) = way.iter().position(|index| *index == next) {
                way.push(next);
                way.drain(..start);
                break;
            }
            way.push(next);
        }
        way.iter().rev().map(|index| self.stacks[*index].name.clone()).collect()
    }
}

/// Stack names become keys in a store and words in a command line.
fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The known word that looks most like this one, if any looks like it.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.chars().count()) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

mod drill;
mod identity;
mod incident;
mod policy;
mod read;

#[cfg(test)]
mod tests;
