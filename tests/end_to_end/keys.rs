//! Instance keys that want to break something.

use rollback_tests::{moved, scenario};

/// Keys as HCL writes them.
const KEYS: &[&str] = &[
    r#""a.b""#,
    r#""a\"b""#,
    r#""ü""#,
    r#""$${x}""#,
    r#""%%{if}""#,
    r#""""#,
    r#""a]b""#,
    r#""a[\"b\"]""#,
    r#""line\nbreak""#,
    r#""back\\slash""#,
    r#"" ""#,
    r#""0""#,
    r#""日本/🦀""#,
    r#""-rf $(touch x)""#,
];

fn keyed(name: &str) -> String {
    let keys = KEYS.join(", ");
    format!("resource \"terraform_data\" \"{name}\" {{\n  for_each = toset([{keys}])\n  input = each.key\n}}\n")
}

#[test]
fn a_keyed_resource_is_renamed() {
    scenario(|world| {
        let first = world.release_of(&keyed("old"));
        let listed = world.terraform(&["state", "list"]).stdout;
        for address in first.objects.keys() {
            assert!(listed.lines().any(|line| line == address), "{address} in {listed}");
        }
        assert_eq!(first.objects.len(), KEYS.len());
        world.release_of(&(keyed("new") + &moved("terraform_data.old", "terraform_data.new")));
        world.back_to(&first);
    });
}

#[test]
fn numbers_become_hostile_keys() {
    scenario(|world| {
        let count = KEYS.len();
        let first = world.release_of(&format!(
            "resource \"terraform_data\" \"n\" {{\n  count = {count}\n  input = \"same\"\n}}\n"
        ));
        let moves: String = KEYS
            .iter()
            .enumerate()
            .map(|(index, key)| {
                moved(
                    &format!("terraform_data.n[{index}]"),
                    &format!("terraform_data.n[{key}]"),
                )
            })
            .collect();
        let second = world.release_of(&(keyed("n").replace("each.key", "\"same\"") + &moves));
        world.back_to(&first);
        world.undo_to(&second, &[]);
    });
}

#[test]
fn keys_of_a_module() {
    scenario(|world| {
        let keys = KEYS.join(", ");
        let call = |name: &str| {
            format!("module \"{name}\" {{\n  source = \"./m\"\n  for_each = toset([{keys}])\n  key = each.key\n}}\n")
        };
        let module = "variable \"key\" {}\nresource \"terraform_data\" \"x\" {\n  input = var.key\n}\n";
        let first = world.release(&[("main.tf", &call("old")), ("m/main.tf", module)]);
        world.release(&[
            ("main.tf", &(call("new") + &moved("module.old", "module.new"))),
            ("m/main.tf", module),
        ]);
        world.back_to(&first);
    });
}

#[test]
fn hostile_keys_are_destroyed_and_made_anew() {
    scenario(|world| {
        let first = world.release_of("locals {}\n");
        let second = world.release_of(&keyed("n"));
        world.back_to(&first);
        let addresses: Vec<&str> = second.objects.keys().map(String::as_str).collect();
        world.undo_to(&second, &addresses);
        assert!(!world.repo.join("x").exists() && !world.stack_folder().join("x").exists());
    });
}
