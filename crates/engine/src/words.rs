//! What the entries of a journal say to a person.

use crate::journal::{Attempt, CheckMoment, Event};

/// So many of what is called `one`, such as `1 object` and `2 objects`: with an s for all but one.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// One line.
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
        Event::PolicyOverridden {
            stack,
            rule,
            by,
            reason,
        } => {
            format!("{stack}: {by} overrode {rule}: {reason}")
        }
        Event::GlassBroken { digest, by, reason } => {
            format!("{by} BROKE THE GLASS: plan {digest:.12} goes ahead without the approvals that it needs: {reason}")
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
        Event::Verified { stack, changes_left } => {
            format!("{stack}: verified, {} left", counted(*changes_left, "change"))
        }
        Event::StackDone { stack } => format!("{stack}: done"),
        Event::Reopened { stack } => format!("{stack}: what it reads of other stacks has changed, once more"),
        Event::ResultTaken { release } => format!("what came out is kept as release {release}"),
        Event::StepPlanned { envelope } => format!(
            "step {}: planned: {}, {}",
            envelope.step,
            counted(envelope.plan.changes.len(), "change"),
            envelope.plan.reversibility.as_str()
        ),
        Event::StepIntended { step } => format!("step {step}: about to begin"),
        Event::StepDone { step, milliseconds, .. } => {
            format!(
                "step {step}: done in {:.1} s",
                std::time::Duration::from_millis(*milliseconds).as_secs_f64()
            )
        }
        Event::TerraformTold { stack, step, address } => {
            format!("stack {stack}: Terraform's state says of {address} what step {step} has put in its place")
        }
        Event::StepFailed { step, why, untouched } => format!(
            "step {step}: failed{}: {why}",
            if *untouched { ", nothing changed" } else { "" }
        ),
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
        Event::NotificationIntended { channel, phase, .. } => format!("about to tell {channel} ({})", phase.as_str()),
        Event::Notified { channel, phase, error } => match error {
            None => format!("told {channel} ({})", phase.as_str()),
            Some(error) => format!("{channel} could not be told ({}): {error}", phase.as_str()),
        },
        Event::Stopped { why } => format!("stopped: {why}"),
        Event::Aborted { by, .. } => format!("given up by {by}"),
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
