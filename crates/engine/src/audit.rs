//! The audit log: who asked for what, written down before it is done, in a chain of hashes.
//!
//! An entry is one line of JSON whose last member, `hash`, is the SHA-256 of the line without it, and which names the
//! hash of the entry before. Nothing can be changed, left out, put between or exchanged without every later hash being
//! another one. What a chain cannot show by itself is that its end was cut off, or that all of it was written anew:
//! that takes a hash that somebody else has kept ([`Anchor`]), such as a signed checkpoint.

pub mod checkpoint;
pub mod key;
pub mod merkle;
#[cfg(test)]
mod suite;
pub mod tree;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rollback_release::{Created, Store, keys};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{EngineError, Result};

/// The `previous` of the first entry.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is put on record.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// As whom the asking one is known.
    pub actor: String,
    /// What is asked for, such as `state.write`.
    pub action: String,
    /// What it is done to.
    pub object: String,
    /// `intended` before the effect, `done` or `refused` after it.
    pub phase: &'static str,
    /// The id of the request.
    pub request: Option<String>,
    /// Whatever else tells about it; nothing sensitive.
    pub detail: Value,
}

/// One entry, its hash left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub sequence: u64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub object: String,
    pub phase: String,
    pub request: Option<String>,
    pub detail: Value,
    /// The hash of the entry before.
    pub previous: String,
}

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// The number of entries.
    pub sequence: u64,
    pub hash: String,
}

impl Tip {
    /// Of a chain without entries.
    pub fn beginning() -> Tip {
        Tip {
            sequence: 0,
            hash: BEGINNING.to_owned(),
        }
    }
}

/// A hash that was seen at some time and kept elsewhere: the chain must still have it.
pub type Anchor = Tip;

/// The audit log of a project.
pub struct Audit {
    store: Arc<dyn Store>,
    project: String,
    tip: Mutex<Option<Tip>>,
    /// What was read of the log so far, for checkpoints and proofs.
    tree: Mutex<Verifier<'static>>,
}

impl Audit {
    pub fn new(store: Arc<dyn Store>, project: &str) -> Audit {
        Audit {
            store,
            project: project.to_owned(),
            tip: Mutex::new(None),
            tree: Mutex::new(Verifier::new(&[])),
        }
    }

    /// Adds an entry; when it returns, the entry is durable.
    ///
    /// # Errors
    /// It could not be written, or the end of the log is damaged. Whoever gets this must not do what was to be put on
    /// record.
    pub fn append(&self, record: &Record) -> Result<Tip> {
        // One at a time here; against other processes the creation of the key decides.
        let mut tip = self.tip.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let last = match tip.take() {
                Some(tip) => tip,
                None => self.find_tip()?,
            };
            let entry = Entry {
                sequence: last.sequence + 1,
                at: Timestamp::now(),
                actor: record.actor.clone(),
                action: record.action.clone(),
                object: record.object.clone(),
                phase: record.phase.to_owned(),
                request: record.request.clone(),
                detail: record.detail.clone(),
                previous: last.hash,
            };
            let (line, hash) = seal(&entry)?;
            let key = keys::audit_entry(&self.project, entry.sequence);
            let there = match self.store.create(&key, line.as_bytes())? {
                Created::Yes(_) => None,
                Created::Exists => self.store.get(&key)?.map(|(bytes, _)| bytes),
            };
            let sequence = entry.sequence;
            match there {
                // Another process was faster, unless it is our own write whose answer was lost.
                Some(bytes) if bytes != line.as_bytes() => {
                    let (_, hash) = open(&bytes).map_err(|reason| damaged(sequence, reason))?;
                    *tip = Some(Tip { sequence, hash });
                }
                _ => {
                    let written = Tip { sequence, hash };
                    *tip = Some(written.clone());
                    return Ok(written);
                }
            }
        }
    }

    /// The end of the log as the store has it now.
    ///
    /// # Errors
    /// The last entry is damaged.
    pub fn find_tip(&self) -> Result<Tip> {
        let keys = self.store.list_newest(&keys::audit(&self.project), None, 1)?;
        let Some(key) = keys.first() else {
            return Ok(Tip::beginning());
        };
        let sequence = sequence_of(key)?;
        let (bytes, _) = self
            .store
            .get(key)?
            .ok_or_else(|| damaged(sequence, "it is gone".to_owned()))?;
        let (entry, hash) = open(&bytes).map_err(|reason| damaged(sequence, reason))?;
        if entry.sequence != sequence {
            return Err(damaged(
                sequence,
                format!("it says that it is entry {}", entry.sequence),
            ));
        }
        Ok(Tip { sequence, hash })
    }

    /// The lines of entries after `after`, oldest first, at most `limit`, as they were written.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lines(&self, after: u64, limit: usize) -> Result<Vec<Vec<u8>>> {
        let prefix = keys::audit(&self.project);
        let after = (after > 0).then(|| keys::audit_entry(&self.project, after));
        Ok(self
            .store
            .entries(&prefix, after.as_deref(), limit)?
            .into_iter()
            .map(|entry| entry.value)
            .collect())
    }

    /// Reads the whole log and checks that it is one unbroken chain that has the anchors.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, anchors: &[Anchor]) -> Result<Tip> {
        let mut verifier = Verifier::new(anchors);
        loop {
            let lines = self.lines(verifier.tip().sequence, 1000)?;
            if lines.is_empty() {
                return verifier.finish();
            }
            for line in &lines {
                verifier.next(line)?;
            }
        }
    }
}

