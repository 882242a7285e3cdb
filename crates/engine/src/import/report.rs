//! What an import tells while it works and when it is done.

use jiff::Timestamp;
use rollback_release::CommitBy;
use serde::Serialize;

/// A state that became a release.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    pub release: String,
    pub version: String,
    pub time: Timestamp,
    pub commit: String,
    pub commit_by: CommitBy,
    pub serial: u64,
    pub lineage: String,
    pub sha256: String,
    /// What is odd about it: a serial that went back, another lineage, a commit that Git does not have.
    pub notes: Vec<String>,
}

/// A state that did not.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    pub version: String,
    pub time: Timestamp,
    pub why: Why,
    pub reason: String,
}

/// The kinds of reasons, to be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Somebody deleted the state then; nothing is there to keep.
    Deleted,
    Empty,
    /// The same bytes as the one before.
    Duplicate,
    Encrypted,
    /// A format before 4.
    OldFormat,
    /// A release of this program's own has it.
    Known,
    /// Written by a rollback while it worked.
    Run,
    /// Cut off, altered, or no state at all.
    NoState,
    TooLarge,
    Unreadable,
    /// No commit was found for it.
    NoCommit,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Deleted => "deleted",
            Why::Empty => "empty",
            Why::Duplicate => "the same as before",
            Why::Encrypted => "encrypted",
            Why::OldFormat => "of an old format",
            Why::Known => "known from a snapshot",
            Why::Run => "written by a rollback",
            Why::NoState => "no state",
            Why::TooLarge => "too large",
            Why::Unreadable => "not readable",
            Why::NoCommit => "without a commit",
        }
    }
}

/// One step of an import, as it happens.
pub enum Step<'a> {
    /// The history was listed.
    Listed {
        /// How many states were asked for.
        versions: usize,
        /// How many of them are releases already.
        already: usize,
    },
    Taken(&'a Imported),
    Skipped(&'a Skipped),
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub stack: String,
    pub source: String,
    pub dry_run: bool,
    /// How many states were asked for; each is one of the following.
    pub versions: usize,
    pub imported: usize,
    pub already_there: usize,
    pub skipped: usize,
    pub releases: Vec<Imported>,
    pub skips: Vec<Skipped>,
    /// What concerns no single state.
    pub notes: Vec<String>,
}
