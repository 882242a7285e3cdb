//! Writing what a release has back into a folder.
//!
//! A record is input that may be hostile: only regular files are written, only below the folder given, never through a
//! link, never into `.git` or `.terraform`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::record::{ModulesRecord, StackRecord};
use crate::{BlobId, Store, StoreError};

/// What goes wrong while files are written back.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Nothing was written.
    #[error("the release names a file {path:?}, which {reason}: nothing is written")]
    HostilePath { path: String, reason: &'static str },

    #[error("{path:?} is in the way: it is {what}, not {wanted}")]
    InTheWay {
        path: String,
        what: &'static str,
        wanted: &'static str,
    },

    #[error("cannot write {path:?}")]
    Write { path: String, source: std::io::Error },
}

impl MaterialiseError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            MaterialiseError::Store(error) => return error.hint(),
            MaterialiseError::HostilePath { .. } => {
                "this program writes no such record: find out who can write to the store".to_owned()
            }
            MaterialiseError::InTheWay { .. } => "write into an empty folder".to_owned(),
            MaterialiseError::Write { .. } => "see that the folder is writable and has space".to_owned(),
        })
    }
}

/// Whether a path out of a record may be written below a folder: relative, `/` between its parts, no part empty, `.`
/// or `..`, none that Git or Terraform keeps for itself, no backslash or control character. `Err` says what it does.
pub fn check_relative_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.starts_with('/') {
        return Err("is absolute");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err("has a backslash or a control character");
    }
    for part in path.split('/') {
        match part {
            "" => return Err("has an empty part"),
            "." | ".." => return Err("has a part . or .."),
            // On file systems that do not tell .GIT from .git it would be Git's.
            _ if part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case(".terraform") => {
                return Err("lies in .git or .terraform");
            }
            _ if part.len() > 255 => return Err("has a part of more than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

impl StackRecord {
    /// The configuration as it was: path in the repository to bytes.
    pub fn read_configuration(&self, store: &dyn Store) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        self.configuration
            .iter()
            .map(|(path, blob)| Ok((path.clone(), store.get_blob(blob)?)))
            .collect()
    }

    /// Writes the configuration below `into` (the repository's root), which must exist. A regular file that is there
    /// is replaced, a link or a folder in its place refused. Files get mode 0600, or 0700 where they were executable;
    /// folders 0700. The lock file is not part of it: see [`StackRecord::write_lock_file`].
    pub fn write_configuration(&self, store: &dyn Store, into: &Path) -> Result<(), MaterialiseError> {
        write_files(store, &self.configuration, &self.executable, into)
    }

    /// Writes `.terraform.lock.hcl` into the root module's folder below `into`, if the release has one.
    pub fn write_lock_file(&self, store: &dyn Store, into: &Path) -> Result<(), MaterialiseError> {
        let Some(blob) = self.lock_file else { return Ok(()) };
        let name = ".terraform.lock.hcl";
        let path = if self.dir.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.dir)
        };
        write_files(store, &BTreeMap::from([(path, blob)]), &BTreeSet::new(), into)
    }

    /// Writes the downloaded modules into `modules_directory` (`modules` in Terraform's data directory), which must
    /// exist, `modules.json` last. Does nothing where the release has none.
    pub fn write_modules(&self, store: &dyn Store, modules_directory: &Path) -> Result<(), MaterialiseError> {
        self.modules
            .as_ref()
            .map_or(Ok(()), |modules| modules.write(store, modules_directory))
    }
}

impl ModulesRecord {
    /// See [`StackRecord::write_modules`].
    pub fn write(&self, store: &dyn Store, modules_directory: &Path) -> Result<(), MaterialiseError> {
        write_files(store, &self.files, &self.executable, modules_directory)?;
        let manifest = BTreeMap::from([("modules.json".to_owned(), self.manifest)]);
        write_files(store, &manifest, &BTreeSet::new(), modules_directory)
    }
}

fn write_files(
    store: &dyn Store,
    files: &BTreeMap<String, BlobId>,
    executable: &BTreeSet<String>,
    into: &Path,
) -> Result<(), MaterialiseError> {
    for path in files.keys() {
        check_relative_path(path).map_err(|reason| MaterialiseError::HostilePath {
            path: path.clone(),
            reason,
        })?;
    }
    let root = openat(
        CWD,
        into,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| failed(&into.display().to_string(), error))?;
    for (path, blob) in files {
        let mode = if executable.contains(path) { 0o700 } else { 0o600 };
        write_file(&root, path, &store.get_blob(blob)?, mode)?;
    }
    Ok(())
}

/// Goes down folder by folder by handles, so that no link can lead away, not even one that is made meanwhile.
fn write_file(root: &OwnedFd, path: &str, bytes: &[u8], mode: u32) -> Result<(), MaterialiseError> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folder: Option<OwnedFd> = None;
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = Some(enter(folder.as_ref().unwrap_or(root), part, path)?);
    }
    let folder = folder.as_ref().unwrap_or(root);
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => match FileType::from_raw_mode(there.st_mode) {
            FileType::RegularFile => unlinkat(folder, name, AtFlags::empty()).map_err(|error| failed(path, error))?,
            other => return Err(in_the_way(path, other, "a file")),
        },
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(path, error)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::from_raw_mode(mode)).map_err(|error| failed(path, error))?;
    File::from(file)
        .write_all(bytes)
        .map_err(|source| MaterialiseError::Write {
            path: path.to_owned(),
            source,
        })
}

