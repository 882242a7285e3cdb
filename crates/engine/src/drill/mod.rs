//! Rehearsing a rollback: everything up to the first effect, so that one knows while it is day whether there is a way back.

pub mod schedule;

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;
use rollback_policy::Level;
use rollback_release::{Created, ReleaseKind, Replaced, Store, Summary, Verdict as Judgement, keys};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::drive::Options;
use crate::error::{EngineError, Kind, Result};
use crate::lock::to_bytes;
use crate::notifying;
use crate::planning::{Planned, plan_with};
use crate::policy::open_denials;
use crate::reconcile::{Guard, Refusal};
use crate::run::Purpose;
use crate::steps::PreparedStep;
use crate::target::Target;
use crate::words::counted;

/// Rehearsals that are read at once.
const PAGE: usize = 200;

/// Whether there is a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    Reachable,
    /// Something has to be accepted or is lost.
    AtAPrice,
    NotReachable,
}

impl Reach {
    pub fn in_words(self) -> &'static str {
        match self {
            Reach::Reachable => "reachable",
            Reach::AtAPrice => "reachable at a price",
            Reach::NotReachable => "not reachable",
        }
    }
}

/// What was found of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `release`, `snapshot`, `plan`, `guard`, `policy`
    pub part: String,
    pub reach: Reach,
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A rehearsal, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    pub revision: String,
    pub commit: String,
    /// The releases that the way leads to, one for each stack that has one.
    pub releases: Vec<String>,
    pub reach: Reach,
    pub findings: Vec<Finding>,
    pub at: Timestamp,
    pub by: String,
    pub milliseconds: u64,
}

/// Collects what is found.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, part: &str, reach: Reach, text: impl Into<String>) {
        self.0.push(Finding {
            part: part.to_owned(),
            reach,
            text: text.into(),
            hints: Vec::new(),
        });
    }

    fn error(&mut self, part: &str, reach: Reach, error: EngineError) {
        self.0.push(Finding {
            part: part.to_owned(),
            reach,
            text: error.message,
            hints: error.hints,
        });
    }
}

