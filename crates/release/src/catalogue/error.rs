use crate::record::ReleaseId;
use crate::{BlobId, StoreError};

use super::Unreadable;

/// What goes wrong with releases.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("release {release} is damaged: {reason}")]
    Unreadable { release: String, reason: String },

    #[error("release {release} has format {found}; this program knows formats up to {supported}")]
    NewerFormat {
        release: String,
        found: u64,
        supported: u32,
    },

    #[error("no release is called {revision:?}")]
    NotFound {
        revision: String,
        unreadable: Vec<Unreadable>,
    },

    #[error("{revision:?} can mean several releases: {}", candidates.join(", "))]
    Ambiguous { revision: String, candidates: Vec<String> },

    #[error("release {release} exists already with another content")]
    Exists { release: ReleaseId },

    #[error("release {release} cannot be kept: {reason}")]
    Invalid { release: ReleaseId, reason: String },

    #[error("the state {blob} of release {} is damaged: {reason}", releases.join(", "))]
    CorruptState {
        blob: BlobId,
        releases: Vec<String>,
        reason: String,
    },
}

impl CatalogueError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            CatalogueError::Store(error) => return error.hint(),
            CatalogueError::Unreadable { .. } => "choose another release, or restore the store from a copy".to_owned(),
            CatalogueError::NewerFormat { .. } => {
                "a newer infra-rollback made this release: update this one".to_owned()
            }
            CatalogueError::NotFound { unreadable, .. } if !unreadable.is_empty() => {
                let names: Vec<&str> = unreadable.iter().map(|one| one.release.as_str()).collect();
                format!("it may be one of those that cannot be read: {}", names.join(", "))
            }
            CatalogueError::NotFound { .. } => {
                "`infra-rollback releases` lists what there is; a release is named by its id, its name or its commit"
                    .to_owned()
            }
            CatalogueError::Ambiguous { .. } => "give more of it, or the id of the release".to_owned(),
            CatalogueError::Exists { .. } => "take the snapshot again: it gets an id of its own".to_owned(),
            CatalogueError::Invalid { .. } => return None,
            CatalogueError::CorruptState { .. } => {
                "restore the store from a copy, choose another release, or take a new snapshot if this is what runs now"
                    .to_owned()
            }
        })
    }
}
