//! What an `import` block took in is let go on the way back; what Terraform itself made at its address is not.

use rollback_tests::{World, data, forgotten, moved, scenario};

const ID: &str = "0f0e0d0c-1111-2222-3333-444455556666";

fn taken_in(id: &str, trigger: &str) -> String {
    let trigger = match trigger {
        "" => String::new(),
        trigger => format!("  triggers_replace = \"{trigger}\"\n"),
    };
    format!(
        "import {{\n  to = terraform_data.found\n  id = \"{id}\"\n}}\nresource \"terraform_data\" \"found\" {{\n  input = \
         \"f\"\n{trigger}}}\n"
    )
}

/// What a plan does with the object.
fn fate(world: &World, commit: &str) -> String {
    let plan = world.tool(&["plan", commit, "--json"]);
    let plan = plan.exits(0).json();
    let changes = plan["resource_changes"].as_array().unwrap().clone();
    let change = changes
        .iter()
        .find(|change| change["address"] == "terraform_data.found");
    change.expect("it is in the plan")["change"]["actions"].to_string()
}

#[test]
fn what_was_imported_is_let_go() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "one") + &taken_in(ID, "")));
        assert_eq!(fate(&world, &first.commit), r#"["forget"]"#);
        world.back_to(&first);
    });
}

/// `terraform state mv` leaves no block: the id in the import block still tells, whether or not a snapshot saw the object
/// before it was renamed.
#[test]
fn what_was_imported_and_renamed_by_hand_is_let_go() {
    for is_seen in [true, false] {
        scenario(|world| {
            let first = world.release_of(&data("a", "one"));
            let imported = [("main.tf", data("a", "one") + &taken_in(ID, ""))];
            let imported = imported.each_ref().map(|(name, text)| (*name, text.as_str()));
            match is_seen {
                true => drop(world.release(&imported)),
                false => drop(world.release_without_snapshot(&imported, &[])),
            }
            world.terraform(&["state", "mv", "terraform_data.found", "terraform_data.renamed"]);
            let second = world.release_of(&(data("a", "one") + &data("renamed", "f")));
            assert_eq!(second.objects["terraform_data.renamed"], ID);
            let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
            let changes = plan["resource_changes"].as_array().unwrap();
            let renamed = changes
                .iter()
                .find(|change| change["address"] == "terraform_data.renamed");
            assert_eq!(renamed.unwrap()["change"]["actions"].to_string(), r#"["forget"]"#);
            world.back_to(&first);
        });
    }
}

/// By the same apply, or by a later one: no snapshot has ever seen the imported object then, or one has.
#[test]
fn what_replaced_the_imported_object_is_destroyed() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "one") + &taken_in(ID, "1")));
        let made = world.objects()["terraform_data.found"].clone();
        assert_ne!(made, ID);
        assert_eq!(fate(&world, &first.commit), r#"["delete"]"#);
        world.back_to(&first);
    });
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        // An id of a format of its own tells nothing.
        let block = "locals {\n  id = \"0f0e0d0c-1111-2222-3333-444455556666\"\n}\n";
        let by_local = |trigger| block.to_owned() + &taken_in("${local.id}", trigger);
        world.release_of(&(data("a", "one") + &by_local("")));
        assert_eq!(fate(&world, &first.commit), r#"["forget"]"#);
        world.release_of(&(data("a", "one") + &by_local("2")));
        assert_eq!(fate(&world, &first.commit), r#"["delete"]"#);
        world.back_to(&first);
    });
}

#[test]
fn an_import_block_that_came_after_the_object() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let text = data("a", "one") + &data("found", "f");
        let second = world.release_of(&text);
        let id = &second.objects["terraform_data.found"];
        let block = format!("import {{\n  to = terraform_data.found\n  id = \"{id}\"\n}}\n");
        world.release_of(&(text + &block));
        assert_eq!(fate(&world, &first.commit), r#"["delete"]"#);
        world.back_to(&first);
    });
}

/// Terraform runs a destroy-time provisioner only while its block is there.
#[test]
fn a_destroy_time_provisioner_that_will_not_run_is_told() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(
            &(data("a", "one")
                + "resource \"terraform_data\" \"member\" {\n  provisioner \"local-exec\" {\n    when    = destroy\n    \
                   command = \"true\"\n  }\n}\n"),
        );
        world
            .tool(&["plan", &first.commit])
            .exits(0)
            .says("Its destroy-time provisioner does not run");
    });
}

/// The object that a `removed` block let go lives on beside the one that took its address since.
#[test]
fn what_was_let_go_comes_back_though_another_has_its_address() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        world.release_without_snapshot(
            &[("main.tf", &(data("b", "one") + &forgotten("terraform_data.a")))],
            &[],
        );
        let third = world.release_of(&(data("a", "one") + &data("b", "one")));
        let address = "terraform_data.a";
        assert_ne!(first.objects[address], third.objects[address]);
        world.back_to(&first);
        assert_eq!(world.objects()[address], first.objects[address]);
        world.undo_to(&third, &[address]);
    });
}

/// The documented way to let one key go: a `moved` block to an address that a `removed` block then forgets.
#[test]
fn one_key_that_was_let_go_by_way_of_another_address() {
    scenario(|world| {
        let text = |keys: &str| {
            format!("resource \"terraform_data\" \"a\" {{\n  for_each = toset([{keys}])\n  input = each.key\n}}\n")
        };
        let first = world.release_of(&text("\"x\", \"y\""));
        let let_go = text("\"y\"")
            + &moved("terraform_data.a[\"x\"]", "terraform_data.gone")
            + &forgotten("terraform_data.gone");
        world.release_of(&let_go);
        world.back_to(&first);
    });
}

/// Terraform takes it in whenever the block is planned; that is what comes back, and no surprise.
#[test]
fn an_import_block_that_stayed_in_the_target_takes_its_object_in_again() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &taken_in(ID, "")));
        world.release_of(&data("a", "one"));
        let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
        let changes = plan["resource_changes"].as_array().unwrap();
        let found = changes
            .iter()
            .find(|change| change["address"] == "terraform_data.found");
        assert_eq!(found.unwrap()["change"]["importing"]["id"], ID, "{plan:#}");
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}
