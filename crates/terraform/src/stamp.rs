//! Whether `init` has to run again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A digest of every file that `init` looks at.
pub(crate) fn stamp(root: &Path, data_folder: &Path, backend: bool) -> String {
    #[derive(Deserialize)]
    struct Modules {
        #[serde(rename = "Modules", default)]
        modules: Vec<Module>,
    }
    #[derive(Deserialize)]
    struct Module {
        #[serde(rename = "Dir", default)]
        dir: PathBuf,
    }
    let manifest = fs::read(data_folder.join("modules/modules.json")).unwrap_or_default();
    let modules = serde_json::from_slice::<Modules>(&manifest)
        .map(|found| found.modules)
        .unwrap_or_default();
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for folder in std::iter::once(PathBuf::new()).chain(modules.into_iter().map(|module| module.dir)) {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            // A module's folder is gone: no digest of what is there may say that all is well.
            files.insert(folder, b"missing".into());
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if [".tf", ".tf.json", ".tofu", ".tofu.json"]
                .iter()
                .any(|end| name.ends_with(end))
                || name == ".terraform.lock.hcl"
            {
                files.insert(folder.join(&name), fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    let mut hasher = Sha256::new();
    hasher.update(format!("{backend} {}\n", data_folder.join("providers").exists()));
    for (path, bytes) in files {
        hasher.update(format!("{} {}\n", path.display(), bytes.len()));
        hasher.update(bytes);
    }
    hex::encode(hasher.finalize())
}
