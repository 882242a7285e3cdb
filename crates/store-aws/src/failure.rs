//! From what AWS says to what a person understands: what happened, to what, and what to do next.
//!
//! Nothing of a request or a response's body gets into an error; the service's own message does, cut short.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rollback_aws::{named, partition, reason, without_credentials};
use rollback_release::StoreError;

use crate::location::Location;
use crate::patience::{Failed, Verdict};

/// A call as a person knows it.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    /// Completes "cannot …", such as `write`.
    pub action: &'a str,
    /// What it is done to, such as `s3://bucket/blobs/…`.
    pub place: String,
    /// The IAM action that allows it, such as `s3:PutObject`.
    pub permission: &'static str,
}

/// What the store says about a call that failed for good.
pub(crate) fn of_call<E>(location: &Location, region: Option<&str>, call: &Call<'_>, failed: &Failed<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let reason = reason(&failed.error, failed.attempts);
    if let Some(missing) = missing(location, &failed.error) {
        return missing;
    }
    StoreError::Remote {
        action: call.action.to_owned(),
        place: call.place.clone(),
        hint: hint(location, region, call, &failed.error),
        transient: matches!(failed.verdict, Verdict::Unknown | Verdict::Refused),
        reason,
    }
}

/// A write that was refused, after an attempt of it whose answer was lost: it may have been done and overwritten since.
pub(crate) fn unproven(call: &Call<'_>) -> StoreError {
    StoreError::Remote {
        action: call.action.to_owned(),
        place: call.place.clone(),
        reason:
            "the answer of an earlier attempt was lost, and now its condition does not hold: nobody can tell whether \
                 it was done"
                .to_owned(),
        hint: Some("repeat the command: it looks at what is there first".to_owned()),
        transient: true,
    }
}

/// A bucket or table that is not there: there is no store yet.
fn missing<E: ProvideErrorMetadata>(location: &Location, error: &SdkError<E, HttpResponse>) -> Option<StoreError> {
    let SdkError::ServiceError(service) = error else {
        return None;
    };
    let what = match service.err().code()? {
        "NoSuchBucket" => format!("bucket {} does not exist", location.bucket),
        "ResourceNotFoundException" => format!("table {} does not exist", location.table),
        _ => return None,
    };
    Some(StoreError::Remote {
        action: "use".to_owned(),
        place: format!("the store {}", location.place()),
        reason: what,
        hint: Some(
            "`infra-rollback store create` makes bucket and table; if they exist, they are in another region or \
             account (?region=, ?profile= and ?table= of the store's URL)"
                .to_owned(),
        ),
        transient: false,
    })
}

fn hint<E: ProvideErrorMetadata + Error + 'static>(
    location: &Location,
    region: Option<&str>,
    call: &Call<'_>,
    error: &SdkError<E, HttpResponse>,
) -> Option<String> {
    if without_credentials(error) {
        return Some(format!(
            "{}; ?profile= in the store's URL names a profile",
            rollback_aws::NO_CREDENTIALS
        ));
    }
    let SdkError::ServiceError(service) = error else {
        return Some(match location.access.endpoint.as_ref() {
            Some(endpoint) => format!("is {endpoint} reachable from here, and is it the right endpoint?"),
            None => "is the network up, and are the region and a proxy (HTTPS_PROXY) right?".to_owned(),
        });
    };
    let status = service.raw().status().as_u16();
    if let Some(hint) = rollback_aws::about_credentials(service.err().code().unwrap_or_default()) {
        return Some(hint.to_owned());
    }
    let elsewhere = service.raw().headers().get("x-amz-bucket-region");
    Some(match service.err().code().unwrap_or_default() {
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
            if elsewhere.is_some() =>
        {
            format!(
                "the bucket lies in {}: say ?region={} in the store's URL",
                elsewhere.unwrap_or_default(),
                elsewhere.unwrap_or_default()
            )
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket lies in another region: say ?region= in the store's URL, or set AWS_REGION".to_owned()
        }
        code if status == 301 || (status == 400 && elsewhere.is_some_and(|there| Some(there) != region)) => {
            match elsewhere {
                Some(there) => format!("the bucket lies in {there}: say ?region={there} in the store's URL"),
                None => format!("the bucket lies in another region ({code}): say ?region= in the store's URL"),
            }
        }
        code if status == 403 || code.starts_with("AccessDenied") => {
            let needed = named(service.err().message()).unwrap_or(call.permission);
            format!("this needs {needed}: {}", statement(location, region, &[needed]))
        }
        "KMS.DisabledException" | "KMS.NotFoundException" | "KMS.KMSInvalidStateException" => {
            "the KMS key of the bucket or of ?kms_key_id= cannot be used: look at its state and region".to_owned()
        }
        "InvalidObjectState" => {
            "the object was moved to an archive: restore it, and exempt the store from the rule".to_owned()
        }
        _ if crate::patience::verdict(error) == Verdict::Refused => {
            "AWS is asked too often at the moment: wait a little and repeat the command".to_owned()
        }
        _ if status >= 500 => {
            "the service has a failure: see https://health.aws.amazon.com/health/status and repeat the command"
                .to_owned()
        }
        _ => return None,
    })
}

/// An IAM statement that allows these actions on the store's bucket, objects or table.
pub fn statement(location: &Location, region: Option<&str>, actions: &[&str]) -> String {
    let partition = partition(region);
    let bucket = format!("arn:{partition}:s3:::{}", location.bucket);
    let mut resources: Vec<String> = Vec::new();
    for action in actions {
        let resource = match action.split_once(':') {
            Some(("dynamodb", _)) if location.table.starts_with("arn:") => location.table.clone(),
            Some(("dynamodb", _)) => {
                format!(
                    "arn:{partition}:dynamodb:{}:*:table/{}",
                    region.unwrap_or("*"),
                    location.table
                )
            }
            Some(("kms", _)) => location
                .kms_key_id
                .clone()
                .filter(|key| key.starts_with("arn:"))
                .unwrap_or("*".into()),
            Some(("s3", name)) if name.contains("Object") || name.ends_with("MultipartUpload") => {
                format!("{bucket}/{}", location.name("*"))
            }
            _ => bucket.clone(),
        };
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }
    serde_json::json!({ "Effect": "Allow", "Action": actions, "Resource": resources }).to_string()
}
