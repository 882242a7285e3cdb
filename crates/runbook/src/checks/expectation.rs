//! What an HTTP answer has to be like.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

/// Statuses: `200`, `"200-299"`, or a list of these.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "toml::Value")]
pub(super) struct Statuses(Vec<RangeInclusive<u16>>);

impl Default for Statuses {
    fn default() -> Self {
        Statuses(vec![200..=299])
    }
}

impl Statuses {
    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    pub(super) fn shown(&self) -> String {
        let one = |range: &RangeInclusive<u16>| match range.start() == range.end() {
            true => range.start().to_string(),
            false => format!("{}-{}", range.start(), range.end()),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" or ")
    }
}

impl TryFrom<toml::Value> for Statuses {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Statuses, String> {
        let items = match value {
            toml::Value::Array(items) if !items.is_empty() => items,
            one => vec![one],
        };
        let ranges = items.iter().map(|item| {
            range(item).ok_or_else(|| format!("{item} is no status: 200, \"200-299\" and a list of these are"))
        });
        ranges.collect::<Result<_, _>>().map(Statuses)
    }
}

fn range(value: &toml::Value) -> Option<RangeInclusive<u16>> {
    let range = match value {
        toml::Value::Integer(status) => {
            let status = u16::try_from(*status).ok()?;
            status..=status
        }
        toml::Value::String(text) => {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            from.trim().parse().ok()?..=to.trim().parse().ok()?
        }
        _ => return None,
    };
    (*range.start() >= 100 && *range.end() <= 599 && !range.is_empty()).then_some(range)
}

/// All that one answer has to fulfil.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    pub status: Statuses,
    /// Texts that the body must have in it.
    pub contains: Vec<String>,
    /// Values by JSON pointer (RFC 6901).
    pub json: BTreeMap<String, Value>,
    /// Texts that these headers must have in them; names in lower case.
    pub headers: BTreeMap<String, String>,
    pub latency: Option<Duration>,
}

/// One answer.
pub(super) struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most [`super::request::MOST`] bytes of it.
    pub body: Vec<u8>,
    /// Until the body was there.
    pub took: Duration,
}

impl Expectation {
    /// What is not as it should be; empty where all is well. Of the body nothing but single values is told.
    pub(super) fn judge(&self, answer: &Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.status.contains(answer.status) {
            wrong.push(format!("{}, expected {}", answer.status, self.status.shown()));
        }
        for (name, expected) in &self.headers {
            let found = answer
                .headers
                .iter()
                .any(|(found, value)| found == name && value.contains(expected));
            if !found {
                wrong.push(format!("no header {name} with `{expected}`"));
            }
        }
        let text = String::from_utf8_lossy(&answer.body);
        for expected in &self.contains {
            if !text.contains(expected) {
                wrong.push(format!("its body has no `{expected}`"));
            }
        }
        if !self.json.is_empty() {
            match serde_json::from_slice::<Value>(&answer.body) {
                Ok(document) => wrong.extend(self.judge_json(&document)),
                Err(_) => wrong.push("its body is no JSON".to_owned()),
            }
        }
        if let Some(latency) = self.latency.filter(|latency| answer.took > *latency) {
            wrong.push(format!(
                "it took {} ms, allowed are {}",
                answer.took.as_millis(),
                latency.as_millis()
            ));
        }
        wrong
    }

    fn judge_json(&self, document: &Value) -> Vec<String> {
        let judge = |(pointer, expected): (&String, &Value)| match document.pointer(pointer) {
            Some(found) if same(found, expected) => None,
            Some(found) => Some(format!("{pointer} is {}, expected {expected}", short(found))),
            None => Some(format!("there is no {pointer} in its body, expected {expected}")),
        };
        self.json.iter().filter_map(judge).collect()
    }
}

/// Numbers by what they say, not by how they are written.
fn same(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    }
}

/// Scalars as they are; of the rest only what it is.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 60 => "another text".to_owned(),
        scalar => scalar.to_string(),
    }
}

/// A value of TOML as the JSON that it is compared with.
pub(super) fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}
