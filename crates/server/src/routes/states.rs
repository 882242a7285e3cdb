//! Stacks, Terraform's state backend, and the versions of states.

use super::{Access, PAGED, Parameter, Payload, Route, header, json, nothing, query, read};
use crate::access::Permission;
use crate::handlers::{backend, records, versions};

const STATE: &str = "/v1/stacks/{stack}/workspaces/{workspace}/state";
const LOCK_ID: Parameter = query("ID", "Text", "The ID of the lock that the writer holds");

pub(super) static ROUTES: &[Route] = &[
    read(
        "/v1/stacks",
        "stacks.list",
        "stacks",
        "The stacks that the token may see",
        &[json(200, "Page")],
        records::stacks,
    ),
    read(
        "/v1/stacks/{stack}",
        "stacks.get",
        "stacks",
        "One stack",
        &[json(200, "Stack")],
        records::stack,
    ),
    Route {
        access: Access::Backend(Permission::ReadRawState),
        record: Some("state.read"),
        answers: &[json(200, "State"), nothing(204)],
        ..read(
            STATE,
            "state.get",
            "state backend",
            "The current state's very bytes; 204 where there is none",
            &[],
            backend::get,
        )
    },
    Route {
        method: "POST",
        access: Access::Backend(Permission::WriteState),
        record: Some("state.write"),
        payload: Payload::State,
        parameters: &[
            LOCK_ID,
            query("commit", "Text", "The commit that is applied, for the record"),
            header("Content-MD5", "Text", "The MD5 of the body in base64: checked"),
        ],
        answers: &[json(200, "StateVersion")],
        problems: &[400, 409, 413, 423],
        ..read(
            STATE,
            "state.post",
            "state backend",
            "Writes the state as a new version",
            &[],
            backend::post,
        )
    },
    Route {
        method: "DELETE",
        access: Access::Backend(Permission::WriteState),
        record: Some("state.delete"),
        parameters: &[LOCK_ID],
        answers: &[nothing(200)],
        problems: &[409, 423],
        ..read(
            STATE,
            "state.delete",
            "state backend",
            "Deletes the state; its versions stay",
            &[],
            backend::delete,
        )
    },
    Route {
        method: "LOCK",
        access: Access::Backend(Permission::WriteState),
        record: Some("state.lock"),
        payload: Payload::LockInfo,
        answers: &[json(200, "LockInfo")],
        problems: &[400, 409, 413, 423],
        ..read(
            STATE,
            "state.lock",
            "state backend",
            "Takes Terraform's lock; the same ID again is no conflict",
            &[],
            backend::lock,
        )
    },
    Route {
        method: "UNLOCK",
        access: Access::Backend(Permission::WriteState),
        record: Some("state.unlock"),
        payload: Payload::LockInfo,
        answers: &[nothing(200)],
        problems: &[400, 409, 413, 423],
        ..read(
            STATE,
            "state.unlock",
            "state backend",
            "Gives Terraform's lock back; without a body by force",
            &[],
            backend::unlock,
        )
    },
    Route {
        parameters: PAGED,
        ..read(
            "/v1/stacks/{stack}/workspaces/{workspace}/versions",
            "written.list",
            "state versions",
            "Every state that was written through the backend, newest first",
            &[json(200, "Page")],
            versions::written,
        )
    },
    read(
        "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}",
        "written.get",
        "state versions",
        "One of them, without values",
        &[json(200, "StateVersion")],
        versions::written_one,
    ),
    read(
        "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}/redacted",
        "written.redacted",
        "state versions",
        "Its objects, what is sensitive masked",
        &[json(200, "RedactedState")],
        versions::written_redacted,
    ),
    Route {
        access: Access::Seen(Permission::ReadRawState),
        record: Some("state.read"),
        ..read(
            "/v1/stacks/{stack}/workspaces/{workspace}/versions/{number}/raw",
            "written.raw",
            "state versions",
            "Its very bytes",
            &[json(200, "State")],
            versions::written_raw,
        )
    },
    Route {
        parameters: PAGED,
        ..read(
            "/v1/stacks/{stack}/state-versions",
            "versions.list",
            "state versions",
            "Every state that a release keeps, newest first",
            &[json(200, "Page")],
            versions::kept,
        )
    },
    read(
        "/v1/stacks/{stack}/state-versions/{version}",
        "versions.get",
        "state versions",
        "One of them, by its release or sha256, without values",
        &[json(200, "StateVersion")],
        versions::kept_one,
    ),
    read(
        "/v1/stacks/{stack}/state-versions/{version}/redacted",
        "versions.redacted",
        "state versions",
        "Its objects, what is sensitive masked",
        &[json(200, "RedactedState")],
        versions::kept_redacted,
    ),
    Route {
        access: Access::Seen(Permission::ReadRawState),
        record: Some("state.read"),
        ..read(
            "/v1/stacks/{stack}/state-versions/{version}/raw",
            "versions.raw",
            "state versions",
            "Its very bytes",
            &[json(200, "State")],
            versions::kept_raw,
        )
    },
    Route {
        problems: &[422],
        ..read(
            "/v1/locks",
            "locks.list",
            "stacks",
            "Who works on which stack, and who holds which of Terraform's locks",
            &[json(200, "Page")],
            records::locks,
        )
    },
];
