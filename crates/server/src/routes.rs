//! Every route of the service, in one table: who may call it, what goes on record, and what the document says of it.

use axum::response::Response;

use crate::access::Permission;
use crate::call::Call;
use crate::handlers::{approvals, audit, backend, checkout, events, general, records, releases, rollbacks, versions};
use crate::problem::Result;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Anonymous,
    /// Whoever has the permission; a stack that the token is not for does not exist (404), and lists leave it out.
    Seen(Permission),
    /// As [`Access::Seen`], but a stack that the token is not for is 403, there or not: Terraform takes 404 for an empty
    /// state and would make everything a second time.
    Backend(Permission),
    /// Only tokens for all stacks.
    Whole(Permission),
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    None,
    /// JSON of the schema of this name in the document.
    Json(&'static str),
    /// The bytes of a Terraform state.
    State,
    /// Terraform's LockInfo, or nothing.
    LockInfo,
    /// A checkout: a tar compressed with zstd.
    Archive,
}

/// What a handler answers with when all is well.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub status: u16,
    /// The schema's name in the document; none for an answer without a body.
    pub schema: Option<&'static str>,
    pub media: &'static str,
}

/// A parameter after the question mark, or in a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub place: &'static str,
    pub required: bool,
    pub schema: &'static str,
    pub about: &'static str,
}

/// One method of one path.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    /// The operation's id in the document.
    pub id: &'static str,
    pub tag: &'static str,
    pub about: &'static str,
    pub access: Access,
    /// The action under which calls go on record before they are carried out; none for those that only look.
    pub record: Option<&'static str>,
    pub payload: Payload,
    pub parameters: &'static [Parameter],
    pub answers: &'static [Answer],
    /// The statuses of problems beside those that every route may answer with.
    pub problems: &'static [u16],
    /// Whether it asks a store or a process.
    pub blocks: bool,
    pub handler: fn(&Call) -> Result<Response>,
}

const fn json(status: u16, schema: &'static str) -> Answer {
    Answer {
        status,
        schema: Some(schema),
        media: "application/json",
    }
}

const fn nothing(status: u16) -> Answer {
    Answer {
        status,
        schema: None,
        media: "",
    }
}

const fn query(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        place: "query",
        required: false,
        schema,
        about,
    }
}

const fn required(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        required: true,
        ..query(name, schema, about)
    }
}

const fn header(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        place: "header",
        ..query(name, schema, about)
    }
}

/// A route that looks, answered with 200 and JSON.
const fn read(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    schema: &'static [Answer],
    handler: fn(&Call) -> Result<Response>,
) -> Route {
    Route {
        method: "GET",
        path,
        id,
        tag,
        about,
        access: Access::Seen(Permission::Read),
        record: None,
        payload: Payload::None,
        parameters: &[],
        answers: schema,
        problems: &[],
        blocks: true,
        handler,
    }
}

/// A route that changes something, with a body of JSON.
#[allow(clippy::too_many_arguments)] // A row of a table, not a call.
const fn write(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    permission: Permission,
    body: &'static str,
    answers: &'static [Answer],
    handler: fn(&Call) -> Result<Response>,
) -> Route {
    Route {
        method: "POST",
        access: Access::Seen(permission),
        record: Some(id),
        payload: Payload::Json(body),
        problems: &[409, 413, 415, 422],
        ..read(path, id, tag, about, answers, handler)
    }
}

const STATE: &str = "/v1/stacks/{stack}/workspaces/{workspace}/state";

const CURSOR: Parameter = query("cursor", "Cursor", "The next_cursor of the page before");
const LIMIT: Parameter = query("limit", "Limit", "How many items, 1 to 100 (default 20)");
const PAGED: &[Parameter] = &[CURSOR, LIMIT];
const LOCK_ID: Parameter = query("ID", "Text", "The ID of the lock that the writer holds");

