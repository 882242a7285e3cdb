use super::*;
use crate::testing::Sandbox;
use rollback_config::{EntryKind, FileTree, TreeError};
use std::os::unix::fs::{PermissionsExt, symlink};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn reasons(done: &Materialised) -> Vec<(&str, &SkipReason)> {
    done.skipped
        .iter()
        .map(|skipped| (skipped.path.as_str(), &skipped.reason))
        .collect()
}

/// A folder with everything that configurations have, and links of every kind.
fn ordinary() -> (Sandbox, CommitId) {
    let mut sandbox = Sandbox::new();
    sandbox.write("infra/main.tf", "# root\nmodule \"m\" { source = \"../modules/m\" }\n");
    sandbox.write("modules/m/main.tf", "resource \"t\" \"x\" {}\n");
    sandbox.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(sandbox.path().join("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.write(
        "big.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    );
    sandbox.write(".gitattributes", "*.tf text eol=crlf\n");
    sandbox.write(".gitignore", "ignored\n*.tfvars\n");
    for (link, target) in [
        ("infra/inside.tf", "../modules/m/main.tf"),
        ("infra/chain.tf", "inside.tf"),
        ("infra/script", "../run.sh"),
        ("infra/outside", "../../etc/passwd"),
        ("infra/absolute", "/etc/passwd"),
        ("infra/folder", "../modules"),
        ("infra/through.tf", "folder/m/main.tf"),
        ("infra/loop", "loop"),
        ("infra/nowhere", "missing"),
    ] {
        symlink(target, sandbox.path().join(link)).unwrap();
    }
    let id = sandbox.commit("everything");
    (sandbox, id)
}

#[test]
fn files_links_modes_and_pointers() {
    let (sandbox, id) = ordinary();
    let into = tempfile::tempdir().unwrap();
    let target = into.path().join("new/folder");
    let done = sandbox.open().materialise(&id, &target, &|_| true).unwrap();
    assert_eq!(
        std::fs::read(target.join("infra/main.tf")).unwrap(),
        b"# root\nmodule \"m\" { source = \"../modules/m\" }\n"
            .map(|b| b)
            .to_vec(),
        "bytes as committed"
    );
    for name in ["inside.tf", "chain.tf", "through.tf"] {
        let path = target.join("infra").join(name);
        assert_eq!(std::fs::read(&path).unwrap(), b"resource \"t\" \"x\" {}\n", "{name}");
        assert!(
            std::fs::symlink_metadata(&path).unwrap().is_file(),
            "no link is written"
        );
    }
    let folder = target.join("infra/folder");
    assert_eq!(std::fs::read_link(&folder).unwrap(), std::path::Path::new("../modules"));
    assert!(
        folder.join("m/main.tf").is_file(),
        "a link to a folder of the tree leads there"
    );
    assert_eq!((mode(&target), mode(&target.join("infra"))), (0o700, 0o700));
    assert_eq!(
        (mode(&target.join("run.sh")), mode(&target.join("infra/script"))),
        (0o700, 0o700)
    );
    assert_eq!(mode(&target.join("infra/main.tf")), 0o600);
    let link = |target: &str| SkipReason::Link {
        target: target.to_owned(),
    };
    assert_eq!(
        reasons(&done),
        [
            ("big.bin", &SkipReason::LfsPointer),
            ("infra/absolute", &link("/etc/passwd")),
            ("infra/loop", &link("loop")),
            ("infra/nowhere", &link("missing")),
            ("infra/outside", &link("../../etc/passwd")),
        ]
    );
    assert!(done.files.contains(&"big.bin".to_owned()));
    assert!(!target.join("infra/loop").exists() && !target.join(".git").exists());
    let error = sandbox.open().materialise(&id, &target, &|_| true).unwrap_err();
    assert!(
        matches!(error, RepositoryError::Write { .. }),
        "nothing is overwritten: {error}"
    );
}

#[test]
fn only_what_the_filter_accepts() {
    let (sandbox, id) = ordinary();
    let into = tempfile::tempdir().unwrap();
    let done = sandbox
        .open()
        .materialise(&id, into.path(), &|path| path.starts_with("modules/"))
        .unwrap();
    assert_eq!(done.files, ["modules/m/main.tf"]);
    assert!(done.skipped.is_empty());
    assert!(!into.path().join("infra").exists());
}

#[test]
fn a_link_that_lies_in_the_way_is_not_followed() {
    let (sandbox, id) = ordinary();
    let (into, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), into.path().join("infra")).unwrap();
    let error = sandbox
        .open()
        .materialise(&id, into.path(), &|path| path.starts_with("infra/"))
        .unwrap_err();
    assert!(
        matches!(&error, RepositoryError::Write { message, .. } if message.contains("in the way")),
        "{error}"
    );
    symlink(outside.path().join("f"), into.path().join("run.sh")).unwrap();
    assert!(
        sandbox
            .open()
            .materialise(&id, into.path(), &|path| path == "run.sh")
            .is_err()
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// A tree object that no `git add` makes, written byte by byte.
fn raw_tree(repository: &Repository, entries: &[(&str, &[u8], git2::Oid)]) -> git2::Oid {
    let mut bytes = Vec::new();
    for (mode, name, oid) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(oid.as_bytes());
    }
    repository
        .git
        .odb()
        .unwrap()
        .write(git2::ObjectType::Tree, &bytes)
        .unwrap()
}

fn raw_commit(repository: &Repository, tree: git2::Oid) -> CommitId {
    let text = format!("tree {tree}\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\nhostile\n");
    repository
        .git
        .odb()
        .unwrap()
        .write(git2::ObjectType::Commit, text.as_bytes())
        .unwrap()
        .into()
}

#[test]
fn hostile_names_are_refused_one_by_one() {
    let sandbox = Sandbox::new();
    let repository = sandbox.open();
    let blob = repository.git.blob(b"evil").unwrap();
    let inner = raw_tree(&repository, &[("100644", b"config", blob), ("100644", b"good", blob)]);
    let names: &[&[u8]] = &[
        b"..",
        b".",
        b"../x",
        b"/etc/passwd",
        b"a/b",
        b"a\\b",
        b"..\\x",
        b".git",
        b".GIT",
        b".Git ",
        b".git.",
        b".git. .",
        b"git~1",
        b"GIT~1",
        ".g\u{200c}it".as_bytes(),
        b".git:x",
        b"C:x",
        b"\xff\xfe",
        b" ",
        b"...",
    ];
    for name in names {
        for (mode, oid) in [("100644", blob), ("40000", inner)] {
            // libgit2 itself refuses to read some of these trees: that is as good.
            let tree = raw_tree(&repository, &[(mode, name, oid), ("100644", b"zz", blob)]);
            let id = raw_commit(&repository, tree);
            let outer = tempfile::tempdir().unwrap();
            let into = outer.path().join("deep/in");
            if let Ok(done) = repository.materialise(&id, &into, &|_| true) {
                assert_eq!(done.files, ["zz"], "{:?}", String::from_utf8_lossy(name));
                assert_eq!(done.skipped.len(), 1);
                assert_eq!(done.skipped[0].reason, SkipReason::Name);
            }
            assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
            assert_eq!(std::fs::read_dir(outer.path().join("deep")).unwrap().count(), 1);
            assert!(std::fs::read_dir(&into).unwrap().count() <= 1);
        }
    }
}

#[test]
fn submodules_and_terraform_folders_stay_out() {
    let sandbox = Sandbox::new();
    let repository = sandbox.open();
    let blob = repository.git.blob(b"x").unwrap();
    let inner = raw_tree(&repository, &[("100644", b"secret", blob)]);
    let deeper = raw_tree(
        &repository,
        &[
            ("40000", b".terraform", inner),
            ("100644", b".terraform.lock.hcl", blob),
        ],
    );
    let link = repository.git.blob(b"sub/file").unwrap();
    let entries: &[(&str, &[u8], git2::Oid)] = &[
        ("40000", b".terraform", inner),
        ("40000", b"infra", deeper),
        ("120000", b"link", link),
        (
            "160000",
            b"sub",
            "0123456789012345678901234567890123456789".parse().unwrap(),
        ),
    ];
    let id = raw_commit(&repository, raw_tree(&repository, entries));
    let into = tempfile::tempdir().unwrap();
    let done = repository.materialise(&id, into.path(), &|_| true).unwrap();
    assert_eq!(done.files, ["infra/.terraform.lock.hcl"]);
    assert_eq!(
        reasons(&done),
        [
            (".terraform", &SkipReason::TerraformData),
            ("infra/.terraform", &SkipReason::TerraformData),
            (
                "link",
                &SkipReason::Link {
                    target: "sub/file".into()
                }
            ),
            ("sub", &SkipReason::Submodule),
        ]
    );
}

#[test]
fn a_tree_within_itself_many_times_over_ends() {
    let sandbox = Sandbox::new();
    let repository = sandbox.open();
    let mut tree = raw_tree(&repository, &[("100644", b"f", repository.git.blob(b"").unwrap())]);
    for _ in 0..(DEEPEST + 5) {
        tree = raw_tree(&repository, &[("40000", b"d", tree)]);
    }
    let id = raw_commit(&repository, tree);
    let into = tempfile::tempdir().unwrap();
    let error = repository.materialise(&id, into.path(), &|_| true).unwrap_err();
    assert!(matches!(error, RepositoryError::TooBig { .. }), "{error}");
    let mut bomb = raw_tree(&repository, &[("100644", b"f", repository.git.blob(b"").unwrap())]);
    let names: Vec<String> = (0..100).map(|index| format!("d{index:02}")).collect();
    for _ in 0..8 {
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_bytes(), bomb)).collect();
        bomb = raw_tree(&repository, &entries);
    }
    let id = raw_commit(&repository, bomb);
    let error = repository.materialise(&id, into.path(), &|_| false).unwrap_err();
    assert!(matches!(error, RepositoryError::TooBig { .. }), "{error}");
}

