use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use rollback_release::StoreError;

use super::{Outcome, Setting, State, about, setting};
use crate::objects::{Objects, code};
use crate::patience::Failed;

/// Uploads that were begun and never ended are paid for and seen by nobody.
const ABANDONED_UPLOADS_DAYS: i32 = 7;
/// What was removed can be brought back for this long; then its space is free.
const REMOVED_DAYS: i32 = 90;

type Result<T> = std::result::Result<T, StoreError>;

pub(super) async fn create(objects: &Objects, dry: bool, progress: &dyn Fn(&str)) -> Result<Vec<Setting>> {
    let state = find(objects).await?;
    let name = format!("bucket {}", objects.location.bucket);
    let mut settings = Vec::new();
    let state = match state {
        State::Missing if dry => {
            settings.push(setting(name, Outcome::Missing));
            State::Missing
        }
        State::Missing => {
            progress(&format!("making {name}"));
            make(objects).await?;
            settings.push(setting(name, Outcome::Made));
            State::Fresh
        }
        there => {
            settings.push(setting(name, Outcome::There));
            there
        }
    };
    settings.push(versioning(objects, state, dry).await?);
    settings.push(public_access(objects, state, dry).await?);
    settings.push(encryption(objects, state, dry).await?);
    settings.push(lifecycle(objects, state, dry).await?);
    Ok(settings)
}

fn place(objects: &Objects) -> String {
    format!("bucket {}", objects.location.bucket)
}

/// Whether the bucket is there, and whether anything is in it.
async fn find(objects: &Objects) -> Result<State> {
    let ask = async || {
        objects
            .client
            .head_bucket()
            .bucket(&objects.location.bucket)
            .send()
            .await
    };
    match objects.patience.persist(objects.patience.record_attempt, ask).await {
        Ok(_) => {}
        Err(failed) if matches!(code(&failed.error), "NotFound" | "NoSuchBucket") => return Ok(State::Missing),
        Err(failed) => return Err(about(objects, "look for", place(objects), "s3:ListBucket")(failed)),
    }
    let list = async || {
        objects
            .client
            .list_objects_v2()
            .bucket(&objects.location.bucket)
            .max_keys(1)
            .send()
            .await
    };
    let page = objects.patience.persist(objects.patience.record_attempt, list).await;
    let page = page.map_err(about(objects, "list", place(objects), "s3:ListBucket"))?;
    Ok(match page.contents.unwrap_or_default().is_empty() {
        true => State::Fresh,
        false => State::InUse,
    })
}

async fn make(objects: &Objects) -> Result<()> {
    // us-east-1 is the one region that must not be named.
    let region = objects.region.as_deref().filter(|region| *region != "us-east-1");
    let configuration = region.map(|region| {
        CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region))
            .build()
    });
    let make = async || {
        objects
            .client
            .create_bucket()
            .bucket(&objects.location.bucket)
            .set_create_bucket_configuration(configuration.clone())
            .send()
            .await
    };
    match objects.patience.persist(objects.patience.record_attempt, make).await {
        Ok(_) => Ok(()),
        // Another one who creates the same store, or one's own attempt whose answer was lost.
        Err(failed) if code(&failed.error) == "BucketAlreadyOwnedByYou" => Ok(()),
        Err(failed) if code(&failed.error) == "BucketAlreadyExists" => Err(StoreError::Remote {
            action: "make".to_owned(),
            place: place(objects),
            reason: "another AWS account has a bucket of this name".to_owned(),
            hint: Some(
                "names of buckets are unique in the whole world: choose one that begins with your company's".to_owned(),
            ),
            transient: false,
        }),
        Err(failed) => Err(about(objects, "make", place(objects), "s3:CreateBucket")(failed)),
    }
}

/// What is done about a setting: `found` describes it where it is set otherwise, `None` where it is not set.
fn judged(state: State, dry: bool, right: bool, found: Option<String>) -> Option<Outcome> {
    match (state, right, found) {
        (_, true, _) => Some(Outcome::There),
        (State::Missing, ..) => Some(Outcome::Missing),
        (State::Fresh, false, _) if dry => Some(Outcome::Missing),
        (State::Fresh, false, _) => None,
        (State::InUse, false, found) => Some(Outcome::Different {
            found: found.unwrap_or_else(|| "not set".to_owned()),
            hint: String::new(),
        }),
    }
}

fn with_hint(outcome: Outcome, hint: impl Into<String>) -> Outcome {
    match outcome {
        Outcome::Different { found, .. } => Outcome::Different {
            found,
            hint: hint.into(),
        },
        other => other,
    }
}

