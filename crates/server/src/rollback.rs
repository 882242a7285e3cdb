//! A rollback that was asked for over HTTP: the request, kept before it is answered, beside the run that carries it out
//! and has the same id.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rollback_engine::approval::{Approval, Approvals, Quorum};
use rollback_engine::error::{EngineError, Kind};
use rollback_engine::holder::{Machine, Process, life};
use rollback_engine::journal::{Event, Journal};
use rollback_engine::lease::Life;
use rollback_engine::person::Person;
use rollback_engine::policy::{Denial, PolicyOverride};
use rollback_engine::run::{Consent, Run, Runs, Status};
use rollback_release::{BlobId, Created, Operation, Replaced, Store, Transacted, Version, keys};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::Principal;
use crate::consent::Needs;
use crate::problem::{self, Problem, Result};
use crate::service::Service;

/// How the service's part of it ended, where the run's own record does not tell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    /// `completed`, `planned`, `refused`, `locked`, `failed`, `halfway`, `awaiting-approval`, `cancelled`.
    pub status: String,
    pub message: Option<String>,
    #[serde(default)]
    pub hints: Vec<String>,
    /// What the policy did not let pass.
    #[serde(default)]
    pub denials: Vec<Denial>,
}

/// The process that works on a rollback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    #[serde(flatten)]
    machine: Machine,
    process: Process,
}

impl Worker {
    /// This process.
    pub fn this() -> Worker {
        Worker {
            machine: Machine::this(),
            process: Process::this(),
        }
    }

    /// Whether it is known to be gone: only ever known for this machine.
    pub fn is_dead(&self) -> bool {
        life(&self.process, &self.machine) == Life::Dead
    }
}

/// What people say when they have a rollback taken up again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Again {
    /// Steps that are left as they are after all.
    #[serde(default)]
    pub skip_steps: Vec<String>,
    /// Why the checks are not asked.
    #[serde(default)]
    pub skip_checks: Option<String>,
    /// Why they are sure that the process which had it on another machine is dead.
    #[serde(default)]
    pub holder_is_dead: Option<String>,
}

impl Again {
    /// As the engine takes it.
    pub fn consent(&self) -> Consent {
        Consent {
            skipped_steps: self.skip_steps.clone(),
            skip_checks: self.skip_checks.clone(),
            ..Consent::default()
        }
    }

    /// Later words stand beside the earlier ones, and before them.
    pub fn add(&mut self, later: Again) {
        self.skip_steps.extend(later.skip_steps);
        self.skip_checks = later.skip_checks.or(self.skip_checks.take());
        // A word about one holder is none about the next.
        self.holder_is_dead = later.holder_is_dead;
    }
}

/// The request as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rollback {
    pub format: u32,
    /// The run's id, too.
    pub id: String,
    pub revision: String,
    /// The run that is undone, where it is an undo.
    pub undo: Option<String>,
    /// The release whose state becomes the current one, where it is a restore.
    #[serde(default)]
    pub restore: Option<String>,
    /// None where only steps were asked for.
    pub stacks: Vec<String>,
    pub targets: Vec<String>,
    pub reason: Option<String>,
    pub dry_run: bool,
    pub consent: Consent,
    /// The steps that it is about; all where nothing is said.
    #[serde(default)]
    pub steps: Option<Vec<String>>,
    /// Where databases go that are restored, by the name of their step: found when it was asked for, so that planning again
    /// finds the same.
    #[serde(default)]
    pub databases: BTreeMap<String, Value>,
    /// For how long to wait for somebody's lock.
    #[serde(default)]
    pub lock_timeout_seconds: u64,
    /// What was said by whoever had it taken up again.
    #[serde(default)]
    pub again: Again,
    /// Rules of the policy that are overridden, by whom and why.
    #[serde(default)]
    pub overrides: Vec<PolicyOverride>,
    /// Whether the policy wants a yes of somebody else than who asked; known once it was planned.
    #[serde(default)]
    pub four_eyes: bool,
    pub requested_by: String,
    /// The id of the token that asked.
    pub requested_by_id: String,
    /// What tells whether somebody else is the same person: see [`Person`].
    #[serde(default)]
    pub requested_by_marks: Vec<String>,
    pub created_at: Timestamp,
    /// Which process works on it, or did last.
    pub worker: Worker,
    /// The plan as it was last shown.
    #[serde(default)]
    pub plan: Option<BlobId>,
    /// How the last attempt ended; none while one is under way.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// How the last attempt ended well, as the command line's document tells it.
    #[serde(default)]
    pub outcome: Option<Value>,
}

