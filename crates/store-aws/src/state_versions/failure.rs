//! What goes wrong with the versions of a state, and what a person can do.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Why versions were not listed or read.
#[derive(Debug, thiserror::Error)]
pub enum StateVersionsError {
    #[error("there is no object {place}, and there never was one that the bucket remembers")]
    NoObject { place: String },

    #[error("there is no bucket for {place}")]
    NoBucket { place: String },

    #[error("the backend cannot be used: {reason}")]
    Backend { reason: String },

    #[error("access to {place} is denied ({action})")]
    Denied { place: String, action: &'static str },

    /// In a storage class that has to be restored first, or removed meanwhile: others may be read.
    #[error("version {version} cannot be read: {reason}")]
    Version { version: String, reason: String },

    #[error("{place} cannot be read: {reason}")]
    Unavailable { place: String, reason: String },
}

impl StateVersionsError {
    pub(super) fn of_list<E>(place: &str, error: SdkError<E>) -> StateVersionsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let place = place.to_owned();
        match error.code() {
            Some("NoSuchBucket") => StateVersionsError::NoBucket { place },
            Some("AccessDenied") => StateVersionsError::Denied {
                place,
                action: "s3:ListBucketVersions",
            },
            _ => unavailable(place, error),
        }
    }

    pub(super) fn of_read<E>(place: &str, version: &str, error: SdkError<E>) -> StateVersionsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let of_version = |reason: &str| StateVersionsError::Version {
            version: version.to_owned(),
            reason: reason.to_owned(),
        };
        match error.code() {
            Some("NoSuchVersion" | "NoSuchKey") => of_version("it is gone by now"),
            Some("InvalidObjectState") => {
                of_version("it lies in an archive: restore it with `aws s3api restore-object`, then import again")
            }
            Some("InvalidRequest") => of_version("it is encrypted with a key that the customer keeps (SSE-C)"),
            Some(code) if code.starts_with("KMS.") => of_version("its KMS key is disabled, deleted or not ours to use"),
            Some("AccessDenied") => StateVersionsError::Denied {
                place: place.to_owned(),
                action: "s3:GetObjectVersion, or kms:Decrypt for its key",
            },
            _ => unavailable(place.to_owned(), error),
        }
    }

    pub(super) fn interrupted(place: &str, error: &dyn std::fmt::Display) -> StateVersionsError {
        StateVersionsError::Unavailable {
            place: place.to_owned(),
            reason: error.to_string(),
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            StateVersionsError::NoObject { .. } => {
                "check bucket and key; another workspace's state lies under env:/WORKSPACE/KEY".to_owned()
            }
            StateVersionsError::NoBucket { .. } => {
                "check its name, and that the credentials are of its account (`aws sts get-caller-identity`)".to_owned()
            }
            StateVersionsError::Denied { action, .. } => format!("allow {action} on the bucket and its objects"),
            StateVersionsError::Backend { .. } => {
                "name the object with --bucket and --key; credentials and region then come from the environment"
                    .to_owned()
            }
            StateVersionsError::Version { .. } => return None,
            StateVersionsError::Unavailable { .. } => {
                "check region, credentials (`aws sts get-caller-identity`) and network".to_owned()
            }
        })
    }
}

fn unavailable<E>(place: String, error: SdkError<E>) -> StateVersionsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let reason = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => DisplayErrorContext(&error).to_string(),
    };
    StateVersionsError::Unavailable { place, reason }
}
