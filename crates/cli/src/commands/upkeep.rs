//! `store rebuild-index`, `store gc` and `store copy`.

use std::io::Write;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::upkeep::needed_releases;
use rollback_engine::words::counted;
use rollback_release::StoreError;
use rollback_release::upkeep::{self, CopyError, Options, Plan, Retention};
use serde_json::{Value, json};

use crate::arguments::{GcArguments, Global, Purpose, VariableArguments};
use crate::output::{Output, Tone};
use crate::session::{self, StorePlace};

/// A put makes what is a day old young again, so that less than this is no grace at all.
const SHORTEST_GRACE: SignedDuration = SignedDuration::from_hours(48);

/// So many of a long list are shown; `--json` has all.
const SHOWN: usize = 20;

/// One line on a terminal that says how far the work is; nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(output: &Output) -> Bar {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        if !terminal || output.is_json() {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        Bar(bar)
    }
    fn tell(&self, what: &str, done: usize, total: usize) {
        self.0.set_message(match total {
            0 => format!("{what}: {done}"),
            total => format!("{what}: {done} of {total}"),
        });
        self.0.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// `store rebuild-index`.
pub fn rebuild_index(global: &Global, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let bar = Bar::new(output);
    let rebuilt = context
        .catalogue()
        .rebuild_index(&mut |done, total| bar.tell("releases read", done, total))?;
    drop(bar);
    for unreadable in &rebuilt.unreadable {
        output.note(
            Tone::Warning,
            &format!("! release {} cannot be read: {}", unreadable.release, unreadable.reason),
        );
    }
    output.line(&format!(
        "The index has {}: rows written: {}, removed: {}.",
        counted(rebuilt.releases, "release"),
        rebuilt.written,
        rebuilt.removed
    ));
    output.document(&json!({
        "releases": rebuilt.releases,
        "written": rebuilt.written,
        "removed": rebuilt.removed,
        "unreadable": rebuilt.unreadable.iter().map(|one| json!({ "release": one.release, "reason": one.reason })).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// `store gc`.
pub fn gc(global: &Global, arguments: &GcArguments, output: &Output) -> Result<()> {
    if arguments.grace < SHORTEST_GRACE {
        return Err(EngineError::usage("--grace is at least 2d")
            .hint("a snapshot that is being taken relies on blobs that nothing names yet"));
    }
    let context = session::open(global, &VariableArguments::default(), output)?;
    let catalogue = context.catalogue();
    let bar = Bar::new(output);
    let options = Options {
        put_before: Timestamp::now() - arguments.grace,
        retention: Retention {
            keep_last: arguments.keep_last.map(|count| count as usize),
            keep_since: arguments.keep_within.map(|age| Timestamp::now() - age),
        },
        needed: needed_releases(&context)?,
    };
    let plan = upkeep::plan(&catalogue, &options, &mut |what, done, total| {
        bar.tell(what, done, total)
    })?;
    bar.0.finish_and_clear();
    show(&plan, output);
    let mut document = describe(&plan);
    document["dry_run"] = json!(arguments.dry_run);
    if arguments.dry_run || plan.is_empty() {
        if !plan.is_empty() {
            output.line("Nothing was removed: this was a dry run.");
        }
        output.document(&document);
        return Ok(());
    }
    if !arguments.auto_approve && !confirmed(output) {
        let mut error = EngineError::refused("nothing was removed: nobody said yes")
            .hint("look at it with --dry-run, then give --auto-approve");
        error.detail = Some(Box::new(document));
        return Err(error);
    }
    let bar = Bar::new(output);
    let done = upkeep::carry_out(&catalogue, &plan, &mut |what, done, total| bar.tell(what, done, total))?;
    drop(bar);
    output.line(&format!(
        "Removed {}, {} and {} ({}).",
        counted(done.releases.len(), "release"),
        counted(done.blobs, "blob"),
        counted(done.leftovers, "leftover"),
        HumanBytes(done.bytes)
    ));
    if done.wanted_again > 0 {
        output.line(&format!(
            "{} blobs stay: somebody needs them again by now.",
            done.wanted_again
        ));
    }
    for retained in &done.retained {
        output.toned(
            Tone::Faint,
            &format!("  retained {}: {}", retained.what, retained.reason),
        );
    }
    if !done.held_back_by.is_empty() {
        output.note(
            Tone::Warning,
            "! A release is being committed at this moment: the blobs stay. Run `store gc` again later.",
        );
    }
    document["removed"] = json!({
        "releases": done.releases.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "blobs": done.blobs,
        "leftovers": done.leftovers,
        "abandoned_rows": done.abandoned_rows,
        "bytes": done.bytes,
        "wanted_again": done.wanted_again,
        "retained": done.retained.iter().map(|one| json!({ "what": one.what, "reason": one.reason })).collect::<Vec<_>>(),
        "held_back_by": done.held_back_by.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
    });
    output.document(&document);
    Ok(())
}

fn confirmed(output: &Output) -> bool {
    if !output.can_ask() {
        return false;
    }
    output.note(Tone::Strong, "Remove this for good? Only `yes` is a yes:");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim() == "yes"
}

fn show(plan: &Plan, output: &Output) {
    if plan.is_empty() {
        output.line(&format!(
            "There is nothing to remove: {} blobs ({}) are all needed, or too young.",
            plan.kept_blobs,
            HumanBytes(plan.kept_bytes)
        ));
    }
    if !plan.releases.is_empty() {
        output.heading(&format!("{} past their time:", counted(plan.releases.len(), "release")));
    }
    for release in plan.releases.iter().take(SHOWN) {
        output.line(&format!(
            "  - {}  commit {:.10}  {:.0}  {}",
            release.id,
            release.commit,
            release.created_at,
            release.name.as_deref().unwrap_or_default()
        ));
    }
    more(plan.releases.len(), output);
    for (id, reason) in &plan.needed {
        output.toned(Tone::Faint, &format!("    {id} stays: {reason}"));
    }
    if !plan.leftovers.is_empty() {
        output.heading(&format!(
            "{} values ({}) that writes which were cut off left behind:",
            plan.leftovers.len(),
            HumanBytes(plan.leftovers.iter().map(|leftover| leftover.stored_bytes).sum())
        ));
    }
    for leftover in plan.leftovers.iter().take(SHOWN) {
        output.line(&format!("  - {}  put {:.0}", leftover.name, leftover.written_at));
    }
    more(plan.leftovers.len(), output);
    if !plan.abandoned_rows.is_empty() {
        output.heading(&format!(
            "{} rows of the index whose release is not there: a snapshot or a collection was cut off.",
            plan.abandoned_rows.len()
        ));
    }
    if !plan.blobs.is_empty() {
        output.heading(&format!(
            "{} blobs ({}) that nothing names then:",
            plan.blobs.len(),
            HumanBytes(plan.blobs.iter().map(|blob| blob.stored_bytes).sum())
        ));
    }
    for blob in plan.blobs.iter().take(SHOWN) {
        let size = HumanBytes(blob.stored_bytes).to_string();
        output.line(&format!("  - {}  {size:>12}  put {:.0}", blob.id, blob.written_at));
    }
    more(plan.blobs.len(), output);
    if plan.young_blobs > 0 {
        output.toned(
            Tone::Faint,
            &format!(
                "    {} blobs that nothing names then stay for now: they are younger than --grace.",
                plan.young_blobs
            ),
        );
    }
}

fn more(count: usize, output: &Output) {
    if count > SHOWN {
        output.line(&format!("  … and {} more", count - SHOWN));
    }
}

fn describe(plan: &Plan) -> Value {
    json!({
        "releases": plan.releases.iter().map(|release| json!({
            "id": release.id.as_str(), "commit": release.commit, "name": release.name, "created_at": release.created_at,
        })).collect::<Vec<_>>(),
        "needed": plan.needed.iter().map(|(id, reason)| json!({ "id": id.as_str(), "reason": reason })).collect::<Vec<_>>(),
        "blobs": plan.blobs.iter().map(|blob| json!({
            "id": blob.id.to_string(), "bytes": blob.stored_bytes, "put_at": blob.written_at,
        })).collect::<Vec<_>>(),
        "leftovers": plan.leftovers.iter().map(|leftover| json!({
            "name": leftover.name, "bytes": leftover.stored_bytes, "put_at": leftover.written_at,
        })).collect::<Vec<_>>(),
        "abandoned_rows": plan.abandoned_rows.len(),
        "bytes": plan.bytes(),
        "kept": { "blobs": plan.kept_blobs, "bytes": plan.kept_bytes, "young": plan.young_blobs },
    })
}

/// `store copy FROM TO`.
pub fn copy(from: &str, to: &str, output: &Output) -> Result<()> {
    let folder = std::env::current_dir()?;
    let (from, to) = (StorePlace::parse(from, &folder)?, StorePlace::parse(to, &folder)?);
    if from.to_string() == to.to_string() {
        return Err(EngineError::usage("both are the same store"));
    }
    if let StorePlace::Folder(folder) = &from
        && !folder.is_dir()
    {
        // The embedded store of this user would be made.
        return Err(StoreError::NoStore {
            place: folder.display().to_string(),
        }
        .into());
    }
    let (source, target) = (from.open(Purpose::Read)?, to.open(Purpose::Make)?);
    let bar = Bar::new(output);
    let copied = upkeep::copy(source.as_ref(), target.as_ref(), &mut |what, done, total| {
        bar.tell(what, done, total);
    });
    drop(bar);
    let copied = match copied {
        Ok(copied) => copied,
        Err(CopyError::Store(error)) => return Err(error.into()),
        Err(error @ CopyError::Conflicts(_)) => {
            let mut refused = EngineError::refused(format!("{to} has other records than {from}: {error}"))
                .hint("nothing is written over: copy into an empty store, or into one that was copied from this one");
            if let CopyError::Conflicts(conflicts) = error {
                let keys: Vec<&str> = conflicts.iter().map(|conflict| conflict.key.as_str()).collect();
                refused.detail = Some(Box::new(json!({ "conflicts": keys })));
            }
            return Err(refused);
        }
    };
    output.line(&format!(
        "Copied {} blobs ({}) and {} records from {from} to {to}; {} were there already.",
        copied.blobs,
        HumanBytes(copied.bytes),
        copied.records,
        copied.present
    ));
    let document = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "blobs": copied.blobs,
        "bytes": copied.bytes,
        "records": copied.records,
        "present": copied.present,
        "damaged": copied.damaged.iter().map(|one| json!({ "id": one.id.to_string(), "reason": one.reason })).collect::<Vec<_>>(),
    });
    if copied.damaged.is_empty() {
        output.document(&document);
        return Ok(());
    }
    for damaged in &copied.damaged {
        output.note(
            Tone::Danger,
            &format!("! blob {} is damaged in {from}: {}", damaged.id, damaged.reason),
        );
    }
    let mut error = EngineError::failed(format!(
        "{} blobs of {from} are damaged and were not copied; everything else was",
        copied.damaged.len()
    ));
    error.detail = Some(Box::new(document));
    Err(error)
}
