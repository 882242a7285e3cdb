//! Rehearsals that a service does by itself, kept with each release: by one of several instances, told where a way back is
//! lost.

use std::fs;

use rollback_tests::{Service, World, data, scenario, wait_until};
use serde_json::Value;

use crate::client::through;

const SETTINGS: &str = r#"
[[stack]]
name = "app"

[drill]
every = "4s"
releases = 2

[[notify]]
kind = "command"
on = ["drill"]
command = "echo \"$INFRA_ROLLBACK_PHASE $INFRA_ROLLBACK_SUBJECT\" >> $OUT/told"
environment = ["OUT"]
"#;

fn releases(world: &World) -> Vec<Value> {
    let document = world.tool(&["releases", "--json"]).exits(0).json();
    document["releases"].as_array().unwrap().clone()
}

fn three(mut world: World) -> World {
    let out = world.out.to_string_lossy().into_owned();
    world.set("OUT", &out);
    for value in ["one", "two", "three"] {
        world.release(&[("infra-rollback.toml", SETTINGS), ("main.tf", &data("a", value))]);
    }
    world
}

fn until_two_are_rehearsed(world: &World) {
    let is_rehearsed = |release: &&Value| !release["drill"].is_null();
    wait_until("the two newest to be rehearsed", || {
        releases(world).iter().filter(is_rehearsed).count() == 2
    });
}

fn told(world: &World) -> String {
    fs::read_to_string(world.out.join("told")).unwrap_or_default()
}

#[test]
fn one_of_two_instances_rehearses_the_newest_releases_again_and_again() {
    scenario(|world| {
        let mut world = three(world);
        let token = world.token("prometheus", "viewer", &["--grant", "read-metrics"]);
        let before = world.state().bytes;
        let (one, two) = (Service::start(&world, &[]), Service::start(&world, &[]));
        until_two_are_rehearsed(&world);
        let found = releases(&world);
        assert!(found[2]["drill"].is_null(), "the last two are all that was asked for");
        for release in &found[..2] {
            assert_eq!(release["drill"]["reach"], "reachable", "{release}");
            assert_eq!(release["drill"]["by"], "schedule");
            let id = release["id"].as_str().unwrap();
            let shown = one.get(&format!("/v1/releases/{id}"), &token).is(200).json();
            assert_eq!(shown["drill"]["reach"], "reachable");
            through(&mut world, &two, &token, &["show", id])
                .exits(0)
                .says("way back reachable");
        }
        let metrics = two.get("/v1/metrics", &token).is(200);
        let metrics = String::from_utf8(metrics.body).unwrap();
        assert!(
            metrics.contains("infra_rollback_releases_rehearsed{kind=\"reachable\"} 2"),
            "{metrics}"
        );
        assert!(metrics.contains("infra_rollback_releases_rehearsed{kind=\"never\"} 1"));
        assert!(
            metrics.contains("infra_rollback_last_drill_age_seconds{} ")
                || metrics.contains("infra_rollback_last_drill_age_seconds ")
        );
        // Each of them again once its time is over, and never twice at the same time.
        let first = found[0]["drill"]["at"].clone();
        wait_until("the next rehearsal", || releases(&world)[0]["drill"]["at"] != first);
        assert_eq!(world.state().bytes, before, "a rehearsal has no effect");
        assert_eq!(told(&world), "", "nothing is worse than it was");
    });
}

#[test]
fn a_way_that_is_lost_is_told_once_and_another_instance_goes_on_where_one_is_killed() {
    scenario(|world| {
        let mut world = three(world);
        let viewer = world.token("ann", "viewer", &[]);
        let one = Service::start(&world, &[]);
        until_two_are_rehearsed(&world);
        // Somebody tidied up the store.
        let mut folders = vec![world.home.join("store")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.components().any(|part| part.as_os_str() == "blobs") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        wait_until("it to be noticed", || {
            releases(&world)[..2]
                .iter()
                .all(|release| release["drill"]["reach"] == "not-reachable")
        });
        wait_until("somebody to be told", || told(&world).lines().count() == 2);
        assert!(
            told(&world).contains("drill [REHEARSAL] NO WAY BACK"),
            "{}",
            told(&world)
        );
        let at = releases(&world)[0]["drill"]["at"].clone();
        wait_until("the next rehearsal", || releases(&world)[0]["drill"]["at"] != at);
        assert_eq!(told(&world).lines().count(), 2, "it is no worse than before");
        through(&mut world, &one, &viewer, &["releases"])
            .exits(0)
            .says("not reachable");
        drop(one);
        // What was killed left no claim that stands in the way for ever.
        let at = releases(&world)[0]["drill"]["at"].clone();
        let _two = Service::start(&world, &[]);
        let begun = std::time::Instant::now();
        while releases(&world)[0]["drill"]["at"] == at {
            assert!(begun.elapsed().as_secs() < 100, "nobody goes on");
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    });
}
