//! The import itself: from what a history lists to releases, one state at a time, oldest first.

use std::collections::HashMap;

use rollback_release::{BlobId, Import, Release, ReleaseId};
use rollback_repository::CommitId;
use rollback_state::{State, StateError};

use super::committed::Commits;
use super::own::Own;
use super::pairing::{self, Paired, Pairing};
use super::{Content, Found, Imported, LARGEST_STATE, Options, Report, Skipped, Source, Step, Unread, Why};
use crate::context::{Context, Stack};
use crate::error::Result;
use crate::live::Live;

/// Makes a release of every state of a history that is none yet. `watch` is told of each step.
///
/// What was made before an error or a crash stays; the same call goes on from there.
///
/// # Errors
/// The history, Git or the store cannot be read or written. States that are none, or that cannot be paired with a
/// commit, are no error: the report names them.
pub fn take(
    context: &Context,
    stack: &Stack,
    source: &dyn Source,
    options: Options,
    watch: &mut dyn FnMut(Step<'_>),
) -> Result<Report> {
    let known: HashMap<String, ReleaseId> = (context.catalogue().ids()?.into_iter())
        .map(|id| (id.without_order(), id))
        .collect();
    let mut items = identified(&stack.name, source, source.versions()?, &known);
    let from = first_wanted(&items, &options);
    // The one before tells whether the first of those asked for is anything new.
    let before = items[..from].iter().rev().find_map(|item| item.there.clone());
    items.drain(..from);
    let workspace = Live::workspace_of(context, stack)?;
    let mut import = Running {
        context,
        stack,
        source,
        own: Own::of(context, stack)?,
        pairing: Pairing::of(context, stack, &options)?,
        commits: Commits::new(context, stack, source.backend(), workspace, !options.dry_run)?,
        before: before.map_or(Before::Nothing, Before::Release),
        report: Report {
            stack: stack.name.clone(),
            source: source.name().to_owned(),
            dry_run: options.dry_run,
            versions: items.len(),
            imported: 0,
            already_there: items.iter().filter(|item| item.there.is_some()).count(),
            skipped: 0,
            releases: Vec::new(),
            skips: Vec::new(),
            notes: Vec::new(),
        },
        options,
        watch,
    };
    import.run(items)?;
    Ok(import.report)
}

/// A state of the history with the id of its release.
struct Item {
    found: Found,
    id: ReleaseId,
    /// The release that was made of it earlier.
    there: Option<ReleaseId>,
}

fn identified(stack: &str, source: &dyn Source, versions: Vec<Found>, known: &HashMap<String, ReleaseId>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(versions.len());
    let mut order = 0;
    for found in versions {
        // Histories tell whole seconds; ids keep the order of what was written within one.
        order = match items.last() {
            Some(last) if last.found.time >= found.time => order + 1,
            _ => 0,
        };
        let id = ReleaseId::of_import(found.time, order, &[stack, source.name(), &found.version]);
        let there = known.get(&id.without_order()).cloned();
        items.push(Item { found, id, there });
    }
    items
}

/// The index of the first state that was asked for.
fn first_wanted(items: &[Item], options: &Options) -> usize {
    let since = options.since.map_or(0, |since| {
        items
            .iter()
            .position(|item| item.found.time >= since)
            .unwrap_or(items.len())
    });
    let limit = options.limit.map_or(0, |limit| items.len().saturating_sub(limit));
    since.max(limit)
}

/// The state before, to which the next one is compared.
enum Before {
    Nothing,
    /// Made by an earlier import; read when it is needed.
    Release(ReleaseId),
    State(Last),
}

struct Last {
    version: String,
    blob: Option<BlobId>,
    sha256: String,
    serial: u64,
    lineage: String,
    commit: String,
}

struct Running<'r> {
    context: &'r Context,
    stack: &'r Stack,
    source: &'r dyn Source,
    options: Options,
    own: Own,
    pairing: Pairing,
    commits: Commits<'r>,
    before: Before,
    report: Report,
    watch: &'r mut dyn FnMut(Step<'_>),
}

