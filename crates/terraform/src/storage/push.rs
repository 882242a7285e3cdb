//! Every other backend: terraform itself reads and writes there (`state pull`, `state push`).

use std::fmt;

use serde_json::Value;
use tempfile::TempDir;

use super::{StateStorage, StoredState, Unlocked};
use crate::backend::BackendConfig;
use crate::error::TerraformError;
use crate::errored::StateHeader;
use crate::folder::Folder;
use crate::local_state::LockInfo;
use crate::private;

/// A state that only terraform can reach. `state push` takes the lock for itself, compares serial and lineage under it, and
/// may store a serial above the one that it was given.
pub struct PushStorage {
    place: String,
    has_locks: bool,
    folder: Folder,
    _keep: TempDir,
}

impl PushStorage {
    /// `folder` holds the backend block and is initialised; `keep` is its temporary folder.
    pub(crate) fn new(place: String, config: &BackendConfig, folder: Folder, keep: TempDir) -> PushStorage {
        PushStorage {
            place,
            has_locks: has_locks(config),
            folder,
            _keep: keep,
        }
    }
}

/// What terraform locks by these settings (1.5 to 1.15): everywhere but where locks are an option that was not taken.
fn has_locks(config: &BackendConfig) -> bool {
    let is_set = |name: &str| match config.config.get(name) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(value) => *value == Value::Bool(true),
        None => false,
    };
    match config.kind.as_str() {
        "s3" => is_set("use_lockfile") || is_set("dynamodb_table"),
        "oss" => is_set("tablestore_table"),
        // Its locks are on unless `lock = false`.
        "consul" => config.config.get("lock") != Some(&Value::Bool(false)),
        _ => true,
    }
}

impl fmt::Debug for PushStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PushStorage").field(&self.place).finish()
    }
}

impl StateStorage for PushStorage {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn read(&self) -> Result<Option<StoredState>, TerraformError> {
        let bytes = self.folder.state_pull()?;
        Ok(bytes.map(|bytes| StoredState { bytes, version: None }))
    }

    fn has_locks(&self) -> bool {
        self.has_locks
    }

    fn lock_outlives_process(&self) -> bool {
        false
    }

    fn lock(&self, _: &LockInfo) -> Result<(), TerraformError> {
        Ok(())
    }

    fn write(&self, bytes: &[u8], _: Option<&StoredState>, _: &LockInfo) -> Result<(), TerraformError> {
        let file = self.folder.root().join("push.tfstate");
        private::write_file(&file, bytes)?;
        let pushed = self.folder.state_push(&file, false);
        let _ = std::fs::remove_file(&file);
        pushed
    }

    fn unlock(&self, _: &LockInfo) -> Result<Unlocked, TerraformError> {
        Ok(Unlocked::Yes)
    }

    fn highest_serial(&self) -> Result<u64, TerraformError> {
        let state = self.read()?;
        Ok(state
            .and_then(|state| StateHeader::parse(&state.bytes).ok())
            .map_or(0, |header| header.serial))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn locks_that_are_an_option_are_there_where_it_was_taken() {
        for (kind, config, expected) in [
            ("s3", json!({"http_proxy": "http://proxy"}), false),
            ("s3", json!({"use_lockfile": true}), true),
            ("s3", json!({"use_lockfile": false, "dynamodb_table": ""}), false),
            ("s3", json!({"dynamodb_table": "locks"}), true),
            ("oss", json!({}), false),
            ("oss", json!({"tablestore_table": "locks"}), true),
            ("consul", json!({}), true),
            ("consul", json!({"lock": null}), true),
            ("consul", json!({"lock": false}), false),
            ("gcs", json!({}), true),
        ] {
            let config = config.as_object().cloned().unwrap_or_default();
            assert_eq!(
                has_locks(&BackendConfig::new(kind, config.clone())),
                expected,
                "{kind} {config:?}"
            );
        }
    }
}
