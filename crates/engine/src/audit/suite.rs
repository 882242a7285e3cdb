//! A1: every way of tampering with a log of 1,000 entries is found.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rollback_release::MemoryStore;
use serde_json::json;

use super::checkpoint::{Checkpoint, check, origin};
use super::key::{PublicKey, SigningKey};
use super::*;

const ENTRIES: usize = 1000;

/// A new key, as OpenSSL would write it.
fn key() -> SigningKey {
    let bytes = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let text = BASE64.encode(bytes.as_ref());
    SigningKey::parse(&format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    ))
    .unwrap()
}

/// The smallest generator that will do; its seed is printed with whatever it finds.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

struct Log {
    lines: Vec<Vec<u8>>,
    checkpoints: Vec<Checkpoint>,
    key: SigningKey,
}

fn record(number: usize) -> Record {
    Record {
        actor: format!("ann ({})", number % 7),
        action: "state.write".to_owned(),
        object: format!("/v1/stacks/app/{number}"),
        phase: "intended",
        request: Some(number.to_string()),
        detail: json!({ "number": number }),
    }
}

/// A log with a checkpoint after every hundred entries.
fn log() -> Log {
    let audit = Audit::new(Arc::new(MemoryStore::default()), "p");
    let key = key();
    for number in 1..=ENTRIES {
        audit.append(&record(number)).unwrap();
        if number % 100 == 0 {
            let made = audit.sign_checkpoint(&key).unwrap().unwrap();
            assert_eq!(made.size, number as u64);
        }
    }
    Log {
        lines: audit.lines(0, usize::MAX).unwrap(),
        checkpoints: audit.checkpoints(None, 100).unwrap(),
        key,
    }
}

/// Whether a reader who has the lines, the checkpoints and the key finds nothing wrong.
fn is_fine(lines: &[Vec<u8>], checkpoints: &[Checkpoint], key: &PublicKey) -> bool {
    let mut verifier = Verifier::new(&[]);
    for line in lines {
        if verifier.next(line).is_err() {
            return false;
        }
    }
    verifier.finish().is_ok() && tree::check_signed(&verifier, checkpoints, Some(key)).is_ok()
}

#[test]
fn every_way_of_tampering_is_found() {
    let log = log();
    let fine = |lines: &[Vec<u8>]| is_fine(lines, &log.checkpoints, &log.key.public());
    assert!(fine(&log.lines) && log.checkpoints.len() == ENTRIES / 100);
    let seed = 20_261_124;
    let mut chance = Chance(seed);
    let (mut tried, mut missed) = (0, Vec::new());
    let mut attempt = |what: String, lines: &[Vec<u8>]| {
        tried += 1;
        if fine(lines) {
            missed.push(what);
        }
    };
    let mut lines = log.lines.clone();
    // One byte of each entry; then the entry is gone; then it has changed places with another one.
    for index in 0..ENTRIES {
        let place = chance.below(lines[index].len());
        let bit = 1 << chance.below(8);
        lines[index][place] ^= bit;
        attempt(format!("bit {bit} of byte {place} of entry {}", index + 1), &lines);
        lines[index][place] ^= bit;
        let gone = lines.remove(index);
        attempt(format!("entry {} is gone", index + 1), &lines);
        lines.insert(index, gone);
        let other = (index + 1 + chance.below(ENTRIES - 1)) % ENTRIES;
        lines.swap(index, other);
        attempt(format!("entries {} and {} are swapped", index + 1, other + 1), &lines);
        lines.swap(index, other);
        lines.insert(index, lines[index].clone());
        attempt(format!("entry {} comes twice", index + 1), &lines);
        lines.remove(index);
    }
    // Cut off after each entry: a chain alone cannot show it, the checkpoint does.
    for length in 0..ENTRIES {
        attempt(format!("only {length} entries are left"), &lines[..length]);
    }
    // Written anew from each entry on, every hash and reference as it must be.
    for from in 1..=ENTRIES {
        let mut forked = lines[..from - 1].to_vec();
        let mut previous = match forked.last() {
            Some(line) => open(line).unwrap().1,
            None => BEGINNING.to_owned(),
        };
        for (sequence, line) in (from as u64..).zip(&lines[from - 1..]) {
            let (mut entry, _) = open(line).unwrap();
            if sequence == from as u64 {
                entry.actor = "mallory (0)".to_owned();
            }
            entry.previous = previous;
            let (line, hash) = seal(&entry).unwrap();
            previous = hash;
            forked.push(line.into_bytes());
        }
        attempt(format!("written anew from entry {from} on"), &forked);
    }
    assert!(
        missed.is_empty(),
        "seed {seed}: {} of {tried} were not found: {missed:?}",
        missed.len()
    );
    assert_eq!(tried, 6 * ENTRIES);
    #[allow(clippy::print_stdout)] // A figure that is asked for with --no-capture.
    {
        println!("A1: {tried} tampered logs of {ENTRIES} entries, all found");
    }
}

