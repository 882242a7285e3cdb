//! What belongs to a runbook: checks, rehearsals, steps, records of runs, locks that are taken away.

use super::{Access, Answer, Parameter, Route, json, query, read, required, write};
use crate::access::Permission;
use crate::handlers::{bakes, runbook, tasks};

const FORMAT: Parameter = query("format", "ReportFormat", "How it is written (default: json)");

pub(super) static ROUTES: &[Route] = &[
    Route {
        noted: &["revision", "stacks"],
        problems: &[404, 409, 413, 415, 422, 429, 503],
        ..write(
            "/v1/drills",
            "drills.create",
            "drills",
            "Rehearses the way back to a release, without effects: reachable, at a price, or not reachable",
            Permission::Operate,
            "NewDrill",
            &[json(202, "Task")],
            tasks::rehearse,
        )
    },
    Route {
        noted: &["checks", "stacks"],
        problems: &[404, 409, 413, 415, 422, 429, 503],
        ..write(
            "/v1/verifications",
            "verifications.create",
            "checks",
            "Asks the checks, and terraform whether what is deployed is at rest",
            Permission::Operate,
            "NewVerification",
            &[json(202, "Task")],
            tasks::verify,
        )
    },
    Route {
        noted: &["revision", "stacks", "override_policy", "reason"],
        problems: &[404, 409, 413, 415, 422, 429, 503],
        ..write(
            "/v1/policy/evaluations",
            "policy.evaluate",
            "policy",
            "What the policy would say to a rollback; none is begun",
            Permission::Operate,
            "NewEvaluation",
            &[json(202, "Task")],
            tasks::evaluate,
        )
    },
    Route {
        noted: &["revision", "stacks"],
        problems: &[404, 409, 413, 415, 422, 429, 503],
        ..write(
            "/v1/policy/inputs",
            "policy.input",
            "policy",
            "The very documents that the policy would be given, what is sensitive masked",
            Permission::Operate,
            "NewInput",
            &[json(202, "Task")],
            tasks::input,
        )
    },
    read(
        "/v1/tasks/{task}",
        "tasks.get",
        "tasks",
        "What is looked into, and what was found; kept for a week",
        &[json(200, "Task")],
        tasks::get,
    ),
    Route {
        access: Access::Whole(Permission::Read),
        ..read(
            "/v1/steps",
            "steps.list",
            "steps",
            "What runs beside Terraform, and whether it can be seen",
            &[json(200, "Object")],
            runbook::steps,
        )
    },
    Route {
        access: Access::Whole(Permission::Read),
        ..read(
            "/v1/steps/{step}",
            "steps.get",
            "steps",
            "What a step can go to: the images of a repository, the snapshots of a database",
            &[json(200, "Object")],
            runbook::step,
        )
    },
    Route {
        parameters: &[FORMAT],
        answers: &[
            json(200, "Object"),
            Answer {
                status: 200,
                schema: Some("Text"),
                media: "text/markdown",
            },
            Answer {
                status: 200,
                schema: Some("Text"),
                media: "text/calendar",
            },
        ],
        problems: &[422],
        ..read(
            "/v1/runs/{run}/report",
            "runs.report",
            "runs",
            "The record of a run: timeline, decisions, approvals, what was lost, checks, what is left to do",
            &[],
            runbook::report,
        )
    },
    Route {
        parameters: &[required(
            "address",
            "Text",
            "An object's address, with an attribute or without",
        )],
        problems: &[422],
        ..read(
            "/v1/stacks/{stack}/blame",
            "versions.blame",
            "state versions",
            "In which releases an object or one of its attributes changed, newest first; no values",
            &[json(200, "Object")],
            runbook::blame,
        )
    },
    Route {
        problems: &[422],
        ..read(
            "/v1/stacks/{stack}/lock",
            "locks.get",
            "stacks",
            "Who works on a stack",
            &[json(200, "Object")],
            runbook::lock,
        )
    },
    Route {
        noted: &["reason"],
        ..write(
            "/v1/stacks/{stack}/lock/release",
            "locks.release",
            "stacks",
            "Takes the lock of a stack away from its holder, who can write nothing more from then on",
            Permission::Operate,
            "NewLockRelease",
            &[json(201, "Object")],
            runbook::release_lock,
        )
    },
    Route {
        access: Access::Whole(Permission::Read),
        problems: &[404, 422],
        ..read(
            "/v1/bake",
            "bake.get",
            "bake",
            "The watch over the last deploy",
            &[json(200, "Bake")],
            bakes::get,
        )
    },
    Route {
        access: Access::Whole(Permission::Operate),
        noted: &["to"],
        problems: &[409, 413, 415, 422, 503],
        ..write(
            "/v1/bakes",
            "bake.start",
            "bake",
            "Watches the checks after a deploy, and asks for a rollback where they fail; an unfinished one goes on",
            Permission::Operate,
            "NewBake",
            &[json(202, "Bake")],
            bakes::create,
        )
    },
    Route {
        access: Access::Whole(Permission::Operate),
        noted: &["what", "reason"],
        ..write(
            "/v1/bake/decisions",
            "bake.decide",
            "bake",
            "Holds, releases, extends or stops the watch",
            Permission::Operate,
            "NewDecision",
            &[json(200, "Bake")],
            bakes::say,
        )
    },
    Route {
        noted: &["change", "reason"],
        ..write(
            "/v1/releases/{release}/marks",
            "releases.mark",
            "releases",
            "Says something about a release: that it must stay, that it is broken, that it works",
            Permission::Operate,
            "NewMark",
            &[json(200, "Release")],
            runbook::mark,
        )
    },
];
