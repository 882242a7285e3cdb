//! A2: the record precedes the effect.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rollback_engine::audit::Entry;
use rollback_engine::audit::key::SigningKey;
use rollback_engine::audit::merkle;
use rollback_server::access::Permission;
use rollback_server::access::Role::{Admin, Auditor, Viewer};
use rollback_server::routes::ROUTES;

use crate::support::{World, lock_info, state};

const PATH: &str = "/v1/stacks/app/workspaces/default/state";

fn entries(world: &World) -> Vec<Entry> {
    let lines = world.service.audit.lines(0, usize::MAX).unwrap();
    lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
#[allow(clippy::print_stderr)] // A suite says how much it tried.
async fn without_the_record_there_is_no_effect() {
    let world = World::new();
    // Whoever may do everything.
    let token = world.token_with(Admin, &Permission::GRANTED, &[]);
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
    eprintln!("{tried} kinds of changing requests without a record: 0 effects");
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

fn key() -> SigningKey {
    let bytes = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let text = BASE64.encode(bytes.as_ref());
    SigningKey::parse(&format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    ))
    .unwrap()
}

#[tokio::test]
async fn an_auditor_gets_checkpoints_and_proofs() {
    let world = World::new();
    let (admin, auditor) = (world.token(Admin, &[]), world.token(Auditor, &[]));
    world.call("POST", PATH, Some(&admin), state(1, "l", "x")).await.is(200);
    let key = key();
    let public = key.public();
    let signing = rollback_server::keep_signing(&world.service, key, Duration::from_secs(3600)).unwrap();
    world.call("POST", PATH, Some(&admin), state(2, "l", "y")).await.is(200);
    // The last one is signed when the service ends.
    drop(signing);
    let page = world.get("/v1/audit/checkpoints", &auditor).await.is(200).json();
    let sizes: Vec<u64> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["size"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [4, 2], "{page}");
    let (new, old) = (&page["items"][0], &page["items"][1]);
    let note = new["note"].as_str().unwrap();
    let checkpoint = rollback_engine::audit::checkpoint::Checkpoint::parse(note).unwrap();
    assert!(checkpoint.is_signed_by(&public));
    let rest = world
        .get("/v1/audit/checkpoints?limit=1&cursor=4", &auditor)
        .await
        .is(200)
        .json();
    assert_eq!(rest["items"][0]["size"], 2);

    let hash =
        |text: &serde_json::Value| -> merkle::Hash { hex::decode(text.as_str().unwrap()).unwrap().try_into().unwrap() };
    let hashes =
        |texts: &serde_json::Value| -> Vec<merkle::Hash> { texts.as_array().unwrap().iter().map(hash).collect() };
    let line = world.service.audit.lines(2, 1).unwrap().remove(0);
    let proof = world
        .get("/v1/audit/proofs/inclusion?sequence=3&size=4", &auditor)
        .await
        .is(200)
        .json();
    assert!(merkle::includes(
        &merkle::leaf(&line),
        2,
        4,
        &hashes(&proof["hashes"]),
        &checkpoint.root
    ));
    let proof = world
        .get("/v1/audit/proofs/consistency?from=2&to=4", &auditor)
        .await
        .is(200)
        .json();
    assert!(merkle::is_consistent(
        2,
        4,
        &hash(&old["root"]),
        &checkpoint.root,
        &hashes(&proof["hashes"])
    ));
    for (path, status) in [
        ("/v1/audit/proofs/inclusion", 400),
        ("/v1/audit/proofs/inclusion?sequence=x", 400),
        ("/v1/audit/proofs/inclusion?sequence=5", 404),
        ("/v1/audit/proofs/inclusion?sequence=1&size=5", 404),
        ("/v1/audit/proofs/consistency?from=5", 404),
        ("/v1/audit/checkpoints?cursor=x", 400),
    ] {
        world.get(path, &auditor).await.is(status);
    }
}
