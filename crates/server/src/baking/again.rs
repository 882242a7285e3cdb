//! Watches that nobody sits at any more are taken up: after a restart of the service, or from an instance that is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rollback_engine::bake::{Bake, Served};
use rollback_engine::context::Given;
use rollback_engine::error::{EngineError, Result};
use rollback_release::{Version, keys};

use super::{NAME, Order, begin};
use crate::access::Permission;
use crate::service::Service;
use crate::stop::Stop;
use crate::tokens::Tokens;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// Looks after deserted watches until it is dropped.
pub struct Baking {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Begins. What a person watches with the command line is theirs; what a service watches is any instance's.
///
/// # Errors
/// No thread can be started.
pub fn keep_baking(service: &Arc<Service>) -> Result<Baking> {
    let stop = Arc::new(Stop::default());
    let (service, stopped) = (service.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("bakes".to_owned()).spawn(move || {
        let mut seen: BTreeMap<String, (Version, Instant)> = BTreeMap::new();
        loop {
            let others = service.projects.iter().flat_map(|projects| projects.all(&service));
            let all: Vec<Arc<Service>> = std::iter::once(service.clone()).chain(others).collect();
            for one in &all {
                if let Err(error) = look(one, &mut seen) {
                    tracing::warn!(project = one.project, %error, "a watch cannot be looked after");
                }
            }
            if stopped.wait(LOOK) {
                return;
            }
        }
    })?;
    Ok(Baking {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Baking {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes up the watch of one project where its process is known to be gone, or where nothing was heard of it for long enough.
fn look(service: &Arc<Service>, seen: &mut BTreeMap<String, (Version, Instant)>) -> Result<()> {
    if !service.has_repository() || service.is_stopping() || service.workers.is_at(NAME) {
        return Ok(());
    }
    let Some((bytes, version)) = service.store.get(&keys::bake(&service.project))? else {
        return Ok(());
    };
    let Ok(bake) = serde_json::from_slice::<Bake>(&bytes) else {
        // A newer program's.
        return Ok(());
    };
    let Some(who) = bake.served.clone().filter(|_| !bake.status.is_over()) else {
        return Ok(());
    };
    let since = match seen.get(&service.project) {
        Some((known, since)) if *known == version => *since,
        _ => {
            seen.insert(service.project.clone(), (version, Instant::now()));
            Instant::now()
        }
    };
    if !bake.is_deserted() && since.elapsed() < bake.silence() {
        return Ok(());
    }
    tracing::warn!(
        bake = bake.id,
        by = bake.by,
        "nobody watches a deploy any more: it is watched here from now on"
    );
    if !who.variables.is_empty() {
        tracing::warn!(
            variables = who.variables.join(", "),
            "values that came with the request are not kept: a rollback that needs them will say so"
        );
    }
    let order = Order {
        who: still_allowed(service, who)?,
        wanted: None,
        given: Given::default(),
    };
    begin(service, order)
        .map(|_| ())
        .map_err(|problem| EngineError::failed(problem.detail))
}

/// A yes that was given beforehand is none any more once the token is revoked or has expired.
fn still_allowed(service: &Service, mut who: Served) -> Result<Served> {
    for project in std::iter::once(&service.project).chain(&service.home) {
        let tokens = Tokens::new(service.store.as_ref(), project).all()?;
        if let Some(token) = tokens.iter().find(|token| token.id == who.id) {
            who.approves &= token.is_valid() && token.role.allows(Permission::Approve);
        }
    }
    Ok(who)
}
