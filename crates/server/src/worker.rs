//! Threads that carry rollbacks out: the engine's own runs, with people who answer over HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_engine::again;
use rollback_engine::context::Locking;
use rollback_engine::drive::{self, Options, Outcome};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::restore;
use rollback_engine::run::{Consent, Runs, Status};
use rollback_engine::steps;
use rollback_engine::undo;
use rollback_engine::versions;

use crate::people::People;
use crate::problem::{self, Problem};
use crate::rollback::{Ended, Rollbacks, Worker, ended};
use crate::service::{Asked, Service};

/// What is under way in this process.
#[derive(Default)]
pub struct Workers {
    ids: Mutex<BTreeSet<String>>,
    changed: Condvar,
}

impl Workers {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_at(&self, id: &str) -> bool {
        self.ids().contains(id)
    }

    /// Waits until nothing is under way; false if that takes longer.
    pub fn wait(&self, longest: Duration) -> bool {
        self.wait_until(longest, BTreeSet::is_empty)
    }

    /// As [`Workers::wait`], for one rollback: how its attempt ended is on record a moment before its thread is gone.
    pub fn wait_for(&self, id: &str, longest: Duration) -> bool {
        self.wait_until(longest, |ids| !ids.contains(id))
    }

    fn wait_until(&self, longest: Duration, is_so: impl Fn(&BTreeSet<String>) -> bool) -> bool {
        let end = Instant::now() + longest;
        let mut ids = self.ids();
        while !is_so(&ids) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            ids = self
                .changed
                .wait_timeout(ids, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// What a worker is to do with a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Start,
    /// Go on: after an approval, or after it stopped.
    Resume,
}

/// Starts a thread for a rollback.
///
/// # Errors
/// One is at it already.
pub fn begin(service: &Arc<Service>, id: &str, work: Work, actor: &str) -> crate::problem::Result<()> {
    let Some(done) = enter(service, id, None) else {
        return Err(Problem::new(&problem::CONFLICT, "it is being worked on right now"));
    };
    Rollbacks::new(service).change(id, |rollback| {
        rollback.worker = Worker::this();
        rollback.ended = None;
        rollback.outcome = None;
    })?;
    let actor = actor.to_owned();
    let begun = Timestamp::now();
    let thread = std::thread::Builder::new().name(format!("rollback {id}"));
    let started = thread.spawn(move || {
        let Done { service, id } = &done;
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| carry_out(service, id, work, &actor)));
        let end = end.unwrap_or_else(|_| Ended {
            at: Timestamp::now(),
            status: "failed".to_owned(),
            message: Some("the service made a mistake; its log has more".to_owned()),
            hints: vec!["resume it to go on from what the journal says".to_owned()],
            denials: Vec::new(),
        });
        tracing::info!(run = id, status = end.status, "a rollback's attempt ended");
        service.metrics.attempt_ended(&end.status);
        if let Err(problem) = Rollbacks::new(service).change(id, |rollback| rollback.ended = Some(end.clone())) {
            tracing::error!(run = id, problem = problem.detail, "how it ended could not be kept");
        }
        let (service, id) = (done.service.clone(), done.id.clone());
        if Rollbacks::new(&service)
            .get(&id)
            .is_ok_and(|known| known.is_none_or(|known| known.is_over()))
        {
            service.held.forget(&id);
        }
        drop(done);
        // A yes that came while this thread was still at it has found it taken.
        match is_approved(&service, &id, Some(begun)) {
            Ok(true) => {
                if let Err(problem) = begin(&service, &id, Work::Resume, &actor) {
                    tracing::warn!(
                        run = id,
                        problem = problem.detail,
                        "it is approved and was not begun here"
                    );
                }
            }
            Ok(false) => {}
            Err(problem) => tracing::error!(run = id, problem = problem.detail, "its approvals cannot be read"),
        }
    });
    started.map(|_| ()).map_err(|error| {
        tracing::error!(%error, "no thread can be started");
        Problem::new(
            &problem::OVERLOADED,
            "no more rollbacks can be carried out at the same time",
        )
    })
}

/// Whether everything has been said that a rollback waits for; some of it after `since`.
fn is_approved(service: &Service, id: &str, since: Option<Timestamp>) -> crate::problem::Result<bool> {
    let rollbacks = Rollbacks::new(service);
    let Some(known) = rollbacks.get(id)? else {
        return Ok(false);
    };
    let Some(digest) = rollbacks.digest(&known)? else {
        return Ok(false);
    };
    let Some(approval) = rollbacks.approval(id, &digest)? else {
        return Ok(false);
    };
    Ok(approval.consumed_at.is_none()
        && approval.suffices(&rollbacks.quorum(&known.rollback))
        && since.is_none_or(|since| approval.has_word_since(since))
        && rollbacks.needs(&known, Some(&approval))?.is_empty())
}

