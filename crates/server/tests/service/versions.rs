//! Releases and the states that they keep, page by page.

use std::sync::atomic::Ordering;

use rollback_release::{Store, keys};
use rollback_server::access::Role::Viewer;
use serde_json::{Value, json};

use crate::support::{PROJECT, World};

#[tokio::test]
async fn pages_are_the_whole_list_and_each_reads_only_what_it_shows() {
    let world = World::new();
    let token = world.token(Viewer, &[]);
    let mut kept: Vec<String> = Vec::new();
    for number in 0..120 {
        // Every third release is of another stack alone.
        let stacks: &[&str] = if number % 3 == 0 { &["b"] } else { &["a", "b"] };
        let release = world.release(stacks);
        if stacks.contains(&"a") {
            kept.push(release.id.to_string());
        }
    }
    kept.sort();
    kept.reverse();
    let (mut found, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        world.store.rows.store(0, Ordering::SeqCst);
        let page = world
            .get(&format!("/v1/stacks/a/state-versions?limit=7{after}"), &token)
            .await
            .is(200)
            .json();
        let rows = world.store.rows.load(Ordering::SeqCst);
        assert!(
            rows < 60,
            "{rows} rows of 120 for a page of 7, after {} items",
            found.len()
        );
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        found.extend(items.iter().map(|item| item["release"].as_str().unwrap().to_owned()));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, kept);
    let odd: Value = world
        .get("/v1/stacks/a/state-versions?cursor=nonsense", &token)
        .await
        .is(400)
        .json();
    assert_eq!(odd["code"], "bad-request");
}

#[tokio::test]
async fn one_version_is_read_without_the_others() {
    let world = World::new();
    let token = world.token(Viewer, &[]);
    let releases: Vec<_> = (0..300).map(|_| world.release(&["a"])).collect();
    let one = releases[7].id.to_string();
    world.store.rows.store(0, Ordering::SeqCst);
    let found = world.get(&format!("/v1/stacks/a/state-versions/{one}"), &token).await;
    let found = found.is(200).json();
    assert_eq!(found["release"], one);
    assert_eq!(world.store.rows.load(Ordering::SeqCst), 0, "its manifest says it all");
    // By its bytes: the newest release that has them.
    let sha256 = found["sha256"].as_str().unwrap();
    let newest = world
        .get(&format!("/v1/stacks/a/state-versions/{sha256}"), &token)
        .await;
    assert_eq!(newest.is(200).json()["release"], releases[299].id.to_string());
    let rows = world.store.rows.load(Ordering::SeqCst);
    assert!(rows < 260, "{rows} rows of 300");
    for unknown in [
        "b/state-versions/".to_owned() + &one,
        "a/state-versions/".to_owned() + &"0".repeat(64),
    ] {
        world.get(&format!("/v1/stacks/{unknown}"), &token).await.is(404);
    }
}

#[tokio::test]
async fn a_page_of_releases_reads_none_of_them_singly() {
    let world = World::new();
    let (token, of_one) = (world.token(Viewer, &[]), world.token(Viewer, &["a"]));
    let stacks = |number: usize| -> &[&str] { if number.is_multiple_of(3) { &["b"] } else { &["a", "b"] } };
    let releases: Vec<_> = (0..120).map(|number| world.release(stacks(number))).collect();
    for number in [0, 60, 61, 119] {
        let drill = json!({ "revision": "x", "commit": "x", "releases": [], "reach": "reachable", "findings": [],
            "at": "2026-11-24T00:00:00Z", "by": format!("ann {number}"), "milliseconds": 1 });
        let key = keys::drill(PROJECT, releases[number].id.as_str());
        let _ = world.store.create(&key, drill.to_string().as_bytes()).unwrap();
    }
    for (token, sees) in [(&token, 120), (&of_one, 80)] {
        let (mut found, mut drills, mut cursor): (Vec<String>, Vec<String>, Option<String>) = Default::default();
        loop {
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            world.store.singly.store(0, Ordering::SeqCst);
            world.store.rows.store(0, Ordering::SeqCst);
            let page = world
                .get(&format!("/v1/releases?limit=25{after}"), token)
                .await
                .is(200)
                .json();
            // Whoever asks is looked up, too.
            let singly = world.store.singly.load(Ordering::SeqCst);
            assert!(singly < 10, "{singly} records were read for a page of 25");
            let rows = world.store.rows.load(Ordering::SeqCst);
            assert!(rows < 180, "{rows} rows of the index");
            for item in page["items"].as_array().unwrap() {
                found.push(item["id"].as_str().unwrap().to_owned());
                drills.extend(item["drill"]["by"].as_str().map(str::to_owned));
                assert_eq!(
                    item["stacks"].as_array().unwrap().len(),
                    if sees == 120 {
                        stacks(120 - found.len()).len()
                    } else {
                        1
                    }
                );
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let all: Vec<String> = (0..120)
            .rev()
            .filter(|number| sees == 120 || stacks(*number).contains(&"a"))
            .map(|number| releases[number].id.to_string())
            .collect();
        assert_eq!(found, all);
        let expected: &[&str] = if sees == 120 {
            &["ann 119", "ann 61", "ann 60", "ann 0"]
        } else {
            &["ann 119", "ann 61"]
        };
        assert_eq!(drills, expected);
    }
}
