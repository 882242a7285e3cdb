//! The store kept small and in order: marks, retention, garbage, the index, copies.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rollback_tests::{World, data, scenario};

/// Every blob of an embedded store looks as if it had been put a month ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(30 * 24 * 3600))
                .unwrap();
        }
    }
}

fn ids(world: &World, arguments: &[&str]) -> Vec<String> {
    let listed = world.tool(&[arguments, &["releases", "--json"]].concat()).json();
    let releases = listed["releases"].as_array().unwrap();
    releases
        .iter()
        .map(|release| release["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn old_releases_go_and_what_is_needed_stays() {
    scenario(|world| {
        let place = world.out.join("kept");
        let store = place.to_str().unwrap().to_owned();
        let with = |arguments: &[&str]| world.tool(&[&["--store", store.as_str()], arguments].concat());
        let mut commits = Vec::new();
        for number in 0..5 {
            let release = world.release_without_snapshot(&[("main.tf", &data("a", &format!("value {number}")))], &[]);
            commits.push(release.commit);
            with(&["snapshot"]).exits(0);
        }
        let made = ids(&world, &["--store", &store]);
        with(&["releases", "pin", &commits[0], "--reason", "the auditor asked"]).exits(0);
        with(&["releases", "bad", &commits[1]]).exits(0);
        with(&["releases"]).exits(0).says("pinned").says("bad");
        with(&["show", &commits[0]]).exits(0).says("the auditor asked");
        assert_eq!(with(&["show", &commits[1], "--json"]).json()["mark"]["verdict"], "bad");

        age(&place.join("blobs"));
        let dry = with(&["store", "gc", "--keep-last", "2", "--dry-run", "--json"]);
        let dry = dry.exits(0).json();
        let going: Vec<&str> = dry["releases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|release| release["id"].as_str().unwrap())
            .collect();
        assert_eq!(going, [&made[3], &made[2]], "the oldest first, the pinned one not");
        assert!(dry["bytes"].as_u64().unwrap() > 0);
        assert_eq!(dry["needed"][0]["id"], made[4].as_str());
        // Nobody said yes.
        with(&["store", "gc", "--keep-last", "2"])
            .exits(3)
            .says("nobody said yes");
        assert_eq!(ids(&world, &["--store", &store]), made);
        with(&["store", "gc", "--grace", "1h"]).exits(2).says("2d");

        let done = with(&["store", "gc", "--keep-last", "2", "--auto-approve", "--json"]);
        assert_eq!(done.exits(0).json()["removed"]["releases"].as_array().unwrap().len(), 2);
        let left = ids(&world, &["--store", &store]);
        assert_eq!(left, [&made[0], &made[1], &made[4]].map(Clone::clone));
        for id in &left {
            with(&["state", "pull", id]).exits(0);
        }
        // And one can still go back to the pinned one.
        with(&["to", &commits[0], "--auto-approve"]).exits(0);
        age(&place.join("blobs"));
        with(&["store", "gc", "--keep-last", "1", "--auto-approve"]).exits(0);
        with(&["undo", "--auto-approve"]).exits(0);
    });
}

#[test]
fn a_copy_is_the_same_store_and_the_index_can_be_made_anew() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        world.tool(&["releases", "pin", &first.commit]).exits(0);
        let copy = world.out.join("copy");
        let copy = copy.to_str().unwrap();
        let source = world.home.join("store").to_str().unwrap().to_owned();
        let copied = world.tool(&["store", "copy", &source, copy, "--json"]);
        assert!(copied.exits(0).json()["records"].as_u64().unwrap() >= 4);
        let there = |arguments: &[&str]| world.tool(&[&["--store", copy], arguments].concat());
        assert_eq!(
            there(&["releases", "--json"]).json()["releases"],
            world.tool(&["releases", "--json"]).json()["releases"]
        );
        assert_eq!(
            there(&["state", "pull", &first.commit]).exits(0).stdout,
            world.tool(&["state", "pull", &first.commit]).exits(0).stdout
        );
        let again = world.tool(&["store", "copy", &source, copy, "--json"]).json();
        assert_eq!((again["blobs"].as_u64(), again["records"].as_u64()), (Some(0), Some(0)));
        // What differs is never written over.
        there(&["releases", "bad", &first.commit]).exits(0);
        world
            .tool(&["store", "copy", &source, copy])
            .exits(3)
            .says("marks/")
            .says("written over");
        world
            .tool(&["store", "copy", "nowhere", copy])
            .exits(1)
            .says("no store");

        let rebuilt = there(&["store", "rebuild-index", "--json"]).exits(0).json();
        assert_eq!(
            (rebuilt["releases"].as_u64(), rebuilt["written"].as_u64()),
            (Some(2), Some(0))
        );
    });
}
