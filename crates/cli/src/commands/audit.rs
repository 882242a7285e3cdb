//! `audit`: the log of what the service was asked for, looked at, verified, taken along.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rollback_client::Server;
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
        return Ok(Log::Service(crate::remote::connect(url, project, output)?.server));
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

    fn verify(&self, anchors: &[Anchor]) -> Result<Tip> {
        let mut verifier = Verifier::new(anchors);
        each_line(self, |line| verifier.next(line).map(|_| ()))?;
        verifier.finish()
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

/// `audit verify`.
pub fn verify(global: &Global, arguments: &AuditVerifyArguments, output: &Output) -> Result<()> {
    let anchors = arguments
        .seen
        .iter()
        .map(|text| anchor(text))
        .collect::<Result<Vec<Anchor>>>()?;
    let tip = match &arguments.from {
        Some(file) => verify_file(file, &anchors)?,
        None => open(global, arguments.project.as_deref(), output)?.verify(&anchors)?,
    };
    output.toned(Tone::Good, &format!("{} entries, one unbroken chain.", tip.sequence));
    if anchors.is_empty() && tip.sequence > 0 {
        output.line(
            "  That nothing was cut off or written anew shows only beside what was seen earlier. Keep this elsewhere:",
        );
    }
    if tip.sequence > 0 {
        output.line(&format!("  --seen {}:{}", tip.sequence, tip.hash));
    }
    output.document(
        &json!({ "entries": tip.sequence, "hash": tip.hash, "seen": format!("{}:{}", tip.sequence, tip.hash) }),
    );
    Ok(())
}

fn verify_file(file: &Path, anchors: &[Anchor]) -> Result<Tip> {
    let bytes = std::fs::read(file)
        .map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", file.display())))?;
    let mut verifier = Verifier::new(anchors);
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if !body.is_empty() {
        for line in body.split(|byte| *byte == b'\n') {
            verifier.next(line)?;
        }
    }
    verifier.finish()
}

/// `audit export`.
pub fn export(global: &Global, file: Option<&Path>, project: Option<&str>, output: &Output) -> Result<()> {
    let audit = open(global, project, output)?;
    let Some(file) = file else {
        each_line(&audit, |line| Ok(output.bytes(&[line, b"\n"].concat())?))?;
        return Ok(());
    };
    let mut writer = std::io::BufWriter::new(
        std::fs::File::create(file)
            .map_err(|error| EngineError::failed(format!("{} cannot be written: {error}", file.display())))?,
    );
    let count = each_line(&audit, |line| Ok(writer.write_all(&[line, b"\n"].concat())?))?;
    writer.flush()?;
    output.toned(Tone::Good, &format!("{count} entries are in {}.", file.display()));
    output.document(&json!({ "entries": count, "file": file.display().to_string() }));
    Ok(())
}
