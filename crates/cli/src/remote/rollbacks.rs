//! `plan`, `to`, `undo`, `resume`, `abort` and `approve`: a rollback that the service carries out, followed until it
//! comes to rest, with a person here who looks at its plan.

use std::cell::Cell;
use std::io::{BufRead, Write};
use std::time::Duration;

use rollback_client::{Event, Rollback, segment};
use rollback_engine::error::{EngineError, Kind, Result};
use rollback_engine::journal::Entry;
use rollback_engine::restore::RestoreReport;
use rollback_engine::run::{Purpose, Run, Status};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Connection;
use super::consent::{Decision, Yes};
use super::pending::Pending;
use crate::arguments::{
    ApproveArguments, ConsentArguments, DatabaseArguments, Global, PlanArguments, RestoreArguments, ResumeArguments,
    SkipArguments, StepArguments, ToArguments, UndoArguments, VouchArguments, WaitArguments,
};
use crate::commands;
use crate::output::{Output, Tone};
use crate::{plan_view, restore_view};

/// Rounds of planning and approving after which something else is wrong.
const MOST_ROUNDS: usize = 20;

/// `plan`: a dry run, which the service plans as it would plan `to`; `--offline` asks only for the inverse plan.
pub fn plan(connection: &Connection, global: &Global, arguments: &PlanArguments, output: &Output) -> Result<u8> {
    let revision = arguments.revision.as_deref().unwrap_or_default();
    connection.bring(Some(revision))?;
    let revision = &connection.revision(revision)?;
    let plan = if arguments.offline {
        offline(connection, global, revision)?
    } else {
        let mut body =
            json!({ "revision": revision, "stacks": global.stacks, "targets": arguments.targets, "dry_run": true });
        body["steps"] = json!(arguments.only.only);
        put_steps(&mut body, &arguments.steps, Some(&arguments.databases));
        super::variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
        let asked = connection.server.create_rollback(body)?;
        let rollback = follow(connection, &asked.id, &mut 0, output)?;
        match (connection.server.plan_of(&asked.id)?, rollback.error()) {
            (Some(plan), _) => plan,
            (None, Some(error)) => return Err(error),
            (None, None) => {
                return Err(EngineError::failed(
                    "the service has made no plan, and does not say why",
                ));
            }
        }
    };
    plan_view::print_document(output, &plan);
    output.document(&plan);
    let changes = plan["resource_changes"].as_array();
    let steps = plan["steps"].as_array();
    let something = changes.is_some_and(|changes| !changes.is_empty())
        || steps.is_some_and(|steps| steps.iter().any(|step| step["status"] == "goes"));
    Ok(if something && arguments.detailed_exitcode { 2 } else { 0 })
}

fn offline(connection: &Connection, global: &Global, revision: &str) -> Result<Value> {
    let mut path = format!("/v1/eligibility?to={}", segment(revision));
    for stack in &global.stacks {
        path.push_str(&format!("&stack={}", segment(stack)));
    }
    let eligibility: Value = connection.server.get(path)?;
    Ok(eligibility["plan"].clone())
}

/// `to`.
pub fn to(connection: &Connection, global: &Global, arguments: &ToArguments, output: &Output) -> Result<()> {
    connection.bring(Some(&arguments.revision))?;
    let mut body = json!({
        "revision": connection.revision(&arguments.revision)?, "stacks": global.stacks, "targets": arguments.targets, "dry_run": arguments.dry_run,
    });
    put_consent(&mut body, &arguments.consent, arguments.reason.as_deref());
    body["steps"] = json!(arguments.only.only);
    put_steps(&mut body, &arguments.steps, Some(&arguments.databases));
    put_waiting(&mut body, &arguments.waiting);
    put_skipping(&mut body, &arguments.skipping);
    super::variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
    let asked = connection.server.create_rollback(body)?;
    let yes = Yes::new(arguments.auto_approve, &arguments.consent);
    carry(connection, &asked.id, &yes, output)
}

/// `state restore`: a kept state becomes the current one. Each object that nobody would manage any more is named, also where
/// all of them are accepted at once: what was accepted is on record.
pub fn restore(connection: &Connection, global: &Global, arguments: &RestoreArguments, output: &Output) -> Result<()> {
    let stack = super::states::stack_name(connection, global)?;
    let mut body = json!({
        "version": arguments.version, "dry_run": arguments.dry_run, "override_policy": arguments.override_policy,
    });
    if let Some(reason) = &arguments.reason {
        body["reason"] = json!(reason);
    }
    put_waiting(&mut body, &arguments.waiting);
    if arguments.accept_orphans {
        let mut look = body.clone();
        look["dry_run"] = json!(true);
        let asked = connection.server.restore_state(&stack, look)?;
        follow(connection, &asked.id, &mut 0, &output.silent())?;
        let plan = connection.server.plan_of(&asked.id)?.unwrap_or_default();
        body["accept_changes"] = plan["restore"]["orphans"].clone();
        if body["accept_changes"].is_null() {
            body["accept_changes"] = json!([]);
        }
    }
    let asked = connection.server.restore_state(&stack, body)?;
    let yes = Yes::new(arguments.auto_approve, &NO_CONSENT);
    carry(connection, &asked.id, &yes, output)
}

