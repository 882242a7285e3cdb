//! The states that releases keep, page by page.

use std::sync::atomic::Ordering;

use rollback_server::access::Role::Viewer;
use serde_json::Value;

use crate::support::World;

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
