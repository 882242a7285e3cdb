//! A state: its bytes and where everything stands in them.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::address::InstanceId;
use crate::edit::Editor;
use crate::error::StateError;
use crate::instance::Instance;
use crate::json::{decode_value, encode_string};
use crate::parse::{Document, FORMAT, read};

/// A Terraform or OpenTofu state in format 4.
///
/// Holds the very bytes that it was parsed from. Cloning shares them.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    text: String,
    document: Document,
    sha256: OnceLock<String>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("State")
            .field("serial", &self.serial())
            .field("lineage", &self.lineage())
            .field("instances", &self.instance_count())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Reads a state.
    ///
    /// The whole document is validated, attributes included, but nothing in it is decoded that is not needed to
    /// name the instances. Unknown fields are kept and passed over. As in Terraform, `serial`, `lineage`,
    /// `terraform_version`, `outputs` and `resources` may be missing.
    ///
    /// # Errors
    /// One [`StateError`] for each way in which bytes are not a state of format 4.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<State, StateError> {
        let (text, document) = read(bytes.into())?;
        Ok(State {
            inner: Arc::new(Inner {
                text,
                document,
                sha256: OnceLock::new(),
            }),
        })
    }

    /// A state with nothing in it, serial 0, as Terraform writes it.
    pub fn empty(terraform_version: &str, lineage: &str) -> State {
        let text = format!(
            "{{\n  \"version\": 4,\n  \"terraform_version\": {},\n  \"serial\": 0,\n  \"lineage\": {},\n  \
             \"outputs\": {{}},\n  \"resources\": [],\n  \"check_results\": null\n}}\n",
            encode_string(terraform_version),
            encode_string(lineage),
        );
        match State::parse(text) {
            Ok(state) => state,
            Err(error) => unreachable!("an empty state is a state: {error}"),
        }
    }

    /// The bytes that it was parsed from.
    pub fn bytes(&self) -> &[u8] {
        self.inner.text.as_bytes()
    }

    /// The bytes as the text that they are.
    pub(crate) fn text(&self) -> &str {
        &self.inner.text
    }

    pub(crate) fn document(&self) -> &Document {
        &self.inner.document
    }

    /// The SHA-256 of the bytes in hexadecimal; computed once, on first use.
    ///
    /// Two states are the same only if this is: lineage and serial are not unique (a local apply can write other
    /// content under the same serial).
    pub fn sha256(&self) -> String {
        self.inner
            .sha256
            .get_or_init(|| hex::encode(Sha256::digest(self.bytes())))
            .clone()
    }

    /// The state's format: always 4.
    pub fn version(&self) -> u64 {
        FORMAT
    }

    /// Which version wrote it; empty where it does not say.
    pub fn terraform_version(&self) -> &str {
        &self.inner.document.terraform_version
    }

    /// How often the state changed; 0 where it does not say.
    pub fn serial(&self) -> u64 {
        self.inner.document.serial
    }

    /// Which history of states it belongs to; empty where it does not say, which switches Terraform's checks off.
    pub fn lineage(&self) -> &str {
        &self.inner.document.lineage
    }

    /// How many entries `resources` has.
    pub fn resource_count(&self) -> usize {
        self.inner.document.entries.len()
    }

    /// How many objects it holds: managed, data and deposed ones.
    pub fn instance_count(&self) -> usize {
        self.inner.document.instances.len()
    }

    /// All objects in the order of the file: managed, data and deposed ones.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &Instance> + DoubleEndedIterator {
        self.inner.document.instances.iter()
    }

    /// The object with this id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        let document = &self.inner.document;
        document
            .index
            .find(&document.instances, id)
            .map(|position| &document.instances[position])
    }

    /// Where the object with this id is among [`State::instances`].
    pub(crate) fn position(&self, id: &InstanceId) -> Option<usize> {
        let document = &self.inner.document;
        document.index.find(&document.instances, id)
    }

    /// The output values of the root module in the order of the file.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        let text = self.text();
        self.inner.document.outputs.iter().map(move |output| Output {
            name: &output.name,
            sensitive: output.sensitive,
            value: output.value.of(text),
            kind: output.kind.map(|span| span.of(text)),
        })
    }

    /// The array `check_results` as it stands; none where it is null or missing.
    pub fn check_results_raw(&self) -> Option<&[u8]> {
        self.inner
            .document
            .check_results
            .map(|span| span.of(self.text()).as_bytes())
    }

    /// Whether it has neither resources nor outputs.
    pub fn is_empty(&self) -> bool {
        self.inner.document.entries.is_empty() && self.inner.document.outputs.is_empty()
    }

    /// Begins an edit. This state stays as it is.
    pub fn edit(&self) -> Editor {
        Editor::new(self.clone())
    }
}

/// An output value of the root module.
#[derive(Clone, Copy)]
pub struct Output<'s> {
    /// Its name.
    pub name: &'s str,
    /// Whether the configuration says that it is sensitive.
    pub sensitive: bool,
    value: &'s str,
    kind: Option<&'s str>,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Output")
            .field("name", &self.name)
            .field("sensitive", &self.sensitive)
            .finish_non_exhaustive()
    }
}

impl<'s> Output<'s> {
    /// The value's JSON as it stands.
    pub fn value_raw(&self) -> &'s [u8] {
        self.value.as_bytes()
    }

    /// The type's JSON as it stands, such as `"string"` or `["list","string"]`.
    pub fn type_raw(&self) -> Option<&'s [u8]> {
        self.kind.map(str::as_bytes)
    }

    /// The value, parsed now. Numbers keep their digits.
    pub fn value(&self) -> Value {
        decode_value(self.value)
    }
}
