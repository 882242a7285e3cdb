//! A record as an item of the table; see the crate's documentation for the design.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use rollback_release::{StoreError, Version};
use uuid::Uuid;

use crate::compression::decompress;
use crate::location::Location;

pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The attributes' names. Their bytes count for DynamoDB's limits, too.
pub(crate) const PARTITION: &str = "pk";
pub(crate) const SORT: &str = "sk";
pub(crate) const VERSION: &str = "version";
/// The value as it is …
const VALUE: &str = "value";
/// … or compressed …
const COMPRESSED: &str = "zstd";
/// … or in an object: a number, the bytes that it has.
const ELSEWHERE: &str = "object";

/// Values from here on are compressed: what is written and read is paid for by the kilobyte.
const COMPRESS_FROM: usize = 2 << 10;
const LEVEL: i32 = 3;

/// The most that a value may have in an item, in bytes. DynamoDB's limit is 400 KB with keys and names.
const LARGEST_INLINE: usize = 360 << 10;

/// The folder of values that are too large for an item.
pub(crate) const SPILLED: &str = "values/";

/// What ends a version whose value lies in an object: whoever replaces it knows by the version what to remove.
const SPILLED_VERSION: &str = "-s3";

/// The partition of a key: the store's prefix and the first two segments.
pub(crate) fn partition(location: &Location, key: &str) -> String {
    let end = key.match_indices('/').nth(1).map_or(key.len(), |(index, _)| index);
    location.name(&key[..end])
}

/// The one partition that has every key with this prefix; `None` where there may be several.
pub(crate) fn partition_of_prefix(location: &Location, prefix: &str) -> Option<String> {
    let (end, _) = prefix.match_indices('/').nth(1)?;
    Some(location.name(&prefix[..end]))
}

/// The primary key of a record's item.
pub(crate) fn primary_key(location: &Location, key: &str) -> Attributes {
    HashMap::from([
        (PARTITION.to_owned(), AttributeValue::S(partition(location, key))),
        (SORT.to_owned(), AttributeValue::S(key.to_owned())),
    ])
}

/// A value that is about to be written: its item, and what has to lie in an object before.
pub(crate) struct Draft {
    pub version: Version,
    pub attributes: Attributes,
    /// The object's name and content.
    pub spilled: Option<(String, Vec<u8>)>,
    /// The bytes that the item's value takes.
    pub inline_bytes: usize,
}

impl Draft {
    /// With a version that no other write ever has. Values above `most` bytes go to an object.
    pub(crate) fn new(location: &Location, key: &str, value: &[u8], most: usize) -> Result<Draft, StoreError> {
        let unique = Uuid::new_v4();
        let mut attributes = primary_key(location, key);
        let compressed = match value.len() >= COMPRESS_FROM {
            true => Some(
                zstd::bulk::compress(value, LEVEL).map_err(|error| StoreError::Unavailable {
                    action: "compress".to_owned(),
                    place: place(location, key),
                    source: error.into(),
                    hint: None,
                })?,
            ),
            false => None,
        };
        let (name, content) = match compressed {
            Some(compressed) if compressed.len() < value.len() => (COMPRESSED, compressed),
            _ => (VALUE, value.to_vec()),
        };
        let inline_bytes = content.len();
        let mut version = unique.to_string();
        let spilled = if inline_bytes > most.min(LARGEST_INLINE) {
            version.push_str(SPILLED_VERSION);
            let size = AttributeValue::N(value.len().to_string());
            attributes.insert(ELSEWHERE.to_owned(), size);
            // An object's content is always compressed: one way to read it.
            let content = match name {
                COMPRESSED => content,
                _ => zstd::bulk::compress(value, LEVEL).unwrap_or_default(),
            };
            Some((spilled_name(key, &version), content))
        } else {
            attributes.insert(name.to_owned(), AttributeValue::B(Blob::new(content)));
            None
        };
        attributes.insert(VERSION.to_owned(), AttributeValue::S(version.clone()));
        Ok(Draft {
            version: Version::new(version),
            attributes,
            inline_bytes: if spilled.is_some() { 0 } else { inline_bytes },
            spilled,
        })
    }
}

fn spilled_name(key: &str, version: &str) -> String {
    format!("{SPILLED}{key}/{version}")
}

/// The object that holds the value of a record's version, where one does.
pub(crate) fn spilled_object(key: &str, version: &Version) -> Option<String> {
    version
        .as_str()
        .strip_suffix(SPILLED_VERSION)
        .filter(|unique| Uuid::try_parse(unique).is_ok())
        .map(|_| spilled_name(key, version.as_str()))
}

