//! Removing what nobody needs: releases past their time, and blobs that nothing names.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

use super::records::{each_page, projects};
use super::retention::expired;
use super::{Progress, Removal, Retention};
use crate::parallel::in_parallel;
use crate::{
    BlobId, Catalogue, CatalogueError, Created, Entry, Leftover, ReleaseId, Replaced, Store, StoreError, StoredBlob,
    Summary, keys,
};

/// How many blobs are written down and then removed at once.
const BATCH: usize = 500;

/// After this many hours the list of what was removed tells nobody anything.
const REMEMBERED_HOURS: i64 = 24;

/// What may go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Blobs that were put later than this stay, named or not: whoever put them may be about to name them.
    pub put_before: Timestamp,
    pub retention: Retention,
    /// Releases that are needed whatever their age, with the reason.
    pub needed: BTreeMap<ReleaseId, String>,
}

/// What would be removed. Nothing is yet.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Releases past their time, oldest first.
    pub releases: Vec<Summary>,
    /// Releases that are past their time and needed all the same, with the reason.
    pub needed: BTreeMap<ReleaseId, String>,
    /// Blobs that nothing names (once those releases are gone) and that nothing named stands on; each before what it
    /// stands on.
    pub blobs: Vec<StoredBlob>,
    /// What writes that were cut off left behind beside the records.
    pub leftovers: Vec<Leftover>,
    /// Rows of the index whose release is not there: a commit or a collection was cut off.
    pub abandoned_rows: Vec<Entry>,
    /// How many blobs stay, and what they take where they lie, in bytes.
    pub kept_blobs: usize,
    pub kept_bytes: u64,
    /// Those of them that nothing names and that are too young to go.
    pub young_blobs: usize,
    put_before: Timestamp,
}

impl Plan {
    /// What the blobs and leftovers of the plan take where they lie, in bytes.
    pub fn bytes(&self) -> u64 {
        let leftovers: u64 = self.leftovers.iter().map(|leftover| leftover.stored_bytes).sum();
        leftovers + self.blobs.iter().map(|blob| blob.stored_bytes).sum::<u64>()
    }
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.releases.is_empty() && self.leftovers.is_empty() && self.abandoned_rows.is_empty()
    }
}

/// Something that the store keeps for a time against everybody, such as by S3 Object Lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The address of a blob, the id of a release, or the name of a leftover.
    pub what: String,
    pub reason: String,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    pub releases: Vec<ReleaseId>,
    pub blobs: usize,
    pub leftovers: usize,
    pub abandoned_rows: usize,
    /// Of blobs and leftovers.
    pub bytes: u64,
    /// Blobs of the plan that somebody put or named meanwhile: they stay.
    pub wanted_again: usize,
    pub retained: Vec<Retained>,
    /// Releases that were being committed meanwhile: the blobs stay for the next time.
    pub held_back_by: Vec<ReleaseId>,
}

/// Finds what may go. Changes nothing.
///
/// # Errors
/// The store does; or a blob that is needed is damaged, so that it cannot be told what it stands on.
pub fn plan(catalogue: &Catalogue<'_>, options: &Options, progress: Progress<'_>) -> Result<Plan, CatalogueError> {
    let store = catalogue.store();
    let retention = options.retention;
    let (releases, needed) = if retention.keep_last.is_some() || retention.keep_since.is_some() {
        expired(
            catalogue.summaries(usize::MAX)?.items,
            retention,
            &catalogue.marks()?,
            &options.needed,
        )
    } else {
        (Vec::new(), BTreeMap::new())
    };
    let abandoned_rows = abandoned_rows(store)?;
    let mut passed_over: BTreeSet<String> = abandoned_rows.iter().map(|row| row.key.clone()).collect();
    for summary in &releases {
        let project = catalogue.project();
        passed_over.extend([
            keys::release(project, &summary.id),
            keys::index_row(project, &summary.id),
        ]);
    }
    let named = named(store, &passed_over, progress)?;
    let stored = stored(store, progress)?;
    let (old, kept): (Vec<StoredBlob>, Vec<StoredBlob>) =
        (stored.into_iter()).partition(|blob| !named.contains(&blob.id) && blob.written_at < options.put_before);
    let young_blobs = kept.iter().filter(|blob| !named.contains(&blob.id)).count();
    let mut plan = Plan {
        releases,
        needed,
        kept_blobs: kept.len(),
        kept_bytes: kept.iter().map(|blob| blob.stored_bytes).sum(),
        leftovers: store.leftovers(options.put_before)?,
        abandoned_rows,
        young_blobs,
        put_before: options.put_before,
        blobs: Vec::new(),
    };
    if old.is_empty() {
        return Ok(plan);
    }
    let stood_on = bases(store, &kept, progress)?
        .into_iter()
        .flatten()
        .collect::<BTreeSet<_>>();
    let (stays, goes): (Vec<StoredBlob>, Vec<StoredBlob>) =
        old.into_iter().partition(|blob| stood_on.contains(&blob.id));
    plan.kept_blobs += stays.len();
    plan.kept_bytes += stays.iter().map(|blob| blob.stored_bytes).sum::<u64>();
    // What cannot be read stands on nothing any more.
    let links = in_parallel(&goes, |blob| store.blob_bases(&blob.id).map_or(0, |bases| bases.len()));
    let mut ordered: Vec<(usize, StoredBlob)> = links.into_iter().zip(goes).collect();
    ordered.sort_by_key(|(links, _)| std::cmp::Reverse(*links));
    plan.blobs = ordered.into_iter().map(|(_, blob)| blob).collect();
    Ok(plan)
}

