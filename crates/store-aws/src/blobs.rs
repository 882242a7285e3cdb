//! Blobs as objects: `blobs/<64 hexadecimal digits>`, compressed or as a difference, labelled with their address.
//!
//! A blob is read back by its address alone, so that an object which somebody wrote over by hand, or which is another
//! one's copy, is noticed. The label lets a put tell by one HEAD whether what lies there is what it would write. How a
//! blob is kept is the business of [`rollback_release::difference`].

use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use rollback_release::difference::{self, LARGEST_BLOB, LONGEST_HEADER, RawBlobs};
use rollback_release::{BlobId, StoreError, StoredBlob};

use crate::connect::Clients;
use crate::objects::{Head, Objects, Put, When};

const FOLDER: &str = "blobs/";

/// How many objects are written or read at once: each waits for the network most of its time.
pub(crate) const PARALLEL: usize = 16;

/// What ends the label of a blob that is kept as a difference: what it stands on must be kept young with it.
const DIFFERENCE: &str = " difference";

fn name(id: &BlobId) -> String {
    format!("{FOLDER}{id}")
}

/// What the object must be labelled with: an object that was cut short or swapped has another one, or none.
fn label(id: &BlobId, stored_bytes: u64, difference: bool) -> String {
    format!("{id} {stored_bytes}{}", if difference { DIFFERENCE } else { "" })
}

/// What lies under a blob's name.
enum There {
    Nothing,
    /// Something that this program did not write so.
    Foreign,
    Whole(Head),
    Difference(Head),
}

/// The blobs of a store.
#[derive(Clone)]
pub(crate) struct Blobs {
    pub clients: Clients,
    pub objects: Objects,
}

impl Blobs {
    pub(crate) fn put_many(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
        self.clients.wait(
            futures_util::stream::iter(many.iter().map(|bytes| self.put(bytes)))
                .buffered(PARALLEL)
                .try_collect(),
        )
    }

    async fn put(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        if bytes.len() as u64 > LARGEST_BLOB {
            return Err(StoreError::TooLarge {
                what: "a blob".to_owned(),
                size: bytes.len() as u64,
                limit: LARGEST_BLOB,
            });
        }
        let id = BlobId::of(bytes);
        let kept = match self.there(&id).await? {
            There::Nothing | There::Foreign => false,
            There::Whole(head) => self.make_young(&id, head, false).await?,
            There::Difference(head) => self.keep_bases(&id).await? && self.make_young(&id, head, true).await?,
        };
        if !kept {
            let stored = difference::encode_whole(bytes).map_err(|error| self.uncompressed(&id, error))?;
            self.write(&id, stored, false).await?;
        }
        Ok(id)
    }

    /// As a put; what is kept may be the difference to the blobs that `like` stands on.
    pub(crate) fn put_like(&self, bytes: &[u8], like: &BlobId) -> Result<BlobId, StoreError> {
        let id = BlobId::of(bytes);
        let missing = matches!(self.clients.wait(self.there(&id))?, There::Nothing);
        if missing
            && self.clients.wait(self.keep(like))?
            && let Some(stored) = difference::encode_like(self, bytes, like)?
        {
            self.clients.wait(self.write(&id, stored, true))?;
            return Ok(id);
        }
        Ok(self.put_many(&[bytes])?[0])
    }

    /// Without a condition: whoever writes this name writes the same content.
    async fn write(&self, id: &BlobId, stored: Vec<u8>, difference: bool) -> Result<(), StoreError> {
        let label = label(id, stored.len() as u64, difference);
        match self.objects.put(&name(id), stored, Some(&label), When::Always).await? {
            Put::Done(_) | Put::Refused { .. } => Ok(()),
        }
    }

    async fn there(&self, id: &BlobId) -> Result<There, StoreError> {
        let Some(head) = self.objects.head(&name(id)).await? else {
            return Ok(There::Nothing);
        };
        let is = |difference| head.label.as_deref() == Some(&label(id, head.bytes, difference));
        Ok(match (is(false), is(true)) {
            (true, _) => There::Whole(head),
            (_, true) => There::Difference(head),
            _ => There::Foreign,
        })
    }

