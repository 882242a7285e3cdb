//! The state's object between its locks and its digest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use md5::{Digest, Md5};
use rollback_terraform::{BackendConfig, LockInfo, StateHeader, StateStorage, StoredState, TerraformError, Unlocked};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::clients::Clients;
use super::failure::Failure;
use super::items::{DigestItem, Item};
use super::locks::{Lock, LockFile, LockItem, Taking};
use super::object::{Condition, Object, Place};
use super::settings::Settings;

/// How long a state is waited for that is not what its digest says, as terraform does (`consistencyRetryTimeout`).
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// How many former versions are read at a time.
const AT_A_TIME: usize = 16;
/// A state says its serial within its first bytes.
const HEAD: u64 = 1024;

/// The state of one workspace of an `s3` backend.
pub struct S3Storage {
    clients: Arc<Clients>,
    settings: Arc<Settings>,
    lock_key: String,
    patience: Duration,
}

impl S3Storage {
    /// Nothing is asked of AWS yet, but for credentials where a role is to be assumed. `None`: see [`super::open`].
    ///
    /// # Errors
    /// [`TerraformError::Backend`].
    pub fn open(
        config: &BackendConfig,
        workspace: &str,
        http: SharedHttpClient,
    ) -> Result<Option<S3Storage>, TerraformError> {
        let Some(settings) = Settings::read(config, workspace)? else {
            return Ok(None);
        };
        let clients = Clients::connect(&settings, http).map_err(|error| TerraformError::Backend {
            action: "connect to",
            place: "AWS".to_owned(),
            message: error.to_string(),
            hint: None,
        })?;
        Ok(Some(S3Storage {
            clients: Arc::new(clients),
            lock_key: format!("{}.tflock", settings.key),
            settings: Arc::new(settings),
            patience: PATIENCE,
        }))
    }

