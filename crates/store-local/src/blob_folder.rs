//! Blobs as compressed files.
//!
//! A blob appears by one rename of a file that was synced, and the folder is synced before anyone is told: whatever
//! dies when, a name in `blobs/` has all its bytes. What is there already is read and compared before it is trusted, so
//! that putting a blob again mends a damaged copy. How a blob is kept, by itself or as a difference to another one, is
//! the business of [`rollback_release::difference`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rollback_release::difference::{self, LARGEST_BLOB, RawBlobs};
use rollback_release::{BlobId, StoreError, StoredBlob};

use crate::failure::of_file;
use crate::format::{TEMPORARY, make_folder};

const FOLDER: &str = "blobs";

/// How many files are written at once: each waits for the disk most of its time.
const WRITERS: usize = 8;

/// After this long a put of what is there already makes it young again: a collection of garbage goes by age.
const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// After this long a temporary file belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct BlobFolder {
    folder: PathBuf,
    temporary: PathBuf,
    largest: u64,
}

impl BlobFolder {
    pub(crate) fn open(home: &Path) -> Result<BlobFolder, StoreError> {
        let (folder, temporary) = (home.join(FOLDER), home.join(TEMPORARY));
        make_folder(&folder)?;
        make_folder(&temporary)?;
        remove_abandoned(&temporary);
        Ok(BlobFolder {
            folder,
            temporary,
            largest: LARGEST_BLOB,
        })
    }

