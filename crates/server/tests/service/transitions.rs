//! P2: only legal transitions. Every state of a run × every action × every role × every level of a denial.

use rollback_engine::run::Status;
use rollback_server::access::{Permission, Role};
use serde_json::{Value, json};

use crate::support::World;

const STATUSES: [Status; 9] = [
    Status::Planning,
    Status::AwaitingApproval,
    Status::Applying,
    Status::Halfway,
    Status::NeedsReconcile,
    Status::Completed,
    Status::Failed,
    Status::Refused,
    Status::Aborted,
];
const LEVELS: [Option<&str>; 4] = [None, Some("soft-mandatory"), Some("hard-mandatory"), Some("none")];

const RULE: &str = "rollback.exposure.deny";

/// An action, its body, and the permission that it takes.
fn actions() -> [(&'static str, Value, Permission); 6] {
    [
        ("approvals", json!({ "digest": "0" }), Permission::Approve),
        (
            "break-glass",
            json!({ "digest": "0", "reason": "it burns" }),
            Permission::BreakGlass,
        ),
        (
            "overrides",
            json!({ "rules": [RULE], "reason": "it burns" }),
            Permission::Override,
        ),
        ("cancel", json!({}), Permission::Operate),
        ("resume", json!({}), Permission::Operate),
        ("undo", json!({}), Permission::Operate),
    ]
}

/// What whoever may do it gets. 503 is the service without a repository: it was let through to where one is needed.
fn expected(action: &str, status: Status, level: Option<&str>) -> &'static [u16] {
    // An attempt that ended while its run was being planned is over, too; there is nothing of it to undo.
    let over = status.is_over() || status == Status::Planning;
    match action {
        // No plan has this digest, and only one that waits has one at all.
        "approvals" | "break-glass" => &[409],
        "overrides" => match level {
            None => &[409],
            Some("soft-mandatory") if over => &[409],
            Some("soft-mandatory") => &[201],
            Some(_) => &[422],
        },
        "cancel" if over => &[409],
        "cancel" => &[503],
        "resume" if over => &[409],
        "resume" => &[202],
        "undo" if status.is_over() || matches!(status, Status::Halfway | Status::NeedsReconcile) => &[503],
        "undo" => &[409],
        _ => &[],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_legal_transitions() {
    let world = World::new();
    let mut tried = 0;
    for role in Role::ALL {
        for grants in [&[][..], &[Permission::Override, Permission::BreakGlass][..]] {
            let token = world.token_with(role, grants, &[]);
            for status in STATUSES {
                for level in LEVELS {
                    for (action, body, permission) in actions() {
                        let id = uuid::Uuid::now_v7().to_string();
                        world.keep_attempt(&id, "app", status.as_str(), level.map(|level| (RULE, level)));
                        let before = world.store.contents();
                        let path = format!("/v1/rollbacks/{id}/{action}");
                        let answer = world.call("POST", &path, Some(&token), body.to_string()).await;
                        let may = role.allows(permission) || grants.contains(&permission);
                        let what = format!("{action} of {status:?} denied at {level:?} as {role:?} with {grants:?}");
                        let expected = if may { expected(action, status, level) } else { &[403] };
                        assert!(expected.contains(&answer.status), "{what}: {expected:?}, {answer:?}");
                        if answer.status >= 300 {
                            assert_eq!(world.store.contents(), before, "{what}: it had an effect");
                        } else {
                            world.service.wait_for_workers(std::time::Duration::from_secs(5));
                        }
                        world.forget(&id);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert_eq!(tried, 5 * 2 * 9 * 4 * 6);
}
