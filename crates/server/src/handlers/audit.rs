//! The audit log, for those who may read all of it.

use axum::response::Response;
use rollback_engine::audit::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::call::{Call, Page, ok};
use crate::problem::{Problem, Result};

pub fn entries(call: &Call) -> Result<Response> {
    let limit = call.limit()?;
    let after: u64 = match call.query("after")? {
        None => 0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|after| *after < 1_000_000_000_000)
            .ok_or_else(|| Problem::bad_request("after is the sequence of an entry"))?,
    };
    let lines = call.service.audit.lines(after, limit)?;
    // As they were written, so that whoever reads them here can verify the chain.
    let lines: Vec<String> = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let last = lines
        .last()
        .and_then(|line| serde_json::from_str::<Value>(line).ok())
        .and_then(|entry| entry.get("sequence").and_then(Value::as_u64));
    ok(&json!({ "lines": lines, "next_after": last.filter(|_| lines.len() == limit) }))
}

pub fn tip(call: &Call) -> Result<Response> {
    ok(&call.service.audit.find_tip()?)
}

fn number(call: &Call, name: &str) -> Result<Option<u64>> {
    let odd = || Problem::bad_request(format!("{name} is a number of entries"));
    let text = call.query(name)?;
    text.map(|text| {
        text.parse()
            .ok()
            .filter(|number| *number < 1_000_000_000_000)
            .ok_or_else(odd)
    })
    .transpose()
}

fn describe(checkpoint: &Checkpoint) -> Value {
    json!({ "origin": checkpoint.origin, "size": checkpoint.size, "root": hex::encode(checkpoint.root),
        "at": checkpoint.at, "note": checkpoint.note })
}

/// Signed checkpoints, the newest first.
pub fn checkpoints(call: &Call) -> Result<Response> {
    let limit = call.limit()?;
    let found = call.service.audit.checkpoints(call.cursor()?, limit)?;
    let next = found.last().filter(|_| found.len() == limit);
    ok(&Page {
        next_cursor: next.map(|last| last.size.to_string()),
        items: found.iter().map(describe).collect(),
    })
}

pub fn inclusion(call: &Call) -> Result<Response> {
    let sequence = number(call, "sequence")?.ok_or_else(|| Problem::bad_request("name an entry: ?sequence=NUMBER"))?;
    let proof = call.service.audit.inclusion(sequence, number(call, "size")?)?;
    ok(&proof.ok_or_else(|| Problem::not_found("entry in a log of that size"))?)
}

pub fn consistency(call: &Call) -> Result<Response> {
    let from = number(call, "from")?.ok_or_else(|| Problem::bad_request("name the older size: ?from=NUMBER"))?;
    let proof = call.service.audit.consistency(from, number(call, "to")?)?;
    ok(&proof.ok_or_else(|| Problem::not_found("log of these sizes"))?)
}