async fn versioning(objects: &Objects, state: State, dry: bool) -> Result<Setting> {
    let what = "versioning of the bucket";
    let status = match state {
        State::Missing => None,
        _ => objects.versioning().await?,
    };
    let right = status == Some(BucketVersioningStatus::Enabled);
    let found = status.map(|status| status.as_str().to_owned());
    if let Some(outcome) = judged(state, dry, right, found) {
        let hint = format!(
            "aws s3api put-bucket-versioning --bucket {} --versioning-configuration Status=Enabled",
            objects.location.bucket
        );
        return Ok(setting(what, with_hint(outcome, hint)));
    }
    let set = async || {
        objects
            .client
            .put_bucket_versioning()
            .bucket(&objects.location.bucket)
            .versioning_configuration(
                VersioningConfiguration::builder()
                    .status(BucketVersioningStatus::Enabled)
                    .build(),
            )
            .send()
            .await
    };
    let done = objects.patience.persist(objects.patience.record_attempt, set).await;
    done.map_err(about(
        objects,
        "turn on versioning of",
        place(objects),
        "s3:PutBucketVersioning",
    ))?;
    Ok(setting(what, Outcome::Made))
}

async fn public_access(objects: &Objects, state: State, dry: bool) -> Result<Setting> {
    let what = "block of public access";
    let (mut right, mut found) = (false, None);
    if state != State::Missing {
        let ask = async || {
            objects
                .client
                .get_public_access_block()
                .bucket(&objects.location.bucket)
                .send()
                .await
        };
        match objects.patience.persist(objects.patience.record_attempt, ask).await {
            Ok(answer) => {
                let block = answer.public_access_block_configuration;
                right = block.is_some_and(|block| {
                    [
                        block.block_public_acls,
                        block.block_public_policy,
                        block.ignore_public_acls,
                        block.restrict_public_buckets,
                    ]
                    .iter()
                    .all(|on| *on == Some(true))
                });
                found = Some("partly off".to_owned());
            }
            Err(failed) if code(&failed.error) == "NoSuchPublicAccessBlockConfiguration" => {}
            Err(failed) if unknown_here(&failed) => return Ok(setting(what, Outcome::Unsupported)),
            Err(failed) => {
                let permission = "s3:GetBucketPublicAccessBlock";
                return Err(about(
                    objects,
                    "read the block of public access of",
                    place(objects),
                    permission,
                )(failed));
            }
        }
    }
    if let Some(outcome) = judged(state, dry, right, found) {
        let hint = "turn on all four blocks of public access: states hold secrets";
        return Ok(setting(what, with_hint(outcome, hint)));
    }
    let set = async || {
        objects
            .client
            .put_public_access_block()
            .bucket(&objects.location.bucket)
            .public_access_block_configuration(
                PublicAccessBlockConfiguration::builder()
                    .block_public_acls(true)
                    .block_public_policy(true)
                    .ignore_public_acls(true)
                    .restrict_public_buckets(true)
                    .build(),
            )
            .send()
            .await
    };
    let done = objects.patience.persist(objects.patience.record_attempt, set).await;
    let permission = "s3:PutBucketPublicAccessBlock";
    done.map_err(about(objects, "block public access to", place(objects), permission))?;
    Ok(setting(what, Outcome::Made))
}

