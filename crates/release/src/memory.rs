use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::keys;
use crate::{
    BlobId, Created, Operation, Replaced, Store, StoreError, StoredBlob, Transacted, Version, check_transaction,
};

/// A store that lasts as long as the process: for tests. Clones share what they hold, as two clients of one store do.
#[derive(Clone, Default)]
pub struct MemoryStore {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    blobs: BTreeMap<BlobId, (Vec<u8>, Timestamp)>,
    records: BTreeMap<String, (Vec<u8>, u64)>,
    writes: u64,
}

impl Held {
    fn write(&mut self, key: &str, value: &[u8]) -> Version {
        self.writes += 1;
        self.records.insert(key.to_owned(), (value.to_vec(), self.writes));
        Version::new(self.writes.to_string())
    }
    /// Whether the condition of an operation holds.
    fn allows(&self, operation: &Operation<'_>) -> bool {
        match operation {
            Operation::Create { key, .. } => !self.records.contains_key(*key),
            Operation::Check { key, expected }
            | Operation::Replace { key, expected, .. }
            | Operation::Remove { key, expected } => self.is(key, expected),
        }
    }
    fn is(&self, key: &str, expected: &Version) -> bool {
        self.records
            .get(key)
            .is_some_and(|(_, version)| version.to_string() == expected.as_str())
    }
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Puts other bytes under an address, as a broken disk would; `None` loses them. For tests.
    pub fn damage_blob(&self, id: &BlobId, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.held().blobs.insert(*id, (bytes, Timestamp::now())),
            None => self.held().blobs.remove(id),
        };
    }
    /// Puts other bytes under a key past every condition, as a broken disk would. For tests.
    pub fn damage_record(&self, key: &str, value: &[u8]) {
        self.held().write(key, value);
    }
}

impl Store for MemoryStore {
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        let id = BlobId::of(bytes);
        self.held().blobs.insert(id, (bytes.to_vec(), Timestamp::now()));
        Ok(id)
    }
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.held().blobs.remove(id).is_some())
    }
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.held();
        let stored = held
            .blobs
            .range((from, Bound::Unbounded))
            .map(|(id, (bytes, written_at))| StoredBlob {
                id: *id,
                stored_bytes: bytes.len() as u64,
                written_at: *written_at,
            });
        Ok(stored.take(limit).collect())
    }
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        let bytes = self
            .held()
            .blobs
            .get(id)
            .map(|(bytes, _)| bytes.clone())
            .ok_or(StoreError::BlobMissing { id: *id })?;
        if BlobId::of(&bytes) != *id {
            return Err(StoreError::BlobCorrupt {
                id: *id,
                reason: "its content has another hash".to_owned(),
            });
        }
        Ok(bytes)
    }
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.held().blobs.contains_key(id))
    }
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .held()
            .blobs
            .range((from, Bound::Unbounded))
            .map(|(id, _)| *id)
            .take(limit)
            .collect())
    }
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        keys::check(key)?;
        let mut held = self.held();
        if held.records.contains_key(key) {
            return Ok(Created::Exists);
        }
        Ok(Created::Yes(held.write(key, value)))
    }
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        keys::check(key)?;
        let mut held = self.held();
        if !held.is(key, expected) {
            return Ok(Replaced::Changed);
        }
        Ok(Replaced::Yes(held.write(key, value)))
    }
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        keys::check(key)?;
        let mut held = self.held();
        if !held.is(key, expected) {
            return Ok(Replaced::Changed);
        }
        held.records.remove(key);
        Ok(Replaced::Yes(expected.clone()))
    }
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        check_transaction(operations)?;
        let mut held = self.held();
        if let Some(operation) = operations.iter().position(|operation| !held.allows(operation)) {
            return Ok(Transacted::Refused { operation });
        }
        let done = operations.iter().map(|operation| match operation {
            Operation::Check { expected, .. } => (*expected).clone(),
            Operation::Create { key, value } | Operation::Replace { key, value, .. } => held.write(key, value),
            Operation::Remove { key, expected } => {
                held.records.remove(*key);
                (*expected).clone()
            }
        });
        Ok(Transacted::Yes(done.collect()))
    }
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        keys::check(key)?;
        Ok(self
            .held()
            .records
            .get(key)
            .map(|(value, version)| (value.clone(), Version::new(version.to_string()))))
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let held = self.held();
        let keys = held
            .records
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, _)| key);
        Ok(keys
            .take_while(|key| key.starts_with(prefix))
            .take(limit)
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        crate::conformance::conformance(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn damage_is_noticed() {
        let store = MemoryStore::new();
        let id = store.put_blob(b"one").unwrap();
        store.damage_blob(&id, Some(b"two".to_vec()));
        assert!(matches!(store.get_blob(&id), Err(StoreError::BlobCorrupt { .. })));
    }
}
