//! The shared store: the same commands with `--store s3://…`, on emulators of S3 and DynamoDB.

use rollback_tests::{World, data, moved, shared_store};

use crate::locks::killed_on_the_way_back;

/// Runs a test in a world whose store is a bucket and a table of its own.
pub fn scenario(test: impl FnOnce(World)) {
    if !World::can_exist() {
        return;
    }
    let Some(store) = shared_store() else { return };
    let mut world = World::new();
    world.use_store(&store);
    let created = world.tool(&["store", "create", "--json"]);
    let settings = created.exits(0).json()["settings"].as_array().unwrap().clone();
    assert!(
        settings.iter().any(|setting| setting["outcome"] == "made"),
        "{settings:?}"
    );
    test(world);
}

#[test]
fn there_and_back_and_there_again() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("c", "one")));
        let second =
            world.release_of(&(data("b", "two") + &data("c", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.unchanged(|world| {
            let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
            assert!(
                plan["resource_changes"]
                    .as_array()
                    .is_some_and(|changes| !changes.is_empty())
            );
        });
        world.back_to(&first);
        world.undo_to(&second, &[]);
        // Everything lies in the shared store: nothing in the home.
        assert!(!world.home.join("store").exists());
    });
}

#[test]
fn two_clones_share_the_releases_of_the_configured_store() {
    scenario(|mut world| {
        let settings = format!("[store]\nurl = \"{}\"\n", world.store.take().unwrap());
        let release = |input| world.release(&[("infra-rollback.toml", &settings), ("main.tf", &data("a", input))]);
        let (first, second) = (release("one"), release("two"));
        let clone = world.out.join("clone");
        world.git(&["clone", "--quiet", ".", &clone.to_string_lossy()]);
        let seen = world.tool_in(&clone, &["releases", "--json"]);
        let seen = seen.exits(0).json();
        let commits: Vec<&str> = seen["releases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|release| release["commit"].as_str().unwrap())
            .collect();
        assert_eq!(commits, [&second.commit, &first.commit]);
    });
}

#[test]
fn it_is_killed_on_the_way_and_resumes() {
    scenario(|world| {
        let (first, _) = killed_on_the_way_back(&world);
        world.put_out("go");
        world.wait_for_object("terraform_data.waiting");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn a_store_that_is_not_there_says_how_to_make_it() {
    if !World::can_exist() {
        return;
    }
    let Some(store) = shared_store() else { return };
    let mut world = World::new();
    world.use_store(&store);
    world.release_without_snapshot(&[("main.tf", &data("a", "one"))], &[]);
    world.tool(&["snapshot"]).exits(1).says("store create");
    let dry = world.tool(&["store", "create", "--dry-run", "--json"]).exits(0).json();
    assert!(
        dry["settings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|setting| setting["outcome"] == "missing"),
        "{dry}"
    );
    world.tool(&["snapshot"]).exits(1);
    world.tool(&["store", "create"]).exits(0);
    world.tool(&["store", "create"]).exits(0).says("there");
    world.tool(&["snapshot"]).exits(0);
}

#[test]
fn mistakes_in_the_url_are_named() {
    if !World::can_exist() {
        return;
    }
    let world = World::new();
    world.release_without_snapshot(&[("main.tf", &data("a", "one"))], &[]);
    for (url, expected) in [
        ("s3://acme-rollback?regoin=eu-central-1", "region="),
        ("s3://Acme", "bucket"),
        ("gs://acme", "s3://BUCKET"),
        ("s3://key:hunter2@acme-rollback", "credentials"),
    ] {
        let ran = world.tool(&["--store", url, "releases"]);
        ran.exits(2).says(expected);
        assert!(!ran.to_string().replace(url, "").contains("hunter2"));
    }
}

#[test]
fn the_doctor_tries_the_store_and_leaves_nothing_in_it() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let found = world.tool(&["doctor", "--json"]).exits(0).json();
        let said = found["checks"].to_string();
        for check in [
            "permissions",
            "versioning",
            "clock",
            "If-None-Match",
            "If-Match",
            "transaction",
            "fence",
        ] {
            assert!(said.contains(check), "{check}: {said}");
        }
        world.snapshot();
    });
}
