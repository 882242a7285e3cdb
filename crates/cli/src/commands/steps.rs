//! `steps`: what runs beside Terraform, where it is now, and what it can go to.

use rollback_engine::error::Result;
use rollback_engine::steps::{choices, seen, unknown};
use serde_json::{Value, json};

use crate::arguments::{Global, StepsArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Lists the steps, or what one of them can go to.
pub fn run(global: &Global, arguments: &StepsArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let document = match &arguments.step {
        Some(name) => {
            let (table, choices) = choices(&context, name)?.ok_or_else(|| unknown(name))?;
            json!({ "step": name, "kind": table.kind, "choices": choices })
        }
        None => json!({ "steps": seen(&context) }),
    };
    print(output, &document);
    output.document(&document);
    Ok(())
}

/// The document of either, for people.
pub fn print(output: &Output, document: &Value) {
    match document["choices"].as_array() {
        Some(choices) => print_choices(output, document, choices),
        None => print_steps(
            output,
            document["steps"].as_array().map(Vec::as_slice).unwrap_or_default(),
        ),
    }
}

fn print_choices(output: &Output, document: &Value, choices: &[Value]) {
    for choice in choices {
        output.line(&format!(
            "{}  {}  {}",
            choice["when"].as_str().unwrap_or("(no time)"),
            choice["name"].as_str().unwrap_or_default(),
            choice["about"].as_str().unwrap_or_default()
        ));
    }
    if choices.is_empty() {
        output.line(&format!(
            "There is nothing to choose from for step {} ({}).",
            document["step"].as_str().unwrap_or_default(),
            document["kind"].as_str().unwrap_or_default()
        ));
    }
}

fn print_steps(output: &Output, steps: &[Value]) {
    if steps.is_empty() {
        output.line("infra-rollback.toml has no [[step]]: a rollback is about Terraform alone.");
    }
    for step in steps {
        let (tone, words) = match step["error"].as_str() {
            None => (Tone::Good, "can be seen".to_owned()),
            Some(why) => (Tone::Danger, format!("cannot be seen: {why}")),
        };
        let text = |name: &str| step[name].as_str().unwrap_or_default();
        output.toned(tone, &format!("{} ({}): {words}", text("name"), text("kind")));
    }
}
