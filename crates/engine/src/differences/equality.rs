//! Whether two values are one, as Terraform means it.

use std::collections::BTreeSet;

use serde_json::Value;

/// Attributes of dynamic type lie in the state as `{"value":…,"type":…}` and in a plan as the value alone.
pub(super) fn unwrap_dynamic<'v>(stored: &'v Value, planned: &Value) -> &'v Value {
    match stored {
        Value::Object(map) if map.len() == 2 && map.contains_key("value") && map.contains_key("type") => {
            let planned_alike = planned.as_object().is_some_and(|planned| {
                planned.len() == 2 && planned.contains_key("value") && planned.contains_key("type")
            });
            if planned_alike { stored } else { &map["value"] }
        }
        _ => stored,
    }
}

/// Equality as Terraform means it: numbers by value, and nothing is nothing however a provider writes it.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b
                || a.as_f64()
                    .zip(b.as_f64())
                    .is_some_and(|(x, y)| x == y && a.is_f64() != b.is_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let null = Value::Null;
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter()
                .all(|key| same(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null)))
        }
        (a, b) => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

/// Two texts that are the same JSON: providers give policies and container definitions back in their own spelling.
pub(super) fn same_document(a: &Value, b: &Value) -> bool {
    let parse = |value: &Value| {
        let text = value.as_str()?.trim_start();
        text.starts_with(['{', '['])
            .then(|| serde_json::from_str::<Value>(text).ok())
            .flatten()
    };
    parse(a).zip(parse(b)).is_some_and(|(a, b)| same(&a, &b))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        Value::Number(number) => number.as_f64() == Some(0.0),
    }
}

pub(super) fn contains_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Array(items) => items.iter().any(contains_true),
        Value::Object(map) => map.values().any(contains_true),
        _ => false,
    }
}