/// Puts an id on the list of what is under way, so that the service's end waits for it; none where it is there already, or
/// where more than so many begin with the same word.
pub fn enter(service: &Arc<Service>, id: &str, most: Option<usize>) -> Option<Done> {
    let mut ids = service.workers.ids();
    let word = id.split(' ').next().unwrap_or(id);
    let alike = ids.iter().filter(|known| known.split(' ').next() == Some(word)).count();
    if most.is_some_and(|most| alike >= most) || !ids.insert(id.to_owned()) {
        return None;
    }
    Some(Done {
        service: service.clone(),
        id: id.to_owned(),
    })
}

/// Takes the id off the list, however the thread ends.
pub struct Done {
    service: Arc<Service>,
    id: String,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.service.workers.ids().remove(&self.id);
        self.service.workers.changed.notify_all();
    }
}

fn carry_out(service: &Service, id: &str, work: Work, actor: &str) -> Ended {
    match try_to(service, id, work, actor) {
        Ok(outcome) => {
            let document = serde_json::to_value(&outcome).ok();
            if let Err(problem) = Rollbacks::new(service).change(id, |rollback| rollback.outcome.clone_from(&document))
            {
                tracing::error!(run = id, problem = problem.detail, "its outcome could not be kept");
            }
            Ended {
                at: Timestamp::now(),
                status: outcome.status.to_owned(),
                message: (!outcome.warnings.is_empty()).then(|| outcome.warnings.join("\n")),
                hints: Vec::new(),
                denials: Vec::new(),
            }
        }
        Err(error) => ended(&error),
    }
}

fn try_to(service: &Service, id: &str, work: Work, actor: &str) -> Result<Outcome> {
    let failed = |problem: Box<Problem>| EngineError::failed(problem.detail);
    let known = Rollbacks::new(service)
        .get(id)
        .map_err(failed)?
        .ok_or_else(|| EngineError::failed("the rollback's record is gone"))?;
    let rollback = known.rollback;
    let command = format!("POST /v1/rollbacks ({id})");
    let mut context = service
        .context(&Asked {
            stacks: &rollback.stacks,
            actor,
            command: &command,
        })
        .map_err(failed)?;
    context.given = service.held.of(id);
    context.locking = Locking {
        timeout: Duration::from_secs(rollback.lock_timeout_seconds),
        holder_is_dead: rollback.again.holder_is_dead.clone(),
    };
    let own_steps = known.run.as_ref().map(|run| &run.steps).or(rollback.steps.as_ref());
    if let Some(names) = own_steps {
        context.parts.retain(|part| names.contains(&part.name));
        if rollback.stacks.is_empty() && !names.is_empty() {
            context.keep_steps_alone();
        }
    }
    steps::send(&mut context, &rollback.databases);
    let people = People::new(service, &context, &rollback);
    let result = match (work, &rollback.undo) {
        (Work::Resume, _) => {
            let mut consent = people.consent_so_far()?;
            consent.add(&rollback.again.consent());
            again::resume(&context, Some(id), &consent, &people)
        }
        (Work::Start, undone) => {
            let options = Options {
                consent: Consent {
                    overrides: rollback.overrides.clone(),
                    ..rollback.consent.clone()
                },
                targets: rollback.targets.clone(),
                reason: rollback.reason.clone(),
                dry_run: rollback.dry_run,
                id: Some(id.to_owned()),
            };
            match (undone, &rollback.restore) {
                (Some(run), _) => undo::undo(&context, Some(run), &options, &people),
                (None, Some(version)) => versions::the_stack(&context)
                    .and_then(|stack| versions::find(&context, stack, version))
                    .and_then(|version| restore::restore(&context, &version, &options, &people)),
                (None, None) => drive::to(&context, &rollback.revision, &options, &people),
            }
        }
    };
    result.map_err(|error| context.secrets.scrub_error(error))
}

/// After a start, for the service's own project and for those that were brought to it.
///
/// # Errors
/// As [`take_up_own`].
pub fn take_up(service: &Arc<Service>) -> crate::problem::Result<()> {
    take_up_own(service)?;
    for other in service.projects.iter().flat_map(|projects| projects.all(service)) {
        take_up_own(&other)?;
    }
    Ok(())
}

/// After a start: rollbacks that a process of this machine, now dead, had not got beyond planning are planned anew.
/// What may have had effects waits for a person's `resume`.
fn take_up_own(service: &Arc<Service>) -> crate::problem::Result<()> {
    let rollbacks = Rollbacks::new(service);
    for id in rollbacks.ids(None, 200)? {
        let Some(known) = rollbacks.get(&id)? else { continue };
        let waits = known.status() == Status::AwaitingApproval.as_str();
        if (known.rollback.ended.is_some() && !waits) || !known.rollback.worker.is_dead() {
            continue;
        }
        let run = Runs::new(service.store.as_ref(), &service.project).get(&id)?;
        let work = match run.map(|(run, _)| run.status) {
            None => Work::Start,
            Some(Status::Planning) => Work::Resume,
            Some(Status::AwaitingApproval) if is_approved(service, &id, None)? => Work::Resume,
            Some(_) => continue,
        };
        tracing::info!(run = id, "taken up again");
        begin(service, &id, work, &known.rollback.requested_by)?;
    }
    Ok(())
}
