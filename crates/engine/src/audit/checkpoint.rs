//! Signed checkpoints: how many entries the log had at some time, and the root of the hash tree over them.
//!
//! A checkpoint is text in the form of C2SP's tlog-checkpoint, a signed note: origin, size, root, here the time as well,
//! then an Ed25519 signature. Whoever has kept one can tell whether the log was cut off, or written anew, since.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use rollback_release::keys;
use sha2::{Digest, Sha256};

use super::key::{PublicKey, SigningKey};
use super::merkle::{Frontier, Hash};
use crate::error::{EngineError, Result};

/// Begins the line of a signature.
const DASH: &str = "\u{2014} ";
/// The signature's algorithm in the key's id: Ed25519.
const ED25519_ID: u8 = 1;

/// The name of a project's log.
pub fn origin(project: &str) -> String {
    format!("infra-rollback/{}", keys::segment(project))
}

/// A checkpoint as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    /// How many entries.
    pub size: u64,
    pub root: Hash,
    pub at: Timestamp,
    /// The whole note, signature and all.
    pub note: String,
}

/// Four bytes that tell a key from others of the same name.
fn key_id(origin: &str, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(origin)
        .chain_update([b'\n', ED25519_ID])
        .chain_update(key.bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl Checkpoint {
    /// Signs that the log of this origin had `size` entries with this root.
    pub fn sign(origin: &str, size: u64, root: Hash, at: Timestamp, key: &SigningKey) -> Checkpoint {
        let text = format!("{origin}\n{size}\n{}\ntime {at}\n", BASE64.encode(root));
        let mut signature = key_id(origin, &key.public()).to_vec();
        signature.extend(key.sign(text.as_bytes()));
        let note = format!("{text}\n{DASH}{origin} {}\n", BASE64.encode(signature));
        Checkpoint {
            origin: origin.to_owned(),
            size,
            root,
            at,
            note,
        }
    }

    /// Reads a note; whether it is signed rightly [`Checkpoint::is_signed_by`] tells.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(note: &str) -> Result<Checkpoint> {
        let odd = || EngineError::failed("a checkpoint is damaged: it is no signed note");
        let (text, _) = note.split_once("\n\n").ok_or_else(odd)?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let root = root.and_then(|text| BASE64.decode(text).ok()).ok_or_else(odd)?;
        let time = lines
            .next()
            .and_then(|line| line.strip_prefix("time "))
            .ok_or_else(odd)?;
        Ok(Checkpoint {
            origin: origin.ok_or_else(odd)?.to_owned(),
            size: size.and_then(|text| text.parse().ok()).ok_or_else(odd)?,
            root: root.try_into().map_err(|_| odd())?,
            at: time.parse().map_err(|_| odd())?,
            note: note.to_owned(),
        })
    }

    /// Whether one of its signatures is this key's.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Some((text, signatures)) = self.note.split_once("\n\n") else {
            return false;
        };
        let signed = format!("{text}\n");
        let name = format!("{DASH}{} ", self.origin);
        signatures.lines().any(|line| {
            let signature = line.strip_prefix(&name).and_then(|text| BASE64.decode(text).ok());
            let signature = signature.unwrap_or_default();
            let parts = signature.split_first_chunk::<4>();
            parts.is_some_and(|(id, signature)| {
                *id == key_id(&self.origin, key) && key.verifies(signed.as_bytes(), signature)
            })
        })
    }
}

/// Checks a log's leaves against checkpoints.
///
/// # Errors
/// The first that does not fit: it is not signed by the key, the log is shorter than it says, or has other entries.
pub fn check(leaves: &[Hash], checkpoints: &[Checkpoint], key: Option<&PublicKey>) -> Result<()> {
    let damaged = |checkpoint: &Checkpoint, why: &str| {
        EngineError::failed(format!(
            "the audit log is damaged: the checkpoint of {} entries of {:.0} {why}",
            checkpoint.size, checkpoint.at
        ))
        .hint("compare it with an earlier export, and find out who can write to the store")
    };
    let mut sorted: Vec<&Checkpoint> = checkpoints.iter().collect();
    sorted.sort_by_key(|checkpoint| checkpoint.size);
    for checkpoint in &sorted {
        if key.is_some_and(|key| !checkpoint.is_signed_by(key)) {
            return Err(damaged(checkpoint, "is not signed by the key"));
        }
        if sorted[0].origin != checkpoint.origin {
            return Err(damaged(checkpoint, "is of another log"));
        }
    }
    let mut left = sorted.into_iter().peekable();
    let mut frontier = Frontier::default();
    for leaf in std::iter::once(None).chain(leaves.iter().map(Some)) {
        if let Some(leaf) = leaf {
            frontier.push(*leaf);
        }
        while let Some(checkpoint) = left.next_if(|checkpoint| checkpoint.size == frontier.count()) {
            if checkpoint.root != frontier.root() {
                return Err(damaged(
                    checkpoint,
                    "was made of other entries: they were changed, or written anew",
                ));
            }
        }
    }
    match left.next() {
        Some(checkpoint) => Err(damaged(
            checkpoint,
            &format!(
                "is not reached: there are {} entries, the log was cut off",
                leaves.len()
            ),
        )),
        None => Ok(()),
    }
}
