//! The files of submodules: a tree names their commit alone, and their objects lie in a repository of their own, below the
//! working folder where they are checked out. One that is not checked out here has no files.

use rollback_config::{FileTree, TreeError};

use crate::tree::{Found, GitTree};

/// A submodule's commit, with the repository that has it.
pub(crate) struct Submodule {
    git: git2::Repository,
    root: git2::Oid,
}

impl Submodule {
    pub(crate) fn tree(&self) -> GitTree<'_> {
        GitTree {
            git: &self.git,
            root: self.root,
        }
    }
}

impl GitTree<'_> {
    /// The submodule at a path of this tree, where it is checked out here and has the commit that the tree names.
    pub(crate) fn submodule(&self, path: &str) -> Option<Submodule> {
        let Ok(Some(Found::Submodule(commit))) = self.find(path) else {
            return None;
        };
        let git = git2::Repository::open(self.git.workdir()?.join(path)).ok()?;
        let root = git.find_commit(commit).ok()?.tree_id();
        Some(Submodule { git, root })
    }

    /// The submodule that a path leads into, and the rest of the path.
    fn submodule_on<'p>(&self, path: &'p str) -> Option<(Submodule, &'p str)> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            match self.find(&path[..end]) {
                Ok(Some(Found::Directory(_))) => {}
                Ok(Some(Found::Submodule(_))) => {
                    let rest = path[end..].trim_start_matches('/');
                    return Some((self.submodule(&path[..end])?, rest));
                }
                _ => return None,
            }
        }
        None
    }

    /// Asks the tree of the submodule that a path leads into; none where it leads into none.
    pub(crate) fn in_submodule<T>(
        &self,
        path: &str,
        ask: impl FnOnce(&dyn FileTree, &str) -> Result<T, TreeError>,
    ) -> Option<Result<T, TreeError>> {
        let (submodule, rest) = self.submodule_on(path)?;
        Some(ask(&submodule.tree(), rest))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Sandbox;
    use rollback_config::{EntryKind, FileTree};

    #[test]
    fn its_files_are_those_of_the_commit_that_the_tree_names() {
        let mut inner = Sandbox::new();
        inner.write("main.tf", "# one");
        inner.write("deep/x.tf", "# x");
        inner.commit("one");
        let mut outer = Sandbox::new();
        let source = inner.path().display().to_string();
        outer.git(&["submodule", "--quiet", "add", &source, "modules/sub"]);
        let commit = outer.commit("with it");
        // What is checked out there now is another commit.
        inner.write("main.tf", "# two");
        inner.commit("two");
        outer.git(&["submodule", "--quiet", "update", "--remote"]);
        outer.commit("moved on");
        let repository = outer.open();
        let tree = repository.tree(&commit).unwrap();
        let names: Vec<_> = tree.list("modules/sub").unwrap();
        assert_eq!(
            names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
            ["deep", "main.tf"]
        );
        assert_eq!(tree.read("modules/sub/main.tf").unwrap().unwrap(), b"# one");
        assert_eq!(tree.read("modules/sub/none.tf").unwrap(), None);
        assert_eq!(tree.list("modules").unwrap()[0].kind, EntryKind::Directory);
        let into = tempfile::tempdir().unwrap();
        let done = repository.materialise(&commit, into.path(), &|_| true).unwrap();
        assert_eq!(done.submodules, ["modules/sub"]);
        assert_eq!(
            std::fs::read(into.path().join("modules/sub/deep/x.tf")).unwrap(),
            b"# x"
        );
        // Where it is not checked out it is passed over, and said.
        let bare = outer.path().join("modules/sub");
        std::fs::remove_dir_all(&bare).unwrap();
        let into = tempfile::tempdir().unwrap();
        let done = repository.materialise(&commit, into.path(), &|_| true).unwrap();
        assert_eq!(done.skipped.len(), 1);
        assert_eq!(tree.list("modules").unwrap()[0].kind, EntryKind::Other);
    }
}
