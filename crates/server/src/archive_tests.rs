use super::*;
use tar::{Builder, Header};

fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &[u8], link: Option<&str>, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o777);
    // What a well-behaved writer would refuse to write.
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    if let Some(link) = link {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn packed(entries: &[(EntryType, &str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, link, content) in entries {
        entry(&mut builder, *kind, path.as_bytes(), *link, content);
    }
    zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
}

const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const COMMIT: &[u8] = b"commit 98\0tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n";

/// The id of [`COMMIT`].
fn head() -> String {
    let content = &COMMIT[10..];
    assert_eq!(content.len(), 98);
    "".to_owned() + &sha1(COMMIT)
}

/// Git's own hash, by way of a mirror: the id under which it takes the object is the right one.
fn sha1(bytes: &[u8]) -> String {
    rollback_repository::hash_object(bytes).unwrap()
}

fn manifest(more: &str) -> Vec<u8> {
    format!("{{\"format\":1,\"name\":\"repo\",\"head\":\"{}\"{more}}}", head()).into_bytes()
}

fn try_it(bytes: &[u8]) -> std::result::Result<Brought, String> {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::open(&folder.path().join("deep/mirror")).unwrap();
    let read = read(bytes, &mirror).map_err(|problem| {
        assert_eq!(problem.code.status, 422, "{}", problem.detail);
        problem.detail
    });
    // Nothing is written beside the mirror.
    for (inside, only) in [("", "deep"), ("deep", "mirror")] {
        let entries = std::fs::read_dir(folder.path().join(inside)).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [only], "below {inside:?}");
    }
    read
}

/// An entry whose name, too long or too odd for the header, stands in an entry before it.
fn with_pax(path: &str, before: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in before {
        entry(&mut builder, EntryType::Regular, path.as_bytes(), None, content);
    }
    builder.append_pax_extensions([("path", path.as_bytes())]).unwrap();
    entry(&mut builder, EntryType::Regular, b"files/harmless", None, b"");
    zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
}

#[test]
fn a_whole_archive_is_read() {
    let file = EntryType::Regular;
    let commit = format!("objects/{}", head());
    let tree = format!("objects/{TREE}");
    let manifest = manifest(",\"references\":[],\"branch\":null");
    let brought = try_it(&packed(&[
        (file, "checkout.json", None, &manifest),
        (file, &commit, None, COMMIT),
        (file, &tree, None, b"tree 0\0"),
        (file, "files/app/.terraform/terraform.tfstate", None, b"{}"),
        (file, "files/app/.terraform/modules/modules.json", None, b"{}"),
        (file, "files/app/main.tf", None, b""),
    ]))
    .unwrap();
    assert_eq!(brought.files.len(), 3);
    assert_eq!(brought.head.as_str(), head());
}

#[test]
fn hostile_archives_are_refused() {
    let file = EntryType::Regular;
    let (commit, tree) = (format!("objects/{}", head()), format!("objects/{TREE}"));
    let good = manifest("");
    let with = |path: &'static str, kind: EntryType, link: Option<&'static str>| {
        packed(&[
            (file, "checkout.json", None, &good),
            (file, &commit, None, COMMIT),
            (file, &tree, None, b"tree 0\0"),
            (kind, path, link, b""),
        ])
    };
    let mut tried = 0;
    let mut refused = |what: &str, bytes: &[u8], because: &str| {
        tried += 1;
        let why = try_it(bytes).expect_err(what);
        assert!(why.contains(because), "{what}: {why}");
    };
    let paths = [
        "files/../evil",
        "files//etc/passwd",
        "files/a/../../evil",
        "files/./a",
        "files/a/./b",
        "files/a//b",
        "files/a/..",
        "files/..",
        "files/.",
        "files/.git/config",
        "files/.git",
        "files/.Git/config",
        "files/a/.GIT/hooks/pre-commit",
        "files/a/.git/hooks/post-checkout",
        "files/.terraform/providers/evil",
        "files/a/.terraform/providers/registry.terraform.io/evil",
        "files/.terraform/plugins/evil",
        "files/.terraform/modules/../providers/evil",
        "files/.terraform/modules/m/.git/config",
        "files/.terraform/modules/",
        "files/.terraform/",
        "files/../.terraform/environment",
        "files/a\\b",
        "files/..\\evil",
        "files/",
        "files",
        "/etc/passwd",
        "/files/a",
        "../files/a",
        "evil",
        "object/a",
        "objects/",
        "objects/../../evil",
        "objects/4b825dc642cb6eb9a060e54bf8d69288fbee490",
        "objects/4B825DC642CB6EB9A060E54BF8D69288FBEE4904",
        "objects/4b/825dc642cb6eb9a060e54bf8d69288fbee4904",
        "checkout.json/../evil",
    ];
    for path in paths {
        refused(path, &with(path, file, None), "");
    }
    let before: &[(&str, &[u8])] = &[("checkout.json", &good), (&commit, COMMIT), (&tree, b"tree 0\0")];
    assert!(
        try_it(&with_pax("files/in-another-entry", before)).is_ok(),
        "the control"
    );
    for path in [
        "files/../evil",
        "/etc/passwd",
        "files/.git/config",
        "files/a/../../../c",
    ] {
        refused(path, &with_pax(path, before), "");
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Fifo,
        EntryType::Char,
        EntryType::Block,
        EntryType::Continuous,
        EntryType::GNUSparse,
    ] {
        for target in ["/etc", "../../../etc"] {
            let because = if kind == EntryType::GNUSparse { "" } else { "regular" };
            refused(&format!("{kind:?}"), &with("files/link", kind, Some(target)), because);
        }
    }
    // Objects that do not come, others under a name, manifests that are none.
    let lacking = packed(&[(file, "checkout.json", None, &good), (file, &tree, None, b"tree 0\0")]);
    refused("the commit does not come", &lacking, "missing");
    let wrong = packed(&[(file, "checkout.json", None, &good), (file, &tree, None, COMMIT)]);
    refused("another object", &wrong, "another id");
    for more in [
        ",\"hooks\":1",
        ",\"folder\":\"../..\"",
        ",\"folder\":\"/etc\"",
        ",\"folder\":\".git\"",
        ",\"deleted\":[\"../x\"]",
        ",\"deleted\":[\".git/config\"]",
        ",\"commits\":[\"HEAD\"]",
        ",\"references\":[{\"name\":\"refs/heads/x\",\"commit\":\"--upload-pack=touch pwned\"}]",
        ",\"references\":[{\"name\":\"--output=x\",\"commit\":\"HEAD\"}]",
    ] {
        let manifest = manifest(more);
        let bytes = packed(&[
            (file, "checkout.json", None, &manifest),
            (file, &commit, None, COMMIT),
            (file, &tree, None, b"tree 0\0"),
        ]);
        refused(more, &bytes, "");
    }
    for name in ["../x", "a/b", ".git", "..", ""] {
        let manifest = String::from_utf8(good.clone())
            .unwrap()
            .replace("\"repo\"", &format!("{name:?}"));
        let bytes = packed(&[(file, "checkout.json", None, manifest.as_bytes())]);
        refused(name, &bytes, "");
    }
    refused("no zstd", b"no zstd", "");
    refused("no tar", &zstd::encode_all(&b"no tar"[..], 1).unwrap(), "");
    refused("nothing", &packed(&[]), "");
    refused("no manifest", &packed(&[(file, "files/a", None, b"")]), "first entry");
    assert!(tried >= 60, "{tried} archives");
    #[allow(clippy::print_stdout)] // A figure that is asked for with --no-capture.
    {
        println!("W3: {tried} hostile archives, all refused, nothing written outside");
    }
}

#[test]
fn what_unpacks_to_much_more_than_it_was_is_stopped() {
    let mut builder = Builder::new(Vec::new());
    entry(&mut builder, EntryType::Regular, b"checkout.json", None, &manifest(""));
    let mut whole = builder.into_inner().unwrap();
    whole.truncate(1024);
    let mut header = Header::new_ustar();
    header.set_size(1 << 40);
    header.as_old_mut().name[..7].copy_from_slice(b"files/a");
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    whole.extend_from_slice(header.as_bytes());
    whole.resize(whole.len() + (8 << 20), 0);
    let bytes = zstd::encode_all(whole.as_slice(), 1).unwrap();
    assert!(bytes.len() < 10_000);
    assert!(try_it(&bytes).unwrap_err().contains("more than"));
}
