//! From what the system and SQLite say to what a person understands.

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

use rollback_release::StoreError;
use rusqlite::ErrorCode;

/// How long a call waits for other processes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Actions that need no more than permission to read.
const READING: [&str; 4] = ["read", "list", "look at", "look for"];

/// `action` completes "cannot …".
pub(crate) fn of_file(action: &str, path: &Path, error: Error) -> StoreError {
    let place = path.display().to_string();
    match error.kind() {
        ErrorKind::PermissionDenied if READING.contains(&action) => StoreError::Unreadable {
            place,
            source: error.into(),
        },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly {
            place,
            source: error.into(),
        },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::NoSpace {
            place,
            source: error.into(),
        },
        ErrorKind::NotADirectory => StoreError::NotAStore {
            place,
            reason: "a file is where a folder should be".to_owned(),
        },
        _ => StoreError::Unavailable {
            action: action.to_owned(),
            place,
            source: error.into(),
            hint: None,
        },
    }
}

pub(crate) fn of_database(action: &str, path: &Path, error: rusqlite::Error) -> StoreError {
    let place = path.display().to_string();
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            return StoreError::ReadOnly {
                place,
                source: error.into(),
            };
        }
        Some(ErrorCode::DiskFull) => {
            return StoreError::NoSpace {
                place,
                source: error.into(),
            };
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            return StoreError::Busy {
                place,
                waited_seconds: PATIENCE.as_secs(),
            };
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return StoreError::Damaged {
                place,
                reason: error.to_string(),
            };
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => Some(
            "the store must lie on a disk of this machine: network file systems do not lock as it needs".to_owned(),
        ),
        _ => None,
    };
    StoreError::Unavailable {
        action: action.to_owned(),
        place,
        source: error.into(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_says_what_to_do() {
        let path = Path::new("/home/x");
        for (kind, expected) in [
            (ErrorKind::PermissionDenied, "writable"),
            (ErrorKind::ReadOnlyFilesystem, "writable"),
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::QuotaExceeded, "free some space"),
            (ErrorKind::NotADirectory, "another folder"),
        ] {
            let error = of_file("write", path, kind.into());
            assert!(error.hint().unwrap().contains(expected), "{kind:?}: {error}");
            assert!(error.to_string().contains("/home/x"), "{error}");
        }
        for action in READING {
            let error = of_file(action, path, ErrorKind::PermissionDenied.into());
            assert!(error.hint().unwrap().contains("read /home/x"), "{action}: {error}");
        }
        for (code, expected) in [
            (rusqlite::ffi::SQLITE_READONLY, "writable"),
            (rusqlite::ffi::SQLITE_CANTOPEN, "writable"),
            (rusqlite::ffi::SQLITE_FULL, "free some space"),
            (rusqlite::ffi::SQLITE_BUSY, "wait"),
            (rusqlite::ffi::SQLITE_CORRUPT, "restore"),
            (rusqlite::ffi::SQLITE_NOTADB, "restore"),
            (rusqlite::ffi::SQLITE_IOERR, "network file systems"),
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = of_database("write", path, error);
            assert!(error.hint().unwrap().contains(expected), "{code}: {error}");
        }
    }
}
