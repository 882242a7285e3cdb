//! `locks` and `locks release`.

use std::io::{BufRead, Write};

use jiff::Timestamp;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::holder::Holder;
use rollback_engine::lease::Life;
use rollback_engine::lock;
use rollback_engine::run::{Run, Runs, Status};
use rollback_engine::unlock::{self, LockRelease};
use serde_json::json;

use crate::arguments::{Global, ReleaseLockArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

fn word(life: Life) -> &'static str {
    match life {
        Life::Alive => "alive",
        Life::Dead => "dead",
        Life::Unknown => "unknown",
    }
}

/// Seconds since the last beat, as its holder's clock and ours tell: for people, nothing is decided by it.
fn beat_age(holder: &Holder) -> Option<f64> {
    let at = holder.last_beat_at?;
    Some(Timestamp::now().duration_since(at).as_secs_f64().max(0.0))
}

/// Who works on what, and which runs wait for somebody to find out what became of them.
pub fn list(global: &Global, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let locks = lock::list(context.store.as_ref(), &context.project)?;
    let runs: Vec<Run> = Runs::new(context.store.as_ref(), &context.project)
        .unfinished()?
        .into_iter()
        .map(|(run, _)| run)
        .collect();
    let locks: Vec<(Holder, Life)> = locks
        .into_iter()
        .map(|holder| {
            let life = holder.life();
            (holder, life)
        })
        .collect();
    print_list(output, &locks, &runs);
    Ok(())
}

/// Locks, with whether their holders live, and runs that are not finished; or the document.
pub fn print_list(output: &Output, locks: &[(Holder, Life)], runs: &[Run]) {
    let silent = |id: &str| {
        runs.iter()
            .any(|run| run.id == id && run.status == Status::NeedsReconcile)
    };
    if locks.is_empty() {
        output.line("No stack is locked.");
    }
    for (holder, life) in locks {
        output.line(&format!("{}: {}", holder.stack, holder.describe()));
        let beat = beat_age(holder).map_or_else(String::new, |age| format!(", last beat {age:.0} s ago"));
        let applying = if holder.applying { ", applying" } else { "" };
        output.line(&format!(
            "  fence {}{applying}, process {}{beat}",
            holder.fence,
            word(*life)
        ));
        let next = match life {
            Life::Dead if holder.applying => Some("its process is gone: `resume` or `abort` it"),
            Life::Dead => Some("its process is gone: the next command takes the lock over"),
            _ if silent(&holder.run) => Some("it fell silent while it applied: `resume` or `abort` it"),
            _ => None,
        };
        if let Some(next) = next {
            output.toned(Tone::Warning, &format!("  {next}"));
        }
    }
    let held = |run: &Run| locks.iter().any(|(holder, _)| holder.run == run.id);
    for run in runs.iter().filter(|run| !held(run)) {
        output.toned(
            Tone::Warning,
            &format!(
                "run {} of {} keeps its {} ({}): {}; `resume` or `abort` it",
                run.id,
                run.actor,
                if run.is_about_steps_alone() { "steps" } else { "stacks" },
                (if run.is_about_steps_alone() {
                    &run.steps
                } else {
                    &run.selected
                })
                .join(", "),
                run.status.as_str()
            ),
        );
    }
    output.document(&json!({
        "locks": locks.iter().map(|(holder, life)| json!({
            "stack": holder.stack,
            "holder": holder,
            "fence": holder.fence,
            "applying": holder.applying,
            "life": word(*life),
            "dead": *life == Life::Dead,
            "seconds_since_last_beat": beat_age(holder),
            "needs_reconcile": silent(&holder.run),
        })).collect::<Vec<_>>(),
        "unfinished_runs": runs.iter().map(|run| json!({
            "run": run.id,
            "status": run.status,
            "stacks": run.selected,
            "steps": run.steps,
            "locked": held(run),
        })).collect::<Vec<_>>(),
    }));
}

/// Takes a lock away from its holder.
pub fn release(global: &Global, arguments: &ReleaseLockArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    check_reason(arguments)?;
    let examined = unlock::examine(&context, &arguments.stack)?.ok_or_else(|| unlock::not_locked(&arguments.stack))?;
    ask_before_release(arguments, &examined.holder, output)?;
    let release = unlock::release(&context, &arguments.stack, &arguments.reason, arguments.force)?;
    tell_released(output, &release);
    Ok(())
}

/// # Errors
/// Nothing is said.
pub fn check_reason(arguments: &ReleaseLockArguments) -> Result<()> {
    match arguments.reason.trim().is_empty() {
        false => Ok(()),
        true => Err(EngineError::usage(
            "--reason must say why: it is what others will read later",
        )),
    }
}

/// Has whoever sits here say yes, unless that was said.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub fn ask_before_release(arguments: &ReleaseLockArguments, holder: &Holder, output: &Output) -> Result<()> {
    let stack = &arguments.stack;
    if arguments.yes {
        return Ok(());
    }
    if !output.can_ask() {
        return Err(EngineError::usage(format!(
            "taking the lock of stack {stack} away from {} needs a yes",
            holder.describe()
        ))
        .hint("say --yes"));
    }
    output.note(
        Tone::Strong,
        &format!(
            "Take the lock of stack {stack} away from {}? Only `yes` is a yes:",
            holder.describe()
        ),
    );
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "yes" => Ok(()),
        _ => Err(EngineError::refused("not approved; nothing was changed")),
    }
}

/// That a lock was taken away.
pub fn tell_released(output: &Output, release: &LockRelease) {
    output.toned(
        Tone::Good,
        &format!(
            "The lock of stack {} is taken away from run {}; its fence is {} now, and that run can write nothing more \
             without it.",
            release.stack, release.holder.run, release.fence
        ),
    );
    if release.holder.applying {
        output.line(&format!(
            "  What it was doing is not finished: infra-rollback resume {0}, or abort {0}",
            release.holder.run
        ));
    }
    output.document(&json!({ "release": release }));
}
