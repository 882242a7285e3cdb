//! The shared store kept in order, by processes that are killed: collections of garbage, copies, the index made anew.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rollback_store_aws::{AwsStore, Location};
use rollback_tests::{Chance, World, data, kill, scale, shared_store};
use serde_json::Value;

use crate::shared_store::scenario;

/// Every object of a store's bucket looks as if it had been put a month ago.
fn age(store: &str) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("the store is on the emulator");
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let bucket = Location::parse(store).unwrap().bucket;
    let mut stream = TcpStream::connect(host).expect("the emulator listens");
    let request = format!(
        "POST /age-objects?{bucket} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 204 "), "{answer}");
}

fn ids(world: &World, store: &str) -> Vec<String> {
    let listed = world.tool(&["--store", store, "releases", "--json"]).exits(0).json();
    let releases = listed["releases"].as_array().unwrap();
    let id = |release: &Value| release["id"].as_str().unwrap().to_owned();
    releases.iter().map(id).collect()
}

/// The states of all releases, each read whole and verified.
fn states(world: &World, store: &str) -> Vec<Vec<u8>> {
    ids(world, store)
        .iter()
        .map(|id| {
            world
                .tool(&["--store", store, "state", "pull", id])
                .exits(0)
                .bytes
                .clone()
        })
        .collect()
}

/// Starts a command again and again and kills it a while later, then once more to its end; `check` looks after each.
fn killed_again_and_again(world: &World, command: &[&str], check: impl Fn(&World)) -> Value {
    let mut chance = Chance::new();
    for _ in 0..4 * scale() {
        let tool = world.start(command);
        std::thread::sleep(Duration::from_millis(30 + chance.below(900)));
        kill(tool.pid());
        let ended = tool.wait();
        assert!([0, -9].contains(&ended.code), "{ended}");
        check(world);
    }
    let ended = world.tool(command);
    check(world);
    ended.exits(0).json()
}

/// Makes six releases; from then on each command names its store. Gives the store's URL and the releases' ids.
fn releases(world: &mut World) -> (String, Vec<String>) {
    for number in 0..6 {
        world.release_without_snapshot(&[("main.tf", &data("a", &format!("value {number}")))], &[]);
        world.snapshot();
    }
    let store = world.store.take().expect("the world has a shared store");
    let made = ids(world, &store);
    (store, made)
}

#[test]
fn a_collection_that_is_killed_keeps_all_that_is_needed() {
    scenario(|mut world| {
        let (store, made) = releases(&mut world);
        age(&store);
        let gc = |how| ["--store", &store, "store", "gc", "--keep-last", "2", how, "--json"];
        let dry = world.tool(&gc("--dry-run"));
        let dry = dry.exits(0).json();
        assert_eq!(dry["releases"].as_array().unwrap().len(), 4, "{dry}");
        assert!(dry["blobs"].as_array().unwrap().len() >= 4, "{dry}");
        killed_again_and_again(&world, &gc("--auto-approve"), |world| {
            let left = ids(world, &store);
            assert_eq!(left[..2], made[..2], "the newest two stay");
            assert_eq!(states(world, &store).len(), left.len(), "what is listed can be read");
        });
        assert_eq!(ids(&world, &store), made[..2]);
        let left = world.tool(&gc("--dry-run")).exits(0).json();
        assert_eq!(
            (left["releases"].as_array().unwrap().len(), &left["bytes"]),
            (0, &Value::from(0)),
            "{left}"
        );
        world.tool(&["--store", &store, "snapshot"]).exits(0);
    });
}

#[test]
fn a_copy_that_is_killed_goes_on_and_is_the_same_store() {
    scenario(|mut world| {
        let (store, made) = releases(&mut world);
        let there = states(&world, &store);
        // Out of the shared store, and from the copy into another shared one.
        let local = world.out.join("copy").display().to_string();
        let other = shared_store().unwrap();
        for (from, to) in [(&store, &local), (&local, &other)] {
            if to.starts_with("s3://") {
                world.tool(&["--store", to, "store", "create"]).exits(0);
            }
            killed_again_and_again(&world, &["store", "copy", from, to, "--json"], |world| {
                assert_eq!(states(world, from), there, "the source is as it was");
                let looked = world.tool(&["--store", to, "releases"]);
                if looked.code != 0 {
                    // Killed before it had made anything.
                    looked.says("there is no store in");
                    return;
                }
                let copied = ids(world, to);
                assert!(copied.iter().all(|id| made.contains(id)));
                assert_eq!(states(world, to).len(), copied.len(), "what is listed can be read");
            });
            assert_eq!(ids(&world, to), made);
            assert_eq!(states(&world, to), there);
        }
    });
}

/// The table is lost, and the bucket is what counts.
#[test]
fn releases_outlive_their_table() {
    scenario(|mut world| {
        let (store, made) = releases(&mut world);
        let before = states(&world, &store);
        let shared = AwsStore::open(&Location::parse(&store).unwrap()).unwrap();
        let (dynamodb, table) = (&shared.clients().dynamodb, &shared.location().table);
        let unprotect = dynamodb.update_table().deletion_protection_enabled(false);
        shared.clients().wait(unprotect.table_name(table).send()).unwrap();
        let delete = dynamodb.delete_table().table_name(table);
        shared.clients().wait(delete.send()).unwrap();
        world.tool(&["--store", &store, "store", "create"]).exits(0);
        let rebuilt = killed_again_and_again(
            &world,
            &["--store", &store, "store", "rebuild-index", "--json"],
            |world| {
                assert_eq!(ids(world, &store), made);
            },
        );
        assert_eq!(rebuilt["releases"].as_u64(), Some(6), "{rebuilt}");
        assert_eq!(states(&world, &store), before);
        world.tool(&["--store", &store, "plan", &made[5], "--json"]).exits(0);
    });
}
