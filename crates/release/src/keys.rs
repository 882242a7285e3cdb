//! The names of records: what lies where in a store.
//!
//! | key | what |
//! |---|---|
//! | `projects/<project>/salt` | the salt of the fingerprints of variables |
//! | `projects/<project>/releases/<uuid v7>` | a release's manifest |
//! | `projects/<project>/index/<uuid v7>` | the same release in short, for finding it among many |
//! | `projects/<project>/marks/<uuid v7>` | what people say about a release later (pinned, bad, …): [`crate::Mark`] |
//! | `projects/<project>/runs/<uuid v7>/record` | a run |
//! | `projects/<project>/runs/<uuid v7>/approvals/<digest>` | who said yes to a plan of it |
//! | `projects/<project>/states/<stack>/<workspace>/head` | which state is current, and who holds it: [`crate::States`] |
//! | `projects/<project>/states/<stack>/<workspace>/versions/<%012d>` | every state that was written |
//! | `projects/<project>/audit/<%012d>` | the audit log |
//! | `projects/<project>/checkpoints/<%012d>` | a signed checkpoint of the audit log, by its number of entries |
//! | `projects/<project>/tokens/<id>` | an API token, hashed |
//! | `projects/<project>/journals/<uuid v7>/<%08d>` | its journal; format 1 had it at `runs/<uuid v7>/journal/<%08d>` |
//! | `projects/<project>/locks/<stack>` | who works on a stack |
//! | `projects/<project>/fences/<stack>` | a counter that rises with each taking of the stack's lock and is never removed |
//! | `projects/<project>/lock-releases/<uuid v7>` | who took a lock away from somebody, and why |
//! | `projects/<project>/rollbacks/<uuid v7>` | a rollback as it was asked for over HTTP; its run has the same id |
//! | `projects/<project>/idempotency/<sha256>` | which rollback an Idempotency-Key began |
//! | `projects/<project>/drills/<uuid v7>` | the last rehearsal of the way back to a release |
//! | `projects/<project>/drilling` | which instance of the service rehearses now |
//! | `projects/<project>/bake` | the watch over the last deploy |
//! | `projects/<project>/tasks/<uuid v7>` | what the service looked into for somebody, and what it found |
//! | `upkeep/removals/<uuid v7>` | blobs that a collection of garbage removes, or has removed a short while ago |

use crate::{ReleaseId, StoreError};

/// The longest key in bytes. S3 and DynamoDB sort keys take 1024; the rest is room for a prefix in a shared bucket.
pub const MAXIMUM_LENGTH: usize = 800;

/// What a store does with a key before anything else.
///
/// A key is segments separated by `/`; a segment is one or more of `A-Z a-z 0-9 . _ - % = @ + :`, and neither `.` nor
/// `..`. Names given by people go through [`segment`] first. `%` is the only escape, so that two keys are never the
/// same thing.
pub fn check(key: &str) -> Result<(), StoreError> {
    let refuse = |reason| {
        Err(StoreError::InvalidKey {
            key: key.chars().take(200).collect(),
            reason,
        })
    };
    if key.len() > MAXIMUM_LENGTH {
        return refuse("it is longer than 800 bytes");
    }
    for segment in key.split('/') {
        if segment.is_empty() {
            return refuse("a segment is empty");
        }
        if segment == "." || segment == ".." {
            return refuse("a segment is . or ..");
        }
        if !segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-%=@+:".contains(&byte))
        {
            return refuse("it has a character other than A-Z a-z 0-9 . _ - % = @ + : /");
        }
    }
    Ok(())
}

/// A name given by a person as one segment of a key: every byte outside of `A-Z a-z 0-9 _ -` (and a dot that is not at
/// the beginning) becomes `%XX`. Injective: different names never share a key.
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || (byte == b'.' && index > 0) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    // An empty name needs a segment too; no name can be mapped to a bare `%`.
    if text.is_empty() { "%".to_owned() } else { text }
}