/// Removes what a plan says and what is still true of it. May be cut off anywhere and repeated.
pub fn carry_out(catalogue: &Catalogue<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Collected, CatalogueError> {
    let store = catalogue.store();
    let mut collected = Collected::default();
    forget_old_removals(store)?;
    for (done, summary) in plan.releases.iter().enumerate() {
        match remove_release(catalogue, &summary.id) {
            Ok(()) => collected.releases.push(summary.id.clone()),
            Err(StoreError::Retained { what, until }) => collected.retained.push(Retained {
                what: summary.id.to_string(),
                reason: StoreError::Retained { what, until }.to_string(),
            }),
            Err(error) => return Err(error.into()),
        }
        progress("releases removed", done + 1, plan.releases.len());
    }
    // What they name would stay. One that changed meanwhile belongs to a commit that goes on.
    for row in &plan.abandoned_rows {
        if store.remove(&row.key, &row.version)? != Replaced::Changed {
            collected.abandoned_rows += 1;
        }
    }
    for (done, leftover) in plan.leftovers.iter().enumerate() {
        match store.remove_leftover(&leftover.name) {
            Ok(true) => {
                collected.leftovers += 1;
                collected.bytes += leftover.stored_bytes;
            }
            Ok(false) => {}
            Err(error @ StoreError::Retained { .. }) => collected.retained.push(Retained {
                what: leftover.name.clone(),
                reason: error.to_string(),
            }),
            Err(error) => return Err(error.into()),
        }
        progress("leftovers removed", done + 1, plan.leftovers.len());
    }
    for batch in plan.blobs.chunks(BATCH) {
        remove_batch(catalogue, plan, batch, &mut collected)?;
        if !collected.held_back_by.is_empty() {
            break;
        }
        progress("blobs removed", collected.blobs, plan.blobs.len());
    }
    Ok(collected)
}

fn remove_batch(
    catalogue: &Catalogue<'_>,
    plan: &Plan,
    batch: &[StoredBlob],
    collected: &mut Collected,
) -> Result<(), CatalogueError> {
    let store = catalogue.store();
    let mut removal = Removal {
        at: Timestamp::now(),
        done: false,
        blobs: batch.iter().map(|blob| blob.id).collect(),
    };
    let key = format!("{}{}", keys::REMOVALS, Uuid::now_v7());
    let Created::Yes(mut version) = store.create(&key, &encode(&removal)?)? else {
        return Err(StoreError::Busy {
            place: key,
            waited_seconds: 0,
        }
        .into());
    };
    // From here on every commit sees the list. Those that did not are seen now, before anything is removed.
    for project in projects(store)? {
        let committing = Catalogue::new(store, &project).being_committed()?;
        collected.held_back_by.extend(committing);
    }
    if !collected.held_back_by.is_empty() {
        let _ = store.remove(&key, &version)?;
        return Ok(());
    }
    // What was named or is stood on by now stays.
    let named = named(store, &BTreeSet::new(), &mut |_, _, _| {})?;
    let going: BTreeSet<BlobId> = plan.blobs.iter().map(|blob| blob.id).collect();
    let kept: Vec<StoredBlob> = stored(store, &mut |_, _, _| {})?
        .into_iter()
        .filter(|blob| named.contains(&blob.id) || !going.contains(&blob.id))
        .collect();
    let stood_on: BTreeSet<BlobId> = (bases(store, &kept, &mut |_, _, _| {})?.into_iter().flatten()).collect();
    for blob in batch {
        let now = look(store, &blob.id)?;
        let is_wanted = named.contains(&blob.id) || stood_on.contains(&blob.id);
        let is_young = now.as_ref().is_some_and(|now| now.written_at >= plan.put_before);
        if is_wanted || is_young {
            collected.wanted_again += 1;
            continue;
        }
        match store.remove_blob(&blob.id) {
            Ok(true) => {
                collected.blobs += 1;
                collected.bytes += blob.stored_bytes;
            }
            Ok(false) => {}
            Err(error @ StoreError::Retained { .. }) => collected.retained.push(Retained {
                what: blob.id.to_string(),
                reason: error.to_string(),
            }),
            Err(error) => return Err(error.into()),
        }
    }
    removal.done = true;
    // Who changed it is another collection that took this one for dead: it is not in the way.
    if let Replaced::Yes(new) = store.replace(&key, &version, &encode(&removal)?)? {
        version = new;
    }
    drop(version);
    Ok(())
}

/// The manifest before the row, which does not count without it.
fn remove_release(catalogue: &Catalogue<'_>, id: &ReleaseId) -> Result<(), StoreError> {
    let store = catalogue.store();
    catalogue.retire_row(id)?;
    let key = keys::release(catalogue.project(), id);
    if let Some((_, version)) = store.get(&key)? {
        // A manifest never changes: it is gone, then.
        let _ = store.remove(&key, &version)?;
    }
    catalogue.remove_row(id)?;
    let mark = keys::mark(catalogue.project(), id);
    if let Some((_, version)) = store.get(&mark)? {
        let _ = store.remove(&mark, &version)?;
    }
    Ok(())
}

fn forget_old_removals(store: &dyn Store) -> Result<(), StoreError> {
    for entry in crate::all_entries(store, keys::REMOVALS)? {
        let removal = serde_json::from_slice::<Removal>(&entry.value);
        if removal.is_ok_and(|removal| removal.at < Timestamp::now() - REMEMBERED_HOURS.hours()) {
            let _ = store.remove(&entry.key, &entry.version)?;
        }
    }
    Ok(())
}

fn encode(removal: &Removal) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(removal).map_err(|error| StoreError::Damaged {
        place: keys::REMOVALS.to_owned(),
        reason: error.to_string(),
    })
}

