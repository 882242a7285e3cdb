//! What the target's configuration would bring, held against what the target's state had. A value that differs and
//! that no object or data source explains was given in a way that the release does not hold (`-var`, an environment
//! variable, uncommitted files): applying it silently would not be a rollback.

mod equality;
mod moving;
mod sources;

use std::cell::LazyCell;
use std::collections::BTreeSet;

use rollback_config::Resource;
use rollback_inverse::redact::Redactor;
use rollback_state::{Address, InstanceId};
use rollback_terraform::{Plan, ResourceChange};
use serde_json::Value;

use self::equality::{contains_true, same, same_document, unwrap_dynamic};
pub use self::moving::{Moving, moving};
use self::moving::{Object, object_of};
use self::sources::{Sources, Way};
use crate::reconcile::Input;

/// One attribute whose planned value is not the one that the target had.
pub struct Difference {
    /// Whether something other than an input brings the value: an object, a data source, the provider's own spelling of a
    /// literal. Only an input can have been another one.
    pub explained: bool,
    /// Empty where it is about no attribute.
    pub attribute: String,
    pub message: String,
}

/// Meta-arguments and blocks that are no attributes of an object.
const NOT_ATTRIBUTES: &[&str] = &[
    "count",
    "for_each",
    "provider",
    "depends_on",
    "lifecycle",
    "provisioner",
    "connection",
    "dynamic",
];

