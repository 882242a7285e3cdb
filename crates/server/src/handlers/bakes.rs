//! The watch over the last deploy.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use rollback_engine::bake::{self, LONGEST, Wanted, Word};
use serde::Deserialize;
use serde_json::json;

use super::releases::chosen;
use crate::access::Permission;
use crate::baking::{self, Order, served};
use crate::call::{Call, ok, with_status};
use crate::given::Values;
use crate::problem::{Problem, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBake {
    window_seconds: u64,
    every_seconds: u64,
    times: u32,
    #[serde(default)]
    compare: bool,
    /// Nothing is rolled back where this is false.
    rollback: bool,
    /// The release before the newest where nothing is said.
    to: Option<String>,
    #[serde(default)]
    auto_approve: bool,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
}

/// Begins to watch, or goes on with an unfinished one.
pub fn create(call: &Call) -> Result<Response> {
    let new: NewBake = call.json()?;
    let given = Values {
        variables: new.variables,
        nonce: new.nonce,
    };
    if new.window_seconds > LONGEST.as_secs() {
        return Err(Problem::bad_request(
            "at most 180m are watched; it can be extended later",
        ));
    }
    let given = given.given()?;
    let who = call.who()?;
    // What it would stumble over at once is said at once.
    let context = chosen(call, &[], "POST /v1/bakes")?;
    let served = served(who, new.auto_approve && who.allows(Permission::Approve), &given);
    let order = Order {
        wanted: Some(Wanted {
            window: Duration::from_secs(new.window_seconds),
            every: Duration::from_secs(new.every_seconds),
            times: new.times,
            compare: new.compare,
            rollback: new.rollback.then_some(new.to),
            served: Some(served.clone()),
        }),
        who: served,
        given,
    };
    let bake = match baking::begin(&call.service, order)? {
        Some(bake) => bake,
        None => json!(bake::shown(&context)?),
    };
    with_status(StatusCode::ACCEPTED, &json!({ "bake": bake }))
}

/// How it stands.
pub fn get(call: &Call) -> Result<Response> {
    let context = chosen(call, &[], "GET /v1/bake")?;
    let found = bake::shown(&context)?.ok_or_else(|| Problem::absent(bake::nothing_watched()))?;
    ok(&json!({ "bake": found }))
}

/// What somebody says to one that goes on.
pub fn say(call: &Call) -> Result<Response> {
    let word: Word = call.json()?;
    if let Word::Hold { reason } | Word::Stop { reason } = &word
        && reason.trim().is_empty()
    {
        return Err(Problem::bad_request("`reason` must say why"));
    }
    let context = chosen(call, &[], "POST /v1/bake/decisions")?;
    ok(&json!({ "bake": bake::say(&context, &word)? }))
}
