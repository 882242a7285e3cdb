use super::*;

const TEXT: &str = "Error message: resource temporarily unavailable\nLock Info:\n  ID:        ab-1\n  Path:      terraform.tfstate\n  Operation: OperationTypeApply\n  Who:       root@vm\n  Version:   1.11.4\n  Created:   2026-11-22 17:16:06.5 +0000 UTC\n  Info:      \n\n\nTerraform acquires a state lock";

#[test]
fn the_holder_is_read_from_terraforms_words() {
    let info = LockInfo::from_text(TEXT).unwrap();
    assert_eq!(
        (info.id.as_str(), info.who.as_str(), info.operation.as_str()),
        ("ab-1", "root@vm", "OperationTypeApply")
    );
    assert_eq!(info.created, "2026-11-22 17:16:06.5 +0000 UTC");
    assert_eq!(LockInfo::from_text("no list"), None);
}

#[test]
fn the_note_has_terraforms_names() {
    assert_eq!(
        lock_info_path(Path::new("/a/terraform.tfstate")),
        Path::new("/a/.terraform.tfstate.lock.info")
    );
    assert_eq!(lock_info_path(Path::new(".hidden")), Path::new(".hidden.lock.info"));
    let json = serde_json::to_value(LockInfo::new("restore", Path::new("x"))).unwrap();
    for name in ["ID", "Operation", "Info", "Who", "Version", "Created", "Path"] {
        assert!(json.get(name).is_some(), "{name}");
    }
}

#[test]
fn one_holder_in_this_process_and_reading_keeps_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/terraform.tfstate");
    let lock = LocalState::lock(&path, "restore").unwrap();
    let Err(TerraformError::Locked {
        holder: Some(found), ..
    }) = LocalState::lock(&path, "other")
    else {
        panic!("two locks")
    };
    assert_eq!(found.id, lock.info().id);
    assert_eq!(holder(&path).unwrap().id, lock.info().id);
    assert_eq!(read(&path).unwrap().unwrap(), b"");
    lock.write_in_place(b"longer than before").unwrap();
    lock.write_in_place(b"short").unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"short");
    assert_eq!(lock.read().unwrap(), b"short");
    drop(lock);
    assert!(holder(&path).is_none());
    assert!(!lock_info_path(&path).exists());
    LocalState::lock(&path, "again").unwrap();
}

#[test]
fn a_link_to_a_held_file_is_the_held_file() {
    let folder = tempfile::tempdir().unwrap();
    let (live, link) = (folder.path().join("live"), folder.path().join("link"));
    let lock = LocalState::lock(&live, "restore").unwrap();
    std::os::unix::fs::symlink(&live, &link).unwrap();
    assert!(matches!(
        LocalState::lock(&link, "x"),
        Err(TerraformError::Locked { .. })
    ));
    drop(lock);
    LocalState::lock(&link, "x").unwrap();
}

#[test]
fn a_note_without_a_lock_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terraform.tfstate");
    std::fs::write(&path, "{}").unwrap();
    std::fs::write(lock_info_path(&path), "{\"ID\":\"dead\"}").unwrap();
    assert!(holder(&path).is_none());
    assert!(read(&folder.path().join("none")).unwrap().is_none());
}

#[test]
fn the_same_inode_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terraform.tfstate");
    std::fs::write(&path, "before").unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    LocalState::lock(&path, "x").unwrap().write_in_place(b"after").unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn an_announcement_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terraform.tfstate");
    std::fs::write(&path, "{}").unwrap();
    // Written in place over one that was left: a kill in between leaves no file of another name in somebody's folder.
    std::fs::write(lock_info_path(&path), "half a no").unwrap();
    let left = std::fs::metadata(lock_info_path(&path)).unwrap();
    let note = announce(&path, "rollback").unwrap();
    let written = std::fs::metadata(lock_info_path(&path)).unwrap();
    assert_eq!(identity(&written), identity(&left));
    assert_eq!(read_info(&path).unwrap().operation, "rollback");
    drop(note);
    assert!(!lock_info_path(&path).exists());
    let _lock = LocalState::lock(&path, "x").unwrap();
    assert!(announce(&path, "rollback").is_none());
}
