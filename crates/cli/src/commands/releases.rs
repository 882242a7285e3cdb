//! `releases` and `show`.

use rollback_engine::document::{describe_release, describe_summary, release_kind};
use rollback_engine::error::Result;
use rollback_release::{Mark, ReleaseKind, Verdict};
use serde_json::{Value, json};

use crate::arguments::{Global, ReleasesArguments, ReleasesCommand, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Lists releases, newest first.
pub fn list(global: &Global, arguments: &ReleasesArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let mut listing = context.catalogue().summaries(usize::MAX)?;
    let marks = context.catalogue().marks()?;
    listing
        .items
        .retain(|release| arguments.all || !matches!(release.kind, ReleaseKind::Backup { .. }));
    listing.items.truncate(arguments.limit);
    for unreadable in &listing.unreadable {
        output.note(
            Tone::Warning,
            &format!("! release {} cannot be read: {}", unreadable.release, unreadable.reason),
        );
    }
    if listing.items.is_empty() {
        output.line("There is no release yet. `infra-rollback snapshot` after an apply keeps one.");
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["RELEASE", "COMMIT", "KEPT", "BY", "KIND", "STACKS", "NAME", "MARK"]);
    for release in &listing.items {
        let stacks: Vec<String> = release
            .stacks
            .iter()
            .map(|stack| {
                format!(
                    "{} ({})",
                    stack.name,
                    stack.state.as_ref().map_or(0, |state| state.instances)
                )
            })
            .collect();
        table.add_row([
            release.id.as_str().to_owned(),
            format!("{:.10}", release.commit),
            format!("{:.0}", release.created_at),
            release.actor.clone(),
            match release.import() {
                Some(import) => format!("imported {}", import.commit_by.short()),
                None => release_kind(&release.kind).0.to_owned(),
            },
            stacks.join(", "),
            release.name.clone().unwrap_or_default(),
            marks.get(&release.id).map(words).unwrap_or_default(),
        ]);
    }
    if !listing.items.is_empty() {
        output.line(&table.trim_fmt());
    }
    output.document(&json!({
        "releases": listing.items.iter().map(|release| with_mark(describe_summary(release), marks.get(&release.id))).collect::<Vec<_>>(),
        "unreadable": listing.unreadable.iter().map(|one| json!({ "release": one.release, "reason": one.reason })).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// Shows one release.
pub fn show(global: &Global, release: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let release = super::diff::find(&context, release)?;
    let (kind, run) = release_kind(&release.kind);
    let mark = context.catalogue().marks()?.remove(&release.id);
    output.heading(&format!(
        "release {} ({kind}{})",
        release.id,
        run.map(|run| format!(" of run {run}")).unwrap_or_default()
    ));
    output.line(&format!("  commit   {}", release.commit));
    if let Some(name) = &release.name {
        output.line(&format!("  name     {name}"));
    }
    if let Some(note) = &release.note {
        output.line(&format!("  note     {note}"));
    }
    output.line(&format!("  kept     {:.0} by {}", release.created_at, release.actor));
    if let Some(reason) = &release.reason {
        output.line(&format!("  reason   {reason}"));
    }
    if let Some(import) = release.import() {
        output.line(&format!("  source   {} version {}", import.source, import.version));
        let tone = if import.commit_by.is_guess() {
            Tone::Warning
        } else {
            Tone::Plain
        };
        output.toned(tone, &format!("  inferred its commit {}", import.commit_by));
        for unknown in &import.unknown {
            output.toned(Tone::Warning, &format!("  unknown  {unknown}"));
        }
    }
    if let Some(mark) = mark.as_ref().filter(|mark| !words(mark).is_empty()) {
        let reason = mark
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let tone = if mark.verdict == Some(Verdict::Bad) {
            Tone::Danger
        } else {
            Tone::Plain
        };
        output.toned(tone, &format!("  mark     {} by {}{reason}", words(mark), mark.by));
    }
    for path in &release.dirty {
        output.toned(Tone::Warning, &format!("  differed from the commit: {path}"));
    }
    for stack in &release.stacks {
        output.line("");
        output.heading(&format!("  stack {}", stack.name));
        output.line(&format!(
            "    folder     {}",
            if stack.dir.is_empty() { "." } else { &stack.dir }
        ));
        output.line(&format!(
            "    backend    {} (workspace {})",
            stack.backend.kind, stack.workspace
        ));
        if let Some(state) = &stack.state {
            output.line(&format!(
                "    state      {} objects, serial {}, lineage {}",
                state.instances, state.serial, state.lineage
            ));
            output.line(&format!("    sha256     {}", state.sha256));
        }
        output.line(&format!(
            "    {:<10} {}",
            stack.terraform.product, stack.terraform.version
        ));
        for (provider, version) in &stack.providers {
            output.line(&format!("    provider   {provider} {version}"));
        }
        let modules = stack.modules.as_ref().map_or(0, |modules| modules.files.len());
        output.line(&format!(
            "    files      {} of configuration, {modules} of downloaded modules",
            stack.configuration.len()
        ));
        for variable in &stack.variables {
            output.line(&format!("    variable   {} (its value is not kept)", variable.name));
        }
        for file in stack.variable_files.iter().filter(|file| !file.left_out.is_empty()) {
            output.line(&format!("    {} without {}", file.path, file.left_out.join(", ")));
        }
    }
    output.document(&with_mark(describe_release(&release), mark.as_ref()));
    Ok(())
}

/// `pinned, bad`
fn words(mark: &Mark) -> String {
    let verdict = mark.verdict.map(|verdict| match verdict {
        Verdict::Bad => "bad",
        Verdict::Good => "good",
    });
    let words: Vec<&str> = mark.pinned.then_some("pinned").into_iter().chain(verdict).collect();
    words.join(", ")
}

fn with_mark(mut document: Value, mark: Option<&Mark>) -> Value {
    document["mark"] = json!(mark);
    document
}

/// Pins, bad and good ones, and back.
pub fn mark(global: &Global, command: &ReleasesCommand, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let (ReleasesCommand::Pin(arguments)
    | ReleasesCommand::Unpin(arguments)
    | ReleasesCommand::Bad(arguments)
    | ReleasesCommand::Good(arguments)
    | ReleasesCommand::Unmark(arguments)) = command;
    let release = super::diff::find(&context, &arguments.release)?;
    let mark = context.catalogue().mark(&release.id, &context.actor, &|mark| {
        match command {
            ReleasesCommand::Pin(_) => mark.pinned = true,
            ReleasesCommand::Unpin(_) => mark.pinned = false,
            ReleasesCommand::Bad(_) => mark.verdict = Some(Verdict::Bad),
            ReleasesCommand::Good(_) => mark.verdict = Some(Verdict::Good),
            ReleasesCommand::Unmark(_) => mark.verdict = None,
        }
        if arguments.reason.is_some() {
            mark.reason.clone_from(&arguments.reason);
        } else if !mark.pinned && mark.verdict.is_none() {
            mark.reason = None;
        }
    })?;
    let now = Some(words(&mark)).filter(|words| !words.is_empty());
    output.line(&format!(
        "release {} is {}",
        release.id,
        now.as_deref().unwrap_or("not marked any more")
    ));
    output.document(&with_mark(describe_release(&release), Some(&mark)));
    Ok(())
}
