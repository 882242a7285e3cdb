//! Where configuration files come from.
//!
//! Every path is relative to the tree, separated by `/`, and `""` is the tree's root. A path that
//! climbs out of the tree with `..` is refused, whatever lies there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A read-only tree of files.
pub trait FileTree {
    /// What lies directly in `directory`, in byte order of the names.
    ///
    /// # Errors
    /// [`TreeError::NotFound`] where there is no such directory.
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError>;

    /// The bytes of a file; `None` where there is no such file (or it is a directory).
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError>;
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
}

/// What a name stands for. A link that leads to a file of the same tree counts as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    File,
    Directory,
    /// Links out of the tree, submodules, sockets: nothing that is read.
    Other,
}

/// Why a tree could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("there is no folder {path:?}")]
    NotFound { path: String },
    #[error("the path {path:?} leads out of the tree")]
    Escapes { path: String },
    #[error("{path:?} is {size} bytes long; at most {limit} are read")]
    TooLarge { path: String, size: u64, limit: u64 },
    #[error("cannot read {path:?}: {message}")]
    Unreadable { path: String, message: String },
}

impl TreeError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            TreeError::NotFound { .. } => {
                Some("check the stack's `dir` in infra-rollback.toml, and whether this commit has it".into())
            }
            TreeError::Escapes { .. } => {
                Some("only files of the repository can be rolled back: move the folder into it".into())
            }
            TreeError::TooLarge { .. } | TreeError::Unreadable { .. } => None,
        }
    }
}

/// Joins `relative` to `base` (both in a tree) and resolves `.` and `..`.
///
/// # Errors
/// [`TreeError::Escapes`] where the result lies outside the tree, where `relative` is absolute, or
/// contains a NUL byte or a backslash (which is a separator on one platform and a name on another).
pub fn join_path(base: &str, relative: &str) -> Result<String, TreeError> {
    let escapes = || TreeError::Escapes {
        path: relative.to_owned(),
    };
    if relative.starts_with('/') || relative.contains(['\0', '\\']) {
        return Err(escapes());
    }
    let mut parts: Vec<&str> = base.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(escapes)?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// Files larger than this are not read from any tree of this crate: 64 MiB.
const LARGEST_FILE: u64 = 64 << 20;

/// A folder on disk. Links are followed where they lead to something inside the folder.
#[derive(Debug, Clone)]
pub struct DiskTree {
    root: PathBuf,
}

impl DiskTree {
    /// The tree below `root`.
    pub fn new(root: PathBuf) -> DiskTree {
        DiskTree { root }
    }

    /// The real place of a path, or `None` where nothing is there or it lies outside the root.
    fn real(&self, path: &str) -> Result<Option<PathBuf>, TreeError> {
        let clean = join_path("", path)?;
        let unreadable = |error: std::io::Error| TreeError::Unreadable {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let root = self.root.canonicalize().map_err(unreadable)?;
        match root.join(&clean).canonicalize() {
            Ok(real) if real.starts_with(&root) => Ok(Some(real)),
            Ok(_) => Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            // A loop of links is nothing that can be read, like a link to nowhere.
            Err(_) if root.join(&clean).is_symlink() => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }
}

fn kind_of(real: &Path) -> EntryKind {
    match std::fs::metadata(real) {
        Ok(data) if data.is_file() => EntryKind::File,
        Ok(data) if data.is_dir() => EntryKind::Directory,
        _ => EntryKind::Other,
    }
}

impl FileTree for DiskTree {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let not_found = || TreeError::NotFound {
            path: directory.to_owned(),
        };
        let real = self
            .real(directory)?
            .filter(|real| real.is_dir())
            .ok_or_else(not_found)?;
        let unreadable = |error: std::io::Error| TreeError::Unreadable {
            path: directory.to_owned(),
            message: error.to_string(),
        };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&real).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // A name that is not UTF-8 cannot be a configuration file's.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = if directory.is_empty() {
                name.clone()
            } else {
                format!("{directory}/{name}")
            };
            let kind = match self.real(&path) {
                Ok(Some(real)) => kind_of(&real),
                _ => EntryKind::Other,
            };
            entries.push(Entry { name, kind });
        }
        entries.sort();
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let Some(real) = self.real(path)? else { return Ok(None) };
        if kind_of(&real) != EntryKind::File {
            return Ok(None);
        }
        let unreadable = |error: std::io::Error| TreeError::Unreadable {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let size = std::fs::metadata(&real).map_err(unreadable)?.len();
        if size > LARGEST_FILE {
            return Err(TreeError::TooLarge {
                path: path.to_owned(),
                size,
                limit: LARGEST_FILE,
            });
        }
        std::fs::read(&real).map(Some).map_err(unreadable)
    }
}

/// Files in memory: path to bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemoryTree(pub BTreeMap<String, Vec<u8>>);

impl std::fmt::Debug for MemoryTree {
    /// Names only: variable files hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl MemoryTree {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> MemoryTree {
        self.0.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }
}

impl FileTree for MemoryTree {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let directory = join_path("", directory)?;
        let prefix = if directory.is_empty() {
            String::new()
        } else {
            format!("{directory}/")
        };
        let mut entries = BTreeSet::new();
        for path in self.0.range(prefix.clone()..).map(|(path, _)| path) {
            let Some(rest) = path.strip_prefix(&prefix) else { break };
            entries.insert(match rest.split_once('/') {
                Some((name, _)) => Entry {
                    name: name.to_owned(),
                    kind: EntryKind::Directory,
                },
                None => Entry {
                    name: rest.to_owned(),
                    kind: EntryKind::File,
                },
            });
        }
        if entries.is_empty() && !directory.is_empty() {
            return Err(TreeError::NotFound { path: directory });
        }
        Ok(entries.into_iter().collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.0.get(&join_path("", path)?).cloned())
    }
}

/// One tree over another: a file of the upper hides the lower's file of the same path.
///
/// A release's own blobs lie over the commit in Git: what was not tracked is found all the same.
pub struct LayeredTree<'t> {
    upper: &'t dyn FileTree,
    lower: &'t dyn FileTree,
}

impl<'t> LayeredTree<'t> {
    /// `upper` is asked first.
    pub fn new(upper: &'t dyn FileTree, lower: &'t dyn FileTree) -> LayeredTree<'t> {
        LayeredTree { upper, lower }
    }
}

impl FileTree for LayeredTree<'_> {
    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        let mut names: BTreeMap<String, EntryKind> = BTreeMap::new();
        let mut found = false;
        for tree in [self.lower, self.upper] {
            match tree.list(directory) {
                Ok(entries) => {
                    found = true;
                    names.extend(entries.into_iter().map(|entry| (entry.name, entry.kind)));
                }
                Err(TreeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if !found {
            return Err(TreeError::NotFound {
                path: directory.to_owned(),
            });
        }
        Ok(names.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        match self.upper.read(path)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.lower.read(path),
        }
    }
}