#[test]
fn the_tree_of_a_commit_follows_links_within_it() {
    let (sandbox, id) = ordinary();
    let repository = sandbox.open();
    let tree = repository.tree(&id).unwrap();
    let kinds: Vec<(String, EntryKind)> = tree
        .list("infra")
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.kind))
        .collect();
    let kind = |name: &str| kinds.iter().find(|(other, _)| other == name).map(|(_, kind)| *kind);
    assert_eq!(kind("main.tf"), Some(EntryKind::File));
    assert_eq!(kind("chain.tf"), Some(EntryKind::File));
    assert_eq!(kind("folder"), Some(EntryKind::Directory));
    assert_eq!(kind("outside"), Some(EntryKind::Other));
    assert_eq!(kind("loop"), Some(EntryKind::Other));
    assert!(kinds.is_sorted());
    assert!(tree.read("infra/folder/m/main.tf").unwrap().is_some());
    for path in [
        "infra/outside",
        "infra/absolute",
        "infra/loop",
        "infra",
        "infra/main.tf/x",
        "missing",
    ] {
        assert_eq!(tree.read(path).unwrap(), None, "{path}");
    }
    assert!(matches!(tree.read("../x"), Err(TreeError::Escapes { .. })));
    assert!(matches!(tree.list("missing"), Err(TreeError::NotFound { .. })));
    assert_eq!(tree.list("infra/folder").unwrap(), tree.list("modules").unwrap());
    let configuration = rollback_config::load(&tree, "infra", None);
    assert!(configuration.is_err(), "the links declare the resource again and again");
    let configuration = rollback_config::load(&tree, "modules/m", None).unwrap();
    assert!(configuration.files.contains("modules/m/main.tf"));
}