impl Rollback {
    /// One that is asked for now, without what it is to do.
    pub fn asked_for(who: &Principal) -> Rollback {
        Rollback {
            format: 1,
            worker: Worker::this(),
            id: Uuid::now_v7().to_string(),
            revision: String::new(),
            undo: None,
            restore: None,
            stacks: Vec::new(),
            targets: Vec::new(),
            reason: None,
            dry_run: false,
            consent: Consent::default(),
            steps: None,
            databases: BTreeMap::new(),
            lock_timeout_seconds: 0,
            again: Again::default(),
            overrides: Vec::new(),
            four_eyes: false,
            requested_by: who.actor(),
            requested_by_id: who.id.clone(),
            requested_by_marks: who.marks.clone(),
            created_at: Timestamp::now(),
            plan: None,
            ended: None,
            outcome: None,
        }
    }
}

/// A rollback with everything that is known of it.
pub struct Known {
    pub rollback: Rollback,
    pub version: Version,
    pub run: Option<Run>,
}

impl Known {
    /// Where it stands, in one word.
    pub fn status(&self) -> &str {
        match (&self.run, &self.rollback.ended) {
            // What it waited for was said, and it is planned again.
            (Some(run), None) if run.status == Status::AwaitingApproval && self.is_being_worked_on() => "planning",
            (Some(run), None) if run.status == Status::Applying && self.is_abandoned() => {
                Status::NeedsReconcile.as_str()
            }
            // Nothing changed, and it can be asked for again once the holder is done.
            (Some(run), Some(ended)) if run.status == Status::Failed && ended.status == "locked" => &ended.status,
            (Some(run), _) if run.status != Status::Planning => run.status.as_str(),
            (_, Some(ended)) => &ended.status,
            (Some(run), None) => run.status.as_str(),
            (None, None) => "queued",
        }
    }

    /// Whether an attempt is under way, as far as can be known: its process may be gone, on another machine unseen.
    fn is_being_worked_on(&self) -> bool {
        self.rollback.ended.is_none() && !self.rollback.worker.is_dead()
    }

    /// Whether the process that had it ended in the middle of it, as far as this machine can tell.
    fn is_abandoned(&self) -> bool {
        let is_over = self.run.as_ref().is_some_and(|run| run.status.is_over());
        self.rollback.ended.is_none() && !is_over && self.rollback.worker.is_dead()
    }

    /// What is to be said of it, and what to do next.
    fn message(&self) -> (Option<String>, Vec<String>) {
        match &self.rollback.ended {
            Some(ended) => (ended.message.clone(), ended.hints.clone()),
            None if self.is_abandoned() => (
                Some("the process of the service that worked on it has ended".to_owned()),
                vec![format!(
                    "POST /v1/rollbacks/{}/resume goes on with it",
                    self.rollback.id
                )],
            ),
            None => (None, Vec::new()),
        }
    }

    /// Whether it takes a yes to go on: also where it stopped halfway, and what is left is not what was approved.
    pub fn awaits_approval(&self) -> bool {
        let asked = || {
            self.rollback
                .ended
                .as_ref()
                .is_some_and(|ended| ended.status == "awaiting-approval")
        };
        match self.run.as_ref().map(|run| run.status) {
            Some(Status::AwaitingApproval) => !self.is_being_worked_on(),
            Some(Status::Halfway) => asked(),
            _ => false,
        }
    }