/// Rows of the index, of any project, whose release is not there.
fn abandoned_rows(store: &dyn Store) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    for project in projects(store)? {
        found.extend(Catalogue::new(store, &project).abandoned_rows()?);
    }
    Ok(found)
}

/// Whatever any record mentions that could be the address of a blob, but for those records. Which records there are and what
/// they mean is nobody's business here: a kind that is added later counts too.
fn named(
    store: &dyn Store,
    passed_over: &BTreeSet<String>,
    progress: Progress<'_>,
) -> Result<BTreeSet<BlobId>, StoreError> {
    let mut named = BTreeSet::new();
    let mut count = 0;
    each_page::<StoreError>(store, &mut |page| {
        count += page.len();
        for entry in &page {
            if !entry.key.starts_with(keys::REMOVALS) && !passed_over.contains(&entry.key) {
                addresses(&entry.value, &mut named);
            }
        }
        progress("records read", count, 0);
        Ok(())
    })?;
    Ok(named)
}

/// Every text of exactly 64 lower-case hexadecimal digits.
fn addresses(value: &[u8], found: &mut BTreeSet<BlobId>) {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    for run in value.split(|byte| !is_digit(byte)).filter(|run| run.len() == 64) {
        found.extend(
            std::str::from_utf8(run)
                .ok()
                .and_then(|text| text.parse::<BlobId>().ok()),
        );
    }
}

fn stored(store: &dyn Store, progress: Progress<'_>) -> Result<Vec<StoredBlob>, StoreError> {
    let mut stored: Vec<StoredBlob> = Vec::new();
    loop {
        let page = store.stored_blobs(stored.last().map(|blob| &blob.id), 1000)?;
        if page.is_empty() {
            return Ok(stored);
        }
        stored.extend(page);
        progress("blobs listed", stored.len(), 0);
    }
}

/// What each stands on. One that is gone stands on nothing; one that is damaged is an error: what it stands on would
/// mend it.
fn bases(store: &dyn Store, blobs: &[StoredBlob], progress: Progress<'_>) -> Result<Vec<Vec<BlobId>>, StoreError> {
    let mut found = Vec::with_capacity(blobs.len());
    for part in blobs.chunks(1000) {
        for answer in in_parallel(part, |blob| store.blob_bases(&blob.id)) {
            match answer {
                Ok(bases) => found.push(bases),
                Err(StoreError::BlobMissing { .. }) => found.push(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        progress("blobs looked into", found.len(), blobs.len());
    }
    Ok(found)
}

/// What the store knows of one blob now.
fn look(store: &dyn Store, id: &BlobId) -> Result<Option<StoredBlob>, StoreError> {
    let mut before = *id.as_bytes();
    let mut borrowed = true;
    for byte in before.iter_mut().rev() {
        if borrowed {
            (*byte, borrowed) = byte.overflowing_sub(1);
        }
    }
    let before = BlobId::from_bytes(before);
    let page = store.stored_blobs((!borrowed).then_some(&before), 1)?;
    Ok(page.into_iter().next().filter(|blob| blob.id == *id))
}
