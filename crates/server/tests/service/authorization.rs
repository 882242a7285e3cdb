//! W1: every route × every kind of principal × two tenants. A route without a row fails.

use rollback_engine::audit::Record;
use rollback_server::access::Role::{Admin, Approver, Auditor, Operator, Viewer};
use rollback_server::access::{Permission, Role};
use rollback_server::routes::ROUTES;
use rollback_server::tokens::Tokens;

use crate::support::{World, is_success, lock_info, state};

const ALL: &[Role] = &[Viewer, Auditor, Operator, Approver, Admin];
const RAW: &[Role] = &[Auditor, Operator, Admin];
const WRITE: &[Role] = &[Operator, Admin];
const OPERATE: &[Role] = &[Operator, Admin];
const APPROVE: &[Role] = &[Approver, Admin];
const AUDIT: &[Role] = &[Auditor, Admin];
const OVERRIDE: &[Role] = &[Admin];
/// It takes a grant: see `what_no_role_allows_is_granted_by_name`.
const NOBODY: &[Role] = &[];

/// What a principal of another tenant, whose role would suffice, gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    /// The route shows nothing of anybody.
    Same,
    /// What exists and what does not look the same.
    Hidden,
    /// 403, there or not.
    Forbidden,
    /// A list without it.
    LeftOut,
}
use Other::{Forbidden, Hidden, LeftOut, Same};

/// The roles that a route is open to, and how other tenants' things look. `None`: everybody, without a token.
fn expected(method: &str, path: &str) -> Option<(Option<&'static [Role]>, Other)> {
    let state = "/v1/stacks/{stack}/workspaces/{workspace}/state";
    Some(match (method, path) {
        ("GET", "/v1/health" | "/v1/ready" | "/v1/openapi.json") => (None, Same),
        ("GET", "/v1/problems" | "/v1/problems/{code}" | "/v1/principal") => (Some(ALL), Same),
        ("GET", "/v1/stacks" | "/v1/releases" | "/v1/runs" | "/v1/rollbacks" | "/v1/locks") => (Some(ALL), LeftOut),
        ("GET", "/v1/stacks/{stack}") => (Some(ALL), Hidden),
        ("GET", path) if path == state => (Some(RAW), Forbidden),
        ("POST" | "DELETE" | "LOCK" | "UNLOCK", path) if path == state => (Some(WRITE), Forbidden),
        ("GET", "/v1/stacks/{stack}/workspaces/{workspace}/versions")
        | ("GET", "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}")
        | ("GET", "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}/redacted")
        | ("GET", "/v1/stacks/{stack}/state-versions")
        | ("GET", "/v1/stacks/{stack}/state-versions/{version}")
        | ("GET", "/v1/stacks/{stack}/state-versions/{version}/redacted") => (Some(ALL), Hidden),
        ("GET", "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}/raw")
        | ("GET", "/v1/stacks/{stack}/state-versions/{version}/raw") => (Some(RAW), Hidden),
        ("GET", "/v1/releases/{release}" | "/v1/releases/{release}/diff") => (Some(ALL), Hidden),
        ("GET", "/v1/eligibility") => (Some(ALL), Hidden),
        ("GET", "/v1/runs/{run}") => (Some(ALL), Hidden),
        ("GET", "/v1/rollbacks/{rollback}")
        | ("GET", "/v1/rollbacks/{rollback}/plan")
        | ("GET", "/v1/rollbacks/{rollback}/events")
        | ("GET", "/v1/rollbacks/{rollback}/approvals")
        | ("GET", "/v1/rollbacks/{rollback}/overrides")
        | ("GET", "/v1/rollbacks/{rollback}/evaluations") => (Some(ALL), Hidden),
        ("POST", "/v1/releases") => (Some(OPERATE), Hidden),
        ("POST", "/v1/rollbacks") => (Some(OPERATE), Hidden),
        ("POST", "/v1/stacks/{stack}/restores") => (Some(OPERATE), Hidden),
        ("POST", "/v1/rollbacks/{rollback}/overrides") => (Some(OVERRIDE), Hidden),
        ("POST", "/v1/rollbacks/{rollback}/break-glass") => (Some(NOBODY), Hidden),
        ("POST", "/v1/rollbacks/{rollback}/approvals") => (Some(APPROVE), Hidden),
        ("POST", "/v1/rollbacks/{rollback}/cancel" | "/v1/rollbacks/{rollback}/resume")
        | ("POST", "/v1/rollbacks/{rollback}/undo") => (Some(OPERATE), Hidden),
        ("POST", "/v1/drills" | "/v1/verifications" | "/v1/policy/evaluations" | "/v1/policy/inputs")
        | ("POST", "/v1/stacks/{stack}/lock/release" | "/v1/releases/{release}/marks") => (Some(OPERATE), Hidden),
        ("GET", "/v1/tasks/{task}" | "/v1/runs/{run}/report") => (Some(ALL), Hidden),
        ("GET", "/v1/stacks/{stack}/blame" | "/v1/stacks/{stack}/lock") => (Some(ALL), Hidden),
        ("POST", "/v1/bakes" | "/v1/bake/decisions") => (Some(OPERATE), Forbidden),
        ("GET", "/v1/steps" | "/v1/steps/{step}" | "/v1/bake") => (Some(ALL), Forbidden),
        ("GET" | "PUT", "/v1/checkout") => (Some(OPERATE), Forbidden),
        ("GET", "/v1/audit/checkpoints" | "/v1/audit/proofs/inclusion" | "/v1/audit/proofs/consistency")
        | ("GET", "/v1/audit/entries" | "/v1/audit/tip" | "/v1/metrics") => (Some(AUDIT), Forbidden),
        _ => return None,
    })
}

