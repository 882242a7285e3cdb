//! `state …`: the auditor's questions.

use std::io::IsTerminal;
use std::path::Path;

use jiff::Timestamp;
use rollback_engine::context::{Context, Stack};
use rollback_engine::drive::Options;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::{restore, versions};
use rollback_release::StateVersion;
use rollback_state::Mode;
use serde_json::{Value, json};

use super::to::{Person, tell};
use crate::arguments::{Global, RestoreArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// `state inspect FILE`: what it holds, no values.
pub fn inspect(file: &Path, output: &Output) -> Result<()> {
    let state = super::plan::read(file)?;
    let addresses: Vec<Value> = state
        .instances()
        .map(|instance| match instance.deposed() {
            Some(deposed) => json!({ "address": instance.address().to_string(), "deposed": deposed }),
            None => json!(instance.address().to_string()),
        })
        .collect();
    output.line(&format!(
        "{}: format {}, terraform {}",
        file.display(),
        state.version(),
        state.terraform_version()
    ));
    output.line(&format!("  serial {}, lineage {}", state.serial(), state.lineage()));
    output.line(&format!("  sha256 {}", state.sha256()));
    output.line(&format!(
        "  {} resources, {} instances",
        state.resource_count(),
        state.instance_count()
    ));
    for instance in state.instances() {
        let data = if instance.mode() == Mode::Data { "" } else { "  " };
        let tainted = if instance.tainted() { " (tainted)" } else { "" };
        output.line(&format!("  {data}{}{tainted}", instance.id()));
    }
    output.plain_document(&json!({
        "version": state.version(),
        "terraform_version": state.terraform_version(),
        "serial": state.serial(),
        "lineage": state.lineage(),
        "sha256": state.sha256(),
        "resources": state.resource_count(),
        "instances": state.instance_count(),
        "addresses": addresses,
    }));
    Ok(())
}

fn describe(stack: &str, version: &StateVersion) -> Value {
    json!({
        "stack": stack,
        "release": version.release.as_str(),
        "commit": version.commit,
        "created_at": version.created_at,
        "actor": version.actor,
        "kind": version.kind,
        "sha256": version.state.sha256,
        "serial": version.state.serial,
        "lineage": version.state.lineage,
        "terraform_version": version.state.terraform_version,
        "instances": version.state.instances,
    })
}

/// `state versions`.
pub fn versions(global: &Global, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let mut documents = Vec::new();
    for stack in &context.stacks {
        let listing = context.catalogue().state_versions(&stack.name)?;
        for unreadable in &listing.unreadable {
            output.note(
                Tone::Warning,
                &format!("! release {} cannot be read: {}", unreadable.release, unreadable.reason),
            );
        }
        output.heading(&format!("stack {}", stack.name));
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["KEPT", "BY", "SERIAL", "OBJECTS", "SHA256", "COMMIT", "RELEASE"]);
        for version in &listing.items {
            table.add_row([
                format!("{:.0}", version.created_at),
                version.actor.clone(),
                version.state.serial.to_string(),
                version.state.instances.to_string(),
                format!("{:.16}", version.state.sha256),
                format!("{:.10}", version.commit),
                version.release.to_string(),
            ]);
            documents.push(describe(&stack.name, version));
        }
        output.line(&table.trim_fmt());
        documents.extend(written(&context, stack, output)?);
    }
    output.document(&json!({ "versions": documents }));
    Ok(())
}

/// The states that Terraform wrote through the service.
fn written(context: &Context, stack: &Stack, output: &Output) -> Result<Vec<Value>> {
    let found = versions::written(context, stack)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    output.line("  written through the service:");
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["WRITTEN", "BY", "SERIAL", "OBJECTS", "SHA256", "COMMIT", "VERSION"]);
    let mut documents = Vec::new();
    for version in &found {
        let Some(state) = &version.state else { continue };
        table.add_row([
            format!("{:.0}", version.written_at),
            version.actor.clone(),
            state.serial.to_string(),
            state.instances.to_string(),
            format!("{:.16}", state.sha256),
            version
                .commit
                .as_deref()
                .map_or_else(String::new, |commit| format!("{commit:.10}")),
            format!("write:{}", version.number),
        ]);
        documents.push(json!({
            "stack": stack.name, "write": version.number, "commit": version.commit, "created_at": version.written_at,
            "actor": version.actor, "lock_id": version.lock_id, "sha256": state.sha256, "serial": state.serial,
            "lineage": state.lineage, "terraform_version": state.terraform_version, "instances": state.instances,
        }));
    }
    output.line(&table.trim_fmt());
    Ok(documents)
}

