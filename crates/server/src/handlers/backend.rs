//! Terraform's `http` backend, as Terraform 1.5 to 1.15 and OpenTofu speak it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use md5::{Digest, Md5};
use rollback_release::{StateLock, StateRefusal, States, Writer};
use serde_json::Value;

use super::versions;
use crate::call::{Call, empty, ok, set};
use crate::problem::{self, Problem, Result};

/// The longest name of a stack or workspace, in bytes.
const LONGEST_NAME: usize = 100;

/// The states that are written over the backend's routes.
pub fn states(call: &Call) -> Result<States<'_>> {
    for name in ["stack", "workspace"] {
        let value = call.path(name);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if value.is_empty() || value.len() > LONGEST_NAME || !value.bytes().all(plain) {
            return Err(Problem::bad_request(format!(
                "the {name}'s name is 1 to {LONGEST_NAME} of A-Z a-z 0-9 . _ -"
            )));
        }
    }
    let service = &call.service;
    Ok(States::new(
        service.store.as_ref(),
        &service.project,
        call.path("stack"),
        call.path("workspace"),
    ))
}

fn writer(call: &Call) -> Result<Writer> {
    let commit = call.query("commit")?;
    let is_commit = |text: &String| (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if commit.as_ref().is_some_and(|commit| !is_commit(commit)) {
        return Err(Problem::bad_request("commit is 7 to 64 hexadecimal digits"));
    }
    Ok(Writer {
        actor: call.who()?.actor(),
        lock_id: call.query("ID")?.filter(|id| !id.is_empty()),
        commit,
    })
}

/// A refusal as Terraform understands it.
pub fn refused(refusal: StateRefusal) -> Box<Problem> {
    let message = refusal.to_string();
    match refusal {
        StateRefusal::Store(error) => error.into(),
        // Terraform shows the holder from the body; from 1.15 on one without an ID ends `-lock-timeout`.
        StateRefusal::Locked(lock) => Problem::new(&problem::STATE_LOCKED, message).body(lock.info),
        StateRefusal::NotLocked { .. } => Problem::new(&problem::STATE_NOT_LOCKED, message),
        StateRefusal::NotAState(_) => Problem::new(&problem::NOT_A_STATE, message),
        StateRefusal::Lineage { .. } => Problem::new(&problem::STATE_LINEAGE, message),
        StateRefusal::Serial { .. } => Problem::new(&problem::STATE_SERIAL, message),
        StateRefusal::Contended => Problem::new(&problem::UNAVAILABLE, message).header(header::RETRY_AFTER, "1"),
        StateRefusal::Damaged { .. } => Problem::new(&problem::UNPROCESSABLE, message)
            .hint("restore the store from a copy, or write the state anew after deleting it here"),
    }
}

/// The bytes of a state as an answer.
pub fn raw(bytes: Vec<u8>, sha256: &str) -> Response {
    let md5 = BASE64.encode(Md5::digest(&bytes));
    let mut response = Response::new(Body::from(bytes));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set(&mut response, header::HeaderName::from_static("content-md5"), &md5);
    set(&mut response, header::ETAG, &format!("\"{sha256}\""));
    response
}

pub fn get(call: &Call) -> Result<Response> {
    let states = states(call)?;
    match states.current().map_err(refused)? {
        Some(version) => {
            let bytes = states.bytes(&version).map_err(refused)?;
            let sha256 = version.state.as_ref().map_or("", |state| state.sha256.as_str());
            Ok(raw(bytes, sha256))
        }
        None => Ok(empty(StatusCode::NO_CONTENT)),
    }
}

pub fn post(call: &Call) -> Result<Response> {
    let states = states(call)?;
    let writer = writer(call)?;
    if let Some(announced) = call.parts.headers.get("content-md5") {
        let announced = announced.to_str().ok().and_then(|text| BASE64.decode(text.trim()).ok());
        if announced.as_deref() != Some(Md5::digest(&call.body).as_slice()) {
            return Err(Problem::new(
                &problem::CONTENT_DIGEST,
                "the MD5 of the body is not the one in Content-MD5",
            ));
        }
    }
    let written = states.write(&call.body, &writer).map_err(refused)?;
    ok(&versions::describe_written(
        call.path("stack"),
        call.path("workspace"),
        &written,
    ))
}

pub fn delete(call: &Call) -> Result<Response> {
    states(call)?.delete(&writer(call)?).map_err(refused)?;
    Ok(empty(StatusCode::OK))
}

/// The LockInfo in the body; none where the body is empty.
fn lock_info(call: &Call) -> Result<Option<(String, Value)>> {
    if call.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let odd = || Problem::bad_request("the body is not Terraform's LockInfo: a JSON object with an ID");
    if call.body.len() > 16 << 10 {
        return Err(odd());
    }
    let info: Value = serde_json::from_slice(&call.body).map_err(|_| odd())?;
    let id = info.get("ID").and_then(Value::as_str).ok_or_else(odd)?.to_owned();
    if id.is_empty() || id.len() > 200 || id.chars().any(char::is_control) {
        return Err(odd());
    }
    Ok(Some((id, info)))
}

pub fn lock(call: &Call) -> Result<Response> {
    let states = states(call)?;
    let Some((id, info)) = lock_info(call)? else {
        return Err(Problem::bad_request("the body must be Terraform's LockInfo"));
    };
    let lock = StateLock {
        id,
        info,
        actor: call.who()?.actor(),
        since: Timestamp::now(),
    };
    states.acquire(&lock).map_err(refused)?;
    ok(&lock.info)
}

/// `terraform force-unlock` sends no body (OpenTofu from 1.10 on sends the ID): whoever holds the lock loses it.
pub fn unlock(call: &Call) -> Result<Response> {
    let states = states(call)?;
    let id = lock_info(call)?.map(|(id, _)| id);
    let held = states.release(id.as_deref()).map_err(refused)?;
    if let (None, Some(held)) = (&id, held) {
        tracing::warn!(
            stack = call.path("stack"),
            lock = held.id,
            by = call.who()?.actor(),
            "a state's lock was taken away by force"
        );
    }
    Ok(empty(StatusCode::OK))
}
