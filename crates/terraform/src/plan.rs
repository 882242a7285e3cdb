//! The JSON of a plan (`terraform show -json PLANFILE`), formats 0.1 to 1.x.
//!
//! Sensitive values stand in it in clear text (`variables`, `before`, `after`), so that nothing here prints them: `Debug` elides.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::TerraformError;

/// One of terraform's actions on an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    NoOp,
    Create,
    Read,
    Update,
    Delete,
    Forget,
    /// An action this crate does not know: nothing may be assumed about it.
    Other(String),
}

impl Action {
    /// As terraform writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Action::NoOp => "no-op",
            Action::Create => "create",
            Action::Read => "read",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Forget => "forget",
            Action::Other(name) => name,
        }
    }
}

impl From<String> for Action {
    fn from(name: String) -> Action {
        match name.as_str() {
            "no-op" => Action::NoOp,
            "create" => Action::Create,
            "read" => Action::Read,
            "update" => Action::Update,
            "delete" => Action::Delete,
            "forget" => Action::Forget,
            _ => Action::Other(name),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Action::from)
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `null` and a missing key both mean the default: the Go side writes either for an empty list or map.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn deposed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(key) => Ok(Some(key)),
        Value::Bool(true) => Ok(Some("(unnamed)".into())),
        Value::Null | Value::Bool(false) => Ok(None),
        _ => Err(serde::de::Error::custom("deposed is no key")),
    }
}

/// What is imported. `id` is absent while unknown; resources imported by identity (1.12) have `identity`.
#[derive(Clone, Deserialize, Serialize)]
pub struct Importing {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub unknown: bool,
    #[serde(default)]
    pub identity: Option<Value>,
}

/// What happens to one object, output or check.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct ChangeBody {
    #[serde(default, deserialize_with = "or_default")]
    pub actions: Vec<Action>,
    #[serde(default)]
    pub before: Value,
    #[serde(default)]
    pub after: Value,
    #[serde(default)]
    pub after_unknown: Value,
    #[serde(default)]
    pub before_sensitive: Value,
    #[serde(default)]
    pub after_sensitive: Value,
    #[serde(default, deserialize_with = "or_default")]
    pub replace_paths: Vec<Vec<Value>>,
    #[serde(default)]
    pub importing: Option<Importing>,
}

impl Plan {
    /// Addresses of the objects that the refresh did not find any more.
    pub fn deleted_outside(&self) -> BTreeSet<&str> {
        let drift = self.resource_drift.iter().filter(|drift| drift.deletes());
        drift.map(|drift| drift.address.as_str()).collect()
    }
}

impl ChangeBody {
    fn has(&self, action: &Action) -> bool {
        self.actions.contains(action)
    }
}

/// One row of `resource_changes` or `resource_drift`.
#[derive(Clone, Deserialize, Serialize)]
pub struct ResourceChange {
    #[serde(default)]
    pub address: String,
    /// Where the object was before a move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<String>,
    #[serde(default)]
    pub module_address: Option<String>,
    /// `managed` or `data`.
    #[serde(default)]
    pub mode: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub name: String,
    /// The instance key: integer, string or null.
    #[serde(default)]
    pub index: Value,
    /// The key of a deposed object; `(unnamed)` from a 0.12 preview that wrote `true`.
    #[serde(default, deserialize_with = "deposed", skip_serializing_if = "Option::is_none")]
    pub deposed: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub provider_name: String,
    pub change: ChangeBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_reason: Option<String>,
}

impl ResourceChange {
    pub fn is_managed(&self) -> bool {
        self.mode == "managed"
    }

    /// Nothing happens to the object. A move and an import can still be part of it: see [`ResourceChange::is_untouched`].
    pub fn is_noop(&self) -> bool {
        self.change.actions == [Action::NoOp]
    }

    /// No action, no move, no import: applying leaves this object and its place in the state as they are.
    pub fn is_untouched(&self) -> bool {
        self.is_noop() && self.moved_from().is_none() && !self.imports()
    }

    /// Destroyed and created again, in either order. `[create, forget]` is none: the old object lives on outside.
    pub fn is_replace(&self) -> bool {
        self.change.has(&Action::Delete) && self.change.has(&Action::Create)
    }