fn enter(parent: &OwnedFd, part: &str, path: &str) -> Result<OwnedFd, MaterialiseError> {
    match mkdirat(parent, part, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed(path, error)),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(parent, part, flags, Mode::empty()).map_err(|error| match statat(parent, part, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Directory => {
            in_the_way(path, FileType::from_raw_mode(there.st_mode), "below a folder")
        }
        _ => failed(path, error),
    })
}

fn in_the_way(path: &str, found: FileType, wanted: &'static str) -> MaterialiseError {
    let what = match found {
        FileType::Symlink => "a link",
        FileType::Directory => "a folder",
        FileType::RegularFile => "a file",
        _ => "neither file nor folder",
    };
    MaterialiseError::InTheWay {
        path: path.to_owned(),
        what,
        wanted,
    }
}

fn failed(path: &str, error: Errno) -> MaterialiseError {
    MaterialiseError::Write {
        path: path.to_owned(),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn stack(store: &MemoryStore, files: &[(&str, &str)]) -> StackRecord {
        let put = |(path, text): &(&str, &str)| ((*path).to_owned(), store.put_blob(text.as_bytes()).unwrap());
        StackRecord {
            configuration: files.iter().map(put).collect(),
            ..StackRecord::default()
        }
    }

    #[test]
    fn files_come_back_with_their_modes() {
        let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let mut stack = stack(
            &store,
            &[("main.tf", "new"), ("a/b/c.tf", "c"), ("a/run.sh", "#!/bin/sh")],
        );
        stack.executable.insert("a/run.sh".to_owned());
        std::fs::write(folder.path().join("main.tf"), "old and longer").unwrap();
        stack.write_configuration(&store, folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("main.tf")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(folder.path().join("a/b/c.tf")).unwrap(), "c");
        let mode = |path: &str| folder.path().join(path).metadata().unwrap().mode() & 0o777;
        assert_eq!((mode("a/b/c.tf"), mode("a/run.sh"), mode("a/b")), (0o600, 0o700, 0o700));
        assert_eq!(stack.read_configuration(&store).unwrap()["a/b/c.tf"], b"c");
    }

    #[test]
    fn modules_and_lock_file_come_back() {
        let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let files = BTreeMap::from([("m/main.tf".to_owned(), store.put_blob(b"m").unwrap())]);
        let manifest = store.put_blob(b"{}").unwrap();
        let stack = StackRecord {
            dir: "infra/app".to_owned(),
            lock_file: Some(store.put_blob(b"lock").unwrap()),
            modules: Some(ModulesRecord {
                manifest,
                files,
                executable: BTreeSet::new(),
            }),
            ..StackRecord::default()
        };
        stack.write_modules(&store, folder.path()).unwrap();
        stack.write_lock_file(&store, folder.path()).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(
            (
                read("modules.json"),
                read("m/main.tf"),
                read("infra/app/.terraform.lock.hcl")
            ),
            ("{}".to_owned(), "m".to_owned(), "lock".to_owned())
        );
    }

    #[test]
    fn hostile_paths_write_nothing() {
        let (store, outer) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let folder = outer.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        let long = "x".repeat(256);
        let absolute = outer.path().join("absolute").display().to_string();
        for path in [
            "",
            "/",
            ".",
            "..",
            "../out",
            "a/../../out",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "/etc/out",
            &absolute,
            "a\0b",
            "a\nb",
            "a\\..\\b",
            "..\\out",
            ".git/hooks/post-checkout",
            "a/.GIT/config",
            ".terraform/x",
            "m/.Terraform/y",
            &long,
        ] {
            let stack = stack(&store, &[("aaa.tf", "good"), (path, "bad")]);
            let error = stack.write_configuration(&store, &folder).unwrap_err();
            assert!(
                matches!(error, MaterialiseError::HostilePath { .. }),
                "{path:?}: {error}"
            );
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{path:?}");
        }
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_not_followed() {
        let (store, outer) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let (folder, elsewhere) = (outer.path().join("in"), outer.path().join("elsewhere"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("file"), "untouched").unwrap();
        symlink(&elsewhere, folder.join("folder")).unwrap();
        symlink(elsewhere.join("file"), folder.join("file")).unwrap();
        symlink(elsewhere.join("new"), folder.join("dangling")).unwrap();
        std::fs::create_dir(folder.join("real")).unwrap();
        for path in [
            "folder/new",
            "folder/file",
            "file",
            "dangling",
            "dangling/x",
            "real",
            "file/x",
        ] {
            let error = stack(&store, &[(path, "bad")])
                .write_configuration(&store, &folder)
                .unwrap_err();
            assert!(matches!(error, MaterialiseError::InTheWay { .. }), "{path}: {error}");
        }
        assert_eq!(std::fs::read_to_string(elsewhere.join("file")).unwrap(), "untouched");
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_blob_is_an_error_that_names_it() {
        let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let stack = stack(&store, &[("main.tf", "x")]);
        store.damage_blob(&stack.configuration["main.tf"], Some(b"y".to_vec()));
        let error = stack.write_configuration(&store, folder.path()).unwrap_err();
        assert!(
            error.to_string().contains(&stack.configuration["main.tf"].to_string()),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
