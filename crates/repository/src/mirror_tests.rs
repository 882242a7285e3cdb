use super::*;
use crate::testing::Sandbox;

fn bring(from: &Repository, mirror: &Mirror, wanted: &[CommitId]) -> usize {
    let ids = from.objects_beyond(wanted, &mirror.known().unwrap()).unwrap();
    for id in &ids {
        mirror.put(id, &from.object_bytes(id).unwrap()).unwrap();
    }
    mirror.accept(wanted).unwrap();
    ids.len()
}

#[test]
fn what_is_lacking_travels_and_a_working_folder_comes_of_it() {
    let mut sandbox = Sandbox::new();
    sandbox.write("a/main.tf", "one");
    sandbox.write("run.sh", "echo");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["update-index", "--chmod=+x", "run.sh"]);
    let first = sandbox.commit("one");
    sandbox.git(&["tag", "-a", "-m", "tagged", "v1"]);
    sandbox.write("a/main.tf", "two");
    let second = sandbox.commit("two");
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::open(&folder.path().join("mirror.git")).unwrap();
    let source = sandbox.open();
    // Two commits, each with two trees; two versions of one file, and another file.
    assert_eq!(bring(&source, &mirror, std::slice::from_ref(&second)), 9);
    assert_eq!(
        bring(&source, &mirror, std::slice::from_ref(&second)),
        0,
        "nothing twice"
    );
    let references = source.references_within(std::slice::from_ref(&second)).unwrap();
    let names: Vec<&str> = references.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["refs/heads/main", "refs/tags/v1"]);

    let work = folder.path().join("work/repo");
    mirror.check_out(&work, &second, Some("main"), &references).unwrap();
    let made = Repository::open(&work).unwrap();
    assert_eq!(made.head().unwrap(), second);
    assert_eq!(made.branch().as_deref(), Some("main"));
    assert_eq!(made.resolve("v1").unwrap(), first);
    assert_eq!(made.root_commit().unwrap(), source.root_commit().unwrap());
    assert_eq!(std::fs::read_to_string(work.join("a/main.tf")).unwrap(), "two");
    assert_eq!(made.is_dirty::<&str>(&[]).unwrap(), Vec::<String>::new());
    let hooks: Vec<_> = std::fs::read_dir(work.join(".git/hooks"))
        .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
        .unwrap_or_default();
    assert!(hooks.iter().all(|name| name == "README.sample"), "{hooks:?}");

    sandbox.write("a/main.tf", "three");
    let third = sandbox.commit("three");
    // A commit, two trees and a file.
    assert_eq!(bring(&sandbox.open(), &mirror, &[third]), 4);
}

#[test]
fn what_is_not_what_it_says_is_not_taken_in() {
    let mut sandbox = Sandbox::new();
    sandbox.write("main.tf", "one");
    let commit = sandbox.commit("one");
    let source = sandbox.open();
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::open(folder.path()).unwrap();
    let ids = source.objects_beyond(std::slice::from_ref(&commit), &[]).unwrap();
    for id in &ids {
        let bytes = source.object_bytes(id).unwrap();
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        for (id, bytes) in [
            (id.as_str(), other.as_slice()),
            (id, &bytes[..bytes.len() - 1]),
            (id, b"blob 1"),
            (id, b""),
            (id, b"tag 1\0x"),
            ("../../../etc/passwd", bytes.as_slice()),
            (&id[..39], bytes.as_slice()),
        ] {
            assert!(
                matches!(mirror.put(id, bytes), Err(RepositoryError::BadObject { .. })),
                "{id}"
            );
        }
    }
    // All but one of them: nothing is believed.
    for id in &ids[..ids.len() - 1] {
        mirror.put(id, &source.object_bytes(id).unwrap()).unwrap();
    }
    assert!(matches!(
        mirror.accept(std::slice::from_ref(&commit)),
        Err(RepositoryError::Incomplete { .. })
    ));
    assert_eq!(mirror.known().unwrap(), []);
    let last = ids.last().unwrap();
    mirror.put(last, &source.object_bytes(last).unwrap()).unwrap();
    mirror.accept(std::slice::from_ref(&commit)).unwrap();

    for (number, name) in [
        "refs/known/x",
        "HEAD",
        "refs/heads/../../config",
        "refs/heads/a..b",
        "refs/heads/a.lock",
        "refs/heads/",
        "refs/tags/a\nb",
        "refs/remotes/origin/main",
    ]
    .into_iter()
    .enumerate()
    {
        let reference = Reference {
            name: name.to_owned(),
            commit: commit.clone(),
        };
        let work = folder.path().join(format!("work-{number}"));
        let refused = mirror.check_out(&work, &commit, None, &[reference]);
        assert!(matches!(refused, Err(RepositoryError::BadReference { .. })), "{name}");
        assert!(!work.exists(), "{name}");
    }
}

#[test]
fn hostile_trees_write_nothing_outside_and_no_links() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::open(&folder.path().join("mirror.git")).unwrap();
    let git = &mirror.repository.git;
    let odb = git.odb().unwrap();
    let evil = odb.write(ObjectType::Blob, b"evil").unwrap();
    let target = odb.write(ObjectType::Blob, b"/etc").unwrap();
    let mut tree = Vec::new();
    let mut committed = |entries: &[(&str, &str, Oid)]| -> CommitId {
        tree.clear();
        for (mode, name, oid) in entries {
            tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            tree.extend_from_slice(oid.as_bytes());
        }
        let tree = odb.write(ObjectType::Tree, &tree).unwrap();
        let commit = format!("tree {tree}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n");
        odb.write(ObjectType::Commit, commit.as_bytes()).unwrap().into()
    };
    let link = committed(&[("120000", "link", target), ("100644", "main.tf", evil)]);
    mirror.accept(std::slice::from_ref(&link)).unwrap();
    let work = folder.path().join("work");
    mirror.check_out(&work, &link, None, &[]).unwrap();
    assert!(work.join("main.tf").is_file() && work.join(".git").is_dir());
    assert!(!work.join("link").exists() && !work.join("link").is_symlink());
    for (number, name) in ["../outside", ".git", "a/../../outside"].into_iter().enumerate() {
        let commit = committed(&[("100644", name, evil)]);
        mirror.accept(std::slice::from_ref(&commit)).unwrap();
        let work = folder.path().join(format!("hostile-{number}"));
        assert!(mirror.check_out(&work, &commit, None, &[]).is_err(), "{name}");
        assert!(
            work.join(".git").is_dir() && !folder.path().join("outside").exists(),
            "{name}"
        );
    }
}
