//! `bake`: watches the checks after a deploy.

use rollback_engine::bake::{self, Bake, Wanted, Watch, Word};
use rollback_engine::error::Result;
use rollback_engine::words::counted;
use serde_json::{Value, json};

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
        served: None,
    };
    let person = Person::new(output, arguments.auto_approve);
    let baked = bake::watch(&context, &wanted, &person).map_err(|error| person.with_plan(error))?;
    drop(context);
    Ok(tell_ended(output, &baked.bake, &json!(baked.outcome)))
}

/// What people say to one that goes on.
fn tell(global: &Global, command: &BakeCommand, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let bake = match word_of(command) {
        None => bake::shown(&context)?.ok_or_else(bake::nothing_watched)?,
        Some(word) => bake::say(&context, &word)?,
    };
    tell_said(output, &bake);
    Ok(())
}

/// What is said by a command; none for one that only looks.
pub fn word_of(command: &BakeCommand) -> Option<Word> {
    match command {
        BakeCommand::Show => None,
        BakeCommand::Hold { reason } => Some(Word::Hold { reason: reason.clone() }),
        BakeCommand::Release => Some(Word::Release),
        BakeCommand::Extend { by } => Some(Word::Extend { seconds: by.as_secs() }),
        BakeCommand::Stop { reason } => Some(Word::Stop { reason: reason.clone() }),
    }
}

/// How it stands, after somebody said something to it.
pub fn tell_said(output: &Output, bake: &Bake) {
    print(output, bake);
    output.document(&json!({ "bake": bake }));
}

/// How it ended; 3 where the checks failed.
pub fn tell_ended(output: &Output, bake: &Bake, outcome: &Value) -> u8 {
    print(output, bake);
    if let Some(last) = bake.last.as_ref().filter(|last| !last.passed) {
        output.line("  What failed:");
        super::verify::print(output, last);
    }
    output.document(&json!({ "bake": bake, "outcome": outcome }));
    match bake.status {
        Watch::Failed | Watch::RolledBack => 3,
        _ => 0,
    }
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
            "The deploy {words}: {} since {:.0}, the window ends at {:.0}.",
            counted(bake.looks, "look"),
            bake.started_at,
            bake.ends_at
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
