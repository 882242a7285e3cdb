//! What can be wrong with a state file, one clear error each.

use crate::address::InstanceId;

/// A place in a text: line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

impl Place {
    /// Where a byte offset is. A multi-byte character counts as one column.
    pub(crate) fn of(bytes: &[u8], offset: usize) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |position| position + 1);
        let continuation = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
        Place {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before[line_start..].iter().filter(continuation).count() + 1,
        }
    }
}

/// Why bytes are not a state that can be worked with.
///
/// Paths are written as in `resources[3].instances[0].schema_version`. No message holds an attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Nothing but whitespace. Terraform takes an empty file for "no state yet".
    #[error("the state is empty")]
    Empty,
    /// UTF-16, with or without a byte order mark: what PowerShell's `>` writes.
    #[error("the state is UTF-16, not UTF-8")]
    Utf16,
    /// A UTF-8 byte order mark. Terraform 1.11 refuses such a file too (`syntax error at byte offset 1`).
    #[error("the state begins with a UTF-8 byte order mark")]
    ByteOrderMark,
    /// Bytes that are not UTF-8.
    #[error("the state is not valid UTF-8 at {place}")]
    NotUtf8 {
        /// The first bad byte.
        place: Place,
    },
    /// A ZIP archive: a saved plan.
    #[error("this is a saved plan (a ZIP archive), not a state")]
    PlanFile,
    /// Compressed with gzip.
    #[error("this is compressed with gzip")]
    Compressed,
    /// The binary format before Terraform 0.7.
    #[error("this is a state in the binary format before Terraform 0.7")]
    BinaryFormat,
    /// Does not even begin like JSON.
    #[error("this is not JSON: it begins with {found}")]
    NotJson {
        /// What stands there, described.
        found: String,
    },
    /// A JSON document by `terraform show -json` or another tool that has `format_version`.
    #[error("this is the output of `terraform show -json` (format_version {format_version}), not a state")]
    ShowOutput {
        /// The output's format version.
        format_version: String,
    },
    /// `.terraform/terraform.tfstate`: which backend a folder was initialised with.
    #[error("this is Terraform's record of the backend, not a state")]
    BackendRecord,
    /// Encrypted by OpenTofu.
    #[error("the state is encrypted by OpenTofu")]
    Encrypted,
    /// Format 0 to 3.
    #[error("the state has format {version}, written by {}; only format 4 is read", writer(.terraform_version))]
    OldFormat {
        /// The format.
        version: u64,
        /// Who wrote it, where it says so.
        terraform_version: Option<String>,
    },
    /// Format 5 or later.
    #[error("the state has format {version}, written by {}; only format 4 is known", writer(.terraform_version))]
    FutureFormat {
        /// The format.
        version: u64,
        /// Who wrote it, where it says so.
        terraform_version: Option<String>,
    },
    /// The bytes end within the document.
    #[error("the state is cut off: it ends at {place} within the document")]
    Truncated {
        /// Where it ends.
        place: Place,
    },
    /// Not JSON.
    #[error("the state is not valid JSON at {place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What was expected.
        message: &'static str,
    },
    /// Something follows the document.
    #[error("something follows the end of the state at {place}")]
    TrailingData {
        /// Where it begins.
        place: Place,
    },
    /// Arrays and objects nested too deep.
    #[error("the state nests more than {limit} levels deep at {place}")]
    TooDeep {
        /// Where.
        place: Place,
        /// The limit.
        limit: u32,
    },
    /// More than 4 GiB.
    #[error("the state has {length} bytes; at most {limit} can be read")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// One key twice in the same object.
    #[error("{path} stands twice in the same object, again at {place}")]
    DuplicateKey {
        /// The second one.
        place: Place,
        /// The path of the member.
        path: String,
    },
    /// A field is not there.
    #[error("{path} is missing (in the object at {place})")]
    MissingField {
        /// Where the object begins.
        place: Place,
        /// The path of the field.
        path: String,
    },
    /// A field has another type.
    #[error("{path} must be {expected}, but it is {found} at {place}")]
    WrongType {
        /// Where the value is.
        place: Place,
        /// The path of the field.
        path: String,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("{path} is not valid at {place}: {reason}")]
    InvalidValue {
        /// Where the value is.
        place: Place,
        /// The path of the field.
        path: String,
        /// Why.
        reason: String,
    },
    /// Two objects at one address. Terraform refuses them too (`Duplicate resource instance in state`).
    #[error("{id} stands twice in the state: at {first} and at {second}")]
    DuplicateInstance {
        /// The address.
        id: Box<InstanceId>,
        /// The first one.
        first: Place,
        /// The second one.
        second: Place,
    },
}

fn writer(terraform_version: &Option<String>) -> String {
    match terraform_version {
        Some(version) => format!("Terraform {version}"),
        None => "an unnamed version of Terraform".to_owned(),
    }
}

impl StateError {
    /// What to do next, where a person can do something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            StateError::Empty => {
                "an empty file means that nothing was applied yet; if there should be a state, restore it from a \
                 backup or an earlier version in the backend"
            }
            StateError::Utf16 => {
                "PowerShell's `>` writes UTF-16: pull it again with `terraform state pull | Out-File -Encoding utf8NoBOM`, \
                 or convert it with `iconv -f UTF-16 -t UTF-8`"
            }
            StateError::ByteOrderMark => {
                "Terraform refuses it as well: remove the first three bytes, for example with `tail -c +4 FILE`"
            }
            StateError::PlanFile => "give the state: `terraform state pull` prints it",
            StateError::Compressed => "unpack it first with `gunzip`",
            StateError::BinaryFormat => "upgrade it with Terraform 0.6.16, then step by step",
            StateError::NotJson { .. } | StateError::MissingField { .. } => {
                "a state is the JSON document that `terraform state pull` prints"
            }
            StateError::ShowOutput { .. } => {
                "`terraform show -json` cannot be turned back into a state; use what `terraform state pull` prints"
            }
            StateError::BackendRecord => {
                "the state itself is in that backend: run `terraform state pull` in the folder"
            }
            StateError::Encrypted => {
                "`tofu state pull`, run in the folder with its encryption configuration, prints it decrypted"
            }
            StateError::OldFormat { .. } => {
                "upgrade it: run `terraform apply` with Terraform 0.12 or later (formats 1 to 3 come from 0.11 and \
                 before; go through 0.11.14 and 0.12 with `terraform 0.12upgrade`), or `terraform refresh`"
            }
            StateError::FutureFormat { .. } => "use a newer version of this tool that knows this format",
            StateError::Truncated { .. } => {
                "writing or copying it was cut short: pull it again, or restore the version before"
            }
            StateError::Syntax { .. } | StateError::NotUtf8 { .. } => {
                "the file was damaged or edited by hand: pull it again, or restore the version before"
            }
            StateError::TrailingData { .. } => {
                "remove what follows the closing brace; two states written one after the other look like this"
            }
            StateError::DuplicateKey { .. } => {
                "Terraform would silently take the last of the two: find out which is right and remove the other"
            }
            StateError::DuplicateInstance { .. } => {
                "Terraform refuses this state as well: remove one of the two objects, or restore the version before"
            }
            StateError::TooDeep { .. }
            | StateError::TooLarge { .. }
            | StateError::WrongType { .. }
            | StateError::InvalidValue { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
