//! Terraform's states as it writes them itself, through a service that is its `http` backend: every write is a version
//! that stays, and the lock is Terraform's own.
//!
//! | key | what |
//! |---|---|
//! | `projects/<project>/states/<stack>/<workspace>/head` | the lock, and which version is the current one |
//! | `projects/<project>/states/<stack>/<workspace>/versions/<%012d>` | a version's record |
//!
//! The head holds both, so that a write and a change of hands of the lock can never pass each other: each is one
//! conditional replacement of the same record. The bytes are a blob.

use jiff::Timestamp;
use rollback_state::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::record::StateRecord;
use crate::{BlobId, Created, Entry, Operation, Replaced, Store, StoreError, Transacted, keys};

/// Who holds a state, in Terraform's own words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateLock {
    /// The `ID` of [`StateLock::info`].
    pub id: String,
    /// Terraform's LockInfo as it sent it: `{ID, Operation, Info, Who, Version, Created, Path}`.
    pub info: Value,
    /// As whom the service knows the holder.
    pub actor: String,
    pub since: Timestamp,
}

/// One write of a state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenState {
    pub format: u32,
    /// 1 for the first write of this stack and workspace.
    pub number: u64,
    pub written_at: Timestamp,
    pub actor: String,
    /// The lock under which it was written, where there was one.
    pub lock_id: Option<String>,
    /// The commit that was applied, where the writer named it.
    pub commit: Option<String>,
    pub size: u64,
    /// None for the record that the state was deleted.
    pub state: Option<StateRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Head {
    #[serde(default)]
    lock: Option<StateLock>,
    /// The last version, the record of a deletion among them.
    #[serde(default)]
    last: u64,
    #[serde(default)]
    current: Option<WrittenState>,
}

/// Why a state, or its lock, stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum StateRefusal {
    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("the record {key} cannot be read: {reason}")]
    Damaged { key: String, reason: String },

    #[error("the state is locked by {}", who(.0))]
    Locked(Box<StateLock>),

    #[error("nobody holds the lock {id:?}: it was taken away, or given back already")]
    NotLocked { id: String },

    #[error("this is no state that terraform could read: {0}")]
    NotAState(String),

    #[error("the state has lineage {found:?} and the current one {expected:?}: they are of different infrastructure")]
    Lineage { found: String, expected: String },

    #[error("the state has serial {found} and the current one {current}: it is older, or made from an older one")]
    Serial { found: u64, current: u64 },

    #[error("others write this state in quick turns")]
    Contended,
}

fn who(lock: &StateLock) -> String {
    let named = lock.info.get("Who").and_then(Value::as_str).unwrap_or(&lock.actor);
    format!("{named} (lock {}, since {:.0})", lock.id, lock.since)
}

/// What a writer says beside the bytes.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    pub actor: String,
    /// The `ID` of the lock that the writer holds.
    pub lock_id: Option<String>,
    pub commit: Option<String>,
}

/// The states of one stack and workspace.
pub struct States<'s> {
    store: &'s dyn Store,
    project: &'s str,
    stack: &'s str,
    workspace: &'s str,
}

/// How often a change is tried again when somebody else was faster.
const TRIES: usize = 50;

impl<'s> States<'s> {
    pub fn new(store: &'s dyn Store, project: &'s str, stack: &'s str, workspace: &'s str) -> Self {
        States {
            store,
            project,
            stack,
            workspace,
        }
    }

    /// The current version, none where there is no state.
    pub fn current(&self) -> Result<Option<WrittenState>, StateRefusal> {
        Ok(self.head()?.0.current)
    }

    /// Who holds it.
    pub fn lock(&self) -> Result<Option<StateLock>, StateRefusal> {
        Ok(self.head()?.0.lock)
    }

    /// The very bytes of a version, proven to be those that were written.
    pub fn bytes(&self, version: &WrittenState) -> Result<Vec<u8>, StateRefusal> {
        let Some(record) = &version.state else {
            return Ok(Vec::new());
        };
        let bytes = self.store.get_blob(&record.blob)?;
        if hex::encode(Sha256::digest(&bytes)) != record.sha256 {
            return Err(StateRefusal::Damaged {
                key: record.blob.to_string(),
                reason: "its SHA-256 is not the one that was recorded".to_owned(),
            });
        }
        Ok(bytes)
    }

    /// Takes the lock. The same ID again is no conflict: its answer may have been lost.
    ///
    /// # Errors
    /// [`StateRefusal::Locked`] where somebody else holds it.
    pub fn acquire(&self, lock: &StateLock) -> Result<(), StateRefusal> {
        self.change(|head| match &head.lock {
            Some(held) if held.id == lock.id => Ok(false),
            Some(held) => Err(StateRefusal::Locked(Box::new(held.clone()))),
            None => {
                head.lock = Some(lock.clone());
                Ok(true)
            }
        })
        .map(|_| ())
    }

