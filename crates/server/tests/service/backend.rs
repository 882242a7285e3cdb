//! Terraform's `http` backend, request by request; real terraform speaks it in the end-to-end tests.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};
use rollback_release::States;
use rollback_server::access::Role::{Admin, Operator};

use crate::support::{PROJECT, World, lock_info, state};

const PATH: &str = "/v1/stacks/app/workspaces/default/state";

/// How much the slow ones try: INFRA_ROLLBACK_TEST_SCALE.
fn scale() -> usize {
    std::env::var("INFRA_ROLLBACK_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

#[tokio::test]
async fn the_life_of_a_state() {
    let world = World::new();
    let token = world.token(Operator, &["app"]);
    let call = async |method: &str, query: &str, body: Vec<u8>| {
        world.call(method, &format!("{PATH}{query}"), Some(&token), body).await
    };
    assert!(call("GET", "", vec![]).await.is(204).bytes.is_empty());
    let (mine, other) = (lock_info("mine"), lock_info("other"));
    call("LOCK", "", mine.clone().into_bytes()).await.is(200);
    call("LOCK", "", mine.clone().into_bytes()).await.is(200);
    let held = call("LOCK", "", other.clone().into_bytes()).await.is(423);
    assert_eq!(held.json()["ID"], "mine", "terraform shows the holder from the body");
    assert_eq!(held.json()["Who"], "ann@laptop");
    // Without the lock's ID, or with another's, nothing is written.
    call("POST", "", state(1, "l", "x")).await.is(423);
    call("POST", "?ID=other", state(1, "l", "x")).await.is(423);
    call("DELETE", "?ID=other", vec![]).await.is(423);
    call("GET", "", vec![]).await.is(204);
    let written = call("POST", "?ID=mine&commit=0123abc", state(1, "l", "x"))
        .await
        .is(200)
        .json();
    assert_eq!(
        (written["number"].as_u64(), written["commit"].as_str()),
        (Some(1), Some("0123abc"))
    );
    assert_eq!(written["lock_id"], "mine");
    // An answer that was lost: the same again is no new version.
    assert_eq!(
        call("POST", "?ID=mine", state(1, "l", "x")).await.is(200).json()["number"],
        1
    );
    let got = call("GET", "", vec![]).await.is(200);
    assert_eq!(got.bytes, state(1, "l", "x"));
    assert_eq!(
        got.header("content-md5"),
        BASE64.encode(Md5::digest(state(1, "l", "x")))
    );
    call("UNLOCK", "", other.into_bytes()).await.is(423);
    call("UNLOCK", "", mine.clone().into_bytes()).await.is(200);
    call("UNLOCK", "", mine.clone().into_bytes()).await.is(200);
    // Whoever's lock was taken away is told, and has written nothing.
    call("LOCK", "", mine.into_bytes()).await.is(200);
    call("UNLOCK", "", vec![]).await.is(200);
    let late = call("POST", "?ID=mine", state(2, "l", "y")).await.is(409);
    assert_eq!(late.json()["code"], "state-not-locked");
    call("POST", "", state(2, "l", "y")).await.is(200);
    call("DELETE", "", vec![]).await.is(200);
    call("GET", "", vec![]).await.is(204);
    let versions = world
        .get("/v1/stacks/app/workspaces/default/versions", &token)
        .await
        .is(200)
        .json();
    let numbers: Vec<u64> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
    let first = world
        .get("/v1/stacks/app/workspaces/default/versions/1/raw", &token)
        .await
        .is(200);
    assert_eq!(first.bytes, state(1, "l", "x"));
    world
        .get("/v1/stacks/app/workspaces/default/versions/3/raw", &token)
        .await
        .is(404);
    world
        .get("/v1/stacks/app/workspaces/default/versions/4", &token)
        .await
        .is(404);
}

#[tokio::test]
async fn what_may_not_be_written_is_not() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    let post = async |body: Vec<u8>| world.call("POST", PATH, Some(&token), body).await;
    post(state(5, "l", "x")).await.is(200);
    let before = world.store.contents();
    assert_eq!(post(state(5, "l", "y")).await.is(409).json()["code"], "state-serial");
    assert_eq!(post(state(4, "l", "x")).await.is(409).json()["code"], "state-serial");
    assert_eq!(
        post(state(6, "other", "x")).await.is(409).json()["code"],
        "state-lineage"
    );
    assert_eq!(post(state(6, "", "x")).await.is(409).json()["code"], "state-lineage");
    for body in [&b""[..], b"{}", b"\xff\xfe", b"{\"version\":5,\"serial\":9}", b"[[[["] {
        assert_eq!(post(body.to_vec()).await.is(400).json()["code"], "not-a-state");
    }
    let with_md5 = |md5: String| {
        Request::post(PATH)
            .header("authorization", format!("Bearer {token}"))
            .header("content-md5", md5)
            .body(Body::from(state(6, "l", "x")))
            .unwrap()
    };
    for wrong in [BASE64.encode([0; 16]), "nonsense".to_owned(), String::new()] {
        let answer = world.send(with_md5(wrong)).await.is(400);
        assert_eq!(answer.json()["code"], "content-md5-mismatch");
    }
    for info in ["{}", "[]", "nonsense", r#"{"ID":""}"#, r#"{"ID":7}"#] {
        world.call("LOCK", PATH, Some(&token), info).await.is(400);
    }
    world.call("LOCK", PATH, Some(&token), "").await.is(400);
    for path in [
        "/v1/stacks/a%2Fb/workspaces/default/state",
        "/v1/stacks/a/workspaces/%00/state",
    ] {
        world.call("POST", path, Some(&token), state(1, "l", "x")).await.is(400);
    }
    world
        .call(
            "POST",
            &format!("{PATH}?commit=nonsense"),
            Some(&token),
            state(6, "l", "x"),
        )
        .await
        .is(400);
    assert_eq!(world.store.contents(), before);
    world
        .send(with_md5(BASE64.encode(Md5::digest(state(6, "l", "x")))))
        .await
        .is(200);
}

/// As Terraform's http backend authenticates.
#[tokio::test]
async fn the_token_is_a_password_too() {
    let world = World::new();
    let token = world.token(Operator, &[]);
    let get = |credentials: String| {
        let request = Request::get(PATH).header("authorization", format!("Basic {}", BASE64.encode(credentials)));
        world.send(request.body(Body::empty()).unwrap())
    };
    get(format!("anybody:{token}")).await.is(204);
    get(format!(":{token}")).await.is(204);
    get(format!("{token}:")).await.is(401);
    get(token.clone()).await.is(401);
}

/// 16 clients, each with its own 200 writes at full scale: none is lost, none overwrites another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_clients_no_write_is_lost() {
    let world = std::sync::Arc::new(World::with(|service| {
        service.limits.patience = std::time::Duration::from_secs(60);
    }));
    let token = world.token(Operator, &["app"]);
    let (clients, writes) = (16, (200 * scale()).min(2000) / 10);
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (world, token) = (world.clone(), token.clone());
        tasks.push(tokio::spawn(async move {
            for write in 0..writes {
                let info = lock_info(&format!("client-{client}-{write}"));
                while world.call("LOCK", PATH, Some(&token), info.clone()).await.status != 200 {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                let current = world.get(PATH, &token).await;
                let serial = match current.status {
                    204 => 0,
                    _ => current.json()["serial"].as_u64().unwrap(),
                };
                let what = format!("client-{client}-{write}");
                let path = format!("{PATH}?ID=client-{client}-{write}");
                world
                    .call("POST", &path, Some(&token), state(serial + 1, "l", &what))
                    .await
                    .is(200);
                world.call("UNLOCK", PATH, Some(&token), info).await.is(200);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let states = States::new(world.store.as_ref(), PROJECT, "app", "default");
    let versions = states.versions(None, usize::MAX).unwrap();
    assert_eq!(versions.len(), clients * writes);
    let serials: std::collections::BTreeSet<u64> = versions
        .iter()
        .map(|version| version.state.as_ref().unwrap().serial)
        .collect();
    assert_eq!(serials.len(), clients * writes, "no serial was written twice");
    let locks: std::collections::BTreeSet<&String> =
        versions.iter().filter_map(|version| version.lock_id.as_ref()).collect();
    assert_eq!(locks.len(), clients * writes, "each under its own lock");
}

#[tokio::test]
async fn a_state_of_100_megabytes_comes_and_goes_whole() {
    let world = World::new();
    let token = world.token(Operator, &["app"]);
    let mut large = state(1, "l", "x");
    // White space belongs to the bytes as well.
    large.resize(100 << 20, b' ');
    world.call("POST", PATH, Some(&token), large.clone()).await.is(200);
    assert!(world.get(PATH, &token).await.is(200).bytes == large);
    let too_large = vec![b' '; (256 << 20) + 1];
    world.call("POST", PATH, Some(&token), too_large).await.is(413);
}
