//! The local backend: the lock is [`LocalState`]'s, and goes with this process however it ends.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use super::{StateStorage, StoredState, Unlocked};
use crate::error::TerraformError;
use crate::errored::StateHeader;
use crate::live::read_settled;
use crate::local_state::{self, LocalLock, LocalState, LockInfo};

/// A state in a file.
#[derive(Debug)]
pub struct LocalStorage {
    path: PathBuf,
    held: Mutex<Option<LocalLock>>,
}

impl LocalStorage {
    pub fn new(path: PathBuf) -> LocalStorage {
        LocalStorage {
            path,
            held: Mutex::new(None),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<LocalLock>> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl StateStorage for LocalStorage {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self) -> Result<Option<StoredState>, TerraformError> {
        let held = self.held();
        let bytes = match held.as_ref() {
            Some(lock) => Some(lock.read()?),
            None => read_settled(&self.path)?,
        };
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        Ok(bytes.map(|bytes| StoredState { bytes, version: None }))
    }

    fn lock_outlives_process(&self) -> bool {
        false
    }

    fn lock(&self, info: &LockInfo) -> Result<(), TerraformError> {
        let mut held = self.held();
        if held.as_ref().is_some_and(|lock| lock.info().id == info.id) {
            return Ok(());
        }
        *held = Some(LocalState::lock_with(&self.path, info.clone())?);
        Ok(())
    }

    fn holder(&self) -> Result<Option<LockInfo>, TerraformError> {
        Ok(local_state::holder(&self.path))
    }

    fn write(&self, bytes: &[u8], replaced: Option<&StoredState>, info: &LockInfo) -> Result<(), TerraformError> {
        let held = self.held();
        let Some(lock) = held.as_ref().filter(|lock| lock.info().id == info.id) else {
            return Err(TerraformError::ChangedMeanwhile { place: self.place() });
        };
        if lock.read()? != replaced.map(|state| state.bytes.as_slice()).unwrap_or_default() {
            return Err(TerraformError::ChangedMeanwhile { place: self.place() });
        }
        lock.write_in_place(bytes)
    }

    fn unlock(&self, info: &LockInfo) -> Result<Unlocked, TerraformError> {
        let mut held = self.held();
        match held.take_if(|lock| lock.info().id == info.id) {
            Some(lock) => {
                drop(lock);
                Ok(Unlocked::Yes)
            }
            None => Ok(match local_state::holder(&self.path) {
                Some(holder) => Unlocked::HeldBy(Box::new(holder)),
                None => Unlocked::NobodyHeldIt,
            }),
        }
    }

    /// The file's, and that of the copy that terraform keeps beside it.
    fn highest_serial(&self) -> Result<u64, TerraformError> {
        let mut backup = self.path.clone().into_os_string();
        backup.push(".backup");
        let mut highest = 0;
        for path in [self.path.clone(), backup.into()] {
            if let Some(bytes) = local_state::read(&path)?
                && let Ok(header) = StateHeader::parse(&bytes)
            {
                highest = highest.max(header.serial);
            }
        }
        Ok(highest)
    }
}
