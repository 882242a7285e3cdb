//! `diff`: what differs between two releases, objects and configuration.

use std::sync::Arc;

use rollback_engine::context::Context;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::history;
use rollback_engine::secrets::of_variables;
use rollback_engine::target::Target;
use rollback_inverse::redact::Redactor;
use rollback_inverse::{Fate, Input, compute};
use rollback_release::{Release, StackRecord};
use rollback_state::State;
use serde_json::json;
use similar::TextDiff;

use crate::arguments::{DiffArguments, Global, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// A release by id, name or commit, or by any revision of Git.
pub fn find(context: &Context, text: &str) -> Result<Release> {
    match context.catalogue().find(text) {
        Ok(release) => Ok(release),
        Err(error) => {
            let Ok(commit) = context.repository.resolve(text) else {
                return Err(error.into());
            };
            context.catalogue().find(commit.as_str()).map_err(|_| {
                EngineError::failed(format!("there is no release of commit {}", commit.short()))
                    .hint("`infra-rollback releases` lists those that are there")
            })
        }
    }
}

/// Prints the difference.
pub fn run(global: &Global, arguments: &DiffArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let (from, to) = (find(&context, &arguments.from)?, find(&context, &arguments.to)?);
    hide(&context, &from, &to)?;
    let mut documents = Vec::new();
    let mut names: Vec<&str> = from
        .stacks
        .iter()
        .chain(&to.stacks)
        .map(|stack| stack.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if !global.stacks.is_empty() && !global.stacks.iter().any(|wanted| wanted == name) {
            continue;
        }
        output.heading(&format!("stack {name}"));
        let (old, new) = (from.stack(name), to.stack(name));
        let mut document = json!({ "stack": name });
        if !arguments.config {
            document["objects"] = objects(&context, &from, &to, old, new, arguments.patch, output)?;
        }
        if !arguments.state {
            document["files"] = files(&context, old, new, output)?;
        }
        documents.push(document);
    }
    output.document(&json!({ "from": from.id.as_str(), "to": to.id.as_str(), "stacks": documents }));
    Ok(())
}

/// Nothing that either release holds secret may show, in states or in configuration.
fn hide(context: &Context, from: &Release, to: &Release) -> Result<()> {
    for stack in from.stacks.iter().chain(&to.stacks) {
        let state = state_of(context, Some(stack))?;
        let files = history::tree_of_record(context.store.as_ref(), stack)?;
        let configuration = history::configuration_in(context.store.as_ref(), &files, &stack.dir, Some(stack))?;
        let secrets = of_variables(context, &[&configuration], &[Some(stack)]);
        context
            .secrets
            .hide(Arc::new(Redactor::new([&state], secrets, &context.knowledge)));
    }
    Ok(())
}

fn state_of(context: &Context, stack: Option<&StackRecord>) -> Result<State> {
    match stack.and_then(|stack| stack.state.as_ref()) {
        Some(record) => Ok(context.catalogue().state(record)?),
        None => Ok(State::empty("", "")),
    }
}

fn objects(
    context: &Context,
    from: &Release,
    to: &Release,
    old: Option<&StackRecord>,
    new: Option<&StackRecord>,
    patch: bool,
    output: &Output,
) -> Result<serde_json::Value> {
    let (current, target) = (state_of(context, old)?, state_of(context, new)?);
    let read = |release: &Release, stack: Option<&StackRecord>| {
        let stack = stack?;
        let target = Target::of_release(context, release.clone()).ok()?;
        history::configuration_at(
            &context.repository,
            context.store.as_ref(),
            &target.commit,
            &stack.dir,
            Some(stack),
        )
        .ok()
    };
    let (current_config, target_config) = (read(from, old), read(to, new));
    let plan = compute(&Input {
        current: &current,
        target: Some(&target),
        current_config: current_config.as_ref(),
        target_config: target_config.as_ref(),
        history: &[],
        knowledge: &context.knowledge,
        secrets: &[],
    });
    for change in plan.effective() {
        let (symbol, tone) = match change.fate {
            Fate::Create | Fate::Adopt => ("+", Tone::Good),
            Fate::Destroy | Fate::Forget => ("-", Tone::Danger),
            Fate::Move => ("=", Tone::Plain),
            _ => ("~", Tone::Warning),
        };
        let previous = change
            .previous_address()
            .map(|from| format!("  (was {from})"))
            .unwrap_or_default();
        output.toned(tone, &format!("  {symbol} {}{previous}", change.address()));
        for operation in &change.patch {
            let text = serde_json::to_string(operation).unwrap_or_default();
            output.line(&if patch { format!("      {text}") } else { short(&text) });
        }
    }
    if plan.is_empty() {
        output.line("  the same objects");
    }
    let mut document = plan.to_json();
    if patch {
        document["patches"] = plan
            .effective()
            .map(|change| json!({ "address": change.address().to_string(), "patch": change.patch }))
            .collect();
    }
    Ok(document)
}

/// An operation of a patch, cut where it is long.
pub fn short(operation: &str) -> String {
    let mut text: String = operation.chars().take(140).collect();
    if text.len() < operation.len() {
        text.push('…');
    }
    format!("      {text}")
}

fn files(
    context: &Context,
    old: Option<&StackRecord>,
    new: Option<&StackRecord>,
    output: &Output,
) -> Result<serde_json::Value> {
    let empty = std::collections::BTreeMap::new();
    let (before, after) = (
        old.map_or(&empty, |stack| &stack.configuration),
        new.map_or(&empty, |stack| &stack.configuration),
    );
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let text = |blob: Option<&rollback_release::BlobId>| -> Result<String> {
        Ok(match blob {
            Some(blob) => String::from_utf8_lossy(&context.store.get_blob(blob)?).into_owned(),
            None => String::new(),
        })
    };
    let mut documents = Vec::new();
    for path in paths {
        let (a, b) = (before.get(path), after.get(path));
        if a == b {
            continue;
        }
        let (old_text, new_text) = (text(a)?, text(b)?);
        let diff = TextDiff::from_lines(&old_text, &new_text);
        let unified = diff
            .unified_diff()
            .context_radius(3)
            .header(&format!("a/{path}"), &format!("b/{path}"))
            .to_string();
        for line in unified.lines() {
            let tone = match line.as_bytes().first() {
                Some(b'+') => Tone::Good,
                Some(b'-') => Tone::Danger,
                _ => Tone::Faint,
            };
            output.toned(tone, &format!("  {line}"));
        }
        documents.push(json!({ "path": path, "diff": unified }));
    }
    if documents.is_empty() {
        output.line("  the same configuration");
    }
    Ok(json!(documents))
}
