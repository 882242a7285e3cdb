//! Local modules outside of the repository: no commit has them, so that a release keeps copies.

use std::collections::BTreeMap;
use std::path::Path;

use rollback_config::{DiskTree, Manifest, join_path};

use super::{MODULES, MOST_FILES, walk};
use crate::error::Result;

/// No module call can be named so.
const PLACE: &str = ".outside";

/// Takes the files of the modules that lie outside of the repository in among the downloaded ones, and has the manifest name
/// them there: Terraform looks for a module where the manifest says, a local one too (seen with 1.11).
///
/// `folder` is the root module's on disk, `dir` the same in the repository.
///
/// # Errors
/// A file cannot be read.
pub(super) fn take_in(
    folder: &Path,
    dir: &str,
    manifest: &mut Manifest,
    files: &mut BTreeMap<String, Vec<u8>>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    for module in &mut manifest.modules {
        let is_outside = !Path::new(&module.dir).is_absolute() && join_path(dir, &module.dir).is_err();
        let real = folder.join(&module.dir);
        if module.key.is_empty() || !is_outside || !real.is_dir() {
            continue;
        }
        let mut below = BTreeMap::new();
        walk(&DiskTree::new(real), "", MOST_FILES, &mut below, warnings)?;
        let place = format!("{PLACE}/{}", module.key);
        module.dir = format!("{MODULES}{place}");
        files.extend(
            below
                .into_iter()
                .map(|(path, bytes)| (format!("{place}/{path}"), bytes)),
        );
    }
    Ok(())
}
