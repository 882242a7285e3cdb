//! `bake`: watches the checks after a deploy.

use jiff::{SignedDuration, Timestamp};
use rollback_engine::bake::{self, Bake, Decision, Wanted, Watch};
use rollback_engine::error::{EngineError, Result};
use serde_json::json;

use super::to::Person;
use crate::arguments::{BakeArguments, BakeCommand, Global, OnFailure, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// 0 where all went well, 3 where the checks failed, with or without a rollback that is done.
pub fn run(global: &Global, arguments: &BakeArguments, output: &Output) -> Result<u8> {
    match &arguments.command {
        Some(command) => tell(global, command, output).map(|()| 0),
        None => watch(global, arguments, output),
    }
}

fn watch(global: &Global, arguments: &BakeArguments, output: &Output) -> Result<u8> {
    let context = session::open(global, &arguments.variables, output)?;
    let wanted = Wanted {
        window: arguments.window,
        every: arguments.every,
        times: arguments.times,
        compare: arguments.compare,
        rollback: (arguments.on_failure == OnFailure::Rollback).then(|| arguments.to.clone()),
    };
    let person = Person::new(output, arguments.auto_approve);
    let baked = bake::watch(&context, &wanted, &person).map_err(|error| person.with_plan(error))?;
    drop(context);
    print(output, &baked.bake);
    if let Some(last) = baked.bake.last.as_ref().filter(|last| !last.passed) {
        super::verify::print(output, last);
    }
    output.document(&json!({ "bake": baked.bake, "outcome": baked.outcome }));
    Ok(match baked.bake.status {
        Watch::Failed | Watch::RolledBack => 3,
        _ => 0,
    })
}

/// What people say to one that goes on.
fn tell(global: &Global, command: &BakeCommand, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let decide = |what: &str, reason: Option<&String>, change: &dyn Fn(&mut Bake)| {
        bake::decide(&context, what, reason.map(String::as_str), change)
    };
    let bake = match command {
        BakeCommand::Show => bake::current(&context)?.map(|(bake, _)| bake).ok_or_else(|| {
            EngineError::failed("nothing was watched yet").hint("`infra-rollback bake --window 30m` begins")
        })?,
        BakeCommand::Hold { reason } => {
            let held = Decision {
                at: Timestamp::now(),
                by: context.actor.clone(),
                what: "hold".to_owned(),
                reason: Some(reason.clone()),
            };
            decide("hold", Some(reason), &|bake| bake.held = Some(held.clone()))?
        }
        BakeCommand::Release => decide("release", None, &|bake| bake.held = None)?,
        BakeCommand::Extend { by } => {
            let longer = SignedDuration::try_from(*by).unwrap_or(SignedDuration::ZERO);
            decide(&format!("extend by {} s", by.as_secs()), None, &|bake| {
                bake.ends_at += longer
            })?
        }
        BakeCommand::Stop { reason } => decide("stop", Some(reason), &|bake| {
            // A rollback that has begun is ended by `abort`.
            if bake.status == Watch::Watching {
                bake.status = Watch::Stopped;
                bake.ended_at = Some(Timestamp::now());
            }
        })?,
    };
    print(output, &bake);
    output.document(&json!({ "bake": bake }));
    Ok(())
}

fn print(output: &Output, bake: &Bake) {
    let (tone, words) = match bake.status {
        Watch::Watching => (Tone::Plain, "is being watched"),
        Watch::Passed => (Tone::Good, "passed"),
        Watch::Failed => (Tone::Danger, "failed; nothing is rolled back"),
        Watch::RollingBack => (Tone::Danger, "failed, and is being rolled back"),
        Watch::RolledBack => (Tone::Warning, "failed, and is rolled back"),
        Watch::Stopped => (Tone::Warning, "is watched no longer"),
    };
    output.toned(
        tone,
        &format!(
            "The deploy {words}: {} look(s) since {:.0}, the window ends at {:.0}.",
            bake.looks, bake.started_at, bake.ends_at
        ),
    );
    if let Some(held) = &bake.held {
        let reason = held.reason.as_deref().unwrap_or_default();
        output.toned(Tone::Warning, &format!("  held by {}: {reason}", held.by));
    }
    if let Some(run) = &bake.run {
        output.line(&format!("  run {run} (infra-rollback runs show {run})"));
    }
}
