use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rollback_release::conformance::{conformance, scale};
use rollback_release::{BlobId, Created, Replaced, Store, StoreError};
use tempfile::TempDir;

use crate::LocalStore;
use crate::blob_folder::BlobFolder;
use crate::format::MARKER;
use crate::records::DATABASE;

mod disk;
mod killed;
mod looking;
mod shared;

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn conforms() {
    let home = home();
    conformance(&|| Box::new(LocalStore::open(home.path()).unwrap()));
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let home = home();
    let place = home.path().join("several/folders/below");
    let (id, version) = {
        let store = LocalStore::open(&place).unwrap();
        let id = store.put_blob(b"bytes").unwrap();
        let Created::Yes(version) = store.create("k", b"v").unwrap() else {
            panic!()
        };
        (id, version)
    };
    let store = LocalStore::open(&place).unwrap();
    assert_eq!(store.get_blob(&id).unwrap(), b"bytes");
    assert_eq!(store.get("k").unwrap(), Some((b"v".to_vec(), version.clone())));
    assert!(matches!(store.replace("k", &version, b"w").unwrap(), Replaced::Yes(_)));
    assert_eq!(store.blobs().collect::<Result<Vec<_>, _>>().unwrap(), [id]);
}

fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, metadata) = (entry.as_ref().unwrap().path(), entry.unwrap().metadata().unwrap());
        found.push((path.display().to_string(), metadata.permissions().mode() & 0o7777));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn nobody_else_can_read_it() {
    let home = home();
    let place = home.path().join("store");
    let store = LocalStore::open(&place).unwrap();
    store.put_blob(b"secret").unwrap();
    let _ = store.create("k", b"secret").unwrap();
    let modes = modes(home.path());
    // The write-ahead log is there while the store is open.
    assert!(modes.iter().any(|(path, _)| path.ends_with("-wal")), "{modes:?}");
    for (path, mode) in modes {
        let expected = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path} has mode {mode:o}");
    }
}

