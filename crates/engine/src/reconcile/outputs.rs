//! Outputs of the root module that change: other stacks and programs read them.

use rollback_inverse::redact::{Redactor, SENSITIVE};
use rollback_terraform::{Action, Plan};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::differences::short;

/// An output whose value is another one afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputChange {
    pub name: String,
    /// Terraform's word for it: `create`, `update`, `delete`.
    pub action: String,
    /// The value before and after as one line, secrets masked.
    pub line: String,
}

/// The changes of a document that [`document`] made.
pub fn of_document(changes: &Value) -> Vec<OutputChange> {
    let changes = changes.as_object().into_iter().flatten();
    changes.map(|(name, change)| of_change(name, change)).collect()
}

fn of_change(name: &str, change: &Value) -> OutputChange {
    let action = change["actions"][0].as_str().unwrap_or("update");
    let before = short(&change["before"]);
    let after = match change["after_unknown"].as_bool() {
        Some(true) => "(known after apply)".to_owned(),
        _ => short(&change["after"]),
    };
    let line = match action {
        "create" => format!("{name}: {after}"),
        "delete" => format!("{name}: {before} → (none)"),
        _ => format!("{name}: {before} → {after}"),
    };
    OutputChange {
        name: name.to_owned(),
        action: action.to_owned(),
        line,
    }
}

/// The outputs that a plan changes, as Terraform's plan representation has them in `output_changes`, secrets masked.
pub fn document(plan: &Plan, redactor: &Redactor) -> Map<String, Value> {
    let is_change = |action: &Action| !matches!(action.as_str(), "no-op" | "read");
    let changing = plan
        .output_changes
        .iter()
        .filter(|(_, change)| change.actions.iter().any(is_change));
    changing
        .map(|(name, change)| {
            // What is a secret on one side is one on the other.
            let secret = [&change.before_sensitive, &change.after_sensitive].contains(&&Value::Bool(true));
            let mask = |value: &Value| match secret && !value.is_null() {
                true => Value::from(SENSITIVE),
                false => redactor.mask_value(&[name], value),
            };
            let body = json!({
                "actions": change.actions.iter().map(Action::as_str).collect::<Vec<_>>(),
                "before": mask(&change.before),
                "after": mask(&change.after),
                "after_unknown": change.after_unknown,
                "before_sensitive": change.before_sensitive,
                "after_sensitive": change.after_sensitive,
            });
            (name.clone(), body)
        })
        .collect()
}
