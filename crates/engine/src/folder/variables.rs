//! The values of a folder's variables: files that the release kept, and what is given now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Recipe, private_folder, write};
use crate::context::Context;
use crate::error::{EngineError, Result};

/// The values that were given for this run.
const GIVEN_FILE: &str = "infra-rollback.given.tfvars";

/// Files of assignments that Git does not have: as the release kept them.
pub(super) fn variable_files(context: &Context, recipe: &Recipe<'_>, root: &Path) -> Result<()> {
    let Some(record) = recipe.record else {
        // Without a release the files that lie there now are the best that is known.
        let here = context.root.join(&recipe.stack.dir);
        let names: Vec<String> = std::fs::read_dir(&here)
            .map(|entries| {
                entries
                    .filter_map(std::result::Result::ok)
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect()
            })
            .unwrap_or_default();
        for name in crate::collect::variable_file_names(recipe.stack, &names) {
            if !root.join(&name).exists()
                && let Ok(bytes) = std::fs::read(here.join(&name))
                && !context
                    .repository
                    .is_tracked(&crate::collect::in_dir(&recipe.stack.dir, &name))?
            {
                write(&root.join(&name), &bytes)?;
            }
        }
        return Ok(());
    };
    for file in record.variable_files.iter().filter(|file| !file.tracked) {
        rollback_release::check_relative_path(&file.path)
            .map_err(|reason| EngineError::failed(format!("variable file {:?} {reason}", file.path)))?;
        if let Some(blob) = file.blob {
            let path = root.join(&file.path);
            if let Some(parent) = path.parent() {
                private_folder(parent)?;
            }
            write(&path, &context.store.get_blob(&blob)?)?;
        }
    }
    Ok(())
}

/// `-var-file`s: those that the release was made with; without a release those of today that the target has.
pub(super) fn named_var_files(recipe: &Recipe<'_>, root: &Path) -> Vec<PathBuf> {
    let names: Vec<String> = match recipe.record {
        Some(record) => record.variable_files.iter().map(|file| file.path.clone()).collect(),
        None => recipe.stack.var_files.clone(),
    };
    names
        .into_iter()
        .filter(|name| !crate::collect::is_taken_by_itself(name) && root.join(name).exists())
        .map(PathBuf::from)
        .collect()
}

/// What is given now wins over every file, as `-var` does with Terraform; but nobody sees a file's values in a list of
/// processes.
pub(super) fn given_values(context: &Context, recipe: &Recipe<'_>, root: &Path) -> Result<Option<PathBuf>> {
    let declared = recipe.configuration.root().map(|module| &module.variables);
    // The last word about a variable counts, as with `-var`; a file may have one only.
    let given: BTreeMap<&String, &String> = context
        .given
        .variables
        .iter()
        .map(|(name, value)| (name, value))
        .collect();
    let mut text = String::new();
    for (name, value) in given {
        let Some(variable) = declared.and_then(|declared| declared.get(name)) else {
            continue;
        };
        text.push_str(&rollback_config::assignment(name, &variable.kind, value));
    }
    if text.is_empty() {
        return Ok(None);
    }
    write(&root.join(GIVEN_FILE), text.as_bytes())?;
    Ok(Some(PathBuf::from(GIVEN_FILE)))
}

/// Sensitive values that the release left out of a variable file, taken from that file as it lies there today; whether
/// they are those of then the comparison with the target's state tells.
pub(super) fn left_out(context: &Context, recipe: &Recipe<'_>) -> Vec<(String, String)> {
    let Some(record) = recipe.record else { return Vec::new() };
    let mut values = Vec::new();
    for file in record.variable_files.iter().filter(|file| !file.left_out.is_empty()) {
        let Ok(bytes) = std::fs::read(context.root.join(&recipe.stack.dir).join(&file.path)) else {
            continue;
        };
        let Ok(assignments) = rollback_config::parse_variable_file(&file.path, &bytes) else {
            continue;
        };
        for name in &file.left_out {
            if let Some(value) = assignments.get(name) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                values.push((name.clone(), text));
            }
        }
    }
    values
}
