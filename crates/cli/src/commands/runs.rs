//! `runs`, `runs show` and `abort`.

use rollback_engine::again;
use rollback_engine::context::Locking;
use rollback_engine::error::Result;
use rollback_engine::journal::{Attempt, CheckMoment, Entry, Event, Journal};
use rollback_engine::run::{Purpose, Run, Runs};
use serde_json::json;

use crate::arguments::{Global, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

fn purpose(run: &Run) -> String {
    match &run.purpose {
        Purpose::To => format!("to {}", run.revision),
        Purpose::Undo { run } => format!("undo {run}"),
        Purpose::Restore { version } => format!("restore {version}"),
    }
}

/// The runs, newest first.
pub fn list(global: &Global, limit: usize, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let mut runs: Vec<Run> = Runs::new(context.store.as_ref(), &context.project)
        .all()?
        .into_iter()
        .map(|(run, _)| run)
        .collect();
    runs.truncate(limit);
    print_list(output, &runs);
    Ok(())
}

/// The runs as a table, or as the document.
pub fn print_list(output: &Output, runs: &[Run]) {
    if runs.is_empty() {
        output.line("There was no run yet.");
    } else {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["RUN", "STARTED", "BY", "WHAT", "COMMIT", "STATUS", "REASON"]);
        for run in runs {
            table.add_row([
                run.id.clone(),
                format!("{:.0}", run.created_at),
                run.actor.clone(),
                purpose(run),
                format!("{:.10}", run.commit),
                run.status.as_str().to_owned(),
                run.reason.clone().unwrap_or_default(),
            ]);
        }
        output.line(&table.trim_fmt());
    }
    output.document(&json!({ "runs": runs }));
}

/// One run with its journal.
pub fn show(global: &Global, id: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let (run, _) = Runs::new(context.store.as_ref(), &context.project).find(id)?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?;
    print_one(output, &run, journal.entries());
    Ok(())
}

/// A run with its journal, or the document.
pub fn print_one(output: &Output, run: &Run, journal: &[Entry]) {
    output.heading(&format!("run {}: {} ({})", run.id, purpose(run), run.status.as_str()));
    output.line(&format!("  commit   {}", run.commit));
    output.line(&format!("  by       {}", run.actor));
    if let Some(reason) = &run.reason {
        output.line(&format!("  reason   {reason}"));
    }
    for (title, release) in [("before", &run.backup), ("after", &run.result)] {
        if let Some(release) = release {
            output.line(&format!("  {title:<8} release {release}"));
        }
    }
    for accepted in run.consent.data_loss.iter().chain(&run.consent.changes) {
        output.toned(Tone::Warning, &format!("  accepted {accepted}"));
    }
    output.line("");
    for entry in journal {
        output.line(&format!("  {:.3}  {}", entry.at, describe(&entry.event)));
    }
    output.document(&json!({ "run": run, "journal": journal }));
}