/// A restore takes no flags but its own.
static NO_CONSENT: ConsentArguments = ConsentArguments {
    accept_data_loss: Vec::new(),
    accept_change: Vec::new(),
    override_policy: Vec::new(),
};

/// `undo`.
pub fn undo(connection: &Connection, global: &Global, arguments: &UndoArguments, output: &Output) -> Result<()> {
    let run = match &arguments.run {
        Some(run) => super::records::find_run(connection, run)?.id,
        None => last_to_undo(connection)?,
    };
    let mut body = json!({ "dry_run": arguments.dry_run });
    put_consent(&mut body, &arguments.consent, arguments.reason.as_deref());
    put_steps(&mut body, &arguments.steps, None);
    put_waiting(&mut body, &arguments.waiting);
    put_skipping(&mut body, &arguments.skipping);
    super::variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
    let asked = connection.server.undo_run(&run, body)?;
    let yes = Yes::new(arguments.auto_approve, &arguments.consent);
    carry(connection, &asked.id, &yes, output)
}

/// The newest run that changed something, is no undo itself and was not undone yet.
fn last_to_undo(connection: &Connection) -> Result<String> {
    let runs: Vec<Run> = connection.server.list("/v1/runs", |_: &[Run]| false)?;
    let undone: Vec<&str> = runs
        .iter()
        .filter(|run| run.status == Status::Completed)
        .filter_map(|run| match &run.purpose {
            Purpose::Undo { run } => Some(run.as_str()),
            _ => None,
        })
        .collect();
    let found = runs.iter().find(|run| {
        let changed =
            run.backup.is_some() && !matches!(run.status, Status::Failed | Status::Refused | Status::Planning);
        let waits = run.status == Status::AwaitingApproval;
        changed && !waits && !matches!(run.purpose, Purpose::Undo { .. }) && !undone.contains(&run.id.as_str())
    });
    found
        .map(|run| run.id.clone())
        .ok_or_else(|| EngineError::failed("there is no run left to undo").hint("`infra-rollback runs` lists them"))
}

/// `resume`: goes on with one that stopped, waits with one that is under way, tells the end of one that ended meanwhile.
pub fn resume(connection: &Connection, global: &Global, arguments: &ResumeArguments, output: &Output) -> Result<()> {
    let id = match &arguments.run {
        Some(run) => super::records::find_run(connection, run)?.id,
        None => open_rollback(connection)?,
    };
    let rollback = connection.server.rollback(&id)?;
    if rollback.over && Pending::of(connection)?.is_noted(&id) {
        return carry(connection, &id, &Yes::none(), output);
    }
    if rollback.over {
        return Err(EngineError::failed(format!(
            "run {id} is over ({}): there is nothing to resume",
            rollback.status
        ))
        .hint("`infra-rollback to` starts a new one"));
    }
    let says_more = !arguments.steps.skip_step.is_empty()
        || arguments.skipping.skip_checks.is_some()
        || arguments.vouching.holder_is_dead.is_some();
    if says_more || !(rollback.at_rest && rollback.awaits_approval()) {
        let mut body = json!({});
        put_steps(&mut body, &arguments.steps, None);
        put_waiting(&mut body, &arguments.waiting);
        put_skipping(&mut body, &arguments.skipping);
        put_vouching(&mut body, &arguments.vouching);
        super::variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
        match connection.server.resume_rollback(&id, body) {
            Ok(_) => {}
            Err(error) if error.message.contains("being worked on") => {
                output.note(Tone::Faint, &format!("Run {id} is under way: following it."));
            }
            Err(error) => return Err(error),
        }
    }
    let yes = Yes::new(arguments.auto_approve, &arguments.consent);
    carry(connection, &id, &yes, output)
}

