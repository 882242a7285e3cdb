//! `audit`: the log of what the service was asked for, looked at, verified, taken along.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rollback_client::Server;
use rollback_engine::audit::checkpoint::Checkpoint;
use rollback_engine::audit::key::{PublicKey, SigningKey};
use rollback_engine::audit::tree::check_signed;
use rollback_engine::audit::{Anchor, Audit, Entry, Tip, Verifier};
use rollback_engine::error::{EngineError, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::{AuditLogArguments, AuditVerifyArguments, Global};
use crate::output::{Output, Tone};
use crate::session;

/// How many entries are read at once.
const PAGE: usize = 1000;

/// Where the log is read: in the store, or through the service.
enum Log {
    Store(Audit),
    Service(Arc<Server>),
}

fn open(global: &Global, project: Option<&str>, output: &Output) -> Result<Log> {
    if let Some(url) = &global.server {
        return Ok(Log::Service(
            crate::remote::connect(url, global, project, output)?.server,
        ));
    }
    let kept = session::open_store(&std::env::current_dir()?, global, project)?;
    Ok(Log::Store(Audit::new(kept.store, &kept.project)))
}

impl Log {
    fn lines(&self, after: u64) -> Result<Vec<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Page {
            lines: Vec<String>,
        }
        match self {
            Log::Store(audit) => audit.lines(after, PAGE),
            Log::Service(server) => {
                let page: Page = server.get(format!("/v1/audit/entries?limit=100&after={after}"))?;
                Ok(page.lines.into_iter().map(String::into_bytes).collect())
            }
        }
    }

    /// Every checkpoint, the newest first. Asked for before the entries, so that none is of more than are read.
    fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let mut found: Vec<Checkpoint> = Vec::new();
        loop {
            let before = found.last().map(|last| last.size);
            let page = self.checkpoint_page(before)?;
            if page.is_empty() {
                return Ok(found);
            }
            found.extend(page);
        }
    }

    fn checkpoint_page(&self, before: Option<u64>) -> Result<Vec<Checkpoint>> {
        let server = match self {
            Log::Store(audit) => return audit.checkpoints(before, PAGE),
            Log::Service(server) => server,
        };
        let cursor = before.map(|before| format!("&cursor={before}")).unwrap_or_default();
        let page: Value = server.get(format!("/v1/audit/checkpoints?limit=100{cursor}"))?;
        let items = page["items"].as_array().into_iter().flatten();
        items
            .map(|item| Checkpoint::parse(item["note"].as_str().unwrap_or_default()))
            .collect()
    }
}

/// Every line of the log, in its order.
fn each_line(log: &Log, mut use_it: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
    // Reading goes on record as well, entry by entry: what is written from here on is not waited for.
    let newest = match log {
        Log::Store(_) => None,
        Log::Service(server) => Some(server.get::<Tip>("/v1/audit/tip")?.sequence),
    };
    let mut count = 0;
    loop {
        let mut lines = log.lines(count)?;
        if let Some(newest) = newest {
            lines.truncate(usize::try_from(newest.saturating_sub(count)).unwrap_or(usize::MAX));
        }
        if lines.is_empty() {
            return Ok(count);
        }
        for line in &lines {
            use_it(line)?;
        }
        count += lines.len() as u64;
    }
}

/// `audit log`.
pub fn log(global: &Global, arguments: &AuditLogArguments, output: &Output) -> Result<()> {
    let audit = open(global, arguments.project.as_deref(), output)?;
    let since = arguments.since.as_deref().map(super::state::parse_time).transpose()?;
    let contains = |text: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| text.contains(wanted));
    let mut found: Vec<Entry> = Vec::new();
    each_line(&audit, |line| {
        let entry: Entry = serde_json::from_slice(line).map_err(|error| {
            EngineError::failed(format!("an entry cannot be read: {error}"))
                .hint("`infra-rollback audit verify` tells more")
        })?;
        let action = arguments.action.as_ref();
        if contains(&entry.actor, &arguments.actor)
            && contains(&entry.object, &arguments.object)
            && action.is_none_or(|action| entry.action.starts_with(action))
            && since.is_none_or(|since| entry.at >= since)
        {
            found.push(entry);
        }
        Ok(())
    })?;
    let newest = found.split_off(found.len().saturating_sub(arguments.limit));
    for entry in &newest {
        let detail = match &entry.detail {
            Value::Object(map) if map.is_empty() => String::new(),
            other => format!(" {other}"),
        };
        output.line(&format!(
            "{:>6}  {:.0}  {:<8} {:<18} {}  by {}{detail}",
            entry.sequence, entry.at, entry.phase, entry.action, entry.object, entry.actor
        ));
    }
    if newest.is_empty() {
        output.line("Nothing of that kind is on record.");
    }
    output.document(&json!({ "entries": newest }));
    Ok(())
}

fn anchor(text: &str) -> Result<Anchor> {
    let odd = || {
        EngineError::usage(format!("{text:?} is not NUMBER:HASH"))
            .hint("take it from what an earlier `infra-rollback audit verify` said")
    };
    let (sequence, hash) = text.split_once(':').ok_or_else(odd)?;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(odd());
    }
    Ok(Anchor {
        sequence: sequence.parse().map_err(|_| odd())?,
        hash: hash.to_ascii_lowercase(),
    })
}

/// A log that was followed to its end, and the checkpoints that came with it.
struct Followed<'a> {
    verifier: Verifier<'a>,
    checkpoints: Vec<Checkpoint>,
}

