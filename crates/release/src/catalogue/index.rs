//! The index: a small record per release, so that finding and listing needs one query and not every manifest.
//!
//! A row is written before the manifest and counts once the manifest is there; keys of manifests are listed together
//! with the rows, so that a row that is missing, damaged or left over by a crash is noticed, and mended from the
//! manifest by whoever notices. What is really used of a release always comes from its manifest: where that says
//! something else than the row, the index is not asked again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, Listing, Unreadable};
use crate::manifest::{self, Purpose};
use crate::parallel::{THREADS, in_parallel};
use crate::record::FORMAT;
use crate::{Created, Entry, Release, ReleaseId, Replaced, StoreError, Summary, keys};

/// One page of a listing.
const PAGE: usize = 1000;

/// How many more rows than manifests are asked for: some may belong to no manifest.
const SPARE: usize = 8;

/// After this many hours a row without a manifest belongs to nobody.
const ABANDONED_HOURS: i64 = 24;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    written_at: Timestamp,
    summary: Summary,
}

/// What [`Catalogue::rebuild_index`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Releases whose row is right now.
    pub releases: usize,
    /// Rows that were missing or wrong and have been written.
    pub written: usize,
    /// Rows of releases that are not there, removed.
    pub removed: usize,
    pub unreadable: Vec<Unreadable>,
}

