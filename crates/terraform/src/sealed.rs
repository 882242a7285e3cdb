//! A plan that nobody can exchange any more: its bytes out of every folder, with their digest, handed to terraform as an open file.
//!
//! A plan file that is hashed, shown and applied by its name is opened three times, and whoever may write into the folder can put
//! another one there in between. So its bytes are read once. On Linux they go into memory that the kernel seals (`memfd_create(2)`,
//! `F_SEAL_WRITE`); elsewhere into a file that has no name any more. What is shown, approved and applied is that one open file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::TerraformError;

/// Under which number terraform finds it.
pub(crate) const DESCRIPTOR: i32 = 3;

/// The name of what is open under [`DESCRIPTOR`], for a process itself.
#[cfg(target_os = "linux")]
pub(crate) const NAME: &str = "/proc/self/fd/3";
/// The name of what is open under [`DESCRIPTOR`], for a process itself.
#[cfg(not(target_os = "linux"))]
pub(crate) const NAME: &str = "/dev/fd/3";

/// The very bytes of a plan file.
pub struct SealedPlan {
    file: File,
    sha256: String,
}

impl std::fmt::Debug for SealedPlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SealedPlan")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl SealedPlan {
    /// Takes the plan out of its folder: the file is removed.
    ///
    /// # Errors
    /// [`TerraformError::Io`]: it cannot be read, or there is no place for its bytes.
    pub fn take(path: &Path) -> Result<SealedPlan, TerraformError> {
        let bytes = fs::read(path).map_err(TerraformError::io("read", path))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = sealed(&bytes, folder).map_err(TerraformError::io("seal", path))?;
        fs::remove_file(path).map_err(TerraformError::io("remove", path))?;
        Ok(SealedPlan {
            file,
            sha256: hex::encode(Sha256::digest(&bytes)),
        })
    }

    /// SHA-256 of the bytes, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// For a child: another number of the same open file.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }
}

fn sealed(bytes: &[u8], folder: &Path) -> io::Result<File> {
    match in_memory(bytes) {
        Some(file) => Ok(file),
        None => without_a_name(bytes, folder),
    }
}

/// None where the system has no such memory.
#[cfg(target_os = "linux")]
fn in_memory(bytes: &[u8]) -> Option<File> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    let memory = memfd_create(
        c"infra-rollback.tfplan",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    );
    let mut file = File::from(memory.ok()?);
    file.write_all(bytes).ok()?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, all).ok()?;
    Some(file)
}

/// None where the system has no such memory.
#[cfg(not(target_os = "linux"))]
fn in_memory(_: &[u8]) -> Option<File> {
    None
}

/// A file for the owner alone, removed before anything is in it.
fn without_a_name(bytes: &[u8], folder: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn plan() -> (tempfile::TempDir, SealedPlan) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tfplan");
        fs::write(&path, b"the plan").unwrap();
        let sealed = SealedPlan::take(&path).unwrap();
        assert!(!path.exists(), "nothing is left to exchange");
        (place, sealed)
    }

    #[test]
    fn what_was_hashed_is_what_is_there() {
        let (_place, sealed) = plan();
        assert_eq!(sealed.sha256(), hex::encode(Sha256::digest(b"the plan")));
        let mut file = File::from(sealed.descriptor().unwrap());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the plan");
        assert!(!format!("{sealed:?}").contains("the plan"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn not_even_whoever_has_it_open_can_change_it() {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::FileExt;

        let (_place, sealed) = plan();
        let own = File::from(sealed.descriptor().unwrap());
        assert!(own.write_all_at(b"another", 0).is_err());
        assert!(own.set_len(1).is_err());
        assert!(own.set_len(100).is_err());
        let name = format!("/proc/self/fd/{}", own.as_raw_fd());
        let opened = fs::OpenOptions::new().write(true).open(&name);
        assert!(opened.is_err() || opened.is_ok_and(|file| file.write_all_at(b"another", 0).is_err()));
        assert_eq!(fs::read(name).unwrap(), b"the plan");
    }

    #[test]
    fn without_such_memory_it_has_no_name() {
        let place = tempfile::tempdir().unwrap();
        let mut file = without_a_name(b"the plan", place.path()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the plan");
    }
}
