//! Which steps a rollback is about, and which databases it restores: what a person says beside the revision, on the command
//! line or to the service.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_config::project::StepTable;
use rollback_runbook::step::{Binding, StepError};
use serde::{Deserialize, Serialize};

use super::prepare::is_database;
use super::step_error;
use crate::context::Context;
use crate::error::{EngineError, Result};

/// Something that a step can go to beside what releases have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// An image's digest, a snapshot's id.
    pub name: String,
    pub when: Option<Timestamp>,
    pub about: String,
}

/// What there is to choose from: only what speaks to the cloud can tell.
pub trait Choices: Send + Sync {
    /// What a step can go to, the newest first; nothing where its kind leaves no choice.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn list(&self, table: &StepTable) -> Result<Vec<Choice>, StepError>;

    /// Where a database goes that is restored: from what was named, or from its newest snapshot. `id` tells this restore from
    /// every other one.
    ///
    /// # Errors
    /// There is no such snapshot, or no such moment.
    fn database(&self, table: &StepTable, asked: Option<&str>, id: &str) -> Result<Binding, StepError>;
}

/// Nothing can be chosen: for a context that speaks to no cloud.
pub struct NoChoices;

impl Choices for NoChoices {
    fn list(&self, _: &StepTable) -> Result<Vec<Choice>, StepError> {
        Ok(Vec::new())
    }

    fn database(&self, table: &StepTable, _: Option<&str>, _: &str) -> Result<Binding, StepError> {
        Err(StepError::untouched(format!(
            "a step of kind {} restores no database",
            table.kind
        )))
    }
}

/// That nothing is called so.
pub fn unknown(name: &str) -> EngineError {
    EngineError::usage(format!("there is no step {name}")).hint("`infra-rollback steps` lists them")
}

/// A step with what it can go to; `None` where there is no step of that name, for which there are the words of [`unknown`].
///
/// # Errors
/// It cannot be looked at.
pub fn choices<'c>(context: &'c Context, name: &str) -> Result<Option<(&'c StepTable, Vec<Choice>)>> {
    let Some(table) = context.settings.step(name) else {
        return Ok(None);
    };
    let found = context.choices.list(table).map_err(|error| step_error(name, error))?;
    Ok(Some((table, found)))
}

/// Whether the steps that the person does not want are there.
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

/// What a rollback is about. Who names steps, stacks or objects means those and nothing beside them.
pub struct About<'a> {
    /// Only these steps, and no stack unless some were named.
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
/// As [`check_names`]; nothing is left.
pub fn choose(context: &mut Context, about: &About<'_>) -> Result<()> {
    check_names(context, about.only)?;
    check_names(context, about.skipped)?;
    if !about.only.is_empty() {
        context.parts.retain(|part| about.only.contains(&part.name));
        if !about.some_stacks {
            context.keep_steps_alone();
        }
    } else if about.some_stacks || about.some_objects {
        context.parts.clear();
    }
    context.parts.retain(|part| !about.skipped.contains(&part.name));
    if context.parts.is_empty() && context.stacks.is_empty() {
        return Err(EngineError::usage(
            "there is nothing left to do: what --step names, --skip-step leaves out",
        ));
    }
    Ok(())
}

/// Where the databases go that are to be restored, by the name of their step. Each is `NAME`, `NAME=SNAPSHOT` or
/// `NAME=TIME`.
///
/// # Errors
/// There is no database of that name, no such snapshot, or no such moment.
pub fn databases(context: &Context, asked: &[String], id: &str) -> Result<BTreeMap<String, Binding>> {
    let mut targets = BTreeMap::new();
    for text in asked {
        let (name, asked) = match text.split_once('=') {
            Some((name, asked)) => (name, Some(asked)),
            None => (text.as_str(), None),
        };
        let there = context
            .parts
            .iter()
            .any(|part| part.name == name && is_database(&part.kind));
        let Some(table) = context.settings.step(name).filter(|_| there) else {
            return Err(
                EngineError::usage(format!("there is no step {name} that restores a database"))
                    .hint("a [[step]] of kind rds-restore or rds-pitr says which database, and who uses it"),
            );
        };
        let target = context.choices.database(table, asked, id);
        targets.insert(name.to_owned(), target.map_err(|error| step_error(name, error))?);
    }
    Ok(targets)
}

/// Sends steps where somebody asked for them to go, whatever releases say.
pub fn send(context: &mut Context, targets: &BTreeMap<String, Binding>) {
    for part in &mut context.parts {
        if let Some(target) = targets.get(&part.name) {
            part.asked = Some(target.clone());
        }
    }
}