#[test]
fn a_newer_store_is_left_alone() {
    let home = home();
    drop(LocalStore::open(home.path()).unwrap());
    fs::write(
        home.path().join(MARKER),
        "{\"infra-rollback-store\": 2, \"more\": true}\n",
    )
    .unwrap();
    let error = LocalStore::open(home.path()).err().unwrap();
    assert!(
        matches!(
            error,
            StoreError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("update"));

    fs::write(home.path().join(MARKER), "{\"infra-rollback-store\": 1}\n").unwrap();
    let store = LocalStore::open(home.path()).unwrap();
    store
        .records
        .connection()
        .pragma_update(None, "user_version", 3)
        .unwrap();
    drop(store);
    let error = LocalStore::open(home.path()).err().unwrap();
    assert!(matches!(error, StoreError::NewerFormat { found: 3, .. }), "{error}");
}

#[test]
fn what_is_no_store_is_said_to_be_none() {
    for text in ["", "hello", "{}", "{\"infra-rollback-store\": x}"] {
        let home = home();
        fs::write(home.path().join(MARKER), text).unwrap();
        let error = LocalStore::open(home.path()).err().unwrap();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{text:?}: {error}");
        assert!(!home.path().join(DATABASE).exists(), "{text:?}: nothing was made in it");
    }
    let home = home();
    fs::write(home.path().join("file"), "").unwrap();
    for place in ["file", "file/below"] {
        let error = LocalStore::open(&home.path().join(place)).err().unwrap();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{place}: {error}");
    }
}

#[test]
fn a_store_that_lost_a_part_says_so() {
    let home = home();
    drop(LocalStore::open(home.path()).unwrap());
    fs::remove_file(home.path().join(MARKER)).unwrap();
    assert!(matches!(LocalStore::open(home.path()), Err(StoreError::Damaged { .. })));

    let home = tempfile::tempdir().unwrap();
    drop(LocalStore::open(home.path()).unwrap());
    fs::write(
        home.path().join(DATABASE),
        b"this is no database, but long enough to be taken for one".repeat(40),
    )
    .unwrap();
    let error = LocalStore::open(home.path()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn every_damage_to_a_blob_is_noticed_and_putting_it_again_mends_it() {
    let home = home();
    let store = LocalStore::open(home.path()).unwrap();
    let bytes = b"some bytes that are worth compressing, compressing, compressing".repeat(3);
    let id = store.put_blob(&bytes).unwrap();
    let path = store.blobs.path(&id);
    let good = fs::read(&path).unwrap();
    let noticed = |damaged: &[u8], what: &str| {
        fs::write(&path, damaged).unwrap();
        match store.get_blob(&id) {
            Err(StoreError::BlobCorrupt { id: named, .. }) => assert_eq!(named, id),
            // A bit of the frame's header that means nothing: then the bytes are the very bytes.
            Ok(there) => assert_eq!(there, bytes, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    };
    for length in 0..good.len() {
        noticed(&good[..length], &format!("cut after {length}"));
    }
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[index] ^= 1 << bit;
            noticed(&damaged, &format!("bit {bit} of byte {index}"));
        }
    }
    noticed(&[good.as_slice(), b"more"].concat(), "bytes after it");
    let other = store.put_blob(b"another blob").unwrap();
    noticed(
        &fs::read(store.blobs.path(&other)).unwrap(),
        "another blob in its place",
    );
    assert!(store.get_blob(&id).is_err());

    store.put_blob(&bytes).unwrap();
    assert_eq!(store.get_blob(&id).unwrap(), bytes);
}

#[test]
fn a_bomb_does_not_go_off() {
    let home = home();
    let store = LocalStore::open(home.path()).unwrap();
    let blobs = BlobFolder::open(home.path()).unwrap().with_largest(10_000);
    let id = BlobId::of(b"what it should be");
    let path = store.blobs.path(&id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (what, file) in [
        ("a large frame", zstd::bulk::compress(&vec![0; 50 << 20], 1).unwrap()),
        (
            "many frames",
            zstd::bulk::compress(&[0; 9_000], 1).unwrap().repeat(1000),
        ),
        // A frame whose header claims 2^62 bytes.
        (
            "a claim",
            [
                &[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..],
                &(1_u64 << 62).to_le_bytes(),
                &[1, 0, 0],
            ]
            .concat(),
        ),
    ] {
        fs::write(&path, file).unwrap();
        let error = blobs.get(&id).unwrap_err();
        assert!(matches!(error, StoreError::BlobCorrupt { .. }), "{what}: {error}");
    }
    let error = blobs.put(&[&[0; 10_001]]).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooLarge {
                size: 10_001,
                limit: 10_000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn strangers_in_the_folder_are_passed_over() {
    let home = home();
    let store = LocalStore::open(home.path()).unwrap();
    let id = store.put_blob(b"x").unwrap();
    let folder = store.blobs.path(&id).parent().unwrap().to_owned();
    for name in ["README", "x.zst", &format!("{}.zst", "0".repeat(63)), ".zst"] {
        fs::write(folder.join(name), "").unwrap();
    }
    assert_eq!(store.list_blobs(None, 10).unwrap(), [id]);
}

#[test]
fn a_full_database_is_said_to_be_full_and_keeps_what_it_has() {
    let home = home();
    let store = LocalStore::open(home.path()).unwrap();
    let _ = store.create("first", b"x").unwrap();
    store
        .records
        .connection()
        .pragma_update(None, "max_page_count", 20)
        .unwrap();
    let error = store.create("large", &vec![0; 1 << 20]).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert!(error.hint().unwrap().contains("free some space"));
    assert_eq!(store.get("large").unwrap(), None);
    assert_eq!(store.get("first").unwrap().unwrap().0, b"x");
    store
        .records
        .connection()
        .pragma_update(None, "max_page_count", 100_000)
        .unwrap();
    assert!(matches!(store.create("large", b"small").unwrap(), Created::Yes(_)));
}

#[test]
fn threads_with_connections_of_their_own_race_fairly() {
    let home = home();
    let stores: Vec<Arc<LocalStore>> = (0..8)
        .map(|_| Arc::new(LocalStore::open(home.path()).unwrap()))
        .collect();
    for round in 0..scale(25) {
        let key = format!("race/{round}");
        let answers: Vec<Created> = std::thread::scope(|scope| {
            let create = |store: &Arc<LocalStore>| {
                let (store, key) = (Arc::clone(store), &key);
                scope.spawn(move || store.create(key, b"mine").unwrap())
            };
            let threads: Vec<_> = stores.iter().map(create).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(
            answers.iter().filter(|answer| **answer != Created::Exists).count(),
            1,
            "round {round}"
        );
    }
}
