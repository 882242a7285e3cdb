//! From the settings' `[[step]]` tables to what a run can do.

use std::path::Path;

use rollback_config::project::{Project, STEP_KINDS, StepTable, nearest};
use rollback_engine::context::Stack;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::steps::{Choice, Choices, check_order};
use rollback_runbook::Part;
use rollback_runbook::step::{Binding, StepError};
use rollback_runtime_aws::{Account, database_target, images, snapshots};

/// Every configured step. `folder` is that of infra-rollback.toml.
///
/// # Errors
/// A kind that is not known, settings that a kind cannot use, parts without an order.
pub fn parts(settings: &Project, folder: &Path, stacks: &[Stack]) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    // One for all, so that they share connections and credentials. Nothing is asked of AWS yet.
    let account = Account::default();
    for table in &settings.steps {
        let made = rollback_runbook::steps::step(table, folder).or_else(|| rollback_runtime_aws::step(table, &account));
        let Some(made) = made else {
            let error = EngineError::usage(format!("{}: there is no step of kind `{}`", table.at, table.kind));
            return Err(match nearest(&table.kind, STEP_KINDS.iter().copied()) {
                Some(kind) => error.hint(format!("did you mean `{kind}`?")),
                None => error.hint(format!("the kinds are: {}", STEP_KINDS.join(", "))),
            });
        };
        let (common, step) = made?;
        parts.push(Part::new(&table.kind, common, step));
    }
    // What waits for a stack that was not chosen is no mistake.
    let named = |part: &Part| part.after.iter().flatten().any(|name| settings.stack(name).is_some());
    if stacks.len() == settings.stacks.len().max(1) || !parts.iter().any(named) {
        check_order(&parts, stacks)?;
    }
    Ok(parts)
}

/// What AWS has to choose from.
pub struct CloudChoices;

impl Choices for CloudChoices {
    fn list(&self, table: &StepTable) -> Result<Vec<Choice>, StepError> {
        let account = Account::default();
        match table.kind.as_str() {
            "ecs-image" => Ok(images(table, &account)?
                .into_iter()
                .map(|image| Choice {
                    name: image.digest,
                    when: image.pushed,
                    about: image.tags.join(", "),
                })
                .collect()),
            "rds-restore" | "rds-pitr" => Ok(snapshots(table, &account)?
                .into_iter()
                .map(|snapshot| Choice {
                    about: format!(
                        "{} {} of {}, {} GiB",
                        snapshot.kind, snapshot.status, snapshot.instance, snapshot.size
                    ),
                    name: snapshot.id,
                    when: snapshot.created,
                })
                .collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn database(&self, table: &StepTable, asked: Option<&str>, id: &str) -> Result<Binding, StepError> {
        database_target(table, &Account::default(), asked, id)
    }
}