    /// Without a folder or a file being touched.
    pub(crate) fn open_to_read(home: &Path) -> BlobFolder {
        BlobFolder {
            folder: home.join(FOLDER),
            temporary: home.join(TEMPORARY),
            largest: LARGEST_BLOB,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_largest(self, largest: u64) -> BlobFolder {
        BlobFolder { largest, ..self }
    }

    pub(crate) fn path(&self, id: &BlobId) -> PathBuf {
        let name = id.to_string();
        self.folder.join(&name[..2]).join(format!("{name}.zst"))
    }

    /// Durable when it returns.
    pub(crate) fn put(&self, many: &[&[u8]]) -> Result<Vec<BlobId>, StoreError> {
        for bytes in many {
            if bytes.len() as u64 > self.largest {
                let (what, size) = ("a blob".to_owned(), bytes.len() as u64);
                return Err(StoreError::TooLarge {
                    what,
                    size,
                    limit: self.largest,
                });
            }
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut written = Vec::new();
            while let Some((index, bytes)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                many.get(index).map(|bytes| (index, bytes))
            } {
                let id = BlobId::of(bytes);
                self.write(&id, bytes)?;
                written.push((index, id));
            }
            Ok(written)
        };
        let mut written = if many.len() < 2 {
            work()?
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..WRITERS.min(many.len())).map(|_| scope.spawn(work)).collect();
                let mut all = Vec::with_capacity(many.len());
                for thread in threads {
                    let part: Result<Vec<_>, StoreError> =
                        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    all.extend(part?);
                }
                Ok::<_, StoreError>(all)
            })?
        };
        written.sort_unstable();
        let ids: Vec<BlobId> = written.into_iter().map(|(_, id)| id).collect();
        // Also for what was there: whoever wrote it may have been killed before this.
        self.sync_folders(&ids)?;
        Ok(ids)
    }

    /// As [`BlobFolder::put`] of one; what is kept may be the difference to the blobs that `like` stands on.
    pub(crate) fn put_like(&self, bytes: &[u8], like: &BlobId) -> Result<BlobId, StoreError> {
        let id = BlobId::of(bytes);
        if self.has(&id)? || bytes.len() as u64 > self.largest {
            return Ok(self.put(&[bytes])?[0]);
        }
        // A collection of garbage that goes on meanwhile leaves alone what is young.
        let usable = match self.bases(like) {
            Ok(bases) => self.make_young(like, &bases)?,
            Err(StoreError::BlobMissing { .. } | StoreError::BlobCorrupt { .. }) => false,
            Err(error) => return Err(error),
        };
        let stored = if usable {
            difference::encode_like(self, bytes, like)?
        } else {
            None
        };
        match stored {
            Some(stored) => {
                self.write_raw(&id, &stored)?;
                self.sync_folders(&[id])?;
            }
            None => drop(self.put(&[bytes])?),
        }
        Ok(id)
    }

    /// What a blob stands on, nearest first.
    pub(crate) fn bases(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        difference::bases_of(id, &self.get_raw_start(id, difference::LONGEST_HEADER)?)
    }

    fn write(&self, id: &BlobId, bytes: &[u8]) -> Result<(), StoreError> {
        match self.get(id) {
            // It may have been removed between the two: then it is written.
            Ok(_) if self.make_young(id, &self.bases(id)?)? => return Ok(()),
            Ok(_) | Err(StoreError::BlobMissing { .. } | StoreError::BlobCorrupt { .. }) => {}
            Err(error) => return Err(error),
        }
        let stored = difference::encode_whole(bytes).map_err(|error| of_file("write", &self.path(id), error))?;
        self.write_raw(id, &stored)
    }

    /// The file is whole and synced when it appears; its folder is not synced yet.
    fn write_raw(&self, id: &BlobId, stored: &[u8]) -> Result<(), StoreError> {
        let path = self.path(id);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            make_folder(folder)?;
            sync_folder(&self.folder)?;
        }
        let write = || {
            let mut file = tempfile::Builder::new().suffix(".zst").tempfile_in(&self.temporary)?;
            file.write_all(stored)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error| of_file("write", &path, error))
    }

    fn sync_folders(&self, ids: &[BlobId]) -> Result<(), StoreError> {
        let folders: BTreeSet<PathBuf> = ids
            .iter()
            .filter_map(|id| self.path(id).parent().map(Path::to_owned))
            .collect();
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Makes a blob and what it stands on young, the bases first; `false` where one of them is gone.
    fn make_young(&self, id: &BlobId, bases: &[BlobId]) -> Result<bool, StoreError> {
        for id in bases.iter().rev().chain([id]) {
            let path = self.path(id);
            match make_young(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(of_file("touch", &path, error)),
            }
        }
        Ok(true)
    }

    pub(crate) fn get(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        difference::decode_at_most(self, id, self.largest).map_err(|error| match error {
            StoreError::BlobCorrupt { id, reason } => StoreError::BlobCorrupt {
                reason: format!("{}: {reason}", self.path(&id).display()),
                id,
            },
            other => other,
        })
    }

    pub(crate) fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        let path = self.path(id);
        path.try_exists().map_err(|error| of_file("look for", &path, error))
    }

    pub(crate) fn remove(&self, id: &BlobId) -> Result<bool, StoreError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(of_file("remove", &path, error)),
        }
    }

    pub(crate) fn stored(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        let mut stored = Vec::new();
        for id in self.list(after, limit)? {
            let path = self.path(&id);
            let looked = fs::metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
            match looked {
                Ok((stored_bytes, modified)) => stored.push(StoredBlob {
                    id,
                    stored_bytes,
                    written_at: Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH),
                }),
                // Removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(of_file("look at", &path, error)),
            }
        }
        Ok(stored)
    }

    pub(crate) fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        let first = after.map_or(0, |id| id.as_bytes()[0]);
        let mut found: Vec<BlobId> = Vec::new();
        for part in first..=u8::MAX {
            if found.len() >= limit {
                break;
            }
            let folder = self.folder.join(format!("{part:02x}"));
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(of_file("list", &folder, error)),
            };
            let start = found.len();
            for entry in entries {
                let name = entry.map_err(|error| of_file("list", &folder, error))?.file_name();
                // Anything else in the folder is not ours to judge.
                let id = name
                    .to_str()
                    .and_then(|name| name.strip_suffix(".zst"))
                    .and_then(|name| name.parse().ok());
                found.extend(id.filter(|id: &BlobId| id.as_bytes()[0] == part && after.is_none_or(|after| id > after)));
            }
            found[start..].sort_unstable();
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl RawBlobs for BlobFolder {
    fn get_raw(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.get_raw_start(id, usize::MAX)
    }

    fn get_raw_start(&self, id: &BlobId, length: usize) -> Result<Vec<u8>, StoreError> {
        let path = self.path(id);
        let mut stored = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            if length == usize::MAX {
                // The size of the file is the allocation.
                file.read_to_end(&mut stored)
            } else {
                file.take(length as u64).read_to_end(&mut stored)
            }
        });
        match read {
            Ok(_) => Ok(stored),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::BlobMissing { id: *id }),
            Err(error) => Err(of_file("read", &path, error)),
        }
    }
}

fn make_young(path: &Path) -> std::io::Result<()> {
    let now = SystemTime::now();
    let modified = fs::metadata(path)?.modified()?;
    if now.duration_since(modified).is_ok_and(|age| age > YOUNG) {
        File::options().write(true).open(path)?.set_modified(now)?;
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| of_file("sync", folder, error))
}

/// Temporary files of writers that were killed. Whatever goes wrong here, the next one will do it.
fn remove_abandoned(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
