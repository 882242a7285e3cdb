//! What the service looks into for somebody and what takes its time: rehearsals, checks, what the policy would say. Nothing
//! of what lives is changed. The record lies in the store, so that any instance can say how it stands.

use std::sync::Arc;

use axum::http::header;
use jiff::{SignedDuration, Timestamp};
use rollback_engine::error::EngineError;
use rollback_release::{BlobId, Created, Replaced, keys};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::problem::{self, Problem, Result};
use crate::rollback::Worker;
use crate::service::Service;
use crate::worker::enter;

/// As many are under way at the same time in one process; each may run terraform.
const MOST: usize = 8;
/// What one that says nothing any more is thought to be: its instance is on another machine, and gone.
const LONGEST: SignedDuration = SignedDuration::from_hours(3);
/// How long one is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// So many of the oldest are looked at with each new one, so that they never pile up.
const TIDIED: usize = 20;

/// What is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Drill,
    Verification,
    PolicyEvaluation,
    PolicyInput,
}

/// How it went.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    /// What was found.
    Document(BlobId),
    Problem {
        status: u16,
        code: String,
        detail: String,
        hints: Vec<String>,
    },
}

/// A task as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    format: u32,
    pub id: String,
    pub kind: Kind,
    /// Whoever may see all of these may see what was found.
    pub stacks: Vec<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    worker: Worker,
    ended_at: Option<Timestamp>,
    end: Option<End>,
}

/// Begins one in a thread of its own; `work` finds a document.
///
/// # Errors
/// Too many are under way, or the store cannot be written.
pub fn begin(
    service: &Arc<Service>,
    kind: Kind,
    stacks: Vec<String>,
    actor: &str,
    work: impl FnOnce(&Service) -> rollback_engine::error::Result<Value> + Send + 'static,
) -> Result<Task> {
    tidy(service);
    let id = Uuid::now_v7().to_string();
    let Some(entered) = enter(service, &format!("task {id}"), Some(MOST)) else {
        return Err(Problem::new(
            &problem::TOO_MANY_TASKS,
            "the service looks into as much as it can at a time",
        )
        .header(header::RETRY_AFTER, "10"));
    };
    let task = Task {
        format: 1,
        id: id.clone(),
        kind,
        stacks,
        created_by: actor.to_owned(),
        created_at: Timestamp::now(),
        worker: Worker::this(),
        ended_at: None,
        end: None,
    };
    let bytes = serde_json::to_vec(&task).unwrap_or_default();
    if let Created::Exists = service.store.create(&keys::task(&service.project, &id), &bytes)? {
        return Err(Problem::new(&problem::CONFLICT, "the id is taken; try again"));
    }
    let (service, began) = (service.clone(), task.clone());
    let thread = std::thread::Builder::new().name(format!("task {id}"));
    let started = thread.spawn(move || {
        let _entered = entered;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&service)));
        let found = found.unwrap_or_else(|_| Err(EngineError::failed("the service made a mistake; its log has more")));
        if let Err(problem) = end(&service, began, found) {
            tracing::error!(task = id, problem = problem.detail, "what was found could not be kept");
        }
    });
    started.map_err(|error| {
        tracing::error!(%error, "no thread can be started");
        Problem::new(&problem::OVERLOADED, "nothing more can be looked into now")
    })?;
    Ok(task)
}

/// Keeps what was found. Nobody else writes the record while its thread lives.
fn end(service: &Service, mut task: Task, found: rollback_engine::error::Result<Value>) -> Result<()> {
    task.ended_at = Some(Timestamp::now());
    task.end = Some(match found {
        Ok(document) => End::Document(service.store.put_blob(document.to_string().as_bytes())?),
        Err(error) => {
            let problem: Box<Problem> = error.into();
            End::Problem {
                status: problem.code.status,
                code: problem.code.code.to_owned(),
                detail: problem.detail,
                hints: problem.hints,
            }
        }
    });
    let key = keys::task(&service.project, &task.id);
    let bytes = serde_json::to_vec(&task).unwrap_or_default();
    for _ in 0..5 {
        let Some((_, version)) = service.store.get(&key)? else {
            return Ok(());
        };
        if let Replaced::Yes(_) = service.store.replace(&key, &version, &bytes)? {
            return Ok(());
        }
    }
    Err(Problem::new(&problem::CONFLICT, "its record is written by others"))
}

/// One by its id.
///
/// # Errors
/// The store cannot be read.
pub fn get(service: &Service, id: &str) -> Result<Option<Task>> {
    if Uuid::try_parse(id).is_err() {
        return Ok(None);
    }
    let found = service.store.get(&keys::task(&service.project, id))?;
    Ok(found.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok()))
}

/// Everything about one that may be shown.
///
/// # Errors
/// What was found cannot be read.
pub fn describe(service: &Service, task: &Task) -> Result<Value> {
    let gone = || {
        json!({ "status": 500, "code": problem::INTERNAL.code, "hints": ["ask again"],
            "detail": "the instance of the service that looked into it is gone" })
    };
    let is_gone = task.worker.is_dead() || Timestamp::now().duration_since(task.created_at) > LONGEST;
    let (status, document, problem) = match &task.end {
        None if is_gone => ("failed", None, Some(gone())),
        None => ("running", None, None),
        Some(End::Document(blob)) => {
            let bytes = service.store.get_blob(blob)?;
            ("done", serde_json::from_slice::<Value>(&bytes).ok(), None)
        }
        Some(End::Problem {
            status,
            code,
            detail,
            hints,
        }) => {
            let problem = json!({ "status": status, "code": code, "detail": detail, "hints": hints });
            ("failed", None, Some(problem))
        }
    };
    Ok(json!({
        "id": task.id,
        "kind": task.kind,
        "status": status,
        "stacks": task.stacks,
        "created_by": task.created_by,
        "created_at": task.created_at,
        "ended_at": task.ended_at,
        "document": document,
        "problem": problem,
        "links": { "self": format!("/v1/tasks/{}", task.id) },
    }))
}

/// Removes old ones; that it does not succeed stops nothing.
fn tidy(service: &Service) {
    let Ok(oldest) = service.store.list(&keys::tasks(&service.project), None, TIDIED) else {
        return;
    };
    for key in oldest {
        let Ok(Some((bytes, version))) = service.store.get(&key) else {
            continue;
        };
        let Ok(task) = serde_json::from_slice::<Task>(&bytes) else {
            continue;
        };
        if Timestamp::now().duration_since(task.created_at) < KEPT {
            return;
        }
        let _ = service.store.remove(&key, &version);
    }
}