/// The name that [`segment`] made a segment of; what is no such segment comes back as it is.
pub fn unsegment(segment: &str) -> String {
    if segment == "%" {
        return String::new();
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, following)) = rest.split_first() {
        let digits = following.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|_| first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &following[2..];
            }
            None => {
                bytes.push(first);
                rest = following;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

/// `projects/<project>/<rest>`.
pub fn in_project(project: &str, rest: &str) -> String {
    format!("projects/{}/{rest}", segment(project))
}

pub fn salt(project: &str) -> String {
    in_project(project, "salt")
}

/// What the keys of all releases of a project begin with.
pub fn releases(project: &str) -> String {
    in_project(project, "releases/")
}

pub fn release(project: &str, id: &ReleaseId) -> String {
    in_project(project, &format!("releases/{id}"))
}

/// What the keys of a project's index begin with.
pub fn index(project: &str) -> String {
    in_project(project, "index/")
}

pub fn index_row(project: &str, id: &ReleaseId) -> String {
    in_project(project, &format!("index/{id}"))
}

/// What the keys of all marks of a project begin with.
pub fn marks(project: &str) -> String {
    in_project(project, "marks/")
}

pub fn mark(project: &str, id: &ReleaseId) -> String {
    in_project(project, &format!("marks/{id}"))
}

/// What the keys of the lists of blobs that are being removed begin with; they belong to no project, as blobs do.
pub const REMOVALS: &str = "upkeep/removals/";

/// Whether a key is that of a release's manifest, which lies in S3 and not in DynamoDB.
pub fn is_release(key: &str) -> bool {
    let mut segments = key.split('/');
    segments.next() == Some("projects") && segments.next().is_some() && segments.next() == Some("releases")
}

/// What the keys of all runs of a project begin with.
pub fn runs(project: &str) -> String {
    in_project(project, "runs/")
}

pub fn run_record(project: &str, run: &str) -> String {
    in_project(project, &format!("runs/{}/record", segment(run)))
}

/// What the keys of a run's journal begin with.
pub fn journal(project: &str, run: &str) -> String {
    in_project(project, &format!("journals/{}/", segment(run)))
}

/// Where journals were kept before they had a place of their own: listing the runs read them all.
pub fn former_journal(project: &str, run: &str) -> String {
    in_project(project, &format!("runs/{}/journal/", segment(run)))
}

/// Eight digits, so that the order of bytes is the order of steps.
pub fn journal_step(project: &str, run: &str, number: u64) -> String {
    format!("{}{number:08}", journal(project, run))
}

/// `digest` is that of the plan that is approved.
pub fn approval(project: &str, run: &str, digest: &str) -> String {
    in_project(project, &format!("runs/{}/approvals/{}", segment(run), segment(digest)))
}

/// What the keys of all states begin with that Terraform writes through a service.
pub fn states(project: &str) -> String {
    in_project(project, "states/")
}

pub fn state_head(project: &str, stack: &str, workspace: &str) -> String {
    format!("{}{}/{}/head", states(project), segment(stack), segment(workspace))
}

/// What the keys of a state's versions begin with.
pub fn state_versions(project: &str, stack: &str, workspace: &str) -> String {
    format!("{}{}/{}/versions/", states(project), segment(stack), segment(workspace))
}

/// Twelve digits, so that the order of bytes is the order of writes.
pub fn state_version(project: &str, stack: &str, workspace: &str, number: u64) -> String {
    format!("{}{number:012}", state_versions(project, stack, workspace))
}

/// What the keys of the audit log begin with.
pub fn audit(project: &str) -> String {
    in_project(project, "audit/")
}

pub fn audit_entry(project: &str, sequence: u64) -> String {
    format!("{}{sequence:012}", audit(project))
}

/// What the keys of the audit log's checkpoints begin with.
pub fn checkpoints(project: &str) -> String {
    in_project(project, "checkpoints/")
}

pub fn checkpoint(project: &str, size: u64) -> String {
    format!("{}{size:012}", checkpoints(project))
}

/// What the keys of API tokens begin with.
pub fn tokens(project: &str) -> String {
    in_project(project, "tokens/")
}

pub fn token(project: &str, id: &str) -> String {
    format!("{}{}", tokens(project), segment(id))
}

/// What the keys of rehearsals begin with.
pub fn drills(project: &str) -> String {
    in_project(project, "drills/")
}

/// The last rehearsal of the way back to a release.
pub fn drill(project: &str, release: &str) -> String {
    format!("{}{}", drills(project), segment(release))
}

/// Which instance of the service rehearses now.
pub fn drilling(project: &str) -> String {
    in_project(project, "drilling")
}

/// What the keys of all tasks of a project begin with.
pub fn tasks(project: &str) -> String {
    in_project(project, "tasks/")
}

pub fn task(project: &str, id: &str) -> String {
    format!("{}{}", tasks(project), segment(id))
}

/// The watch over the last deploy.
pub fn bake(project: &str) -> String {
    in_project(project, "bake")
}

/// The fencing counter of a stack.
pub fn fence(project: &str, stack: &str) -> String {
    in_project(project, &format!("fences/{}", segment(stack)))
}

/// The record of a lock that was taken away from its holder.
pub fn lock_release(project: &str, id: &str) -> String {
    in_project(project, &format!("lock-releases/{}", segment(id)))
}

/// What the keys of rollbacks that were asked for over HTTP begin with.
pub fn rollbacks(project: &str) -> String {
    in_project(project, "rollbacks/")
}

pub fn rollback(project: &str, id: &str) -> String {
    format!("{}{}", rollbacks(project), segment(id))
}

pub fn idempotency(project: &str, digest: &str) -> String {
    in_project(project, &format!("idempotency/{}", segment(digest)))
}

pub fn lock(project: &str, stack: &str) -> String {
    in_project(project, &format!("locks/{}", segment(stack)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_could_leave_their_place_are_refused() {
        for key in [
            "",
            "/",
            "a//b",
            "/a",
            "a/",
            "a/../b",
            ".",
            "a/./b",
            "a b",
            "a\0",
            "ä",
            "a\\b",
            &"x".repeat(801),
        ] {
            assert!(check(key).is_err(), "{key:?}");
        }
        for key in ["a", "projects/p/releases/0198", "a/..b", "a/%2E%2E", "x@y=z+1:2"] {
            assert!(check(key).is_ok(), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_segment_and_no_two_the_same(one in ".{0,40}", other in ".{0,40}") {
            let key = format!("a/{}", segment(&one));
            prop_assert!(check(&key).is_ok());
            prop_assert!(!segment(&one).contains('/'));
            prop_assert_eq!(&unsegment(&segment(&one)), &one);
            prop_assert_eq!(one == other, segment(&one) == segment(&other));
        }
    }
}
