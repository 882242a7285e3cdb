//! Objects of the bucket, with the encryption that the backend's settings demand.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectCannedAcl, ServerSideEncryption};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::clients::Clients;
use super::failure::Failure;
use super::settings::Settings;

/// Bytes and the ETag of the write that made them.
pub struct Object {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
}

/// What must hold for a put.
#[derive(Clone, Copy)]
pub enum Condition<'a> {
    Missing,
    /// Still the write with this ETag.
    Same(&'a str),
    Whatever,
}

/// One object of the backend's bucket.
pub struct Place<'a> {
    pub clients: &'a Clients,
    pub settings: &'a Settings,
    pub key: &'a str,
}

impl Place<'_> {
    fn customer_key(&self) -> Option<(String, String)> {
        let key = self.settings.customer_key.as_ref().filter(|_| self.settings.encrypt)?;
        Some((STANDARD.encode(key), STANDARD.encode(Md5::digest(key))))
    }

    pub fn get(&self) -> Result<Option<Object>, Failure> {
        self.clients.wait(self.get_part(None, None))
    }

    /// A version of the object, or only its first bytes.
    pub async fn get_part(&self, version: Option<&str>, bytes: Option<u64>) -> Result<Option<Object>, Failure> {
        let mut request = self
            .clients
            .s3
            .get_object()
            .bucket(&self.settings.bucket)
            .key(self.key)
            .set_version_id(version.map(str::to_owned));
        if let Some(bytes) = bytes {
            request = request.range(format!("bytes=0-{}", bytes.saturating_sub(1)));
        }
        if let Some((key, md5)) = self.customer_key() {
            request = request
                .sse_customer_algorithm("AES256")
                .sse_customer_key(key)
                .sse_customer_key_md5(md5);
        }
        match request.send().await {
            Ok(output) => {
                let etag = output.e_tag().map(str::to_owned);
                let bytes = output.body.collect().await.map_err(|error| Failure::of_body(&error))?;
                Ok(Some(Object {
                    bytes: bytes.to_vec(),
                    etag,
                }))
            }
            Err(error) => {
                let failure = Failure::of(&error);
                if failure.is_missing() { Ok(None) } else { Err(failure) }
            }
        }
    }

    /// As terraform puts it: JSON, encrypted, with the ACL and a SHA-256.
    pub fn put(&self, bytes: &[u8], condition: Condition<'_>) -> Result<(), Failure> {
        let mut request = self
            .clients
            .s3
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.key)
            .content_type("application/json")
            .body(ByteStream::from(bytes.to_vec()));
        if !self.settings.skip_checksum {
            request = request.checksum_algorithm(ChecksumAlgorithm::Sha256);
        }
        if self.settings.encrypt {
            request = if let Some(key) = &self.settings.kms_key_id {
                request
                    .server_side_encryption(ServerSideEncryption::AwsKms)
                    .ssekms_key_id(key)
            } else if let Some((key, md5)) = self.customer_key() {
                request
                    .sse_customer_algorithm("AES256")
                    .sse_customer_key(key)
                    .sse_customer_key_md5(md5)
            } else {
                request.server_side_encryption(ServerSideEncryption::Aes256)
            };
        }
        if let Some(acl) = &self.settings.acl {
            request = request.acl(ObjectCannedAcl::from(acl.as_str()));
        }
        request = match condition {
            Condition::Missing => request.if_none_match("*"),
            Condition::Same(etag) => request.if_match(etag),
            Condition::Whatever => request,
        };
        match self.clients.wait(request.send()) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::of(&error)),
        }
    }

    /// Removes it if it is still this write; without conditions where the endpoint knows none, as terraform does everywhere.
    pub fn remove(&self, etag: Option<&str>) -> Result<(), Failure> {
        let request = || {
            self.clients
                .s3
                .delete_object()
                .bucket(&self.settings.bucket)
                .key(self.key)
        };
        let conditional = self
            .clients
            .wait(request().set_if_match(etag.map(str::to_owned)).send());
        match conditional {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = Failure::of(&error);
                if failure.is_missing() {
                    return Ok(());
                }
                if !failure.is_not_implemented() {
                    return Err(failure);
                }
                match self.clients.wait(request().send()) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(Failure::of(&error)),
                }
            }
        }
    }
}