/// `audit verify`.
pub fn verify(global: &Global, arguments: &AuditVerifyArguments, output: &Output) -> Result<()> {
    let anchors = arguments
        .seen
        .iter()
        .map(|text| anchor(text))
        .collect::<Result<Vec<Anchor>>>()?;
    let key = arguments.key.as_deref().map(PublicKey::read).transpose()?;
    let mut followed = match &arguments.from {
        Some(file) => follow_file(file, &anchors)?,
        None => follow_log(&open(global, arguments.project.as_deref(), output)?, &anchors)?,
    };
    for file in &arguments.checkpoint {
        let note = std::fs::read_to_string(file)
            .map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", file.display())))?;
        followed.checkpoints.push(Checkpoint::parse(&note)?);
    }
    let tip = followed.verifier.finish()?;
    check_signed(&followed.verifier, &followed.checkpoints, key.as_ref())?;
    output.toned(Tone::Good, &format!("{} entries, one unbroken chain.", tip.sequence));
    let last = followed.checkpoints.iter().max_by_key(|checkpoint| checkpoint.size);
    match (&key, last) {
        (Some(_), Some(last)) => output.toned(
            Tone::Good,
            &format!(
                "{} checkpoints signed by the key; the last one is of {} entries ({:.0}).",
                followed.checkpoints.len(),
                last.size,
                last.at
            ),
        ),
        (None, Some(_)) => output.line("  There are checkpoints, which --key FILE verifies."),
        (_, None) => {}
    }
    if anchors.is_empty() && arguments.checkpoint.is_empty() && tip.sequence > 0 {
        output.line(
            "  That nothing was cut off or written anew shows only beside what was seen earlier. Keep this elsewhere:",
        );
    }
    if tip.sequence > 0 {
        output.line(&format!("  --seen {}:{}", tip.sequence, tip.hash));
    }
    output.document(
        &json!({ "entries": tip.sequence, "hash": tip.hash, "seen": format!("{}:{}", tip.sequence, tip.hash),
            "checkpoints": followed.checkpoints.len(), "signed": key.is_some(),
            "last_checkpoint": last.map(|last| last.size) }),
    );
    Ok(())
}

fn follow_log<'a>(log: &Log, anchors: &'a [Anchor]) -> Result<Followed<'a>> {
    let checkpoints = log.checkpoints()?;
    let mut verifier = Verifier::new(anchors);
    each_line(log, |line| verifier.next(line).map(|_| ()))?;
    Ok(Followed { verifier, checkpoints })
}

fn follow_file<'a>(file: &Path, anchors: &'a [Anchor]) -> Result<Followed<'a>> {
    let bytes = std::fs::read(file)
        .map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", file.display())))?;
    let mut followed = Followed {
        verifier: Verifier::new(anchors),
        checkpoints: Vec::new(),
    };
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if !body.is_empty() {
        for line in body.split(|byte| *byte == b'\n') {
            match checkpoint_of(line) {
                Some(note) => followed.checkpoints.push(Checkpoint::parse(&note)?),
                None => followed.verifier.next(line).map(|_| ())?,
            }
        }
    }
    Ok(followed)
}

/// The note of a line of an export that is a checkpoint.
fn checkpoint_of(line: &[u8]) -> Option<String> {
    if !line.starts_with(b"{\"checkpoint\":") {
        return None;
    }
    let value: Value = serde_json::from_slice(line).ok()?;
    value["checkpoint"].as_str().map(str::to_owned)
}

/// `audit checkpoint`.
pub fn checkpoint(global: &Global, key: &Path, project: Option<&str>, output: &Output) -> Result<()> {
    let key = SigningKey::read(key)?;
    let Log::Store(audit) = open(global, project, output)? else {
        return Err(
            EngineError::usage("a checkpoint is signed beside the store, not through the service")
                .hint("the service signs them itself: serve --audit-key FILE"),
        );
    };
    let signed = audit.sign_checkpoint(&key)?;
    let signed =
        signed.ok_or_else(|| EngineError::failed("the audit log has no entries yet: there is nothing to sign"))?;
    output.line(signed.note.trim_end());
    output.document(&json!({ "size": signed.size, "at": signed.at, "note": signed.note }));
    Ok(())
}

/// `audit export`: the entries, then the checkpoints.
pub fn export(global: &Global, file: Option<&Path>, project: Option<&str>, output: &Output) -> Result<()> {
    let audit = open(global, project, output)?;
    let checkpoints = audit.checkpoints()?;
    let sealed = |checkpoint: &Checkpoint| format!("{}\n", json!({ "checkpoint": checkpoint.note }));
    let Some(file) = file else {
        each_line(&audit, |line| Ok(output.bytes(&[line, b"\n"].concat())?))?;
        for checkpoint in &checkpoints {
            output.bytes(sealed(checkpoint).as_bytes())?;
        }
        return Ok(());
    };
    let mut writer = std::io::BufWriter::new(
        std::fs::File::create(file)
            .map_err(|error| EngineError::failed(format!("{} cannot be written: {error}", file.display())))?,
    );
    let count = each_line(&audit, |line| Ok(writer.write_all(&[line, b"\n"].concat())?))?;
    for checkpoint in &checkpoints {
        writer.write_all(sealed(checkpoint).as_bytes())?;
    }
    writer.flush()?;
    output.toned(
        Tone::Good,
        &format!(
            "{count} entries and {} checkpoints are in {}.",
            checkpoints.len(),
            file.display()
        ),
    );
    output.document(&json!({ "entries": count, "checkpoints": checkpoints.len(), "file": file.display().to_string() }));
    Ok(())
}
