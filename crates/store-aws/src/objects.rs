//! The objects of a store in its bucket: S3's calls with patience, checksums and encryption.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, MetadataDirective, ObjectLockLegalHoldStatus,
    ServerSideEncryption,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use jiff::Timestamp;
use rollback_release::StoreError;

use crate::failure::{Call, of_call, unproven};
use crate::location::Location;
use crate::patience::{Patience, Verdict, verdict};

/// What S3 tells of an object without giving it.
pub(crate) struct Head {
    pub etag: String,
    pub bytes: u64,
    pub written_at: Timestamp,
    /// What was said to be written when it was written; see [`Objects::put`].
    pub label: Option<String>,
    /// Until when S3 Object Lock keeps it, where it does.
    retained: Option<String>,
}

/// An object in a listing.
pub(crate) struct Listed {
    /// Without the store's prefix.
    pub name: String,
    pub bytes: u64,
    pub written_at: Timestamp,
}

/// The condition of a write.
#[derive(Clone, Copy)]
pub(crate) enum When<'a> {
    Always,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`
    Is(&'a str),
}

/// The answer to a conditional write.
pub(crate) enum Put {
    /// The new ETag.
    Done(String),
    /// The condition does not hold; nothing was written by the last attempt.
    Refused {
        /// An earlier attempt may have been done.
        maybe_done: bool,
    },
}

/// The label's name in the object's metadata.
const LABEL: &str = "infra-rollback";

/// S3 gives no more at once.
const PAGE: i32 = 1000;

#[derive(Clone)]
pub(crate) struct Objects {
    pub client: aws_sdk_s3::Client,
    pub location: Location,
    pub region: Option<String>,
    pub patience: Patience,
}

impl Objects {
    fn call<'a>(&self, action: &'a str, name: &str, permission: &'static str) -> Call<'a> {
        Call {
            action,
            place: self.location.object(name),
            permission,
        }
    }

    /// Writes an object with a SHA-256 that S3 compares before it keeps anything. The label is kept as metadata.
    pub(crate) async fn put(
        &self,
        name: &str,
        bytes: Vec<u8>,
        label: Option<&str>,
        when: When<'_>,
    ) -> Result<Put, StoreError> {
        let call = self.call("write", name, "s3:PutObject");
        let bytes = aws_smithy_types::byte_stream::ByteStream::from(bytes).into_inner();
        let write = async || {
            // A body in memory can be given any number of times.
            let body = bytes.try_clone().map_or_else(ByteStream::default, ByteStream::new);
            let mut request = self
                .client
                .put_object()
                .bucket(&self.location.bucket)
                .key(self.location.name(name))
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .body(body);
            if let Some(label) = label {
                request = request.metadata(LABEL, label);
            }
            if let Some(key) = &self.location.kms_key_id {
                request = request
                    .server_side_encryption(ServerSideEncryption::AwsKms)
                    .ssekms_key_id(key)
                    .bucket_key_enabled(true);
            }
            request = match when {
                When::Always => request,
                When::Absent => request.if_none_match("*"),
                When::Is(etag) => request.if_match(etag),
            };
            request.send().await
        };
        match self.patience.persist(self.patience.object_attempt, write).await {
            Ok(done) => match done.e_tag {
                Some(etag) => Ok(Put::Done(etag)),
                None => Err(self.odd(&call, "the answer has no ETag")),
            },
            Err(failed) if failed.verdict == Verdict::Condition => Ok(Put::Refused {
                maybe_done: failed.maybe_done,
            }),
            // What is to be replaced is not there.
            Err(failed) if matches!(when, When::Is(_)) && code(&failed.error) == "NoSuchKey" => Ok(Put::Refused {
                maybe_done: failed.maybe_done,
            }),
            Err(failed) => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
        }
    }

    /// The bytes, at least the first `most` of them, and the ETag; `None` where there is no object.
    pub(crate) async fn get(&self, name: &str, most: Option<usize>) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        let call = self.call("read", name, "s3:GetObject");
        let read = async || {
            let answer = self
                .client
                .get_object()
                .bucket(&self.location.bucket)
                .key(self.location.name(name))
                .checksum_mode(ChecksumMode::Enabled)
                .set_range(most.map(|most| format!("bytes=0-{}", most.max(1) - 1)))
                .send()
                .await?;
            let etag = answer.e_tag.unwrap_or_default();
            // A body that is cut off, or has another checksum than S3 keeps, is an answer that was lost.
            let body = answer.body.collect().await.map_err(SdkError::timeout_error)?;
            Ok((body.to_vec(), etag))
        };
        match self.patience.persist(self.patience.object_attempt, read).await {
            Ok(found) => Ok(Some(found)),
            Err(failed) if code(&failed.error) == "NoSuchKey" => Ok(None),
            Err(failed) => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
        }
    }

    /// Writes an object anew as it is, if it still has this ETag, so that it is young; tells whether it had.
    pub(crate) async fn copy_onto_itself(&self, name: &str, etag: &str, label: &str) -> Result<bool, StoreError> {
        let call = self.call("renew", name, "s3:PutObject");
        let own = self.location.name(name);
        let copy = async || {
            let request = self
                .client
                .copy_object()
                .bucket(&self.location.bucket)
                .key(&own)
                .copy_source(format!("{}/{}", self.location.bucket, percent_encoded(&own)))
                .copy_source_if_match(etag)
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                // S3 takes a copy onto itself only if something is said anew.
                .metadata_directive(MetadataDirective::Replace)
                .metadata(LABEL, label);
            match &self.location.kms_key_id {
                Some(key) => request
                    .server_side_encryption(ServerSideEncryption::AwsKms)
                    .ssekms_key_id(key)
                    .bucket_key_enabled(true),
                None => request,
            }
            .send()
            .await
        };
        match self.patience.persist(self.patience.object_attempt, copy).await {
            Ok(_) => Ok(true),
            Err(failed) if failed.verdict == Verdict::Condition || code(&failed.error) == "NoSuchKey" => Ok(false),
            Err(failed) => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
        }
    }

    pub(crate) async fn head(&self, name: &str) -> Result<Option<Head>, StoreError> {
        let call = self.call("look for", name, "s3:GetObject");
        let look = async || {
            self.client
                .head_object()
                .bucket(&self.location.bucket)
                .key(self.location.name(name))
                .send()
                .await
        };
        match self.patience.persist(self.patience.record_attempt, look).await {
            Ok(found) => Ok(Some(Head {
                etag: found.e_tag.unwrap_or_default(),
                bytes: u64::try_from(found.content_length.unwrap_or_default()).unwrap_or_default(),
                written_at: timestamp(found.last_modified.as_ref()),
                retained: retained(
                    found.object_lock_legal_hold_status.as_ref(),
                    found.object_lock_retain_until_date.as_ref(),
                ),
                label: found.metadata.and_then(|mut metadata| metadata.remove(LABEL)),
            })),
            Err(failed) if matches!(code(&failed.error), "NotFound" | "NoSuchKey") => Ok(None),
            Err(failed) => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
        }
    }

    /// Removes an object that a collection of garbage wants gone; tells whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Retained`] where Object Lock keeps it. S3 itself would not refuse: it would hide the object behind a
    /// marker and keep its bytes, and what an auditor relies on would look as if it were gone.
    pub(crate) async fn collect(&self, name: &str) -> Result<bool, StoreError> {
        let Some(head) = self.head(name).await? else {
            return Ok(false);
        };
        self.check_removable(name, &head)?;
        self.delete(name).await?;
        Ok(true)
    }

    fn check_removable(&self, name: &str, head: &Head) -> Result<(), StoreError> {
        match &head.retained {
            Some(until) => Err(StoreError::Retained {
                what: self.location.object(name),
                until: Some(until.clone()),
            }),
            None => Ok(()),
        }
    }

    /// Removes an object; in a bucket that keeps versions its bytes stay as an older version.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.delete_when(name, None).await.map(drop)
    }

    /// Removes an object if it still has this ETag; tells whether it had.
    ///
    /// # Errors
    /// [`StoreError::Retained`] as with [`Objects::collect`].
    pub(crate) async fn delete_if(&self, name: &str, etag: &str) -> Result<bool, StoreError> {
        // Servers that do not know If-Match on a removal are at least asked before.
        let Some(head) = self.head(name).await?.filter(|head| head.etag == etag) else {
            return Ok(false);
        };
        self.check_removable(name, &head)?;
        self.delete_when(name, Some(etag)).await
    }

    async fn delete_when(&self, name: &str, etag: Option<&str>) -> Result<bool, StoreError> {
        let call = self.call("remove", name, "s3:DeleteObject");
        let remove = async || {
            self.client
                .delete_object()
                .bucket(&self.location.bucket)
                .key(self.location.name(name))
                .set_if_match(etag.map(str::to_owned))
                .send()
                .await
        };
        match self.patience.persist(self.patience.record_attempt, remove).await {
            Ok(_) => Ok(true),
            Err(failed) if failed.verdict == Verdict::Condition || code(&failed.error) == "NoSuchKey" => {
                if failed.maybe_done {
                    return Err(unproven(&call));
                }
                Ok(false)
            }
            Err(failed) => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
        }
    }

    /// Objects whose name begins with `prefix` and comes after `after`, in byte order, at most `limit`.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let call = Call {
            action: "list",
            place: self.location.object(prefix),
            permission: "s3:ListBucket",
        };
        let own = self.location.name("");
        let mut found: Vec<Listed> = Vec::new();
        let mut after = after.map(|after| self.location.name(after));
        while found.len() < limit {
            let size = i32::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
            let list = async || {
                self.client
                    .list_objects_v2()
                    .bucket(&self.location.bucket)
                    .prefix(self.location.name(prefix))
                    .set_start_after(after.clone())
                    .max_keys(size)
                    .send()
                    .await
            };
            let page = self
                .patience
                .persist(self.patience.object_attempt, list)
                .await
                .map_err(|failed| of_call(&self.location, self.region.as_deref(), &call, &failed))?;
            let more = page.is_truncated.unwrap_or_default();
            let listed = page.contents.unwrap_or_default();
            after = listed.last().and_then(|object| object.key.clone());
            found.extend(listed.into_iter().filter_map(|object| {
                Some(Listed {
                    name: object.key?.strip_prefix(&own)?.to_owned(),
                    bytes: u64::try_from(object.size.unwrap_or_default()).unwrap_or_default(),
                    written_at: timestamp(object.last_modified.as_ref()),
                })
            }));
            if !more || after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// The bucket's versioning; `None` where it was never set.
    pub(crate) async fn versioning(&self) -> Result<Option<BucketVersioningStatus>, StoreError> {
        let call = Call {
            action: "read the versioning of",
            place: format!("bucket {}", self.location.bucket),
            permission: "s3:GetBucketVersioning",
        };
        let ask = async || {
            self.client
                .get_bucket_versioning()
                .bucket(&self.location.bucket)
                .send()
                .await
        };
        // moto's answer has a name that the SDK does not take, and the right content.
        let content = |error: &SdkError<_, HttpResponse>| {
            let SdkError::ServiceError(service) = error else {
                return None;
            };
            let body = service
                .raw()
                .body()
                .bytes()
                .filter(|_| service.raw().status().as_u16() == 200)?;
            Some(String::from_utf8_lossy(body).into_owned())
        };
        let judge = |error: &_| {
            if content(error).is_some() {
                Verdict::Final
            } else {
                verdict(error)
            }
        };
        match self
            .patience
            .persist_judging(self.patience.record_attempt, judge, ask)
            .await
        {
            Ok(answer) => Ok(answer.status),
            Err(failed) => match content(&failed.error) {
                Some(content) => Ok([BucketVersioningStatus::Enabled, BucketVersioningStatus::Suspended]
                    .into_iter()
                    .find(|status| content.contains(&format!("<Status>{}</Status>", status.as_str())))),
                None => Err(of_call(&self.location, self.region.as_deref(), &call, &failed)),
            },
        }
    }

    fn odd(&self, call: &Call<'_>, reason: &str) -> StoreError {
        StoreError::Remote {
            action: call.action.to_owned(),
            place: call.place.clone(),
            reason: reason.to_owned(),
            hint: Some("`infra-rollback doctor` tries whether this server is good enough for a store".to_owned()),
            transient: false,
        }
    }
}

/// What S3 says of Object Lock, as the end of "it is retained until …". A legal hold counts for longer than any date.
fn retained(
    hold: Option<&ObjectLockLegalHoldStatus>,
    until: Option<&aws_sdk_s3::primitives::DateTime>,
) -> Option<String> {
    if hold == Some(&ObjectLockLegalHoldStatus::On) {
        return Some("somebody lifts its legal hold".to_owned());
    }
    let until = timestamp(Some(until?));
    (until > Timestamp::now()).then(|| format!("{until:.0}"))
}

/// A name as the value of a header that holds part of a URL.
fn percent_encoded(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/".contains(byte);
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match plain(&byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn timestamp(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    time.and_then(|time| Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).unwrap_or_default()).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The service's code of an error; empty where there is none.
pub(crate) fn code<E: aws_smithy_types::error::metadata::ProvideErrorMetadata>(
    error: &aws_sdk_s3::error::SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> &str {
    error
        .as_service_error()
        .and_then(|error| error.code())
        .unwrap_or_default()
}
