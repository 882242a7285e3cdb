//! Configurations that are wrong, by accident or on purpose.

use crate::load_tests::{KITCHEN, KITCHEN_JSON, fails, read, tree};
use crate::*;

#[test]
fn circles_and_bombs_end() {
    let error = fails(&[
        ("main.tf", "module \"a\" { source = \"./a\" }\n"),
        ("a/main.tf", "module \"b\" { source = \"../a\" }\n"),
    ]);
    assert!(
        error.contains("a/main.tf:1:1: module module.a.module.b calls itself"),
        "{error}"
    );
    let mut files = vec![];
    let names: Vec<(String, String)> = (0..40)
        .map(|i| {
            let call = |n: &str| format!("module \"{n}\" {{ source = \"../m{}\" }}\n", i + 1);
            (format!("m{i}/main.tf"), call("x") + &call("y"))
        })
        .collect();
    files.extend(names.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    files.push(("m40/main.tf", "# end\n"));
    let error = load(&tree(&files), "m0", None).unwrap_err();
    assert!(matches!(error, ConfigError::TooManyModules { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn errors_say_where() {
    for (file, text, expected) in [
        ("main.tf", "resource \"t\" \"r\" {\n  a = \n}\n", "main.tf:2:"),
        (
            "main.tf",
            "resource \"t\" {}\n",
            "main.tf:1:1: a `resource` block takes two labels",
        ),
        (
            "main.tf",
            "\n\n  module \"m\" {}\n",
            "main.tf:3:3: module `m` has no `source`",
        ),
        (
            "main.tf",
            "moved {\n  from = t.a[var.x]\n  to = t.b\n}\n",
            "main.tf:2:10: `t.a[var.x]`: only literal keys",
        ),
        (
            "main.tf",
            "moved {\n  from = t\n  to = t.b\n}\n",
            "main.tf:2:10: `t` is not the address",
        ),
        (
            "main.tf",
            "moved {\n  from = module.a\n  to = t.b\n}\n",
            "main.tf:1:1: a module cannot move",
        ),
        (
            "main.tf",
            "moved {\n  to = t.b\n}\n",
            "main.tf:1:1: this `moved` block has no `from`",
        ),
        (
            "main.tf",
            "locals { a = 1 }\nlocals { a = 2 }\n",
            "main.tf:2:14: local a is declared already",
        ),
        (
            "main.tf",
            "variable \"a\" {}\nvariable \"a\" {}\n",
            "main.tf:2:1: variable a is declared already, at main.tf:1:1",
        ),
        (
            "main.tf.json",
            "{\n \"resource\": 3\n}",
            "main.tf.json:2:14: expected an object for `resource`",
        ),
        (
            "main.tf.json",
            "{\n \"a\": ,\n}",
            "main.tf.json:2:7: expected a JSON value",
        ),
        ("main.tf.json", "[1]", "main.tf.json:1:2: expected an object"),
        (
            "main.tf",
            "resource \"t\" \"r\" {\n count = 1\n for_each = {}\n}\n",
            "main.tf:1:1: `count` and `for_each`",
        ),
    ] {
        let error = fails(&[(file, text)]);
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let error = load(&MemoryTree::default(), "", None).unwrap_err();
    assert!(matches!(error, ConfigError::NoConfiguration { .. }) && error.hint().is_some());
    assert!(matches!(
        load(&MemoryTree::default(), "../x", None),
        Err(ConfigError::Tree(TreeError::Escapes { .. }))
    ));
}

#[test]
fn hostile_bytes_are_errors_with_a_place() {
    let mut files = MemoryTree::default();
    files.0.insert("main.tf".into(), b"a = 1\nb = \"\xff\"\n".to_vec());
    assert_eq!(
        load(&files, "", None).unwrap_err().to_string(),
        "main.tf:2:6: the file is not valid UTF-8"
    );
    files.0.insert("main.tf".into(), vec![b'#'; (4 << 20) + 1]);
    assert!(matches!(load(&files, "", None), Err(ConfigError::TooLarge { .. })));
    for opening in [
        "a = [", "a = (", "a = {b=", "a = \"${", "a = !", "a = -", "a = f(", "a = x ? ", "b {\n", "a = x[",
    ] {
        let (start, repeated) = opening.split_at(if opening.starts_with('a') { 4 } else { 0 });
        let error = fails(&[("main.tf", &format!("{start}{}", repeated.repeat(100_000)))]);
        assert!(error.starts_with("main.tf:"), "{opening}: {error}");
    }
    let error = fails(&[("main.tf.json", &"{\"a\":".repeat(100_000))]);
    assert!(error.contains("nested"), "{error}");
    read(&[("main.tf", "\u{feff}a = 1\r\nb {\r\n}\r\n")]);
}

/// Whatever is cut off, the answer is a configuration or an error.
#[test]
fn every_truncation_is_survived() {
    for (file, text) in [("main.tf", KITCHEN), ("main.tf.json", KITCHEN_JSON)] {
        let mut errors = 0;
        for end in 0..text.len() {
            let mut files = MemoryTree::default();
            files.0.insert(file.into(), text.as_bytes()[..end].to_vec());
            if let Err(error) = load(&files, "", None) {
                errors += 1;
                assert!(error.location().is_some(), "{error}");
            }
        }
        assert!(errors > text.len() / 2);
    }
}

#[test]
fn a_crowd_of_keys_is_refused_before_it_takes_hours() {
    let keys: String = (0..200_000).map(|index| format!("k{index}=1\n")).collect();
    let error = fails(&[("main.tf", &format!("locals {{\n  a = {{\n{keys}}}\n}}\n"))]);
    assert!(error.starts_with("main.tf:2:7: more than 10000 entries"), "{error}");
}