    /// What the policy did not let pass at the last attempt.
    pub fn denials(&self) -> &[Denial] {
        self.rollback
            .ended
            .as_ref()
            .map_or(&[], |ended| ended.denials.as_slice())
    }

    pub fn is_over(&self) -> bool {
        match (&self.run, &self.rollback.ended) {
            (Some(run), Some(_)) if run.status != Status::Planning => run.status.is_over(),
            // Why it ended is on record a moment after the run is; not at all where the process was killed in between.
            (Some(run), None) if run.status.is_over() => !self.is_being_worked_on() || ended_before(run, SETTLED),
            (Some(run), None) if run.status != Status::Planning => false,
            (_, ended) => ended.is_some(),
        }
    }
}

/// How long after its run's end how the attempt ended may still come.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

fn ended_before(run: &Run, age: SignedDuration) -> bool {
    run.ended_at.is_some_and(|at| Timestamp::now().duration_since(at) > age)
}

/// The rollbacks of a project.
pub struct Rollbacks<'s> {
    service: &'s Service,
}

impl<'s> Rollbacks<'s> {
    pub fn new(service: &'s Service) -> Self {
        Rollbacks { service }
    }

    fn store(&self) -> &'s dyn Store {
        self.service.store.as_ref()
    }

    /// Keeps a new request. With an idempotency key the same request again gives the earlier one: false then.
    ///
    /// # Errors
    /// The key belongs to a request with another body.
    pub fn create(&self, rollback: &Rollback, key: Option<&IdempotencyKey>) -> Result<(String, bool)> {
        let record_key = keys::rollback(&self.service.project, &rollback.id);
        let bytes = encode(rollback);
        let Some(key) = key else {
            return match self.store().create(&record_key, &bytes)? {
                Created::Yes(_) => Ok((rollback.id.clone(), true)),
                Created::Exists => Err(Problem::new(&problem::CONFLICT, "the id is taken; try again")),
            };
        };
        let place = keys::idempotency(&self.service.project, &key.digest());
        let used = Used {
            body_sha256: key.body_sha256.clone(),
            rollback: rollback.id.clone(),
        };
        let value = encode(&used);
        let operations = [
            Operation::Create {
                key: &place,
                value: &value,
            },
            Operation::Create {
                key: &record_key,
                value: &bytes,
            },
        ];
        if let Transacted::Yes(_) = self.store().transact(&operations)? {
            return Ok((rollback.id.clone(), true));
        }
        let Some((bytes, _)) = self.store().get(&place)? else {
            return Err(Problem::new(&problem::CONFLICT, "the id is taken; try again"));
        };
        let used: Used = decode(&place, &bytes)?;
        if used.body_sha256 != key.body_sha256 {
            return Err(Problem::new(
                &problem::IDEMPOTENCY_KEY_REUSED,
                "this Idempotency-Key belongs to an earlier request with another body",
            ));
        }
        Ok((used.rollback, false))
    }

    /// One by its id.
    pub fn get(&self, id: &str) -> Result<Option<Known>> {
        if uuid::Uuid::try_parse(id).is_err() {
            return Ok(None);
        }
        let key = keys::rollback(&self.service.project, id);
        let Some((bytes, version)) = self.store().get(&key)? else {
            return Ok(None);
        };
        let run = Runs::new(self.store(), &self.service.project).get(id)?;
        Ok(Some(Known {
            rollback: decode(&key, &bytes)?,
            version,
            run: run.map(|(run, _)| run),
        }))
    }

    /// Ids before `before`, newest first.
    pub fn ids(&self, before: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let prefix = keys::rollbacks(&self.service.project);
        let before = before.map(|id| keys::rollback(&self.service.project, id));
        let keys = self.store().list_newest(&prefix, before.as_deref(), limit)?;
        Ok(keys.iter().map(|key| key[prefix.len()..].to_owned()).collect())
    }

    /// Changes the record, whoever else does so at the same time.
    pub fn change(&self, id: &str, how: impl Fn(&mut Rollback)) -> Result<()> {
        loop {
            let known = self.get(id)?.ok_or_else(|| Problem::not_found("rollback"))?;
            let mut rollback = known.rollback;
            how(&mut rollback);
            let key = keys::rollback(&self.service.project, id);
            if let Replaced::Yes(_) = self.store().replace(&key, &known.version, &encode(&rollback))? {
                return Ok(());
            }
        }
    }

    /// The plan as it was last shown.
    pub fn plan(&self, rollback: &Rollback) -> Result<Option<Value>> {
        let Some(blob) = &rollback.plan else {
            return Ok(None);
        };
        let bytes = self.store().get_blob(blob)?;
        Ok(Some(decode("of the plan", &bytes)?))
    }

    /// The digest of the plan that awaits approval.
    pub fn digest(&self, known: &Known) -> Result<Option<String>> {
        match known.awaits_approval() {
            true => self.last_digest(known),
            false => Ok(None),
        }
    }

    /// The digest of the plan that was shown last, whether it still waits or what was said to it is being acted on.
    pub fn last_digest(&self, known: &Known) -> Result<Option<String>> {
        let Some(run) = &known.run else {
            return Ok(None);
        };
        // The journal, not the shown document, is what a resumed run compares with.
        let journal = Journal::open(self.store(), &self.service.project, &run.id)?;
        let mut stacks: Vec<&str> = Vec::new();
        for entry in journal.entries() {
            match &entry.event {
                Event::Resumed { .. } => stacks.clear(),
                Event::Planned { stack, .. } => stacks.push(stack),
                _ => {}
            }
        }
        Ok(journal.last_planned(&stacks).filter(|_| !stacks.is_empty()))
    }

    /// How many have to say yes to it, and whose yes does not count.
    pub fn quorum(&self, rollback: &Rollback) -> Quorum {
        self.quorum_under(rollback, rollback.four_eyes)
    }

    /// As [`Rollbacks::quorum`], where the policy's demand is known at first hand.
    pub fn quorum_under(&self, rollback: &Rollback, four_eyes: bool) -> Quorum {
        let rules = self.service.approvals;
        let others = four_eyes || !rules.by_requester;
        Quorum {
            needed: rules.count,
            without: others.then(|| Person::new(&rollback.requested_by, &rollback.requested_by_marks)),
        }
    }

    /// What was said to that plan so far.
    pub fn approval(&self, id: &str, digest: &str) -> Result<Option<Approval>> {
        Ok(Approvals::new(self.store(), &self.service.project, id).get(digest)?)
    }

    /// Everything about it that may be shown.
    pub fn describe(&self, known: &Known) -> Result<Value> {
        let rollback = &known.rollback;
        let digest = self.digest(known)?;
        let (message, hints) = known.message();
        let mut value = json!({
            "id": rollback.id,
            "status": known.status(),
            "over": known.is_over(),
            "at_rest": rollback.ended.is_some() || known.is_abandoned(),
            "revision": rollback.revision,
            "undo_of": rollback.undo,
            "restore_of": rollback.restore,
            "stacks": rollback.stacks,
            "targets": rollback.targets,
            "reason": rollback.reason,
            "dry_run": rollback.dry_run,
            "steps": rollback.steps,
            "restore_databases": rollback.databases.keys().collect::<Vec<_>>(),
            "skip_checks": rollback.consent.skip_checks,
            "requested_by": rollback.requested_by,
            "created_at": rollback.created_at,
            "commit": known.run.as_ref().map(|run| &run.commit),
            "ended_at": known.run.as_ref().and_then(|run| run.ended_at),
            "backup": known.run.as_ref().and_then(|run| run.backup.as_ref()),
            "result": known.run.as_ref().and_then(|run| run.result.as_ref()),
            "message": message,
            "hints": hints,
            "links": { "self": format!("/v1/rollbacks/{}", rollback.id),
                "plan": format!("/v1/rollbacks/{}/plan", rollback.id),
                "events": format!("/v1/rollbacks/{}/events", rollback.id),
                "approvals": format!("/v1/rollbacks/{}/approvals", rollback.id),
                "evaluations": format!("/v1/rollbacks/{}/evaluations", rollback.id),
                "overrides": format!("/v1/rollbacks/{}/overrides", rollback.id) },
            "denials": known.denials(),
            "overrides": rollback.overrides,
            "outcome": rollback.outcome,
            "approval": null,
        });
        if let Some(digest) = digest {
            value["approval"] = self.describe_approval(known, &digest)?;
        }
        Ok(value)
    }

    /// What stands between the plan and its execution.
    pub fn describe_approval(&self, known: &Known, digest: &str) -> Result<Value> {
        let approval = self.approval(&known.rollback.id, digest)?;
        let needs = self.needs(known, approval.as_ref())?;
        let quorum = self.quorum(&known.rollback);
        let given: Vec<Value> = approval
            .iter()
            .flat_map(|approval| approval.standing())
            .map(|given| {
                json!({ "by": given.by, "at": given.at, "expires_at": given.expires_at, "comment": given.comment,
                    "consent": given.consent })
            })
            .collect();
        Ok(json!({
            "digest": digest,
            "needed": quorum.needed,
            "by_requester": quorum.without.is_none(),
            "given": given,
            "broken_glass": approval.as_ref().and_then(Approval::broken),
            "denials": needs.denials(),
            "missing_acceptance": needs.describe(known.rollback.stacks.len()),
        }))
    }

    /// What nobody has accepted yet.
    pub fn needs(&self, known: &Known, approval: Option<&Approval>) -> Result<Needs> {
        let plan = self.plan(&known.rollback)?.unwrap_or_default();
        let mut needs = Needs::of(&plan, known.denials());
        if let Some(run) = &known.run {
            needs = needs.without(&run.consent);
        }
        if let Some(approval) = approval {
            needs = needs.without(&approval.consent());
        }
        Ok(needs)
    }
}

