//! A run's journal as it is written, as server-sent events. An event's id is its sequence in the journal, so that a
//! caller who lost the connection goes on where it was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use rollback_engine::journal::Entry;
use rollback_release::keys;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::rollbacks::find;
use crate::call::Call;
use crate::problem::{Problem, Result};
use crate::rollback::Rollbacks;
use crate::service::Service;

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_millis(400);
/// After how long without an event something is sent all the same, so that nothing in between closes the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After how long the caller has to come back with `Last-Event-ID`: a token may have been revoked meanwhile.
const LONGEST: Duration = Duration::from_secs(15 * 60);

pub fn stream(call: &Call) -> Result<Response> {
    let known = find(call)?;
    let last = match call.header("last-event-id") {
        None | Some("") => 0,
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Problem::bad_request("Last-Event-ID is the id of an event"))?,
    };
    let (sender, receiver) = mpsc::channel::<std::result::Result<Bytes, Infallible>>(16);
    let service = call.service.clone();
    let id = known.rollback.id;
    tokio::spawn(async move { follow(service, id, last, sender).await });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

async fn follow(
    service: Arc<Service>,
    id: String,
    mut last: u64,
    sender: mpsc::Sender<std::result::Result<Bytes, Infallible>>,
) {
    let begun = Instant::now();
    let mut spoken = Instant::now();
    loop {
        let (service, asked) = (service.clone(), id.clone());
        let Ok(Ok((entries, status, over))) = tokio::task::spawn_blocking(move || look(&service, &asked, last)).await
        else {
            return;
        };
        for (sequence, text) in entries {
            last = sequence;
            spoken = Instant::now();
            if sender.send(Ok(Bytes::from(text))).await.is_err() {
                return;
            }
        }
        if over {
            let end = format!("event: end\ndata: {}\n\n", json!({ "status": status }));
            let _ = sender.send(Ok(Bytes::from(end))).await;
            return;
        }
        if begun.elapsed() > LONGEST {
            return;
        }
        if spoken.elapsed() > HEARTBEAT {
            spoken = Instant::now();
            if sender.send(Ok(Bytes::from_static(b": still here\n\n"))).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = sender.closed() => return,
        }
    }
}

/// What was written after `last`, and where the rollback stands. That is read first: a run whose end was seen has
/// nothing left to write.
#[allow(clippy::type_complexity)] // Three things that are read together, used in one place.
fn look(service: &Service, id: &str, last: u64) -> Result<(Vec<(u64, String)>, String, bool)> {
    let known = Rollbacks::new(service)
        .get(id)?
        .ok_or_else(|| Problem::not_found("rollback"))?;
    let over = known.is_over() && !service.workers.is_at(id);
    let status = known.status().to_owned();
    let prefix = keys::journal(&service.project, id);
    let after = (last > 0).then(|| keys::journal_step(&service.project, id, last));
    let mut events = Vec::new();
    for entry in service.store.entries(&prefix, after.as_deref(), 1000)? {
        let Ok(entry) = serde_json::from_slice::<Entry>(&entry.value) else {
            break;
        };
        let Ok(value) = serde_json::to_value(&entry) else { break };
        let kind = value["event"].as_str().unwrap_or("entry").to_owned();
        let sequence = entry.sequence;
        events.push((sequence, format!("id: {sequence}\nevent: {kind}\ndata: {value}\n\n")));
    }
    Ok((events, status, over))
}