/// Rehearses the way back to a revision. Nothing is changed but the record of the rehearsal.
///
/// # Errors
/// There is no such revision, or the store cannot be read.
pub fn drill(context: &Context, revision: &str) -> Result<Drill> {
    let begun = Instant::now();
    let target = Target::resolve(context, revision)?;
    let mut findings = Findings::default();
    let releases = snapshots(context, &target, &mut findings)?;
    rehearse(context, &target, &mut findings);
    let reach = findings.0.iter().map(|finding| finding.reach).max();
    let drill = Drill {
        revision: revision.to_owned(),
        commit: target.commit.to_string(),
        releases,
        reach: reach.unwrap_or(Reach::NotReachable),
        findings: findings
            .0
            .into_iter()
            .map(|finding| Finding {
                text: context.secrets.scrub(&finding.text),
                ..finding
            })
            .collect(),
        at: Timestamp::now(),
        by: context.actor.clone(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    keep_and_tell(context, &drill)?;
    Ok(drill)
}

/// As [`drill`], of one release. That it cannot even be begun with is a verdict too, and is kept as one: otherwise it would be
/// tried again and again.
///
/// # Errors
/// The store cannot be written.
pub fn of_release(context: &Context, release: &Summary) -> Result<Drill> {
    let begun = Instant::now();
    let error = match drill(context, release.id.as_str()) {
        Ok(found) if found.releases.iter().any(|id| id == release.id.as_str()) => return Ok(found),
        Ok(found) => {
            // Its stacks are none of those that there are now: the verdict is about it all the same.
            let found = Drill {
                releases: vec![release.id.to_string()],
                ..found
            };
            keep_and_tell(context, &found)?;
            return Ok(found);
        }
        Err(error) => context.secrets.scrub_error(error),
    };
    let mut findings = Findings::default();
    findings.error("release", Reach::NotReachable, error);
    let found = Drill {
        revision: release.id.to_string(),
        commit: release.commit.clone(),
        releases: vec![release.id.to_string()],
        reach: Reach::NotReachable,
        findings: findings.0,
        at: Timestamp::now(),
        by: context.actor.clone(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    keep_and_tell(context, &found)?;
    Ok(found)
}

/// Keeps what was found with its releases; where it is worse than what was found before, people are told.
fn keep_and_tell(context: &Context, drill: &Drill) -> Result<()> {
    let store = context.store.as_ref();
    let mut worse = None;
    for release in &drill.releases {
        // A way that was never rehearsed is news only where there is none.
        let before = last(store, &context.project, release)?.map(|last| last.reach);
        if drill.reach > before.unwrap_or(Reach::AtAPrice) {
            worse = Some(before);
        }
        keep(store, &keys::drill(&context.project, release), drill)?;
    }
    if let Some(before) = worse {
        notifying::tell_of_drill(context, drill, before);
    }
    Ok(())
}

/// The release before the one that is the newest: what one would go back to.
///
/// # Errors
/// There is none.
pub fn previous(context: &Context) -> Result<String> {
    let releases = context.catalogue().summaries(usize::MAX)?;
    let mut kept = releases
        .items
        .into_iter()
        .filter(|release| !matches!(release.kind, ReleaseKind::Backup { .. }));
    let newest = kept.next();
    let before = newest.and_then(|newest| kept.find(|release| release.commit != newest.commit));
    before.map(|release| release.id.to_string()).ok_or_else(|| {
        EngineError::failed("there is no release before the newest one")
            .hint("name a revision, or take a snapshot after each deploy: `infra-rollback snapshot`")
    })
}

/// The last rehearsal of a release.
///
/// # Errors
/// The store cannot be read.
pub fn last(store: &dyn Store, project: &str, release: &str) -> Result<Option<Drill>> {
    let found = store.get(&keys::drill(project, release))?;
    // What a newer program wrote is no reason to show no releases.
    Ok(found.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok()))
}

/// The last rehearsals of the releases from `oldest` to `newest`, by release: one request for a page of them.
///
/// # Errors
/// The store cannot be read.
pub fn last_between(store: &dyn Store, project: &str, oldest: &str, newest: &str) -> Result<BTreeMap<String, Drill>> {
    let (from, to) = (keys::drill(project, oldest), keys::drill(project, newest));
    let prefix = keys::drills(project);
    // What begins like the oldest one's key comes after this, and so does that key itself.
    let mut after = from[..from.len() - 1].to_owned();
    let mut found = BTreeMap::new();
    loop {
        let page = store.entries(&prefix, Some(&after), PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.key.clone();
        for entry in page {
            if entry.key > to {
                return Ok(found);
            }
            if let Ok(drill) = serde_json::from_slice(&entry.value) {
                found.insert(keys::unsegment(&entry.key[prefix.len()..]), drill);
            }
        }
    }
}

/// Whether every byte that the way needs is there and is what it was.
fn snapshots(context: &Context, target: &Target, findings: &mut Findings) -> Result<Vec<String>> {
    let marks = context.catalogue().marks()?;
    let mut releases: Vec<String> = Vec::new();
    for stack in &context.stacks {
        let Some((release, record)) = target.release_of(&stack.name) else {
            findings.add(
                "snapshot",
                Reach::AtAPrice,
                format!(
                    "{}: there is no snapshot of it at {}: its configuration comes from Git alone",
                    stack.name,
                    target.commit.short()
                ),
            );
            continue;
        };
        let mut whole = 0;
        for blob in record.blobs() {
            match context.store.get_blob(&blob) {
                Ok(_) => whole += 1,
                Err(error) => findings.add("snapshot", Reach::NotReachable, format!("{}: {error}", stack.name)),
            }
        }
        findings.add(
            "snapshot",
            Reach::Reachable,
            format!("{}: {whole} blobs are whole ({:.8})", stack.name, release.id.as_str()),
        );
        let id = release.id.to_string();
        if releases.contains(&id) {
            continue;
        }
        if let Some(mark) = marks.get(&release.id)
            && mark.verdict == Some(Judgement::Bad)
        {
            let reason = mark.reason.as_deref().unwrap_or("no reason was given");
            findings.add(
                "release",
                Reach::AtAPrice,
                format!("release {id:.8} is marked as bad: {reason}"),
            );
        }
        releases.push(id);
    }
    Ok(releases)
}

/// As a run would go, until somebody would be asked.
fn rehearse(context: &Context, target: &Target, findings: &mut Findings) {
    let options = Options::default();
    let planned = match plan_with(context, Purpose::To, target, &options, false) {
        Ok(planned) => planned,
        Err(error) => {
            // A guard that has an answer to its no.
            let asks = error.kind == Kind::Refused
                && error
                    .hints
                    .iter()
                    .any(|hint| hint.contains("--override-policy") || hint.contains("--accept-"));
            let reach = if asks { Reach::AtAPrice } else { Reach::NotReachable };
            return findings.error("plan", reach, error);
        }
    };
    for stack in &planned.stacks {
        findings.add(
            "plan",
            Reach::Reachable,
            format!(
                "{}: providers are installable, and terraform plans it: changes to {}",
                stack.stack,
                counted(stack.reconciled.items.len(), "object")
            ),
        );
    }
    for step in &planned.steps {
        step_of(step, findings);
    }
    let refusals = planned.open_refusals(&options.consent);
    for refusal in &refusals {
        let (reach, how) = match refusal.guard {
            Guard::Impossible => (Reach::NotReachable, String::new()),
            Guard::DataLoss => (
                Reach::AtAPrice,
                format!(" (needs --accept-data-loss '{}')", refusal.address),
            ),
            Guard::Surprise | Guard::Difference => (
                Reach::AtAPrice,
                format!(" (needs --accept-change '{}')", refusal.address),
            ),
        };
        findings.add("guard", reach, format!("{}: {}{how}", refusal.address, refusal.message));
    }
    if let Err(error) = open_denials(&planned) {
        let reach = if can_be_overridden(&planned, &refusals) {
            Reach::AtAPrice
        } else {
            Reach::NotReachable
        };
        findings.error("policy", reach, error);
    }
}

/// Whether a step's way is open.
fn step_of(step: &PreparedStep, findings: &mut Findings) {
    let name = &step.part.name;
    if let Some(why) = step.left() {
        findings.add("step", Reach::AtAPrice, format!("{name} would be left as it is: {why}"));
    } else if let Some(envelope) = step.envelope() {
        for obstacle in &envelope.plan.obstacles {
            findings.add("step", Reach::NotReachable, format!("{name}: {obstacle}"));
        }
        let plan = &envelope.plan;
        findings.add(
            "step",
            Reach::Reachable,
            format!(
                "{name}: {}, {}",
                counted(plan.changes.len(), "change"),
                plan.reversibility.as_str()
            ),
        );
    } else {
        findings.add("step", Reach::Reachable, format!("{name}: it is there already"));
    }
}

/// Whether every rule that says no is one that people may override, or gives way to an acceptance.
fn can_be_overridden(planned: &Planned, refusals: &[Refusal]) -> bool {
    let accepted = |address: &str| refusals.iter().any(|refusal| refusal.address == address);
    planned.evaluations().all(|(_, evaluation)| {
        evaluation.errors.is_empty()
            && evaluation.refusals().all(|finding| {
                finding.level == Level::SoftMandatory || finding.address.as_deref().is_some_and(accepted)
            })
    })
}

/// Writes the newest of a kind of record over the former one.
fn keep(store: &dyn Store, key: &str, record: &impl Serialize) -> Result<()> {
    let bytes = to_bytes(record)?;
    for _ in 0..10 {
        let done = match store.get(key)? {
            None => matches!(store.create(key, &bytes)?, Created::Yes(_)),
            Some((_, version)) => matches!(store.replace(key, &version, &bytes)?, Replaced::Yes(_)),
        };
        if done {
            return Ok(());
        }
    }
    Err(EngineError::failed(format!("{key} is written by others all the time")))
}
