//! From the parts of a stack, as the caller found them, to its record, with the bytes in a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use rollback_state::State;

use crate::materialise::check_relative_path;
use crate::record::{
    BackendRecord, ModulesRecord, StackRecord, ToolRecord, VariableFile, VariableOrigin, VariableRecord,
};
use crate::variable_file::{Redacted, without_assignments};
use crate::{BlobId, Salt, Store, StoreError};

/// A stack as it was found: everything is given, nothing is looked up.
#[derive(Clone, Default)]
pub struct StackParts {
    pub name: String,
    /// The root module's folder in the repository; empty for its root.
    pub dir: String,
    pub workspace: String,
    /// As made by [`BackendRecord::new`].
    pub backend: BackendRecord,
    pub state: Option<State>,
    /// A state that this one is expected to be like, such as the newest that is kept of the stack; see
    /// [`Store::put_blob_like`].
    pub like: Option<BlobId>,
    /// Path in the repository to bytes.
    pub configuration: BTreeMap<String, Vec<u8>>,
    /// Those of `configuration` that are executable.
    pub executable: BTreeSet<String>,
    pub lock_file: Option<Vec<u8>>,
    pub modules: Option<ModulesParts>,
    pub variable_files: Vec<VariableFilePart>,
    pub variables: Vec<VariablePart>,
    /// Names of variables that the configuration declares sensitive: their assignments are taken out of variable files
    /// that Git does not have.
    pub sensitive_variables: BTreeSet<String>,
    pub terraform: ToolRecord,
    /// Provider's source address to its version.
    pub providers: BTreeMap<String, String>,
    pub depends_on: Vec<String>,
}

/// Modules that `init` downloaded.
#[derive(Clone, Default)]
pub struct ModulesParts {
    /// `modules.json`
    pub manifest: Vec<u8>,
    /// Path below the data directory's `modules` folder to bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    pub executable: BTreeSet<String>,
}

/// A file of assignments that is given to Terraform.
#[derive(Clone)]
pub struct VariableFilePart {
    pub path: String,
    pub bytes: Vec<u8>,
    pub tracked: bool,
}

/// A variable of the root module with the value given from outside.
#[derive(Clone)]
pub struct VariablePart {
    pub name: String,
    pub origin: VariableOrigin,
    pub sensitive: bool,
    pub value: Value,
}

// What Debug shows of them is what may be shown: no bytes and no values.

impl fmt::Debug for StackParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (formatter.debug_struct("StackParts"))
            .field("name", &self.name)
            .field("dir", &self.dir)
            .field("workspace", &self.workspace)
            .field("state_bytes", &self.state.as_ref().map(|state| state.bytes().len()))
            .field("configuration", &self.configuration.keys())
            .field("variable_files", &self.variable_files)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ModulesParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ModulesParts")
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VariableFilePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (formatter.debug_struct("VariableFilePart"))
            .field("path", &self.path)
            .field("tracked", &self.tracked)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VariablePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (formatter.debug_struct("VariablePart"))
            .field("name", &self.name)
            .field("origin", &self.origin)
            .field("sensitive", &self.sensitive)
            .finish_non_exhaustive()
    }
}

/// What goes wrong while a stack is kept.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("stack {stack}: {path:?} cannot be kept: it {reason}")]
    Path {
        stack: String,
        path: String,
        reason: &'static str,
    },
}

impl SnapshotError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SnapshotError::Store(error) => error.hint(),
            SnapshotError::Path { .. } => Some("rename the file, or move it out of the Terraform folders".to_owned()),
        }
    }
}

/// Puts all bytes of a stack into the store and gives the record that names them.
///
/// May be repeated after an error; no release names the bytes until [`crate::Catalogue::commit`].
pub fn write_stack(parts: &StackParts, salt: &Salt, store: &dyn Store) -> Result<StackRecord, SnapshotError> {
    let no_files = BTreeMap::new();
    let module_files = parts.modules.as_ref().map_or(&no_files, |modules| &modules.files);
    for path in parts.configuration.keys().chain(module_files.keys()) {
        check_relative_path(path).map_err(|reason| SnapshotError::Path {
            stack: parts.name.clone(),
            path: path.clone(),
            reason,
        })?;
    }

    let variable_files: Vec<(&VariableFilePart, Redacted)> = parts
        .variable_files
        .iter()
        .map(|file| (file, kept_of(file, &parts.sensitive_variables)))
        .collect();

    // One call for everything, so that a store can write it in parallel; what comes back is taken in the same order.
    let mut all: Vec<&[u8]> = Vec::new();
    all.extend(parts.lock_file.iter().map(Vec::as_slice));
    all.extend(parts.modules.iter().map(|modules| modules.manifest.as_slice()));
    all.extend(parts.configuration.values().map(Vec::as_slice));
    all.extend(module_files.values().map(Vec::as_slice));
    all.extend(variable_files.iter().filter_map(|(_, kept)| kept.bytes.as_deref()));
    let mut ids = store.put_blobs(&all)?.into_iter();
    let mut next = || ids.next().ok_or_else(too_few);

    let state = (parts.state.as_ref())
        .map(|state| store.put_blob_like(state.bytes(), parts.like.as_ref()))
        .transpose()?;
    let lock_file = parts.lock_file.as_ref().map(|_| next()).transpose()?;
    let manifest = parts.modules.as_ref().map(|_| next()).transpose()?;
    let mut named = |files: &BTreeMap<String, Vec<u8>>| -> Result<BTreeMap<_, _>, StoreError> {
        files.keys().map(|path| Ok((path.clone(), next()?))).collect()
    };
    let configuration = named(&parts.configuration)?;
    let files = named(module_files)?;
    let modules = manifest.map(|manifest| ModulesRecord {
        manifest,
        files,
        executable: parts
            .modules
            .as_ref()
            .map(|modules| modules.executable.clone())
            .unwrap_or_default(),
    });
    let variable_files = (variable_files.into_iter())
        .map(|(file, kept)| {
            let blob = kept.bytes.map(|_| next()).transpose()?;
            Ok(VariableFile {
                path: file.path.clone(),
                blob,
                tracked: file.tracked,
                left_out: kept.left_out,
            })
        })
        .collect::<Result<_, StoreError>>()?;

    let mut record = StackRecord {
        name: parts.name.clone(),
        dir: parts.dir.clone(),
        commit: None,
        workspace: parts.workspace.clone(),
        backend: parts.backend.clone(),
        state: None,
        configuration,
        executable: parts.executable.clone(),
        lock_file,
        modules,
        variable_files,
        variables: parts
            .variables
            .iter()
            .map(|variable| variable_record(variable, parts, salt))
            .collect(),
        terraform: parts.terraform.clone(),
        providers: parts.providers.clone(),
        schema_versions: BTreeMap::new(),
        depends_on: parts.depends_on.clone(),
    };
    if let (Some(state), Some(blob)) = (&parts.state, state) {
        record.set_state(state, blob);
    }
    Ok(record)
}