/// The attributes that the target's configuration sets and whose planned value differs from the target's state. `moving`
/// names the resources by way of which a value may differ, see [`moving`].
pub fn find<F: FnOnce() -> Moving>(
    input: &Input<'_>,
    real: &ResourceChange,
    moving: &LazyCell<Moving, F>,
) -> Vec<Difference> {
    let (Some(target), Some(configuration)) = (input.target, input.target_config) else {
        return Vec::new();
    };
    let Ok(address) = real.address.parse::<Address>() else {
        return Vec::new();
    };
    if real.deposed.is_some() || real.change.after.is_null() {
        return Vec::new();
    }
    let Some(resource) = configuration.resource(&address.resource) else {
        return Vec::new();
    };
    let id = InstanceId {
        address: address.clone(),
        deposed: None,
    };
    let Some(instance) = target.instance(&id) else {
        return Vec::new();
    };
    let had = instance.attributes(target);
    let (module_path, ..) = object_of(&address);
    let mut found = Vec::new();
    for (name, expression) in &resource.attributes {
        // What is made anew gets what the configuration says, whatever changes are ignored afterwards.
        let is_ignored = !real.creates()
            && resource
                .ignore_changes
                .iter()
                .any(|ignored| ignored == "all" || ignored.split(['.', '[']).next() == Some(name));
        if NOT_ATTRIBUTES.contains(&name.as_str()) {
            continue;
        }
        let unknown = &real.change.after_unknown[name.as_str()];
        let brings = &real.change.after[name.as_str()];
        let leaves = had
            .get(name)
            .map(|want| known_leaves(unwrap_dynamic(want, brings), brings, unknown));
        if contains_true(unknown) && leaves.as_ref().is_none_or(Vec::is_empty) {
            if is_ignored {
                continue;
            }
            let sources = Sources::of(configuration, &module_path, resource, expression);
            let missing = sources.missing(input);
            if !missing.is_empty() {
                found.push(Difference {
                    explained: false,
                    attribute: name.clone(),
                    message: format!(
                        "`{name}` cannot be compared with what the target had before it is made; it comes from {missing}"
                    ),
                });
            }
            continue;
        }
        let Some(want) = had.get(name) else { continue };
        // What is write-only is null in every state and every plan, and is sent all the same.
        if want.is_null() && brings.is_null() && !is_at_rest(real) {
            let missing = Sources::of(configuration, &module_path, resource, expression).missing(input);
            if !missing.is_empty() {
                found.push(Difference {
                    explained: false,
                    attribute: name.clone(),
                    message: format!(
                        "`{name}` is in no state, as what is write-only, and cannot be compared with what the target had; it \
                         comes from {missing}"
                    ),
                });
            }
            continue;
        }
        if same(unwrap_dynamic(want, brings), brings) || same_document(unwrap_dynamic(want, brings), brings) {
            continue;
        }
        // Blocks hold what the provider computes; one that the plan leaves alone says nothing of the configuration.
        let is_block = |value: &Value| {
            value.is_object() || value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
        };
        if is_block(brings) && same(&real.change.before[name.as_str()], brings) {
            continue;
        }
        let secret = input.redactor.is_sensitive(&address.resource.kind, name)
            || contains_true(&real.change.after_sensitive[name.as_str()])
            || instance
                .sensitive_paths(target)
                .iter()
                .any(|path| path_starts_with(path, name));
        let values = |becomes: &str| match secret {
            true => String::new(),
            false => format!(
                ": it had {}, it {becomes} {}",
                short(&input.redactor.mask_value(&[name], unwrap_dynamic(want, brings))),
                short(&input.redactor.mask_value(&[name], brings))
            ),
        };
        if is_ignored {
            found.push(Difference {
                explained: true,
                attribute: name.clone(),
                message: format!(
                    "`{name}` does not go back, as the target's ignore_changes has terraform leave it alone{}",
                    values("keeps")
                ),
            });
            continue;
        }
        let values = values(if is_at_rest(real) { "has" } else { "would get" });
        let sources = Sources::of(configuration, &module_path, resource, expression);
        // Nothing that is not known yet can have had a part in a value that is.
        let movers = match contains_true(unknown) {
            true => &moving.in_any_way,
            false => &moving.known,
        };
        let by_data =
            sources.unfollowed || (!sources.data.is_empty() && !sources.data.is_subset(moving.same_data(input)));
        let by_objects = by_data || sources.objects.iter().any(|object| movers.contains(object));
        let missing = sources.missing(input);
        // Of what is partly unknown, the part that is known comes from an object only where the object has it.
        let of_objects = |leaf: &&Value| {
            input
                .plan
                .is_some_and(|plan| is_of_objects(plan, &sources.objects, leaf))
        };
        let by_objects = by_objects
            && missing.is_empty()
            && (!contains_true(unknown) || by_data || leaves.iter().flatten().all(of_objects));
        let message = if by_objects {
            format!("`{name}` differs from what the target had, by way of other objects{values}")
        } else if sources.variables.is_empty() {
            format!("`{name}` differs from what the target had, though its configuration names no variable{values}")
        } else {
            format!(
                "`{name}` differs from what the target had{values}; it comes from variable {}",
                sources
                    .variables
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        found.push(Difference {
            explained: by_objects || sources.variables.is_empty(),
            attribute: name.clone(),
            message,
        });
    }
    found.extend(in_provisioners(input, real, resource));
    found
}

/// The attributes of which the plan does not tell the whole value, and in which a variable has a part.
pub fn awaited(input: &Input<'_>, real: &ResourceChange) -> BTreeSet<String> {
    let unknown = &real.change.after_unknown;
    let address = real.address.parse::<Address>().ok().filter(|_| contains_true(unknown));
    let declared = address.zip(input.target_config).and_then(|(address, configuration)| {
        let resource = configuration.resource(&address.resource)?;
        Some((object_of(&address).0, configuration, resource))
    });
    let Some((module, configuration, resource)) = declared else {
        return BTreeSet::new();
    };
    let is_awaited = |name: &str, expression| {
        contains_true(&unknown[name])
            && !NOT_ATTRIBUTES.contains(&name)
            && !Sources::of(configuration, &module, resource, expression)
                .variables
                .is_empty()
    };
    let attributes = resource.attributes.iter();
    attributes
        .filter(|(name, expression)| is_awaited(name, expression))
        .map(|(name, _)| name.clone())
        .collect()
}

/// What a planned value, where it is known, brings that differs from what there was.
fn known_leaves<'v>(want: &Value, brings: &'v Value, unknown: &Value) -> Vec<&'v Value> {
    match (want, brings) {
        _ if unknown == &Value::Bool(true) => Vec::new(),
        (Value::Object(had), Value::Object(gets)) => gets
            .iter()
            .flat_map(|(key, value)| known_leaves(had.get(key).unwrap_or(&Value::Null), value, &unknown[key.as_str()]))
            .collect(),
        (Value::Array(had), Value::Array(gets)) => gets
            .iter()
            .enumerate()
            .flat_map(|(index, value)| known_leaves(had.get(index).unwrap_or(&Value::Null), value, &unknown[index]))
            .collect(),
        _ if same(want, brings) => Vec::new(),
        _ => vec![brings],
    }
}

/// Whether one of these resources will have a value, or a part of it.
fn is_of_objects(plan: &Plan, objects: &BTreeSet<Object>, leaf: &Value) -> bool {
    fn has(value: &Value, leaf: &Value) -> bool {
        match (value, leaf) {
            (Value::String(value), Value::String(leaf)) if !value.is_empty() => leaf.contains(value.as_str()),
            (Value::Array(items), _) => items.iter().any(|item| has(item, leaf)),
            (Value::Object(members), _) => members.values().any(|member| has(member, leaf)),
            (value, leaf) => value == leaf,
        }
    }
    let of = |real: &&ResourceChange| {
        real.address
            .parse::<Address>()
            .is_ok_and(|address| objects.contains(&object_of(&address)))
    };
    plan.resource_changes
        .iter()
        .filter(of)
        .any(|real| has(&real.change.after, leaf))
}