impl Catalogue<'_> {
    /// The newest `limit` releases in short, newest first; those that cannot be read count.
    pub fn summaries(&self, limit: usize) -> Result<Listing<Summary>, CatalogueError> {
        let keys = self.store.list_newest(&keys::releases(&self.project), None, limit)?;
        self.summaries_of(&keys)
    }

    /// Of these manifests, newest first.
    pub(super) fn summaries_of(&self, keys: &[String]) -> Result<Listing<Summary>, CatalogueError> {
        let mut rows = match (keys.first(), keys.last()) {
            (Some(newest), Some(oldest)) => {
                // Rows beside those of the manifests are few: a page of a long list costs what it has, wherever it stands.
                let page = keys.len().saturating_add(SPARE).min(PAGE);
                self.rows(Some((name_of(oldest), name_of(newest))), page)?
            }
            _ => BTreeMap::new(),
        };
        let mut unreadable = Vec::new();
        let mut found: BTreeMap<&str, Summary> = BTreeMap::new();
        let mut missing = Vec::new();
        for key in keys {
            let name = name_of(key);
            let Ok(id) = name.parse::<ReleaseId>() else {
                unreadable.push(not_an_id(name));
                continue;
            };
            match rows.remove(name) {
                Some(row) => drop(found.insert(name, row.summary)),
                None => missing.push(id),
            }
        }
        for (id, summary) in self.read_summaries(&missing)? {
            match summary {
                Ok(summary) => {
                    // Who may only read gets the answer all the same.
                    let _ = self.write_row(&summary);
                    if let Some(key) = keys.iter().find(|key| name_of(key) == id.as_str()) {
                        found.insert(name_of(key), summary);
                    }
                }
                Err(reason) => unreadable.push(Unreadable {
                    release: id.to_string(),
                    reason,
                }),
            }
        }
        unreadable.sort_by_key(|one| keys.iter().position(|key| name_of(key) == one.release));
        let items = keys.iter().filter_map(|key| found.remove(name_of(key))).collect();
        Ok(Listing { items, unreadable })
    }

    /// As [`Catalogue::summaries`] of all, from the manifests alone; rows that differ are mended.
    pub(super) fn summaries_from_manifests(&self) -> Result<Listing<Summary>, CatalogueError> {
        let mut listing = Listing {
            items: Vec::new(),
            unreadable: Vec::new(),
        };
        let rows = self.rows(None, PAGE)?;
        let all = self
            .store
            .list_newest(&keys::releases(&self.project), None, usize::MAX)?;
        let mut ids = Vec::new();
        for key in &all {
            match name_of(key).parse::<ReleaseId>() {
                Ok(id) => ids.push(id),
                Err(_) => listing.unreadable.push(not_an_id(name_of(key))),
            }
        }
        for (id, summary) in self.read_summaries(&ids)? {
            match summary {
                Ok(summary) => {
                    if rows.get(id.as_str()).is_none_or(|row| row.summary != summary) {
                        let _ = self.write_row(&summary);
                    }
                    listing.items.push(summary);
                }
                Err(reason) => listing.unreadable.push(Unreadable {
                    release: id.to_string(),
                    reason,
                }),
            }
        }
        listing
            .unreadable
            .sort_by_key(|one| all.iter().position(|key| name_of(key) == one.release));
        Ok(listing)
    }

    /// Writes every row anew that is not what the manifest says, and removes those of releases that are not there.
    /// `progress` is told how many of how many are done. May be cut off and repeated.
    pub fn rebuild_index(&self, progress: &mut dyn FnMut(usize, usize)) -> Result<Rebuilt, CatalogueError> {
        let mut rebuilt = Rebuilt::default();
        let mut rows = self.rows(None, PAGE)?;
        let all = crate::all_keys(self.store, &keys::releases(&self.project))?;
        for (done, page) in all.chunks(THREADS * 4).enumerate() {
            let mut ids = Vec::new();
            for key in page {
                match name_of(key).parse::<ReleaseId>() {
                    Ok(id) => ids.push(id),
                    Err(_) => rebuilt.unreadable.push(not_an_id(name_of(key))),
                }
            }
            for (id, summary) in self.read_summaries(&ids)? {
                let row = rows.remove(id.as_str());
                match summary {
                    Ok(summary) => {
                        if row.is_none_or(|row| row.summary != summary) {
                            self.write_row(&summary)?;
                            rebuilt.written += 1;
                        }
                        rebuilt.releases += 1;
                    }
                    Err(reason) => rebuilt.unreadable.push(Unreadable {
                        release: id.to_string(),
                        reason,
                    }),
                }
            }
            progress((done * THREADS * 4 + page.len()).min(all.len()), all.len());
        }
        rebuilt.removed = self.remove_abandoned_rows()?;
        Ok(rebuilt)
    }

    /// Removes rows of releases that are not there: those that a crash left, and what is no row.
    fn remove_abandoned_rows(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        for row in self.abandoned_rows()? {
            if self.store.remove(&row.key, &row.version)? != Replaced::Changed {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Rows that nobody is about to write a manifest for, and that no manifest belongs to.
    pub(crate) fn abandoned_rows(&self) -> Result<Vec<Entry>, StoreError> {
        let mut rows = crate::all_entries(self.store, &keys::index(&self.project))?;
        rows.retain(|entry| {
            let id = name_of(&entry.key).parse::<ReleaseId>().ok();
            let row = id.and_then(|id| self.decode_row(&id, &entry.value));
            row.is_none_or(|row| is_abandoned(row.written_at))
        });
        if rows.is_empty() {
            return Ok(rows);
        }
        // Listed after the rows: a manifest comes after its row.
        let manifests = crate::all_keys(self.store, &keys::releases(&self.project))?;
        let there: BTreeSet<&str> = manifests.iter().map(|key| name_of(key)).collect();
        rows.retain(|entry| !there.contains(name_of(&entry.key)));
        Ok(rows)
    }

    /// Releases whose row is there, and young, and whose manifest is not: somebody is between the two.
    pub(crate) fn being_committed(&self) -> Result<Vec<ReleaseId>, StoreError> {
        let mut found = Vec::new();
        for (name, row) in self.rows(None, PAGE)? {
            if is_abandoned(row.written_at) {
                continue;
            }
            let Ok(id) = name.parse::<ReleaseId>() else { continue };
            if self.manifest(&id)?.is_none() {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The row of a release that is about to be committed. One that is there belongs to this very release, or to one
    /// whose manifest says so.
    pub(super) fn announce(&self, release: &Release) -> Result<(), StoreError> {
        let summary = Summary::of(release);
        let (key, bytes) = self.row(&summary, Timestamp::now())?;
        if let Created::Yes(_) = self.store.create(&key, &bytes)? {
            return Ok(());
        }
        if self.manifest(&release.id)?.is_some() {
            return Ok(());
        }
        self.write_row(&summary)
    }

    /// Says of a release's row that nobody is about to commit it, before its manifest is removed: a collection of garbage that
    /// is cut off between the two would look like a commit, and hold up every other for a day.
    pub(crate) fn retire_row(&self, id: &ReleaseId) -> Result<(), StoreError> {
        let key = keys::index_row(&self.project, id);
        let Some((bytes, version)) = self.store.get(&key)? else {
            return Ok(());
        };
        let Some(row) = self.decode_row(id, &bytes) else {
            return Ok(());
        };
        if !is_abandoned(row.written_at) {
            let (_, retired) = self.row(&row.summary, Timestamp::UNIX_EPOCH)?;
            let _ = self.store.replace(&key, &version, &retired)?;
        }
        Ok(())
    }

    pub(crate) fn remove_row(&self, id: &ReleaseId) -> Result<(), StoreError> {
        let key = keys::index_row(&self.project, id);
        if let Some((_, version)) = self.store.get(&key)? {
            // Changed meanwhile: whoever changed it has seen what is there now.
            let _ = self.store.remove(&key, &version)?;
        }
        Ok(())
    }

    fn write_row(&self, summary: &Summary) -> Result<(), StoreError> {
        let (key, bytes) = self.row(summary, Timestamp::now())?;
        if let Some((_, version)) = self.store.get(&key)? {
            // Another one that mends it writes the same.
            let _ = self.store.replace(&key, &version, &bytes)?;
            return Ok(());
        }
        let _ = self.store.create(&key, &bytes)?;
        Ok(())
    }

    fn row(&self, summary: &Summary, written_at: Timestamp) -> Result<(String, Vec<u8>), StoreError> {
        let row = Row {
            written_at,
            summary: summary.clone(),
        };
        let bytes = manifest::seal(Purpose::IndexRow, FORMAT, &self.project, &summary.id, &row);
        let bytes = bytes.map_err(|error| StoreError::Damaged {
            place: format!("the index row of release {}", summary.id),
            reason: error.to_string(),
        })?;
        Ok((keys::index_row(&self.project, &summary.id), bytes))
    }

    /// All rows that are what was written, by the text of the id; only those from the oldest to the newest of `range`.
    fn rows(&self, range: Option<(&str, &str)>, page: usize) -> Result<BTreeMap<String, Row>, StoreError> {
        let prefix = keys::index(&self.project);
        // The key without its last letter comes before it and after every shorter one.
        let mut after = range.map(|(name, _)| {
            let key = format!("{prefix}{name}");
            key[..key.len() - 1].to_owned()
        });
        let mut rows = BTreeMap::new();
        loop {
            let page = self.store.entries(&prefix, after.as_deref(), page)?;
            let Some(last) = page.last() else { return Ok(rows) };
            after = Some(last.key.clone());
            for entry in &page {
                let name = name_of(&entry.key);
                if range.is_some_and(|(_, newest)| name > newest) {
                    return Ok(rows);
                }
                let id = name.parse::<ReleaseId>().ok();
                if let Some(row) = id.and_then(|id| self.decode_row(&id, &entry.value)) {
                    rows.insert(name.to_owned(), row);
                }
            }
        }
    }

    fn decode_row(&self, id: &ReleaseId, bytes: &[u8]) -> Option<Row> {
        let row: Row = manifest::open(Purpose::IndexRow, &self.project, id, bytes).ok()?;
        (row.summary.id == *id).then_some(row)
    }

    /// From the manifests, in the order given; one that was removed meanwhile is passed over. The inner error says why
    /// one cannot be read.
    #[allow(clippy::type_complexity)]
    fn read_summaries(&self, ids: &[ReleaseId]) -> Result<Vec<(ReleaseId, Result<Summary, String>)>, CatalogueError> {
        let read = |id: &ReleaseId| -> Result<Option<Result<Summary, String>>, StoreError> {
            let Some(bytes) = self.manifest(id)? else {
                return Ok(None);
            };
            let release = manifest::decode(&self.project, id, &bytes);
            Ok(Some(
                release
                    .map(|release| Summary::of(&release))
                    .map_err(|problem| problem.reason()),
            ))
        };
        let mut found = Vec::new();
        for (id, answer) in ids.iter().zip(in_parallel(ids, read)) {
            if let Some(summary) = answer? {
                found.push((id.clone(), summary));
            }
        }
        Ok(found)
    }
}

fn is_abandoned(written_at: Timestamp) -> bool {
    Timestamp::now() - ABANDONED_HOURS.hours() > written_at
}

fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn not_an_id(name: &str) -> Unreadable {
    Unreadable {
        release: name.to_owned(),
        reason: "its key is not the id of a release".to_owned(),
    }
}
