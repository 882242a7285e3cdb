//! The port through which releases, runs, journals and locks are kept.
//!
//! Two kinds of things lie behind it. *Blobs* are bytes under the hash of their content; they never change, so putting
//! one twice is harmless. *Records* are small values under a key, changed only conditionally: create-if-absent
//! (S3 `If-None-Match: *`, DynamoDB `attribute_not_exists`) and replace-if-unchanged (S3 `If-Match`, a DynamoDB
//! condition on the version), one by one or several together ([`Store::transact`]). There is no unconditional write, so
//! no writer can overwrite what it has not seen.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The address of bytes: their blake3 hash. Displayed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; 32]);

/// From so many bytes on all cores hash together.
const LARGE: usize = 1 << 20;

impl BlobId {
    /// The address that these bytes have in every store.
    pub fn of(bytes: &[u8]) -> BlobId {
        if bytes.len() < LARGE {
            return BlobId(*blake3::hash(bytes).as_bytes());
        }
        BlobId(*blake3::Hasher::new().update_rayon(bytes).finalize().as_bytes())
    }
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    pub fn from_bytes(bytes: [u8; 32]) -> BlobId {
        BlobId(bytes)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlobId({self})")
    }
}

/// A text that is no blob's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the address of a blob: 64 lower-case hexadecimal digits are")]
pub struct InvalidBlobId(String);

impl FromStr for BlobId {
    type Err = InvalidBlobId;
    fn from_str(text: &str) -> Result<BlobId, InvalidBlobId> {
        let invalid = || InvalidBlobId(text.chars().take(80).collect());
        // One text per address: upper case would make two names for one file.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid())?;
        Ok(BlobId(bytes))
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BlobId, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Which write of a record one has seen. Opaque: a counter, an ETag or a random token, as the store likes it.
///
/// A store never gives the same version to two writes of one key, not even when the value is the same again or the
/// record was removed in between: who holds an old version always loses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version(String);

impl Version {
    pub fn new(text: impl Into<String>) -> Version {
        Version(text.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer to [`Store::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a create that found the key taken has written nothing"]
pub enum Created {
    Yes(Version),
    /// The key was taken; nothing was written. It may be one's own earlier write whose answer was lost: read it back
    /// and compare before calling it a conflict.
    Exists,
}

/// The answer to [`Store::replace`] and [`Store::remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a replace that found another version has written nothing"]
pub enum Replaced {
    /// Done. For a removal: the version that was removed.
    Yes(Version),
    /// The record has another version by now, or is gone; nothing was written.
    Changed,
}

/// One part of a [`Store::transact`].
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// The record must still be the version that was seen; nothing is written. This is what fences: a journal entry is
    /// written together with a check of the counter that whoever takes the lock over raises.
    Check { key: &'a str, expected: &'a Version },
    /// As [`Store::create`].
    Create { key: &'a str, value: &'a [u8] },
    /// As [`Store::replace`].
    Replace {
        key: &'a str,
        expected: &'a Version,
        value: &'a [u8],
    },
    /// As [`Store::remove`].
    Remove { key: &'a str, expected: &'a Version },
}

impl<'a> Operation<'a> {
    pub fn key(&self) -> &'a str {
        match self {
            Operation::Check { key, .. }
            | Operation::Create { key, .. }
            | Operation::Replace { key, .. }
            | Operation::Remove { key, .. } => key,
        }
    }
}

/// The answer to [`Store::transact`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a transaction that was refused has written nothing"]
pub enum Transacted {
    /// All of it is done. The version of each operation's record in the order given: the new one after a create or a
    /// replace, the one that was expected after a check or a removal.
    Yes(Vec<Version>),
    /// Nothing was written: the condition of this operation (and maybe of others) does not hold. It may be one's own
    /// earlier write whose answer was lost: read back and compare before calling it a conflict.
    Refused { operation: usize },
}

/// The most operations of one [`Store::transact`]: DynamoDB's limit for TransactWriteItems.
pub const MAXIMUM_OPERATIONS: usize = 100;

/// A record as a listing gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    pub version: Version,
}

/// What a store knows of a blob without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    pub id: BlobId,
    /// What it takes where it lies, in bytes: compressed, or only a difference to another blob.
    pub stored_bytes: u64,
    /// When it was last put, by the clock of the store.
    pub written_at: Timestamp,
}

/// What a write that was cut off left behind beside the records: no record names it, and none ever will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// As its store calls it.
    pub name: String,
    /// What it takes, in bytes.
    pub stored_bytes: u64,
    /// By the clock of the store.
    pub written_at: Timestamp,
}

/// Where releases lie. All methods may be called from many threads and processes at once.
///
/// A call that returned `Ok` is durable: it survives the loss of power. A call that returned an error may have been
/// done or not, as with any store behind a network: every caller must be able to repeat it.
pub trait Store: Send + Sync {
    /// Keeps bytes under the hash of their content. Idempotent; mends a damaged copy where it finds one.
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError>;

