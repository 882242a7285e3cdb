//! `drill`: is there a way back?

use rollback_tests::{World, scenario};

use crate::records::two_releases;

fn reach(world: &World, revision: &str) -> String {
    world.tool(&["drill", revision, "--json"]).json()["reach"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_way_that_is_open_is_rehearsed_without_an_effect_and_kept_with_its_release() {
    scenario(|world| {
        let (first, _) = two_releases(&world);
        world.unchanged(|world| {
            let ran = world.tool(&["drill"]);
            ran.exits(0)
                .says("blobs are whole")
                .says("terraform plans it")
                .says("is reachable");
            assert_eq!(reach(world, &first), "reachable");
        });
        let releases = world.tool(&["releases", "--json"]).json();
        assert_eq!(releases["releases"][0]["drill"], serde_json::Value::Null);
        assert_eq!(releases["releases"][1]["drill"]["reach"], "reachable");
        world.tool(&["drill", "no-such-thing"]).fails();
    });
}

#[test]
fn what_has_a_price_and_what_is_lost_is_said() {
    scenario(|world| {
        let (first, _) = two_releases(&world);
        world
            .tool(&["releases", "bad", &first, "--reason", "it loses orders"])
            .exits(0);
        world
            .tool(&["drill", &first])
            .exits(0)
            .says("at a price")
            .says("it loses orders");
        // Somebody tidied up the store.
        let mut folders = vec![world.home.clone()];
        let mut removed = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.components().any(|part| part.as_os_str() == "blobs") {
                    std::fs::remove_file(path).unwrap();
                    removed += 1;
                }
            }
        }
        assert!(removed > 0);
        world
            .tool(&["drill", &first])
            .exits(3)
            .says("not reachable")
            .says("snapshot");
        assert_eq!(reach(&world, &first), "not-reachable");
    });
}
