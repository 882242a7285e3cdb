//! The versions of a Terraform state in a versioned bucket: all that there were, read in order and a few ahead.

use std::collections::{BTreeMap, VecDeque};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use jiff::Timestamp;
use rollback_terraform::BackendConfig;
use tokio::task::JoinHandle;

use crate::connect::http_client;
use crate::terraform_backend::{Clients, Settings};

mod failure;

pub use failure::StateVersionsError;

/// One version as the bucket lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateVersion {
    /// `null` for an object that was written before the bucket kept versions.
    pub id: String,
    pub last_modified: Timestamp,
    /// In bytes; 0 for a delete marker.
    pub size: u64,
    /// From then on there was no object.
    pub is_delete_marker: bool,
}

/// The bytes of a version, and what was written beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateContent {
    pub bytes: Vec<u8>,
    /// User metadata without `x-amz-meta-`, and tags.
    pub labels: BTreeMap<String, String>,
}

/// How many versions are read at once, and how many bytes of them may lie in memory before somebody takes them (one
/// larger version goes alone).
const AHEAD: usize = 6;
const AHEAD_BYTES: u64 = 48 << 20;

/// An object in a bucket that keeps versions.
pub struct StateVersions {
    clients: Clients,
    bucket: String,
    key: String,
}

impl StateVersions {
    /// The state of a workspace of an `s3` backend, reached as the backend says.
    ///
    /// # Errors
    /// [`StateVersionsError::Backend`]: settings that terraform would refuse, or that only terraform honours.
    pub fn open(backend: &BackendConfig, workspace: &str) -> Result<StateVersions, StateVersionsError> {
        let refused = |reason: String| StateVersionsError::Backend { reason };
        let settings = Settings::read(backend, workspace)
            .map_err(|error| refused(error.to_string()))?
            .ok_or_else(|| refused("it has settings that only terraform itself honours".to_owned()))?;
        let clients = Clients::connect(&settings, http_client()).map_err(|error| refused(error.to_string()))?;
        Ok(StateVersions {
            clients,
            bucket: settings.bucket,
            key: settings.key,
        })
    }

    /// `s3://bucket/key`
    pub fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Every version and delete marker of the object, oldest first (`ListObjectVersions`, all pages).
    ///
    /// # Errors
    /// The bucket is not there or may not be listed; [`StateVersionsError::NoObject`] where it has no such object.
    pub fn list(&self) -> Result<Vec<StateVersion>, StateVersionsError> {
        let mut versions = self.clients.wait(self.pages())?;
        if versions.is_empty() {
            return Err(StateVersionsError::NoObject { place: self.place() });
        }
        // A bucket lists the newest first, also among those of one second.
        versions.reverse();
        versions.sort_by_key(|version| version.last_modified);
        Ok(versions)
    }

    async fn pages(&self) -> Result<Vec<StateVersion>, StateVersionsError> {
        // Versions and delete markers come in two lists: their places in the bucket's one order are told by time alone.
        let mut found = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .clients
                .s3
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(&self.key)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| StateVersionsError::of_list(&self.place(), error))?;
            for version in page.versions() {
                if version.key() == Some(&self.key) {
                    found.push(StateVersion {
                        id: version.version_id().unwrap_or("null").to_owned(),
                        last_modified: timestamp(version.last_modified()),
                        size: version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                        is_delete_marker: false,
                    });
                }
            }
            for marker in page.delete_markers() {
                if marker.key() == Some(&self.key) {
                    found.push(StateVersion {
                        id: marker.version_id().unwrap_or("null").to_owned(),
                        last_modified: timestamp(marker.last_modified()),
                        size: 0,
                        is_delete_marker: true,
                    });
                }
            }
            // Keys come in order: after the first other one (`….tflock`) nothing of ours follows.
            let ours = page.next_key_marker() == Some(&self.key);
            if page.is_truncated() != Some(true) || !ours {
                return Ok(found);
            }
            let next = (
                page.next_key_marker().map(str::to_owned),
                page.next_version_id_marker().map(str::to_owned),
            );
            (key_marker, version_marker) = next;
        }
    }

    /// Reads versions in the order given, a few at once.
    pub fn read(&self, wanted: Vec<StateVersion>) -> Reader<'_> {
        Reader {
            versions: self,
            wanted: wanted.into(),
            ahead: VecDeque::new(),
            bytes: 0,
        }
    }

    fn start(&self, version: &StateVersion) -> JoinHandle<Result<StateContent, StateVersionsError>> {
        let (client, place) = (self.clients.s3.clone(), self.place());
        let (bucket, key, id) = (self.bucket.clone(), self.key.clone(), version.id.clone());
        self.clients
            .spawn(async move { read(&client, &place, &bucket, &key, &id).await })
    }
}

/// The contents of versions in order: what [`StateVersions::read`] gives.
pub struct Reader<'v> {
    versions: &'v StateVersions,
    wanted: VecDeque<StateVersion>,
    ahead: VecDeque<(u64, JoinHandle<Result<StateContent, StateVersionsError>>)>,
    bytes: u64,
}

impl Iterator for Reader<'_> {
    type Item = Result<StateContent, StateVersionsError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(version) = self.wanted.front() {
            let full = self.ahead.len() >= AHEAD || self.bytes + version.size > AHEAD_BYTES;
            if full && !self.ahead.is_empty() {
                break;
            }
            self.bytes += version.size;
            self.ahead.push_back((version.size, self.versions.start(version)));
            self.wanted.pop_front();
        }
        let (size, task) = self.ahead.pop_front()?;
        let result = self.versions.clients.wait(task);
        self.bytes -= size;
        Some(result.unwrap_or_else(|error| Err(StateVersionsError::interrupted(&self.versions.place(), &error))))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        for (_, task) in &self.ahead {
            task.abort();
        }
    }
}

async fn read(
    client: &Client,
    place: &str,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<StateContent, StateVersionsError> {
    let failed = |error| StateVersionsError::of_read(place, id, error);
    let mut attempt = 1;
    loop {
        let answer = client.get_object().bucket(bucket).key(key).version_id(id).send().await;
        let answer: GetObjectOutput = answer.map_err(|error: SdkError<GetObjectError>| failed(error))?;
        let mut labels: BTreeMap<String, String> = answer.metadata().cloned().unwrap_or_default().into_iter().collect();
        let tagged = answer.tag_count().is_some_and(|count| count > 0);
        match answer.body.collect().await {
            Ok(body) => {
                if tagged {
                    labels.extend(tags(client, bucket, key, id).await);
                }
                let bytes = body.to_vec();
                return Ok(StateContent { bytes, labels });
            }
            // The SDK tries a call again, not a body that was cut off.
            Err(error) if attempt < 4 => {
                tracing::debug!(version = id, attempt, %error, "the body was cut off");
                attempt += 1;
            }
            Err(error) => return Err(StateVersionsError::interrupted(place, &error)),
        }
    }
}

/// Tags are another permission (`s3:GetObjectVersionTagging`): without it the state is taken in without them.
async fn tags(client: &Client, bucket: &str, key: &str, id: &str) -> BTreeMap<String, String> {
    let answer = client
        .get_object_tagging()
        .bucket(bucket)
        .key(key)
        .version_id(id)
        .send()
        .await;
    match answer {
        Ok(answer) => answer
            .tag_set()
            .iter()
            .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
            .collect(),
        Err(error) => {
            tracing::warn!(
                version = id,
                code = error.code(),
                "the tags of a version cannot be read"
            );
            BTreeMap::new()
        }
    }
}

fn timestamp(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    time.and_then(|time| Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