    /// A real object is destroyed, by a replacement too.
    pub fn deletes(&self) -> bool {
        self.change.has(&Action::Delete)
    }

    /// A new real object comes into being, by a replacement too.
    pub fn creates(&self) -> bool {
        self.change.has(&Action::Create)
    }

    pub fn updates(&self) -> bool {
        self.change.has(&Action::Update)
    }

    /// Reads a data source (during apply).
    pub fn reads(&self) -> bool {
        self.change.has(&Action::Read)
    }

    /// The object leaves the state and lives on.
    pub fn forgets(&self) -> bool {
        self.change.has(&Action::Forget)
    }

    pub fn imports(&self) -> bool {
        self.change.importing.is_some()
    }

    /// The address it is moved from, where it is moved.
    pub fn moved_from(&self) -> Option<&str> {
        self.previous_address
            .as_deref()
            .filter(|previous| !previous.is_empty() && *previous != self.address)
    }

    /// An action of a later terraform: must not be waved through.
    pub fn has_unknown_action(&self) -> bool {
        self.change.actions.is_empty()
            || self
                .change
                .actions
                .iter()
                .any(|action| matches!(action, Action::Other(_)))
    }
}

/// How many objects see what, moves and forgets included (`Plan: 0 to add…` counts neither).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCounts {
    pub create: usize,
    pub update: usize,
    pub delete: usize,
    pub replace: usize,
    pub forget: usize,
    pub import: usize,
    pub moved: usize,
    pub read: usize,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    format_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    terraform_version: String,
    #[serde(default, deserialize_with = "or_default")]
    resource_changes: Vec<ResourceChange>,
    #[serde(default, deserialize_with = "or_default")]
    resource_drift: Vec<ResourceChange>,
    #[serde(default, deserialize_with = "or_default")]
    deferred_changes: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    output_changes: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    variables: Map<String, Value>,
    #[serde(default)]
    configuration: Value,
    #[serde(default)]
    applyable: Option<bool>,
    #[serde(default)]
    complete: Option<bool>,
    #[serde(default)]
    errored: Option<bool>,
    #[serde(default)]
    timestamp: Option<String>,
}

/// A plan as `show -json` tells it. Cloning is cheap for the bytes only.
#[derive(Clone)]
pub struct Plan {
    pub format_version: String,
    pub terraform_version: String,
    pub resource_changes: Vec<ResourceChange>,
    /// What the refresh found changed outside terraform.
    pub resource_drift: Vec<ResourceChange>,
    /// Changes put off to a later plan (1.9 and later, experimental): a plan with these is not whole.
    pub deferred_changes: usize,
    pub output_changes: Vec<(String, ChangeBody)>,
    /// Root variables by name, values in clear text.
    pub variables: Map<String, Value>,
    pub configuration: Value,
    /// Absent before 1.8 and in OpenTofu: then whether something is to be done is read from the changes.
    pub applyable: Option<bool>,
    /// False under `-target` and with deferred changes. Absent before 1.8 and in OpenTofu.
    pub complete: Option<bool>,
    /// Planning failed halfway; terraform refuses to apply such a plan.
    pub errored: bool,
    pub timestamp: Option<String>,
    bytes: Arc<[u8]>,
    raw: Arc<OnceLock<Value>>,
}