/// Every route.
pub static ROUTES: &[Route] = &[
    Route {
        access: Access::Anonymous,
        blocks: false,
        ..read(
            "/v1/health",
            "health",
            "service",
            "Whether the process answers",
            &[json(200, "Health")],
            general::health,
        )
    },
    Route {
        access: Access::Anonymous,
        problems: &[503],
        ..read(
            "/v1/ready",
            "ready",
            "service",
            "Whether the store answers, too",
            &[json(200, "Health")],
            general::ready,
        )
    },
    Route {
        access: Access::Anonymous,
        blocks: false,
        ..read(
            "/v1/openapi.json",
            "openapi",
            "service",
            "This document",
            &[json(200, "Object")],
            general::openapi,
        )
    },
    read(
        "/v1/problems",
        "problems.list",
        "service",
        "Every code that a problem may have",
        &[json(200, "Page")],
        general::problems,
    ),
    read(
        "/v1/problems/{code}",
        "problems.get",
        "service",
        "What a code means and what helps",
        &[json(200, "ProblemPage")],
        general::problem,
    ),
    read(
        "/v1/principal",
        "principal.get",
        "service",
        "Who the token is, and what it may do",
        &[json(200, "Principal")],
        general::principal,
    ),
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
        parameters: PAGED,
        ..read(
            "/v1/releases",
            "releases.list",
            "releases",
            "Releases, newest first",
            &[json(200, "Page")],
            releases::list,
        )
    },
    Route {
        problems: &[409, 413, 415, 422, 503],
        ..write(
            "/v1/releases",
            "releases.create",
            "releases",
            "Keeps HEAD and the live state of the stacks as a release",
            Permission::Operate,
            "NewRelease",
            &[json(201, "Release")],
            releases::create,
        )
    },
    Route {
        access: Access::Whole(Permission::Operate),
        problems: &[409],
        ..read(
            "/v1/checkout",
            "checkout.get",
            "releases",
            "The checkout that clients bring, and the commits that need not be brought again",
            &[json(200, "Checkout")],
            checkout::get,
        )
    },
    Route {
        method: "PUT",
        access: Access::Whole(Permission::Operate),
        record: Some("checkout.put"),
        payload: Payload::Archive,
        problems: &[409, 413, 415, 422],
        ..read(
            "/v1/checkout",
            "checkout.put",
            "releases",
            "Brings a checkout: commits that the service lacks, and the files beside them",
            &[json(200, "CheckoutTaken")],
            checkout::put,
        )
    },
    Route {
        parameters: &[header("If-None-Match", "Text", "The ETag that the caller has")],
        answers: &[json(200, "Release"), nothing(304)],
        problems: &[422],
        ..read(
            "/v1/releases/{release}",
            "releases.get",
            "releases",
            "One release, by id, name or commit",
            &[],
            releases::get,
        )
    },
    Route {
        parameters: &[required("to", "Text", "The other release")],
        problems: &[422],
        ..read(
            "/v1/releases/{release}/diff",
            "releases.diff",
            "releases",
            "What differs in another release, object by object",
            &[json(200, "Diff")],
            releases::diff,
        )
    },
    Route {
        parameters: &[
            required("to", "Text", "A commit, tag, branch, release name or @{2 hours ago}"),
            query("stack", "Text", "Only this stack; may be given several times"),
        ],
        problems: &[409, 422, 503],
        ..read(
            "/v1/eligibility",
            "eligibility.get",
            "rollbacks",
            "Can we get back there, and at what price? The inverse plan alone: terraform is not asked, nothing is started",
            &[json(200, "Eligibility")],
            releases::eligibility,
        )
    },
    Route {
        parameters: PAGED,
        problems: &[422],
        ..read(
            "/v1/runs",
            "runs.list",
            "runs",
            "Runs, the command line's among them, newest first",
            &[json(200, "Page")],
            records::runs,
        )
    },
    read(
        "/v1/runs/{run}",
        "runs.get",
        "runs",
        "One run with its journal",
        &[json(200, "Run")],
        records::run,
    ),
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
    Route {
        parameters: &[header(
            "Idempotency-Key",
            "Text",
            "The same key and body again give the same rollback, for as long as it is kept",
        )],
        problems: &[404, 409, 413, 415, 422, 503],
        ..write(
            "/v1/rollbacks",
            "rollbacks.create",
            "rollbacks",
            "Asks for a rollback; it is planned, then awaits approval",
            Permission::Operate,
            "NewRollback",
            &[json(202, "Rollback")],
            rollbacks::create,
        )
    },
    Route {
        parameters: PAGED,
        ..read(
            "/v1/rollbacks",
            "rollbacks.list",
            "rollbacks",
            "Rollbacks that were asked for here, newest first",
            &[json(200, "Page")],
            rollbacks::list,
        )
    },
    Route {
        parameters: &[header("If-None-Match", "Text", "The ETag that the caller has")],
        answers: &[json(200, "Rollback"), nothing(304)],
        ..read(
            "/v1/rollbacks/{rollback}",
            "rollbacks.get",
            "rollbacks",
            "One rollback",
            &[],
            rollbacks::get,
        )
    },
    Route {
        problems: &[409],
        ..read(
            "/v1/rollbacks/{rollback}/plan",
            "rollbacks.plan",
            "rollbacks",
            "The plan as it was last shown, as `infra-rollback plan --json` gives it",
            &[json(200, "Plan")],
            rollbacks::plan,
        )
    },
    Route {
        parameters: &[header(
            "Last-Event-ID",
            "Text",
            "The last event that the caller has seen",
        )],
        answers: &[Answer {
            status: 200,
            schema: Some("Text"),
            media: "text/event-stream",
        }],
        ..read(
            "/v1/rollbacks/{rollback}/events",
            "rollbacks.events",
            "rollbacks",
            "The run's journal as it is written (server-sent events); ends with the event `end`",
            &[],
            events::stream,
        )
    },
    read(
        "/v1/rollbacks/{rollback}/approvals",
        "approvals.list",
        "rollbacks",
        "Who has said yes to the plan as it is now",
        &[json(200, "Approvals")],
        approvals::list,
    ),
    write(
        "/v1/rollbacks/{rollback}/approvals",
        "approvals.create",
        "rollbacks",
        "Says yes to the plan of this digest; with the last yes that it takes, the run begins to apply",
        Permission::Approve,
        "NewApproval",
        &[json(201, "Approvals")],
        approvals::create,
    ),
    write(
        "/v1/rollbacks/{rollback}/cancel",
        "rollbacks.cancel",
        "rollbacks",
        "Gives up a rollback that nothing works on; what it changed stays",
        Permission::Operate,
        "Nothing",
        &[json(200, "Rollback")],
        rollbacks::cancel,
    ),
    write(
        "/v1/rollbacks/{rollback}/resume",
        "rollbacks.resume",
        "rollbacks",
        "Goes on with a rollback that stopped",
        Permission::Operate,
        "Again",
        &[json(202, "Rollback")],
        rollbacks::resume,
    ),
    write(
        "/v1/rollbacks/{rollback}/undo",
        "rollbacks.undo",
        "rollbacks",
        "Asks for a rollback to before this one, through the same guards",
        Permission::Operate,
        "Undo",
        &[json(202, "Rollback")],
        rollbacks::undo,
    ),
    Route {
        access: Access::Whole(Permission::ReadAudit),
        record: Some("audit.read"),
        parameters: &[query("after", "Count", "Only entries after this one"), LIMIT],
        ..read(
            "/v1/audit/entries",
            "audit.list",
            "audit",
            "The audit log, oldest first",
            &[json(200, "AuditPage")],
            audit::entries,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadAudit),
        problems: &[422],
        ..read(
            "/v1/audit/tip",
            "audit.tip",
            "audit",
            "The log's last entry: keep its hash elsewhere, and cutting off shows",
            &[json(200, "Tip")],
            audit::tip,
        )
    },
];
