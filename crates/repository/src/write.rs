//! A commit's files on disk.

use crate::tree::{Found, GitTree, MODE_EXECUTABLE, MODE_LINK};
use crate::{CommitId, Repository, RepositoryError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Trees beyond these are broken or hostile: one tree object repeated within itself reaches billions of files.
const MOST_ENTRIES: usize = 1_000_000;
const MOST_BYTES: u64 = 8 << 30;
const DEEPEST: usize = 200;

/// What was written, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Materialised {
    /// Paths in the tree, in the tree's order.
    pub files: Vec<String>,
    /// Submodules whose files are among them.
    pub submodules: Vec<String>,
    pub skipped: Vec<Skipped>,
}

/// Something in the tree that was not written as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where in the tree; names that are not UTF-8 are shown with replacement characters.
    pub path: String,
    pub reason: SkipReason,
}

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// A link that does not lead to a file of the tree; its target.
    Link { target: String },
    /// It is not checked out here, or does not have the commit.
    Submodule,
    /// A name that no checkout may have: `.git`, `..`, a path, a backslash.
    Name,
    /// `.terraform`: never a part of a commit's configuration.
    TerraformData,
    /// The file was written, but it is only a pointer: the content is in Git LFS.
    LfsPointer,
}

impl Repository {
    /// Writes the files of a commit that `filter` accepts (it sees paths in the tree) below `into`, as regular
    /// files of mode 0600, or 0700 where they are executable; folders get 0700.
    ///
    /// A link is written as a copy of the file that it leads to, if that lies in the tree. Hooks, filters and
    /// attributes of Git play no part: the bytes are those of the blobs (see [`Repository::convert`]). A file that is there already is never
    /// overwritten, and no link that is there already is followed.
    ///
    /// # Errors
    /// [`RepositoryError::Write`]; [`RepositoryError::TooBig`] for a tree that no project has.
    pub fn materialise(
        &self,
        id: &CommitId,
        into: &Path,
        filter: &dyn Fn(&str) -> bool,
    ) -> Result<Materialised, RepositoryError> {
        let tree = self.tree(id)?;
        make_folder(into, true)?;
        let mut writer = Writer {
            tree: &tree,
            into,
            filter,
            id,
            entries: 0,
            bytes: 0,
            done: Materialised::default(),
        };
        writer.folder(tree.root, &mut Vec::new(), "")?;
        Ok(writer.done)
    }
}

struct Writer<'w> {
    tree: &'w GitTree<'w>,
    into: &'w Path,
    filter: &'w dyn Fn(&str) -> bool,
    id: &'w CommitId,
    entries: usize,
    bytes: u64,
    done: Materialised,
}

