//! The values that the root variables of a configuration were given, as far as anything tells: by files of assignments,
//! which a release keeps and Git has; by the environment and the command line, of which a release keeps fingerprints.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use rollback_config::{Configuration, FileTree};
use rollback_release::{Fingerprint, Salt, StackRecord, VariableOrigin};
use serde_json::{Map, Value};

use crate::collect::{in_dir, is_taken_by_itself, variable_file_names};
use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};

/// What files assign.
fn by_files(
    context: &Context,
    stack: &Stack,
    tree: Option<&dyn FileTree>,
    dir: &str,
    record: Option<&StackRecord>,
) -> Map<String, Value> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    match record {
        Some(record) => {
            for file in &record.variable_files {
                if let Some(bytes) = file.blob.and_then(|blob| context.store.get_blob(&blob).ok()) {
                    files.push((file.path.clone(), bytes));
                }
            }
        }
        None => {
            let entries = tree.and_then(|tree| tree.list(dir).ok()).unwrap_or_default();
            let names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
            for name in variable_file_names(stack, &names) {
                if let Some(bytes) = tree.and_then(|tree| tree.read(&in_dir(dir, &name)).ok().flatten()) {
                    files.push((name, bytes));
                }
            }
        }
    }
    files.sort_by_key(|(name, _)| precedence(name));
    let mut assigned = Map::new();
    for (name, bytes) in files {
        assigned.extend(rollback_config::parse_variable_file(&name, &bytes).unwrap_or_default());
    }
    assigned
}

/// The later one wins (Terraform's documentation, "Variable definition precedence"). Files that are named on the command
/// line keep their order.
fn precedence(name: &str) -> (u8, String) {
    match name {
        "terraform.tfvars" => (0, String::new()),
        "terraform.tfvars.json" => (1, String::new()),
        name if is_taken_by_itself(name) => (2, name.to_owned()),
        _ => (3, String::new()),
    }
}

/// What is known of a variable's value.
pub(crate) enum Known {
    Value(String),
    /// It was given by the environment or the command line.
    Given(Fingerprint),
    /// It had its default, or nothing tells.
    Default,
}

/// The values that the root variables of one end have, as `TF_VAR_name` takes them.
pub struct Values<'c> {
    context: &'c Context,
    stack: &'c Stack,
    files: Map<String, Value>,
    /// By the environment or the command line.
    outside: BTreeMap<String, (VariableOrigin, Fingerprint)>,
    /// Read once it is needed: most releases were given nothing from outside.
    salt: OnceCell<Option<Salt>>,
    /// Whether a release tells what was given from outside; else what is given now is the best that is known.
    has_record: bool,
}

impl<'c> Values<'c> {
    pub(crate) fn new(
        context: &'c Context,
        stack: &'c Stack,
        tree: Option<&dyn FileTree>,
        dir: &str,
        record: Option<&StackRecord>,
    ) -> Values<'c> {
        let outside = record.iter().flat_map(|record| &record.variables);
        Values {
            context,
            stack,
            files: by_files(context, stack, tree, dir, record),
            outside: outside
                .filter(|variable| variable.origin != VariableOrigin::File)
                .map(|variable| (variable.name.clone(), (variable.origin, variable.fingerprint.clone())))
                .collect(),
            has_record: record.is_some(),
            salt: OnceCell::new(),
        }
    }

    pub(crate) fn known(&self, name: &str) -> Known {
        let by_file = self.files.get(name).map(text);
        match self.outside.get(name) {
            Some((VariableOrigin::CommandLine, fingerprint)) => Known::Given(fingerprint.clone()),
            Some((_, fingerprint)) if by_file.is_none() => Known::Given(fingerprint.clone()),
            _ => {
                let now = || self.given_now(name).filter(|_| !self.has_record);
                let value = by_file.or_else(|| last(&self.stack.variables, name)).or_else(now);
                value.map_or(Known::Default, Known::Value)
            }
        }
    }

    /// The fingerprint that a value of a variable has in releases.
    pub(crate) fn fingerprint(&self, name: &str, value: &str) -> Option<Fingerprint> {
        let context = self.context;
        let salt = self
            .salt
            .get_or_init(|| Salt::of_project(context.store.as_ref(), &context.project).ok());
        Some(salt.as_ref()?.fingerprint(name, &Value::from(value)))
    }

    /// What is known of a value, comparable with any other end's.
    pub(crate) fn shown(&self, name: &str, fingerprint: &Fingerprint) -> String {
        self.given_again(name, fingerprint)
            .unwrap_or_else(|| format!("{fingerprint:?}"))
    }

    /// None where it had its default.
    ///
    /// # Errors
    /// It was given from outside, and what is given now is nothing or another value.
    pub(crate) fn value(&self, name: &str) -> Result<Option<String>> {
        match self.known(name) {
            Known::Value(value) => Ok(Some(value)),
            Known::Given(fingerprint) => {
                let value = self.given_again(name, &fingerprint).ok_or_else(|| {
                    EngineError::failed(format!(
                        "a provider configuration of what is deployed needs the variable {name} as it was given when that \
                         was applied, from the environment or the command line"
                    ))
                    .hint(format!("give it again: --var {name}=VALUE"))
                })?;
                Ok(Some(value))
            }
            Known::Default => Ok(None),
        }
    }

    /// Variables that the environment or the command line gave, and that have another value now.
    pub(crate) fn missing(&self, configuration: &Configuration) -> BTreeSet<String> {
        let declared = configuration.root().map(|root| &root.variables);
        let mut now = self.files.clone();
        for path in &self.context.given.files {
            if let Ok(bytes) = std::fs::read(path) {
                let name = path.to_string_lossy();
                now.extend(rollback_config::parse_variable_file(&name, &bytes).unwrap_or_default());
            }
        }
        self.outside
            .iter()
            .filter(|(name, (_, then))| {
                let Some(variable) = declared.and_then(|declared| declared.get(*name)) else {
                    return false;
                };
                let default = || {
                    variable
                        .default
                        .as_ref()
                        .and_then(|default| default.literal.as_ref())
                        .map(text)
                };
                let value = last(&self.context.given.variables, name)
                    .or_else(|| now.get(*name).map(text))
                    .or_else(|| last(&self.stack.variables, name))
                    .or_else(|| std::env::var(format!("TF_VAR_{name}")).ok())
                    .or_else(default);
                value.and_then(|value| self.fingerprint(name, &value)).as_ref() != Some(then)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn given_now(&self, name: &str) -> Option<String> {
        last(&self.context.given.variables, name).or_else(|| std::env::var(format!("TF_VAR_{name}")).ok())
    }

    /// What is given now, where it is what was given then.
    fn given_again(&self, name: &str, then: &Fingerprint) -> Option<String> {
        let now = self.given_now(name);
        now.filter(|value| self.fingerprint(name, value).as_ref() == Some(then))
    }
}

/// Of several values for one name the last counts.
fn last(variables: &[(String, String)], name: &str) -> Option<String> {
    let mut variables = variables.iter().rev();
    variables
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.clone())
}

/// Strings as they are, the rest in JSON, which HCL reads.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
