//! Every other backend: terraform itself reads and writes there (`state pull`, `state push`).

use std::fmt;

use tempfile::TempDir;

use super::{StateStorage, StoredState, Unlocked};
use crate::error::TerraformError;
use crate::errored::StateHeader;
use crate::folder::Folder;
use crate::local_state::LockInfo;
use crate::private;

/// A state that only terraform can reach. `state push` takes the lock for itself, compares serial and lineage under it, and
/// may store a serial above the one that it was given.
pub struct PushStorage {
    place: String,
    folder: Folder,
    _keep: TempDir,
}

impl PushStorage {
    /// `folder` holds the backend block and is initialised; `keep` is its temporary folder.
    pub(crate) fn new(place: String, folder: Folder, keep: TempDir) -> PushStorage {
        PushStorage {
            place,
            folder,
            _keep: keep,
        }
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
