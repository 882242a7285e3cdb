//! Looking at a store without making one, and without being able to write.

use std::os::unix::process::CommandExt;

use super::shared::{as_child, command};
use super::*;

/// Any user but root, whom permissions do not bind.
const SOMEBODY: u32 = 65_534;

#[test]
fn nothing_is_made_where_there_is_no_store() {
    let home = home();
    let mistyped = home.path().join("stroe");
    // Another folder that is there is no store either.
    fs::write(home.path().join("main.tf"), "").unwrap();
    for folder in [&mistyped, &home.path().to_owned()] {
        for opened in [LocalStore::open_existing(folder), LocalStore::open_to_read(folder)] {
            let error = opened.err().unwrap();
            assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
            assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
            assert!(error.hint().unwrap().contains("store create"), "{error}");
        }
    }
    assert!(!mistyped.exists());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);

    drop(LocalStore::open(&mistyped).unwrap());
    assert!(LocalStore::open_existing(&mistyped).is_ok());
    assert!(LocalStore::open_to_read(&mistyped).is_ok());
    // Records without a marker are a store that lost something, not a folder without one.
    fs::remove_file(mistyped.join(MARKER)).unwrap();
    let error = LocalStore::open_to_read(&mistyped).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

fn filled(home: &Path) -> BlobId {
    let store = LocalStore::open(home).unwrap();
    let id = store.put_blob(b"bytes").unwrap();
    let _ = store.create("k", b"v").unwrap();
    id
}

fn is_read_and_not_written(home: &Path) {
    let store = LocalStore::open_to_read(home).unwrap();
    assert_eq!(store.get("k").unwrap().unwrap().0, b"v");
    assert_eq!(store.list("", None, 10).unwrap(), ["k"]);
    assert_eq!(store.get_blob(&BlobId::of(b"bytes")).unwrap(), b"bytes");
    for error in [
        store.create("other", b"v").unwrap_err(),
        store.put_blob(b"more").unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.hint().unwrap().contains("writable"), "{error}");
    }
}

/// Everything below a folder that somebody else owns, and may read and not write.
fn give(folder: &Path, writable: bool) {
    let (dirs, files) = if writable { (0o700, 0o600) } else { (0o500, 0o400) };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            give(&path, writable);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(files)).unwrap();
        }
        let _ = std::os::unix::fs::chown(&path, Some(SOMEBODY), Some(SOMEBODY));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(dirs)).unwrap();
    let _ = std::os::unix::fs::chown(folder, Some(SOMEBODY), Some(SOMEBODY));
}

/// Runs a test of this binary as a user whom permissions bind: as this one, or as somebody else where this is root.
fn as_somebody(test: &str, home: &Path) {
    let mut child = command(test, home, "");
    if rustix::process::geteuid().is_root() {
        child.uid(SOMEBODY).gid(SOMEBODY);
        // The binary itself may lie where only root may go: it is copied.
        let binary = home.parent().unwrap().join("test");
        fs::copy(child.get_program(), &binary).unwrap();
        let mut copied = std::process::Command::new(&binary);
        copied
            .args(child.get_args())
            .envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        copied.current_dir("/").uid(SOMEBODY).gid(SOMEBODY);
        child = copied;
    }
    let output = child.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn child_without_permission_to_write() {
    let Some((home, _)) = as_child() else { return };
    assert!(fs::write(home.join("x"), "").is_err(), "permissions bind this user");
    let _ = LocalStore::open(&home).err().expect("it cannot be opened to write");
    is_read_and_not_written(&home);
}

#[test]
fn a_store_that_may_not_be_written_can_be_read() {
    let place = home();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // A name that SQLite's addresses would read as something else.
    let home = place.path().join("an auditor's?50%#é");
    filled(&home);
    give(&home, false);
    as_somebody("tests::looking::child_without_permission_to_write", &home);
    give(&home, true);
}

/// What a killed writer left in the log was promised: it is read, or it is said that it cannot be.
#[test]
fn child_beside_a_log() {
    let Some((home, _)) = as_child() else { return };
    if home.join("records.sqlite-shm").exists() {
        is_read_and_not_written(&home);
    } else {
        let error = LocalStore::open_to_read(&home).err().unwrap();
        assert!(error.hint().unwrap().contains("copy its folder"), "{error}");
    }
}

#[test]
fn what_lies_in_a_log_is_never_left_out() {
    let place = home();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (home, other) = (place.path().join("whole"), place.path().join("without-index"));
    let store = LocalStore::open(&home).unwrap();
    store.put_blob(b"bytes").unwrap();
    let _ = store.create("k", b"v").unwrap();
    // As it is while the writer is at work, or after it was killed; and as a copy of it that left the index behind.
    assert!(fs::metadata(home.join("records.sqlite-wal")).unwrap().len() > 0);
    for part in ["format", "records.sqlite", "records.sqlite-wal"] {
        fs::create_dir_all(&other).unwrap();
        fs::copy(home.join(part), other.join(part)).unwrap();
    }
    for folder in [&home, &other] {
        give(folder, false);
        as_somebody("tests::looking::child_beside_a_log", folder);
        give(folder, true);
    }
    drop(store);
}

/// Without locks nobody sees a writer coming: what is read while one was there is not believed.
#[test]
fn a_writer_beside_a_reader_without_locks_is_noticed() {
    let home = home();
    filled(home.path());
    let records = crate::records::Records::without_locks(&home.path().join(DATABASE)).unwrap();
    assert!(records.get("k").unwrap().is_some());
    let store = LocalStore::open(home.path()).unwrap();
    let _ = store.create("k2", b"v").unwrap();
    let error = records.get("k").unwrap_err();
    assert!(error.hint().unwrap().contains("repeat"), "{error}");
    drop(store);
    let error = records.get("k").unwrap_err();
    assert!(
        error.hint().unwrap().contains("repeat"),
        "the log is part of the database by now: {error}"
    );
}

#[test]
fn child_on_a_disk_mounted_to_be_read() {
    let Some((home, _)) = as_child() else { return };
    is_read_and_not_written(&home);
    let error = LocalStore::open_to_read(&home.join("new")).err().unwrap();
    assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
}

#[test]
fn a_store_on_a_disk_that_is_mounted_to_be_read() {
    let place = home();
    let home = place.path().join("store");
    filled(&home);
    super::disk::with_mount(
        "tests::looking::child_on_a_disk_mounted_to_be_read",
        &home,
        "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\"",
    );
}
