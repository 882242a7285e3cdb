//! `releases` and `show`.

use rollback_engine::document::{describe_release, release_kind};
use rollback_engine::error::Result;
use rollback_release::ReleaseKind;
use serde_json::json;

use crate::arguments::{Global, ReleasesArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Lists releases, newest first.
pub fn list(global: &Global, arguments: &ReleasesArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let mut listing = context.catalogue().list(usize::MAX)?;
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
    table.set_header(["RELEASE", "COMMIT", "KEPT", "BY", "KIND", "STACKS", "NAME"]);
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
                None => release_kind(release).0.to_owned(),
            },
            stacks.join(", "),
            release.name.clone().unwrap_or_default(),
        ]);
    }
    if !listing.items.is_empty() {
        output.line(&table.trim_fmt());
    }
    output.document(&json!({
        "releases": listing.items.iter().map(describe_release).collect::<Vec<_>>(),
        "unreadable": listing.unreadable.iter().map(|one| json!({ "release": one.release, "reason": one.reason })).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// Shows one release.
pub fn show(global: &Global, release: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let release = super::diff::find(&context, release)?;
    let (kind, run) = release_kind(&release);
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
    output.document(&describe_release(&release));
    Ok(())
}