/// `state pull VERSION`: the very bytes.
pub fn pull(global: &Global, version: &str, file: Option<&Path>, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let stack = versions::the_stack(&context)?;
    let (bytes, about) = match versions::find(&context, stack, version) {
        Ok(found) => {
            let state = context.catalogue().state(&found.state)?;
            (state.bytes().to_vec(), describe(&stack.name, &found))
        }
        Err(error) => match versions::written_bytes(&context, stack, version)? {
            Some(bytes) => (bytes, json!({ "stack": stack.name, "version": version })),
            None => return Err(error),
        },
    };
    match file {
        Some(path) => {
            use std::io::Write;
            use std::os::unix::fs::OpenOptionsExt;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| {
                    EngineError::failed(format!("{} cannot be written: {error}", path.display()))
                        .hint("name a file that is not there yet")
                })?;
            file.write_all(&bytes)?;
            output.toned(
                Tone::Good,
                &format!("Wrote {} bytes to {}", bytes.len(), path.display()),
            );
            output.document(&about);
        }
        None => {
            if std::io::stdout().is_terminal() {
                return Err(
                    EngineError::refused("a state holds secrets and is not printed on a terminal")
                        .hint("write it to a file: --output FILE, or send it down a pipe"),
                );
            }
            output.bytes(&bytes)?;
        }
    }
    Ok(())
}

/// `state restore VERSION`.
pub fn restore(global: &Global, arguments: &RestoreArguments, output: &Output) -> Result<()> {
    let mut context = session::open(global, &VariableArguments::default(), output)?;
    context.locking = session::locking(&arguments.waiting, None);
    let version = versions::find(&context, versions::the_stack(&context)?, &arguments.version)?;
    let person = Person::new(output, arguments.auto_approve).accepting_orphans(arguments.accept_orphans);
    let options = Options {
        reason: arguments.reason.clone(),
        dry_run: arguments.dry_run,
        ..Options::default()
    };
    let outcome = restore::restore(&context, &version, &options, &person).map_err(|error| person.with_plan(error))?;
    drop(context);
    tell(output, &person, &outcome);
    Ok(())
}

/// `state at TIME`.
pub fn at(global: &Global, time: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let moment = parse_time(time)?;
    let mut documents = Vec::new();
    for stack in &context.stacks {
        match context.catalogue().at(&stack.name, moment)? {
            Some(version) => {
                output.line(&format!(
                    "{}: serial {}, {} objects, sha256 {:.16}, kept {:.0} by {}, commit {:.10}, release {}",
                    stack.name,
                    version.state.serial,
                    version.state.instances,
                    version.state.sha256,
                    version.created_at,
                    version.actor,
                    version.commit,
                    version.release
                ));
                documents.push(describe(&stack.name, &version));
            }
            None => output.line(&format!("{}: no state was kept at {moment:.0} or before", stack.name)),
        }
    }
    if documents.is_empty() {
        return Err(EngineError::failed(format!(
            "no state was kept at {moment:.0} or before"
        )));
    }
    output.document(&json!({ "time": moment, "versions": documents }));
    Ok(())
}

/// `2026-11-22T03:00:00Z`, `2026-11-22 03:00` (this machine's time zone), `2 hours ago`.
pub(super) fn parse_time(text: &str) -> Result<Timestamp> {
    let trimmed = text.trim().trim_start_matches("@{").trim_end_matches('}').trim();
    if let Ok(time) = trimmed.parse::<Timestamp>() {
        return Ok(time);
    }
    if trimmed == "now" {
        return Ok(Timestamp::now());
    }
    if let Ok(time) = trimmed.parse::<jiff::civil::DateTime>()
        && let Ok(zoned) = time.to_zoned(jiff::tz::TimeZone::system())
    {
        return Ok(zoned.timestamp());
    }
    // "2 hours ago" is one of jiff's friendly durations.
    if let Ok(span) = trimmed.parse::<jiff::Span>()
        && let Ok(zoned) = jiff::Zoned::now().checked_add(span)
    {
        return Ok(zoned.timestamp());
    }
    Err(EngineError::usage(format!("{text:?} is no time"))
        .hint("for example 2026-11-22T03:00:00Z, \"2026-11-22 03:00\" or \"2 hours ago\""))
}

/// `state blame ADDRESS[.ATTRIBUTE]`.
pub fn blame(global: &Global, address: &str, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let stack = versions::the_stack(&context)?;
    let found = versions::blame(&context, stack, address)?;
    for one in &found {
        let attributes = if one.attributes.is_empty() {
            String::new()
        } else {
            format!(": {}", one.attributes.join(", "))
        };
        output.line(&format!(
            "{:.0}  {:<8} commit {:.10} by {} (release {}){attributes}",
            one.created_at, one.what, one.commit, one.actor, one.release
        ));
    }
    output.document(&json!({ "address": address, "changes": found }));
    Ok(())
}
