//! The database of a store that this user may not write.
//!
//! SQLite (3.51) reads a database with a write-ahead log under locks where the log and its index are there. Where they are
//! not and cannot be made, it reads the database only when told that nobody writes to it (`immutable`): then it looks for
//! no log and takes no lock. A store that nobody has open has no log, so both together read every store but one: that of
//! a writer who was killed, or who works where its locks are not seen, and who left a log without an index. What lies
//! in such a log was promised to be kept, so the database without it must not be read as if it were all.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rollback_release::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::failure::{PATIENCE, of_database, of_file};

/// Opens it to read; without locks where they cannot be had, together with what shows that none was needed.
pub(crate) fn connect(path: &Path) -> Result<(Connection, Option<AtRest>), StoreError> {
    let metadata = fs::metadata(path).map_err(|error| of_file("read", path, error))?;
    fs::File::open(path).map_err(|error| of_file("read", path, error))?;
    if metadata.len() == 0 {
        return Err(StoreError::Damaged {
            place: path.display().to_string(),
            reason: "it was never finished".to_owned(),
        });
    }
    if let Ok(connection) = open(path, "mode=ro") {
        return Ok((connection, None));
    }
    let (connection, at_rest) = connect_without_locks(path)?;
    Ok((connection, Some(at_rest)))
}

pub(crate) fn connect_without_locks(path: &Path) -> Result<(Connection, AtRest), StoreError> {
    // Looked at before the first byte is read, and after each time.
    let at_rest = AtRest::of(path)?;
    let connection = open(path, "immutable=1").map_err(|error| of_database("open", path, error))?;
    Ok((connection, at_rest))
}

fn open(path: &Path, how: &str) -> rusqlite::Result<Connection> {
    let address = format!("file:{}?{how}", escaped(path));
    let connection =
        Connection::open_with_flags(address, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
    connection.busy_timeout(PATIENCE)?;
    // Opening alone reads nothing.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// A path as SQLite's file addresses have it.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

/// What a database is known by as long as nobody writes to it.
pub(crate) struct AtRest {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl AtRest {
    /// Errors: there is a log that is not part of the database yet.
    fn of(path: &Path) -> Result<AtRest, StoreError> {
        if has_log(path)? {
            return Err(StoreError::Unavailable {
                action: "read".to_owned(),
                place: path.display().to_string(),
                source: "its newest records lie in a write-ahead log that cannot be taken in without writing".into(),
                hint: Some(
                    "use the store once as a user who may write to it, or copy its folder to where you may and name \
                     the copy with --store"
                        .to_owned(),
                ),
            });
        }
        let metadata = fs::metadata(path).map_err(|error| of_file("read", path, error))?;
        Ok(AtRest {
            path: path.to_owned(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// Errors: somebody has written to the database; what was read since is not to be believed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let metadata = fs::metadata(&self.path).map_err(|error| of_file("read", &self.path, error))?;
        if (metadata.len(), metadata.modified().ok()) == (self.size, self.modified) && !has_log(&self.path)? {
            return Ok(());
        }
        Err(StoreError::Unavailable {
            action: "read".to_owned(),
            place: self.path.display().to_string(),
            source: "somebody wrote to it meanwhile, unseen from here".into(),
            hint: Some("repeat the command; where the store is always in use, read a copy of its folder".to_owned()),
        })
    }
}

fn has_log(path: &Path) -> Result<bool, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(of_file("look at", Path::new(&log), error)),
    }
}