impl Plan {
    /// Reads the JSON of a plan.
    ///
    /// # Errors
    /// [`TerraformError::Plan`] for what is no JSON, no plan (a state, a plan file itself), or a format of a later major version.
    /// The message never quotes a value.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Plan, TerraformError> {
        let bytes: Vec<u8> = bytes.into();
        let fail = |message: String| TerraformError::Plan { message };
        // PowerShell's redirection puts a byte order mark in front.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(fail("the file is empty".into()));
        }
        if text.starts_with(b"PK\x03\x04") || text.starts_with(b"tfplan") {
            return Err(fail("this is a plan file itself, not its JSON".into()));
        }
        if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
            return Err(fail("the text is UTF-16; JSON is UTF-8".into()));
        }
        let document: Document = match serde_json::from_slice(text) {
            Ok(document) => document,
            Err(error) if error.is_data() && !has_format_version(text) => return Err(fail(NO_FORMAT.into())),
            Err(error) => return Err(fail(describe(&error))),
        };
        let Some(format_version) = document.format_version else {
            return Err(fail(NO_FORMAT.into()));
        };
        let major = format_version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        match major {
            Some(0 | 1) => {}
            Some(_) => {
                return Err(fail(format!(
                    "plan format {format_version} is newer than this program; it reads 0.x and 1.x"
                )));
            }
            None => return Err(fail("`format_version` is no version".into())),
        }
        if let Some(index) = document
            .resource_changes
            .iter()
            .position(|change| change.address.is_empty())
        {
            return Err(fail(format!("resource_changes[{index}] has no address")));
        }
        let mut output_changes = Vec::with_capacity(document.output_changes.len());
        for (name, value) in document.output_changes {
            let body =
                serde_json::from_value(value).map_err(|_| fail(format!("output_changes of {name} is no change")))?;
            output_changes.push((name, body));
        }
        Ok(Plan {
            format_version,
            terraform_version: document.terraform_version,
            resource_changes: document.resource_changes,
            resource_drift: document.resource_drift,
            deferred_changes: document.deferred_changes.len(),
            output_changes,
            variables: document.variables,
            configuration: document.configuration,
            applyable: document.applyable,
            complete: document.complete,
            errored: document.errored.unwrap_or(false),
            timestamp: document.timestamp,
            bytes: bytes.into(),
            raw: Arc::new(OnceLock::new()),
        })
    }

    /// The very bytes it was read from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole document; parsed at the first call, since few callers need it.
    pub fn raw(&self) -> &Value {
        self.raw.get_or_init(|| {
            let text = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
            serde_json::from_slice(text).unwrap_or(Value::Null)
        })
    }

    /// Rows in which something happens, moves and imports included.
    pub fn changes(&self) -> impl Iterator<Item = &ResourceChange> {
        self.resource_changes.iter().filter(|change| !change.is_untouched())
    }

    /// The row of an object at an address that is not deposed.
    pub fn change(&self, address: &str) -> Option<&ResourceChange> {
        self.resource_changes
            .iter()
            .find(|change| change.address == address && change.deposed.is_none())
    }

    /// Nothing at all would be done: no object, no move, no import, no output.
    pub fn is_empty(&self) -> bool {
        !self.errored
            && self.deferred_changes == 0
            && self.changes().next().is_none()
            && self
                .output_changes
                .iter()
                .all(|(_, change)| change.actions == [Action::NoOp])
    }

    pub fn counts(&self) -> PlanCounts {
        let mut counts = PlanCounts::default();
        for change in &self.resource_changes {
            counts.replace += usize::from(change.is_replace());
            counts.create += usize::from(change.creates() && !change.is_replace());
            counts.delete += usize::from(change.deletes() && !change.is_replace());
            counts.update += usize::from(change.updates());
            counts.forget += usize::from(change.forgets());
            counts.import += usize::from(change.imports());
            counts.moved += usize::from(change.moved_from().is_some());
            counts.read += usize::from(change.reads());
        }
        counts
    }

    /// A digest of what the plan does: two plans of the same thing have the same one. See [`crate::digest`].
    pub fn digest(&self) -> String {
        crate::digest::digest(self)
    }
}

const NO_FORMAT: &str = "there is no `format_version`: this is no plan";

fn has_format_version(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "format_version")]
        _format_version: String,
    }
    serde_json::from_slice::<Header>(text).is_ok()
}

/// serde_json's own message can quote a value ("invalid type: string \"hunter2\"…"): only its place and class are told.
fn describe(error: &serde_json::Error) -> String {
    let class = match error.classify() {
        serde_json::error::Category::Syntax => "no valid JSON",
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Data => "not shaped like a plan",
        serde_json::error::Category::Io => "unreadable",
    };
    format!("{class} at line {} column {}", error.line(), error.column())
}

impl fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Plan")
            .field("format_version", &self.format_version)
            .field("terraform_version", &self.terraform_version)
            .field("resource_changes", &self.resource_changes)
            .field("errored", &self.errored)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResourceChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}", self.address, self.change)
    }
}

impl fmt::Debug for ChangeBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChangeBody")
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Importing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Importing")
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