/// The rollback to resume where none is named: the one that stopped, else the newest that waits, else the one that was
/// begun from here and whose end nobody here has seen.
fn open_rollback(connection: &Connection) -> Result<String> {
    let rollbacks: Vec<Rollback> = connection.server.list("/v1/rollbacks", |_: &[Rollback]| false)?;
    let open: Vec<&Rollback> = rollbacks.iter().filter(|rollback| !rollback.over).collect();
    let stopped: Vec<&&Rollback> = open
        .iter()
        .filter(|rollback| matches!(rollback.status.as_str(), "applying" | "halfway" | "needs-reconcile"))
        .collect();
    match (stopped.as_slice(), open.first()) {
        ([one], _) => Ok(one.id.clone()),
        ([], Some(newest)) => Ok(newest.id.clone()),
        ([], None) => match Pending::of(connection)?.newest() {
            Some(id) => Ok(id),
            None => Err(EngineError::failed("there is no run to resume").hint("`infra-rollback runs` lists them")),
        },
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|rollback| rollback.id.as_str()).collect();
            Err(EngineError::usage("several runs stopped halfway").hint(format!("name one: {}", ids.join(", "))))
        }
    }
}

/// `abort`.
pub fn abort(
    connection: &Connection,
    run: Option<&str>,
    waiting: &WaitArguments,
    vouching: &VouchArguments,
    output: &Output,
) -> Result<()> {
    #[derive(Deserialize)]
    struct Shown {
        run: Run,
    }
    let id = match run {
        Some(run) => super::records::find_run(connection, run)?.id,
        None => open_rollback(connection)?,
    };
    let mut body = json!({});
    put_waiting(&mut body, waiting);
    put_vouching(&mut body, vouching);
    connection.server.cancel_rollback(&id, body)?;
    Pending::of(connection)?.forget(&id);
    let shown: Shown = connection.server.get(format!("/v1/runs/{}", segment(&id)))?;
    commands::runs::tell_given_up(output, &shown.run);
    Ok(())
}

/// `approve`: says yes to the plan as it is now.
pub fn approve(connection: &Connection, arguments: &ApproveArguments, output: &Output) -> Result<()> {
    let id = match &arguments.run {
        Some(run) => super::records::find_run(connection, run)?.id,
        None => open_rollback(connection)?,
    };
    let rollback = connection.server.rollback(&id)?;
    let Some(approval) = &rollback.approval else {
        return Err(EngineError::failed(format!(
            "run {id} is {}: there is nothing to approve",
            rollback.status
        )));
    };
    if let Some(plan) = connection.server.plan_of(&id)? {
        print_shown(output, &plan);
    }
    let yes = Yes::new(arguments.auto_approve, &arguments.consent);
    let mut body = match yes.decide(approval, output)? {
        Decision::Approve(body) => body,
        Decision::No => return Err(EngineError::refused("not approved; nothing was changed")),
        Decision::Nobody(missing) => return Err(awaiting(connection, &rollback, &missing)),
    };
    if let Some(comment) = &arguments.comment {
        body["comment"] = json!(comment);
    }
    let answer = connection.server.approve(&id, body)?;
    let given = answer["given"].as_array().map_or(0, Vec::len);
    let needed = answer["needed"].as_u64().unwrap_or(1);
    output.toned(
        Tone::Good,
        &format!(
            "Approved plan {:.12} of run {id} ({given} of {needed}).",
            approval.digest
        ),
    );
    output.document(&answer);
    Ok(())
}

fn put_steps(body: &mut Value, steps: &StepArguments, databases: Option<&DatabaseArguments>) {
    if !steps.skip_step.is_empty() {
        body["skip_steps"] = json!(steps.skip_step);
    }
    let asked = databases.map(|databases| databases.restore_database.as_slice());
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        body["restore_databases"] = json!(asked);
    }
}

fn put_skipping(body: &mut Value, skipping: &SkipArguments) {
    if let Some(reason) = &skipping.skip_checks {
        body["skip_checks"] = json!(reason);
    }
}

fn put_waiting(body: &mut Value, waiting: &WaitArguments) {
    if !waiting.lock_timeout.is_zero() {
        body["lock_timeout_seconds"] = json!(waiting.lock_timeout.as_secs());
    }
}

fn put_vouching(body: &mut Value, vouching: &VouchArguments) {
    if let Some(reason) = &vouching.holder_is_dead {
        body["holder_is_dead"] = json!(reason);
    }
}

fn put_consent(body: &mut Value, consent: &ConsentArguments, reason: Option<&str>) {
    body["accept_data_loss"] = json!(consent.accept_data_loss);
    body["accept_changes"] = json!(consent.accept_change);
    if !consent.override_policy.is_empty() {
        body["override_policy"] = json!(consent.override_policy);
    }
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
}

