//! One project's releases: made known by one write, found again by whatever a person remembers.

mod error;
mod index;
mod marks;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use sha2::{Digest, Sha256};

use rollback_state::State;

use crate::manifest::{self, Problem};
use crate::record::{FORMAT, Release, ReleaseId, ReleaseKind, StateRecord};
use crate::{Created, Store, StoreError, Summary, keys};

pub use error::CatalogueError;
pub use index::Rebuilt;
pub use marks::{Mark, Verdict};

/// The releases of one project in a store.
///
/// Order is the order of ids, which is that of the clocks of those who made them.
#[derive(Clone)]
pub struct Catalogue<'s> {
    store: &'s dyn Store,
    project: String,
}

/// A release that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What stands at the end of its key: its id, unless the key itself is odd.
    pub release: String,
    pub reason: String,
}

/// What was found, and what could not be looked at meanwhile: a damaged release does not hide the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub unreadable: Vec<Unreadable>,
}

impl<T> IntoIterator for Listing<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// A stack's state as one release has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StateVersion {
    pub release: ReleaseId,
    pub commit: String,
    pub kind: ReleaseKind,
    pub created_at: Timestamp,
    pub actor: String,
    pub state: StateRecord,
}

/// How short an id or a commit may be cut.
const SHORTEST_ID: usize = 8;
const SHORTEST_COMMIT: usize = 7;

/// How many releases are looked through for a stack that each of them should have.
const RECENT: usize = 50;

impl<'s> Catalogue<'s> {
    pub fn new(store: &'s dyn Store, project: &str) -> Catalogue<'s> {
        Catalogue {
            store,
            project: project.to_owned(),
        }
    }

    pub fn store(&self) -> &'s dyn Store {
        self.store
    }

    pub fn project(&self) -> &str {
        &self.project
    }

    /// Makes a release known: the commit point. Its blobs must be in the store already ([`crate::write_stack`]).
    ///
    /// May be repeated after an error: what was written already by this very call counts as done. An interrupted
    /// commit leaves blobs that no release names and a row of the index that does not count, and nothing else.
    pub fn commit(&self, release: &Release) -> Result<(), CatalogueError> {
        let invalid = |reason: String| CatalogueError::Invalid {
            release: release.id.clone(),
            reason,
        };
        release.check().map_err(invalid)?;
        // The state is what can be had from nowhere else.
        for stack in &release.stacks {
            let Some(state) = &stack.state else { continue };
            if !self.store.has_blob(&state.blob)? {
                return Err(invalid(format!(
                    "the state of stack {} is not in the store",
                    stack.name
                )));
            }
        }
        let bytes = manifest::encode(&self.project, release).map_err(|error| CatalogueError::Invalid {
            release: release.id.clone(),
            reason: error.to_string(),
        })?;
        self.announce(release)?;
        // Between the announcement and the manifest: whoever collects garbage looks the other way round.
        crate::upkeep::outlive_removals(self.store, release)?;
        let key = keys::release(&self.project, &release.id);
        match self.store.create(&key, &bytes)? {
            Created::Yes(_) => Ok(()),
            Created::Exists => match self.store.get(&key)? {
                Some((there, _)) if there == bytes => Ok(()),
                _ => Err(CatalogueError::Exists {
                    release: release.id.clone(),
                }),
            },
        }
    }

    /// The release with this id.
    pub fn get(&self, id: &ReleaseId) -> Result<Release, CatalogueError> {
        let Some(bytes) = self.manifest(id)? else {
            return Err(CatalogueError::NotFound {
                revision: id.to_string(),
                unreadable: Vec::new(),
            });
        };
        manifest::decode(&self.project, id, &bytes).map_err(|problem| problem.at(id))
    }

