//! Watching a deploy in the service, and going back where its checks fail: by a rollback like any other, with its approvals.

mod again;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rollback_engine::approval::{Approvals, Given as Yes};
use rollback_engine::bake::{BEAT, Bake, Served, Wanted, Watch, Watcher};
use rollback_engine::context::Given;
use rollback_engine::error::{EngineError, Kind, Result};
use rollback_engine::run::Consent;
use serde_json::{Value, json};

pub use again::{Baking, keep_baking};

use crate::access::{Principal, Role};
use crate::problem::Problem;
use crate::rollback::{Known, Rollback, Rollbacks};
use crate::service::{Asked, Service};
use crate::worker::{self, Work, enter};

/// What stands on the list of what is under way.
const NAME: &str = "bake";
/// How often it is looked how far the rollback is.
const LOOK: Duration = Duration::from_millis(300);

/// For whom it is watched, and with what.
pub struct Order {
    pub who: Served,
    /// None to take up what is unfinished and begin nothing.
    pub wanted: Option<Wanted>,
    pub given: Given,
}

/// As the record has whoever asked.
pub fn served(who: &Principal, approves: bool, given: &Given) -> Served {
    Served {
        id: who.id.clone(),
        name: who.name.clone(),
        marks: who.marks.clone(),
        approves,
        variables: given.variables.iter().map(|(name, _)| name.clone()).collect(),
    }
}

/// Whoever asked, as far as that matters for what is done in their name.
fn principal(who: &Served) -> Principal {
    Principal {
        id: who.id.clone(),
        name: who.name.clone(),
        role: Role::Operator,
        grants: Vec::new(),
        stacks: Vec::new(),
        marks: who.marks.clone(),
        identity: None,
    }
}

/// Begins, or takes up an unfinished one; the bake as it is then. Where this process watches already, that goes on.
///
/// # Errors
/// Nothing can be watched or gone back to.
pub fn begin(service: &Arc<Service>, order: Order) -> crate::problem::Result<Option<Value>> {
    let Some(entered) = enter(service, NAME, None) else {
        return Ok(None);
    };
    let (opened, answer) = mpsc::channel();
    let takes_up = order.wanted.is_none();
    let service = service.clone();
    let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || {
        let _entered = entered;
        if let Err(error) = watch(&service, order, &opened) {
            tracing::warn!(%error, "a deploy was watched");
            // Nobody listens any more once it had begun.
            let _ = opened.send(Err(error));
        }
    });
    thread.map_err(EngineError::from)?;
    match answer.recv() {
        Ok(Ok(bake)) => Ok(Some(bake)),
        Ok(Err(error)) => Err(error.into()),
        // There was nothing to take up.
        Err(_) if takes_up => Ok(None),
        Err(_) => Err(EngineError::failed("the service made a mistake; its log has more").into()),
    }
}

fn watch(service: &Arc<Service>, order: Order, opened: &mpsc::Sender<Result<Value>>) -> Result<()> {
    let actor = principal(&order.who).actor();
    let asked = Asked {
        stacks: &[],
        actor: &actor,
        command: "POST /v1/bakes",
    };
    let mut context = service.context(&asked).map_err(failed)?;
    context.given = order.given.clone();
    let mut watcher = match &order.wanted {
        Some(wanted) => Watcher::open(&context, wanted)?,
        None => match Watcher::take_up(&context)? {
            Some(watcher) => watcher,
            None => return Ok(()),
        },
    };
    let _ = opened.send(Ok(json!(watcher.bake())));
    watcher.until_decided(&|| service.is_stopping())?;
    if watcher.bake().status != Watch::RollingBack {
        return Ok(());
    }
    let stacks = context.stacks.iter().map(|stack| stack.name.clone()).collect();
    let result = roll_back(service, &mut watcher, &order, stacks);
    watcher.settle(result).map(|_| ())
}

fn failed(problem: Box<Problem>) -> EngineError {
    EngineError::failed(problem.detail)
}

/// Asks for the rollback where nobody has done so yet, and waits for its end.
fn roll_back(service: &Arc<Service>, watcher: &mut Watcher<'_>, order: &Order, stacks: Vec<String>) -> Result<()> {
    let bake: Bake = watcher.bake().clone();
    let who = principal(&order.who);
    let (Some(run), Some(target)) = (&bake.run, &bake.target) else {
        return Err(EngineError::failed("the record of the bake names no run"));
    };
    let rollbacks = Rollbacks::new(service);
    if rollbacks.get(run).map_err(failed)?.is_none() {
        let rollback = Rollback {
            id: run.clone(),
            revision: target.clone(),
            stacks,
            reason: Some(bake.reason()),
            ..Rollback::asked_for(&who)
        };
        rollbacks.create(&rollback, None).map_err(failed)?;
        service.held.keep(run, order.given.clone());
        worker::begin(service, run, Work::Start, &who.actor()).map_err(failed)?;
    }
    let mut beaten = Instant::now();
    loop {
        let known = rollbacks.get(run).map_err(failed)?;
        let known = known.ok_or_else(|| EngineError::failed("the rollback's record is gone"))?;
        if known.is_over() {
            return match known.status() {
                "completed" => Ok(()),
                status => Err(EngineError::failed(format!("rollback {run} is {status}"))),
            };
        }
        if service.is_stopping() {
            return Err(EngineError::new(
                Kind::Halfway,
                format!("rollback {run} is {}", known.status()),
            ));
        }
        if order.who.approves && known.awaits_approval() {
            approve(service, &known, &who)?;
        }
        if beaten.elapsed() > BEAT {
            watcher.beat()?;
            beaten = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
}

/// The yes that was given beforehand, to the plan as it is now; what has to be named is not covered by it.
fn approve(service: &Arc<Service>, known: &Known, who: &Principal) -> Result<()> {
    let rollbacks = Rollbacks::new(service);
    let id = &known.rollback.id;
    let Some(digest) = rollbacks.digest(known).map_err(failed)? else {
        return Ok(());
    };
    let quorum = rollbacks.quorum(&known.rollback);
    if quorum.without.as_ref().is_some_and(|other| other.is(&who.person())) {
        return Ok(());
    }
    let approval = rollbacks.approval(id, &digest).map_err(failed)?;
    let actor = who.actor();
    let is_given = approval
        .iter()
        .flat_map(|approval| approval.standing())
        .any(|given| given.person().is(&who.person()));
    if is_given || !rollbacks.needs(known, approval.as_ref()).map_err(failed)?.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let lifetime = SignedDuration::try_from(service.approvals.lifetime).unwrap_or(SignedDuration::from_hours(24));
    let given = Yes {
        by: actor,
        marks: who.marks.clone(),
        at: now,
        expires_at: now.checked_add(lifetime).unwrap_or(now),
        comment: Some("said when the deploy began to be watched".to_owned()),
        consent: Consent::default(),
    };
    let approval = Approvals::new(service.store.as_ref(), &service.project, id).give(&digest, &given)?;
    service.metrics.word("approval");
    if approval.suffices(&quorum) {
        // Somebody else's yes of the same moment may have begun it.
        let _ = worker::begin(service, id, Work::Resume, &known.rollback.requested_by);
    }
    Ok(())
}
