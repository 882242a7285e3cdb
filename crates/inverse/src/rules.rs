//! What the knowledge of resource types says about one change.

use serde_json::{Map, Value};

use crate::knowledge::{AttributeRule, Knowledge, Rule};
use crate::number;
use crate::plan::{Change, Fate, Reversibility};

/// Whether a change destroys what is there now.
fn destroys(change: &Change) -> bool {
    matches!(change.fate, Fate::Destroy | Fate::Replace)
}

/// Applies what is known of the type to a change whose fate is found: how much can be taken back,
/// what is lost, and whether it can be done at all.
///
/// `names` are the attributes that will be changed in place; `before` and `after` may be empty where
/// they are not known.
pub(crate) fn apply(
    knowledge: &Knowledge,
    kind: &str,
    change: &mut Change,
    names: &[String],
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) {
    if let Some(known) = knowledge.kind(kind) {
        let holds = known.destroy >= Reversibility::DataLoss && !known.holds.is_empty();
        match change.fate {
            Fate::Destroy => {
                change.at_least(known.destroy);
                change.holds = holds.then(|| known.holds.clone());
            }
            Fate::Replace => {
                change.at_least(known.destroy.min(Reversibility::DataLoss));
                change.holds = holds.then(|| known.holds.clone());
                change.notes.extend(known.recreate.clone());
            }
            Fate::Create => {
                if holds {
                    change.at_least(Reversibility::RecreatedEmpty);
                    change.holds = Some(known.holds.clone());
                }
                change.notes.extend(known.recreate.clone());
            }
            _ => {}
        }
    }
    if destroys(change) {
        for rule in knowledge.rules(kind) {
            on_destroy(rule, change, before);
        }
    } else if change.fate == Fate::Update {
        for rule in knowledge.rules(kind).filter(|rule| names.contains(&rule.attribute)) {
            on_update(rule, change, before, after);
        }
    }
}

fn on_destroy(rule: &AttributeRule, change: &mut Change, before: &Map<String, Value>) {
    let Some(value) = before.get(&rule.attribute) else {
        return;
    };
    let holds = is_true(value);
    match rule.rule {
        Rule::BlocksDestroyWhenTrue if holds => {
            let reason = format!("{} is on, so it cannot be destroyed.", rule.attribute);
            impossible(change, reason, rule);
        }
        Rule::DataLossWhenTrue if holds => {
            change.at_least(Reversibility::DataLoss);
            note(change, rule);
        }
        Rule::NoteWhenTrue if holds => note(change, rule),
        Rule::NoteWhenFalse if !holds => note(change, rule),
        _ => {}
    }
}

fn on_update(rule: &AttributeRule, change: &mut Change, before: &Map<String, Value>, after: &Map<String, Value>) {
    let null = Value::Null;
    let now = before.get(&rule.attribute).unwrap_or(&null);
    let then = after.get(&rule.attribute).unwrap_or(&null);
    match of_update(rule.rule, now, then) {
        Some(Consequence::Impossible) => {
            // As they may be shown: masked, where they are sensitive.
            let side = |side: Option<&Value>| side.and_then(|side| side.get(&rule.attribute)).cloned();
            let (now, then) = (side(change.before()), side(change.after()));
            impossible(change, obstacle(rule, now.as_ref(), then.as_ref()), rule);
        }
        Some(Consequence::LosesData) => {
            change.at_least(Reversibility::DataLoss);
            note(change, rule);
        }
        None => {}
    }
}

/// What changing an attribute in place means beyond the change itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The provider, or the service behind it, refuses it.
    Impossible,
    LosesData,
}

/// What a rule says of an update of its attribute from `now` to `then`; none where it says nothing.
pub(crate) fn of_update(rule: Rule, now: &Value, then: &Value) -> Option<Consequence> {
    let less = || number::compare(then, now).is_some_and(std::cmp::Ordering::is_lt);
    let switched_off = || is_true(now) && !is_true(then);
    match rule {
        Rule::NoDecrease => less().then_some(Consequence::Impossible),
        Rule::NoDowngrade => {
            let older = number::compare_versions(then.as_str()?, now.as_str()?).is_lt();
            older.then_some(Consequence::Impossible)
        }
        Rule::NoDisable => switched_off().then_some(Consequence::Impossible),
        Rule::NoChange => Some(Consequence::Impossible),
        Rule::DataLossOnChange => Some(Consequence::LosesData),
        Rule::DataLossOnDisable => switched_off().then_some(Consequence::LosesData),
        Rule::DataLossOnDecrease => less().then_some(Consequence::LosesData),
        Rule::DataLossOnShorterRetention => {
            let for_ever = |value: &Value| number::compare(value, &Value::from(0)).is_some_and(|order| order.is_eq());
            let shorter = !for_ever(then) && (for_ever(now) || less());
            shorter.then_some(Consequence::LosesData)
        }
        _ => None,
    }
}

/// Why an update is impossible, with the values as they may be shown.
pub(crate) fn obstacle(rule: &AttributeRule, now: Option<&Value>, then: Option<&Value>) -> String {
    let shown = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "nothing".to_string(),
    };
    let attribute = &rule.attribute;
    match rule.rule {
        Rule::NoDisable => format!("{attribute} cannot be switched off again."),
        Rule::NoChange => format!("{attribute} cannot be changed once it is set."),
        _ => format!(
            "{attribute} would have to go down from {} to {}.",
            shown(now),
            shown(then)
        ),
    }
}

/// Whether a switch is on: a boolean, a word of the service's own, or a block with `enabled` or `status` in it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => ["true", "enabled", "active"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word)),
        Value::Object(object) => match object.get("enabled").or_else(|| object.get("status")) {
            Some(value) => is_true(value),
            None => !object.is_empty(),
        },
        Value::Array(array) => array.iter().any(is_true),
        Value::Null | Value::Number(_) => false,
    }
}

fn note(change: &mut Change, rule: &AttributeRule) {
    if !rule.message.is_empty() && !change.notes.contains(&rule.message) {
        change.notes.push(rule.message.clone());
    }
}

fn impossible(change: &mut Change, reason: String, rule: &AttributeRule) {
    // The first obstacle gives the reason; further ones are noted, so that all of them are seen at once.
    if change.fate == Fate::Impossible {
        change.notes.push(reason);
        return note(change, rule);
    }
    change.record.replaces = change.fate == Fate::Replace;
    change.fate = Fate::Impossible;
    change.reversibility = Reversibility::Irreversible;
    change.reason = reason;
    change.hint = (!rule.message.is_empty()).then(|| rule.message.clone());
}
