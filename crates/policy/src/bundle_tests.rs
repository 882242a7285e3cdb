use super::*;
use std::io::Write;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const RULE: &str = "package a\nimport rego.v1\ndeny contains \"no\" if input.x\n";

#[test]
fn the_digest_depends_on_what_decides_and_on_nothing_else() {
    let files = [
        ("a/one.rego", RULE),
        ("b.rego", "package b\n"),
        ("a/data.json", "{\"k\": 1}"),
    ];
    let first = folder(&files);
    let mut turned = files;
    turned.reverse();
    let second = folder(&turned);
    std::fs::write(second.path().join("README.md"), "x").unwrap();
    std::fs::write(second.path().join("b_test.rego"), "package b_test\n").unwrap();
    let digest = |folder: &tempfile::TempDir| Bundle::read(folder.path()).unwrap().digest();
    assert_eq!(digest(&first), digest(&second));
    std::fs::write(second.path().join("a/data.json"), "{\"k\": 2}").unwrap();
    assert_ne!(digest(&first), digest(&second));
    let moved = folder(&[
        ("one.rego", RULE),
        ("b.rego", "package b\n"),
        ("a/data.json", "{\"k\": 1}"),
    ]);
    assert_ne!(digest(&first), digest(&moved));
}

#[test]
fn data_lies_where_its_folder_says() {
    let folder = folder(&[
        ("x.rego", RULE),
        ("a/b/data.json", "{\"k\": [1]}"),
        ("a/data.yaml", "other: true\n"),
    ]);
    let data = Bundle::read(folder.path()).unwrap().data().unwrap();
    assert_eq!(data, serde_json::json!({ "a": { "b": { "k": [1] }, "other": true } }));
}

#[test]
fn what_is_no_bundle_is_told_apart() {
    let missing = Bundle::read(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(missing, PolicyError::Unreadable { .. }), "{missing}");
    let empty = folder(&[("README.md", "x")]);
    assert!(matches!(Bundle::read(empty.path()), Err(PolicyError::Empty { .. })));
    let linked = folder(&[("a.rego", RULE)]);
    std::os::unix::fs::symlink("/etc/passwd", linked.path().join("b.rego")).unwrap();
    assert!(matches!(Bundle::read(linked.path()), Err(PolicyError::Hostile { .. })));
    let twice = folder(&[
        ("a.rego", RULE),
        ("data.json", "{\"a\": {\"k\": 1}}"),
        ("a/data.json", "{\"k\": 2}"),
    ]);
    assert!(matches!(
        Bundle::read(twice.path()).unwrap().data(),
        Err(PolicyError::Data { .. })
    ));
}

type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

/// An archive of raw entries, names unchecked.
fn archive(entries: &[Entry<'_>]) -> tempfile::NamedTempFile {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&builder.into_inner().unwrap()).unwrap();
    let mut file = tempfile::Builder::new().suffix(".tar.gz").tempfile().unwrap();
    file.write_all(&zipped.finish().unwrap()).unwrap();
    file
}

#[test]
fn an_archive_is_the_folder_that_was_packed() {
    use tar::EntryType::{Directory, Regular};
    let packed = archive(&[
        ("./", Directory, b""),
        ("/a/one.rego", Regular, RULE.as_bytes()),
        ("./a/data.json", Regular, b"{\"k\": 1}"),
        (".manifest", Regular, b"{}"),
    ]);
    let folder = folder(&[("a/one.rego", RULE), ("a/data.json", "{\"k\": 1}")]);
    let digest = Bundle::read(packed.path()).unwrap().digest();
    assert_eq!(digest, Bundle::read(folder.path()).unwrap().digest());
}

#[test]
fn hostile_archives_are_refused() {
    use tar::EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let rule = RULE.as_bytes();
    let cases: Vec<(&str, Vec<Entry<'_>>)> = vec![
        ("up", vec![("../a.rego", Regular, rule)]),
        ("up within", vec![("a/../../b.rego", Regular, rule)]),
        (
            "absolute twice",
            vec![("//etc/a.rego", Regular, rule), ("//etc/a.rego", Regular, rule)],
        ),
        ("symbolic link", vec![("a.rego", Symlink, b"")]),
        ("hard link", vec![("a.rego", Link, b"")]),
        ("device", vec![("a.rego", Block, b"")]),
        ("terminal", vec![("a.rego", Char, b"")]),
        ("pipe", vec![("a.rego", Fifo, b"")]),
        (
            "twice",
            vec![("a.rego", Regular, rule), ("a.rego", Regular, b"package a\n")],
        ),
        (
            "twice in another way",
            vec![("a.rego", Regular, rule), ("./a.rego", Regular, b"package a\n")],
        ),
        ("backslash", vec![("..\\a.rego", Regular, rule)]),
        ("nothing", vec![]),
    ];
    for (what, entries) in cases {
        let packed = archive(&entries);
        assert!(Bundle::read(packed.path()).is_err(), "{what}");
    }
    let many: Vec<String> = (0..=MOST_FILES).map(|n| format!("{n}.txt")).collect();
    let many: Vec<Entry<'_>> = many.iter().map(|n| (n.as_str(), Regular, &b""[..])).collect();
    assert!(matches!(
        Bundle::read(archive(&many).path()),
        Err(PolicyError::Hostile { .. })
    ));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let zeros = vec![b' '; (MOST_BYTES + 1024) as usize];
    let packed = archive(&[
        ("a.rego", tar::EntryType::Regular, RULE.as_bytes()),
        ("b.txt", tar::EntryType::Regular, &zeros),
    ]);
    assert!(std::fs::metadata(packed.path()).unwrap().len() < 1 << 20);
    assert!(Bundle::read(packed.path()).is_err());
    let mut cut = std::fs::read(archive(&[("a.rego", tar::EntryType::Regular, RULE.as_bytes())]).path()).unwrap();
    cut.truncate(cut.len() / 2);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&cut).unwrap();
    assert!(Bundle::read(file.path()).is_err());
}
