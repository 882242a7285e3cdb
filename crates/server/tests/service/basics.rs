//! Problems, the document, pages, tags, panics.

use axum::body::Body;
use axum::http::Request;
use rollback_server::access::Role::{Admin, Viewer};
use rollback_server::problem;
use serde_json::Value;
use std::sync::atomic::Ordering;

use crate::support::{World, state};

#[tokio::test]
async fn every_problem_has_a_page() {
    let world = World::new();
    let token = world.token(Viewer, &[]);
    for code in problem::ALL {
        let page = world
            .get(&format!("/v1/problems/{}", code.code), &token)
            .await
            .is(200)
            .json();
        assert_eq!(page["status"], code.status);
        assert!(page["explanation"].as_str().unwrap().len() > 30);
    }
    let missing = world.get("/v1/problems/nonsense", &token).await.is(404);
    assert_eq!(missing.header("content-type"), "application/problem+json");
    let problem = missing.json();
    assert_eq!(problem["type"], "/v1/problems/not-found");
    assert_eq!(problem["request_id"], missing.header("x-request-id"));
}

#[tokio::test]
async fn a_request_keeps_its_own_id_where_it_is_a_sensible_one() {
    let world = World::new();
    for (given, kept) in [("abc-1", true), ("a b", false), ("", false), (&"x".repeat(65), false)] {
        let request = Request::get("/v1/health")
            .header("x-request-id", given)
            .body(Body::empty());
        let answer = world.send(request.unwrap()).await.is(200);
        assert_eq!(answer.header("x-request-id") == given, kept, "{given:?}");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn wrong_methods_bodies_and_parameters_are_told() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    let answer = world.call("PUT", "/v1/stacks", Some(&token), "").await.is(405);
    assert_eq!(answer.header("allow"), "GET, HEAD");
    let head = world.call("HEAD", "/v1/stacks", Some(&token), "").await.is(200);
    assert!(head.bytes.is_empty());
    let length = world.get("/v1/stacks", &token).await.bytes.len();
    assert_eq!(head.header("content-length"), length.to_string());
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x", "limit=-1"] {
        world.get(&format!("/v1/releases?{query}"), &token).await.is(400);
    }
    let rollback = |body: &'static str| world.call("POST", "/v1/rollbacks", Some(&token), body);
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"revision":1}"#,
        r#"{"revision":"a","unknown":true}"#,
    ] {
        assert_eq!(rollback(body).await.is(400).json()["code"], "bad-request", "{body}");
    }
    let request = Request::post("/v1/rollbacks")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from("{}"));
    world.send(request.unwrap()).await.is(415);
    // It can be understood, and this service has no repository.
    assert_eq!(
        rollback(r#"{"revision":"main"}"#).await.is(503).json()["code"],
        "no-repository"
    );
    let huge = format!(r#"{{"revision":"{}"}}"#, "x".repeat(2 << 20));
    world.call("POST", "/v1/rollbacks", Some(&token), huge).await.is(413);
    // A path that is no UTF-8.
    world.get("/v1/stacks/%ff", &token).await.is(400);
}

#[tokio::test]
async fn releases_come_in_pages_and_with_tags() {
    let world = World::new();
    let token = world.token(Viewer, &["a"]);
    let mut mine = Vec::new();
    for number in 0..25 {
        let stacks: &[&str] = if number % 2 == 0 { &["a", "b"] } else { &["b"] };
        let release = world.release(stacks);
        if number % 2 == 0 {
            mine.insert(0, release.id.to_string());
        }
    }
    let mut seen = Vec::new();
    let mut path = "/v1/releases?limit=4".to_owned();
    loop {
        let page = world.get(&path, &token).await.is(200).json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().to_owned());
            assert_eq!(item["stacks"].as_array().unwrap().len(), 1, "b is left out");
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/releases?limit=4&cursor={cursor}");
    }
    assert_eq!(seen, mine);

    let path = format!("/v1/releases/{}", mine[0]);
    let tag = world.get(&path, &token).await.is(200).header("etag").to_owned();
    for (given, status) in [
        (tag.clone(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let request = Request::get(&path)
            .header("authorization", format!("Bearer {token}"))
            .header("if-none-match", &given)
            .body(Body::empty());
        let answer = world.send(request.unwrap()).await.is(status);
        assert_eq!(answer.bytes.is_empty(), status == 304, "{given}");
    }
}

#[tokio::test]
async fn a_panic_is_one_answer_without_a_word_of_it() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    world.store.panics.store(true, Ordering::SeqCst);
    let path = "/v1/stacks/app/workspaces/default/state";
    for method in ["GET", "POST", "DELETE"] {
        let answer = world.call(method, path, Some(&token), state(1, "l", "x")).await.is(500);
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(!text.contains("hunter2") && !text.contains("panic"), "{text}");
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    }
    world.store.panics.store(false, Ordering::SeqCst);
    world.call("POST", path, Some(&token), state(1, "l", "x")).await.is(200);
}

#[tokio::test]
async fn the_document_is_served_to_everybody() {
    let world = World::new();
    let answer = world.call("GET", "/v1/openapi.json", None, "").await.is(200);
    let document: Value = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/rollbacks"]["post"]["responses"]["202"].is_object());
}
