//! Looking at a store: what only looks makes none, and needs no permission to write.

use std::path::Path;

use rollback_tests::{World, data, scenario};

/// Every command that only looks, and needs no more than a store with two releases.
fn looks<'c>(first: &'c str, second: &'c str) -> Vec<Vec<&'c str>> {
    vec![
        vec!["releases"],
        vec!["show", first],
        vec!["diff", first, second],
        vec!["plan", first],
        vec!["plan", first, "--offline"],
        vec!["to", first, "--dry-run"],
        vec!["runs"],
        vec!["locks"],
        vec!["state", "versions"],
        vec!["state", "pull", first],
        vec!["state", "at", "now"],
        vec!["state", "blame", "terraform_data.a"],
        vec!["store", "gc", "--dry-run"],
        vec!["policy", "input", first],
        vec!["audit", "log"],
        vec!["audit", "verify"],
        vec!["audit", "export"],
        vec!["tokens", "list"],
    ]
}

fn two_releases(world: &World, store: &str) -> [String; 2] {
    ["one", "two"].map(|text| {
        let release = world.release_without_snapshot(&[("main.tf", &data("a", text))], &[]);
        world.tool(&["--store", store, "snapshot"]).exits(0);
        release.commit
    })
}

fn beside(world: &World, name: &str) -> String {
    world.out.join(name).to_string_lossy().into_owned()
}

#[test]
fn a_store_that_is_spelled_wrong_is_not_made() {
    scenario(|world| {
        let (right, wrong) = (beside(&world, "kept"), beside(&world, "kpet"));
        let [first, second] = two_releases(&world, &right);
        let mut commands = looks(&first, &second);
        commands.extend([
            vec!["to", &first, "--auto-approve"],
            vec!["undo", "--auto-approve"],
            vec!["resume"],
            vec!["abort"],
            vec!["releases", "pin", &first],
            vec!["state", "restore", &first],
            vec!["store", "gc", "--auto-approve"],
            vec!["store", "rebuild-index"],
            vec!["locks", "release", "app", "--reason", "x", "--yes"],
        ]);
        for command in commands {
            let ran = world.tool(&[&["--store", wrong.as_str()], command.as_slice()].concat());
            ran.exits(1)
                .says("there is no store in")
                .says(&wrong)
                .says("store create");
            assert!(!Path::new(&wrong).exists(), "{command:?} made it");
        }
        // An address is spelled as easily wrong.
        let address = format!("file://{wrong}");
        world.tool(&["--store", &address, "releases"]).exits(1).says(&wrong);
        world
            .tool(&["store", "copy", &wrong, &right])
            .exits(1)
            .says("there is no store in");
        assert!(!Path::new(&wrong).exists());

        // Those that put the first thing into a store make it.
        world.tool(&["--store", &wrong, "snapshot"]).exits(0);
        world
            .tool(&["--store", &wrong, "releases"])
            .exits(0)
            .says(&second[..10]);
        let made = beside(&world, "made");
        world
            .tool(&["--store", &made, "store", "create", "--dry-run"])
            .exits(0)
            .says("missing");
        std::fs::create_dir(&made).unwrap();
        world.tool(&["--store", &made, "store", "create"]).exits(0).says("made");
        world
            .tool(&["--store", &made, "store", "create"])
            .exits(0)
            .says("there");
        world.tool(&["--store", &made, "releases"]).exits(0);
    });
}

#[test]
fn a_store_that_cannot_be_written_can_be_looked_at() {
    scenario(|world| {
        let store = beside(&world, "kept");
        let [first, second] = two_releases(&world, &store);
        for command in looks(&first, &second) {
            let with = [&["--store", store.as_str()], command.as_slice()].concat();
            let Some(ran) = world.tool_beside_read_only(Path::new(&store), &with) else {
                return;
            };
            ran.exits(0);
            // The document for the policy has the time in it.
            if command[0] != "policy" {
                assert_eq!(ran.stdout, world.tool(&with).stdout, "{command:?} says the same: {ran}");
            }
        }
        for command in [
            vec!["snapshot"],
            vec!["to", &first, "--auto-approve"],
            vec!["releases", "pin", &first],
        ] {
            let with = [&["--store", store.as_str()], command.as_slice()].concat();
            let Some(ran) = world.tool_beside_read_only(Path::new(&store), &with) else {
                return;
            };
            ran.exits(1).says("cannot write to").says("writable");
        }
        world
            .tool(&["--store", &store, "releases"])
            .exits(0)
            .never_says("pinned");
    });
}