impl Running<'_> {
    fn run(&mut self, items: Vec<Item>) -> Result<()> {
        (self.watch)(Step::Listed {
            versions: self.report.versions,
            already: self.report.already_there,
        });
        let wanted = items
            .iter()
            .filter(|item| to_read(item).is_ok())
            .map(|item| item.found.clone())
            .collect();
        let mut contents = self.source.contents(wanted);
        for item in items {
            if let Some(there) = item.there {
                self.check_mapped(&there)?;
                self.before = Before::Release(there);
                continue;
            }
            if let Err((why, reason)) = to_read(&item) {
                self.skip(item.found, why, reason);
                continue;
            }
            match contents.next() {
                Some(Ok(content)) => self.one(item, content)?,
                Some(Err(Unread::One(reason))) => self.skip(item.found, Why::Unreadable, reason),
                Some(Err(Unread::All(error))) => {
                    return Err(error.hint(format!(
                        "{} states were taken in; run the command again: it goes on from there",
                        self.report.imported
                    )));
                }
                None => self.skip(item.found, Why::Unreadable, "nothing was read of it".to_owned()),
            }
        }
        if let Some(mapping) = &self.options.mapping {
            for value in mapping.unused() {
                self.report.notes.push(format!(
                    "the mapping names {value}, which is none of the states that were read"
                ));
            }
        }
        Ok(())
    }

    fn one(&mut self, item: Item, content: Content) -> Result<()> {
        let (content, state) = match judge(content) {
            Ok(judged) => judged,
            Err((why, reason)) => {
                self.skip(item.found, why, reason);
                return Ok(());
            }
        };
        let sha256 = state.sha256();
        if let Some((why, reason)) = self.own.explains(&sha256, item.found.time) {
            self.skip(item.found, why, reason);
            return Ok(());
        }
        self.read_before()?;
        let mapping = self.options.mapping.as_mut();
        let mapped = mapping.and_then(|mapping| mapping.find(&item.found.version, &sha256, state.serial()));
        let stated = Pairing::stated(self.context, &item.found, &content, mapped);
        let mut notes = Vec::new();
        if let Before::State(before) = &self.before {
            let other = stated
                .as_ref()
                .is_ok_and(|paired| paired.commit.as_str() != before.commit);
            if before.sha256 == sha256 && !other {
                let reason = format!("it has the very bytes of {} before it", before.version);
                self.skip(item.found, Why::Duplicate, reason);
                return Ok(());
            }
            notes = odd(before, &state);
        }
        let paired = match stated {
            Ok(paired) => paired,
            Err(tried) => match self.pairing.by_time(item.found.time, tried) {
                Ok(paired) => paired,
                Err(reason) => {
                    self.skip(item.found, Why::NoCommit, reason);
                    return Ok(());
                }
            },
        };
        notes.extend(paired.notes.iter().cloned());
        self.keep(item, &content, &state, &paired, notes)
    }

    fn keep(
        &mut self,
        item: Item,
        content: &Content,
        state: &State,
        paired: &Paired,
        notes: Vec<String>,
    ) -> Result<()> {
        let committed = self.commits.of(&paired.commit)?;
        let mut blob = None;
        if !self.options.dry_run {
            let like = match &self.before {
                Before::State(before) => before.blob,
                _ => None,
            };
            let id = self.context.store.put_blob_like(state.bytes(), like.as_ref())?;
            blob = Some(id);
            let mut record = committed.record.clone();
            record.set_state(state, id);
            record.terraform.version = state.terraform_version().to_owned();
            let import = Import {
                source: self.source.name().to_owned(),
                version: item.found.version.clone(),
                commit_by: paired.by.clone(),
                unknown: committed.unknown.clone(),
            };
            let mut release = Release::imported(item.id.clone(), item.found.time, paired.commit.as_str(), import);
            release.actor = pairing::actor(&item.found, content);
            release.stacks.push(record);
            self.context.catalogue().commit(&release)?;
        }
        self.before = Before::State(Last {
            version: item.found.version.clone(),
            blob,
            sha256: state.sha256(),
            serial: state.serial(),
            lineage: state.lineage().to_owned(),
            commit: paired.commit.to_string(),
        });
        let imported = Imported {
            release: item.id.to_string(),
            version: item.found.version,
            time: item.found.time,
            commit: paired.commit.to_string(),
            commit_by: paired.by.clone(),
            serial: state.serial(),
            lineage: state.lineage().to_owned(),
            sha256: state.sha256(),
            notes,
        };
        (self.watch)(Step::Taken(&imported));
        self.report.imported += 1;
        self.report.releases.push(imported);
        Ok(())
    }

    fn skip(&mut self, found: Found, why: Why, reason: String) {
        let skipped = Skipped {
            version: found.version,
            time: found.time,
            why,
            reason,
        };
        (self.watch)(Step::Skipped(&skipped));
        self.report.skipped += 1;
        self.report.skips.push(skipped);
    }

    fn read_before(&mut self) -> Result<()> {
        let Before::Release(id) = &self.before else {
            return Ok(());
        };
        let release = self.context.catalogue().get(id)?;
        let state = release.stack(&self.stack.name).and_then(|record| record.state.clone());
        self.before = match (state, release.import()) {
            (Some(state), Some(import)) => Before::State(Last {
                version: import.version.clone(),
                blob: Some(state.blob),
                sha256: state.sha256,
                serial: state.serial,
                lineage: state.lineage,
                commit: release.commit.clone(),
            }),
            _ => Before::Nothing,
        };
        Ok(())
    }

    /// A release is what it is: where a mapping says something else by now, the person is told.
    fn check_mapped(&mut self, id: &ReleaseId) -> Result<()> {
        let Some(mapping) = &mut self.options.mapping else {
            return Ok(());
        };
        let release = self.context.catalogue().get(id)?;
        let state = release.stack(&self.stack.name).and_then(|record| record.state.as_ref());
        let (Some(state), Some(import)) = (state, release.import()) else {
            return Ok(());
        };
        let mapped: Option<(CommitId, _)> = mapping.find(&import.version, &state.sha256, state.serial);
        if let Some((commit, _)) = mapped.filter(|(commit, _)| commit.as_str() != release.commit) {
            self.report.notes.push(format!(
                "release {id} was made of {} with commit {:.10} before; the mapping says {} now, which does not change it",
                import.version,
                release.commit,
                commit.short()
            ));
        }
        Ok(())
    }
}

