//! The local backend's lock, as terraform takes it (`statemgr.Filesystem`, 1.5 to 1.15): `fcntl(F_SETLK, F_WRLCK)` over the whole
//! state file, which is made when missing, and a note about the holder in `.NAME.lock.info` beside it.
//!
//! Two properties of these POSIX locks rule the design. They belong to the process: a second lock by the same process succeeds, so
//! that this module keeps a table of what it holds. And they go when the process closes *any* descriptor of that file: as long as
//! a [`LocalLock`] lives, nothing in this process may open the state file except through this module ([`read`], [`holder`],
//! [`LocalLock::read`]), which use the one descriptor of the lock. The lock goes with the process, however it ends.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use serde::{Deserialize, Serialize};

use crate::error::TerraformError;
use crate::private;

/// Who holds a lock and for what, as terraform writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LockInfo {
    #[serde(rename = "ID")]
    pub id: String,
    pub operation: String,
    pub info: String,
    /// `user@host`.
    pub who: String,
    pub version: String,
    /// RFC 3339.
    pub created: String,
    pub path: String,
}

impl LockInfo {
    /// A new one for this process, with a random id.
    pub fn new(operation: &str, path: &Path) -> LockInfo {
        let user = std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .unwrap_or_else(|_| "unknown".into());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        LockInfo {
            id: uuid::Uuid::new_v4().to_string(),
            operation: operation.to_owned(),
            info: format!("infra-rollback, process {}", std::process::id()),
            who: format!("{user}@{host}"),
            version: concat!("infra-rollback ", env!("CARGO_PKG_VERSION")).to_owned(),
            created: jiff::Timestamp::now().to_string(),
            path: path.display().to_string(),
        }
    }

    /// In JSON, as terraform writes it.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the `Lock Info:` list out of a diagnostic.
    pub fn from_text(text: &str) -> Option<LockInfo> {
        let (_, list) = text.split_once("Lock Info:")?;
        let mut info = LockInfo::default();
        for line in list.lines() {
            let Some((name, value)) = line.trim_start_matches(['│', ' ']).split_once(':') else {
                continue;
            };
            let value = value.trim().to_owned();
            match name.trim() {
                "ID" => info.id = value,
                "Path" => info.path = value,
                "Operation" => info.operation = value,
                "Who" => info.who = value,
                "Version" => info.version = value,
                "Created" => info.created = value,
                "Info" => info.info = value,
                _ => {}
            }
        }
        (!info.id.is_empty() || !info.who.is_empty()).then_some(info)
    }
}

impl fmt::Display for LockInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.who.is_empty() { "someone" } else { &self.who })?;
        if !self.operation.is_empty() {
            write!(formatter, " for {}", self.operation)?;
        }
        if !self.created.is_empty() {
            write!(formatter, " since {}", self.created)?;
        }
        if !self.id.is_empty() {
            write!(formatter, " (lock {})", self.id)?;
        }
        Ok(())
    }
}

/// Device and inode: what a lock is really on.
type Identity = (u64, u64);

static HELD: Mutex<Option<HashMap<Identity, Arc<File>>>> = Mutex::new(None);

fn table() -> MutexGuard<'static, Option<HashMap<Identity, Arc<File>>>> {
    HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// `.NAME.lock.info` beside the file; of a hidden file one dot only, as terraform names it.
pub fn lock_info_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{}.lock.info", name.strip_prefix('.').unwrap_or(&name)))
}

fn read_info(path: &Path) -> Option<LockInfo> {
    serde_json::from_slice(&fs::read(lock_info_path(path)).ok()?).ok()
}

/// In place: whoever is killed here leaves half a note, which the next holder overwrites, and no file of another name beside
/// somebody's state.
fn write_info(path: &Path, info: &LockInfo) -> Result<(), TerraformError> {
    let place = lock_info_path(path);
    private::create_file(&place)?
        .write_all_at(&serde_json::to_vec(info).unwrap_or_default(), 0)
        .map_err(TerraformError::io("write", &place))
}

/// The way to a lock; see [`LocalLock`].
pub struct LocalState;

impl LocalState {
    /// Takes the lock at once or not at all. Missing folders and a missing (then empty) state file are made, as terraform does.
    ///
    /// # Errors
    /// [`TerraformError::Locked`] with the holder where it left a note; [`TerraformError::Io`].
    pub fn lock(path: &Path, operation: &str) -> Result<LocalLock, TerraformError> {
        LocalState::lock_with(path, LockInfo::new(operation, path))
    }