/// Whether nothing is sent to the object's provider.
fn is_at_rest(real: &ResourceChange) -> bool {
    real.change
        .actions
        .iter()
        .all(|action| matches!(action.as_str(), "no-op" | "read"))
}

/// What runs when an object is made leaves no trace in a state that could be compared.
fn in_provisioners(input: &Input<'_>, real: &ResourceChange, resource: &Resource) -> Option<Difference> {
    if !real.creates() {
        return None;
    }
    let names = |text: &str, name: &str| {
        text.match_indices(&format!("var.{name}")).any(|(at, found)| {
            let after = text[at + found.len()..].chars().next();
            !after.is_some_and(|after| after.is_alphanumeric() || matches!(after, '_' | '-'))
        })
    };
    let missing = Sources {
        variables: (input.missing.iter())
            .filter(|name| resource.provisioner_texts.iter().any(|text| names(text, name)))
            .cloned()
            .collect(),
        ..Sources::default()
    }
    .missing(input);
    (!missing.is_empty()).then(|| Difference {
        explained: false,
        attribute: String::new(),
        message: format!("its provisioner runs with {missing}"),
    })
}

/// Outputs that would not be what they were because a variable is not given as it was: other stacks may read them.
pub fn in_outputs(input: &Input<'_>, plan: &Plan) -> Vec<(String, Difference)> {
    let (Some(target), Some(configuration)) = (input.target, input.target_config) else {
        return Vec::new();
    };
    let Some(root) = configuration.root().filter(|_| !input.missing.is_empty()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, change) in &plan.output_changes {
        let Some(value) = root.outputs.get(name).and_then(|output| output.value.as_ref()) else {
            continue;
        };
        let had = target
            .outputs()
            .find(|output| output.name == *name)
            .map(|output| output.value());
        if had.is_some_and(|had| same(&had, &change.after)) {
            continue;
        }
        let mut sources = Sources::default();
        let mut way = Way {
            configuration,
            seen: BTreeSet::new(),
        };
        sources.follow(&mut way, &[], None, value);
        let missing = sources.missing(input);
        if !missing.is_empty() {
            let message = format!("the output would not be what it was at the target; it comes from {missing}");
            found.push((
                format!("output.{name}"),
                Difference {
                    explained: false,
                    attribute: String::new(),
                    message,
                },
            ));
        }
    }
    found
}

fn path_starts_with(path: &[rollback_state::PathStep], name: &str) -> bool {
    matches!(path.first(), Some(rollback_state::PathStep::Attribute(first)) if first == name)
}

pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        return text;
    }
    format!("{}…", text.chars().take(59).collect::<String>())
}

/// The top-level attributes that differ between two objects.
pub fn changed_attributes(before: &Value, after: &Value) -> Vec<String> {
    let empty = serde_json::Map::new();
    let (before, after) = (
        before.as_object().unwrap_or(&empty),
        after.as_object().unwrap_or(&empty),
    );
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let null = Value::Null;
    names
        .into_iter()
        .filter(|name| !same(before.get(*name).unwrap_or(&null), after.get(*name).unwrap_or(&null)))
        .cloned()
        .collect()
}

/// What a planned change does to the attributes, one line each, secrets masked.
pub fn describe(real: &ResourceChange, redactor: &Redactor) -> Vec<String> {
    let (before, after) = (&real.change.before, &real.change.after);
    let mut lines = Vec::new();
    let mut names = changed_attributes(before, after);
    if let Some(unknown) = real.change.after_unknown.as_object() {
        names.extend(
            unknown
                .iter()
                .filter(|(_, value)| contains_true(value))
                .map(|(name, _)| name.clone()),
        );
    }
    names.sort();
    names.dedup();
    for name in names {
        let key = name.as_str();
        if redactor.is_sensitive(&real.kind, key)
            || contains_true(&real.change.before_sensitive[key])
            || contains_true(&real.change.after_sensitive[key])
        {
            lines.push(format!("{name}: (sensitive)"));
        } else if contains_true(&real.change.after_unknown[key]) {
            lines.push(format!(
                "{name}: {} → (known after apply)",
                short(&redactor.mask_value(&[key], &before[key]))
            ));
        } else {
            lines.push(format!(
                "{name}: {} → {}",
                short(&redactor.mask_value(&[key], &before[key])),
                short(&redactor.mask_value(&[key], &after[key]))
            ));
        }
    }
    lines
}
