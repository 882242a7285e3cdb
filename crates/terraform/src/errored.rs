//! `errored.tfstate`: what terraform leaves in its folder when infrastructure was changed and the state could not be written.
//! It is the only record of what was done: it comes first on every recovery.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::error::TerraformError;
use crate::folder::Folder;

/// As terraform names it.
pub const FILE_NAME: &str = "errored.tfstate";
/// What it is called once it has been pushed.
pub const PUSHED_NAME: &str = "errored.pushed.tfstate";

/// Serial and lineage of a state; nothing else is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StateHeader {
    #[serde(default)]
    pub version: u64,
    #[serde(default)]
    pub serial: u64,
    #[serde(default)]
    pub lineage: String,
    #[serde(default)]
    pub terraform_version: String,
    #[serde(default, rename = "resources", deserialize_with = "has_entries")]
    has_resources: bool,
    #[serde(default, rename = "outputs", deserialize_with = "has_entries")]
    has_outputs: bool,
}

/// Whether a list or object has an entry, without keeping any.
fn has_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = bool;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list or an object")
        }
        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<bool, A::Error> {
            let mut any = false;
            while sequence.next_element::<IgnoredAny>()?.is_some() {
                any = true;
            }
            Ok(any)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut any = false;
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                any = true;
            }
            Ok(any)
        }
    }
    deserializer.deserialize_any(Entries)
}

impl StateHeader {
    /// Whether there is any resource or output.
    pub fn has_content(&self) -> bool {
        self.has_resources || self.has_outputs
    }

    pub fn parse(bytes: &[u8]) -> Result<StateHeader, TerraformError> {
        serde_json::from_slice(bytes).map_err(|error| TerraformError::Document {
            what: "a state".into(),
            message: format!("line {} column {}", error.line(), error.column()),
        })
    }
}

/// A state that was left behind. `Debug` elides the bytes.
#[derive(Clone)]
pub struct ErroredState {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub header: StateHeader,
    /// Hexadecimal, of the bytes.
    pub sha256: String,
}

impl fmt::Debug for ErroredState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ErroredState")
            .field("path", &self.path)
            .field("header", &self.header)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// Looks for one in a folder. One that cannot be read is an error: it must not be passed over.
pub fn recover_errored_state(folder: &Path) -> Result<Option<ErroredState>, TerraformError> {
    let path = folder.join(FILE_NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TerraformError::io("read", path)(error)),
    };
    let header = StateHeader::parse(&bytes)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Ok(Some(ErroredState {
        path,
        bytes,
        header,
        sha256,
    }))
}

/// What came of pushing one back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// There was none.
    Nothing,
    /// It is the live state now; the file is called [`PUSHED_NAME`].
    Pushed { serial: u64 },
    /// The live state is the same or a later one of the same lineage: nothing was written, the file stays where it is unless
    /// the content is the same.
    Superseded {
        live_serial: u64,
        errored_serial: u64,
        same_content: bool,
    },
}

impl Folder {
    /// Pushes an `errored.tfstate` of this folder to the folder's backend, never with force.
    ///
    /// # Errors
    /// [`TerraformError::LineageMismatch`] when the live state is of another lineage: a person must look.
    pub fn push_errored_state(&self) -> Result<Recovered, TerraformError> {
        let Some(errored) = recover_errored_state(self.root())? else {
            return Ok(Recovered::Nothing);
        };
        let live = self.state_pull()?;
        if let Some(bytes) = &live {
            let header = StateHeader::parse(bytes)?;
            // A push into an empty remote backend makes a new lineage (seen with 1.11 and the http backend): content comes first.
            if same_content(bytes, &errored.bytes) {
                self.mark_pushed(&errored)?;
                return Ok(Recovered::Superseded {
                    live_serial: header.serial,
                    errored_serial: errored.header.serial,
                    same_content: true,
                });
            }
            if header.lineage != errored.header.lineage {
                let detail = format!(
                    "errored.tfstate has lineage {:?}, the live state {:?}",
                    errored.header.lineage, header.lineage
                );
                return Err(TerraformError::LineageMismatch {
                    diagnostics: vec![crate::Diagnostic::error(
                        "errored.tfstate belongs to another state",
                        detail,
                    )],
                });
            }
            if header.serial >= errored.header.serial {
                return Ok(Recovered::Superseded {
                    live_serial: header.serial,
                    errored_serial: errored.header.serial,
                    same_content: false,
                });
            }
        }
        self.state_push(&errored.path, false)?;
        self.mark_pushed(&errored)?;
        Ok(Recovered::Pushed {
            serial: errored.header.serial,
        })
    }

    fn mark_pushed(&self, errored: &ErroredState) -> Result<(), TerraformError> {
        fs::rename(&errored.path, self.root().join(PUSHED_NAME)).map_err(TerraformError::io("rename", &errored.path))
    }
}

/// Equal apart from the serial, which a backend raises on its own, and the lineage.
fn same_content(left: &[u8], right: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let map = value.as_object_mut()?;
        map.shift_remove("serial");
        map.shift_remove("lineage");
        Some(value)
    };
    read(left).is_some_and(|left| Some(left) == read(right))
}
