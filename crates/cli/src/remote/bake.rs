//! `bake`: the service watches; whoever began it here looks on, and says yes where that is theirs to say.

use std::time::Duration;

use rollback_client::{Call, Rollback};
use rollback_engine::bake::{Bake, Watch, Word};
use rollback_engine::error::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::consent::{Decision, Yes};
use super::rollbacks::{awaiting, follow, print_shown};
use super::{Connection, variables};
use crate::arguments::{BakeArguments, ConsentArguments, Global, OnFailure};
use crate::commands;
use crate::output::{Output, Tone};

/// How often it is asked how the bake stands.
const LOOK: Duration = Duration::from_millis(500);

/// It takes no flags that accept anything.
static NO_CONSENT: ConsentArguments = ConsentArguments {
    accept_data_loss: Vec::new(),
    accept_change: Vec::new(),
    override_policy: Vec::new(),
};

#[derive(Deserialize)]
struct Answer {
    bake: Bake,
}

/// 0 where all went well, 3 where the checks failed.
pub fn run(connection: &Connection, global: &Global, arguments: &BakeArguments, output: &Output) -> Result<u8> {
    let Some(command) = &arguments.command else {
        return watch(connection, global, arguments, output);
    };
    let answer: Answer = match commands::bake::word_of(command) {
        None => connection.server.get("/v1/bake")?,
        Some(word) => {
            let body = match word {
                Word::Hold { reason } => json!({ "what": "hold", "reason": reason }),
                Word::Release => json!({ "what": "release" }),
                Word::Extend { seconds } => json!({ "what": "extend", "seconds": seconds }),
                Word::Stop { reason } => json!({ "what": "stop", "reason": reason }),
            };
            connection.server.json(Call::post("/v1/bake/decisions", body))?
        }
    };
    commands::bake::tell_said(output, &answer.bake);
    Ok(0)
}

fn watch(connection: &Connection, global: &Global, arguments: &BakeArguments, output: &Output) -> Result<u8> {
    connection.bring(arguments.to.as_deref())?;
    let mut body = json!({
        "window_seconds": arguments.window.as_secs(), "every_seconds": arguments.every.as_secs(),
        "times": arguments.times, "compare": arguments.compare,
        "rollback": arguments.on_failure == OnFailure::Rollback, "auto_approve": arguments.auto_approve,
    });
    if let Some(to) = &arguments.to {
        body["to"] = json!(connection.revision(to)?);
    }
    variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
    let mut answer: Answer = connection.server.json(Call::post("/v1/bakes", body))?;
    let mut looks = 0;
    while answer.bake.status == Watch::Watching {
        if answer.bake.looks != looks {
            looks = answer.bake.looks;
            let passed = answer.bake.last.as_ref().is_none_or(|last| last.passed);
            let sign = if passed { "✓" } else { "✗" };
            output.note(
                Tone::Faint,
                &format!("  {sign} look {looks}, until {:.0}", answer.bake.ends_at),
            );
        }
        std::thread::sleep(LOOK);
        answer = connection.server.get("/v1/bake")?;
    }
    let mut outcome = Value::Null;
    if let Some(run) = answer.bake.run.clone() {
        let rollback = look_on(connection, &run, arguments.auto_approve, output)?;
        if let Some(error) = rollback.error() {
            return Err(error);
        }
        outcome = rollback.outcome.unwrap_or_default();
        while answer.bake.status == Watch::RollingBack {
            std::thread::sleep(LOOK);
            answer = connection.server.get("/v1/bake")?;
        }
    }
    Ok(commands::bake::tell_ended(output, &answer.bake, &outcome))
}

/// Follows the rollback that the bake has asked for, until it is over.
fn look_on(connection: &Connection, run: &str, auto_approve: bool, output: &Output) -> Result<Rollback> {
    let yes = Yes::new(auto_approve, &NO_CONSENT);
    let (mut last, mut shown) = (0, None);
    loop {
        let rollback = match follow(connection, run, &mut last, output) {
            Ok(rollback) => rollback,
            // Named before it is asked for.
            Err(error) if error.message.contains("no such rollback") => {
                std::thread::sleep(LOOK);
                continue;
            }
            Err(error) => return Err(error),
        };
        let plan = connection.server.plan_of(run)?;
        if let Some(plan) = plan.filter(|plan| shown.as_ref() != Some(plan)) {
            print_shown(output, &plan);
            shown = Some(plan);
        }
        let Some(approval) = rollback.approval.as_ref().filter(|_| !rollback.over) else {
            if rollback.over || rollback.error().is_some() {
                return Ok(rollback);
            }
            std::thread::sleep(LOOK);
            continue;
        };
        if approval.given.len() >= approval.needed {
            std::thread::sleep(LOOK);
            continue;
        }
        match yes.decide(approval, output)? {
            Decision::Approve(body) => {
                if connection.server.approve(run, body).is_err() {
                    // It is somebody else's to say, or the service has said it for us.
                    let now = connection.server.rollback(run)?;
                    if now.at_rest && now.awaits_approval() {
                        return Err(awaiting(connection, &rollback, &[]));
                    }
                }
            }
            Decision::No => {
                connection.server.cancel_rollback(run, json!({}))?;
            }
            Decision::Nobody(missing) => return Err(awaiting(connection, &rollback, &missing)),
        }
    }
}
