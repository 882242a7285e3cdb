//! `releases` and `show`.

use rollback_engine::context::Context;
use rollback_engine::document::{describe_release, describe_summary};
use rollback_engine::drill::{self, Reach};
use rollback_engine::error::Result;
use rollback_engine::marking::{self, Change};
use rollback_engine::words::counted;
use rollback_release::{Import, Mark, ReleaseKind, Verdict};
use serde_json::{Value, json};

use crate::arguments::{Global, MarkArguments, ReleasesArguments, ReleasesCommand, VariableArguments};
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
    let documents: Vec<Value> = listing
        .items
        .iter()
        .map(|release| with_mark(describe_summary(release), marks.get(&release.id)))
        .map(|release| with_drill(&context, release))
        .collect::<Result<_>>()?;
    print_list(output, &documents);
    output.document(&json!({
        "releases": documents,
        "unreadable": listing.unreadable.iter().map(|one| json!({ "release": one.release, "reason": one.reason })).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// With the last rehearsal of the way back to it.
fn with_drill(context: &Context, mut release: Value) -> Result<Value> {
    let id = text(&release, "id").to_owned();
    let last = drill::last(context.store.as_ref(), &context.project, &id)?;
    release["drill"] = json!(last.map(|last| json!({ "reach": last.reach, "at": last.at, "by": last.by })));
    Ok(release)
}

/// Releases, as [`describe_summary`] describes them, as a table.
pub fn print_list(output: &Output, releases: &[Value]) {
    if releases.is_empty() {
        output.line("There is no release yet. `infra-rollback snapshot` after an apply keeps one.");
        return;
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "RELEASE", "COMMIT", "KEPT", "BY", "KIND", "STACKS", "NAME", "MARK", "WAY BACK",
    ]);
    for release in releases {
        let stacks: Vec<String> = items(release, "stacks")
            .iter()
            .map(|stack| format!("{} ({})", text(stack, "name"), number(&stack["state"]["instances"])))
            .collect();
        table.add_row([
            text(release, "id").to_owned(),
            format!("{:.10}", text(release, "commit")),
            moment(release, "created_at"),
            text(release, "actor").to_owned(),
            match import(release) {
                Some(import) => format!("imported {}", import.commit_by.short()),
                None => text(release, "kind").to_owned(),
            },
            stacks.join(", "),
            text(release, "name").to_owned(),
            mark_of(release).as_ref().map(words).unwrap_or_default(),
            reach_of(release).map(Reach::in_words).unwrap_or_default().to_owned(),
        ]);
    }
    output.line(&table.trim_fmt());
}

/// Shows one release.
pub fn show(global: &Global, release: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let release = super::diff::find(&context, release)?;
    let mark = context.catalogue().marks()?.remove(&release.id);
    let document = with_drill(&context, with_mark(describe_release(&release), mark.as_ref()))?;
    print_one(output, &document);
    output.document(&document);
    Ok(())
}

/// A release, as [`describe_release`] describes it.
pub fn print_one(output: &Output, release: &Value) {
    let run = release["run"].as_str().map(|run| format!(" of run {run}"));
    output.heading(&format!(
        "release {} ({}{})",
        text(release, "id"),
        text(release, "kind"),
        run.unwrap_or_default()
    ));
    output.line(&format!("  commit   {}", text(release, "commit")));
    for name in ["name", "note"] {
        if let Some(text) = release[name].as_str() {
            output.line(&format!("  {name}     {text}"));
        }
    }
    output.line(&format!(
        "  kept     {} by {}",
        moment(release, "created_at"),
        text(release, "actor")
    ));
    if let Some(reason) = release["reason"].as_str() {
        output.line(&format!("  reason   {reason}"));
    }
    if let Some(import) = import(release) {
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
    if let Some(mark) = mark_of(release).filter(|mark| !words(mark).is_empty()) {
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
        output.toned(tone, &format!("  mark     {} by {}{reason}", words(&mark), mark.by));
    }
    if let Some(reach) = reach_of(release) {
        let tone = super::drill::tone(reach);
        output.toned(
            tone,
            &format!(
                "  way back {}, rehearsed {} by {}",
                reach.in_words(),
                moment(&release["drill"], "at"),
                text(&release["drill"], "by")
            ),
        );
    }
    for path in items(release, "dirty").iter().filter_map(Value::as_str) {
        output.toned(Tone::Warning, &format!("  differed from the commit: {path}"));
    }
    for step in items(release, "steps") {
        let seen = match step["error"].as_str() {
            None => "seen".to_owned(),
            Some(why) => format!("not seen: {why}"),
        };
        output.line(&format!(
            "  step {} ({}): {seen}",
            step["name"].as_str().unwrap_or_default(),
            step["kind"].as_str().unwrap_or_default()
        ));
    }
    for stack in items(release, "stacks") {
        print_stack(output, stack);
    }
}

fn print_stack(output: &Output, stack: &Value) {
    output.line("");
    output.heading(&format!("  stack {}", text(stack, "name")));
    let folder = Some(text(stack, "dir")).filter(|dir| !dir.is_empty()).unwrap_or(".");
    output.line(&format!("    folder     {folder}"));
    output.line(&format!(
        "    backend    {} (workspace {})",
        text(&stack["backend"], "kind"),
        text(stack, "workspace")
    ));
    let state = &stack["state"];
    if !state.is_null() {
        output.line(&format!(
            "    state      {}, serial {}, lineage {}",
            counted(state["instances"].as_u64().unwrap_or_default(), "object"),
            number(&state["serial"]),
            text(state, "lineage")
        ));
        output.line(&format!("    sha256     {}", text(state, "sha256")));
    }
    let tool = &stack["terraform"];
    output.line(&format!("    {:<10} {}", text(tool, "product"), text(tool, "version")));
    for (provider, version) in stack["providers"].as_object().into_iter().flatten() {
        output.line(&format!(
            "    provider   {provider} {}",
            version.as_str().unwrap_or_default()
        ));
    }
    output.line(&format!(
        "    files      {} of configuration, {} of downloaded modules",
        number(&stack["configuration_files"]),
        number(&stack["module_files"])
    ));
    for variable in items(stack, "variables") {
        output.line(&format!(
            "    variable   {} (its value is not kept)",
            text(variable, "name")
        ));
    }
    for file in items(stack, "variable_files") {
        let left_out: Vec<&str> = items(file, "left_out").iter().filter_map(Value::as_str).collect();
        if !left_out.is_empty() {
            output.line(&format!("    {} without {}", text(file, "path"), left_out.join(", ")));
        }
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Down to seconds.
fn moment(value: &Value, name: &str) -> String {
    match text(value, name).parse::<jiff::Timestamp>() {
        Ok(moment) => format!("{moment:.0}"),
        Err(_) => text(value, name).to_owned(),
    }
}

fn import(release: &Value) -> Option<Import> {
    serde_json::from_value(release["inferred"].clone()).ok().flatten()
}

fn mark_of(release: &Value) -> Option<Mark> {
    serde_json::from_value(release["mark"].clone()).ok().flatten()
}

/// What the last rehearsal of the way back to it found.
fn reach_of(release: &Value) -> Option<Reach> {
    serde_json::from_value(release["drill"]["reach"].clone()).ok()
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

/// Which release, what of its mark changes, and why.
pub fn change_of(command: &ReleasesCommand) -> (&MarkArguments, Change) {
    match command {
        ReleasesCommand::Pin(arguments) => (arguments, Change::Pin),
        ReleasesCommand::Unpin(arguments) => (arguments, Change::Unpin),
        ReleasesCommand::Bad(arguments) => (arguments, Change::Bad),
        ReleasesCommand::Good(arguments) => (arguments, Change::Good),
        ReleasesCommand::Unmark(arguments) => (arguments, Change::Unmark),
    }
}

/// Pins, bad and good ones, and back.
pub fn mark(global: &Global, command: &ReleasesCommand, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let (arguments, change) = change_of(command);
    let release = super::diff::find(&context, &arguments.release)?;
    let mark = marking::mark(
        &context.catalogue(),
        &context.actor,
        &release,
        change,
        arguments.reason.as_deref(),
    )?;
    tell_marked(output, &with_mark(describe_release(&release), Some(&mark)));
    Ok(())
}

/// A release whose mark was changed.
pub fn tell_marked(output: &Output, release: &Value) {
    let now = mark_of(release).as_ref().map(words).filter(|words| !words.is_empty());
    output.line(&format!(
        "release {} is {}",
        text(release, "id"),
        now.as_deref().unwrap_or("not marked any more")
    ));
    output.document(release);
}
