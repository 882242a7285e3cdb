//! Which providers a folder needs, and where they come from: the plugin cache, or the user's own folder.

use std::path::{Path, PathBuf};

use rollback_config::LockFile;
use rollback_terraform::data_folder;

use super::{LOCK_FILE, Recipe, private_folder};
use crate::context::Context;

pub(super) fn plugin_cache(context: &Context) -> Option<PathBuf> {
    if std::env::var_os("TF_PLUGIN_CACHE_DIR").is_some() {
        return None;
    }
    Some(match &context.settings.terraform.plugin_cache {
        Some(configured) => context.root.join(configured),
        None => {
            let folder = context.home.join("plugin-cache");
            // Terraform complains of a cache that is not there, even where it needs no provider.
            let _ = private_folder(&folder);
            folder
        }
    })
}

/// Whether any provider beside the built-in one is needed.
pub(super) fn external_providers(recipe: &Recipe<'_>, lock: Option<&[u8]>) -> bool {
    let in_lock = lock
        .and_then(|bytes| LockFile::parse(bytes).ok())
        .is_some_and(|lock| !lock.providers.is_empty());
    in_lock
        || recipe
            .configuration
            .resources()
            .any(|(_, resource)| !matches!(resource.kind.as_str(), "terraform_data" | "terraform_remote_state"))
        || recipe
            .joined
            .state
            .instances()
            .any(|instance| !instance.provider().contains("terraform.io/builtin/"))
        || recipe
            .configuration
            .modules
            .values()
            .any(|module| !module.required_providers.is_empty())
}

/// Takes the providers that `init` installed in the user's folder, where their versions are those of the lock file:
/// `init` need not run then.
pub(super) fn link_providers(context: &Context, recipe: &Recipe<'_>, root: &Path, lock: Option<&[u8]>) -> bool {
    let here = context.root.join(&recipe.stack.dir);
    let installed = data_folder(&here).join("providers");
    let versions = |bytes: &[u8]| LockFile::parse(bytes).ok().map(|lock| lock.providers);
    let (Some(wanted), Some(there)) = (
        lock.and_then(versions),
        std::fs::read(here.join(LOCK_FILE)).ok().as_deref().and_then(versions),
    ) else {
        return false;
    };
    let same = wanted
        .iter()
        .all(|(name, entry)| there.get(name).is_some_and(|there| there.version == entry.version));
    let data = root.join(".terraform");
    same && installed.is_dir()
        && private_folder(&data).is_ok()
        && std::os::unix::fs::symlink(&installed, data.join("providers")).is_ok()
}

pub(super) fn unlink_providers(root: &Path) {
    let path = root.join(".terraform/providers");
    if path.is_symlink() {
        let _ = std::fs::remove_file(path);
    }
}
