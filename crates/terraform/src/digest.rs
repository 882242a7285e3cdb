//! One digest for what a plan does, so that what is executed can be compared with what was approved.
//!
//! Part of it: every row of `resource_changes` in which something happens, whole (actions, values before and after, unknown and
//! sensitive flags, replace paths, deposed key, move, import, reason); of rows in which nothing happens only that they are there;
//! `output_changes`; the root variables (they reach provider configurations, which no row shows); the configuration; `errored`,
//! `complete`. Not part of it: timestamps, the prior state with its serial, drift, `relevant_attributes`, terraform's version,
//! and the values of untouched objects (an autoscaler that turns elsewhere does not undo an approval of something else).
//!
//! Canonical form: rows ordered by address and deposed key, object keys by their bytes, strings as JSON writes them, numbers
//! as terraform wrote them.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::plan::{Plan, ResourceChange};

/// Names the form; a later form gets another name so that digests of two forms never compare equal by accident.
const FORM: &str = "infra-rollback plan digest 1\n";

/// Lower-case hexadecimal SHA-256, 64 characters.
pub(crate) fn digest(plan: &Plan) -> String {
    let mut hasher = Sha256::new();
    hasher.update(FORM);
    let mut rows: Vec<&ResourceChange> = plan.resource_changes.iter().collect();
    rows.sort_by(|left, right| (&left.address, &left.deposed).cmp(&(&right.address, &right.deposed)));
    for row in rows {
        line(&mut hasher, "resource", &row_value(row));
    }
    let mut outputs: Vec<_> = plan.output_changes.iter().collect();
    outputs.sort_by(|left, right| left.0.cmp(&right.0));
    for (name, change) in outputs {
        line(
            &mut hasher,
            "output",
            &json!([name, serde_json::to_value(change).unwrap_or_default()]),
        );
    }
    line(&mut hasher, "variables", &Value::Object(plan.variables.clone()));
    line(&mut hasher, "configuration", &plan.configuration);
    line(
        &mut hasher,
        "state",
        &json!([plan.errored, plan.complete, plan.deferred_changes]),
    );
    hex::encode(hasher.finalize())
}

fn row_value(row: &ResourceChange) -> Value {
    if row.is_untouched() {
        json!([row.address, row.deposed, "untouched"])
    } else {
        let mut value = serde_json::to_value(row).unwrap_or_default();
        // `index` and the parts of the address repeat the address; what stays must be all that can matter.
        if let Some(map) = value.as_object_mut() {
            map.remove("index");
        }
        value
    }
}

fn line(hasher: &mut Sha256, label: &str, value: &Value) {
    let mut text = String::new();
    canonical(value, &mut text);
    hasher.update(label);
    hasher.update(" ");
    hasher.update(&text);
    hasher.update("\n");
}

/// JSON without white space, object keys in the order of their bytes.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, item)) in sorted(map).into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|left, right| left.0.cmp(right.0));
    entries
}
