//! A rollback that was asked for: looked at, followed by its events until it comes to rest, approved.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollback_engine::error::{EngineError, Kind, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::call::{Call, segment};
use crate::events::{Event, Events};
use crate::server::Server;

/// How long after the last event it is asked where the rollback stands.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a rollback whose attempt ended may take until its end is written down.
const WRITING_DOWN: Duration = Duration::from_millis(150);
/// How long the service may be away until following it is given up.
const AWAY: Duration = Duration::from_secs(120);

/// What nobody has accepted yet, as the flags name it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Needs {
    #[serde(default)]
    pub data_loss: Vec<String>,
    #[serde(default)]
    pub changes: Vec<String>,
}

/// What stands between a plan and its execution.
#[derive(Clone, Debug, Deserialize)]
pub struct Approval {
    pub digest: String,
    /// How many different people have to say yes.
    pub needed: usize,
    pub given: Vec<Value>,
    #[serde(default)]
    pub missing_acceptance: Needs,
}

/// A rollback as the service describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Rollback {
    pub id: String,
    pub status: String,
    pub over: bool,
    /// Nobody works on it: its last attempt has ended.
    #[serde(default)]
    pub at_rest: bool,
    #[serde(default)]
    pub revision: String,
    #[serde(default)]
    pub dry_run: bool,
    pub message: Option<String>,
    #[serde(default)]
    pub hints: Vec<String>,
    pub approval: Option<Approval>,
    /// How its last attempt ended well, as `to --json` says it.
    #[serde(default)]
    pub outcome: Option<Value>,
    #[serde(default)]
    pub backup: Option<String>,
}

impl Rollback {
    /// Whether it waits for a yes.
    pub fn awaits_approval(&self) -> bool {
        self.approval.is_some()
    }

    /// How a command ends that led here, where that is not well.
    pub fn error(&self) -> Option<EngineError> {
        let kind = match self.status.as_str() {
            "completed" | "planned" => return None,
            "refused" => Kind::Refused,
            "locked" => Kind::Locked,
            "halfway" | "needs-reconcile" => Kind::Halfway,
            "awaiting-approval" => Kind::AwaitingApproval,
            _ => Kind::Failed,
        };
        let message = self
            .message
            .clone()
            .unwrap_or_else(|| format!("rollback {} is {}", self.id, self.status));
        let mut error = EngineError::new(kind, message);
        error.hints.clone_from(&self.hints);
        Some(error)
    }
}

/// Is told of each event of a rollback, once.
pub type Seen<'a> = &'a mut dyn FnMut(&Event);

fn path(id: &str) -> String {
    format!("/v1/rollbacks/{}", segment(id))
}

impl Server {
    /// Asks for a rollback; the same key gives the same one however often the request is sent.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn create_rollback(&self, body: Value) -> Result<Rollback> {
        self.json(Call::post("/v1/rollbacks", body).keyed())
    }

    /// Asks for a rollback to before a run.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn undo_run(&self, run: &str, body: Value) -> Result<Rollback> {
        self.json(Call::post(format!("{}/undo", path(run)), body).keyed())
    }

    /// Asks for a kept state of a stack to become the current one.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn restore_state(&self, stack: &str, body: Value) -> Result<Rollback> {
        self.json(Call::post(format!("/v1/stacks/{}/restores", segment(stack)), body).keyed())
    }

    /// One of them.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn rollback(&self, id: &str) -> Result<Rollback> {
        self.get(path(id))
    }

    /// The plan as it was last shown; none where there is none yet.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn plan_of(&self, id: &str) -> Result<Option<Value>> {
        match self.get(format!("{}/plan", path(id))) {
            Ok(plan) => Ok(Some(plan)),
            // 409: there is none yet.
            Err(error) if error.message.contains("no plan yet") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on with one that stopped.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn resume_rollback(&self, id: &str, body: Value) -> Result<Rollback> {
        self.json(Call::post(format!("{}/resume", path(id)), body))
    }

    /// Gives one up.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn cancel_rollback(&self, id: &str, body: Value) -> Result<Rollback> {
        self.json(Call::post(format!("{}/cancel", path(id)), body))
    }

    /// Says yes to the plan of a digest.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn approve(&self, id: &str, body: Value) -> Result<Value> {
        self.json(Call::post(format!("{}/approvals", path(id)), body))
    }

    /// Follows a rollback until nobody works on it any more; each event after `last` is told once, in order.
    ///
    /// # Errors
    /// The service is away for longer than two minutes; the rollback goes on without us.
    pub fn follow(self: &Arc<Self>, id: &str, last: &mut u64, seen: Seen<'_>) -> Result<Rollback> {
        let (sender, receiver) = channel();
        let reached = Arc::new(Mutex::new(*last));
        let (server, stream, from) = (self.clone(), format!("{}/events", path(id)), reached.clone());
        // It ends with us, or when it next has something to say to nobody.
        std::thread::spawn(move || server.read_events(&stream, &from, &sender));
        let mut gone_since: Option<Instant> = None;
        loop {
            let wait = match receiver.recv_timeout(SILENCE) {
                Ok(event) => {
                    if let Some(id) = event.id {
                        *last = id;
                    }
                    let at_end = matches!(event.kind.as_str(), "end" | "stopped" | "finished" | "aborted");
                    seen(&event);
                    if !at_end {
                        continue;
                    }
                    WRITING_DOWN
                }
                Err(RecvTimeoutError::Timeout) => Duration::ZERO,
                Err(RecvTimeoutError::Disconnected) => SILENCE,
            };
            match self.rollback(id) {
                Ok(rollback) if rollback.at_rest => {
                    // What was written before it came to rest may still be on its way.
                    while let Ok(event) = receiver.recv_timeout(WRITING_DOWN) {
                        *last = event.id.unwrap_or(*last);
                        seen(&event);
                        if event.kind == "end" {
                            break;
                        }
                    }
                    return Ok(rollback);
                }
                Ok(_) => gone_since = None,
                Err(error) => {
                    let since = *gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY || !error.message.contains("cannot be asked") {
                        return Err(error.hint(format!(
                            "the rollback goes on without us: `infra-rollback resume {id}` follows it again"
                        )));
                    }
                }
            }
            std::thread::sleep(wait);
        }
    }

    /// Reads events, and opens the stream anew from the last one where it was cut off.
    fn read_events(&self, path: &str, reached: &Mutex<u64>, sender: &Sender<Event>) {
        loop {
            let last = *reached.lock().unwrap_or_else(PoisonError::into_inner);
            let opened = self.stream(path, (last > 0).then_some(last));
            if let Ok(response) = opened
                && response.status() == 200
            {
                for event in Events::new(response.into_body().into_reader()) {
                    if let Some(id) = event.id {
                        *reached.lock().unwrap_or_else(PoisonError::into_inner) = id;
                    }
                    let at_end = event.kind == "end";
                    if sender.send(event).is_err() || at_end {
                        return;
                    }
                }
            }
            std::thread::sleep(SILENCE);
        }
    }
}
