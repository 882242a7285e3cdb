//! `runs`, `runs show` and `abort`.

use jiff::Timestamp;
use rollback_engine::again;
use rollback_engine::context::Locking;
use rollback_engine::error::Result;
use rollback_engine::journal::{Entry, Journal};
use rollback_engine::report::{Item, Sources, report};
use rollback_engine::run::{Purpose, Run, Runs};
use rollback_engine::words;
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
    let report = report(&Sources {
        run: &run,
        journal: journal.entries(),
        incident: &context.settings.incident,
        notifies: !context.notices.channels.is_empty(),
        inviting: context.notices.inviting(),
        now: Timestamp::now(),
    });
    print_one(output, &run, journal.entries(), &report.checklist);
    Ok(())
}

/// A run with its journal and the runbook's checklist, where that is known, or the document.
pub fn print_one(output: &Output, run: &Run, journal: &[Entry], checklist: &[Item]) {
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
    for item in checklist {
        let sign = if item.done { "x" } else { " " };
        let note = item.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        output.line(&format!("  [{sign}] {}{note}", item.item));
    }
    if !checklist.is_empty() {
        output.line("");
    }
    for entry in journal {
        output.line(&format!("  {:.3}  {}", entry.at, words::describe(&entry.event)));
    }
    output.document(&json!({ "run": run, "journal": journal, "checklist": checklist }));
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
