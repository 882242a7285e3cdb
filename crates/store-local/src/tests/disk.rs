//! A real disk that is full, and one that cannot be written. Linux lets anyone make such disks in a namespace of their
//! own; where that is switched off these tests have nothing to stand on and pass.

use std::process::Command;

use super::shared::{as_child, command};
use super::*;

/// Runs a test of this binary as a child whose folder is a small disk, after `before` was done in it.
fn on_a_disk_of_its_own(test: &str, before: &str) {
    let mount = "mount -t tmpfs -o size=2m,mode=0700 none \"$0\"";
    with_mount(test, home().path(), &format!("{mount} && {before}"));
}

/// Runs a test of this binary as a child for whom `mount`, a script with the folder as `$0`, was done.
pub(super) fn with_mount(test: &str, home: &Path, mount: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let possible = unshare
        .arg(mount)
        .arg(home)
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        return;
    }
    let child = command(test, home, "");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{mount} && exec \"$@\""))
        .arg(home)
        .arg(child.get_program())
        .args(child.get_args())
        .envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn child_on_a_full_disk() {
    let Some((home, _)) = as_child() else { return };
    let store = LocalStore::open(&home).unwrap();
    let id = store.put_blob(b"first").unwrap();
    // What does not compress: blocks of hashes.
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| *BlobId::of(&number.to_le_bytes()).as_bytes())
        .collect();
    let error = store.put_blob(&noise).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert!(error.hint().unwrap().contains("free some space"));
    assert!(!store.has_blob(&BlobId::of(&noise)).unwrap());
    assert_eq!(
        fs::read_dir(home.join("temporary")).unwrap().count(),
        0,
        "nothing takes up the last space"
    );
    assert_eq!(store.get_blob(&id).unwrap(), b"first");

    let error = store.create("large", &noise).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert_eq!(store.get("large").unwrap(), None);
    assert!(matches!(store.create("small", b"x").unwrap(), Created::Yes(_)));
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    on_a_disk_of_its_own("tests::disk::child_on_a_full_disk", "true");
}

#[test]
fn child_on_a_read_only_disk() {
    let Some((home, _)) = as_child() else { return };
    let error = LocalStore::open(&home).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(error.hint().unwrap().contains("writable"));
    let error = LocalStore::open(&home.join("new")).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}

#[test]
fn a_read_only_disk_is_an_error_that_says_so() {
    on_a_disk_of_its_own("tests::disk::child_on_a_read_only_disk", "mount -o remount,ro \"$0\"");
}
