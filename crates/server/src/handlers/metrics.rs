//! The metrics: what was counted since the process began, and what the store says now.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use jiff::Timestamp;
use rollback_engine::drill::{self, Reach, schedule};
use rollback_engine::lock;
use rollback_engine::run::Runs;

use crate::call::Call;
use crate::metrics::{MEDIA, Standing};
use crate::problem::Result;
use crate::rollback::Rollbacks;

/// How many of the newest runs are counted by status.
const RUNS: usize = 1000;
/// Among how many of the newest rollbacks those that wait for somebody are looked for.
const ROLLBACKS: usize = 200;
/// Among how many of the newest releases each stack's newest one is looked for.
const RELEASES: usize = 50;
/// Of how many of the newest releases the last rehearsals are told.
const REHEARSED: usize = 5;

pub fn get(call: &Call) -> Result<Response> {
    let text = call.service.metrics.encode(&standing(call)?);
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    Ok(response)
}

fn standing(call: &Call) -> Result<Standing> {
    let service = &call.service;
    let store = service.store.as_ref();
    let mut runs: BTreeMap<String, u64> = BTreeMap::new();
    for run in Runs::new(store, &service.project).page(None, RUNS)?.0 {
        *runs.entry(run.status.as_str().to_owned()).or_default() += 1;
    }
    let rollbacks = Rollbacks::new(service);
    let mut approvals_pending = 0;
    for id in rollbacks.ids(None, ROLLBACKS)? {
        let waits = rollbacks.get(&id)?.is_some_and(|known| known.awaits_approval());
        approvals_pending += u64::from(waits);
    }
    let now = Timestamp::now();
    let mut release_age: BTreeMap<String, Duration> = BTreeMap::new();
    for release in service.catalogue().list(RELEASES)?.items {
        let age = now.duration_since(release.created_at).unsigned_abs();
        for stack in &release.stacks {
            release_age.entry(stack.name.clone()).or_insert(age);
        }
    }
    let (drill_age, reach) = rehearsals(call)?;
    Ok(Standing {
        runs: runs.into_iter().collect(),
        approvals_pending,
        release_age: release_age.into_iter().collect(),
        locks_held: lock::list(store, &service.project)?.len() as u64,
        audit_entries: service.audit.find_tip()?.sequence,
        drill_age,
        reach,
    })
}

/// How many are so, by a word.
type Counts = Vec<(&'static str, u64)>;

/// Since the last rehearsal, and how many of the newest releases can be gone back to.
fn rehearsals(call: &Call) -> Result<(Option<Duration>, Counts)> {
    let service = &call.service;
    let (mut newest, mut reach) = (None, BTreeMap::from([("never", 0), ("not-reachable", 0)]));
    for release in schedule::newest(&service.catalogue(), REHEARSED)? {
        let last = drill::last(service.store.as_ref(), &service.project, release.id.as_str())?;
        let word = last.as_ref().map_or("never", |last| match last.reach {
            Reach::Reachable => "reachable",
            Reach::AtAPrice => "at-a-price",
            Reach::NotReachable => "not-reachable",
        });
        *reach.entry(word).or_default() += 1;
        newest = newest.max(last.map(|last| last.at));
    }
    let age = newest.map(|at| Timestamp::now().duration_since(at).unsigned_abs());
    Ok((age, reach.into_iter().collect()))
}