/// Follows a chain from its beginning, entry by entry, with nothing but the lines.
#[derive(Clone)]
pub struct Verifier<'a> {
    tip: Tip,
    anchors: &'a [Anchor],
    leaves: Vec<merkle::Hash>,
}

impl<'a> Verifier<'a> {
    pub fn new(anchors: &'a [Anchor]) -> Self {
        Verifier {
            tip: Tip::beginning(),
            anchors,
            leaves: Vec::new(),
        }
    }

    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The leaves of the tree that checkpoints sign.
    pub fn leaves(&self) -> &[merkle::Hash] {
        &self.leaves
    }

    /// The next line.
    ///
    /// # Errors
    /// It is not what must come next.
    pub fn next(&mut self, line: &[u8]) -> Result<Entry> {
        let sequence = self.tip.sequence + 1;
        let (entry, hash) = open(line).map_err(|reason| damaged(sequence, reason))?;
        if entry.sequence != sequence {
            return Err(damaged(
                sequence,
                format!("entry {} stands in its place", entry.sequence),
            ));
        }
        if entry.previous != self.tip.hash {
            return Err(damaged(
                sequence,
                "it does not follow the entry before it: one of the two was changed, or the log was written anew from here"
                    .to_owned(),
            ));
        }
        for anchor in self.anchors.iter().filter(|anchor| anchor.sequence == sequence) {
            if anchor.hash != hash {
                return Err(damaged(
                    sequence,
                    format!(
                        "its hash is {hash:.16}…, and was {:.16}… when it was seen before",
                        anchor.hash
                    ),
                ));
            }
        }
        self.leaves.push(merkle::leaf(line));
        self.tip = Tip { sequence, hash };
        Ok(entry)
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// An anchor lies beyond it: the log was cut off.
    pub fn finish(&self) -> Result<Tip> {
        match self.anchors.iter().find(|anchor| anchor.sequence > self.tip.sequence) {
            Some(anchor) => Err(damaged(
                self.tip.sequence + 1,
                format!(
                    "it is missing, and entry {} was seen before: the log was cut off",
                    anchor.sequence
                ),
            )),
            None => Ok(self.tip.clone()),
        }
    }
}

fn damaged(sequence: u64, reason: String) -> EngineError {
    EngineError::failed(format!("the audit log is damaged at entry {sequence}: {reason}")).hint(
        "compare it with an earlier export (`infra-rollback audit export`), and find out who can write to the store",
    )
}

fn sequence_of(key: &str) -> Result<u64> {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.parse()
        .map_err(|_| EngineError::failed(format!("the audit log has a record of an odd name: {key}")))
}

const SEAL: &str = ",\"hash\":\"";

/// The line of an entry, and its hash.
fn seal(entry: &Entry) -> Result<(String, String)> {
    let mut line = serde_json::to_string(entry).map_err(|error| EngineError::failed(error.to_string()))?;
    let hash = hex::encode(Sha256::digest(line.as_bytes()));
    line.pop();
    line.push_str(SEAL);
    line.push_str(&hash);
    line.push_str("\"}");
    Ok((line, hash))
}

/// The entry of a line, and its hash, which is the right one.
fn open(line: &[u8]) -> std::result::Result<(Entry, String), String> {
    let odd = || "it is no entry".to_owned();
    let line = std::str::from_utf8(line).map_err(|_| odd())?.trim_end_matches('\n');
    let (body, hash) = line
        .strip_suffix("\"}")
        .and_then(|line| line.rsplit_once(SEAL))
        .ok_or_else(odd)?;
    let body = format!("{body}}}");
    if hex::encode(Sha256::digest(body.as_bytes())) != hash {
        return Err("its content is not what it was when it was written".to_owned());
    }
    let entry = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    Ok((entry, hash.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollback_release::MemoryStore;
    use serde_json::json;

    fn record(number: usize) -> Record {
        Record {
            actor: "ann".to_owned(),
            action: "state.write".to_owned(),
            object: format!("stack-{number}"),
            phase: "intended",
            request: None,
            detail: json!({ "number": number, "text": "ä \" \\ ,\"hash\":\"" }),
        }
    }

    fn log(entries: usize) -> (Vec<Vec<u8>>, Tip) {
        let audit = Audit::new(Arc::new(MemoryStore::default()), "p");
        let mut tip = Tip::beginning();
        for number in 0..entries {
            tip = audit.append(&record(number)).unwrap();
        }
        (audit.lines(0, usize::MAX).unwrap(), tip)
    }

    fn verify(lines: &[Vec<u8>], anchors: &[Anchor]) -> Result<Tip> {
        let mut verifier = Verifier::new(anchors);
        for line in lines {
            verifier.next(line)?;
        }
        verifier.finish()
    }

    #[test]
    fn a_log_that_nobody_touched_is_whole() {
        let (lines, tip) = log(1000);
        assert_eq!(verify(&lines, &[]).unwrap(), tip);
        assert_eq!(verify(&lines, std::slice::from_ref(&tip)).unwrap(), tip);
        assert_eq!(verify(&[], &[]).unwrap(), Tip::beginning());
    }

    #[test]
    fn every_change_is_noticed() {
        let (lines, tip) = log(1000);
        let anchors = [tip];
        let (mut tried, mut noticed) = (0, 0);
        // What comes before the change is verified once, not once for each change.
        let mut before = Verifier::new(&anchors);
        let mut try_one = |before: &Verifier<'_>, rest: &[&[u8]]| {
            let mut verifier = before.clone();
            let result = rest.iter().try_for_each(|line| verifier.next(line).map(|_| ()));
            tried += 1;
            noticed += usize::from(result.and_then(|()| verifier.finish()).is_err());
        };
        for place in 0..lines.len() {
            let rest: Vec<&[u8]> = lines[place..].iter().map(Vec::as_slice).collect();
            // A bit of each byte of some entries, of one byte of every entry.
            let bytes = if place % 100 == 50 { lines[place].len() } else { 1 };
            for byte in 0..bytes {
                let mut line = lines[place].clone();
                let byte = (byte + place * 7) % line.len();
                line[byte] ^= 1 << (place % 8);
                let mut changed = rest.clone();
                changed[0] = &line;
                try_one(&before, &changed);
            }
            try_one(&before, &rest[1..]);
            let mut twice = rest.clone();
            twice.insert(0, rest[0]);
            try_one(&before, &twice);
            if rest.len() > 1 {
                let mut swapped = rest.clone();
                swapped.swap(0, 1);
                try_one(&before, &swapped);
            }
            try_one(&before, &[]);
            before.next(&lines[place]).unwrap();
        }
        // Written anew from some entry on, every hash made right.
        for place in (0..lines.len()).step_by(100) {
            let mut fork: Vec<Vec<u8>> = lines[..place].to_vec();
            let mut previous = match place {
                0 => BEGINNING.to_owned(),
                _ => open(&lines[place - 1]).unwrap().1,
            };
            for line in &lines[place..] {
                let mut entry = open(line).unwrap().0;
                entry.actor = "mallory".to_owned();
                entry.previous = previous;
                let (line, hash) = seal(&entry).unwrap();
                previous = hash;
                fork.push(line.into_bytes());
            }
            assert!(verify(&fork, &[]).is_ok(), "the fork itself is a chain");
            let fork: Vec<&[u8]> = fork.iter().map(Vec::as_slice).collect();
            try_one(&Verifier::new(&anchors), &fork);
        }
        assert_eq!(noticed, tried);
    }

    #[test]
    fn several_who_write_at_once_make_one_chain() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let audit = Audit::new(store.clone(), "p");
                scope.spawn(move || {
                    for number in 0..50 {
                        audit.append(&record(number)).unwrap();
                    }
                });
            }
        });
        assert_eq!(Audit::new(store, "p").verify(&[]).unwrap().sequence, 200);
    }
}