/// The record and the version of it whose value an object holds, by the object's name; `None` for what is no such object.
pub(crate) fn record_of_spilled(name: &str) -> Option<(&str, Version)> {
    let (key, version) = name.strip_prefix(SPILLED)?.rsplit_once('/')?;
    let version = Version::new(version);
    (spilled_object(key, &version).as_deref() == Some(name) && rollback_release::keys::check(key).is_ok())
        .then_some((key, version))
}

/// A record as an item has it.
pub(crate) struct Found {
    pub key: String,
    pub version: Version,
    /// `None` where it lies in an object.
    pub value: Option<Vec<u8>>,
}

/// Reads an item. Items are written by this program alone; others are damage.
pub(crate) fn read(location: &Location, item: &Attributes) -> Result<Found, StoreError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let key = text(SORT).unwrap_or_default();
    let damaged = |reason: String| StoreError::Damaged {
        place: place(location, &key),
        reason,
    };
    let version = text(VERSION).ok_or_else(|| damaged("its item has no version".to_owned()))?;
    let bytes = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_b().ok())
            .map(|blob| blob.as_ref())
    };
    let value = if let Some(value) = bytes(VALUE) {
        Some(value.to_vec())
    } else if let Some(compressed) = bytes(COMPRESSED) {
        Some(decompress(compressed).map_err(|reason| damaged(format!("its value {reason}")))?)
    } else if item.contains_key(ELSEWHERE) {
        None
    } else {
        return Err(damaged("its item has no value".to_owned()));
    };
    Ok(Found {
        key,
        version: Version::new(version),
        value,
    })
}

/// The version that an item has.
pub(crate) fn version_of(item: &Attributes) -> Option<&str> {
    item.get(VERSION)
        .and_then(|value| value.as_s().ok())
        .map(String::as_str)
}

/// A record, for people.
pub(crate) fn place(location: &Location, key: &str) -> String {
    format!("record {} in table {}", location.name(key), location.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_below_two_segments_is_of_one_partition() {
        let location = Location::parse("s3://acme-rollback/prod").unwrap();
        for (key, expected) in [
            ("a", "prod/a"),
            ("a/b", "prod/a/b"),
            ("projects/web/runs/1/record", "prod/projects/web"),
        ] {
            assert_eq!(partition(&location, key), expected);
        }
        for prefix in ["projects/web/", "projects/web/runs/", "projects/web/ru"] {
            assert_eq!(
                partition_of_prefix(&location, prefix).as_deref(),
                Some("prod/projects/web")
            );
        }
        for prefix in ["", "projects", "projects/", "projects/we"] {
            assert_eq!(partition_of_prefix(&location, prefix), None, "{prefix}");
        }
    }

    #[test]
    fn values_of_every_size_come_back_and_large_ones_lie_elsewhere() {
        let location = Location::parse("s3://acme-rollback").unwrap();
        let noise = |length: usize| {
            let mut random = fastrand::Rng::with_seed(7);
            (0..length).map(|_| random.u8(..)).collect::<Vec<u8>>()
        };
        for (value, inline) in [
            (Vec::new(), true),
            (b"small".to_vec(), true),
            (vec![b'x'; 5 << 20], true),
            (noise(3 << 10), true),
            (noise(LARGEST_INLINE), true),
            (noise(LARGEST_INLINE + 1), false),
        ] {
            let draft = Draft::new(&location, "projects/p/x", &value, usize::MAX).unwrap();
            let found = read(&location, &draft.attributes).unwrap();
            assert_eq!((found.key.as_str(), &found.version), ("projects/p/x", &draft.version));
            assert_eq!(draft.spilled.is_none(), inline, "{} bytes", value.len());
            assert!(draft.inline_bytes <= LARGEST_INLINE);
            match draft.spilled {
                None => {
                    assert!(found.value.unwrap() == value);
                    assert_eq!(spilled_object("projects/p/x", &draft.version), None);
                }
                Some((name, content)) => {
                    assert!(found.value.is_none() && decompress(&content).unwrap() == value);
                    assert_eq!(spilled_object("projects/p/x", &draft.version).unwrap(), name);
                    assert_eq!(record_of_spilled(&name), Some(("projects/p/x", draft.version)));
                }
            }
        }
    }

    #[test]
    fn a_version_of_somebody_elses_making_names_no_object() {
        assert_eq!(spilled_object("k", &Version::new("../../x-s3")), None);
        assert_eq!(spilled_object("k", &Version::new("no such version")), None);
        for name in [
            "values/k/x",
            "values/k",
            "blobs/00",
            "values/../k/8c2e2f6e-6a3f-4b9e-9d0c-000000000000-s3",
        ] {
            assert_eq!(record_of_spilled(name), None, "{name}");
        }
    }
}
