//! What a task definition says, as JSON.

use std::collections::BTreeMap;

use rollback_runbook::step::StepError;
use serde_json::{Map, Value};

/// What an answer says of a revision and a request must not (the runbook's `jq 'del(…)'`).
const OF_THE_REVISION: [&str; 8] = [
    "compatibilities",
    "deregisteredAt",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "revision",
    "status",
    "taskDefinitionArn",
];

/// What registers another revision like this one. `tags` is null or a list.
pub(super) fn registerable(mut described: Value, tags: Value) -> Value {
    if let Some(described) = described.as_object_mut() {
        for key in OF_THE_REVISION {
            described.shift_remove(key);
        }
        let mut tags = tags.as_array().cloned().unwrap_or_default();
        // AWS sets these itself, and refuses them from anybody else.
        tags.retain(|tag| !text(tag, "key").unwrap_or_default().starts_with("aws:"));
        if !tags.is_empty() {
            described.insert("tags".to_owned(), Value::Array(tags));
        }
    }
    described
}

pub(super) fn family(definition: &Value) -> Result<&str, StepError> {
    text(definition, "family").ok_or_else(|| StepError::untouched("the task definition names no family"))
}

/// `backend:42` of an ARN.
pub(super) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Its containers, by name.
pub(super) fn containers(definition: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let list = definition.get("containerDefinitions").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|container| Some((text(container, "name")?, container)))
}

/// The same to change.
pub(super) fn containers_mut(definition: &mut Value) -> impl Iterator<Item = (String, &mut Map<String, Value>)> {
    let list = definition.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(|container| {
        let container = container.as_object_mut()?;
        let name = container.get("name")?.as_str()?.to_owned();
        Some((name, container))
    })
}

pub(super) fn image_of<'a>(definition: &'a Value, container: &str) -> Option<&'a str> {
    let (_, found) = containers(definition).find(|(name, _)| *name == container)?;
    text(found, "image")
}

/// A list of names with values (`environment`, `secrets`) as a map.
pub(super) fn named(container: &Value, list: &str, value: &str) -> BTreeMap<String, String> {
    let entries = container.get(list).and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((text(entry, "name")?.to_owned(), text(entry, value)?.to_owned())))
        .collect()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Whether two say the same: the order of variables says nothing, and tags are not what runs.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    normal(one) == normal(other)
}

fn normal(definition: &Value) -> Value {
    let mut normal = definition.clone();
    if let Some(top) = normal.as_object_mut() {
        top.shift_remove("tags");
        clear_empty(top);
    }
    for (_, container) in containers_mut(&mut normal) {
        for list in ["environment", "secrets"] {
            if let Some(entries) = container.get_mut(list).and_then(Value::as_array_mut) {
                entries.sort_by(|one, other| text(one, "name").cmp(&text(other, "name")));
            }
        }
        clear_empty(container);
    }
    normal
}

/// A list that is not there and one with nothing in it are the same; ECS itself makes the one into the other.
fn clear_empty(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_the_revision_goes_and_everything_else_stays() {
        let described = json!({
            "taskDefinitionArn": "arn:aws:ecs:eu-central-1:123456789012:task-definition/backend:4",
            "revision": 4, "status": "ACTIVE", "requiresAttributes": [], "compatibilities": ["FARGATE"],
            "registeredAt": 1.5, "registeredBy": "me", "deregisteredAt": 2,
            "family": "backend", "settingOfTomorrow": {"a": 1},
            "containerDefinitions": [{"name": "app", "image": "a:1"}],
        });
        let tags = json!([{"key": "team", "value": "web"}, {"key": "aws:cloudformation:stack-name", "value": "x"}]);
        assert_eq!(
            registerable(described, tags),
            json!({
                "family": "backend", "settingOfTomorrow": {"a": 1},
                "containerDefinitions": [{"name": "app", "image": "a:1"}],
                "tags": [{"key": "team", "value": "web"}],
            })
        );
    }

    #[test]
    fn order_of_variables_empty_lists_and_tags_make_no_difference() {
        let one = json!({"family": "f", "volumes": [], "tags": [{"key": "a", "value": "b"}], "containerDefinitions": [
            {"name": "app", "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "mountPoints": []}]});
        let other = json!({"family": "f", "containerDefinitions": [
            {"name": "app", "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}]});
        assert!(is_same(&one, &other));
        let third = json!({"family": "f", "containerDefinitions": [
            {"name": "app", "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]}]});
        assert!(!is_same(&one, &third));
    }
}
