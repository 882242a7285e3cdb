//! A state where its backend keeps it, with the backend's own locks: what terraform does around every write, done by us where
//! we write. Whoever runs terraform meanwhile is refused by terraform, and we are refused while terraform works.
//!
//! - [`StateStorage`]: the port. [`LocalStorage`] is the local backend, [`HttpStorage`] the `http` one; the one for `s3` needs
//!   AWS's clients and lives with them.
//! - [`Storages`]: which kinds of backends have such an adapter. The others (`gcs`, `azurerm`, `kubernetes`, `pg`, `consul`,
//!   `remote`, `cloud`, …) get [`PushStorage`]: `terraform state pull` and `state push`. Each takes and gives back the lock by
//!   itself, so that nothing is held between our look and our write. Terraform's checks of serial and lineage are what
//!   protects there.

mod http;
mod http_settings;
mod local;
mod push;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::backend::BackendConfig;
use crate::error::TerraformError;
use crate::local_state::LockInfo;

pub use http::HttpStorage;
pub use local::LocalStorage;
pub use push::PushStorage;

/// A state's bytes, as they are kept, and what tells this write of them from every other.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredState {
    pub bytes: Vec<u8>,
    /// The backend's own name for this write (S3: the ETag). `None` where it has none.
    pub version: Option<String>,
}

impl fmt::Debug for StoredState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredState")
            .field("length", &self.bytes.len())
            .field("version", &self.version)
            .finish()
    }
}

/// What became of an [unlock](StateStorage::unlock).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// The lock was ours and is gone.
    Yes,
    /// Nobody held it: somebody has let go of it by force.
    NobodyHeldIt,
    /// Somebody else holds it by now; it was left alone.
    HeldBy(Box<LockInfo>),
}

/// A state in a backend. Every call that failed may have been done or not, unless its error says otherwise.
pub trait StateStorage: Send + Sync {
    /// Where it is, for people; no credentials.
    fn place(&self) -> String;

    /// What is kept now; `None` where there is no state (or an empty one). Checked as terraform checks it: see
    /// [`TerraformError::DigestMismatch`].
    fn read(&self) -> Result<Option<StoredState>, TerraformError>;

    /// As [`StateStorage::read`], without the check: to mend after a write of ours that was cut off.
    fn read_unchecked(&self) -> Result<Option<StoredState>, TerraformError> {
        self.read()
    }

    /// Whether these settings name a lock at all. Without one nothing keeps two who write at the same time apart.
    fn has_locks(&self) -> bool {
        true
    }

    /// Whether a lock stays when the process that took it dies, and has to be given back by whoever comes after it. False also
    /// where the settings name no lock at all.
    fn lock_outlives_process(&self) -> bool {
        true
    }

    /// Takes all the locks that terraform takes with this backend's settings (none where it takes none), at once or not at
    /// all. Locks that are held under this very ID count as taken: a lock whose answer was lost, or that a crash left behind,
    /// is taken again by the same words.
    ///
    /// # Errors
    /// [`TerraformError::Locked`] with the holder: then none of them is held under this ID.
    fn lock(&self, info: &LockInfo) -> Result<(), TerraformError>;

    /// Who holds the lock now; none where nobody does, and where a backend does not tell without taking it.
    fn holder(&self) -> Result<Option<LockInfo>, TerraformError> {
        Ok(None)
    }

    /// Writes under the locks of `info`, and mends what is kept beside (S3: the digest).
    ///
    /// # Errors
    /// [`TerraformError::ChangedMeanwhile`] where the backend can tell that what is there is not `replaced` any more (locks that
    /// were broken): nothing was written. After any other error the state may have been written, or written without its
    /// digest: look with [`StateStorage::read_unchecked`].
    fn write(&self, bytes: &[u8], replaced: Option<&StoredState>, info: &LockInfo) -> Result<(), TerraformError>;

    /// Mends what is kept beside the state (S3: the digest) after a write of ours that was cut off. Under the lock only.
    fn mend(&self, state: &StoredState) -> Result<(), TerraformError> {
        let _ = state;
        Ok(())
    }

    /// Gives back the locks that are held under this ID, and no others.
    fn unlock(&self, info: &LockInfo) -> Result<Unlocked, TerraformError>;

    /// The highest serial among all versions of the state that the backend still has, this one and former ones.
    fn highest_serial(&self) -> Result<u64, TerraformError>;
}

type Open = Box<dyn Fn(&BackendConfig, &str) -> Result<Option<Arc<dyn StateStorage>>, TerraformError> + Send + Sync>;

/// The adapters by the backend's kind; one storage per backend, however often it is asked for.
#[derive(Default)]
pub struct Storages {
    kinds: HashMap<&'static str, Open>,
    opened: Mutex<HashMap<String, Option<Arc<dyn StateStorage>>>>,
}

impl Storages {
    /// With what this crate has: `http`. A local backend's is made by [`Backend::storage`](crate::Backend::storage).
    pub fn new() -> Storages {
        Storages::default().with("http", |config, _| {
            HttpStorage::open(config).map(|storage| Some(Arc::new(storage) as Arc<dyn StateStorage>))
        })
    }

    /// And with another kind. `open` gets the backend's settings and the workspace, and says `None` for settings that it cannot
    /// honour: then terraform itself reads and writes there.
    #[must_use]
    pub fn with(
        mut self,
        kind: &'static str,
        open: impl Fn(&BackendConfig, &str) -> Result<Option<Arc<dyn StateStorage>>, TerraformError> + Send + Sync + 'static,
    ) -> Storages {
        self.kinds.insert(kind, Box::new(open));
        self
    }

    /// The storage of a backend; `None` for those that only terraform can reach.
    pub fn open(
        &self,
        config: &BackendConfig,
        workspace: &str,
    ) -> Result<Option<Arc<dyn StateStorage>>, TerraformError> {
        let Some(open) = self.kinds.get(config.kind.as_str()) else {
            return Ok(None);
        };
        let key = format!("{workspace}\n{}", config.to_json());
        let mut opened = self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(storage) = opened.get(&key) {
            return Ok(storage.clone());
        }
        let storage = open(config, workspace)?;
        opened.insert(key, storage.clone());
        Ok(storage)
    }
}

impl fmt::Debug for Storages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.kinds.keys()).finish()
    }
}
