//! Where `terraform init` keeps what it knows of a folder: `.terraform`, or what `TF_DATA_DIR` names, which counts from the
//! folder in which terraform runs (Terraform's documentation, "Environment Variables").

use std::path::{Path, PathBuf};

const NAME: &str = ".terraform";

/// `TF_DATA_DIR` of the person whose folders are looked at. Terraform's own folders of ours never use it.
pub fn named_data_folder() -> Option<PathBuf> {
    std::env::var_os("TF_DATA_DIR")
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
}

/// The data folder of a root module in the person's working folder. It need not exist.
pub fn data_folder(stack_folder: &Path) -> PathBuf {
    stack_folder.join(named_data_folder().unwrap_or_else(|| NAME.into()))
}
