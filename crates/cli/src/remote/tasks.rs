//! What the service looks into for us: asked for, waited for, and read.

use std::time::Duration;

use rollback_client::{Call, problem_error, segment};
use rollback_engine::error::{EngineError, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Connection;

/// The first wait; each next one is longer, to this.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Task {
    id: String,
    status: String,
    document: Option<Value>,
    problem: Option<Value>,
}

/// Has something looked into, and waits for what is found.
///
/// # Errors
/// As it would end without a service; and where the service cannot be asked.
pub fn ask<T: DeserializeOwned>(connection: &Connection, path: &str, body: Value) -> Result<T> {
    let mut task: Task = connection.server.json(Call::post(path, body))?;
    let mut wait = FIRST_WAIT;
    while task.status == "running" {
        std::thread::sleep(wait);
        wait = (wait * 3 / 2).min(LONGEST_WAIT);
        task = connection.server.get(format!("/v1/tasks/{}", segment(&task.id)))?;
    }
    if let Some(problem) = &task.problem {
        let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        return Err(problem_error(
            status.unwrap_or(500),
            None,
            problem.to_string().as_bytes(),
        ));
    }
    let document = task.document.unwrap_or_default();
    serde_json::from_value(document).map_err(|error| {
        EngineError::failed(format!("what the service found is not understood: {error}"))
            .hint("service and client may be of different versions: compare /v1/health with --version")
    })
}
