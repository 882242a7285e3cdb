//! Taking history in: a release of every state that somebody else kept, in a versioned bucket or in Git.
//!
//! Nothing beside the releases tells how far an import came: the id of a release follows from the state's place in its
//! history, so that a second import finds what the first one made, whenever that was cut off.

mod committed;
mod git;
mod mapping;
mod own;
mod pairing;
mod report;
mod take;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_release::BackendRecord;
use rollback_repository::CommitId;

use crate::error::{EngineError, Result};

pub use git::GitHistory;
pub use mapping::Mapping;
pub use report::{Imported, Report, Skipped, Step, Why};
pub use take::take;

/// The most bytes that one state may have: what a store takes.
pub const LARGEST_STATE: u64 = 512 << 20;

/// A history of states that somebody else keeps.
pub trait Source {
    /// What it is called in the releases made of it: `s3://bucket/key`, `git:path`.
    fn name(&self) -> &str;

    /// Where the state was kept.
    fn backend(&self) -> BackendRecord;

    /// Every state that there was, oldest first.
    fn versions(&self) -> Result<Vec<Found>>;

    /// Reads states in the order given, a few ahead of who takes them.
    fn contents<'s>(&'s self, wanted: Vec<Found>) -> Box<dyn Iterator<Item = Result<Content, Unread>> + 's>;
}

/// A state as its history lists it, before it is read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name in the history: S3's version id, or a commit.
    pub version: String,
    /// When it was written.
    pub time: Timestamp,
    /// In bytes, where the history says.
    pub size: Option<u64>,
    /// The commit that it lay in.
    pub commit: Option<CommitId>,
    /// Who wrote it, where the history says.
    pub actor: Option<String>,
    /// From then on there was no state.
    pub deleted: bool,
}

/// What was read of a state.
pub struct Content {
    pub bytes: Vec<u8>,
    /// What was written beside it: an object's metadata and tags.
    pub labels: BTreeMap<String, String>,
}

/// Why a state was not read.
pub enum Unread {
    /// This one cannot be read; others may.
    One(String),
    /// The history cannot be read any further.
    All(EngineError),
}

/// What a person asks for.
#[derive(Default)]
pub struct Options {
    /// Only states written then or later.
    pub since: Option<Timestamp>,
    /// Only so many, the newest.
    pub limit: Option<usize>,
    /// Which commit belongs to which state, as a person says.
    pub mapping: Option<Mapping>,
    /// The branch along which a commit is looked for by time; HEAD's by default.
    pub branch: Option<String>,
    /// Read everything, keep nothing.
    pub dry_run: bool,
}