/// Follows a rollback, approves it where that is ours to do, and tells how it ended.
fn carry(connection: &Connection, id: &str, yes: &Yes<'_>, output: &Output) -> Result<()> {
    let pending = Pending::of(connection)?;
    pending.note(id);
    let mut last = 0;
    let mut shown: Option<Value> = None;
    for round in 0..MOST_ROUNDS {
        let rollback = follow(connection, id, &mut last, output)?;
        let plan = connection.server.plan_of(id)?;
        if let Some(plan) = plan
            && shown.as_ref() != Some(&plan)
        {
            print_shown(output, &plan);
            shown = Some(plan);
        }
        let Some(approval) = rollback.approval.as_ref().filter(|_| !rollback.over) else {
            pending.forget(id);
            return end(&rollback, shown, output);
        };
        // The last yes has come, and the service is about to go on.
        let missing = &approval.missing_acceptance;
        if approval.given.len() >= approval.needed
            && missing.data_loss.is_empty()
            && missing.changes.is_empty()
            && round > 0
        {
            std::thread::sleep(Duration::from_millis(300));
            continue;
        }
        let decision = yes.decide(approval, output)?;
        let error = match decision {
            Decision::Approve(body) => match connection.server.approve(id, body) {
                Ok(answer) => {
                    let given = answer["given"].as_array().map_or(0, Vec::len);
                    if answer["status"] == "awaiting-approval" && given < approval.needed {
                        awaiting(connection, &rollback, &[])
                    } else {
                        continue;
                    }
                }
                // It is not ours to say: it waits for somebody else.
                Err(error) if error.kind == Kind::Refused => {
                    let mut waiting = awaiting(connection, &rollback, &[]);
                    waiting.message = format!("{}; {}", waiting.message, error.message);
                    waiting
                }
                Err(error) => error,
            },
            Decision::No => {
                connection.server.cancel_rollback(id, json!({}))?;
                pending.forget(id);
                EngineError::refused("not approved; nothing was changed")
            }
            Decision::Nobody(missing) => awaiting(connection, &rollback, &missing),
        };
        return Err(with_plan(error, shown));
    }
    Err(EngineError::failed(format!(
        "run {id} is planned anew again and again: something changes all the time"
    ))
    .hint(format!("look at it: `infra-rollback runs show {id}`")))
}

pub(super) fn follow(connection: &Connection, id: &str, last: &mut u64, output: &Output) -> Result<Rollback> {
    let begun = Cell::new(false);
    connection.server.follow(id, last, &mut |event: &Event| {
        if !begun.replace(true) {
            output.note(Tone::Faint, &format!("run {id}"));
        }
        if let Ok(entry) = serde_json::from_str::<Entry>(&event.data) {
            let text = format!("  {:.0}  {}", entry.at, rollback_engine::words::describe(&entry.event));
            output.note(Tone::Faint, &text);
        }
    })
}

/// A plan, or what a restore would mean.
pub(super) fn print_shown(output: &Output, plan: &Value) {
    match serde_json::from_value::<RestoreReport>(plan["restore"].clone()) {
        Ok(report) => restore_view::print(output, &report),
        Err(_) => plan_view::print_document(output, plan),
    }
}

/// The same as the document tells it without a service.
fn told(mut plan: Value) -> Value {
    match plan["restore"].is_object() {
        true => plan["restore"].take(),
        false => plan,
    }
}

/// What a machine needs to act on it is the plan.
fn with_plan(mut error: EngineError, plan: Option<Value>) -> EngineError {
    error.detail = plan.map(told).map(Box::new);
    error
}

/// Somebody has to say yes, and how.
pub(super) fn awaiting(
    connection: &Connection,
    rollback: &Rollback,
    missing: &[(&'static str, String)],
) -> EngineError {
    let id = &rollback.id;
    let flags: String = missing
        .iter()
        .map(|(flag, address)| format!(" {flag} '{}'", address.replace('\'', "'\\''")))
        .collect();
    let mut message = format!("run {id} awaits approval");
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|(_, address)| address.as_str()).collect();
        message = format!("{message}; these need a yes of their own: {}", names.join(", "));
    }
    EngineError::new(Kind::AwaitingApproval, message)
        .hint(format!(
            "somebody who may approve says: infra-rollback --server {} approve {id}{flags}",
            connection.server.base()
        ))
        .hint(format!(
            "or POSTs the plan's digest to {}",
            connection.server.url(&format!("/v1/rollbacks/{id}/approvals"))
        ))
        .hint(format!(
            "`infra-rollback resume {id}` follows it, `abort {id}` drops it"
        ))
}

/// How it ended, as `to` without a service tells it.
fn end(rollback: &Rollback, shown: Option<Value>, output: &Output) -> Result<()> {
    if let Some(error) = rollback.error() {
        return Err(with_plan(error, shown));
    }
    let outcome = match &rollback.outcome {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::from_iter([
            ("run".to_owned(), json!(rollback.id)),
            ("status".to_owned(), json!(rollback.status)),
        ]),
    };
    commands::to::tell_document(output, outcome, shown.map(told).unwrap_or_default());
    Ok(())
}

/// A line from a person; none where there is none.
pub fn ask(output: &Output, question: &str) -> Option<String> {
    output.note(Tone::Strong, question);
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}
