//! What the table of a migration says.

use std::path::PathBuf;

use regex::Regex;
use rollback_config::project::StepTable;
use serde::Deserialize;

use crate::settings::SettingsError;
use crate::step::Reversibility;

/// The settings of `migration`, wherever its commands run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationSettings {
    /// Lists the migrations.
    pub(super) show: String,
    /// Reverts the last one; with `at_once` as many as `$ROLLBACK_COUNT` says.
    pub(super) revert: String,
    /// Applies what is not applied yet: the way forward, for `undo`.
    pub(super) apply: Option<String>,
    /// A regular expression for a line of an applied migration; its group `name`, or else its first group, is the name.
    applied: Option<String>,
    #[serde(default)]
    pub(super) at_once: bool,
    pub(super) dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) environment: Vec<String>,
    #[serde(default = "data_loss")]
    pub(super) reversibility: Reversibility,
    /// Where the commands run, where that is not here.
    pub(super) task: Option<TaskSettings>,
}

/// A reverted migration drops columns and tables with what was written into them.
fn data_loss() -> Reversibility {
    Reversibility::DataLoss
}

/// `task = { cluster = "production", service = "backend" }`: the commands run as one-off tasks of ECS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    pub cluster: String,
    /// A service whose task definition, network, launch type and capacity providers are used where nothing else is said.
    pub service: Option<String>,
    /// A family, whose newest revision is used, or `family:revision`.
    pub task_definition: Option<String>,
    /// In which of its containers. By default the only one.
    pub container: Option<String>,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
    pub assign_public_ip: Option<bool>,
    /// `FARGATE`, `EC2`, `EXTERNAL`
    pub launch_type: Option<String>,
    pub capacity_provider: Option<String>,
    /// What the container is told before a line. ECS can give a container other arguments, and no other entry point.
    #[serde(default = "shell")]
    pub shell: Vec<String>,
}

fn shell() -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned()]
}

impl MigrationSettings {
    /// Where the commands run as tasks.
    pub fn task(&self) -> Option<&TaskSettings> {
        self.task.as_ref()
    }

    /// The expression of a line of an applied migration.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn pattern(&self, table: &StepTable) -> Result<Option<Regex>, SettingsError> {
        let pattern = |text: &String| {
            Regex::new(text).map_err(|error| {
                SettingsError::of("step", table, format!("`applied` is no regular expression: {error}"))
                    .hint(r"for example applied = '^\[X\] (?P<name>\S+)'")
            })
        };
        self.applied.as_ref().map(pattern).transpose()
    }
}