    /// The ids of all releases, oldest first; nothing of the releases themselves is read.
    pub fn ids(&self) -> Result<Vec<ReleaseId>, CatalogueError> {
        let keys = crate::all_keys(self.store, &keys::releases(&self.project))?;
        let names = keys.iter().filter_map(|key| key.rsplit('/').next());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// The newest `limit` releases, newest first. Unreadable ones count.
    pub fn list(&self, limit: usize) -> Result<Listing<Release>, CatalogueError> {
        let keys = self.store.list_newest(&keys::releases(&self.project), None, limit)?;
        self.read(&keys, manifest::decode)
    }

    /// At most `limit` summaries of releases older than `before`, newest first; with the id to go on from, none where there is no
    /// more. A page costs two requests of the index, not one for each release.
    pub fn summaries_page(
        &self,
        before: Option<&ReleaseId>,
        limit: usize,
    ) -> Result<(Listing<Summary>, Option<ReleaseId>), CatalogueError> {
        let before = before.map(|id| keys::release(&self.project, id));
        let keys = self
            .store
            .list_newest(&keys::releases(&self.project), before.as_deref(), limit)?;
        let last = keys.last().filter(|_| keys.len() == limit);
        let last = last.and_then(|key| key.rsplit('/').next()?.parse().ok());
        Ok((self.summaries_of(&keys)?, last))
    }

    /// The newest release. If that one cannot be read it is an error: an older one is not what runs now.
    pub fn latest(&self) -> Result<Option<Release>, CatalogueError> {
        let listing = self.list(1)?;
        match listing.unreadable.into_iter().next() {
            Some(Unreadable { release, reason }) => Err(CatalogueError::Unreadable { release, reason }),
            None => Ok(listing.items.into_iter().next()),
        }
    }

    /// The release that a person means: by id, name, full commit, or the beginning of an id (8 characters or more)
    /// or of a commit (7 or more).
    ///
    /// Several releases of one commit, or of one name and commit, are no doubt: the newest counts, backups last.
    /// Different commits are: [`CatalogueError::Ambiguous`].
    pub fn find(&self, revision: &str) -> Result<Release, CatalogueError> {
        let Listing { items, unreadable } = self.find_all(revision)?;
        let not_found = || CatalogueError::NotFound {
            revision: revision.to_owned(),
            unreadable,
        };
        items.into_iter().next().ok_or_else(not_found)
    }

    /// As [`Catalogue::find_all`], by the index alone: `None` where it has nothing that is called so, which is no proof. What it
    /// names is proven by the manifests. For whoever can ask somebody else before all of them are read.
    pub fn find_indexed(&self, revision: &str) -> Result<Option<Listing<Release>>, CatalogueError> {
        if let Some(release) = self.by_id(revision)? {
            return Ok(Some(release));
        }
        let indexed = self.summaries(usize::MAX)?;
        let chosen: Vec<Summary> = matching(&indexed.items, revision)?.into_iter().cloned().collect();
        self.confirmed(&chosen, &indexed.unreadable)
    }

    /// All releases that [`find`](Self::find) chooses from, the one it would take first, with what could not be read.
    pub fn find_all(&self, revision: &str) -> Result<Listing<Release>, CatalogueError> {
        if let Some(listing) = self.find_indexed(revision)? {
            return Ok(listing);
        }
        // Nothing is called so, or the index lies: the manifests are what counts.
        let Listing { items, unreadable } = self.summaries_from_manifests()?;
        let chosen: Vec<Summary> = matching(&items, revision)?.into_iter().cloned().collect();
        self.whole(&chosen, unreadable).map(|(listing, _)| listing)
    }

    /// The one release whose whole id this is.
    fn by_id(&self, revision: &str) -> Result<Option<Listing<Release>>, CatalogueError> {
        let Ok(id) = revision.to_ascii_lowercase().parse::<ReleaseId>() else {
            return Ok(None);
        };
        match self.get(&id) {
            Ok(release) => Ok(Some(Listing {
                items: vec![release],
                unreadable: Vec::new(),
            })),
            Err(CatalogueError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The releases of a commit, given in full or by its first 7 digits or more; newest first.
    pub fn by_commit(&self, commit: &str) -> Result<Listing<Release>, CatalogueError> {
        let commit = commit.to_ascii_lowercase();
        let of_commit = |items: Vec<Summary>| -> Vec<Summary> {
            items
                .into_iter()
                .filter(|summary| is_commit(summary, &commit))
                .collect()
        };
        let indexed = self.summaries(usize::MAX)?;
        if let Some(listing) = self.confirmed(&of_commit(indexed.items), &indexed.unreadable)? {
            return Ok(listing);
        }
        let Listing { items, unreadable } = self.summaries_from_manifests()?;
        self.whole(&of_commit(items), unreadable).map(|(listing, _)| listing)
    }

    /// The releases themselves; `None` where there are none, or where one is not what the index says.
    fn confirmed(
        &self,
        chosen: &[Summary],
        unreadable: &[Unreadable],
    ) -> Result<Option<Listing<Release>>, CatalogueError> {
        if chosen.is_empty() {
            return Ok(None);
        }
        let (listing, as_indexed) = self.whole(chosen, unreadable.to_vec())?;
        Ok(as_indexed.then_some(listing))
    }

    /// The releases themselves, and whether each is what its summary says.
    fn whole(
        &self,
        chosen: &[Summary],
        mut unreadable: Vec<Unreadable>,
    ) -> Result<(Listing<Release>, bool), CatalogueError> {
        let mut items = Vec::new();
        let mut as_indexed = true;
        for summary in chosen {
            match self.get(&summary.id) {
                Ok(release) => {
                    as_indexed &= Summary::of(&release) == *summary;
                    items.push(release);
                }
                Err(error @ CatalogueError::Store(_)) => return Err(error),
                // Removed meanwhile.
                Err(CatalogueError::NotFound { .. }) => {}
                Err(CatalogueError::Unreadable { release, reason }) => unreadable.push(Unreadable { release, reason }),
                Err(error) => unreadable.push(Unreadable {
                    release: summary.id.to_string(),
                    reason: error.to_string(),
                }),
            }
        }
        Ok((Listing { items, unreadable }, as_indexed))
    }

    /// The newest release that was made at `time` or before.
    ///
    /// A release that cannot be read and may be the one asked for is an error: an older one is not the answer.
    pub fn release_at(&self, time: Timestamp) -> Result<Option<Release>, CatalogueError> {
        Ok(self.newest_until(time, Some)?.map(|(_, release)| release))
    }

    /// Every state of a stack that a release has, newest first: the auditor's list. The same bytes come once for every
    /// release that has them; `sha256` tells.
    pub fn state_versions(&self, stack: &str) -> Result<Listing<StateVersion>, CatalogueError> {
        let Listing { items, unreadable } = self.summaries(usize::MAX)?;
        Ok(Listing {
            items: items
                .into_iter()
                .filter_map(|summary| version_of(summary, stack))
                .collect(),
            unreadable,
        })
    }

    /// As [`Catalogue::state_versions`], at most `limit` of those before the release `before`; reads no more of the index than
    /// that takes. The last release that was looked at stands beside them where there may be more: older ones go on from it.
    pub fn state_versions_page(
        &self,
        stack: &str,
        before: Option<&ReleaseId>,
        limit: usize,
    ) -> Result<(Vec<StateVersion>, Option<ReleaseId>), CatalogueError> {
        let prefix = keys::releases(&self.project);
        let mut before = before.map(|id| keys::release(&self.project, id));
        let mut found = Vec::new();
        loop {
            let page = self.store.list_newest(&prefix, before.as_deref(), limit.max(1))?;
            let Some(last) = page.last() else {
                return Ok((found, None));
            };
            before = Some(last.clone());
            for summary in self.summaries_of(&page)?.items {
                found.extend(version_of(summary, stack));
                if found.len() == limit {
                    let last = found.last().map(|version| version.release.clone());
                    return Ok((found, last));
                }
            }
        }
    }

    /// The newest state of a stack that any release has: what the next one is expected to be like.
    pub fn newest_state(&self, stack: &str) -> Result<Option<StateRecord>, CatalogueError> {
        let newest = self.summaries(RECENT)?.items;
        Ok(newest
            .into_iter()
            .find_map(|summary| summary.stack(stack)?.state.clone()))
    }

    /// The state that a stack had at a time: that of the newest release at `time` or before which has one.
    ///
    /// A release that cannot be read and may be the one asked for is an error: an older state is not the answer.
    pub fn at(&self, stack: &str, time: Timestamp) -> Result<Option<StateVersion>, CatalogueError> {
        let found = self.newest_until(time, |summary| version_of(summary, stack))?;
        Ok(found.map(|(version, _)| version))
    }

    fn newest_until<T>(
        &self,
        time: Timestamp,
        choose: impl Fn(Summary) -> Option<T>,
    ) -> Result<Option<(T, Release)>, CatalogueError> {
        let prefix = keys::releases(&self.project);
        let mut before: Option<String> = None;
        loop {
            let page = self.store.list_newest(&prefix, before.as_deref(), 50)?;
            let Some(last) = page.last() else { return Ok(None) };
            before = Some(last.clone());
            let Listing { items, unreadable } = self.summaries_of(&page)?;
            for Unreadable { release, reason } in unreadable {
                // Its id still tells when it was made, and whether what comes before it is the answer already.
                let Ok(id) = release.parse::<ReleaseId>() else { continue };
                let newer = items
                    .iter()
                    .find(|summary| summary.id > id && summary.created_at <= time);
                if id.time() <= time && newer.cloned().and_then(&choose).is_none() {
                    return Err(CatalogueError::Unreadable { release, reason });
                }
            }
            for summary in items {
                if summary.created_at > time {
                    continue;
                }
                let id = summary.id.clone();
                let Some(chosen) = choose(summary.clone()) else {
                    continue;
                };
                let release = match self.get(&id) {
                    Ok(release) => release,
                    Err(CatalogueError::NotFound { .. }) => continue,
                    Err(error @ (CatalogueError::Store(_) | CatalogueError::Unreadable { .. })) => return Err(error),
                    Err(error) => {
                        let (release, reason) = (id.to_string(), error.to_string());
                        return Err(CatalogueError::Unreadable { release, reason });
                    }
                };
                if Summary::of(&release) == summary {
                    return Ok(Some((chosen, release)));
                }
                // The index lies: once more, with rows from the manifests.
                self.summaries_from_manifests()?;
                return self.newest_until(time, choose);
            }
        }
    }

    /// The state that a record names, its bytes proven to be those that were recorded.
    pub fn state(&self, record: &StateRecord) -> Result<State, CatalogueError> {
        let bytes = match self.store.get_blob(&record.blob) {
            Ok(bytes) => bytes,
            Err(StoreError::BlobCorrupt { reason, .. }) => return Err(self.corrupt_state(record, reason)),
            Err(StoreError::BlobMissing { .. }) => {
                return Err(self.corrupt_state(record, "it is not in the store".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let sha256 = hex::encode(Sha256::digest(&bytes));
        if sha256 != record.sha256 {
            let reason = format!("its SHA-256 is {sha256}, the release says {}", record.sha256);
            return Err(self.corrupt_state(record, reason));
        }
        let state = State::parse(bytes).map_err(|error| self.corrupt_state(record, error.to_string()))?;
        if state.serial() != record.serial || state.lineage() != record.lineage {
            return Err(self.corrupt_state(record, "its serial or lineage is not what the release says".to_owned()));
        }
        Ok(state)
    }

    /// The error, with the names of those releases that need the blob: looked for only now, as they matter only now.
    fn corrupt_state(&self, record: &StateRecord, reason: String) -> CatalogueError {
        let needs = |project: &str, id: &ReleaseId, bytes: &[u8]| {
            let release = manifest::decode(project, id, bytes)?;
            let states = release.stacks.iter().filter_map(|stack| stack.state.as_ref());
            Ok(states
                .map(|state| state.blob)
                .any(|blob| blob == record.blob)
                .then(|| id.to_string()))
        };
        let keys = self
            .store
            .list_newest(&keys::releases(&self.project), None, usize::MAX)
            .unwrap_or_default();
        let found = self.read(&keys, needs).map(|listing| listing.items).unwrap_or_default();
        let mut releases: Vec<String> = found.into_iter().flatten().collect();
        if releases.is_empty() {
            releases.push("(none in this catalogue)".to_owned());
        }
        CatalogueError::CorruptState {
            blob: record.blob,
            releases,
            reason,
        }
    }

    fn manifest(&self, id: &ReleaseId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .store
            .get(&keys::release(&self.project, id))?
            .map(|(bytes, _)| bytes))
    }

    /// Reads manifests one by one in the order of `keys`. One that was removed meanwhile is passed over.
    fn read<T>(
        &self,
        keys: &[String],
        decode: impl Fn(&str, &ReleaseId, &[u8]) -> Result<T, Problem>,
    ) -> Result<Listing<T>, CatalogueError> {
        let mut listing = Listing {
            items: Vec::new(),
            unreadable: Vec::new(),
        };
        for key in keys {
            let name = key.rsplit('/').next().unwrap_or(key);
            let unreadable = |reason: String| Unreadable {
                release: name.to_owned(),
                reason,
            };
            let Ok(id) = name.parse::<ReleaseId>() else {
                listing
                    .unreadable
                    .push(unreadable("its key is not the id of a release".to_owned()));
                continue;
            };
            let Some(bytes) = self.manifest(&id)? else { continue };
            match decode(&self.project, &id, &bytes) {
                Ok(item) => listing.items.push(item),
                Err(problem) => listing.unreadable.push(unreadable(problem.reason())),
            }
        }
        Ok(listing)
    }
}

impl Problem {
    fn reason(self) -> String {
        match self {
            Problem::Corrupt { reason } => reason,
            Problem::NewerFormat { found } => {
                format!("it has format {found}; this program knows formats up to {FORMAT}")
            }
        }
    }
    fn at(self, id: &ReleaseId) -> CatalogueError {
        let release = id.to_string();
        match self {
            Problem::Corrupt { reason } => CatalogueError::Unreadable { release, reason },
            Problem::NewerFormat { found } => CatalogueError::NewerFormat {
                release,
                found,
                supported: FORMAT,
            },
        }
    }
}

fn version_of(summary: Summary, stack: &str) -> Option<StateVersion> {
    let state = summary.stack(stack)?.state.clone()?;
    let Summary {
        id,
        commit,
        kind,
        created_at,
        actor,
        ..
    } = summary;
    Some(StateVersion {
        release: id,
        commit,
        kind,
        created_at,
        actor,
        state,
    })
}

fn is_commit(header: &Summary, commit: &str) -> bool {
    header.commit == commit || (commit.len() >= SHORTEST_COMMIT && header.commit.starts_with(commit))
}

/// Those that a revision means, the best first. `headers` are newest first.
fn matching<'h>(headers: &'h [Summary], revision: &str) -> Result<Vec<&'h Summary>, CatalogueError> {
    let lower = revision.to_ascii_lowercase();
    let digits = |text: &str| text.replace('-', "");
    let wanted = digits(&lower);
    let is_id = |header: &&Summary| wanted.len() >= SHORTEST_ID && digits(header.id.as_str()).starts_with(&wanted);
    let exactly = |header: &&Summary| header.name.as_deref() == Some(revision) || header.commit == lower;
    let mut chosen: Vec<&Summary> = headers.iter().filter(exactly).collect();
    if chosen.is_empty() {
        let by_id: Vec<&Summary> = headers.iter().filter(is_id).collect();
        chosen = headers.iter().filter(|header| is_commit(header, &lower)).collect();
        if by_id.len() > 1 || (!by_id.is_empty() && !chosen.is_empty()) {
            return Err(ambiguous(
                revision,
                by_id.iter().chain(&chosen).map(|header| header.id.to_string()),
            ));
        }
        if by_id.len() == 1 {
            return Ok(by_id);
        }
    }
    if chosen.iter().any(|header| header.commit != chosen[0].commit) {
        let names = chosen
            .iter()
            .map(|header| format!("{} (commit {:.12})", header.id, header.commit));
        return Err(ambiguous(revision, names));
    }
    chosen.sort_by_key(|header| header.kind.rank());
    Ok(chosen)
}

fn ambiguous(revision: &str, candidates: impl Iterator<Item = String>) -> CatalogueError {
    CatalogueError::Ambiguous {
        revision: revision.to_owned(),
        candidates: candidates.collect(),
    }
}
