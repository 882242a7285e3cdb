//! Keeps secrets out of everything that is shown.
//!
//! A value is sensitive where a state marks its path, where the attribute's name or the knowledge of
//! its type says so, and wherever it equals or contains a value that is known to be sensitive: a
//! password in a connection string, `output` of a `terraform_data` whose `input` is marked.

mod collect;
mod names;
mod paths;
mod scrub;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::OnceLock;

use rollback_state::{Instance, Path, State};
use serde_json::{Map, Value};

pub(crate) use names::is_secret_name;
pub(crate) use paths::PathTree;
use scrub::Scrubber;

use crate::knowledge::{Knowledge, Rule};
use crate::plan::Masked;

/// What stands in the place of a sensitive value.
pub const SENSITIVE: &str = "(sensitive)";

/// Masks values and texts. Built once from the states at hand; cheap to ask.
pub struct Redactor {
    /// Strings that are sensitive wherever they stand as a whole value.
    exact: HashSet<String>,
    /// The same for numbers, as written.
    numbers: HashSet<String>,
    /// Attributes that the knowledge of types calls sensitive.
    schema: collect::Schema,
    /// Finds secrets inside longer texts; built when first needed.
    scrubber: OnceLock<Scrubber>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redactor({} secrets)", self.exact.len() + self.numbers.len())
    }
}

impl Redactor {
    /// Knows the secrets of these states (attributes and outputs), and the extra ones: values of
    /// sensitive variables, for example.
    pub fn new<'s>(
        states: impl IntoIterator<Item = &'s State>,
        secrets: impl IntoIterator<Item = impl Into<String>>,
        knowledge: &Knowledge,
    ) -> Self {
        let schema = schema_of(knowledge);
        let mut found = collect::Secrets::default();
        for state in states {
            found.merge(collect::collect(state, &schema));
        }
        Redactor::from_secrets(found, secrets, schema)
    }

    /// As [`Redactor::new`] for two states of one stack, of which most is the same: reads the first
    /// while `meanwhile` finds out which objects of the second differ.
    pub(crate) fn of_both<'i, T: Send>(
        first: &State,
        second: Option<&State>,
        secrets: &[String],
        knowledge: &Knowledge,
        meanwhile: impl FnOnce() -> T,
        differing: impl FnOnce(&T) -> Vec<&'i Instance>,
    ) -> (Self, T) {
        let schema = schema_of(knowledge);
        let (mut found, result) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| collect::collect(first, &schema));
            let result = meanwhile();
            match reading.join() {
                Ok(found) => (found, result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        if let Some(second) = second {
            found.merge(collect::collect_rest(second, differing(&result).into_iter(), &schema));
        }
        (Redactor::from_secrets(found, secrets.iter().cloned(), schema), result)
    }

    fn from_secrets(
        mut found: collect::Secrets,
        secrets: impl IntoIterator<Item = impl Into<String>>,
        schema: collect::Schema,
    ) -> Self {
        for secret in secrets {
            found.add_text(&secret.into());
        }
        Redactor {
            exact: found.strings,
            numbers: found.numbers,
            schema,
            scrubber: OnceLock::new(),
        }
    }

    /// Whether nothing is known to be secret beyond names.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.numbers.is_empty()
    }

    /// Whether an attribute of a type is sensitive by its name or by what is known of the type.
    pub fn is_sensitive(&self, kind: &str, attribute: &str) -> bool {
        is_secret_name(attribute)
            || self
                .schema
                .get(kind)
                .is_some_and(|attributes| attributes.contains(attribute))
    }

    /// The value with what is sensitive masked; `path` are the names that lead to it, outermost first.
    pub fn mask_value(&self, path: &[&str], value: &Value) -> Value {
        if path.iter().any(|name| is_secret_name(name)) && is_worth_masking(value) {
            return Value::from(SENSITIVE);
        }
        self.mask(None, None, value).value
    }

    /// The attributes of an object of a type with what is sensitive masked.
    pub fn mask_attributes(&self, kind: &str, sensitive: &[Path], attributes: &Value) -> Value {
        self.mask_object(kind, &PathTree::new(sensitive), attributes).value
    }

    /// As [`Redactor::mask_attributes`], for Terraform's plan JSON, whose `before_sensitive` and
    /// `after_sensitive` are trees of `true` beside the value.
    pub fn mask_marked(&self, kind: &str, marks: &Value, attributes: &Value) -> Value {
        let masked = self.mask_object(kind, &PathTree::default(), attributes).value;
        apply_marks(masked, marks)
    }

    /// The text with every occurrence of a known secret (four characters or longer) replaced, in its
    /// plain, JSON-escaped, base64, URL-encoded and hexadecimal forms.
    pub fn scrub_text(&self, text: &str) -> String {
        self.scrubber().scrub(text).unwrap_or_else(|| text.to_string())
    }

    fn scrubber(&self) -> &Scrubber {
        self.scrubber
            .get_or_init(|| Scrubber::new(self.exact.iter().chain(&self.numbers).map(String::as_str)))
    }

    pub(crate) fn mask_object(&self, kind: &str, tree: &PathTree, attributes: &Value) -> Masked {
        self.mask(Some(kind), Some(tree), attributes)
    }

    /// `kind` is given at the top level only, where the knowledge of types counts.
    pub(crate) fn mask(&self, kind: Option<&str>, tree: Option<&PathTree>, value: &Value) -> Masked {
        if tree.is_some_and(|tree| tree.masks(value)) {
            return Masked::whole();
        }
        match value {
            Value::Object(object) => self.mask_map(kind, tree, object),
            Value::Array(array) => {
                let (values, marks): (Vec<_>, Vec<_>) = array
                    .iter()
                    .enumerate()
                    .map(|(index, element)| {
                        let masked = self.mask(None, tree.and_then(|tree| tree.element(index)), element);
                        (masked.value, masked.marks)
                    })
                    .unzip();
                let marks = if marks.iter().any(is_marked) {
                    Value::Array(marks)
                } else {
                    Value::Bool(false)
                };
                Masked {
                    value: Value::Array(values),
                    marks,
                }
            }
            Value::String(text) => self.mask_string(text),
            Value::Number(number) if !self.numbers.is_empty() && self.numbers.contains(&number.to_string()) => {
                Masked::whole()
            }
            other => Masked {
                value: other.clone(),
                marks: Value::Bool(false),
            },
        }
    }

    fn mask_map(&self, kind: Option<&str>, tree: Option<&PathTree>, object: &Map<String, Value>) -> Masked {
        let mut values = Map::with_capacity(object.len());
        let mut marks = Map::new();
        for (key, value) in object {
            let masked = if self.is_secret_entry(kind, object, key) && is_worth_masking(value) {
                Masked::whole()
            } else {
                self.mask(None, tree.and_then(|tree| tree.child(object, key)), value)
            };
            // A map's key may itself hold a secret: `{ "<token>" = true }`.
            let key = if kind.is_some() {
                key.clone()
            } else {
                self.scrub_key(key)
            };
            if is_marked(&masked.marks) {
                marks.insert(key.clone(), masked.marks);
            }
            values.insert(key, masked.value);
        }
        let marks = if marks.is_empty() {
            Value::Bool(false)
        } else {
            Value::Object(marks)
        };
        Masked {
            value: Value::Object(values),
            marks,
        }
    }

    /// Whether one entry of an object is a secret by its name, by the knowledge of the type, or as
    /// the `value` beside a telling `name` (environment variables of containers).
    pub(crate) fn is_secret_entry(&self, kind: Option<&str>, object: &Map<String, Value>, key: &str) -> bool {
        match kind {
            Some(kind) if self.is_sensitive(kind, key) => true,
            None if is_secret_name(key) => true,
            _ if key.eq_ignore_ascii_case("value") => ["name", "Name", "key", "Key"]
                .iter()
                .any(|name| object.get(*name).and_then(Value::as_str).is_some_and(is_secret_name)),
            _ => false,
        }
    }

    pub(crate) fn scrub_key(&self, key: &str) -> String {
        if self.is_empty() {
            key.to_string()
        } else {
            self.scrub_text(key)
        }
    }

    fn mask_string(&self, text: &str) -> Masked {
        if self.exact.contains(text) {
            return Masked::whole();
        }
        // A document inside a string: container definitions, policies, user data in JSON.
        if let Some(masked) = self.mask_embedded(text) {
            return masked;
        }
        let scrubbed = if self.is_empty() {
            None
        } else {
            self.scrubber().scrub(text)
        };
        match scrubbed {
            Some(scrubbed) => Masked {
                value: Value::String(scrubbed),
                marks: Value::Bool(true),
            },
            None => Masked {
                value: Value::from(text),
                marks: Value::Bool(false),
            },
        }
    }

    fn mask_embedded(&self, text: &str) -> Option<Masked> {
        let trimmed = text.trim_start();
        if !(trimmed.starts_with('{') || trimmed.starts_with('[')) {
            return None;
        }
        let document: Value = serde_json::from_str(trimmed).ok()?;
        let masked = self.mask(None, None, &document);
        is_marked(&masked.marks).then(|| Masked {
            value: Value::String(masked.value.to_string()),
            marks: Value::Bool(true),
        })
    }
}