    /// Waits so long for a state that is not what its digest says.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> S3Storage {
        self.patience = patience;
        self
    }

    fn object(&self) -> Place<'_> {
        Place {
            clients: &self.clients,
            settings: &self.settings,
            key: &self.settings.key,
        }
    }

    fn lock_file(&self) -> Option<LockFile<'_>> {
        self.settings.use_lockfile.then(|| LockFile {
            clients: &self.clients,
            settings: &self.settings,
            key: &self.lock_key,
        })
    }

    fn item(&self, what: &'static str, path: String) -> Option<Item<'_>> {
        self.settings.dynamodb_table.as_deref().map(|table| Item {
            clients: &self.clients,
            table,
            path,
            what,
        })
    }

    fn lock_item(&self) -> Option<LockItem<'_>> {
        self.item("lock", self.settings.path()).map(LockItem)
    }

    fn digest_item(&self) -> Option<DigestItem<'_>> {
        let path = format!("{}-md5", self.settings.path());
        self.item("digest", path).map(DigestItem)
    }

    fn told(&self, failure: Failure, action: &'static str, permission: &str) -> TerraformError {
        let place = self.place();
        let permission = format!("{permission} on {place}");
        failure.told(action, format!("the state at {place}"), &permission)
    }

    fn get(&self) -> Result<Option<Object>, TerraformError> {
        self.object()
            .get()
            .map_err(|failure| self.told(failure, "read", "s3:GetObject"))
    }

    /// The condition under which a put replaces what was read, and nothing else.
    fn put_if(&self, bytes: &[u8], replaced: Option<&StoredState>) -> Result<(), TerraformError> {
        let etag = match replaced {
            Some(state) => state.version.clone(),
            // An empty object is no state, and is there all the same.
            None => self
                .get()?
                .filter(|object| object.bytes.is_empty())
                .and_then(|object| object.etag),
        };
        let mut condition = match (&etag, replaced) {
            (Some(etag), _) => Condition::Same(etag),
            (None, None) => Condition::Missing,
            (None, Some(_)) => Condition::Whatever,
        };
        for look in 0..5 {
            let Err(failure) = self.object().put(bytes, condition) else {
                return Ok(());
            };
            if failure.is_conflict() {
                std::thread::sleep(Duration::from_millis(100 << look));
            } else if failure.is_not_implemented() {
                // Under the locks alone, then, as terraform does.
                condition = Condition::Whatever;
            } else if failure.is_condition() || (failure.is_missing() && etag.is_some()) {
                // It may be our own write whose answer was lost and that was sent again.
                let ours = self.get()?.is_some_and(|object| object.bytes == bytes);
                return if ours {
                    Ok(())
                } else {
                    Err(TerraformError::ChangedMeanwhile { place: self.place() })
                };
            } else {
                return Err(self.told(failure, "write", "s3:PutObject"));
            }
        }
        Err(TerraformError::ChangedMeanwhile { place: self.place() })
    }

    /// Serials of all versions that the bucket still has.
    fn version_serials(&self) -> Result<Vec<u64>, Failure> {
        self.clients.wait(async {
            let mut serials = Vec::new();
            let mut reading = JoinSet::new();
            let turn = Arc::new(Semaphore::new(AT_A_TIME));
            let (mut after_key, mut after_version) = (None, None);
            loop {
                let page = self
                    .clients
                    .s3
                    .list_object_versions()
                    .bucket(&self.settings.bucket)
                    .prefix(&self.settings.key)
                    .set_key_marker(after_key)
                    .set_version_id_marker(after_version)
                    .send()
                    .await
                    .map_err(|error| Failure::of(&error))?;
                let here = page
                    .versions()
                    .iter()
                    .filter(|version| version.key() == Some(self.settings.key.as_str()))
                    .filter_map(|version| version.version_id());
                for version in here {
                    let (clients, settings) = (Arc::clone(&self.clients), Arc::clone(&self.settings));
                    let (turn, version) = (Arc::clone(&turn), version.to_owned());
                    reading.spawn(async move {
                        let _turn = turn.acquire_owned().await;
                        let place = Place {
                            clients: &clients,
                            settings: &settings,
                            key: &settings.key,
                        };
                        match place.get_part(Some(&version), Some(HEAD)).await {
                            Ok(head) => Ok(head.and_then(|head| serial_in(&head.bytes))),
                            // In an archive, or encrypted with a key that is gone or was another one: nobody can read it.
                            Err(failure) if matches!(failure.status, Some(400 | 403 | 404 | 405 | 416)) => {
                                tracing::warn!(
                                    version,
                                    "a former version of the state cannot be read: its serial is not known"
                                );
                                Ok(None)
                            }
                            Err(failure) => Err(failure),
                        }
                    });
                }
                if !page.is_truncated().unwrap_or(false) {
                    break;
                }
                after_key = page.next_key_marker().map(str::to_owned);
                after_version = page.next_version_id_marker().map(str::to_owned);
            }
            while let Some(read) = reading.join_next().await {
                if let Ok(serial) = read {
                    serials.extend(serial?);
                }
            }
            Ok(serials)
        })
    }
}

/// The serial in the first bytes of a state: terraform writes it before anything else that could be called so.
fn serial_in(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head);
    let (_, rest) = text.split_once("\"serial\"")?;
    let digits = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = digits.find(|character: char| !character.is_ascii_digit())?;
    digits[..end].parse().ok()
}

