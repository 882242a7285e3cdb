//! Collects the secrets of a state without parsing what holds none.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use rollback_state::{Instance, PathStep, State};
use serde_json::Value;

use super::names::{FRAGMENTS, is_secret_name};
use super::paths::{PathTree, is_dynamic};

/// Values that tell nothing and stand everywhere: masking them all would hide the plan, not a secret.
const COMMON: [&str; 16] = [
    "true",
    "false",
    "null",
    "none",
    "None",
    "string",
    "number",
    "bool",
    "enabled",
    "disabled",
    "default",
    "yes",
    "Enabled",
    "Disabled",
    "auto",
    "(sensitive)",
];

/// Attributes that the knowledge of types calls sensitive, by type.
pub(super) type Schema = HashMap<String, HashSet<String>>;

/// What must never be shown.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) strings: HashSet<String>,
    pub(super) numbers: HashSet<String>,
}

impl Secrets {
    pub(super) fn merge(&mut self, other: Secrets) {
        self.strings.extend(other.strings);
        self.numbers.extend(other.numbers);
    }

    /// Takes a string in, unless it is too short or too common to be told apart from anything else.
    pub(super) fn add_text(&mut self, text: &str) {
        if text.chars().take(3).count() < 3 || COMMON.contains(&text) || self.strings.contains(text) {
            return;
        }
        self.strings.insert(text.to_string());
        // A key file is often printed line by line, indented.
        if text.contains('\n') {
            self.strings.insert(text.trim().to_string());
            for line in text.lines().map(str::trim) {
                if line.len() >= 8 && !line.starts_with("-----") && !COMMON.contains(&line) {
                    self.strings.insert(line.to_string());
                }
            }
        }
    }

    /// Takes every leaf of a sensitive value in.
    pub(super) fn add_leaves(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() >= 4 {
                    self.numbers.insert(text);
                }
            }
            Value::Array(array) => array.iter().for_each(|element| self.add_leaves(element)),
            Value::Object(object) if is_dynamic(object) => self.add_leaves(&object["value"]),
            Value::Object(object) => object.values().for_each(|element| self.add_leaves(element)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn add_at(&mut self, tree: &PathTree, value: &Value) {
        if tree.masks(value) {
            return self.add_leaves(value);
        }
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    if let Some(child) = tree.child(object, key) {
                        self.add_at(child, value);
                    }
                }
            }
            Value::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    if let Some(child) = tree.element(index) {
                        self.add_at(child, value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// All the secrets of a state.
pub(super) fn collect(state: &State, schema: &Schema) -> Secrets {
    let mut secrets = Secrets::default();
    for instance in state.instances() {
        secrets.add_known(state, instance, schema);
        secrets.add_marked(state, instance);
    }
    secrets.add_outputs(state);
    // One pass over everything is faster than one for each object.
    collect_named(state.bytes(), &mut secrets);
    secrets
}

/// The secrets of a state of which most objects were looked at in another one: of those that are
/// the same to the byte only what is marked.
pub(super) fn collect_rest<'i>(state: &State, rest: impl Iterator<Item = &'i Instance>, schema: &Schema) -> Secrets {
    let mut secrets = Secrets::default();
    for instance in state.instances() {
        secrets.add_marked(state, instance);
    }
    secrets.add_outputs(state);
    for instance in rest {
        secrets.add_known(state, instance, schema);
        if let Some(attributes) = instance.attributes_raw(state) {
            collect_named(attributes, &mut secrets);
        }
    }
    secrets
}

impl Secrets {
    /// What the knowledge of the type calls sensitive. What its name gives away is found by that.
    fn add_known(&mut self, state: &State, instance: &Instance, schema: &Schema) {
        let Some(names) = schema.get(instance.address().resource.kind.as_str()) else {
            return;
        };
        for name in names.iter().filter(|name| !is_secret_name(name)) {
            if let Some(text) = instance.string_attribute(state, name) {
                self.add_text(&text);
            }
        }
    }

    /// What the state marks as sensitive.
    fn add_marked(&mut self, state: &State, instance: &Instance) {
        let mut paths = instance.sensitive_paths(state);
        // Nearly all are strings at the top, which are found without reading all the attributes.
        paths.retain(|path| {
            let text = match &path[..] {
                [PathStep::Attribute(name)] => instance.string_attribute(state, name),
                _ => None,
            };
            text.as_deref().map(|text| self.add_text(text)).is_none()
        });
        if !paths.is_empty() {
            self.add_at(&PathTree::new(&paths), &Value::Object(instance.attributes(state)));
        }
    }

    fn add_outputs(&mut self, state: &State) {
        for output in state.outputs().filter(|output| output.sensitive) {
            self.add_leaves(&output.value());
        }
    }
}

/// Finds the values of telling names in the raw bytes: one pass at the speed of memory.
fn collect_named(bytes: &[u8], secrets: &mut Secrets) {
    static FINDER: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let Some(finder) = FINDER.get_or_init(|| {
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(FRAGMENTS)
            .ok()
    }) else {
        return;
    };
    let mut from = 0;
    while let Some(found) = finder.find(aho_corasick::Input::new(bytes).span(from..bytes.len())) {
        from = found.end();
        let Some((name, after)) = key_around(bytes, found.start()) else {
            continue;
        };
        from = from.max(after);
        if !is_secret_name(name) {
            continue;
        }
        let rest = bytes[after..].trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b":") else { continue };
        let rest = rest.trim_ascii_start();
        // Null and switches tell nothing; they are by far the most frequent.
        if rest.starts_with(b"null") || rest.starts_with(b"\"\"") {
            continue;
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            secrets.add_leaves(&value);
        }
    }
}

/// The string literal around a position, without escapes, and the offset after its closing quote.
fn key_around(bytes: &[u8], position: usize) -> Option<(&str, usize)> {
    const LONGEST: usize = 256;
    let low = position.saturating_sub(LONGEST);
    let start = memchr::memrchr(b'"', &bytes[low..position]).map(|found| low + found + 1)?;
    let high = (position + LONGEST).min(bytes.len());
    let end = memchr::memchr(b'"', &bytes[position..high]).map(|found| position + found)?;
    let name = std::str::from_utf8(&bytes[start..end]).ok()?;
    (!name.contains('\\')).then_some((name, end + 1))
}
