//! Everything of one store into another.

use std::collections::BTreeSet;

use super::Progress;
use super::records::each_page;
use crate::parallel::in_parallel;
use crate::{BlobId, Created, Store, StoreError, keys};

/// How many blobs are read and written at once.
const BATCH: usize = 16;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub blobs: usize,
    /// Content, in bytes.
    pub bytes: u64,
    pub records: usize,
    /// Blobs and records that were there already, compared and the same.
    pub present: usize,
    /// Blobs that cannot be read at their source: what is damaged there is not copied.
    pub damaged: Vec<Damaged>,
}

/// A blob that could not be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub id: BlobId,
    pub reason: String,
}

/// A record that both stores have, and that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub key: String,
}

/// Why a copy stopped.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was written, unless somebody wrote to the target meanwhile.
    #[error("{} records differ between the two stores, the first is {}", .0.len(), .0.first().map_or("", |first| first.key.as_str()))]
    Conflicts(Vec<Conflict>),
}

/// Copies blobs, then records, then the manifests that name them. What is there already and the same is passed over, so
/// that a copy that was cut off goes on; what is there and differs is never written over: nothing is copied then.
/// Neither rows of the index that differ (both stores make them from their manifests) nor notes of a collection of
/// garbage are in the way.
pub fn copy(from: &dyn Store, to: &dyn Store, progress: Progress<'_>) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let conflicts = conflicts(from, to, progress)?;
    if !conflicts.is_empty() {
        return Err(CopyError::Conflicts(conflicts));
    }
    blobs(from, to, &mut copied, progress)?;
    for manifests in [false, true] {
        let mut count = 0;
        each_page::<CopyError>(from, &mut |page| {
            let mut differ = Vec::new();
            for entry in page {
                if keys::is_release(&entry.key) != manifests || is_own(&entry.key) {
                    continue;
                }
                count += 1;
                match to.create(&entry.key, &entry.value)? {
                    Created::Yes(_) => copied.records += 1,
                    Created::Exists if same(to, &entry.key, &entry.value)? => copied.present += 1,
                    Created::Exists => differ.push(Conflict { key: entry.key }),
                }
            }
            progress(if manifests { "releases" } else { "records" }, count, 0);
            if differ.is_empty() {
                Ok(())
            } else {
                Err(CopyError::Conflicts(differ))
            }
        })?;
    }
    Ok(copied)
}

/// Of this very store, and not of what it keeps.
fn is_own(key: &str) -> bool {
    key.starts_with(keys::REMOVALS)
}

fn is_index_row(key: &str) -> bool {
    let mut segments = key.split('/');
    segments.next() == Some("projects") && segments.nth(1) == Some("index")
}

fn same(to: &dyn Store, key: &str, value: &[u8]) -> Result<bool, StoreError> {
    Ok(is_index_row(key) || to.get(key)?.is_none_or(|(there, _)| there == value))
}

fn conflicts(from: &dyn Store, to: &dyn Store, progress: Progress<'_>) -> Result<Vec<Conflict>, StoreError> {
    let (mut found, mut count) = (Vec::new(), 0);
    each_page::<StoreError>(from, &mut |page| {
        count += page.len();
        for entry in page.into_iter().filter(|entry| !is_own(&entry.key)) {
            if !same(to, &entry.key, &entry.value)? {
                found.push(Conflict { key: entry.key });
            }
        }
        progress("records compared", count, 0);
        Ok(())
    })?;
    Ok(found)
}

/// Each after what it stands on, so that the target can keep it as a difference too.
fn blobs(from: &dyn Store, to: &dyn Store, copied: &mut Copied, progress: Progress<'_>) -> Result<(), StoreError> {
    let ids: Vec<BlobId> = crate::blobs(from).collect::<Result<_, _>>()?;
    let mut bases = Vec::with_capacity(ids.len());
    for (id, answer) in ids.iter().zip(in_parallel(&ids, |id| from.blob_bases(id))) {
        match answer {
            Ok(links) => bases.push((links, *id)),
            // Reading it will tell what is wrong with it.
            Err(StoreError::BlobCorrupt { .. }) => bases.push((Vec::new(), *id)),
            Err(StoreError::BlobMissing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    bases.sort_by_key(|(links, id)| (links.len(), *id));
    let total = bases.len();
    let mut done = 0;
    let mut level: BTreeSet<usize> = bases.iter().map(|(links, _)| links.len()).collect();
    while let Some(links) = level.pop_first() {
        let of_level: Vec<&(Vec<BlobId>, BlobId)> = bases.iter().filter(|(bases, _)| bases.len() == links).collect();
        for batch in of_level.chunks(BATCH) {
            for answer in in_parallel(batch, |(bases, id)| one(from, to, bases, id)) {
                match answer {
                    Ok(Some(bytes)) => {
                        copied.blobs += 1;
                        copied.bytes += bytes;
                    }
                    Ok(None) => copied.present += 1,
                    Err(StoreError::BlobCorrupt { id, reason }) => copied.damaged.push(Damaged { id, reason }),
                    // Removed by a collection of garbage meanwhile: nobody named it.
                    Err(StoreError::BlobMissing { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            done += batch.len();
            progress("blobs", done, total);
        }
    }
    Ok(())
}

/// How many bytes were copied; `None` where the target has them, whole and right.
fn one(from: &dyn Store, to: &dyn Store, bases: &[BlobId], id: &BlobId) -> Result<Option<u64>, StoreError> {
    if to.has_blob(id)? && to.get_blob(id).is_ok() {
        return Ok(None);
    }
    let bytes = from.get_blob(id)?;
    let put = to.put_blob_like(&bytes, bases.first())?;
    if put != *id || to.get_blob(id)? != bytes {
        return Err(StoreError::Damaged {
            place: format!("blob {id} at its target"),
            reason: "what was just written is not what is read".to_owned(),
        });
    }
    Ok(Some(bytes.len() as u64))
}
