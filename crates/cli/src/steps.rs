//! From the settings' `[[step]]` tables to what a run can do.

use std::path::Path;

use rollback_config::project::{Project, STEP_KINDS, nearest};
use rollback_engine::context::{Context, Stack};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::steps::{check_order, step_error};
use rollback_runbook::Part;
use rollback_runtime_aws::{Account, database_target};
use uuid::Uuid;

use crate::arguments::DatabaseArguments;

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

/// Whether the named steps are there.
///
/// # Errors
/// There is no step of that name.
pub fn check_names(context: &Context, names: &[String]) -> Result<()> {
    for name in names {
        if !context.parts.iter().any(|part| part.name == *name) {
            let known: Vec<&str> = context.parts.iter().map(|part| part.name.as_str()).collect();
            return Err(
                EngineError::usage(format!("there is no step {name}")).hint(match known.as_slice() {
                    [] => "infra-rollback.toml has no [[step]]".to_owned(),
                    known => format!("the steps are: {}", known.join(", ")),
                }),
            );
        }
    }
    Ok(())
}

/// What a rollback is about, by the words of the command line. Who names steps, stacks or objects means those and nothing
/// beside them.
pub struct Choice<'a> {
    pub only: &'a [String],
    pub skipped: &'a [String],
    /// Whether stacks were named; the context has these alone.
    pub some_stacks: bool,
    /// Whether objects were named.
    pub some_objects: bool,
}

/// Leaves in the context what a rollback is about.
///
/// # Errors
/// As [`check_names`].
pub fn choose(context: &mut Context, choice: &Choice<'_>) -> Result<()> {
    check_names(context, choice.only)?;
    check_names(context, choice.skipped)?;
    if !choice.only.is_empty() {
        context.parts.retain(|part| choice.only.contains(&part.name));
        if !choice.some_stacks {
            context.stacks.clear();
        }
    } else if choice.some_stacks || choice.some_objects {
        context.parts.clear();
    }
    context.parts.retain(|part| !choice.skipped.contains(&part.name));
    if context.parts.is_empty() && context.stacks.is_empty() {
        return Err(EngineError::usage(
            "there is nothing left to do: what --step names, --skip-step leaves out",
        ));
    }
    Ok(())
}

/// Has databases restored: gives the run's id, by which this restore is told from every other one. None where no database
/// is to be restored.
///
/// # Errors
/// There is no database of that name, no such snapshot, or no such moment.
pub fn restore_databases(context: &mut Context, arguments: &DatabaseArguments) -> Result<Option<String>> {
    let id = Uuid::now_v7().to_string();
    for text in &arguments.restore_database {
        let (name, asked) = match text.split_once('=') {
            Some((name, asked)) => (name, Some(asked)),
            None => (text.as_str(), None),
        };
        let is_database = |kind: &str| kind.starts_with("rds-");
        let part = context
            .parts
            .iter_mut()
            .find(|part| part.name == name && is_database(&part.kind));
        let table = context.settings.step(name);
        let (Some(part), Some(table)) = (part, table) else {
            return Err(
                EngineError::usage(format!("there is no step {name} that restores a database"))
                    .hint("a [[step]] of kind rds-restore or rds-pitr says which database, and who uses it"),
            );
        };
        let target = database_target(table, &Account::default(), asked, &id);
        part.asked = Some(target.map_err(|error| step_error(name, error))?);
    }
    Ok((!arguments.restore_database.is_empty()).then_some(id))
}
