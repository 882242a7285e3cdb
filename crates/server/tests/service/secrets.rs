//! S1 for the service: what a state holds secret is in no answer but the raw one.

use base64::Engine;
use rollback_server::access::Role::{Admin, Auditor};
use rollback_server::routes::ROUTES;

use crate::support::{World, state};

/// A secret in every form in which it could leave.
fn forms(secret: &str) -> Vec<String> {
    let url: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        secret.to_owned(),
        base64::engine::general_purpose::STANDARD.encode(secret),
        hex::encode(secret),
        url,
    ]
}

#[tokio::test]
async fn no_answer_but_the_raw_one_has_a_secret() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    let release = world.release(&["app"]);
    let other = world.release(&["app"]);
    world.keep_state("app", &state(1, "l", "written"));
    let secrets: Vec<String> = ["app", "written"]
        .into_iter()
        .flat_map(|what| ["output", "password", "marked"].map(|kind| format!("canary-{kind}-{what}")))
        .flat_map(|secret| forms(&secret))
        .collect();
    let (mut looked, mut raw) = (0, 0);
    for route in ROUTES
        .iter()
        .filter(|route| route.method == "GET" && !route.path.contains("{rollback}"))
    {
        let path = route
            .path
            .replace("{stack}", "app")
            .replace("{workspace}", "default")
            .replace("{number}", "1")
            .replace("{version}", release.id.as_str())
            .replace("{release}", release.id.as_str());
        let path = if path.ends_with("/diff") {
            format!("{path}?to={}", other.id)
        } else {
            path
        };
        let answer = world.get(&path, &token).await;
        let text = String::from_utf8_lossy(&answer.bytes);
        let hits = secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
        if route.path.ends_with("/raw") || route.path.ends_with("/state") {
            // The control: the scanner does find them where they are.
            assert_eq!(hits, 3, "{path}");
            raw += 1;
        } else {
            assert_eq!(hits, 0, "{path}: {text}");
        }
        looked += 1;
    }
    assert!(looked >= 20 && raw == 3, "{looked} {raw}");
    let redacted = world
        .get("/v1/stacks/app/workspaces/default/versions/1/redacted", &token)
        .await
        .is(200)
        .json();
    assert_eq!(
        redacted["outputs"]["shown"]["value"], "written",
        "what is no secret is shown"
    );
    assert_eq!(redacted["resources"][0]["attributes"]["id"], "db-1");
    let log = world.service.audit.lines(0, usize::MAX).unwrap().concat();
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(!secrets.iter().any(|secret| log.contains(secret.as_str())));
    let auditor = world.token(Auditor, &["other"]);
    world
        .get("/v1/stacks/app/workspaces/default/versions/1/redacted", &auditor)
        .await
        .is(404);
}

#[tokio::test]
async fn a_body_that_is_refused_is_not_quoted() {
    let world = World::new();
    let token = world.token(Admin, &[]);
    for (body, says) in [
        (r#""hunter2""#, "invalid type, expected struct NewRollback at line 1"),
        (
            r#"{"revision":["hunter2"]}"#,
            "invalid type, expected a string at line 1",
        ),
        (
            r#"{"revision":"x","variables":"hunter2, expected hunter2"}"#,
            "invalid type, expected a map at line 1",
        ),
        (
            r#"{"revision":"x","dry_run":"hunter2"}"#,
            "expected a boolean at line 1",
        ),
        (r#"{"revison":"hunter2"}"#, "unknown field `revison`, expected one of"),
        (r#"{"reason":"hunter2"}"#, "missing field `revision`"),
        (r#"{"revision":"hunter2" x"#, "expected `,` or `}` at line 1"),
    ] {
        let answer = world.call("POST", "/v1/rollbacks", Some(&token), body).await.is(400);
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(text.contains(says) && !text.contains("hunter2"), "{body}: {text}");
    }
}
