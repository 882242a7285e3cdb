//! What must never be shown, shared by everything that speaks: the terminal, the journal, errors.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rollback_config::Configuration;
use rollback_inverse::redact::Redactor;
use rollback_release::StackRecord;

use crate::context::Context;
use crate::error::EngineError;

/// The redactors known so far.
#[derive(Default)]
pub struct Secrets(Mutex<Vec<Arc<Redactor>>>);

impl Secrets {
    /// From now on nothing that this redactor knows passes [`Secrets::scrub`].
    pub fn hide(&self, redactor: Arc<Redactor>) {
        if let Ok(mut known) = self.0.lock() {
            known.push(redactor);
        }
    }

    /// The text without any secret known so far.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Ok(known) = self.0.lock() {
            for redactor in known.iter() {
                text = redactor.scrub_text(&text);
            }
        }
        text
    }

    /// The error without any secret known so far.
    pub fn scrub_error(&self, mut error: EngineError) -> EngineError {
        error.message = self.scrub(&error.message);
        error.hints = error.hints.iter().map(|hint| self.scrub(hint)).collect();
        for denial in &mut error.denials {
            denial.message = self.scrub(&denial.message);
        }
        error
    }
}

/// Strings that must never show: values of sensitive variables, given, assigned in files or written as defaults.
pub fn of_variables(
    context: &Context,
    configurations: &[&Configuration],
    records: &[Option<&StackRecord>],
) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut names = BTreeSet::new();
    for configuration in configurations {
        for module in configuration.modules.values() {
            for variable in module.variables.values().filter(|variable| variable.sensitive) {
                names.insert(variable.name.clone());
                if let Some(value) = variable.default.as_ref().and_then(|default| default.literal.as_ref()) {
                    strings_of(value, &mut found);
                }
            }
        }
    }
    let mut texts: Vec<String> = names
        .iter()
        .filter_map(|name| std::env::var(format!("TF_VAR_{name}")).ok())
        .collect();
    let given = context.given.variables.iter();
    texts.extend(
        given
            .filter(|(name, _)| names.contains(name))
            .map(|(_, value)| value.clone()),
    );
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for record in records.iter().flatten() {
        for file in &record.variable_files {
            let bytes = file.blob.and_then(|blob| context.store.get_blob(&blob).ok());
            files.extend(bytes.map(|bytes| (file.path.clone(), bytes)));
        }
    }
    for stack in &context.stacks {
        texts.extend(
            stack
                .variables
                .iter()
                .filter(|(name, _)| names.contains(name))
                .map(|(_, value)| value.clone()),
        );
        let folder = context.root.join(&stack.dir);
        let here: Vec<String> = std::fs::read_dir(&folder)
            .map(|entries| {
                entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect()
            })
            .unwrap_or_default();
        for name in crate::collect::variable_file_names(stack, &here) {
            files.extend(std::fs::read(folder.join(&name)).ok().map(|bytes| (name, bytes)));
        }
    }
    for path in &context.given.files {
        files.extend(
            std::fs::read(path)
                .ok()
                .map(|bytes| (path.to_string_lossy().into_owned(), bytes)),
        );
    }
    for (name, bytes) in files {
        if let Ok(values) = rollback_config::parse_variable_file(&name, &bytes) {
            for (_, value) in values.iter().filter(|(name, _)| names.contains(*name)) {
                strings_of(value, &mut found);
            }
        }
    }
    for text in texts {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            strings_of(&value, &mut found);
        }
        found.insert(text);
    }
    found.into_iter().filter(|text| text.len() >= 4).collect()
}

fn strings_of(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => {
            found.insert(text.clone());
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings_of(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| strings_of(item, found)),
        _ => {}
    }
}
