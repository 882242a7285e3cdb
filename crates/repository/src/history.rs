//! The way between two commits, and the beginning of it all.

use crate::{CommitId, Repository, RepositoryError};
use std::collections::HashSet;

/// The way from one commit to another, by way of what they have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPath {
    /// From `from` to the merge base, newest first, both included.
    pub back: Vec<CommitId>,
    /// From the merge base to `to`, oldest first, both included.
    pub forward: Vec<CommitId>,
}

impl Repository {
    /// The first commit of the history of first parents: it identifies the project, in every clone.
    ///
    /// # Errors
    /// [`RepositoryError::Unborn`]; [`RepositoryError::Shallow`] where the history was cut off before it.
    pub fn root_commit(&self) -> Result<String, RepositoryError> {
        let mut commit = self.head_commit()?;
        loop {
            commit = match commit.parent(0) {
                Ok(parent) => parent,
                Err(_) if self.git.is_shallow() => return Err(RepositoryError::Shallow),
                Err(_) if commit.parent_count() == 0 => return Ok(commit.id().to_string()),
                Err(error) => return Err(error.into()),
            };
        }
    }

    /// Whether one commit is a strict ancestor of another.
    ///
    /// # Errors
    /// Git has one of them no more.
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, RepositoryError> {
        let (ancestor, of) = (self.commit(ancestor)?.id(), self.commit(of)?.id());
        Ok(self.git.graph_descendant_of(of, ancestor)?)
    }

    /// The way from one commit to another: back to the best common ancestor and forward from there.
    /// Each half keeps to first parents as long as they lead there, so that a merged branch is one step.
    ///
    /// # Errors
    /// [`RepositoryError::Unrelated`]; [`RepositoryError::Shallow`] where a cut-off history hides what they
    /// have in common; [`RepositoryError::TooFar`] where a half is longer than `limit` commits.
    pub fn path_between(&self, from: &CommitId, to: &CommitId, limit: usize) -> Result<HistoryPath, RepositoryError> {
        let (start, end) = (self.commit(from)?.id(), self.commit(to)?.id());
        let base = self.git.merge_base(start, end).map_err(|error| match error.code() {
            _ if self.git.is_shallow() => RepositoryError::Shallow,
            git2::ErrorCode::NotFound => RepositoryError::Unrelated {
                from: from.to_string(),
                to: to.to_string(),
            },
            _ => RepositoryError::Git(error),
        })?;
        let too_far = || RepositoryError::TooFar {
            from: from.to_string(),
            to: to.to_string(),
            limit,
        };
        let back = self.descent(start, base, limit)?.ok_or_else(too_far)?;
        let mut forward = self.descent(end, base, limit)?.ok_or_else(too_far)?;
        forward.reverse();
        Ok(HistoryPath { back, forward })
    }

    /// From a commit down to an ancestor; at each step the first parent that still has it. `None` beyond `limit`.
    fn descent(
        &self,
        from: git2::Oid,
        base: git2::Oid,
        limit: usize,
    ) -> Result<Option<Vec<CommitId>>, RepositoryError> {
        // What lies between, oldest first: each commit after its parents, so one pass finds who descends from the base.
        let mut between = self.git.revwalk()?;
        between.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
        between.push(from)?;
        between.hide(base)?;
        let mut leads_there = HashSet::from([base]);
        for oid in between {
            let oid = oid?;
            if self
                .git
                .find_commit(oid)?
                .parent_ids()
                .any(|parent| leads_there.contains(&parent))
            {
                leads_there.insert(oid);
            }
        }
        let mut way = vec![CommitId::from(from)];
        let mut here = from;
        while here != base {
            let next = self
                .git
                .find_commit(here)?
                .parent_ids()
                .find(|parent| leads_there.contains(parent));
            here = next.ok_or(RepositoryError::Shallow)?;
            way.push(here.into());
            if way.len() > limit {
                return Ok(None);
            }
        }
        Ok((way.len() <= limit).then_some(way))
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