fn md5_of(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

fn stored(object: Option<Object>) -> Option<StoredState> {
    object
        .filter(|object| !object.bytes.is_empty())
        .map(|object| StoredState {
            bytes: object.bytes,
            version: object.etag,
        })
}

impl StateStorage for S3Storage {
    fn place(&self) -> String {
        format!("s3://{}", self.settings.path())
    }

    fn read(&self) -> Result<Option<StoredState>, TerraformError> {
        let begun = Instant::now();
        loop {
            let state = stored(self.get()?);
            let expected = match self.digest_item().map(|item| item.get()) {
                // A digest that cannot be read is passed over by terraform, too: it may lack the permission.
                Some(Err(error)) => {
                    tracing::warn!(%error, "the state's digest is not checked");
                    None
                }
                Some(Ok(digest)) => digest,
                None => None,
            };
            let Some(expected) = expected else { return Ok(state) };
            let found = state.as_ref().map(|state| md5_of(&state.bytes)).unwrap_or_default();
            if found.eq_ignore_ascii_case(&expected) {
                return Ok(state);
            }
            if begun.elapsed() + BETWEEN_LOOKS > self.patience {
                return Err(TerraformError::DigestMismatch {
                    place: self.place(),
                    found: if found.is_empty() {
                        "of no state".to_owned()
                    } else {
                        found
                    },
                    expected,
                });
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn read_unchecked(&self) -> Result<Option<StoredState>, TerraformError> {
        Ok(stored(self.get()?))
    }

    fn has_locks(&self) -> bool {
        self.settings.use_lockfile || self.settings.dynamodb_table.is_some()
    }

    fn lock_outlives_process(&self) -> bool {
        self.has_locks()
    }

    fn holder(&self) -> Result<Option<LockInfo>, TerraformError> {
        let of_file = match self.lock_file() {
            Some(file) => file.holder()?.map(|(holder, _)| holder),
            None => None,
        };
        match (of_file, self.lock_item()) {
            (None, Some(item)) => Ok(item.holder()?.map(|(holder, _)| holder)),
            (holder, _) => Ok(holder),
        }
    }

    fn lock(&self, info: &LockInfo) -> Result<(), TerraformError> {
        let info = LockInfo {
            path: self.settings.path(),
            ..info.clone()
        };
        let locked = |holder: Option<LockInfo>| TerraformError::Locked {
            holder: holder.map(Box::new),
            diagnostics: Vec::new(),
        };
        if let Some(file) = self.lock_file()
            && let Taking::Others(holder) = file.take(&info)?
        {
            return Err(locked(holder));
        }
        let Some(item) = self.lock_item() else { return Ok(()) };
        let error = match item.take(&info) {
            Ok(Taking::Ours) => return Ok(()),
            Ok(Taking::Others(holder)) => locked(holder),
            Err(error) => error,
        };
        if let Some(file) = self.lock_file()
            && let Err(second) = file.give_back(&info.id)
        {
            tracing::warn!(error = %second, "the lock file could not be given back");
        }
        Err(error)
    }

    fn write(&self, bytes: &[u8], replaced: Option<&StoredState>, _: &LockInfo) -> Result<(), TerraformError> {
        self.put_if(bytes, replaced)?;
        match self.digest_item() {
            Some(item) => item.put(&md5_of(bytes)),
            None => Ok(()),
        }
    }

    fn mend(&self, state: &StoredState) -> Result<(), TerraformError> {
        match self.digest_item() {
            Some(item) => item.put(&md5_of(&state.bytes)),
            None => Ok(()),
        }
    }

    fn unlock(&self, info: &LockInfo) -> Result<Unlocked, TerraformError> {
        let item = self.lock_item().map(|item| item.give_back(&info.id));
        let file = self.lock_file().map(|file| file.give_back(&info.id));
        let mut outcome = Unlocked::Yes;
        for each in [item, file].into_iter().flatten() {
            match each? {
                Unlocked::Yes => {}
                other => outcome = other,
            }
        }
        Ok(outcome)
    }

    fn highest_serial(&self) -> Result<u64, TerraformError> {
        let now = self
            .read_unchecked()?
            .and_then(|state| StateHeader::parse(&state.bytes).ok())
            .map_or(0, |header| header.serial);
        match self.version_serials() {
            Ok(serials) => Ok(serials.into_iter().fold(now, u64::max)),
            // Many may write a state and not look at its former versions.
            Err(failure) if failure.status == Some(403) => {
                tracing::debug!("former versions of the state may not be listed");
                Ok(now)
            }
            Err(failure) => Err(self.told(failure, "list the versions of", "s3:ListBucketVersions")),
        }
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