fn too_few() -> StoreError {
    StoreError::Damaged {
        place: "the store".to_owned(),
        reason: "it answered for fewer blobs than it got".to_owned(),
    }
}

fn kept_of(file: &VariableFilePart, sensitive: &BTreeSet<String>) -> Redacted {
    if file.tracked || sensitive.is_empty() {
        return Redacted {
            bytes: Some(file.bytes.clone()),
            left_out: Vec::new(),
        };
    }
    without_assignments(&file.path, &file.bytes, sensitive)
}

fn variable_record(variable: &VariablePart, parts: &StackParts, salt: &Salt) -> VariableRecord {
    let sensitive = variable.sensitive || parts.sensitive_variables.contains(&variable.name);
    VariableRecord {
        name: variable.name.clone(),
        origin: variable.origin,
        sensitive,
        fingerprint: salt.fingerprint(&variable.name, &variable.value),
        // What comes by the environment or the command line is often a secret that nobody declared as one.
        value: (!sensitive && variable.origin == VariableOrigin::File).then(|| variable.value.clone()),
    }
}

impl BackendRecord {
    /// A backend's attributes without those that give access (keys, tokens, passwords, connection strings, and the
    /// user's part of URLs), nested blocks included. Their names are kept in `left_out`.
    pub fn new(kind: impl Into<String>, attributes: serde_json::Map<String, Value>) -> BackendRecord {
        let mut left_out = Vec::new();
        let attributes = without_secrets(attributes, "", &mut left_out);
        BackendRecord {
            kind: kind.into(),
            attributes,
            left_out,
        }
    }
}

/// Whether an attribute of a backend gives access, by its name, over all backends of Terraform 1.11: `access_key`,
/// `secret_key`, `token` (s3), `password`, `client_private_key_pem` (http), `conn_str` (pg), `credentials` (gcs),
/// `sas_token`, `client_secret` (azurerm), `http_auth` (consul), `secret_id` (cos), `config_…` of kubernetes are paths.
fn gives_access(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "secret",
        "password",
        "token",
        "credential",
        "private_key",
        "conn_str",
        "http_auth",
        "passphrase",
        "certificate",
    ];
    const NAMES: [&str; 8] = [
        "access_key",
        "encryption_key",
        "sse_customer_key",
        "client_key",
        "key_material",
        "ssh_key",
        "security_token",
        "key_pem",
    ];
    // Places and switches, not the thing itself.
    let harmless = ["_file", "_files", "_path", "_url", "_id_url", "_validation"]
        .iter()
        .any(|end| name.ends_with(end));
    !harmless && (NAMES.contains(&name) || PARTS.iter().any(|part| name.contains(part)))
}

fn without_secrets(
    attributes: serde_json::Map<String, Value>,
    place: &str,
    left_out: &mut Vec<String>,
) -> serde_json::Map<String, Value> {
    let mut kept = serde_json::Map::new();
    for (name, value) in attributes {
        let place = if place.is_empty() {
            name.clone()
        } else {
            format!("{place}.{name}")
        };
        if !value.is_null() && gives_access(&name) {
            left_out.push(place);
        } else {
            kept.insert(name, harmless(value, &place, left_out));
        }
    }
    kept
}

fn harmless(value: Value, place: &str, left_out: &mut Vec<String>) -> Value {
    match value {
        Value::Object(members) => Value::Object(without_secrets(members, place, left_out)),
        Value::Array(items) => items.into_iter().map(|item| harmless(item, place, left_out)).collect(),
        Value::String(text) => match without_user(&text) {
            Some(text) => {
                left_out.push(format!("{place} (user and password)"));
                Value::String(text)
            }
            None => Value::String(text),
        },
        other => other,
    }
}

/// `https://user:password@host/…` without `user:password@`; `None` where there is no such thing.
fn without_user(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (user, _) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{}", &rest[user.len() + 1..]))
}

#[cfg(test)]
mod tests;
