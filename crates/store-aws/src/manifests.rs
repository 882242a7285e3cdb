//! Manifests of releases: the records that lie in S3, each under its own key.
//!
//! A release exists from the moment its manifest does, and S3's `If-None-Match: *` makes that one moment. The version of
//! a manifest is its ETag. A plain ETag is the MD5 of the content, so that the same bytes written twice would have the
//! same version: therefore each write begins with a random token, in a frame that `zstd -d` passes over. The token also
//! tells one's own write whose answer was lost from that of somebody else.

use rollback_release::{Created, Entry, Replaced, StoreError, Version};
use uuid::Uuid;

use crate::compression::decompress;
use crate::failure::{Call, unproven};
use crate::objects::{Objects, Put, When};

const LEVEL: i32 = 3;

/// A skippable frame of zstd (RFC 8878, 3.1.2) of 16 bytes.
const TOKEN_FRAME: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 16, 0, 0, 0];
const TOKEN_END: usize = TOKEN_FRAME.len() + 16;

fn encode(token: &Uuid, value: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = TOKEN_FRAME.to_vec();
    bytes.extend(token.as_bytes());
    bytes.extend(zstd::bulk::compress(value, LEVEL)?);
    Ok(bytes)
}

fn decode<'a>(objects: &Objects, key: &str, bytes: &'a [u8]) -> Result<(&'a [u8], Vec<u8>), StoreError> {
    let damaged = |reason: String| StoreError::Damaged {
        place: objects.location.object(key),
        reason,
    };
    if bytes.len() < TOKEN_END || !bytes.starts_with(&TOKEN_FRAME) {
        return Err(damaged("it does not begin as a record does".to_owned()));
    }
    let value = decompress(&bytes[TOKEN_END..]).map_err(|reason| damaged(format!("it {reason}")))?;
    Ok((&bytes[TOKEN_FRAME.len()..TOKEN_END], value))
}

pub(crate) async fn get(objects: &Objects, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
    let Some((bytes, etag)) = objects.get(key, None).await? else {
        return Ok(None);
    };
    let (_, value) = decode(objects, key, &bytes)?;
    Ok(Some((value, Version::new(etag))))
}

pub(crate) async fn create(objects: &Objects, key: &str, value: &[u8]) -> Result<Created, StoreError> {
    Ok(match write(objects, key, value, When::Absent).await? {
        Some(version) => Created::Yes(version),
        None => Created::Exists,
    })
}

pub(crate) async fn replace(
    objects: &Objects,
    key: &str,
    expected: &Version,
    value: &[u8],
) -> Result<Replaced, StoreError> {
    Ok(match write(objects, key, value, When::Is(expected.as_str())).await? {
        Some(version) => Replaced::Yes(version),
        None => Replaced::Changed,
    })
}

/// `None` where the condition does not hold.
async fn write(objects: &Objects, key: &str, value: &[u8], when: When<'_>) -> Result<Option<Version>, StoreError> {
    let token = Uuid::new_v4();
    let bytes = encode(&token, value).map_err(|error| StoreError::Unavailable {
        action: "compress".to_owned(),
        place: objects.location.object(key),
        source: error.into(),
        hint: None,
    })?;
    let maybe_done = match objects.put(key, bytes, None, when).await? {
        Put::Done(etag) => return Ok(Some(Version::new(etag))),
        Put::Refused { maybe_done } => maybe_done,
    };
    // Read back before it is called a conflict: it may be this very write.
    if let Some((there, etag)) = objects.get(key, None).await?
        && there.get(TOKEN_FRAME.len()..TOKEN_END) == Some(token.as_bytes())
    {
        return Ok(Some(Version::new(etag)));
    }
    if maybe_done {
        return Err(unproven(&Call {
            action: "write",
            place: objects.location.object(key),
            permission: "s3:PutObject",
        }));
    }
    Ok(None)
}

pub(crate) async fn remove(objects: &Objects, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
    Ok(match objects.delete_if(key, expected.as_str()).await? {
        true => Replaced::Yes(expected.clone()),
        false => Replaced::Changed,
    })
}

pub(crate) async fn entry(objects: &Objects, key: String) -> Result<Option<Entry>, StoreError> {
    Ok(get(objects, &key)
        .await?
        .map(|(value, version)| Entry { key, value, version }))
}