/// What an attempt's error means for the record.
pub fn ended(error: &EngineError) -> Ended {
    let status = match error.kind {
        Kind::Failed | Kind::Usage => "failed",
        Kind::Refused => "refused",
        Kind::Halfway => "halfway",
        Kind::Locked => "locked",
        Kind::AwaitingApproval => "awaiting-approval",
    };
    let can_be_overridden = !error.denials.is_empty();
    let hints = match error.kind {
        // The command line's way of saying yes is not the one of those who read this.
        Kind::AwaitingApproval => {
            let overriding = "what the policy denies is overridden by POST of its rule and a reason to the rollback's \
                 overrides; what is planned then has another digest";
            let approving = "look at the plan, then POST its digest to the rollback's approvals; name what is to be \
                 accepted in accept_data_loss and accept_changes";
            let first = if can_be_overridden { overriding } else { approving };
            vec![first.to_owned(), "POST to its cancel drops it".to_owned()]
        }
        _ => error.hints.clone(),
    };
    Ended {
        at: Timestamp::now(),
        status: status.to_owned(),
        message: Some(error.message.clone()),
        hints,
        denials: error.denials.clone(),
    }
}

/// Whose key it is, and for which body.
pub struct IdempotencyKey {
    pub principal: String,
    pub key: String,
    pub body_sha256: String,
}

impl IdempotencyKey {
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(format!("{}\n{}", self.principal, self.key)))
    }
}

#[derive(Serialize, Deserialize)]
struct Used {
    body_sha256: String,
    rollback: String,
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn decode<T: for<'de> Deserialize<'de>>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::error!(what, %error, "a record cannot be read");
        Problem::new(&problem::UNPROCESSABLE, "its record cannot be read").hint("a newer service may have written it")
    })
}
