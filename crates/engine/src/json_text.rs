//! The strings in a JSON value, however deep.

use serde_json::Value;

/// Whether any of them passes a test; names of members are none.
pub(crate) fn any_text(value: &Value, passes: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => passes(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, passes)),
        Value::Object(map) => map.values().any(|item| any_text(item, passes)),
        _ => false,
    }
}
