//! Where an expression of a configuration takes its value from.

use std::collections::BTreeSet;

use rollback_config::{Configuration, Expr, Module, Resource};

use super::moving::Object;
use crate::reconcile::Input;

/// Where an expression takes its value from, followed through locals, module inputs and outputs, `each` and `count`.
#[derive(Default)]
pub(super) struct Sources {
    /// Whether something could not be followed.
    pub unfollowed: bool,
    pub data: BTreeSet<Object>,
    pub objects: BTreeSet<Object>,
    pub variables: BTreeSet<String>,
}

impl Sources {
    pub fn of(configuration: &Configuration, module: &[String], resource: &Resource, expression: &Expr) -> Self {
        let mut sources = Sources::default();
        let mut way = Way {
            configuration,
            seen: BTreeSet::new(),
        };
        sources.follow(&mut way, module, resource.repetition_expression.as_ref(), expression);
        sources
    }

    /// The variables among them that were given when the target was applied and are not given so now, in words.
    pub fn missing(&self, input: &Input<'_>) -> String {
        let names: Vec<String> = (self.variables.intersection(input.missing))
            .map(|name| format!("variable `{name}`, which was given then and has another value now"))
            .collect();
        names.join(", ")
    }

    /// `repeats` is what `each` and `count` come from where the expression stands.
    pub fn follow(&mut self, way: &mut Way<'_>, path: &[String], repeats: Option<&Expr>, expression: &Expr) {
        let configuration = way.configuration;
        let module: Option<&Module> = configuration.modules.get(path);
        for reference in &expression.references {
            let mut parts = reference.split(['.', '[']);
            let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            // What stands behind `each` is another thing for each resource and module call.
            if !matches!(first, "each" | "count") && !way.seen.insert((path.to_vec(), reference.clone())) {
                continue;
            }
            match first {
                "var" => match path.split_last() {
                    None => {
                        self.variables.insert(second.to_owned());
                    }
                    Some((call, parent)) => {
                        let call = configuration
                            .modules
                            .get(parent)
                            .and_then(|module| module.calls.get(call));
                        if let Some(call) = call
                            && let Some(given) = call.inputs.get(second)
                        {
                            self.follow(way, parent, call.repetition_expression.as_ref(), given);
                        }
                    }
                },
                "local" => {
                    if let Some(local) = module.and_then(|module| module.locals.get(second)) {
                        self.follow(way, path, None, local);
                    }
                }
                "each" | "count" => {
                    // Its own expression cannot name it: one level, and no further.
                    if let Some(repeats) = repeats {
                        self.follow(way, path, None, repeats);
                    }
                }
                "path" | "terraform" | "self" => {}
                "module" => {
                    let child: Vec<String> = path.iter().cloned().chain([second.to_owned()]).collect();
                    let output = parts.next().unwrap_or_default();
                    match configuration
                        .modules
                        .get(&child)
                        .and_then(|module| module.outputs.get(output))
                    {
                        Some(output) => {
                            if let Some(value) = &output.value {
                                self.follow(way, &child, None, value);
                            }
                        }
                        None => self.unfollowed = true,
                    }
                }
                "data" => {
                    let name = parts.next().unwrap_or_default();
                    self.data.insert((path.to_vec(), second.to_owned(), name.to_owned()));
                }
                kind => {
                    self.objects.insert((path.to_vec(), kind.to_owned(), second.to_owned()));
                }
            }
        }
    }
}

/// A way through a configuration that goes nowhere twice.
pub(super) struct Way<'c> {
    pub configuration: &'c Configuration,
    pub seen: BTreeSet<(Vec<String>, String)>,
}