#[test]
fn equal_folders_have_equal_ids() {
    let (mut sandbox, first) = ordinary();
    sandbox.write("run.sh", "changed\n");
    let second = sandbox.commit("second");
    let repository = sandbox.open();
    let id = |commit: &CommitId, dir: &str| repository.tree_id(commit, dir).unwrap();
    assert!(id(&first, "modules").is_some());
    assert_eq!(id(&first, "modules"), id(&second, "modules/"));
    assert_ne!(id(&first, ""), id(&second, ""));
    assert_eq!(id(&first, "missing"), None);
    assert_eq!(id(&first, "run.sh"), None);
}

#[test]
fn what_differs_from_the_commit() {
    let (sandbox, _) = ordinary();
    let repository = sandbox.open();
    assert!(repository.is_dirty::<&str>(&[]).unwrap().is_empty());
    sandbox.write("infra/main.tf", "# changed\n");
    sandbox.write("infra/new/a.tf", "");
    sandbox.write("ignored", "");
    sandbox.write("infra/secret.tfvars", "");
    sandbox.write("*", "");
    std::fs::remove_file(sandbox.path().join("run.sh")).unwrap();
    assert_eq!(
        repository.is_dirty(&[""]).unwrap(),
        ["*", "infra/main.tf", "infra/new/a.tf", "run.sh"]
    );
    assert_eq!(
        repository.is_dirty(&["infra/"]).unwrap(),
        ["infra/main.tf", "infra/new/a.tf"]
    );
    assert_eq!(repository.is_dirty(&["*"]).unwrap(), ["*"], "no pattern");
    assert!(repository.is_dirty(&["modules"]).unwrap().is_empty());
    assert!(repository.is_ignored("infra/secret.tfvars").unwrap());
    assert!(!repository.is_ignored("infra/main.tf").unwrap());
    assert!(repository.is_tracked("infra/main.tf").unwrap());
    assert!(!repository.is_tracked("infra/new/a.tf").unwrap());
    sandbox.git(&["add", "infra/new/a.tf"]);
    assert!(
        repository.is_tracked("infra/new/a.tf").unwrap(),
        "the index is read again"
    );
    assert!(repository.is_ignored("../x").is_err() && repository.is_tracked("../x").is_err());
}

#[test]
fn folders_without_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let error = Repository::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, RepositoryError::NotARepository { .. }) && error.hint().is_some(),
        "{error}"
    );
    let missing = Repository::open(&folder.path().join("missing")).unwrap_err();
    assert!(matches!(missing, RepositoryError::NotARepository { .. }));
}

/// Only root can give a folder to someone else; elsewhere the advice alone is checked.
#[test]
fn a_repository_of_someone_else_is_refused_with_advice() {
    let mut sandbox = Sandbox::new();
    sandbox.commit("first");
    let owned = RepositoryError::NotOwned {
        path: "/it's/here".into(),
    };
    assert!(owned.hint().unwrap().ends_with("safe.directory '/it'\\''s/here'"));
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(12_345), Some(12_345));
    if chown(sandbox.path()).is_ok() && chown(&sandbox.path().join(".git")).is_ok() {
        let error = Repository::open(sandbox.path()).unwrap_err();
        assert!(matches!(error, RepositoryError::NotOwned { .. }), "{error:?}");
    }
}
