//! Values for the target's variables: they travel with the request and are kept by nobody but the service's memory.

use std::collections::BTreeMap;
use std::path::Path;

use rollback_config::parse_variable_file;
use rollback_engine::collect::{in_dir, variable_file_names};
use rollback_engine::context::{Located, Stack};
use rollback_engine::error::{EngineError, Result};
use serde_json::{Value, json};

use crate::arguments::VariableArguments;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// `TF_VAR_…` of this environment.
pub fn of_environment() -> Values {
    let mut values = Values::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_str().and_then(|name| name.strip_prefix("TF_VAR_"));
        if let (Some(name), Ok(value)) = (name, value.into_string()) {
            values.insert(name.to_owned(), value);
        }
    }
    values
}

/// What `--var-file` and `--var` say, the later before the earlier.
///
/// # Errors
/// A file that cannot be read; what is no NAME=VALUE.
pub fn given(arguments: &VariableArguments, folder: &Path) -> Result<Values> {
    let mut values = Values::new();
    for file in &arguments.variable_files {
        values.extend(of_file(&folder.join(file))?);
    }
    for text in &arguments.variables {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| EngineError::usage("--var takes NAME=VALUE").hint("for example --var image_tag=v1.4.2"))?;
        values.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(values)
}

/// The assignments of variable files that Terraform takes here and Git does not have: they hold secrets, and the service
/// writes them to no disk.
///
/// # Errors
/// A file that cannot be read; two stacks that give one name different values.
pub fn untracked(located: &Located, stacks: &[String]) -> Result<Values> {
    let mut values = Values::new();
    let meant = |stack: &&Stack| stacks.is_empty() || stacks.contains(&stack.name);
    for stack in located.stacks.iter().filter(meant) {
        let folder = located.root.join(&stack.dir);
        let names: Vec<String> = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        for name in variable_file_names(stack, &names) {
            let path = in_dir(&stack.dir, &name);
            if located.repository.is_tracked(&path)? || !folder.join(&name).is_file() {
                continue;
            }
            for (variable, value) in of_file(&folder.join(&name))? {
                match values.get(&variable) {
                    Some(other) if *other != value && stacks.len() != 1 && located.stacks.len() > 1 => {
                        return Err(EngineError::usage(format!(
                            "variable {variable} has several values in files that Git does not have"
                        ))
                        .hint("name one stack at a time: --stack NAME"));
                    }
                    _ => values.insert(variable, value),
                };
            }
        }
    }
    Ok(values)
}

/// The assignments of a file, as `TF_VAR_name` takes them: strings as they are, the rest in JSON, which HCL reads.
///
/// # Errors
/// It cannot be read.
pub fn of_file(path: &Path) -> Result<Values> {
    let bytes = std::fs::read(path)
        .map_err(|error| EngineError::usage(format!("the variable file {} cannot be read: {error}", path.display())))?;
    let assigned = parse_variable_file(&path.to_string_lossy(), &bytes).map_err(EngineError::usage)?;
    Ok(assigned
        .into_iter()
        .map(|(name, value)| {
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            (name, text)
        })
        .collect())
}

/// Puts values into a request. With a number that nobody knows beside them, its digest on the audit log tells nothing
/// of a value that could be guessed.
///
/// # Errors
/// The machine has no random numbers.
pub fn put(body: &mut Value, values: Values) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)
        .map_err(|error| EngineError::failed(format!("there are no random numbers: {error}")))?;
    body["variables"] = json!(values);
    body["nonce"] = json!(nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    Ok(())
}