    /// As [`Store::put_blob`]; the bytes are expected to be like those of another blob, which must be in the store, so
    /// that the store may keep the difference only. What is kept so needs the blobs of [`Store::blob_bases`].
    fn put_blob_like(&self, bytes: &[u8], like: Option<&BlobId>) -> Result<BlobId, StoreError> {
        let _ = like;
        self.put_blob(bytes)
    }

    /// The blobs without which this one cannot be read, directly or through others. Empty for one that is kept whole.
    fn blob_bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        let _ = id;
        Ok(Vec::new())
    }

    /// Removes a blob; tells whether one was there. Only a collection of garbage may call it, and only for what no
    /// release names and nobody has put for a while: a put of bytes that are there already sets
    /// [`StoredBlob::written_at`] anew (where it is older than a day), so that a snapshot that is being taken keeps
    /// what it relies on.
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError>;

    /// Many at once, in the order given: a store may write them in parallel. An error leaves some of them written.
    fn put_blobs(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
        many.iter().map(|bytes| self.put_blob(bytes)).collect()
    }

    /// The very bytes, verified against the address: [`StoreError::BlobCorrupt`] otherwise,
    /// [`StoreError::BlobMissing`] where there are none.
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError>;

    /// Whether bytes lie under the address; they are not read.
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError>;

    /// Addresses in ascending order, those after `after` only, at most `limit`. For collecting garbage and copying.
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError>;

    /// As [`Store::list_blobs`], with what the store knows of each.
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError>;

    /// What writes that were cut off left behind before a time, where a store has such things; a store that keeps each
    /// record in one place has none. A write must not be under way for so long.
    fn leftovers(&self, put_before: Timestamp) -> Result<Vec<Leftover>, StoreError> {
        let _ = put_before;
        Ok(Vec::new())
    }

    /// Removes a [`Leftover`] by its name, if it still is one; tells whether it was there.
    fn remove_leftover(&self, name: &str) -> Result<bool, StoreError> {
        let _ = name;
        Ok(false)
    }

    /// Writes a record where none is. Of many at once exactly one gets [`Created::Yes`].
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError>;

    /// Writes a record if it still is the version that was seen. Of many at once exactly one gets [`Replaced::Yes`].
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError>;

    /// Removes a record if it still is the version that was seen.
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError>;

    /// All of the operations or none of them, as one step that nobody sees half of. At most [`MAXIMUM_OPERATIONS`], each
    /// of another key; manifests of releases (`…/releases/…`) cannot take part, as S3 knows no transactions.
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError>;

    /// The value and its version as of the last completed write (strongly consistent).
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Keys that begin with `prefix` and come after `after`, in ascending byte order, at most `limit`.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError>;

    /// As [`Store::list`], values and versions included: one request for many records where the store can do that.
    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for key in self.list(prefix, after, limit)? {
            // One that was removed meanwhile is passed over.
            if let Some((value, version)) = self.get(&key)? {
                entries.push(Entry { key, value, version });
            }
        }
        Ok(entries)
    }

    /// Keys that begin with `prefix` and come before `before`, in descending byte order, at most `limit`: the newest
    /// first where keys end in a UUID v7. S3 lists upwards only, so there all pages are read; others do better.
    fn list_newest(&self, prefix: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut keys = all_keys(self, prefix)?;
        if let Some(before) = before {
            keys.truncate(keys.partition_point(|key| key.as_str() < before));
        }
        keys.reverse();
        keys.truncate(limit);
        Ok(keys)
    }
}

