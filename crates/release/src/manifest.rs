//! A release as bytes, bound to its place; and its row in the index, bound in the same way.
//!
//! `{"format":1,"project":"…","blake3":"…","release":{…}}`: the digest covers the project, the id and the very bytes of
//! `release`, so that a half-written, altered or misplaced manifest is noticed and not believed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::{FORMAT, Release, ReleaseId};

/// What sealed bytes are for: those of one purpose are never taken for the other.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Manifest,
    IndexRow,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Purpose::Manifest => "infra-rollback 1 release manifest",
            Purpose::IndexRow => "infra-rollback 1 release index row",
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    project: &'a str,
    blake3: String,
    release: &'a RawValue,
}

/// All that is read before the format is known to be ours.
#[derive(Deserialize)]
struct Guard {
    format: u64,
}

#[derive(Deserialize)]
struct Read<'a> {
    project: String,
    blake3: String,
    #[serde(borrow)]
    release: &'a RawValue,
}

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NewerFormat { found: u64 },
    Corrupt { reason: String },
}

fn corrupt(reason: impl Into<String>) -> Problem {
    Problem::Corrupt { reason: reason.into() }
}

fn digest(purpose: Purpose, project: &str, id: &ReleaseId, release: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    for part in [project, id.as_str(), release] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

pub(crate) fn encode(project: &str, release: &Release) -> Result<Vec<u8>, serde_json::Error> {
    seal(Purpose::Manifest, release.format, project, &release.id, release)
}

/// What [`open`] opens again at the same place only.
pub(crate) fn seal<T: Serialize>(
    purpose: Purpose,
    format: u32,
    project: &str,
    id: &ReleaseId,
    content: &T,
) -> Result<Vec<u8>, serde_json::Error> {
    let raw = serde_json::value::to_raw_value(content)?;
    let blake3 = digest(purpose, project, id, raw.get());
    serde_json::to_vec(&Written {
        format,
        project,
        blake3,
        release: &raw,
    })
}

/// The whole release.
pub(crate) fn decode(project: &str, id: &ReleaseId, bytes: &[u8]) -> Result<Release, Problem> {
    let release: Release = open(Purpose::Manifest, project, id, bytes)?;
    if release.format > FORMAT {
        return Err(Problem::NewerFormat {
            found: u64::from(release.format),
        });
    }
    if release.id == *id {
        Ok(release)
    } else {
        Err(corrupt("it is the manifest of another release"))
    }
}

/// What was sealed for this purpose, project and id; whether it says so itself is for the caller to look at.
pub(crate) fn open<'a, T: Deserialize<'a>>(
    purpose: Purpose,
    project: &str,
    id: &ReleaseId,
    bytes: &'a [u8],
) -> Result<T, Problem> {
    let guard: Guard = serde_json::from_slice(bytes).map_err(|error| unreadable(&error, bytes.len()))?;
    if guard.format > u64::from(FORMAT) {
        return Err(Problem::NewerFormat { found: guard.format });
    }
    let read: Read = serde_json::from_slice(bytes).map_err(|error| unreadable(&error, bytes.len()))?;
    if read.project != project {
        return Err(corrupt("it belongs to another project"));
    }
    if read.blake3 != digest(purpose, project, id, read.release.get()) {
        return Err(corrupt("its content does not match its digest"));
    }
    serde_json::from_str(read.release.get()).map_err(|error| unreadable(&error, bytes.len()))
}

/// serde's own message would quote values: only its kind and place are told.
fn unreadable(error: &serde_json::Error, length: usize) -> Problem {
    use serde_json::error::Category;
    let place = format!("line {} column {}", error.line(), error.column());
    corrupt(match error.classify() {
        Category::Eof => format!("it ends in the middle, after {length} bytes"),
        Category::Syntax | Category::Io => format!("it is no JSON at {place}"),
        Category::Data => format!("a field is missing or of another type at {place}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        Release {
            name: Some("first".to_owned()),
            ..Release::new("a".repeat(40), "me")
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let release = release();
        let bytes = encode("p", &release).unwrap();
        assert_eq!(decode("p", &release.id, &bytes).unwrap(), release);
        let row = open::<serde_json::Value>(Purpose::IndexRow, "p", &release.id, &bytes);
        assert!(row.is_err(), "a manifest is no row of the index");
    }

    #[test]
    fn an_older_program_reads_all_but_what_is_new_to_it() {
        let old = release();
        assert!(encode("p", &old).unwrap().starts_with(b"{\"format\":1,"));
        let import = crate::Import {
            source: "s3://b/k".to_owned(),
            version: "v".to_owned(),
            commit_by: crate::CommitBy::Tracked,
            unknown: Vec::new(),
        };
        let new = Release::imported(ReleaseId::new(), jiff::Timestamp::now(), "a".repeat(40), import);
        let bytes = encode("p", &new).unwrap();
        // A program of format 1 says that it is too old before it reads any further.
        assert!(bytes.starts_with(b"{\"format\":2,"));
        assert_eq!(decode("p", &new.id, &bytes).unwrap(), new);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let release = release();
        let bytes = encode("p", &release).unwrap();
        for length in 0..bytes.len() {
            assert!(
                decode("p", &release.id, &bytes[..length]).is_err(),
                "cut after {length}"
            );
        }
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[index] ^= 1 << bit;
                match decode("p", &release.id, &damaged) {
                    Err(_) => {}
                    // The guard's own number may fall to a lower format without harm: the digest still holds.
                    Ok(read) => assert_eq!(read, release, "bit {bit} of byte {index}"),
                }
            }
        }
    }

    #[test]
    fn a_manifest_counts_only_where_it_was_written() {
        let (one, other) = (release(), release());
        let bytes = encode("p", &one).unwrap();
        assert!(matches!(decode("q", &one.id, &bytes), Err(Problem::Corrupt { .. })));
        assert!(matches!(decode("p", &other.id, &bytes), Err(Problem::Corrupt { .. })));
    }

    #[test]
    fn unknown_fields_are_tolerated_and_newer_formats_are_not() {
        let release = release();
        let mut value = serde_json::to_value(&release).unwrap();
        value["later"] = serde_json::json!({"x": [1, 2]});
        let raw = value.to_string();
        let wrap = |format: u64| {
            let blake3 = digest(Purpose::Manifest, "p", &release.id, &raw);
            format!(r#"{{"new":1,"format":{format},"project":"p","blake3":"{blake3}","release":{raw}}}"#).into_bytes()
        };
        assert_eq!(decode("p", &release.id, &wrap(1)).unwrap(), release);
        assert_eq!(
            decode("p", &release.id, &wrap(3)),
            Err(Problem::NewerFormat { found: 3 })
        );
        assert_eq!(
            decode("p", &release.id, br#"{"format":7,"all":"else"}"#),
            Err(Problem::NewerFormat { found: 7 })
        );
    }

    #[test]
    fn errors_quote_no_values() {
        let release = release();
        let raw = serde_json::to_string(&release)
            .unwrap()
            .replace(r#""dirty":[]"#, r#""dirty":"hunter2""#);
        let blake3 = digest(Purpose::Manifest, "p", &release.id, &raw);
        let bytes = format!(r#"{{"format":1,"project":"p","blake3":"{blake3}","release":{raw}}}"#);
        let error = decode("p", &release.id, bytes.as_bytes()).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
