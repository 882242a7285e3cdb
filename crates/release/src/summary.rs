//! What a list of releases shows: a release without the names of its files and without values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    BackendRecord, Import, Release, ReleaseId, ReleaseKind, StackRecord, StateRecord, ToolRecord, VariableOrigin,
};

/// A release in short. The same release always has the same summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub id: ReleaseId,
    pub commit: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub note: Option<String>,
    pub kind: ReleaseKind,
    pub created_at: Timestamp,
    pub actor: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub dirty: Vec<String>,
    pub stacks: Vec<StackSummary>,
}

/// A stack's part of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackSummary {
    pub name: String,
    pub dir: String,
    #[serde(default)]
    pub commit: Option<String>,
    pub workspace: String,
    pub backend: BackendRecord,
    #[serde(default)]
    pub state: Option<StateRecord>,
    /// How many files of configuration there are.
    pub configuration_files: usize,
    /// How many files of downloaded modules there are.
    pub module_files: usize,
    pub terraform: ToolRecord,
    #[serde(default)]
    pub providers: BTreeMap<String, String>,
    #[serde(default)]
    pub variables: Vec<VariableSummary>,
    #[serde(default)]
    pub variable_files: Vec<VariableFileSummary>,
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// A variable without its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariableSummary {
    pub name: String,
    pub origin: VariableOrigin,
    pub sensitive: bool,
    /// Whether the release has its value.
    pub kept: bool,
}

/// A variable file without its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariableFileSummary {
    pub path: String,
    pub tracked: bool,
    pub left_out: Vec<String>,
}

impl Summary {
    pub fn of(release: &Release) -> Summary {
        Summary {
            id: release.id.clone(),
            commit: release.commit.clone(),
            name: release.name.clone(),
            note: release.note.clone(),
            kind: release.kind.clone(),
            created_at: release.created_at,
            actor: release.actor.clone(),
            reason: release.reason.clone(),
            dirty: release.dirty.clone(),
            stacks: release.stacks.iter().map(StackSummary::of).collect(),
        }
    }
    /// Where it was taken in from, and how its commit was found; `None` where a deploy or a run made it.
    pub fn import(&self) -> Option<&Import> {
        match &self.kind {
            ReleaseKind::Imported(import) => Some(import),
            _ => None,
        }
    }
    pub fn stack(&self, name: &str) -> Option<&StackSummary> {
        self.stacks.iter().find(|stack| stack.name == name)
    }
}

impl StackSummary {
    fn of(stack: &StackRecord) -> StackSummary {
        StackSummary {
            name: stack.name.clone(),
            dir: stack.dir.clone(),
            commit: stack.commit.clone(),
            workspace: stack.workspace.clone(),
            backend: stack.backend.clone(),
            state: stack.state.clone(),
            configuration_files: stack.configuration.len(),
            module_files: stack.modules.as_ref().map_or(0, |modules| modules.files.len()),
            terraform: stack.terraform.clone(),
            providers: stack.providers.clone(),
            variables: (stack.variables.iter())
                .map(|variable| VariableSummary {
                    name: variable.name.clone(),
                    origin: variable.origin,
                    sensitive: variable.sensitive,
                    kept: variable.value.is_some(),
                })
                .collect(),
            variable_files: (stack.variable_files.iter())
                .map(|file| VariableFileSummary {
                    path: file.path.clone(),
                    tracked: file.tracked,
                    left_out: file.left_out.clone(),
                })
                .collect(),
            depends_on: stack.depends_on.clone(),
        }
    }
}
