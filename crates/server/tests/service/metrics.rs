//! What the service tells Prometheus of itself.

use rollback_server::access::Permission;
use rollback_server::access::Role::{Admin, Auditor, Operator, Viewer};

use crate::support::{World, state};

const STATE: &str = "/v1/stacks/app/workspaces/default/state";

async fn scrape(world: &World, token: &str) -> String {
    let answer = world.get("/v1/metrics", token).await.is(200);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    String::from_utf8(answer.bytes).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let world = World::new();
    let admin = world.token(Admin, &[]);
    world
        .call("POST", STATE, Some(&admin), state(1, "l", "x"))
        .await
        .is(200);
    world
        .call("POST", STATE, Some(&admin), state(1, "l", "y"))
        .await
        .is(409);
    world
        .get("/v1/stacks/secret-name/workspaces/default/versions", &admin)
        .await;
    world.get("/v1/nothing/here", &admin).await.is(404);
    world.call("GARBAGE", STATE, Some(&admin), "").await.is(405);
    world.release(&["app"]);
    world.keep_run(&uuid::Uuid::now_v7().to_string(), "app");
    let text = scrape(&world, &admin).await;
    let route = "/v1/stacks/{stack}/workspaces/{workspace}/state";
    for expected in [
        format!("infra_rollback_requests_total{{method=\"POST\",route=\"{route}\",status=\"200\"}} 1"),
        format!("infra_rollback_requests_total{{method=\"POST\",route=\"{route}\",status=\"409\"}} 1"),
        format!("infra_rollback_requests_total{{method=\"other\",route=\"{route}\",status=\"405\"}} 1"),
        "infra_rollback_requests_total{method=\"other\",route=\"(none)\",status=\"404\"} 1".to_owned(),
        format!("infra_rollback_request_duration_seconds_count{{method=\"POST\",route=\"{route}\"}} 2"),
        "infra_rollback_runs{status=\"completed\"} 1".to_owned(),
        "infra_rollback_approvals_pending 0".to_owned(),
        "infra_rollback_newest_release_age_seconds{stack=\"app\"}".to_owned(),
        "infra_rollback_store_call_duration_seconds_count{call=\"create\"}".to_owned(),
        "infra_rollback_requests_in_flight 1".to_owned(),
        "infra_rollback_audit_entries".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} is not in\n{text}");
    }
    for hidden in [
        "canary",
        "secret-name",
        "GARBAGE",
        "nothing/here",
        "aws_db_instance",
        "irt_",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in\n{text}");
    }
}

#[tokio::test]
async fn failures_of_the_store_are_counted() {
    let world = World::new();
    let admin = world.token(Admin, &[]);
    let is_down = &world.store.audit_is_down;
    is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    world
        .call("POST", STATE, Some(&admin), state(1, "l", "x"))
        .await
        .is(503);
    is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    let text = scrape(&world, &admin).await;
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("store_call_errors_total"))
        .collect();
    assert!(errors.iter().any(|line| line.ends_with(" 1")), "{errors:?}");
}

#[tokio::test]
async fn they_take_a_permission() {
    let world = World::new();
    for (token, status) in [
        (world.token(Auditor, &[]), 200),
        (world.token(Auditor, &["app"]), 403),
        (world.token(Viewer, &[]), 403),
        (world.token(Operator, &[]), 403),
        (world.token_with(Viewer, &[Permission::ReadMetrics], &[]), 200),
    ] {
        world.get("/v1/metrics", &token).await.is(status);
    }
    world.call("GET", "/v1/metrics", None, "").await.is(401);
}
