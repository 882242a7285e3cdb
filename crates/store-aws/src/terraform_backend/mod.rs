//! Terraform's `s3` backend, as terraform 1.5 to 1.15 works with it: where a state's object lies, which locks guard it, and
//! which digest is kept beside it.
//!
//! | what | where |
//! |---|---|
//! | the state | object `KEY`; of other workspaces `PREFIX/WORKSPACE/KEY`, the prefix being `env:` unless said otherwise |
//! | the lock file (`use_lockfile`) | object `KEY.tflock`, put with `If-None-Match: *` |
//! | the lock item (`dynamodb_table`) | item `BUCKET/KEY` with `Info`, put under `attribute_not_exists(LockID)` |
//! | the digest (`dynamodb_table`) | item `BUCKET/KEY-md5` with `Digest`, the MD5 of the state in hexadecimal |
//!
//! With both locks the lock file is taken first, then the item, under one ID. We differ from terraform where that protects
//! more and costs nothing: the state is put under the condition that it is still the one that was read, and locks are removed
//! under the condition that they are still ours.

mod clients;
mod failure;
mod items;
mod locks;
mod object;
mod settings;
mod storage;

use std::sync::Arc;

use rollback_terraform::{BackendConfig, StateStorage, TerraformError};

pub(crate) use clients::Clients;
pub(crate) use settings::Settings;
pub use storage::S3Storage;

/// Opens the state of a workspace of an `s3` backend. `None`: the backend is set up in a way that only terraform honours.
///
/// # Errors
/// [`TerraformError::Backend`]: settings that terraform would refuse, too.
pub fn open(config: &BackendConfig, workspace: &str) -> Result<Option<Arc<dyn StateStorage>>, TerraformError> {
    S3Storage::open(config, workspace, crate::connect::http_client())
        .map(|storage| storage.map(|storage| Arc::new(storage) as Arc<dyn StateStorage>))
}