struct Case {
    world: World,
    release: String,
    run: String,
}

/// A store with things of the tenants `a` and `b`, each under the same names.
fn case() -> Case {
    let world = World::new();
    let mut case = Case {
        release: String::new(),
        run: String::new(),
        world,
    };
    // Something to prove.
    case.world.service.audit.append(&Record::default()).unwrap();
    for stack in ["a", "b"] {
        let release = case.world.release(&[stack]);
        let run = uuid::Uuid::now_v7().to_string();
        case.world.keep_run(&run, stack);
        case.world.keep_rollback(&run, stack);
        case.world.keep_task(&run, stack);
        case.world.keep_state(stack, &state(1, "l", stack));
        if stack == "a" {
            case.release = release.id.to_string();
            case.run = run;
        }
    }
    case
}

impl Case {
    /// The path for things of tenant `a`.
    fn path(&self, route: &str) -> String {
        let mut path = route
            .replace("{stack}", "a")
            .replace("{workspace}", "default")
            .replace("{number}", "1")
            .replace("{version}", &self.release)
            .replace("{release}", &self.release)
            .replace("{task}", &self.run)
            .replace("{run}", &self.run)
            .replace("{rollback}", &self.run)
            .replace("{code}", "not-found");
        if route.ends_with("/diff") || route == "/v1/eligibility" {
            path.push_str(&format!("?to={}", self.release));
        }
        match route {
            "/v1/audit/proofs/inclusion" => path.push_str("?sequence=1"),
            "/v1/audit/proofs/consistency" => path.push_str("?from=1"),
            _ => {}
        }
        if route.ends_with("/blame") {
            path.push_str("?address=aws_db_instance.main");
        }
        if route == "/v1/eligibility" {
            path.push_str("&stack=a");
        }
        path
    }

