//! Files that hold secrets: plans, streams, states. Files are 0600 and folders 0700 from their first moment on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::TerraformError;

/// Makes a folder (and those above it) for the owner alone.
pub fn create_folder(path: &Path) -> Result<(), TerraformError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(TerraformError::io("create", path))
}

/// A new or emptied file for the owner alone; an existing one's mode is narrowed before anything is written.
pub fn create_file(path: &Path) -> Result<File, TerraformError> {
    let file = OpenOptions::new()
        .write(true)
        .read(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(TerraformError::io("create", path))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .map_err(TerraformError::io("protect", path))?;
    Ok(file)
}

/// Writes a whole file durably: beside it, synced, renamed, the folder synced.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TerraformError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(TerraformError::io("create a file in", folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(TerraformError::io("write", path))?;
    file.persist(path).map_err(|error| TerraformError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.error,
    })?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(TerraformError::io("sync", folder))
}