    /// Gives the lock back; without an ID whoever holds it loses it (`terraform force-unlock`, which sends none). Gives
    /// the lock that was held.
    ///
    /// # Errors
    /// [`StateRefusal::Locked`] where another lock is held than the one named.
    pub fn release(&self, id: Option<&str>) -> Result<Option<StateLock>, StateRefusal> {
        let mut held = None;
        self.change(|head| match (&head.lock, id) {
            (Some(other), Some(id)) if other.id != id => Err(StateRefusal::Locked(Box::new(other.clone()))),
            (None, _) => Ok(false),
            (Some(_), _) => {
                held = head.lock.take();
                Ok(true)
            }
        })?;
        Ok(held)
    }

    /// Writes a state as a new version. The very bytes that are there already are no new version.
    ///
    /// # Errors
    /// The lock is somebody else's, the bytes are no state, or its lineage or serial is not one that may follow.
    pub fn write(&self, bytes: &[u8], writer: &Writer) -> Result<WrittenState, StateRefusal> {
        let state = State::parse(bytes).map_err(|error| StateRefusal::NotAState(error.to_string()))?;
        let sha256 = hex::encode(Sha256::digest(bytes));
        let record = StateRecord {
            blob: BlobId::of(bytes),
            serial: state.serial(),
            lineage: state.lineage().to_owned(),
            terraform_version: state.terraform_version().to_owned(),
            instances: state.instance_count(),
            sha256,
        };
        // Looked at before the bytes are kept: what is refused leaves nothing behind.
        let before = self.head()?.0;
        may_write(&before, &writer.lock_id)?;
        if follows(&before, &record)? {
            return before.current.ok_or(StateRefusal::Contended);
        }
        let like = before.current.as_ref().and_then(|version| version.state.as_ref());
        self.store.put_blob_like(bytes, like.map(|state| &state.blob))?;
        self.add(writer, bytes.len() as u64, Some(record))
    }

    /// Deletes the state. Its versions stay, and a record says that it was deleted.
    ///
    /// # Errors
    /// The lock is somebody else's.
    pub fn delete(&self, writer: &Writer) -> Result<(), StateRefusal> {
        self.add(writer, 0, None).map(|_| ())
    }

    fn add(&self, writer: &Writer, size: u64, state: Option<StateRecord>) -> Result<WrittenState, StateRefusal> {
        for _ in 0..TRIES {
            let (head, version) = self.head()?;
            may_write(&head, &writer.lock_id)?;
            match &state {
                // Written by ourselves a moment ago, its answer lost, or by another who writes the same.
                Some(record) if follows(&head, record)? => return head.current.ok_or(StateRefusal::Contended),
                None if head.current.is_none() => return Ok(self.deleted(&head, writer)),
                _ => {}
            }
            let written = WrittenState {
                state: state.clone(),
                size,
                ..self.deleted(&head, writer)
            };
            let next = Head {
                lock: head.lock.clone(),
                last: written.number,
                current: state.is_some().then(|| written.clone()),
            };
            let (next, record) = (encode(&next), encode(&written));
            let key = self.head_key();
            let version_key = keys::state_version(self.project, self.stack, self.workspace, written.number);
            let operations = [
                match &version {
                    Some(expected) => Operation::Replace {
                        key: &key,
                        expected,
                        value: &next,
                    },
                    None => Operation::Create {
                        key: &key,
                        value: &next,
                    },
                },
                Operation::Create {
                    key: &version_key,
                    value: &record,
                },
            ];
            if let Transacted::Yes(_) = self.store.transact(&operations)? {
                return Ok(written);
            }
        }
        Err(StateRefusal::Contended)
    }

    /// The record of a deletion that would come next.
    fn deleted(&self, head: &Head, writer: &Writer) -> WrittenState {
        WrittenState {
            format: 1,
            number: head.last + 1,
            written_at: Timestamp::now(),
            actor: writer.actor.clone(),
            lock_id: writer.lock_id.clone(),
            commit: writer.commit.clone(),
            size: 0,
            state: None,
        }
    }