    /// As [`LocalState::lock`], under a given ID.
    pub fn lock_with(path: &Path, info: LockInfo) -> Result<LocalLock, TerraformError> {
        let mut table = table();
        let table = table.get_or_insert_default();
        let locked = || TerraformError::Locked {
            holder: read_info(path).map(Box::new),
            diagnostics: Vec::new(),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(TerraformError::io("create", folder))?;
        }
        // The file can be replaced between opening and locking it; then the lock is on a file that is nobody's state any more.
        for _ in 0..8 {
            if fs::metadata(path).is_ok_and(|metadata| table.contains_key(&identity(&metadata))) {
                return Err(locked());
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o666)
                .open(path)
                .map_err(TerraformError::io("open", path))?;
            let found = identity(&file.metadata().map_err(TerraformError::io("look at", path))?);
            if table.contains_key(&found) {
                // Put there a moment ago. Closing this descriptor would drop our own lock: it stays open instead.
                std::mem::forget(file);
                return Err(locked());
            }
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(locked()),
                Err(error) => {
                    return Err(TerraformError::Io {
                        action: "lock",
                        path: path.to_owned(),
                        source: error.into(),
                    });
                }
            }
            if fs::metadata(path).is_ok_and(|metadata| identity(&metadata) == found) {
                let file = Arc::new(file);
                table.insert(found, Arc::clone(&file));
                let lock = LocalLock {
                    path: path.to_owned(),
                    file,
                    identity: found,
                    info,
                };
                // A missing note costs others the holder's name, nothing more; the lock itself is what counts.
                write_info(path, &lock.info)
                    .unwrap_or_else(|error| tracing::warn!(%error, "the note about the lock was not written"));
                return Ok(lock);
            }
        }
        Err(TerraformError::Io {
            action: "lock",
            path: path.to_owned(),
            source: std::io::Error::other("the file is being replaced again and again"),
        })
    }
}

/// The lock on a state file, until dropped. See the module for what must not be done meanwhile.
pub struct LocalLock {
    path: PathBuf,
    file: Arc<File>,
    identity: Identity,
    info: LockInfo,
}

impl LocalLock {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn info(&self) -> &LockInfo {
        &self.info
    }

    /// The whole file; empty when there is no state yet.
    pub fn read(&self) -> Result<Vec<u8>, TerraformError> {
        read_all(&self.file, &self.path)
    }

    /// Replaces the content, keeping the file (others wait for a lock on this very inode), synced, and read back.
    ///
    /// Not atomic: keep the former content elsewhere before.
    pub fn write_in_place(&self, bytes: &[u8]) -> Result<(), TerraformError> {
        let write = || {
            self.file.write_all_at(bytes, 0)?;
            self.file.set_len(bytes.len() as u64)?;
            self.file.sync_all()
        };
        write().map_err(TerraformError::io("write", &self.path))?;
        if self.read()? != bytes {
            return Err(TerraformError::Io {
                action: "write",
                path: self.path.clone(),
                source: std::io::Error::other("what was read back differs"),
            });
        }
        Ok(())
    }
}

impl fmt::Debug for LocalLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalLock")
            .field("path", &self.path)
            .field("id", &self.info.id)
            .finish_non_exhaustive()
    }
}

impl Drop for LocalLock {
    fn drop(&mut self) {
        let mut table = table();
        // The note first, while it is surely ours. An empty state file stays: terraform takes it for no state, and removing it
        // could take it from under somebody who has just opened it.
        let _ = fs::remove_file(lock_info_path(&self.path));
        let _ = fcntl_lock(&*self.file, FlockOperation::Unlock);
        if let Some(table) = table.as_mut() {
            table.remove(&self.identity);
        }
    }
}

fn read_all(file: &File, path: &Path) -> Result<Vec<u8>, TerraformError> {
    let length = file.metadata().map_err(TerraformError::io("look at", path))?.len();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file
            .read_at(&mut bytes[filled..], filled as u64)
            .map_err(TerraformError::io("read", path))?
        {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads a state file without a lock of its own, and without dropping one that this process holds. `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, TerraformError> {
    let table = table();
    let held = match fs::metadata(path) {
        Ok(metadata) => table
            .as_ref()
            .and_then(|table| table.get(&identity(&metadata)))
            .cloned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TerraformError::io("look at", path)(error)),
    };
    match held {
        Some(file) => read_all(&file, path).map(Some),
        None => fs::read(path).map(Some).map_err(TerraformError::io("read", path)),
    }
}

/// Who holds the lock on a state file now. A note left by a process that is gone is nobody; a holder without a note is named by
/// its pid.
pub fn holder(path: &Path) -> Option<LockInfo> {
    let table = table();
    let metadata = fs::metadata(path).ok()?;
    if table
        .as_ref()
        .is_some_and(|table| table.contains_key(&identity(&metadata)))
    {
        return Some(read_info(path).unwrap_or_else(|| LockInfo {
            who: "this process".into(),
            ..LockInfo::default()
        }));
    }
    let file = File::open(path).ok()?;
    let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??;
    Some(read_info(path).unwrap_or_else(|| {
        LockInfo {
            who: lock
                .pid
                .map(|pid| format!("process {}", pid.as_raw_nonzero()))
                .unwrap_or_else(|| "a process".into()),
            ..LockInfo::default()
        }
    }))
}

/// Puts a note beside a live state file whose lock a child takes through a symlink: terraform writes its own note beside the
/// link, so that others who are refused would not learn by whom. Removed when dropped. The note of a live holder is left alone.
pub fn announce(live: &Path, operation: &str) -> Option<Announcement> {
    if holder(live).is_some() {
        return None;
    }
    let note = lock_info_path(live);
    let info = LockInfo::new(operation, live);
    write_info(live, &info).ok()?;
    Some(Announcement {
        note,
        id: info.id,
        live: live.to_owned(),
    })
}

/// See [`announce`].
#[derive(Debug)]
pub struct Announcement {
    note: PathBuf,
    id: String,
    live: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if read_info(&self.live).is_some_and(|info| info.id == self.id) {
            let _ = fs::remove_file(&self.note);
        }
    }
}

#[cfg(test)]
#[path = "local_state_tests.rs"]
mod tests;
