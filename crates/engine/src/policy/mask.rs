//! Terraform's plan representation without what is sensitive, for policies: what the plan marks, what the redactor knows,
//! what a variable is declared to be.

use std::collections::BTreeSet;

use rollback_inverse::redact::{Redactor, SENSITIVE};
use rollback_terraform::Plan;
use serde_json::{Map, Value};

/// The whole document, masked.
pub(super) fn plan(plan: &Plan, redactor: &Redactor) -> Map<String, Value> {
    let Value::Object(mut whole) = plan.raw().clone() else {
        return Map::new();
    };
    let declared = sensitive_variables(whole.get("configuration"));
    for (key, value) in &mut whole {
        match key.as_str() {
            "resource_changes" | "resource_drift" => each(value, |change| object_change(change, redactor)),
            "output_changes" => members(value, |change| body(change, "", redactor)),
            "planned_values" => values(value, redactor),
            "prior_state" => {
                if let Some(state) = value.get_mut("values") {
                    values(state, redactor);
                }
            }
            "variables" => {
                if let Value::Object(variables) = value {
                    for (name, variable) in variables {
                        if let Some(text) = variable.get_mut("value") {
                            *text = match declared.contains(name.as_str()) {
                                true => Value::from(SENSITIVE),
                                false => redactor.mask_value(&[name], text),
                            };
                        }
                    }
                }
            }
            "configuration" => constants(value, None, redactor),
            _ => *value = redactor.mask_value(&[], value),
        }
    }
    whole
}

fn each(value: &mut Value, work: impl Fn(&mut Value)) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(work);
    }
}

fn members(value: &mut Value, work: impl Fn(&mut Value)) {
    if let Value::Object(object) = value {
        object.values_mut().for_each(work);
    }
}

fn object_change(change: &mut Value, redactor: &Redactor) {
    let kind = change
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if let Some(inner) = change.get_mut("change") {
        body(inner, &kind, redactor);
    }
}

/// `before` and `after` with the marks beside them.
fn body(change: &mut Value, kind: &str, redactor: &Redactor) {
    for (values, marks) in [("before", "before_sensitive"), ("after", "after_sensitive")] {
        let marks = change.get(marks).cloned().unwrap_or(Value::Bool(false));
        if let Some(value) = change.get_mut(values) {
            *value = redactor.mask_marked(kind, &marks, value);
        }
    }
    // The id of an import, the identity of an object.
    for key in ["importing", "before_identity", "after_identity"] {
        if let Some(value) = change.get_mut(key) {
            *value = redactor.mask_value(&[], value);
        }
    }
}

/// `values` of the planned or the prior state: outputs, the root module and those below it.
fn values(value: &mut Value, redactor: &Redactor) {
    if let Some(outputs) = value.get_mut("outputs") {
        members(outputs, |output| {
            let marked = output.get("sensitive") == Some(&Value::Bool(true));
            if let Some(value) = output.get_mut("value") {
                *value = redactor.mask_marked("", &Value::Bool(marked), value);
            }
        });
    }
    if let Some(root) = value.get_mut("root_module") {
        module(root, redactor);
    }
}

fn module(value: &mut Value, redactor: &Redactor) {
    if let Some(resources) = value.get_mut("resources") {
        each(resources, |resource| {
            let kind = resource
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let marks = resource.get("sensitive_values").cloned().unwrap_or(Value::Bool(false));
            if let Some(values) = resource.get_mut("values") {
                *values = redactor.mask_marked(&kind, &marks, values);
            }
        });
    }
    if let Some(children) = value.get_mut("child_modules") {
        each(children, |child| module(child, redactor));
    }
}

/// Masks the constants of a configuration, and leaves its shape and its references.
fn constants(value: &mut Value, name: Option<&str>, redactor: &Redactor) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                if key == "constant_value" || key == "default" {
                    let path: Vec<&str> = name.into_iter().collect();
                    *inner = redactor.mask_value(&path, inner);
                } else {
                    constants(inner, Some(key), redactor);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| constants(inner, name, redactor)),
        Value::String(_) => *value = redactor.mask_value(&[], value),
        _ => {}
    }
}

/// Names of root variables that are declared sensitive.
fn sensitive_variables(configuration: Option<&Value>) -> BTreeSet<String> {
    configuration
        .and_then(|configuration| configuration.pointer("/root_module/variables"))
        .and_then(Value::as_object)
        .map(|variables| {
            variables
                .iter()
                .filter(|(_, variable)| variable.get("sensitive") == Some(&Value::Bool(true)))
                .map(|(name, _)| name.clone())
                .collect()
        })
        .unwrap_or_default()
}
