//! Threads that carry rollbacks out: the engine's own runs, with people who answer over HTTP.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_engine::again;
use rollback_engine::approval::Approvals;
use rollback_engine::context::Context;
use rollback_engine::document;
use rollback_engine::drive::{self, Answer, Approver, Options, Outcome};
use rollback_engine::error::{EngineError, Kind, Result};
use rollback_engine::prepare::Prepared;
use rollback_engine::reconcile::Refusal;
use rollback_engine::run::{Consent, Runs, Status};
use rollback_engine::steps::PreparedStep;
use rollback_engine::undo;
use rollback_release::BlobId;

use crate::problem::{self, Problem};
use crate::rollback::{Ended, Rollback, Rollbacks, Worker, ended};
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
        let end = Instant::now() + longest;
        let mut ids = self.ids();
        while !ids.is_empty() {
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
    if !service.workers.ids().insert(id.to_owned()) {
        return Err(Problem::new(&problem::CONFLICT, "it is being worked on right now"));
    }
    let done = Done {
        service: service.clone(),
        id: id.to_owned(),
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
        });
        tracing::info!(run = id, status = end.status, "a rollback's attempt ended");
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
            &problem::TOO_MANY_REQUESTS,
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
        && approval.standing().count() >= service.approvals.count
        && approval
            .standing()
            .any(|given| since.is_none_or(|since| given.at >= since))
        && rollbacks.needs(&known, Some(&approval))?.is_empty())
}

/// Takes the id off the list, however the thread ends.
struct Done {
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
    let people = People {
        service,
        context: &context,
        rollback: &rollback,
        failed: RefCell::new(None),
    };
    let result = match (work, &rollback.undo) {
        (Work::Resume, _) => again::resume(&context, Some(id), &people.consent_so_far()?, &people),
        (Work::Start, undone) => {
            let options = Options {
                consent: rollback.consent.clone(),
                targets: rollback.targets.clone(),
                reason: rollback.reason.clone(),
                dry_run: rollback.dry_run,
                id: Some(id.to_owned()),
            };
            match undone {
                Some(run) => undo::undo(&context, Some(run), &options, &people),
                None => drive::to(&context, &rollback.revision, &options, &people),
            }
        }
    };
    result.map_err(|error| context.secrets.scrub_error(error))
}

/// Those who look at the plan and answer over HTTP.
struct People<'a> {
    service: &'a Service,
    context: &'a Context,
    rollback: &'a Rollback,
    /// Why the plan could not be kept for them to see.
    failed: RefCell<Option<String>>,
}

impl People<'_> {
    /// What they accepted beyond the plan of the digest that awaits approval.
    fn consent_so_far(&self) -> Result<Consent> {
        let failed = |problem: Box<Problem>| EngineError::failed(problem.detail);
        let rollbacks = Rollbacks::new(self.service);
        let Some(known) = rollbacks.get(&self.rollback.id).map_err(failed)? else {
            return Ok(Consent::default());
        };
        let Some(digest) = rollbacks.digest(&known).map_err(failed)? else {
            return Ok(Consent::default());
        };
        let approval = rollbacks.approval(&self.rollback.id, &digest).map_err(failed)?;
        Ok(approval.map(|approval| approval.consent()).unwrap_or_default())
    }

    fn keep(&self, prepared: &[Prepared], steps: &[PreparedStep]) -> std::result::Result<(), String> {
        let plan = document::plan(prepared, steps);
        let text = self.context.secrets.scrub(&plan.to_string());
        let blob: BlobId = self
            .service
            .store
            .put_blob(text.as_bytes())
            .map_err(|error| error.to_string())?;
        Rollbacks::new(self.service)
            .change(&self.rollback.id, |rollback| rollback.plan = Some(blob))
            .map_err(|problem| problem.detail)
    }
}

impl Approver for People<'_> {
    fn show(&self, prepared: &[Prepared], steps: &[PreparedStep], _: &[Refusal]) {
        if let Err(why) = self.keep(prepared, steps) {
            tracing::error!(run = self.rollback.id, why, "the plan cannot be kept");
            *self.failed.borrow_mut() = Some(why);
        }
    }

    /// Nobody is there at that moment: it is left to do, and the run's warnings say so.
    fn show_again(&self, _: &[Prepared], _: &[Refusal]) {}

    fn consent(&self, _: &Refusal) -> bool {
        false
    }

    fn consent_may_come(&self) -> bool {
        !self.rollback.dry_run
    }

    fn approve(&self, _: &[Prepared], _: &[PreparedStep], digest: &str) -> Answer {
        // Nobody can have said yes to what nobody could see.
        if self.failed.borrow().is_some() {
            return Answer::Nobody;
        }
        let service = self.service;
        let approvals = Approvals::new(service.store.as_ref(), &service.project, &self.rollback.id);
        match approvals.sufficient(digest, service.approvals.count) {
            Ok(Some(approval)) => Answer::Approved(approval),
            Ok(None) => Answer::Nobody,
            Err(error) if error.kind == Kind::Refused => Answer::No,
            Err(error) => {
                tracing::error!(run = self.rollback.id, %error, "the approvals cannot be read");
                Answer::Nobody
            }
        }
    }
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
