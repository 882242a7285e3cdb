//! `steps`: what runs beside Terraform, where it is now, and what it can go to.

use rollback_config::project::StepTable;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::steps::{look, step_error};
use rollback_runbook::step::StepError;
use rollback_runtime_aws::{Account, images, snapshots};
use serde_json::{Value, json};

use crate::arguments::{Global, StepsArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Lists the steps, or what one of them can go to.
pub fn run(global: &Global, arguments: &StepsArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    if let Some(name) = &arguments.step {
        let table = context.settings.step(name).ok_or_else(|| {
            EngineError::usage(format!("there is no step {name}")).hint("`infra-rollback steps` lists them")
        })?;
        let choices = choices(table).map_err(|error| step_error(name, error))?;
        for choice in &choices {
            output.line(&format!(
                "{}  {}  {}",
                choice["when"].as_str().unwrap_or("(no time)"),
                choice["name"].as_str().unwrap_or_default(),
                choice["about"].as_str().unwrap_or_default()
            ));
        }
        if choices.is_empty() {
            output.line(&format!(
                "There is nothing to choose from for step {name} ({}).",
                table.kind
            ));
        }
        output.document(&json!({ "step": name, "kind": table.kind, "choices": choices }));
        return Ok(());
    }
    if context.parts.is_empty() {
        output.line("infra-rollback.toml has no [[step]]: a rollback is about Terraform alone.");
    }
    let mut documents = Vec::new();
    for (part, found) in context.parts.iter().zip(look(&context.parts)) {
        let (tone, words, error) = match found {
            Ok(_) => (Tone::Good, "can be seen".to_owned(), None),
            Err(error) => {
                let why = context.secrets.scrub(&error.message);
                (Tone::Danger, format!("cannot be seen: {why}"), Some(why))
            }
        };
        output.toned(tone, &format!("{} ({}): {words}", part.name, part.kind));
        documents.push(json!({ "name": part.name, "kind": part.kind, "after": part.after, "error": error }));
    }
    output.document(&json!({ "steps": documents }));
    Ok(())
}

/// What a step can go to beside what releases have, newest first.
fn choices(table: &StepTable) -> Result<Vec<Value>, StepError> {
    let account = Account::default();
    match table.kind.as_str() {
        "ecs-image" => Ok(images(table, &account)?
            .into_iter()
            .map(|image| json!({ "name": image.digest, "when": image.pushed, "about": image.tags.join(", ") }))
            .collect()),
        "rds-restore" | "rds-pitr" => Ok(snapshots(table, &account)?
            .into_iter()
            .map(|snapshot| {
                let about = format!(
                    "{} {} of {}, {} GiB",
                    snapshot.kind, snapshot.status, snapshot.instance, snapshot.size
                );
                json!({ "name": snapshot.id, "when": snapshot.created, "about": about })
            })
            .collect()),
        _ => Ok(Vec::new()),
    }
}
