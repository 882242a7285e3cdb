use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use rollback_release::{
    BlobId, Created, Entry, Leftover, Operation, Replaced, Store, StoreError, StoredBlob, Transacted, Version, keys,
};

use crate::blobs::{Blobs, PARALLEL};
use crate::connect::Clients;
use crate::leftovers;
use crate::location::Location;
use crate::manifests;
use crate::objects::Objects;
use crate::patience::Patience;
use crate::table::Table;
use crate::transaction;

/// A store that many machines share. Cheap to clone; clones share their connections.
///
/// From within an asynchronous runtime it may be used only on threads that may block.
#[derive(Clone)]
pub struct AwsStore {
    clients: Clients,
    blobs: Blobs,
    objects: Objects,
    table: Table,
}

/// Which of the two places have keys with a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Places {
    manifests: bool,
    table: bool,
}

impl AwsStore {
    /// Opens a store. Bucket and table are not asked yet.
    ///
    /// # Errors
    /// No region is known, or the system gives no threads.
    pub fn open(location: &Location) -> Result<AwsStore, StoreError> {
        let clients = Clients::connect(&location.access).map_err(|error| StoreError::Unavailable {
            action: "open".to_owned(),
            place: location.place(),
            source: error.into(),
            hint: None,
        })?;
        AwsStore::with(location, clients, Patience::default())
    }

