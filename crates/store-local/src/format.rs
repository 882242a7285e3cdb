//! The folder itself and the file that says which format it has.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rollback_release::StoreError;

use crate::failure::of_file;
use crate::records::DATABASE;

/// The format that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u64 = 1;
pub(crate) const MARKER: &str = "format";
pub(crate) const TEMPORARY: &str = "temporary";

/// Makes `home` a store where it is none, and sees that it is one that this program understands.
///
/// The marker is written before anything else: a folder with records and no marker is no store of ours that was left
/// half made, but one that lost something.
pub(crate) fn prepare(home: &Path) -> Result<(), StoreError> {
    make_folder(home)?;
    let marker = home.join(MARKER);
    match fs::read_to_string(&marker) {
        Ok(text) => return check(home, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(no_store(home)),
        Err(error) => return Err(of_file("read", &marker, error)),
    }
    if home.join(DATABASE).exists() {
        return Err(without_marker(home));
    }
    make_folder(&home.join(TEMPORARY))?;
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(home.join(TEMPORARY))?;
        writeln!(file, "{{\"infra-rollback-store\": {FORMAT}}}")?;
        file.as_file().sync_all()?;
        file.persist(&marker).map_err(|error| error.error)?;
        File::open(home)?.sync_all()
    };
    write().map_err(|error| of_file("write", &marker, error))
}

/// As [`prepare`] for a store that is to be there: nothing is made.
pub(crate) fn expect(home: &Path) -> Result<(), StoreError> {
    let marker = home.join(MARKER);
    match fs::read_to_string(&marker) {
        Ok(text) => check(home, &text),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(no_store(home)),
        Err(error) if error.kind() == ErrorKind::NotFound && home.join(DATABASE).exists() => Err(without_marker(home)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::NoStore {
            place: home.display().to_string(),
        }),
        Err(error) => Err(of_file("read", &marker, error)),
    }
}

fn without_marker(home: &Path) -> StoreError {
    let reason = format!("its file {MARKER:?} is gone");
    StoreError::Damaged {
        place: home.display().to_string(),
        reason,
    }
}

fn no_store(home: &Path) -> StoreError {
    let reason = format!("its file {MARKER:?} is not one of infra-rollback's");
    StoreError::NotAStore {
        place: home.display().to_string(),
        reason,
    }
}

fn check(home: &Path, text: &str) -> Result<(), StoreError> {
    let number = text
        .trim()
        .strip_prefix("{\"infra-rollback-store\":")
        .map(str::trim_start);
    // A later format may say more; its number comes first.
    let digits = number.map(|rest| &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]);
    match digits.and_then(|digits| digits.parse::<u64>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(StoreError::NewerFormat {
            place: home.display().to_string(),
            found,
            supported: FORMAT,
        }),
        None => Err(no_store(home)),
    }
}

/// A folder that only its owner may enter, with those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(StoreError::NotAStore {
            place: path.display().to_string(),
            reason: "a file is where a folder should be".to_owned(),
        }),
        Err(error) => Err(of_file("make the folder", path, error)),
    }
}