async fn encryption(objects: &Objects, state: State, dry: bool) -> Result<Setting> {
    let what = "encryption of the bucket";
    let key = objects.location.kms_key_id.as_deref();
    let (mut right, mut found) = (false, None);
    if state != State::Missing {
        let ask = async || {
            objects
                .client
                .get_bucket_encryption()
                .bucket(&objects.location.bucket)
                .send()
                .await
        };
        match objects.patience.persist(objects.patience.record_attempt, ask).await {
            Ok(answer) => {
                let rules = answer
                    .server_side_encryption_configuration
                    .map(|found| found.rules)
                    .unwrap_or_default();
                let default = rules
                    .into_iter()
                    .find_map(|rule| rule.apply_server_side_encryption_by_default);
                // Any encryption will do, unless a key was asked for; objects are written with that key anyway.
                right = default
                    .as_ref()
                    .is_some_and(|default| key.is_none() || default.kms_master_key_id.as_deref() == key);
                found = default.map(|default| default.sse_algorithm.as_str().to_owned());
            }
            Err(failed) if code(&failed.error) == "ServerSideEncryptionConfigurationNotFoundError" => {}
            Err(failed) if unknown_here(&failed) => return Ok(setting(what, Outcome::Unsupported)),
            Err(failed) => {
                let permission = "s3:GetEncryptionConfiguration";
                return Err(about(objects, "read the encryption of", place(objects), permission)(
                    failed,
                ));
            }
        }
    }
    if let Some(outcome) = judged(state, dry, right, found) {
        let hint = "set the bucket's default encryption; objects of the store get ?kms_key_id= of its URL in any case";
        return Ok(setting(what, with_hint(outcome, hint)));
    }
    let algorithm = if key.is_some() {
        ServerSideEncryption::AwsKms
    } else {
        ServerSideEncryption::Aes256
    };
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm)
        .set_kms_master_key_id(key.map(str::to_owned))
        .build()
        .ok();
    let rule = ServerSideEncryptionRule::builder()
        .set_apply_server_side_encryption_by_default(default)
        .set_bucket_key_enabled(key.map(|_| true))
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().ok();
    let set = async || {
        objects
            .client
            .put_bucket_encryption()
            .bucket(&objects.location.bucket)
            .set_server_side_encryption_configuration(configuration.clone())
            .send()
            .await
    };
    let done = objects.patience.persist(objects.patience.record_attempt, set).await;
    let permission = "s3:PutEncryptionConfiguration";
    done.map_err(about(objects, "set the encryption of", place(objects), permission))?;
    Ok(setting(what, Outcome::Made))
}

async fn lifecycle(objects: &Objects, state: State, dry: bool) -> Result<Setting> {
    let what = "lifecycle: abandoned uploads, removed objects";
    let (mut right, mut found) = (false, None);
    if state != State::Missing {
        let ask = async || {
            objects
                .client
                .get_bucket_lifecycle_configuration()
                .bucket(&objects.location.bucket)
                .send()
                .await
        };
        match objects.patience.persist(objects.patience.record_attempt, ask).await {
            Ok(answer) => {
                let rules = answer.rules.unwrap_or_default();
                right = rules
                    .iter()
                    .any(|rule| rule.abort_incomplete_multipart_upload.is_some());
                found = Some("without a rule for abandoned uploads".to_owned());
            }
            Err(failed) if code(&failed.error) == "NoSuchLifecycleConfiguration" => {}
            Err(failed) if unknown_here(&failed) => return Ok(setting(what, Outcome::Unsupported)),
            Err(failed) => {
                let permission = "s3:GetLifecycleConfiguration";
                return Err(about(objects, "read the lifecycle of", place(objects), permission)(
                    failed,
                ));
            }
        }
    }
    if let Some(outcome) = judged(state, dry, right, found) {
        let hint = "add a rule that aborts incomplete multipart uploads after some days";
        return Ok(setting(what, with_hint(outcome, hint)));
    }
    let whole = || LifecycleRuleFilter::builder().prefix("").build();
    let uploads = LifecycleRule::builder()
        .id("infra-rollback-abandoned-uploads")
        .filter(whole())
        .status(ExpirationStatus::Enabled)
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(ABANDONED_UPLOADS_DAYS)
                .build(),
        )
        .build();
    let removed = LifecycleRule::builder()
        .id("infra-rollback-removed-objects")
        .filter(whole())
        .status(ExpirationStatus::Enabled)
        .noncurrent_version_expiration(
            NoncurrentVersionExpiration::builder()
                .noncurrent_days(REMOVED_DAYS)
                .build(),
        )
        .expiration(
            LifecycleExpiration::builder()
                .expired_object_delete_marker(true)
                .build(),
        )
        .build();
    let rules: Vec<LifecycleRule> = [uploads, removed].into_iter().flatten().collect();
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(rules))
        .build()
        .ok();
    let set = async || {
        objects
            .client
            .put_bucket_lifecycle_configuration()
            .bucket(&objects.location.bucket)
            .set_lifecycle_configuration(configuration.clone())
            .send()
            .await
    };
    let done = objects.patience.persist(objects.patience.record_attempt, set).await;
    let permission = "s3:PutLifecycleConfiguration";
    done.map_err(about(objects, "set the lifecycle of", place(objects), permission))?;
    Ok(setting(what, Outcome::Made))
}

/// Servers other than AWS's know less.
fn unknown_here<E>(failed: &Failed<E>) -> bool
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata,
{
    matches!(
        code(&failed.error),
        "NotImplemented" | "MethodNotAllowed" | "UnknownOperationException"
    )
}