impl Writer<'_> {
    fn folder(&mut self, oid: git2::Oid, above: &mut Vec<git2::Oid>, path: &str) -> Result<(), RepositoryError> {
        if above.len() > DEEPEST {
            return Err(self.too_big(format!("folders are nested more than {DEEPEST} deep")));
        }
        let tree = self.tree.lookup(oid)?;
        for entry in tree.iter() {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(self.too_big(format!("there are more than {MOST_ENTRIES} files")));
            }
            let shown = String::from_utf8_lossy(entry.name_bytes());
            let below = if path.is_empty() {
                shown.into_owned()
            } else {
                format!("{path}/{shown}")
            };
            let Some(name) = entry.name().ok().filter(|name| is_safe(name)) else {
                self.skip(below, SkipReason::Name);
                continue;
            };
            if name == ".terraform" {
                self.skip(below, SkipReason::TerraformData);
                continue;
            }
            match entry.kind() {
                Some(git2::ObjectType::Tree) => {
                    above.push(entry.id());
                    self.folder(entry.id(), above, &below)?;
                    above.pop();
                }
                Some(git2::ObjectType::Blob) if !(self.filter)(&below) => {}
                Some(git2::ObjectType::Blob) if entry.filemode() == MODE_LINK => {
                    let target = self.tree.blob(entry.id(), &below)?;
                    match self.tree.follow(above, &target)? {
                        Some(Found::File { blob, executable }) => self.file(blob, executable, below)?,
                        // It leads to a folder of this very tree: on disk it does the same, whatever the folder holds.
                        Some(Found::Directory(_)) => self.link(&target, below)?,
                        _ => {
                            let target = String::from_utf8_lossy(&target).into_owned();
                            self.skip(below, SkipReason::Link { target });
                        }
                    }
                }
                Some(git2::ObjectType::Blob) => {
                    self.file(entry.id(), entry.filemode() == MODE_EXECUTABLE, below)?;
                }
                _ if (self.filter)(&below) => self.submodule(below)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn submodule(&mut self, path: String) -> Result<(), RepositoryError> {
        let Some(submodule) = self.tree.submodule(&path) else {
            self.skip(path, SkipReason::Submodule);
            return Ok(());
        };
        let tree = submodule.tree();
        let mut inner = Writer {
            tree: &tree,
            into: self.into,
            filter: self.filter,
            id: self.id,
            entries: self.entries,
            bytes: self.bytes,
            done: std::mem::take(&mut self.done),
        };
        let written = inner.folder(tree.root, &mut Vec::new(), &path);
        (self.entries, self.bytes, self.done) = (inner.entries, inner.bytes, inner.done);
        self.done.submodules.push(path);
        written
    }

    fn file(&mut self, blob: git2::Oid, executable: bool, path: String) -> Result<(), RepositoryError> {
        let bytes = self.tree.blob(blob, &path)?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(self.too_big(format!("they are more than {} GiB", MOST_BYTES >> 30)));
        }
        let target = self.place(&path)?;
        let mut options = std::fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(if executable { 0o700 } else { 0o600 });
        let written = options.open(&target).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| write_error(&target, &error))?;
        if is_lfs_pointer(&bytes) {
            self.skip(path.clone(), SkipReason::LfsPointer);
        }
        self.done.files.push(path);
        Ok(())
    }

    fn link(&mut self, target: &[u8], path: String) -> Result<(), RepositoryError> {
        use std::os::unix::ffi::OsStrExt;
        let place = self.place(&path)?;
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &place)
            .map_err(|error| write_error(&place, &error))?;
        self.done.files.push(path);
        Ok(())
    }

    /// Where a path lies on disk; its folders are made.
    fn place(&self, path: &str) -> Result<PathBuf, RepositoryError> {
        if let Some((folders, _)) = path.rsplit_once('/') {
            let mut folder: PathBuf = self.into.to_owned();
            for part in folders.split('/') {
                folder.push(part);
                make_folder(&folder, false)?;
            }
        }
        Ok(self.into.join(path))
    }

    fn skip(&mut self, path: String, reason: SkipReason) {
        self.done.skipped.push(Skipped { path, reason });
    }

    fn too_big(&self, message: String) -> RepositoryError {
        RepositoryError::TooBig {
            revision: self.id.short().to_owned(),
            message,
        }
    }
}

/// Makes a folder that only its owner can enter, or takes the one that is there, if it is no link.
fn make_folder(path: &Path, with_parents: bool) -> Result<(), RepositoryError> {
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => Ok(()),
        // The folder that the caller names may be a link; below it none is followed.
        Ok(_) if with_parents && path.is_dir() => Ok(()),
        Ok(_) => Err(RepositoryError::Write {
            path: path.display().to_string(),
            message: "something that is no folder is in the way".into(),
        }),
        Err(_) => std::fs::DirBuilder::new()
            .recursive(with_parents)
            .mode(0o700)
            .create(path)
            .map_err(|error| write_error(path, &error)),
    }
}

fn write_error(path: &Path, error: &std::io::Error) -> RepositoryError {
    RepositoryError::Write {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}

/// Whether a tree entry's name may become a file's: one plain component that is no `.git` on any file system
/// (Windows drops trailing dots and spaces and knows `GIT~1`; HFS+ ignores zero-width characters).
fn is_safe(name: &str) -> bool {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0', ':']) {
        return false;
    }
    let ignorable =
        |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let folded: String = name
        .chars()
        .filter(|c| !ignorable(*c))
        .flat_map(char::to_lowercase)
        .collect();
    !matches!(folded.trim_end_matches([' ', '.']), ".git" | "git~1" | "" | ".")
}

/// Whether a file's content is elsewhere (Git LFS specification, "The Pointer").
pub fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() < 1024 && bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
