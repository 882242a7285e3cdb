//! Rollbacks, what is said to them, and runs.

use super::{Answer, PAGED, Parameter, Route, header, json, nothing, query, read, required, write};
use crate::access::Permission;
use crate::handlers::{approvals, events, overrides, records, releases, rollbacks};

const KEY: Parameter = header(
    "Idempotency-Key",
    "Text",
    "The same key and body again give the same rollback, for as long as it is kept",
);

pub(super) static ROUTES: &[Route] = &[
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
        parameters: &[KEY],
        problems: &[404, 409, 413, 415, 422, 503],
        noted: &[
            "revision",
            "reason",
            "stacks",
            "accept_data_loss",
            "accept_changes",
            "override_policy",
            "steps",
            "skip_steps",
            "skip_checks",
            "restore_databases",
        ],
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
        "/v1/rollbacks/{rollback}/evaluations",
        "evaluations.list",
        "rollbacks",
        "What the policy said to the plan as it was last shown, and what of that stands in the way",
        &[json(200, "Evaluations")],
        overrides::evaluations,
    ),
    read(
        "/v1/rollbacks/{rollback}/overrides",
        "overrides.list",
        "rollbacks",
        "Which rules of the policy were overridden, by whom and why",
        &[json(200, "Overrides")],
        overrides::list,
    ),
    Route {
        noted: &["rules", "reason"],
        ..write(
            "/v1/rollbacks/{rollback}/overrides",
            "overrides.create",
            "rollbacks",
            "Overrides soft-mandatory rules that have denied it; it is planned again, with another digest",
            Permission::Override,
            "NewOverride",
            &[json(201, "Overrides")],
            overrides::create,
        )
    },
    Route {
        noted: &["digest", "reason", "accept_data_loss", "accept_changes"],
        ..write(
            "/v1/rollbacks/{rollback}/break-glass",
            "rollbacks.break-glass",
            "rollbacks",
            "Goes ahead without the approvals that are asked for; loud wherever it is on record",
            Permission::BreakGlass,
            "NewBreakGlass",
            &[json(201, "Approvals")],
            approvals::break_glass,
        )
    },
    Route {
        parameters: &[KEY],
        problems: &[404, 409, 413, 415, 422, 503],
        noted: &["version", "reason", "accept_changes", "override_policy"],
        ..write(
            "/v1/stacks/{stack}/restores",
            "restores.create",
            "rollbacks",
            "Asks for a kept state to become the current one; it is judged and approved as any rollback",
            Permission::Operate,
            "NewRestore",
            &[json(202, "Rollback")],
            rollbacks::restore,
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
    Route {
        noted: &["digest", "comment", "accept_data_loss", "accept_changes"],
        ..write(
            "/v1/rollbacks/{rollback}/approvals",
            "approvals.create",
            "rollbacks",
            "Says yes to the plan of this digest; with the last yes that it takes, the run begins to apply",
            Permission::Approve,
            "NewApproval",
            &[json(201, "Approvals")],
            approvals::create,
        )
    },
    Route {
        noted: &["holder_is_dead"],
        ..write(
            "/v1/rollbacks/{rollback}/cancel",
            "rollbacks.cancel",
            "rollbacks",
            "Gives up a rollback that nothing works on; what it changed stays",
            Permission::Operate,
            "GiveUp",
            &[json(200, "Rollback")],
            rollbacks::cancel,
        )
    },
    Route {
        noted: &["skip_steps", "skip_checks", "holder_is_dead"],
        ..write(
            "/v1/rollbacks/{rollback}/resume",
            "rollbacks.resume",
            "rollbacks",
            "Goes on with a rollback that stopped",
            Permission::Operate,
            "Again",
            &[json(202, "Rollback")],
            rollbacks::resume,
        )
    },
    Route {
        noted: &[
            "reason",
            "accept_data_loss",
            "accept_changes",
            "override_policy",
            "skip_steps",
            "skip_checks",
        ],
        ..write(
            "/v1/rollbacks/{rollback}/undo",
            "rollbacks.undo",
            "rollbacks",
            "Asks for a rollback to before this one, through the same guards",
            Permission::Operate,
            "Undo",
            &[json(202, "Rollback")],
            rollbacks::undo,
        )
    },
];