/// Whether a state has to be read at all; if not, why it is passed over.
fn to_read(item: &Item) -> Result<(), (Why, String)> {
    if item.there.is_some() {
        return Err((Why::Duplicate, "it is a release already".to_owned()));
    }
    if item.found.deleted {
        return Err((Why::Deleted, "the state was deleted then".to_owned()));
    }
    match item.found.size {
        Some(0) => Err((Why::Empty, "it has no bytes".to_owned())),
        Some(size) if size > LARGEST_STATE => Err((
            Why::TooLarge,
            format!("it has {size} bytes; at most {LARGEST_STATE} can be kept"),
        )),
        _ => Ok(()),
    }
}

/// What begins a file that Git LFS keeps elsewhere, and one that git-crypt keeps for those who have the key.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const GIT_CRYPT: &[u8] = b"\0GITCRYPT\0";

/// The state, or why the bytes are none.
fn judge(mut content: Content) -> Result<(Content, State), (Why, String)> {
    let bytes = std::mem::take(&mut content.bytes);
    if bytes.starts_with(LFS_POINTER) {
        let reason = "it is a pointer of Git LFS, whose file is not in the repository";
        return Err((Why::NoState, reason.to_owned()));
    }
    if bytes.starts_with(GIT_CRYPT) {
        return Err((Why::Encrypted, "it is encrypted by git-crypt".to_owned()));
    }
    match State::parse(bytes) {
        Ok(state) => Ok((content, state)),
        Err(error) => {
            let why = match &error {
                StateError::Empty => Why::Empty,
                StateError::Encrypted => Why::Encrypted,
                StateError::OldFormat { .. } | StateError::BinaryFormat => Why::OldFormat,
                StateError::TooLarge { .. } => Why::TooLarge,
                _ => Why::NoState,
            };
            Err((why, error.to_string()))
        }
    }
}

/// What a person should know of a state that follows another one.
fn odd(before: &Last, state: &State) -> Vec<String> {
    let mut notes = Vec::new();
    if before.lineage != state.lineage() {
        notes.push(format!(
            "its lineage is {:?}, that of {} before it is {:?}: other objects, which cannot be gone back to from here",
            state.lineage(),
            before.version,
            before.lineage
        ));
    } else if state.serial() < before.serial {
        notes.push(format!(
            "its serial went back from {} to {}: somebody restored or forced an older state",
            before.serial,
            state.serial()
        ));
    } else if state.serial() == before.serial && before.sha256 != state.sha256() {
        notes.push(format!(
            "its serial {} is that of {} before it, its bytes are not",
            state.serial(),
            before.version
        ));
    }
    notes
}