/// An event in a few words.
pub fn describe(event: &Event) -> String {
    match event {
        Event::Started { command, attempt } => format!("started: {command}{}", place(attempt)),
        Event::Resumed { actor, attempt } => format!("resumed by {actor}{}", place(attempt)),
        Event::HolderDeclaredDead { by, reason } => format!("{by} vouches that the former process is dead: {reason}"),
        Event::LockReleased {
            stack,
            by,
            reason,
            forced,
        } => format!(
            "{stack}: the lock was taken away by {by}{}: {reason}",
            if *forced { ", by force" } else { "" }
        ),
        Event::BackupTaken { release } => format!("what was there is kept as release {release}"),
        Event::Planned { stack, summary, .. } => format!("{stack}: planned: {summary}"),
        Event::StepPlanned { envelope } => format!(
            "step {}: planned: {} change(s), {}",
            envelope.step,
            envelope.plan.changes.len(),
            envelope.plan.reversibility.as_str()
        ),
        Event::StepIntended { step } => format!("step {step}: about to begin"),
        Event::StepDone { step, milliseconds, .. } => {
            format!(
                "step {step}: done in {:.1} s",
                std::time::Duration::from_millis(*milliseconds).as_secs_f64()
            )
        }
        Event::StepFailed { step, why, untouched } => format!(
            "step {step}: failed{}: {why}",
            if *untouched { ", nothing changed" } else { "" }
        ),
        Event::PolicyOverridden {
            stack,
            rule,
            by,
            reason,
        } => {
            format!("{stack}: {by} overrode {rule}: {reason}")
        }
        Event::Approved { digest, by, how } => format!("plan {digest:.12} approved by {by} ({how})"),
        Event::StateLockIntended { stack, lock } => format!("{stack}: about to lock the state ({})", lock.id),
        Event::StateUnlocked { stack, .. } => format!("{stack}: the state's lock is given back"),
        Event::StateWriteIntended { stack, .. } => format!("{stack}: about to write the state"),
        Event::StateWritten { stack } => format!("{stack}: state written"),
        Event::ApplyIntended { stack, .. } => format!("{stack}: about to apply"),
        Event::ApplyStarted { stack, child } => format!("{stack}: terraform started (process {})", child.pid),
        Event::Applied {
            stack,
            succeeded,
            summary,
            ..
        } => {
            format!(
                "{stack}: terraform {}: {summary}",
                if *succeeded { "succeeded" } else { "failed" }
            )
        }
        Event::TakenBack { stack } => format!("{stack}: terraform touched nothing, the state is as before"),
        Event::ErroredStateRecovered { stack, .. } => {
            format!("{stack}: a state that terraform could not store is stored")
        }
        Event::Verified { stack, changes_left } => format!("{stack}: verified, {changes_left} change(s) left"),
        Event::StackDone { stack } => format!("{stack}: done"),
        Event::Reopened { stack } => format!("{stack}: what it reads of other stacks has changed, once more"),
        Event::ResultTaken { release } => format!("what came out is kept as release {release}"),
        Event::Checked { moment, verification } => {
            let when = match moment {
                CheckMoment::Before => "before",
                CheckMoment::After => "after",
            };
            match verification.failed().as_slice() {
                [] => format!("checks {when}: all {} pass", verification.checks.len()),
                failed => format!("checks {when}: these do not pass: {}", failed.join(", ")),
            }
        }
        Event::ChecksSkipped { by, reason } => format!("checks are skipped by {by}: {reason}"),
        Event::Stopped { why } => format!("stopped: {why}"),
        Event::Aborted { by } => format!("given up by {by}"),
        Event::Finished { status } => format!("finished: {status}"),
    }
}

/// Where an attempt ran, and the fences that it was given.
fn place(attempt: &Attempt) -> String {
    let Some(machine) = &attempt.machine else {
        return String::new();
    };
    let fences: Vec<String> = attempt
        .fences
        .iter()
        .map(|(stack, number)| format!("{stack} {number}"))
        .collect();
    format!(" (on {}, fences: {})", machine.host, fences.join(", "))
}

/// Gives a run up.
pub fn abort(global: &Global, run: Option<&str>, locking: &Locking, output: &Output) -> Result<()> {
    let mut context = session::open_for_run(global, run, &VariableArguments::default(), output)?;
    context.locking = locking.clone();
    let run = again::abort(&context, run)?;
    tell_given_up(output, &run);
    Ok(())
}

/// That a run is given up.
pub fn tell_given_up(output: &Output, run: &Run) {
    output.toned(Tone::Good, &format!("Run {} is given up.", run.id));
    if run.backup.is_some() {
        output.line(&format!(
            "  What it changed stays. Back to before it: infra-rollback undo {}",
            run.id
        ));
    } else {
        output.line("  It had changed nothing.");
    }
    output.document(&json!({ "run": run }));
}