fn schema_of(knowledge: &Knowledge) -> collect::Schema {
    let mut schema = collect::Schema::new();
    for (kind, rule) in knowledge.all_rules().filter(|(_, rule)| rule.rule == Rule::Sensitive) {
        schema
            .entry(kind.to_string())
            .or_default()
            .insert(rule.attribute.clone());
    }
    schema
}

impl Masked {
    /// A value of which nothing is shown.
    pub(crate) fn whole() -> Self {
        Masked {
            value: Value::from(SENSITIVE),
            marks: Value::Bool(true),
        }
    }
}

/// Nothing is hidden by masking what says nothing: null, empty text, switches.
pub(crate) fn is_worth_masking(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        Value::Array(array) => !array.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

fn is_marked(marks: &Value) -> bool {
    *marks != Value::Bool(false)
}

fn apply_marks(value: Value, marks: &Value) -> Value {
    match (marks, value) {
        (_, Value::Null) => Value::Null,
        (Value::Bool(true), _) => Value::from(SENSITIVE),
        (Value::Object(marks), Value::Object(mut object)) => {
            for (key, mark) in marks {
                if let Some(value) = object.get_mut(key) {
                    *value = apply_marks(value.take(), mark);
                }
            }
            Value::Object(object)
        }
        (Value::Array(marks), Value::Array(array)) => Value::Array(
            array
                .into_iter()
                .enumerate()
                .map(|(index, value)| match marks.get(index) {
                    Some(mark) => apply_marks(value, mark),
                    None => value,
                })
                .collect(),
        ),
        (_, value) => value,
    }
}
