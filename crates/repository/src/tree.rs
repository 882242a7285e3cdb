//! A commit's files as a [`FileTree`].

use rollback_config::{Entry, EntryKind, FileTree, TreeError, join_path};
use std::collections::VecDeque;

/// Links that are followed on the way to one file, as many as Linux follows.
const MOST_LINKS: usize = 40;
/// Larger blobs are not read: 64 MiB.
const LARGEST_BLOB: usize = 64 << 20;

pub(crate) const MODE_LINK: i32 = 0o120_000;
pub(crate) const MODE_EXECUTABLE: i32 = 0o100_755;

/// The files of one commit. Links are followed where they lead to something in the same tree.
pub struct GitTree<'r> {
    pub(crate) git: &'r git2::Repository,
    pub(crate) root: git2::Oid,
}

/// What lies at a path once every link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Directory(git2::Oid),
    File {
        blob: git2::Oid,
        executable: bool,
    },
    /// The commit that the tree names.
    Submodule(git2::Oid),
}

impl GitTree<'_> {
    /// The tree id of a folder, `None` where there is no such folder.
    pub(crate) fn directory_id(&self, directory: &str) -> Result<Option<git2::Oid>, TreeError> {
        match self.find(directory)? {
            Some(Found::Directory(oid)) => Ok(Some(oid)),
            _ => Ok(None),
        }
    }

    /// Follows a path through folders and links. `None` where it leads nowhere, out of the tree, or in a circle.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Found>, TreeError> {
        let path = join_path("", path)?;
        self.walk(Vec::new(), path.split('/').map(str::to_owned).collect())
    }

    /// What a link in `directory` (as tree ids from the root's child down) leads to.
    pub(crate) fn follow(&self, directory: &[git2::Oid], target: &[u8]) -> Result<Option<Found>, TreeError> {
        match std::str::from_utf8(target) {
            Ok(target) if !target.starts_with('/') && !target.contains(['\0', '\\']) => {
                self.walk(directory.to_vec(), target.split('/').map(str::to_owned).collect())
            }
            _ => Ok(None),
        }
    }

    fn walk(&self, mut above: Vec<git2::Oid>, mut parts: VecDeque<String>) -> Result<Option<Found>, TreeError> {
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if above.pop().is_none() {
                        return Ok(None);
                    }
                    continue;
                }
                _ => {}
            }
            let tree = self.lookup(*above.last().unwrap_or(&self.root))?;
            let Some(entry) = tree.get_name(&part) else {
                return Ok(None);
            };
            let last = parts.iter().all(|rest| rest.is_empty() || rest == ".");
            match entry.kind() {
                Some(git2::ObjectType::Tree) => above.push(entry.id()),
                Some(git2::ObjectType::Blob) if entry.filemode() == MODE_LINK => {
                    links += 1;
                    let target = self.blob(entry.id(), &part)?;
                    let Ok(target) = String::from_utf8(target) else {
                        return Ok(None);
                    };
                    if links > MOST_LINKS || target.starts_with('/') || target.contains(['\0', '\\']) {
                        return Ok(None);
                    }
                    for step in target.split('/').rev() {
                        parts.push_front(step.to_owned());
                    }
                }
                Some(git2::ObjectType::Blob) if last => {
                    let executable = entry.filemode() == MODE_EXECUTABLE;
                    return Ok(Some(Found::File {
                        blob: entry.id(),
                        executable,
                    }));
                }
                Some(git2::ObjectType::Commit) if last => return Ok(Some(Found::Submodule(entry.id()))),
                _ => return Ok(None),
            }
        }
        Ok(Some(Found::Directory(*above.last().unwrap_or(&self.root))))
    }

    pub(crate) fn lookup(&self, oid: git2::Oid) -> Result<git2::Tree<'_>, TreeError> {
        self.git
            .find_tree(oid)
            .map_err(|error| unreadable(&oid.to_string(), &error))
    }

    /// A blob's bytes, refused before they are loaded where there are too many.
    pub(crate) fn blob(&self, oid: git2::Oid, path: &str) -> Result<Vec<u8>, TreeError> {
        let database = self.git.odb().map_err(|error| unreadable(path, &error))?;
        let (size, _) = database.read_header(oid).map_err(|error| unreadable(path, &error))?;
        if size > LARGEST_BLOB {
            return Err(TreeError::TooLarge {
                path: path.to_owned(),
                size: size as u64,
                limit: LARGEST_BLOB as u64,
            });
        }
        let blob = self.git.find_blob(oid).map_err(|error| unreadable(path, &error))?;
        Ok(blob.content().to_vec())
    }
}

fn unreadable(path: &str, error: &git2::Error) -> TreeError {
    TreeError::Unreadable {
        path: path.to_owned(),
        message: error.message().to_owned(),
    }
}

impl FileTree for GitTree<'_> {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let Some(Found::Directory(oid)) = self.find(directory)? else {
            if let Some(listed) = self.in_submodule(directory, |tree, rest| tree.list(rest)) {
                return listed;
            }
            return Err(TreeError::NotFound {
                path: directory.to_owned(),
            });
        };
        let tree = self.lookup(oid)?;
        let mut entries = Vec::with_capacity(tree.len());
        for entry in tree.iter() {
            // A name that is not UTF-8 cannot be a configuration file's.
            let Ok(name) = entry.name() else { continue };
            let path = || match directory {
                "" => name.to_owned(),
                directory => format!("{directory}/{name}"),
            };
            let kind = match entry.kind() {
                Some(git2::ObjectType::Tree) => EntryKind::Directory,
                Some(git2::ObjectType::Commit) if self.submodule(&path()).is_some() => EntryKind::Directory,
                Some(git2::ObjectType::Blob) if entry.filemode() != MODE_LINK => EntryKind::File,
                Some(git2::ObjectType::Blob) => match self.find(&path()) {
                    Ok(Some(Found::File { .. })) => EntryKind::File,
                    Ok(Some(Found::Directory(_))) => EntryKind::Directory,
                    _ => EntryKind::Other,
                },
                _ => EntryKind::Other,
            };
            entries.push(Entry {
                name: name.to_owned(),
                kind,
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        match self.find(path)? {
            Some(Found::File { blob, .. }) => self.blob(blob, path).map(Some),
            Some(_) => Ok(None),
            None => self
                .in_submodule(path, |tree, rest| tree.read(rest))
                .unwrap_or(Ok(None)),
        }
    }
}
