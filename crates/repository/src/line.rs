//! A branch as the line of its first parents: what was on it when.

use crate::tree::Found;
use crate::{CommitId, GitTree, Repository, RepositoryError};

/// One commit of a [`Line`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineCommit {
    pub id: CommitId,
    /// The committer's time in seconds since 1970-01-01 UTC.
    pub time: i64,
    /// Whether something at the watched paths is not what it was in the first parent. True for the oldest commit where
    /// there is something.
    pub changed: bool,
    /// Whether there is something at any of the watched paths.
    pub present: bool,
}

/// The commits of a branch along first parents, so that a merged branch is one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Oldest first.
    pub commits: Vec<LineCommit>,
    /// False where a shallow clone cuts it off.
    pub complete: bool,
}

impl Repository {
    /// The line of first parents that ends in a commit, with what became of the files and folders at `paths` (`""` is
    /// the whole tree).
    ///
    /// # Errors
    /// [`RepositoryError::Unknown`]; a path that leads out of the repository.
    pub fn first_parents(&self, tip: &CommitId, paths: &[&str]) -> Result<Line, RepositoryError> {
        let mut commits: Vec<LineCommit> = Vec::new();
        let mut commit = self.commit(tip)?;
        let mut there = self.objects(&commit, paths)?;
        let mut complete = true;
        loop {
            let parent = match commit.parent(0) {
                Ok(parent) => Some(parent),
                Err(_) if commit.parent_count() == 0 || self.git.is_shallow() => {
                    complete = commit.parent_count() == 0 && !self.git.is_shallow();
                    None
                }
                Err(error) => return Err(error.into()),
            };
            let before = match &parent {
                // Most commits share their tree's objects; those of one tree need one look.
                Some(parent) if parent.tree_id() == commit.tree_id() => there.clone(),
                Some(parent) => self.objects(parent, paths)?,
                None => vec![None; paths.len()],
            };
            commits.push(LineCommit {
                id: commit.id().into(),
                time: commit.time().seconds(),
                changed: there != before,
                present: there.iter().any(Option::is_some),
            });
            let Some(parent) = parent else { break };
            commit = parent;
            there = before;
        }
        commits.reverse();
        Ok(Line { commits, complete })
    }

    /// The ids of what lies at each path; none where nothing does.
    fn objects(&self, commit: &git2::Commit<'_>, paths: &[&str]) -> Result<Vec<Option<git2::Oid>>, RepositoryError> {
        let tree = GitTree {
            git: &self.git,
            root: commit.tree_id(),
        };
        let mut objects = Vec::with_capacity(paths.len());
        for path in paths {
            objects.push(match tree.find(path)? {
                Some(Found::Directory(oid)) => Some(oid),
                Some(Found::File { blob, .. }) => Some(blob),
                Some(Found::Submodule(commit)) => Some(commit),
                None => None,
            });
        }
        Ok(objects)
    }
}

impl Line {
    /// The last commit with a time before `second`, if `chosen` takes it: the newest such commit of the line, as a
    /// commit that came later on the line was not there when an earlier one was the last.
    pub fn last_before(&self, second: i64, chosen: impl Fn(&LineCommit) -> bool) -> Option<&LineCommit> {
        let end = self.commits.iter().rposition(|commit| commit.time < second)?;
        self.commits[..=end].iter().rev().find(|commit| chosen(commit))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{EPOCH, Sandbox};

    #[test]
    fn a_merged_branch_is_one_commit_of_the_line() {
        let mut sandbox = Sandbox::new();
        sandbox.write("stack/main.tf", "1");
        let first = sandbox.commit("first");
        sandbox.write("README", "x");
        let second = sandbox.commit("beside it");
        sandbox.git(&["checkout", "-q", "-b", "side"]);
        sandbox.write("stack/main.tf", "2");
        sandbox.commit("on the side");
        sandbox.git(&["checkout", "-q", "main"]);
        let merge = sandbox.merge("side");
        sandbox.git(&["rm", "-q", "-r", "stack"]);
        let last = sandbox.commit("gone");

        let line = sandbox.open().first_parents(&last, &["stack"]).unwrap();
        let found: Vec<_> = line
            .commits
            .iter()
            .map(|one| (one.id.clone(), one.changed, one.present))
            .collect();
        assert_eq!(
            found,
            [
                (first.clone(), true, true),
                (second.clone(), false, true),
                (merge.clone(), true, true),
                (last, true, false)
            ]
        );
        assert!(line.complete);

        let hour = |count: i64| EPOCH + count * 3600;
        let touched = |second| line.last_before(second, |one| one.changed).map(|one| one.id.clone());
        assert_eq!(touched(hour(1)), None, "not at the very second");
        assert_eq!(touched(hour(1) + 1), Some(first.clone()));
        assert_eq!(touched(hour(2) + 1), Some(first));
        assert_eq!(
            line.last_before(hour(2) + 1, |_| true).map(|one| one.id.clone()),
            Some(second)
        );
        assert_eq!(touched(hour(4) + 1), Some(merge));
    }

    #[test]
    fn a_shallow_clone_says_that_it_is_cut_off() {
        let mut sandbox = Sandbox::new();
        for text in ["1", "2", "3"] {
            sandbox.write("main.tf", text);
            sandbox.commit(text);
        }
        let clone = tempfile::tempdir().unwrap();
        let url = format!("file://{}", sandbox.path().display());
        crate::testing::git(clone.path(), &["clone", "-q", "--depth", "2", &url, "c"], EPOCH);
        let repository = crate::Repository::open(&clone.path().join("c")).unwrap();
        let line = repository.first_parents(&repository.head().unwrap(), &[""]).unwrap();
        assert_eq!((line.commits.len(), line.complete), (2, false));
    }
}