    /// A collection of garbage that goes on meanwhile leaves alone what is young. `false` where it is gone by now.
    async fn make_young(&self, id: &BlobId, head: Head, difference: bool) -> Result<bool, StoreError> {
        let young = SignedDuration::try_from(self.objects.patience.renewed_after).unwrap_or_default();
        if Timestamp::now().duration_since(head.written_at) < young {
            return Ok(true);
        }
        let label = label(id, head.bytes, difference);
        self.objects.copy_onto_itself(&name(id), &head.etag, &label).await
    }

    /// Makes a blob and what it stands on young, the bases first; `false` where one of them is gone or not ours.
    async fn keep(&self, id: &BlobId) -> Result<bool, StoreError> {
        match self.there(id).await? {
            There::Nothing | There::Foreign => Ok(false),
            There::Whole(head) => self.make_young(id, head, false).await,
            There::Difference(head) => Ok(self.keep_bases(id).await? && self.make_young(id, head, true).await?),
        }
    }

    async fn keep_bases(&self, id: &BlobId) -> Result<bool, StoreError> {
        let bases = match self.bases_of(id).await {
            Ok(bases) => bases,
            Err(StoreError::BlobMissing { .. } | StoreError::BlobCorrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let kept: Vec<bool> = futures_util::stream::iter(bases)
            .map(async |base| match self.there(&base).await? {
                There::Nothing | There::Foreign => Ok::<_, StoreError>(false),
                There::Whole(head) => self.make_young(&base, head, false).await,
                There::Difference(head) => self.make_young(&base, head, true).await,
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(kept.into_iter().all(|kept| kept))
    }

    /// What a blob stands on, nearest first.
    pub(crate) fn bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        self.clients.wait(self.bases_of(id))
    }

    async fn bases_of(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        difference::bases_of(id, &self.read(id, Some(LONGEST_HEADER)).await?)
    }

    pub(crate) fn get(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        difference::decode(self, id).map_err(|error| match error {
            StoreError::BlobCorrupt { id, reason } => StoreError::BlobCorrupt {
                reason: format!("{}: {reason}", self.objects.location.object(&name(&id))),
                id,
            },
            other => other,
        })
    }

    async fn read(&self, id: &BlobId, most: Option<usize>) -> Result<Vec<u8>, StoreError> {
        match self.objects.get(&name(id), most).await? {
            Some((stored, _)) => Ok(stored),
            None => Err(StoreError::BlobMissing { id: *id }),
        }
    }

    pub(crate) fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.clients.wait(self.objects.head(&name(id)))?.is_some())
    }

    pub(crate) fn remove(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.clients.wait(self.objects.collect(&name(id)))
    }

    pub(crate) fn stored(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        let mut stored: Vec<StoredBlob> = Vec::new();
        let mut after = after.map(name);
        while stored.len() < limit {
            let list = self.objects.list(FOLDER, after.as_deref(), limit - stored.len());
            let page = self.clients.wait(list)?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            // Anything else in the folder is not ours to judge.
            stored.extend(page.into_iter().filter_map(|object| {
                Some(StoredBlob {
                    id: object.name.strip_prefix(FOLDER)?.parse().ok()?,
                    stored_bytes: object.bytes,
                    written_at: object.written_at,
                })
            }));
        }
        Ok(stored)
    }

    fn uncompressed(&self, id: &BlobId, error: std::io::Error) -> StoreError {
        StoreError::Unavailable {
            action: "compress".to_owned(),
            place: self.objects.location.object(&name(id)),
            source: error.into(),
            hint: None,
        }
    }
}

impl RawBlobs for Blobs {
    fn get_raw(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.clients.wait(self.read(id, None))
    }
    fn get_raw_start(&self, id: &BlobId, length: usize) -> Result<Vec<u8>, StoreError> {
        self.clients.wait(self.read(id, Some(length)))
    }
    fn get_raw_many(&self, ids: &[BlobId]) -> Vec<Result<Vec<u8>, StoreError>> {
        self.clients.wait(
            futures_util::stream::iter(ids)
                .map(|id| self.read(id, None))
                .buffered(PARALLEL)
                .collect(),
        )
    }
}