    /// As [`AwsStore::open`], with clients of one's own making and another patience: tests put faults between.
    pub fn with(location: &Location, clients: Clients, patience: Patience) -> Result<AwsStore, StoreError> {
        if clients.region().is_none() {
            return Err(StoreError::Remote {
                action: "open".to_owned(),
                place: location.place(),
                reason: "no AWS region is known".to_owned(),
                hint: Some("set AWS_REGION, or say ?region= in the store's URL".to_owned()),
                transient: false,
            });
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(patience.connect).build();
        let s3 = clients.s3.config().to_builder();
        let s3 = s3
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.clone());
        let dynamodb = clients.dynamodb.config().to_builder();
        let dynamodb = dynamodb.retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        let objects = Objects {
            client: aws_sdk_s3::Client::from_conf(s3.build()),
            location: location.clone(),
            region: clients.region().map(str::to_owned),
            patience,
        };
        let table = Table {
            client: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            objects: objects.clone(),
        };
        let blobs = Blobs {
            clients: clients.clone(),
            objects: objects.clone(),
        };
        Ok(AwsStore {
            clients,
            blobs,
            objects,
            table,
        })
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub fn location(&self) -> &Location {
        &self.objects.location
    }

    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    fn places(prefix: &str) -> Places {
        let mut complete: Vec<&str> = prefix.split('/').collect();
        let begun = complete.pop().unwrap_or_default();
        let expected = ["projects", "", "releases"];
        let fits = |(index, segment): (usize, &&str)| index == 1 || expected[index] == *segment;
        if complete.len() >= expected.len() {
            let manifests = complete.iter().take(expected.len()).enumerate().all(fits);
            return Places {
                manifests,
                table: !manifests,
            };
        }
        let may_be = complete.iter().enumerate().all(fits)
            && (complete.len() == 1 || expected[complete.len()].starts_with(begun));
        Places {
            manifests: may_be,
            table: true,
        }
    }

    async fn manifest_keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        // Blobs lie beside the projects.
        let prefix = if prefix.len() < "projects/".len() {
            "projects/"
        } else {
            prefix
        };
        let mut found: Vec<String> = Vec::new();
        let mut after = after.map(str::to_owned);
        while found.len() < limit {
            let page = self.objects.list(prefix, after.as_deref(), limit - found.len()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            let names = page.into_iter().map(|object| object.name);
            found.extend(names.filter(|name| keys::is_release(name) && keys::check(name).is_ok()));
        }
        Ok(found)
    }

    /// The smallest `limit` of two sorted lists.
    fn merge<T>(mut one: Vec<T>, other: Vec<T>, key: impl Fn(&T) -> &str, limit: usize) -> Vec<T> {
        one.extend(other);
        one.sort_by(|one, other| key(one).cmp(key(other)));
        one.truncate(limit);
        one
    }
}

impl Store for AwsStore {
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        Ok(self.blobs.put_many(&[bytes])?[0])
    }
    fn put_blobs(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
        self.blobs.put_many(many)
    }
    fn put_blob_like(&self, bytes: &[u8], like: Option<&BlobId>) -> Result<BlobId, StoreError> {
        match like {
            Some(like) => self.blobs.put_like(bytes, like),
            None => self.put_blob(bytes),
        }
    }
    fn blob_bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        self.blobs.bases(id)
    }
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.blobs.get(id)
    }
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.blobs.has(id)
    }
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.blobs.remove(id)
    }
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let stored = self.stored_blobs(after, limit)?;
        Ok(stored.into_iter().map(|blob| blob.id).collect())
    }
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        self.blobs.stored(after, limit)
    }
    fn leftovers(&self, put_before: Timestamp) -> Result<Vec<Leftover>, StoreError> {
        self.clients.wait(leftovers::find(&self.table, put_before))
    }
    fn remove_leftover(&self, name: &str) -> Result<bool, StoreError> {
        self.clients.wait(leftovers::remove(&self.table, name))
    }
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        keys::check(key)?;
        self.clients.wait(async {
            match keys::is_release(key) {
                true => manifests::create(&self.objects, key, value).await,
                false => self.table.create(key, value).await,
            }
        })
    }
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        keys::check(key)?;
        self.clients.wait(async {
            match keys::is_release(key) {
                true => manifests::replace(&self.objects, key, expected, value).await,
                false => self.table.replace(key, expected, value).await,
            }
        })
    }
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        keys::check(key)?;
        self.clients.wait(async {
            match keys::is_release(key) {
                true => manifests::remove(&self.objects, key, expected).await,
                false => self.table.remove(key, expected).await,
            }
        })
    }
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        self.clients.wait(transaction::transact(&self.table, operations))
    }
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        keys::check(key)?;
        self.clients.wait(async {
            match keys::is_release(key) {
                true => manifests::get(&self.objects, key).await,
                false => self.table.get(key).await,
            }
        })
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let places = AwsStore::places(prefix);
        self.clients.wait(async {
            let manifests = match places.manifests {
                true => self.manifest_keys(prefix, after, limit).await?,
                false => Vec::new(),
            };
            let records = match places.table {
                true => self.table.keys(prefix, after, limit).await?,
                false => Vec::new(),
            };
            Ok(AwsStore::merge(manifests, records, |key| key, limit))
        })
    }
    fn list_newest(&self, prefix: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let places = AwsStore::places(prefix);
        self.clients.wait(async {
            let mut keys = match places.manifests {
                true => self.manifest_keys(prefix, None, usize::MAX).await?,
                false => Vec::new(),
            };
            keys.retain(|key| before.is_none_or(|before| key.as_str() < before));
            if places.table {
                keys.extend(self.table.keys_newest(prefix, before, limit).await?);
            }
            keys.sort_unstable_by(|one, other| other.cmp(one));
            keys.truncate(limit);
            Ok(keys)
        })
    }
    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let places = AwsStore::places(prefix);
        self.clients.wait(async {
            let keys = match places.manifests {
                true => self.manifest_keys(prefix, after, limit).await?,
                false => Vec::new(),
            };
            let manifests: Vec<Option<Entry>> = futures_util::stream::iter(keys)
                .map(|key| manifests::entry(&self.objects, key))
                .buffered(PARALLEL)
                .try_collect()
                .await?;
            let records = match places.table {
                true => self.table.entries(prefix, after, limit).await?,
                false => Vec::new(),
            };
            let manifests = manifests.into_iter().flatten().collect();
            Ok(AwsStore::merge(manifests, records, |entry: &Entry| &entry.key, limit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_asks_only_where_keys_may_be() {
        for (prefix, manifests, table) in [
            ("", true, true),
            ("pro", true, true),
            ("conformance/", false, true),
            ("other", false, true),
            ("projects/", true, true),
            ("projects/p", true, true),
            ("projects/p/", true, true),
            ("projects/p/re", true, true),
            ("projects/p/releases", true, true),
            ("projects/p/releases/", true, false),
            ("projects/p/releases/0198", true, false),
            ("projects/p/releases/x/y", true, false),
            ("projects/p/releasesx", false, true),
            ("projects/p/runs/", false, true),
            ("projects/p/runs/1/releases/", false, true),
        ] {
            assert!(AwsStore::places(prefix) == Places { manifests, table }, "{prefix:?}");
        }
    }
}
