//! `state …`: the auditor's questions.

use std::io::IsTerminal;
use std::path::Path;

use jiff::Timestamp;
use rollback_engine::context::{Context, Stack};
use rollback_engine::drive::Options;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::run::Consent;
use rollback_engine::versions::Blame;
use rollback_engine::words::counted;
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
        let kept: Vec<Value> = listing
            .items
            .iter()
            .map(|version| describe(&stack.name, version))
            .collect();
        let written = written(&context, stack)?;
        print_versions(output, &stack.name, &kept, &written);
        documents.extend(kept);
        documents.extend(written);
    }
    output.document(&json!({ "versions": documents }));
    Ok(())
}

/// The states that Terraform wrote through the service.
fn written(context: &Context, stack: &Stack) -> Result<Vec<Value>> {
    let found = versions::written(context, stack)?;
    let documents = found.iter().filter_map(|version| {
        let state = version.state.as_ref()?;
        Some(json!({
            "stack": stack.name, "write": version.number, "commit": version.commit, "created_at": version.written_at,
            "actor": version.actor, "lock_id": version.lock_id, "sha256": state.sha256, "serial": state.serial,
            "lineage": state.lineage, "terraform_version": state.terraform_version, "instances": state.instances,
        }))
    });
    Ok(documents.collect())
}

/// The versions of one stack: those that releases keep, and those that were written through the service.
pub fn print_versions(output: &Output, stack: &str, kept: &[Value], written: &[Value]) {
    output.heading(&format!("stack {stack}"));
    print_table(output, "KEPT", "RELEASE", kept);
    if !written.is_empty() {
        output.line("  written through the service:");
        print_table(output, "WRITTEN", "VERSION", written);
    }
}

fn print_table(output: &Output, time: &str, name: &str, versions: &[Value]) {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([time, "BY", "SERIAL", "OBJECTS", "SHA256", "COMMIT", name]);
    for version in versions {
        let text = |name: &str| version[name].as_str().unwrap_or_default();
        table.add_row([
            moment(text("created_at")),
            text("actor").to_owned(),
            version["serial"].to_string(),
            version["instances"].to_string(),
            format!("{:.16}", text("sha256")),
            format!("{:.10}", text("commit")),
            match version["write"].as_u64() {
                Some(number) => format!("write:{number}"),
                None => text("release").to_owned(),
            },
        ]);
    }
    output.line(&table.trim_fmt());
}

/// Down to seconds.
fn moment(text: &str) -> String {
    text.parse::<Timestamp>()
        .map_or_else(|_| text.to_owned(), |moment| format!("{moment:.0}"))
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
    hand_over(&bytes, file, &about, output)
}

/// The bytes of a state, into a file or down a pipe.
///
/// # Errors
/// The file is there already; a terminal would show secrets.
pub fn hand_over(bytes: &[u8], file: Option<&Path>, about: &Value, output: &Output) -> Result<()> {
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
            file.write_all(bytes)?;
            output.toned(
                Tone::Good,
                &format!("Wrote {} bytes to {}", bytes.len(), path.display()),
            );
            output.document(about);
        }
        None => {
            if std::io::stdout().is_terminal() {
                return Err(
                    EngineError::refused("a state holds secrets and is not printed on a terminal")
                        .hint("write it to a file: --output FILE, or send it down a pipe"),
                );
            }
            output.bytes(bytes)?;
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
        consent: Consent {
            policy: arguments.override_policy.clone(),
            policy_reason: arguments.reason.clone(),
            ..Consent::default()
        },
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
                let document = describe(&stack.name, &version);
                print_at(output, &document);
                documents.push(document);
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

/// The version that was the newest at a time.
pub fn print_at(output: &Output, version: &Value) {
    let text = |name: &str| version[name].as_str().unwrap_or_default();
    output.line(&format!(
        "{}: serial {}, {}, sha256 {:.16}, kept {} by {}, commit {:.10}, release {}",
        text("stack"),
        version["serial"],
        counted(version["instances"].as_u64().unwrap_or_default(), "object"),
        text("sha256"),
        moment(text("created_at")),
        text("actor"),
        text("commit"),
        text("release")
    ));
}

/// `2026-11-22T03:00:00Z`, `2026-11-22 03:00` (this machine's time zone), `2 hours ago`.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp> {
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
    let found = versions::blame(&context.catalogue(), &stack.name, address)?;
    tell_blame(output, address, &found);
    Ok(())
}

/// Who changed an object, newest first.
pub fn tell_blame(output: &Output, address: &str, found: &[Blame]) {
    for one in found {
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
}
