//! One object of a state, as positions in its bytes.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::address::{Address, InstanceId, Mode, ModulePath, ResourceAddress};
use crate::json::{Scanner, Span, decode_string, decode_value, members};
use crate::parse::read_sensitive_paths;
use crate::state::State;

/// The way to a value within an instance's attributes.
pub type Path = Vec<PathStep>;

/// One step of a [`Path`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// An attribute of an object.
    Attribute(String),
    /// An element: a number for lists, a string for maps, the element itself for sets (which may be a secret).
    Index(Value),
}

impl std::fmt::Debug for PathStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathStep::Attribute(name) => formatter.debug_tuple("Attribute").field(name).finish(),
            PathStep::Index(key @ (Value::Number(_) | Value::String(_))) => {
                formatter.debug_tuple("Index").field(&key.to_string()).finish()
            }
            PathStep::Index(_) => formatter.write_str("Index(..)"),
        }
    }
}

/// One object of a [`State`]: the current object of a resource instance, or a deposed one.
///
/// It holds positions only. What reads the bytes takes the state that the instance came from; with another state
/// the answers are meaningless (but safe: nothing is read outside that state's bytes, and it may panic).
#[derive(Clone)]
pub struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) provider: Arc<str>,
    pub(crate) span: Span,
    pub(crate) attributes: Option<Span>,
    pub(crate) identifier: Option<Span>,
    pub(crate) sensitive: Option<Span>,
    pub(crate) private: Option<Span>,
    pub(crate) dependencies: Option<Span>,
    pub(crate) identity: Option<Span>,
    pub(crate) identity_schema_version: Option<u64>,
    pub(crate) schema_version: u64,
    pub(crate) entry: u32,
    pub(crate) flat: bool,
    pub(crate) tainted: bool,
    pub(crate) create_before_destroy: bool,
    pub(crate) own_provider: bool,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Instance")
            .field("id", &self.id.to_string())
            .finish_non_exhaustive()
    }
}

static NO_PROVIDER: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

impl Instance {
    /// An instance of which nothing was read yet.
    pub(crate) fn blank() -> Self {
        let resource = ResourceAddress {
            module: ModulePath::root(),
            mode: Mode::Managed,
            kind: String::new(),
            name: String::new(),
        };
        Self {
            id: InstanceId {
                address: Address { resource, key: None },
                deposed: None,
            },
            provider: Arc::clone(&NO_PROVIDER),
            span: Span::default(),
            attributes: None,
            identifier: None,
            sensitive: None,
            private: None,
            dependencies: None,
            identity: None,
            identity_schema_version: None,
            schema_version: 0,
            entry: 0,
            flat: false,
            tainted: false,
            create_before_destroy: false,
            own_provider: false,
        }
    }

    /// The address, and the deposed key where it has one: unique in a state.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// The address of the resource instance.
    pub fn address(&self) -> &Address {
        &self.id.address
    }

    /// The eight characters of a deposed object; none for the current one.
    pub fn deposed(&self) -> Option<&str> {
        self.id.deposed.as_deref()
    }

    /// Managed or data.
    pub fn mode(&self) -> Mode {
        self.id.address.resource.mode
    }

    /// The provider configuration as the state writes it, such as
    /// `provider["registry.terraform.io/hashicorp/aws"].west`: the instance's own where it has one (OpenTofu with
    /// `for_each` in a provider block), the resource's otherwise.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Whether the next apply will replace it.
    pub fn tainted(&self) -> bool {
        self.tainted
    }

    /// The version of the resource type's schema that the attributes were written with.
    pub fn schema_version(&self) -> u64 {
        self.schema_version
    }

    /// Whether its replacement is created before it is destroyed, also by what depends on it.
    pub fn create_before_destroy(&self) -> bool {
        self.create_before_destroy
    }

    /// Whether the attributes are in the flat form of Terraform before 0.12 (`attributes_flat`).
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// The version of the identity's schema (Terraform 1.12 and later).
    pub fn identity_schema_version(&self) -> Option<u64> {
        self.identity_schema_version
    }

    /// The whole object of the instance as it stands in the state.
    pub fn raw<'s>(&self, state: &'s State) -> &'s [u8] {
        self.span.of(state.text()).as_bytes()
    }

    /// The JSON object of the attributes as it stands, from `attributes` or else `attributes_flat`.
    pub fn attributes_raw<'s>(&self, state: &'s State) -> Option<&'s [u8]> {
        self.attributes.map(|span| span.of(state.text()).as_bytes())
    }

    /// The attributes, parsed now; empty where there are none. Numbers keep their digits.
    pub fn attributes(&self, state: &State) -> Map<String, Value> {
        match self.attributes.map(|span| decode_value(span.of(state.text()))) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// The attribute `id`: how nearly every provider names the real object. Found while the state was parsed.
    pub fn identifier(&self, state: &State) -> Option<String> {
        scalar(self.identifier?.of(state.text()))
    }

    /// A top-level attribute that is a string; found by scanning, without parsing the others.
    pub fn string_attribute(&self, state: &State, name: &str) -> Option<String> {
        let text = state.text();
        let mut found = None;
        let mut scanner = Scanner::at(text, self.attributes?.start(), 0);
        let outcome = scanner.object(|scanner, key| {
            let value = scanner.value()?;
            if key.is(text, name) {
                found = Some(value);
            }
            Ok(())
        });
        debug_assert!(outcome.is_ok());
        let raw = found?.of(text);
        raw.starts_with('"').then(|| decode_string(raw))
    }

    /// Which attributes hold sensitive values by the configuration. What a provider marks sensitive in its schema
    /// is not in here.
    pub fn sensitive_paths(&self, state: &State) -> Vec<Path> {
        self.sensitive
            .and_then(|span| read_sensitive_paths(state.text(), span).ok())
            .unwrap_or_default()
    }

    /// The configuration addresses (without keys) that it was created after.
    pub fn dependencies(&self, state: &State) -> Vec<String> {
        let text = state.text();
        self.dependency_spans(text)
            .into_iter()
            .map(|span| decode_string(span.of(text)))
            .collect()
    }

    /// Where each of the dependencies stands, quotes included.
    pub(crate) fn dependency_spans(&self, text: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        if let Some(array) = self.dependencies {
            let outcome = Scanner::at(text, array.start(), 0).array(|scanner, _| {
                spans.push(scanner.value()?);
                Ok(())
            });
            debug_assert!(outcome.is_ok());
        }
        spans
    }

    /// What the provider keeps for itself: the base64 text as it stands, without quotes.
    pub fn private<'s>(&self, state: &'s State) -> Option<&'s [u8]> {
        let quoted = self.private?.of(state.text());
        Some(&quoted.as_bytes()[1..quoted.len() - 1])
    }

    /// The resource identity (Terraform 1.12 and later).
    pub fn identity(&self, state: &State) -> Option<Value> {
        self.identity.map(|span| decode_value(span.of(state.text())))
    }

    /// The names of the fields of this object, those unknown to this crate too.
    pub fn field_names(&self, state: &State) -> Vec<String> {
        let text = state.text();
        let name = |member: crate::json::Member| member.name(text).into_owned();
        members(text, self.span).into_iter().map(name).collect()
    }
}

/// A string's content, or a number as it is written.
fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes()[0] {
        b'"' => Some(decode_string(raw)),
        b'-' | b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}
