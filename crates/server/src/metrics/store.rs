//! A store whose calls are counted and timed.

use std::sync::Arc;
use std::time::Instant;

use rollback_release::{
    BlobId, Created, Entry, Operation, Replaced, Store, StoreError, StoredBlob, Transacted, Version,
};

use super::Metrics;

/// Passes every call on, and notes how long it took and whether it failed.
pub struct MeasuredStore {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl MeasuredStore {
    pub fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> MeasuredStore {
        MeasuredStore { inner, metrics }
    }

    fn measured<T>(
        &self,
        call: &'static str,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = work(self.inner.as_ref());
        self.metrics.store_call(call, began, result.is_err());
        result
    }
}

impl Store for MeasuredStore {
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        self.measured("put_blob", |store| store.put_blob(bytes))
    }
    fn put_blob_like(&self, bytes: &[u8], like: Option<&BlobId>) -> Result<BlobId, StoreError> {
        self.measured("put_blob", |store| store.put_blob_like(bytes, like))
    }
    fn put_blobs(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
        self.measured("put_blobs", |store| store.put_blobs(many))
    }
    fn blob_bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        self.measured("blob_bases", |store| store.blob_bases(id))
    }
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.measured("remove_blob", |store| store.remove_blob(id))
    }
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.measured("get_blob", |store| store.get_blob(id))
    }
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.measured("has_blob", |store| store.has_blob(id))
    }
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.measured("list_blobs", |store| store.list_blobs(after, limit))
    }
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        self.measured("list_blobs", |store| store.stored_blobs(after, limit))
    }
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        self.measured("create", |store| store.create(key, value))
    }
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        self.measured("replace", |store| store.replace(key, expected, value))
    }
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        self.measured("remove", |store| store.remove(key, expected))
    }
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        self.measured("transact", |store| store.transact(operations))
    }
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.measured("get", |store| store.get(key))
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.measured("list", |store| store.list(prefix, after, limit))
    }
    fn list_newest(&self, prefix: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.measured("list_newest", |store| store.list_newest(prefix, before, limit))
    }
    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.measured("entries", |store| store.entries(prefix, after, limit))
    }
}
