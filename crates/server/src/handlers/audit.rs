//! The audit log, for those who may read all of it.

use axum::response::Response;
use serde_json::{Value, json};

use crate::call::{Call, ok};
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
