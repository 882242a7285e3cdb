//! The hash tree over a project's log: checkpoints of it, and proofs about it. The leaves are kept in memory, 32 bytes
//! each, and only what was added is read; the chain is verified on the way, so that nothing broken is ever signed.

use std::sync::PoisonError;

use jiff::Timestamp;
use rollback_release::{Created, keys};
use serde::Serialize;

use super::checkpoint::{self, Checkpoint, origin};
use super::key::SigningKey;
use super::merkle::{self, Hash};
use super::{Audit, Verifier};
use crate::error::{EngineError, Result};

/// How many entries are read at once.
const PAGE: usize = 1000;

/// That an entry is in the log of a size. Hashes are hexadecimal.
#[derive(Clone, Debug, Serialize)]
pub struct Inclusion {
    pub sequence: u64,
    pub size: u64,
    pub leaf_hash: String,
    pub root: String,
    /// From the leaf upwards (RFC 6962, 2.1.1).
    pub hashes: Vec<String>,
}

/// That the log of one size begins with that of another.
#[derive(Clone, Debug, Serialize)]
pub struct Consistency {
    pub from: u64,
    pub to: u64,
    pub from_root: String,
    pub to_root: String,
    /// RFC 6962, 2.1.2.
    pub hashes: Vec<String>,
}

fn in_hexadecimal(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

impl Audit {
    /// The leaves as of now, verified.
    fn with_leaves<T>(&self, use_them: impl FnOnce(&[Hash]) -> Result<T>) -> Result<T> {
        let mut verifier = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let lines = self.lines(verifier.tip().sequence, PAGE)?;
            for line in &lines {
                verifier.next(line)?;
            }
            if lines.len() < PAGE {
                return use_them(verifier.leaves());
            }
        }
    }

    /// Signs a checkpoint of the log as it is, where entries have come since the last one.
    ///
    /// # Errors
    /// The log is damaged, or is not the one that the last checkpoint was of; the store cannot be used.
    pub fn sign_checkpoint(&self, key: &SigningKey) -> Result<Option<Checkpoint>> {
        let last = self.checkpoints(None, 1)?.into_iter().next();
        self.with_leaves(|leaves| {
            if let Some(last) = &last {
                checkpoint::check(leaves, std::slice::from_ref(last), None)?;
            }
            let size = leaves.len() as u64;
            if size == 0 || last.as_ref().is_some_and(|last| last.size == size) {
                return Ok(last.clone());
            }
            let origin = origin(&self.project);
            let new = Checkpoint::sign(&origin, size, merkle::root(leaves), Timestamp::now(), key);
            let place = keys::checkpoint(&self.project, size);
            match self.store.create(&place, new.note.as_bytes())? {
                Created::Yes(_) => Ok(Some(new)),
                // Another instance signed the same entries.
                Created::Exists => Ok(self.checkpoints(Some(size + 1), 1)?.into_iter().next()),
            }
        })
    }

    /// Checkpoints of fewer than `before` entries, the newest first.
    ///
    /// # Errors
    /// The store cannot be read; one of them is damaged.
    pub fn checkpoints(&self, before: Option<u64>, limit: usize) -> Result<Vec<Checkpoint>> {
        let before = before.map(|size| keys::checkpoint(&self.project, size));
        let found = self
            .store
            .list_newest(&keys::checkpoints(&self.project), before.as_deref(), limit)?;
        let mut checkpoints = Vec::new();
        for key in found {
            let Some((bytes, _)) = self.store.get(&key)? else {
                continue;
            };
            checkpoints.push(Checkpoint::parse(&String::from_utf8_lossy(&bytes))?);
        }
        Ok(checkpoints)
    }

    /// Proves that an entry is in the log of `size` entries; of all there are, where none is given. None where the log has
    /// no such entry, or is not that long.
    ///
    /// # Errors
    /// The log is damaged, or cannot be read.
    pub fn inclusion(&self, sequence: u64, size: Option<u64>) -> Result<Option<Inclusion>> {
        self.with_leaves(|leaves| {
            let size = size.unwrap_or(leaves.len() as u64);
            let part = usize::try_from(size).ok().and_then(|size| leaves.get(..size));
            let index = sequence.checked_sub(1).and_then(|index| usize::try_from(index).ok());
            let (Some(part), Some(index)) = (part, index) else {
                return Ok(None);
            };
            Ok(merkle::inclusion_proof(part, index).map(|path| Inclusion {
                sequence,
                size,
                leaf_hash: hex::encode(part[index]),
                root: hex::encode(merkle::root(part)),
                hashes: in_hexadecimal(&path),
            }))
        })
    }

    /// Proves that the log of `to` entries begins with that of `from`. None where the log is not that long.
    ///
    /// # Errors
    /// The log is damaged, or cannot be read.
    pub fn consistency(&self, from: u64, to: Option<u64>) -> Result<Option<Consistency>> {
        self.with_leaves(|leaves| {
            let to = to.unwrap_or(leaves.len() as u64);
            let part = usize::try_from(to).ok().and_then(|to| leaves.get(..to));
            let (Some(part), Ok(old)) = (part, usize::try_from(from)) else {
                return Ok(None);
            };
            Ok(merkle::consistency_proof(part, old).map(|path| Consistency {
                from,
                to,
                from_root: hex::encode(merkle::root(&part[..old])),
                to_root: hex::encode(merkle::root(part)),
                hashes: in_hexadecimal(&path),
            }))
        })
    }
}

/// Checks a whole log that was followed by a verifier against checkpoints.
///
/// # Errors
/// As [`checkpoint::check`]; a key without any checkpoint proves nothing.
pub fn check_signed(
    verifier: &Verifier<'_>,
    checkpoints: &[Checkpoint],
    key: Option<&super::key::PublicKey>,
) -> Result<()> {
    if key.is_some() && checkpoints.is_empty() {
        return Err(
            EngineError::failed("there is no checkpoint that the key could have signed")
                .hint("`serve --audit-key` and `audit checkpoint` make them; an export holds those that there are"),
        );
    }
    checkpoint::check(verifier.leaves(), checkpoints, key)
}
