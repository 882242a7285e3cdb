//! The kinds of steps that need nothing but the user's own commands.

mod command;
mod migration;

use std::path::Path;

use rollback_config::project::StepTable;

pub use command::CommandStep;
pub use migration::{MigrationSettings, MigrationStep, TaskSettings};

use crate::settings::Made;
use crate::step::Step;

/// The step that a table describes; `None` for a kind that is not one of these. `root` is the folder of
/// infra-rollback.toml. A migration that runs as a task (`task = …`) is not one of these.
pub fn step(table: &StepTable, root: &Path) -> Option<Made<dyn Step>> {
    match table.kind.as_str() {
        "command" => Some(command::of_table(table, root)),
        // What speaks to AWS makes those that run as tasks.
        "migration" if !table.table.contains_key("task") => Some(migration::of_table(table, root)),
        _ => None,
    }
}

/// The step that a text of infra-rollback.toml describes.
#[cfg(test)]
fn step_of_text(text: &str, root: &Path) -> Box<dyn Step> {
    let project = rollback_config::project::parse(text, "infra-rollback.toml").unwrap();
    step(&project.steps[0], root).unwrap().unwrap().1
}