    /// One version by its number.
    pub fn version(&self, number: u64) -> Result<Option<WrittenState>, StateRefusal> {
        let key = keys::state_version(self.project, self.stack, self.workspace, number);
        match self.store.get(&key)? {
            Some((bytes, _)) => decode(&key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Versions before the number `before` (all where none is given), newest first, at most `limit`.
    pub fn versions(&self, before: Option<u64>, limit: usize) -> Result<Vec<WrittenState>, StateRefusal> {
        let prefix = keys::state_versions(self.project, self.stack, self.workspace);
        let before = before.map(|number| keys::state_version(self.project, self.stack, self.workspace, number));
        let mut found = Vec::new();
        for key in self.store.list_newest(&prefix, before.as_deref(), limit)? {
            if let Some((bytes, _)) = self.store.get(&key)? {
                found.push(decode(&key, &bytes)?);
            }
        }
        Ok(found)
    }

    /// The highest serial that was ever written, deleted states included; 0 where none was.
    pub fn highest_serial(&self) -> Result<u64, StateRefusal> {
        let prefix = keys::state_versions(self.project, self.stack, self.workspace);
        let mut highest = 0;
        for Entry { key, value, .. } in crate::all_entries(self.store, &prefix)? {
            let version: WrittenState = decode(&key, &value)?;
            highest = highest.max(version.state.map_or(0, |state| state.serial));
        }
        Ok(highest)
    }

    fn change(&self, mut how: impl FnMut(&mut Head) -> Result<bool, StateRefusal>) -> Result<(), StateRefusal> {
        let key = self.head_key();
        for _ in 0..TRIES {
            let (mut head, version) = self.head()?;
            if !how(&mut head)? {
                return Ok(());
            }
            let bytes = encode(&head);
            let done = match &version {
                Some(version) => matches!(self.store.replace(&key, version, &bytes)?, Replaced::Yes(_)),
                None => matches!(self.store.create(&key, &bytes)?, Created::Yes(_)),
            };
            if done {
                return Ok(());
            }
        }
        Err(StateRefusal::Contended)
    }

    fn head_key(&self) -> String {
        keys::state_head(self.project, self.stack, self.workspace)
    }

    fn head(&self) -> Result<(Head, Option<crate::Version>), StateRefusal> {
        let key = self.head_key();
        match self.store.get(&key)? {
            Some((bytes, version)) => Ok((decode(&key, &bytes)?, Some(version))),
            None => Ok((Head::default(), None)),
        }
    }
}

/// Every stack and workspace that has a state of this kind, with its lock, in the order of names.
pub fn written_states(
    store: &dyn Store,
    project: &str,
) -> Result<Vec<(String, String, Option<StateLock>)>, StateRefusal> {
    let prefix = keys::states(project);
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    // From one head to the next: the versions in between are passed over.
    loop {
        let Some(Entry { key, value, .. }) = store.entries(&prefix, after.as_deref(), 1)?.into_iter().next() else {
            return Ok(found);
        };
        let mut segments = key[prefix.len()..].split('/');
        let (Some(stack), Some(workspace), Some(name)) = (segments.next(), segments.next(), segments.next()) else {
            after = Some(key);
            continue;
        };
        if name == "head" {
            let head: Head = decode(&key, &value)?;
            found.push((keys::unsegment(stack), keys::unsegment(workspace), head.lock));
        }
        // A colon comes after every digit.
        after = Some(format!("{prefix}{stack}/{workspace}/versions/:"));
    }
}

/// Whether a writer with this lock may write now.
fn may_write(head: &Head, lock_id: &Option<String>) -> Result<(), StateRefusal> {
    match (&head.lock, lock_id) {
        (None, None) => Ok(()),
        (Some(held), Some(id)) if held.id == *id => Ok(()),
        (Some(held), _) => Err(StateRefusal::Locked(Box::new(held.clone()))),
        (None, Some(id)) => Err(StateRefusal::NotLocked { id: id.clone() }),
    }
}

/// Whether a state is the current one already; an error where it may not follow it (Terraform 1.11's rules for `state
/// push`: the same lineage, a higher serial).
fn follows(head: &Head, next: &StateRecord) -> Result<bool, StateRefusal> {
    let Some(current) = head.current.as_ref().and_then(|version| version.state.as_ref()) else {
        return Ok(false);
    };
    if current.sha256 == next.sha256 {
        return Ok(true);
    }
    // An empty lineage would bypass Terraform's own check.
    if current.lineage != next.lineage {
        return Err(StateRefusal::Lineage {
            found: next.lineage.clone(),
            expected: current.lineage.clone(),
        });
    }
    if next.serial <= current.serial {
        return Err(StateRefusal::Serial {
            found: next.serial,
            current: current.serial,
        });
    }
    Ok(false)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn decode<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Result<T, StateRefusal> {
    serde_json::from_slice(bytes).map_err(|error| StateRefusal::Damaged {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