/// The control: without checkpoints cutting off and writing anew are not found, so that it is they that find it.
#[test]
fn a_chain_alone_does_not_show_that_its_end_is_gone() {
    let log = log();
    let mut verifier = Verifier::new(&[]);
    for line in &log.lines[..500] {
        verifier.next(line).unwrap();
    }
    assert!(verifier.finish().is_ok());
    assert!(check(verifier.leaves(), &log.checkpoints, None).is_err());
    assert!(
        tree::check_signed(&verifier, &[], Some(&log.key.public())).is_err(),
        "no checkpoint proves nothing"
    );
}

#[test]
fn a_checkpoint_is_of_one_key_one_log_and_one_root() {
    let log = log();
    let [first, .., _] = log.checkpoints.as_slice() else {
        panic!()
    };
    let public = log.key.public();
    assert!(first.is_signed_by(&public));
    assert!(!first.is_signed_by(&key().public()));
    let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
    for place in 0..first.note.len() {
        let mut bytes = first.note.clone().into_bytes();
        bytes[place] ^= 1;
        let Ok(note) = String::from_utf8(bytes) else { continue };
        // What is signed is as it was, or it is not signed.
        let is_signed = Checkpoint::parse(&note).is_ok_and(|changed| changed.is_signed_by(&public));
        assert!(!is_signed || text(&note) == text(&first.note), "byte {place}");
    }
    let other = Checkpoint::sign(&origin("q"), first.size, first.root, first.at, &log.key);
    assert!(!is_fine(&log.lines, &[first.clone(), other], &public), "of another log");
}

#[test]
fn nothing_is_signed_that_does_not_go_on_from_the_last_checkpoint() {
    let store = Arc::new(MemoryStore::default());
    let key = key();
    let audit = Audit::new(store.clone(), "p");
    assert_eq!(audit.sign_checkpoint(&key).unwrap(), None, "there is nothing to sign");
    for number in 0..10 {
        audit.append(&record(number)).unwrap();
    }
    let signed = audit.sign_checkpoint(&key).unwrap().unwrap();
    assert_eq!(
        audit.sign_checkpoint(&key).unwrap().as_ref(),
        Some(&signed),
        "nothing has come since"
    );
    let (_, version) = store.get(&keys::audit_entry("p", 10)).unwrap().unwrap();
    let _ = store.remove(&keys::audit_entry("p", 10), &version).unwrap();
    let error = Audit::new(store.clone(), "p").sign_checkpoint(&key).unwrap_err();
    assert!(error.message.contains("cut off"), "{error}");
    Audit::new(store.clone(), "p").append(&record(99)).unwrap();
    let error = Audit::new(store, "p").sign_checkpoint(&key).unwrap_err();
    assert!(error.message.contains("other entries"), "{error}");
}

#[test]
fn proofs_are_verified_with_nothing_but_hashes() {
    let audit = Audit::new(Arc::new(MemoryStore::default()), "p");
    for number in 0..37 {
        audit.append(&record(number)).unwrap();
    }
    let hash = |text: &String| -> merkle::Hash { hex::decode(text).unwrap().try_into().unwrap() };
    let hashes = |texts: &[String]| -> Vec<merkle::Hash> { texts.iter().map(hash).collect() };
    let lines = audit.lines(0, 100).unwrap();
    for (sequence, line) in (1..).zip(&lines) {
        let proof = audit.inclusion(sequence, None).unwrap().unwrap();
        let path = hashes(&proof.hashes);
        assert!(merkle::includes(
            &merkle::leaf(line),
            sequence - 1,
            37,
            &path,
            &hash(&proof.root)
        ));
        let proof = audit.consistency(sequence, None).unwrap().unwrap();
        let roots = (hash(&proof.from_root), hash(&proof.to_root));
        let path = hashes(&proof.hashes);
        assert!(merkle::is_consistent(sequence, 37, &roots.0, &roots.1, &path));
    }
    for (sequence, size) in [(0, None), (38, None), (1, Some(38)), (20, Some(10))] {
        assert!(audit.inclusion(sequence, size).unwrap().is_none());
    }
    assert!(audit.consistency(0, None).unwrap().is_none() && audit.consistency(38, None).unwrap().is_none());
}