/// One page of a listing: what S3 gives at once.
const PAGE: usize = 1000;

/// Every key that begins with `prefix`, in byte order, page by page.
pub fn all_keys<S: Store + ?Sized>(store: &S, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = store.list(prefix, keys.last().map(String::as_str), PAGE)?;
        let last = page.len() < PAGE;
        keys.extend(page);
        if last {
            return Ok(keys);
        }
    }
}

/// Every record whose key begins with `prefix`, in byte order, page by page.
pub fn all_entries<S: Store + ?Sized>(store: &S, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        // A page may be shorter than asked for (a record removed meanwhile): only an empty one is the last.
        let page = store.entries(prefix, entries.last().map(|entry| entry.key.as_str()), PAGE)?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// Refuses what no store takes as one transaction: too many operations, two of one key, keys that are none.
pub fn check_transaction(operations: &[Operation<'_>]) -> Result<(), StoreError> {
    let mut keys = std::collections::BTreeSet::new();
    for operation in operations {
        let refuse = |reason| StoreError::InvalidKey {
            key: operation.key().chars().take(200).collect(),
            reason,
        };
        crate::keys::check(operation.key())?;
        if crate::keys::is_release(operation.key()) {
            return Err(refuse("a release's manifest cannot be part of a transaction"));
        }
        if !keys.insert(operation.key()) {
            return Err(refuse("it comes twice in one transaction"));
        }
    }
    if operations.len() > MAXIMUM_OPERATIONS {
        return Err(StoreError::TooLarge {
            what: "a transaction (operations counted)".to_owned(),
            size: operations.len() as u64,
            limit: MAXIMUM_OPERATIONS as u64,
        });
    }
    Ok(())
}

/// Every blob of a store in the order of addresses, read page by page as the iterator goes on. Blobs that are put
/// meanwhile may or may not be seen. After an error the iterator ends.
pub fn blobs<S: Store + ?Sized>(store: &S) -> Blobs<'_, S> {
    Blobs {
        store,
        page: Vec::new().into_iter(),
        last: None,
        done: false,
    }
}

/// See [`blobs`].
pub struct Blobs<'s, S: Store + ?Sized> {
    store: &'s S,
    page: std::vec::IntoIter<BlobId>,
    last: Option<BlobId>,
    done: bool,
}