    fn body(method: &str, path: &str) -> Vec<u8> {
        match (method, path) {
            ("POST", path) if path.ends_with("/state") => state(2, "l", "new"),
            ("LOCK" | "UNLOCK", _) => lock_info("0c5ee9d5").into_bytes(),
            ("POST", "/v1/rollbacks") => br#"{"revision":"main","stacks":["a"]}"#.to_vec(),
            ("POST", "/v1/releases") => br#"{"stacks":["a"]}"#.to_vec(),
            ("POST", path) if path.ends_with("/overrides") => br#"{"rules":["x"],"reason":"y"}"#.to_vec(),
            ("POST", path) if path.ends_with("/break-glass") => br#"{"digest":"x","reason":"y"}"#.to_vec(),
            ("POST", path) if path.ends_with("/restores") => br#"{"version":"x"}"#.to_vec(),
            ("POST", "/v1/drills" | "/v1/verifications") => br#"{"stacks":["a"]}"#.to_vec(),
            ("POST", path) if path.starts_with("/v1/policy/") => br#"{"revision":"main","stacks":["a"]}"#.to_vec(),
            ("POST", path) if path.ends_with("/lock/release") => br#"{"reason":"it hangs"}"#.to_vec(),
            ("POST", "/v1/bakes") => br#"{"window_seconds":1,"every_seconds":1,"times":1,"rollback":false}"#.to_vec(),
            ("POST", "/v1/bake/decisions") => br#"{"what":"release"}"#.to_vec(),
            ("POST", path) if path.ends_with("/marks") => br#"{"change":"pin"}"#.to_vec(),
            ("POST", path) if path.ends_with("/approvals") => br#"{"digest":"x"}"#.to_vec(),
            ("POST", _) => b"{}".to_vec(),
            _ => Vec::new(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_asks_every_principal() {
    let mut tried = 0;
    for route in ROUTES.iter() {
        let (method, path) = (route.method, route.path);
        let (roles, other) = expected(method, path)
            .unwrap_or_else(|| panic!("{method} {path} has no row in the table of who may call it: add one"));
        for tenant in [&["a"][..], &["b"], &[], &["a", "b"]] {
            for role in Role::ALL {
                // Each in a fresh store: what one may do must not show in what the next one sees.
                let case = case();
                let token = case.world.token(role, tenant);
                let before = case.world.store.contents();
                let answer = case
                    .world
                    .call(method, &case.path(path), Some(&token), Case::body(method, path))
                    .await;
                tried += 1;
                let what = format!(
                    "{method} {path} as {role:?} of {tenant:?}: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.bytes)
                );
                assert!(answer.status < 500 || answer.status == 503, "{what}");
                let Some(roles) = roles else {
                    assert!(is_success(answer.status), "{what}");
                    continue;
                };
                let may = roles.contains(&role);
                let sees = tenant.is_empty() || tenant.contains(&"a");
                let text = String::from_utf8_lossy(&answer.bytes);
                match (may, sees, other) {
                    (_, false, Hidden) if path.contains("{stack}") => assert_eq!(answer.status, 404, "{what}"),
                    (_, false, Forbidden) | (false, _, _) => assert_eq!(answer.status, 403, "{what}"),
                    // Of the project as a whole.
                    (true, true, Forbidden) if !path.contains("{stack}") && !tenant.is_empty() => {
                        assert_eq!(answer.status, 403, "{what}");
                    }
                    (true, false, Hidden) => assert_eq!(answer.status, 404, "{what}"),
                    (true, false, LeftOut) => {
                        assert_eq!(answer.status, 200, "{what}");
                        assert!(!text.contains(&case.release) && !text.contains(&case.run), "{what}");
                        assert!(!text.contains("\"a\""), "{what}");
                    }
                    (true, ..) => assert!(
                        // Beyond the door: what is asked for may not fit (409), or need a repository (503).
                        is_success(answer.status) || [409, 503].contains(&answer.status),
                        "{what}"
                    ),
                }
                if [401, 403, 404].contains(&answer.status) {
                    assert_eq!(case.world.store.contents(), before, "{what}: it had an effect");
                }
            }
        }
    }
    assert!(tried >= ROUTES.len() * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_opens_nothing_anywhere() {
    let case = case();
    let tokens = Tokens::new(case.world.store.as_ref(), crate::support::PROJECT);
    let revoked = case.world.token(Admin, &[]);
    tokens.revoke(revoked.split('_').nth(1).unwrap()).unwrap();
    let good = case.world.token(Admin, &[]);
    let last = if good.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{last}", &good[..good.len() - 1]);
    let before = case.world.store.contents();
    let bad = [
        None,
        Some(""),
        Some("irt_x_y"),
        Some(revoked.as_str()),
        Some(changed.as_str()),
    ];
    for token in bad {
        for route in ROUTES.iter() {
            let answer = case
                .world
                .call(
                    route.method,
                    &case.path(route.path),
                    token,
                    Case::body(route.method, route.path),
                )
                .await;
            match expected(route.method, route.path) {
                Some((None, _)) => assert!(is_success(answer.status), "{} {token:?}", route.path),
                _ => assert_eq!(answer.status, 401, "{} {} {token:?}", route.method, route.path),
            }
        }
        for (method, path) in [
            ("GET", "/v1"),
            ("GET", "/v1/nothing/here"),
            ("PUT", "/v1/stacks"),
            ("GET", "/"),
            ("POST", "/v1/health"),
        ] {
            let answer = case.world.call(method, path, token, "").await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(!answer.header("www-authenticate").is_empty());
        }
    }
    assert_eq!(case.world.store.contents(), before);
    let answer = case.world.get("/v1/nothing/here", &good).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (404, Some("not-found"))
    );
}

#[tokio::test]
async fn what_no_role_allows_is_granted_by_name() {
    let case = case();
    let (overrides, glass) = (
        case.path("/v1/rollbacks/{rollback}/overrides"),
        case.path("/v1/rollbacks/{rollback}/break-glass"),
    );
    let body = |path: &str| match path.ends_with("overrides") {
        true => r#"{"rules":["rollback.exposure.deny"],"reason":"it burns"}"#,
        false => r#"{"digest":"0","reason":"it burns"}"#,
    };
    for role in ALL {
        for (grants, opens) in [
            (vec![], [*role == Admin, false]),
            (vec![Permission::Override], [true, false]),
            (vec![Permission::BreakGlass], [*role == Admin, true]),
        ] {
            let token = case.world.token_with(*role, &grants, &["a"]);
            let stranger = case.world.token_with(*role, &grants, &["b"]);
            for (path, opens) in [&overrides, &glass].into_iter().zip(opens) {
                let answer = case.world.call("POST", path, Some(&token), body(path)).await;
                let expected = if opens { 409 } else { 403 };
                assert_eq!(answer.status, expected, "{role:?} with {grants:?}: {path}");
                let answer = case.world.call("POST", path, Some(&stranger), body(path)).await;
                assert_eq!(
                    answer.status,
                    if opens { 404 } else { 403 },
                    "{role:?} with {grants:?} of another tenant"
                );
            }
        }
    }
}
