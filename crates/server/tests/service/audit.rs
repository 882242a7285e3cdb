//! A2: the record precedes the effect.

use std::sync::atomic::Ordering;

use rollback_engine::audit::Entry;
use rollback_server::access::Role::{Admin, Viewer};
use rollback_server::routes::ROUTES;

use crate::support::{World, lock_info, state};

const PATH: &str = "/v1/stacks/app/workspaces/default/state";

fn entries(world: &World) -> Vec<Entry> {
    let lines = world.service.audit.lines(0, usize::MAX).unwrap();
    lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn without_the_record_there_is_no_effect() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    world.keep_state("app", &state(1, "l", "x"));
    let run = uuid::Uuid::now_v7().to_string();
    world.keep_run(&run, "app");
    world.keep_rollback(&run, "app");
    let before = world.store.contents();
    world.store.audit_is_down.store(true, Ordering::SeqCst);
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.record.is_some()) {
        let path = route
            .path
            .replace("{stack}", "app")
            .replace("{workspace}", "default")
            .replace("{number}", "1")
            .replace("{rollback}", &run);
        let body = match route.method {
            "POST" if path.ends_with("/state") => state(2, "l", "y"),
            "LOCK" | "UNLOCK" => lock_info("x").into_bytes(),
            _ => b"{}".to_vec(),
        };
        let answer = world.call(route.method, &path, Some(&token), body).await.is(503);
        assert_eq!(answer.json()["code"], "unavailable", "{} {}", route.method, route.path);
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("canary"));
        tried += 1;
    }
    assert!(tried >= 10);
    assert_eq!(world.store.contents(), before);
    world.store.audit_is_down.store(false, Ordering::SeqCst);
    assert!(entries(&world).is_empty());
    world.call("POST", PATH, Some(&token), state(2, "l", "y")).await.is(200);
    let phases: Vec<String> = entries(&world).into_iter().map(|entry| entry.phase).collect();
    assert_eq!(phases, ["intended", "done"]);
}

#[tokio::test]
async fn every_change_is_on_record_and_so_is_every_look_at_raw_states() {
    let world = World::new();
    let (token, viewer) = (world.token(Admin, &[]), world.token(Viewer, &[]));
    world.call("POST", PATH, Some(&token), state(1, "l", "x")).await.is(200);
    world.get(PATH, &token).await.is(200);
    world
        .get("/v1/stacks/app/workspaces/default/versions/1/raw", &token)
        .await
        .is(200);
    world
        .get("/v1/stacks/app/workspaces/default/versions/1/redacted", &token)
        .await
        .is(200);
    world.call("POST", PATH, Some(&token), state(1, "l", "y")).await.is(409);
    world.call("DELETE", PATH, Some(&viewer), "").await.is(403);
    let found: Vec<(String, String)> = entries(&world)
        .into_iter()
        .map(|entry| (entry.action, entry.phase))
        .collect();
    let expected = [
        ("state.write", "intended"),
        ("state.write", "done"),
        ("state.read", "intended"),
        ("state.read", "done"),
        ("state.read", "intended"),
        ("state.read", "done"),
        ("state.write", "intended"),
        ("state.write", "refused"),
        ("state.delete", "denied"),
    ];
    assert_eq!(
        found,
        expected.map(|(action, phase)| (action.to_owned(), phase.to_owned()))
    );
    let tip = world.service.audit.verify(&[]).unwrap();
    assert_eq!(
        world.get("/v1/audit/tip", &token).await.is(200).json()["hash"],
        tip.hash.as_str()
    );
    let page = world
        .get("/v1/audit/entries?limit=2&after=1", &token)
        .await
        .is(200)
        .json();
    assert_eq!(page["next_after"], 3);
    assert!(page["lines"][0].as_str().unwrap().contains("\"sequence\":2"));
}