impl<S: Store + ?Sized> Iterator for Blobs<'_, S> {
    type Item = Result<BlobId, StoreError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.done {
            match self.store.list_blobs(self.last.as_ref(), PAGE) {
                Ok(page) => {
                    self.done = page.len() < PAGE;
                    self.page = page.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.last = self.page.next();
        self.last.map(Ok)
    }
}

/// What goes wrong between the caller and its store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("blob {id} is not in the store")]
    BlobMissing { id: BlobId },

    #[error("blob {id} is damaged: {reason}")]
    BlobCorrupt { id: BlobId, reason: String },

    #[error("{key:?} cannot be a key: {reason}")]
    InvalidKey { key: String, reason: &'static str },

    /// Sizes in bytes.
    #[error("{what} has {size} bytes; at most {limit} can be kept")]
    TooLarge { what: String, size: u64, limit: u64 },

    #[error("the store {place} has format {found}; this program knows formats up to {supported}")]
    NewerFormat { place: String, found: u64, supported: u64 },

    #[error("{place} is not a store: {reason}")]
    NotAStore { place: String, reason: String },

    #[error("there is no store in {place}")]
    NoStore { place: String },

    #[error("{place} may not be read by this user")]
    Unreadable {
        place: String,
        source: Box<dyn Error + Send + Sync>,
    },

    #[error("cannot write to {place}")]
    ReadOnly {
        place: String,
        source: Box<dyn Error + Send + Sync>,
    },

    #[error("no space is left for {place}")]
    NoSpace {
        place: String,
        source: Box<dyn Error + Send + Sync>,
    },

    #[error("{place} has been in use by another process for {waited_seconds} s")]
    Busy { place: String, waited_seconds: u64 },

    /// Nobody may remove it yet, such as by S3 Object Lock.
    #[error("{what} is retained by its store{}", .until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default())]
    Retained { what: String, until: Option<String> },

    #[error("{place} is damaged: {reason}")]
    Damaged { place: String, reason: String },

    /// A service behind the network said no, or said nothing.
    #[error("cannot {action} {place}: {reason}")]
    Remote {
        action: String,
        place: String,
        reason: String,
        hint: Option<String>,
        /// Whether the same call may succeed a little later.
        transient: bool,
    },

    #[error("cannot {action} {place}")]
    Unavailable {
        action: String,
        place: String,
        source: Box<dyn Error + Send + Sync>,
        hint: Option<String>,
    },
}

impl StoreError {
    /// Whether the same call may succeed a little later without anyone mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Busy { .. } | StoreError::Unavailable { .. } => true,
            StoreError::Remote { transient, .. } => *transient,
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::BlobMissing { .. } | StoreError::BlobCorrupt { .. } => {
                "restore the store from a copy, or take a new snapshot of the same commit: \
                 bytes that are put again replace the damaged ones"
                    .to_owned()
            }
            StoreError::InvalidKey { .. } => return None,
            StoreError::TooLarge { .. } => "leave large files out of the Terraform folders; they are kept with every \
                 release"
                .to_owned(),
            StoreError::NewerFormat { .. } => "a newer infra-rollback wrote this store: update this one".to_owned(),
            StoreError::NotAStore { .. } => {
                "name another folder by INFRA_ROLLBACK_HOME or --store, or move what lies there away".to_owned()
            }
            StoreError::NoStore { place } => {
                format!(
                    "look at how it is spelled; to make one there: `infra-rollback --store {place} store create`, or \
                     take the first snapshot"
                )
            }
            StoreError::Unreadable { place, .. } => {
                format!(
                    "let this user read {place}; a store holds secrets, so that it is for its owner alone by itself"
                )
            }
            StoreError::ReadOnly { place, .. } => {
                format!("make {place} writable for this user, or set INFRA_ROLLBACK_HOME to a folder that is")
            }
            StoreError::NoSpace { .. } => {
                "free some space, or set INFRA_ROLLBACK_HOME to a larger file system; nothing was half-written"
                    .to_owned()
            }
            StoreError::Busy { .. } => "wait for the other infra-rollback to finish and repeat the command".to_owned(),
            StoreError::Retained { .. } => {
                "collect again once that time is over; nothing else is held up by it".to_owned()
            }
            StoreError::Damaged { .. } => "restore it from a copy; `infra-rollback doctor` tells more".to_owned(),
            StoreError::Remote { hint, .. } | StoreError::Unavailable { hint, .. } => return hint.clone(),
        })
    }
}

macro_rules! forward {
    ($($owner:ty),*) => {$(
        impl<S: Store + ?Sized> Store for $owner {
            fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
                (**self).put_blob(bytes)
            }
            fn put_blobs(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
                (**self).put_blobs(many)
            }
            fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
                (**self).get_blob(id)
            }
            fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
                (**self).has_blob(id)
            }
            fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
                (**self).list_blobs(after, limit)
            }
            fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
                (**self).create(key, value)
            }
            fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
                (**self).replace(key, expected, value)
            }
            fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
                (**self).remove(key, expected)
            }
            fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
                (**self).get(key)
            }
            fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
                (**self).list(prefix, after, limit)
            }
            fn list_newest(&self, prefix: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
                (**self).list_newest(prefix, before, limit)
            }
            fn put_blob_like(&self, bytes: &[u8], like: Option<&BlobId>) -> Result<BlobId, StoreError> {
                (**self).put_blob_like(bytes, like)
            }
            fn blob_bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
                (**self).blob_bases(id)
            }
            fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
                (**self).remove_blob(id)
            }
            fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
                (**self).stored_blobs(after, limit)
            }
            fn leftovers(&self, put_before: Timestamp) -> Result<Vec<Leftover>, StoreError> {
                (**self).leftovers(put_before)
            }
            fn remove_leftover(&self, name: &str) -> Result<bool, StoreError> {
                (**self).remove_leftover(name)
            }
            fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
                (**self).transact(operations)
            }
            fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
                (**self).entries(prefix, after, limit)
            }
        }
    )*};
}

forward!(&S, Box<S>, std::sync::Arc<S>);
