//! Bundles as `.tar.gz`. An archive is input from outside: regular files and folders only, nothing that leads out, and an
//! end to what it may unpack to. Nothing is written to the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use crate::bundle::{MOST_BYTES, MOST_FILES, is_policy};
use crate::error::PolicyError;

/// The Rego and data files of an archive, by path.
///
/// # Errors
/// [`PolicyError::Unreadable`] for what is no archive, [`PolicyError::Hostile`] for one that is not to be trusted.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>, PolicyError> {
    let unreadable = |error: std::io::Error| PolicyError::Unreadable {
        path: path.to_owned(),
        reason: format!("it is neither a folder, nor Rego, nor a .tar.gz ({error})"),
    };
    let hostile = |reason: String| PolicyError::Hostile {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than allowed, so that too much is told apart from just enough.
    let mut unpacked = MultiGzDecoder::new(file).take(MOST_BYTES + 1);
    let mut archive = Archive::new(&mut unpacked);
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    let mut entries = 0;
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        entries += 1;
        if entries > MOST_FILES {
            return Err(hostile(format!("it holds more than {MOST_FILES} entries")));
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw).chars().take(120).collect::<String>();
        let name = name_of(&raw).ok_or_else(|| hostile(format!("{shown:?} leads out of it")))?;
        match kind {
            EntryType::Directory => continue,
            EntryType::Regular | EntryType::Continuous => {}
            _ => return Err(hostile(format!("{shown:?} is no regular file"))),
        }
        if !seen.insert(name.clone()) {
            return Err(hostile(format!("{shown:?} is in it twice")));
        }
        if !is_policy(&name) || name.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(unreadable)?;
        files.push((name, bytes));
    }
    if unpacked.limit() == 0 {
        return Err(hostile(format!("it unpacks to more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(files)
}

/// The path without `.` and a leading `/`, which `opa build` writes; none where it leads out.
fn name_of(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if text.contains(['\0', '\\']) {
        return None;
    }
    let mut parts = Vec::new();
    for component in Path::new(text.strip_prefix('/').unwrap_or(text)).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}
