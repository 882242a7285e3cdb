//! `bake`: a deploy is watched, and goes back by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollback_tests::{WebService, World, data, kill, scenario, wait_until};
use serde_json::Value;

/// Two releases; the health of the second is what `status` says.
pub fn deployed(world: &World, service: &WebService) -> String {
    let settings = format!(
        "[[stack]]\nname = \"app\"\n\n[[check]]\nname = \"health\"\nkind = \"http\"\nurl = \"{}\"\nwithin = \"5m\"\n",
        service.url("/health")
    );
    let first = world.release(&[("main.tf", &data("a", "one")), ("infra-rollback.toml", &settings)]);
    world.release(&[("main.tf", &data("a", "two")), ("infra-rollback.toml", &settings)]);
    first.commit
}

/// Healthy with the first release alone.
pub fn broken_by_the_second(world: &World, service: &WebService) {
    let state = world.state_path();
    service.answers_as(move || match std::fs::read_to_string(&state) {
        Ok(text) if text.contains("\"one\"") => 200,
        _ => 503,
    });
}

pub fn is_at(world: &World, value: &str) -> bool {
    std::fs::read_to_string(world.state_path())
        .unwrap()
        .contains(&format!("\"{value}\""))
}

fn shown(world: &World) -> Value {
    world.tool(&["bake", "show", "--json"]).json()["bake"].clone()
}

#[test]
fn a_deploy_that_is_well_passes() {
    scenario(|world| {
        let service = WebService::start();
        deployed(&world, &service);
        world
            .tool(&["bake", "--window", "2s", "--every", "1s"])
            .exits(0)
            .says("passed");
        assert_eq!(shown(&world)["status"], "passed");
        assert!(is_at(&world, "two"));
        world.tool(&["bake", "--window", "4h"]).exits(2).says("180m");
        world
            .tool(&["bake", "hold", "--reason", "x"])
            .exits(1)
            .says("nothing is being watched");
    });
}

#[test]
fn one_that_fails_goes_back_through_the_guards() {
    scenario(|world| {
        let service = WebService::start();
        deployed(&world, &service);
        broken_by_the_second(&world, &service);
        // Nobody has said yes: it is planned and waits.
        let options = ["bake", "--window", "60s", "--every", "1s", "--times", "2"];
        world.tool(&options).exits(6);
        assert!(is_at(&world, "two"));
        let ran = world.tool(&[&options[..], &["--auto-approve", "--json"]].concat());
        let document = ran.exits(3).json();
        assert!(is_at(&world, "one"));
        assert_eq!(document["bake"]["status"], "rolled-back");
        assert_eq!(document["outcome"]["verification"]["passed"], true);
        let run = world.tool(&["runs", "show", document["bake"]["run"].as_str().unwrap(), "--json"]);
        assert_eq!(run.json()["run"]["reason"], "bake: health failed 2 times in a row");
        assert_eq!(
            world.tool(&["runs", "--json"]).json()["runs"].as_array().unwrap().len(),
            1
        );
    });
}

#[test]
fn nothing_goes_back_by_itself_where_that_is_not_wanted_or_it_flaps() {
    scenario(|world| {
        let service = WebService::start();
        deployed(&world, &service);
        service.answers(500);
        let ran = world.tool(&[
            "bake",
            "--window",
            "60s",
            "--every",
            "1s",
            "--times",
            "2",
            "--on-failure",
            "none",
        ]);
        ran.exits(3).says("nothing is rolled back").says("500, expected");
        // It failed before the bake began, too.
        world
            .tool(&[
                "bake",
                "--window",
                "2s",
                "--every",
                "1s",
                "--times",
                "1",
                "--compare",
                "--auto-approve",
            ])
            .exits(0);
        let count = AtomicUsize::new(0);
        service.answers_as(move || {
            if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                500
            } else {
                200
            }
        });
        world
            .tool(&[
                "bake",
                "--window",
                "4s",
                "--every",
                "1s",
                "--times",
                "2",
                "--auto-approve",
            ])
            .exits(0);
        assert!(is_at(&world, "two"));
    });
}

#[test]
fn a_bake_that_is_killed_goes_on_and_people_decide_meanwhile() {
    scenario(|world| {
        let service = WebService::start();
        deployed(&world, &service);
        let watching = world.start(&[
            "bake",
            "--window",
            "60s",
            "--every",
            "1s",
            "--times",
            "2",
            "--auto-approve",
        ]);
        wait_until("it looks", || shown_looks(&world) > 0);
        kill(watching.pid());
        watching.wait();
        let looks = shown_looks(&world);
        world
            .tool(&["bake", "hold", "--reason", "we look at it ourselves"])
            .exits(0);
        service.answers(500);
        let watching = world.start(&["bake", "--auto-approve"]);
        wait_until("it looks again", || shown_looks(&world) > looks + 3);
        let bake = shown(&world);
        assert_eq!(bake["status"], "watching", "{bake}");
        assert_eq!(bake["held"]["reason"], "we look at it ourselves");
        assert!(is_at(&world, "two"));
        broken_by_the_second(&world, &service);
        world.tool(&["bake", "extend", "10m"]).exits(0);
        world.tool(&["bake", "release"]).exits(0);
        let ran = watching.wait();
        ran.exits(3);
        assert!(is_at(&world, "one"));
        let bake = shown(&world);
        assert_eq!(bake["status"], "rolled-back");
        assert_eq!(bake["decisions"].as_array().unwrap().len(), 3);
    });
}

#[test]
fn a_bake_can_be_stopped_and_two_do_not_watch_at_once() {
    scenario(|world| {
        let service = WebService::start();
        deployed(&world, &service);
        let first = world.start(&["bake", "--window", "60s", "--every", "1s"]);
        wait_until("it looks", || shown_looks(&world) > 0);
        let pid = first.pid().to_string();
        world
            .tool(&["bake", "--window", "5m"])
            .exits(5)
            .says(&format!("watched already by process {pid}"))
            .says("bake show");
        let looks = shown_looks(&world);
        wait_until("the first goes on looking", || shown_looks(&world) > looks);
        world.tool(&["bake", "stop", "--reason", "all is well"]).exits(0);
        first.wait().exits(0);
        assert_eq!(shown(&world)["status"], "stopped");
    });
}

fn shown_looks(world: &World) -> u64 {
    std::thread::sleep(Duration::from_millis(200));
    let ran = world.tool(&["bake", "show", "--json"]);
    if ran.code == 0 {
        ran.json()["bake"]["looks"].as_u64().unwrap_or(0)
    } else {
        0
    }
}
