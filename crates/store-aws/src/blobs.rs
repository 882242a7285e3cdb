//! Blobs as objects: `blobs/<64 hexadecimal digits>`, compressed, labelled with their address.
//!
//! A blob is read back by its address alone, so that an object which somebody wrote over by hand, or which is another
//! one's copy, is noticed. The label lets a put tell by one HEAD whether what lies there is what it would write.

use std::io::Read;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use rollback_release::{BlobId, StoreError, StoredBlob};

use crate::objects::{Head, Objects, Put, When};

const FOLDER: &str = "blobs/";

/// The most that one blob may have, in bytes before compression; as in the embedded store.
pub(crate) const LARGEST: u64 = 512 << 20;

/// As in the embedded store, where it was measured.
const LEVEL: i32 = 3;

/// How many objects are written or read at once: each waits for the network most of its time.
pub(crate) const PARALLEL: usize = 16;

/// After this long a put of what is there already makes it young again: a collection of garbage goes by age.
const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

fn name(id: &BlobId) -> String {
    format!("{FOLDER}{id}")
}

pub(crate) async fn put_many(objects: &Objects, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
    futures_util::stream::iter(many.iter().map(|bytes| put(objects, bytes)))
        .buffered(PARALLEL)
        .try_collect()
        .await
}

pub(crate) async fn put(objects: &Objects, bytes: &[u8]) -> Result<BlobId, StoreError> {
    if bytes.len() as u64 > LARGEST {
        return Err(StoreError::TooLarge {
            what: "a blob".to_owned(),
            size: bytes.len() as u64,
            limit: LARGEST,
        });
    }
    let id = BlobId::of(bytes);
    if let Some(head) = objects.head(&name(&id)).await?
        && is_ours_and_young(&head, &id)
    {
        return Ok(id);
    }
    let compressed = zstd::bulk::compress(bytes, LEVEL).map_err(|error| StoreError::Unavailable {
        action: "compress".to_owned(),
        place: format!("blob {id}"),
        source: error.into(),
        hint: None,
    })?;
    let label = label(&id, compressed.len() as u64);
    // Without a condition: whoever writes this name writes the same content.
    match objects.put(&name(&id), compressed, Some(&label), When::Always).await? {
        Put::Done(_) | Put::Refused { .. } => Ok(id),
    }
}

/// What the object must be labelled with: an object that was cut short or swapped has another one, or none.
fn label(id: &BlobId, stored_bytes: u64) -> String {
    format!("{id} {stored_bytes}")
}

fn is_ours_and_young(head: &Head, id: &BlobId) -> bool {
    let young = SignedDuration::try_from(YOUNG).unwrap_or_default();
    head.label.as_deref() == Some(&label(id, head.bytes)) && Timestamp::now().duration_since(head.written_at) < young
}

pub(crate) async fn get(objects: &Objects, id: &BlobId) -> Result<Vec<u8>, StoreError> {
    let Some((compressed, _)) = objects.get(&name(id)).await? else {
        return Err(StoreError::BlobMissing { id: *id });
    };
    let corrupt = |reason: String| StoreError::BlobCorrupt { id: *id, reason };
    let place = || objects.location.object(&name(id));
    let bytes = decompress(&compressed).map_err(|reason| corrupt(format!("{} {reason}", place())))?;
    if BlobId::of(&bytes) != *id {
        return Err(corrupt(format!("the content of {} has another hash", place())));
    }
    Ok(bytes)
}

/// What compressed bytes hold, or why they are none.
pub(crate) fn decompress(compressed: &[u8]) -> Result<Vec<u8>, String> {
    // What the frame claims is a hint for the allocation and no more.
    let claimed = zstd::zstd_safe::get_frame_content_size(compressed)
        .ok()
        .flatten()
        .unwrap_or(0);
    let mut bytes = Vec::with_capacity(usize::try_from(claimed.min(LARGEST)).unwrap_or(0));
    let decoder = zstd::Decoder::with_buffer(compressed);
    decoder
        .and_then(|decoder| decoder.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be decompressed: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("decompresses to more than {LARGEST} bytes"));
    }
    Ok(bytes)
}

pub(crate) async fn has(objects: &Objects, id: &BlobId) -> Result<bool, StoreError> {
    Ok(objects.head(&name(id)).await?.is_some())
}

pub(crate) async fn remove(objects: &Objects, id: &BlobId) -> Result<bool, StoreError> {
    if objects.head(&name(id)).await?.is_none() {
        return Ok(false);
    }
    objects.delete(&name(id)).await?;
    Ok(true)
}

pub(crate) async fn stored(
    objects: &Objects,
    after: Option<&BlobId>,
    limit: usize,
) -> Result<Vec<StoredBlob>, StoreError> {
    let mut stored: Vec<StoredBlob> = Vec::new();
    let mut after = after.map(name);
    while stored.len() < limit {
        let page = objects.list(FOLDER, after.as_deref(), limit - stored.len()).await?;
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
