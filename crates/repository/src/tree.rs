//! A commit's files as a [`FileTree`].

use rollback_config::{Entry, FileTree, TreeError};

/// The files of one commit. Links inside the tree are followed.
pub struct GitTree<'r> {
    pub(crate) git: &'r git2::Repository,
    pub(crate) root: git2::Oid,
}

impl FileTree for GitTree<'_> {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let _ = (self.git, self.root);
        Err(TreeError::NotFound {
            path: directory.to_owned(),
        })
    }

    fn read(&self, _path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(None)
    }
}
