//! Local states out of the way while `init -reconfigure` runs.
//!
//! `-reconfigure` forgets the former backend's record, and a folder without a record is one with the implied local backend:
//! terraform (1.11) then finds `terraform.tfstate` or `terraform.tfstate.d` in the folder and wants to migrate them into the new
//! backend, which fails without a person ("Can't ask approval for state migration") and must never happen with one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::TerraformError;
use crate::private;

const NAMES: [&str; 2] = ["terraform.tfstate", "terraform.tfstate.d"];

/// Puts them back when dropped. After a crash meanwhile, [`restore`] does.
pub(crate) struct Aside {
    root: PathBuf,
    place: PathBuf,
}

/// Moves a folder's local states aside.
pub(crate) fn put(root: &Path) -> Result<Aside, TerraformError> {
    let aside = Aside {
        root: root.to_owned(),
        place: place(root),
    };
    private::create_folder(&aside.place)?;
    for name in NAMES {
        let from = root.join(name);
        if fs::symlink_metadata(&from).is_ok() {
            fs::rename(&from, aside.place.join(name)).map_err(TerraformError::io("move aside", from))?;
        }
    }
    Ok(aside)
}

/// Puts back what a crash left aside. What is in the folder already wins: it is newer.
pub(crate) fn restore(root: &Path) {
    Aside {
        root: root.to_owned(),
        place: place(root),
    }
    .back();
}

fn place(root: &Path) -> PathBuf {
    root.join(".infra-rollback/aside")
}

impl Aside {
    fn back(&self) {
        for name in NAMES {
            let (from, to) = (self.place.join(name), self.root.join(name));
            if fs::symlink_metadata(&from).is_ok()
                && fs::symlink_metadata(&to).is_err()
                && let Err(error) = fs::rename(&from, &to)
            {
                tracing::warn!(%error, path = %from.display(), "a local state stays aside");
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.back();
    }
}
