//! The facts that a policy judges by, from what a run has prepared.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_config::{FileTree, LockFile};
use rollback_inverse::Fate;
use rollback_policy::{
    Accepted, BrokenGlass, Change, Document, Drift, Earlier, Host, Mark, Place, Provider, Risk, Rollback, RunFacts,
    Settings, Step, StepChange,
};
use rollback_release::{Release, StackRecord, Verdict};
use rollback_repository::CommitId;
use serde_json::{Map, Value, json};

use super::{Gate, mask};
use crate::collect::in_dir;
use crate::context::Context;
use crate::error::Result;
use crate::planning::Planned;
use crate::prepare::Prepared;
use crate::reconcile::Item;
use crate::run::{Consent, Purpose, Run, Runs};
use crate::steps::StepEnvelope;
use crate::target::Target;

/// How many earlier runs a policy is told of.
const HISTORY: usize = 20;
/// How a release's note begins that warns of it.
const WARNING: &str = "known bad";

/// When it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before anybody is asked.
    Plan,
    /// Right before the first effect.
    Apply,
}

/// What is true of a run at the moment at which it is judged.
pub struct Moment<'a> {
    pub phase: Phase,
    pub now: Timestamp,
    /// None for a dry run.
    pub id: Option<&'a str>,
    pub purpose: &'a Purpose,
    pub revision: &'a str,
    /// Who asked for it.
    pub actor: &'a str,
    pub reason: Option<&'a str>,
    pub consent: &'a Consent,
    pub approvals: Vec<String>,
    /// Who went ahead without the approvals that are asked for, and why.
    pub broken_glass: Option<BrokenGlass>,
    pub halfway: bool,
    /// The newest first.
    pub history: Vec<Earlier>,
}

/// What is true of a stack's two ends, whenever it is judged.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    pub from: Place,
    pub to: Place,
    pub risks: Vec<Risk>,
    pub providers: Vec<Provider>,
    pub known_bad: Vec<Mark>,
}

/// What is judged: one stack's part of a run, or its steps.
pub(crate) struct Subject<'a> {
    /// Name and folder; none for the steps.
    pub(crate) stack: Option<(&'a str, &'a str)>,
    /// Terraform's plan representation, masked.
    pub(crate) plan: Map<String, Value>,
    pub(crate) changes: Vec<Change>,
    pub(crate) drift: Vec<Drift>,
    pub(crate) ends: &'a Ends,
}

impl<'a> Subject<'a> {
    pub(super) fn of(context: &Context, stack: &'a Prepared) -> Subject<'a> {
        let plan = stack.plan.as_ref();
        let drifts = stack.reconciled.drift.iter();
        Subject {
            stack: Some((&stack.stack, &stack.dir)),
            plan: plan.map(|plan| mask::plan(plan, &stack.redactor)).unwrap_or_default(),
            changes: (stack.reconciled.items.iter())
                .map(|item| change(context, stack, item))
                .collect(),
            drift: drifts
                .map(|drift| Drift {
                    address: drift.address.clone(),
                    actions: drift.actions.clone(),
                    attributes: drift.attributes.clone(),
                    controller: drift.controller.clone(),
                })
                .collect(),
            ends: &stack.ends,
        }
    }

    /// The steps of a run: there is no plan of Terraform's.
    pub(super) fn of_steps(ends: &'a Ends) -> Subject<'a> {
        Subject {
            stack: None,
            plan: empty_plan(None),
            changes: Vec::new(),
            drift: Vec::new(),
            ends,
        }
    }
}

/// Terraform's plan representation of a plan without changes.
pub(super) fn empty_plan(terraform_version: Option<&str>) -> Map<String, Value> {
    let plan = json!({ "format_version": "1.2", "terraform_version": terraform_version, "resource_changes": [],
        "resource_drift": [], "output_changes": {} });
    plan.as_object().cloned().unwrap_or_default()
}

/// What a run does, whichever part of it is judged.
pub(crate) struct Whole {
    stacks: Vec<String>,
    steps: Vec<Step>,
}

impl Whole {
    pub(crate) fn of(planned: &Planned) -> Whole {
        Whole {
            stacks: planned.stacks.iter().map(|stack| stack.stack.clone()).collect(),
            steps: planned.going().map(step).collect(),
        }
    }

    /// Only this stack.
    pub(super) fn of_stack(name: &str) -> Whole {
        Whole {
            stacks: vec![name.to_owned()],
            steps: Vec::new(),
        }
    }
}

fn step(envelope: &StepEnvelope) -> Step {
    let plan = &envelope.plan;
    let change = |change: &rollback_runbook::step::StepChange| StepChange {
        what: change.what.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
    };
    Step {
        name: envelope.step.clone(),
        kind: envelope.kind.clone(),
        reversibility: plan.reversibility.as_str().to_owned(),
        changes: plan.changes.iter().map(change).collect(),
        notes: plan.notes.clone(),
        obstacles: plan.obstacles.clone(),
    }
}

/// One end: the commit and what is kept of it.
pub(crate) struct End<'a> {
    pub(crate) commit: &'a CommitId,
    pub(crate) dir: &'a str,
    pub(crate) release: Option<&'a Release>,
    pub(crate) record: Option<&'a StackRecord>,
}

impl End<'_> {
    pub(crate) fn place(&self, context: &Context) -> Place {
        let commit = context.repository.commit_info(self.commit).ok();
        let committed = commit.as_ref().and_then(|info| Timestamp::from_second(info.time).ok());
        Place {
            commit: self.commit.to_string(),
            release: self.release.map(|release| release.id.to_string()),
            name: self.release.and_then(|release| release.name.clone()),
            note: (self.release.and_then(|release| release.note.clone()))
                .or(commit.as_ref().map(|info| info.summary.clone())),
            created_at: self.release.map(|release| release.created_at).or(committed),
            age_seconds: None,
            actor: (self.release.map(|release| release.actor.clone())).or(commit.map(|info| info.author)),
            terraform_version: self.record.map(|record| record.terraform.version.clone()),
        }
    }

    /// Provider versions by source address: as the release has them, else as the commit's lock file says.
    fn providers(&self, context: &Context) -> BTreeMap<String, String> {
        if let Some(record) = self.record {
            return record.providers.clone();
        }
        let path = in_dir(self.dir, ".terraform.lock.hcl");
        let bytes = (context.repository.tree(self.commit).ok()).and_then(|tree| tree.read(&path).ok().flatten());
        let lock = bytes.and_then(|bytes| LockFile::parse(&bytes).ok()).unwrap_or_default();
        let entries = lock.providers.into_iter();
        entries.map(|(source, entry)| (source, entry.version)).collect()
    }
}

/// The ends of what steps do: the whole project's.
///
/// # Errors
/// The marks cannot be read.
pub(crate) fn ends_of_steps(context: &Context, deployed: &CommitId, target: &Target) -> Result<Ends> {
    let end = |commit, release| End {
        commit,
        dir: "",
        release,
        record: None,
    };
    let release = target.releases().first();
    Ok(Ends {
        from: end(deployed, None).place(context),
        to: end(&target.commit, release).place(context),
        known_bad: known_bad(context, target.commit.as_str(), release)?,
        ..Ends::default()
    })
}

/// The providers of both ends; `kept` are those whose deployed version stays.
pub(crate) fn providers<'k>(
    context: &Context,
    from: &End<'_>,
    to: &End<'_>,
    kept: impl IntoIterator<Item = &'k String>,
) -> Vec<Provider> {
    let (from, mut to) = (from.providers(context), to.providers(context));
    let kept: Vec<&String> = kept.into_iter().collect();
    let mut all: Vec<Provider> = from
        .into_iter()
        .map(|(source, version)| {
            let then = to.remove(&source);
            Provider {
                downgrade: then.as_ref().is_some_and(|then| is_older(then, &version)),
                kept: kept.contains(&&source),
                from: Some(version),
                to: then,
                source,
            }
        })
        .collect();
    all.extend(to.into_iter().map(|(source, version)| Provider {
        source,
        from: None,
        to: Some(version),
        downgrade: false,
        kept: false,
    }));
    all.sort_by(|a, b| a.source.cmp(&b.source));
    all
}

/// Whether one version is below another, part by part.
fn is_older(version: &str, other: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        text.split(['.', '-', '+'])
            .map_while(|part| part.parse().ok())
            .collect()
    };
    parts(version) < parts(other)
}

/// Marks that warn of the target: from the settings, `releases bad`, and the note of its release.
///
/// # Errors
/// The marks cannot be read.
pub(crate) fn known_bad(context: &Context, commit: &str, release: Option<&Release>) -> Result<Vec<Mark>> {
    let means = |revision: &str| {
        release.is_some_and(|release| {
            release.name.as_deref() == Some(revision)
                || (revision.len() >= 8 && release.id.as_str().starts_with(revision))
        }) || context
            .repository
            .resolve(revision)
            .is_ok_and(|resolved| resolved.as_str() == commit)
    };
    let mut marks: Vec<Mark> = context
        .settings
        .policy
        .known_bad
        .iter()
        .filter(|mark| means(&mark.revision))
        .map(|mark| Mark {
            revision: mark.revision.clone(),
            reason: mark.reason.clone(),
        })
        .collect();
    let Some(release) = release else { return Ok(marks) };
    let named = || release.name.clone().unwrap_or_else(|| release.id.to_string());
    if let Some(note) = &release.note
        && note.to_lowercase().replace('-', " ").starts_with(WARNING)
    {
        marks.push(Mark {
            revision: named(),
            reason: note.clone(),
        });
    }
    if let Some(mark) = context.catalogue().marks()?.remove(&release.id)
        && mark.verdict == Some(Verdict::Bad)
    {
        marks.push(Mark {
            revision: named(),
            reason: mark.reason.unwrap_or_else(|| format!("so says {}", mark.by)),
        });
    }
    Ok(marks)
}

/// The last runs but the own one, the newest first.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn history(runs: &Runs<'_>, own: Option<&str>) -> Result<Vec<Earlier>> {
    let earlier = |run: Run| Earlier {
        purpose: purpose(&run.purpose).to_owned(),
        id: run.id,
        revision: run.revision,
        commit: run.commit,
        status: run.status.as_str().to_owned(),
        actor: run.actor,
        created_at: run.created_at,
    };
    let newest = runs.newest(HISTORY + 1)?.into_iter();
    Ok(newest
        .filter(|run| own != Some(run.id.as_str()))
        .take(HISTORY)
        .map(earlier)
        .collect())
}

fn purpose(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::To => "to",
        Purpose::Undo { .. } => "undo",
        Purpose::Restore { .. } => "restore",
    }
}

/// The whole document for one stack, or for the steps.
pub(super) fn document(
    context: &Context,
    gate: &Gate,
    subject: Subject<'_>,
    whole: &Whole,
    moment: &Moment<'_>,
) -> Document {
    let section = &context.settings.policy;
    let aged = |place: &Place| Place {
        age_seconds: place
            .created_at
            .map(|at| moment.now.duration_since(at).as_secs().max(0)),
        ..place.clone()
    };
    let host = |(name, dir): (&str, &str)| {
        let configured = context.stack(name).ok();
        let workspace = configured.and_then(|configured| configured.workspace.clone());
        Host {
            name: name.to_owned(),
            dir: dir.to_owned(),
            workspace: workspace.unwrap_or_else(|| "default".to_owned()),
        }
    };
    let own = |named: &[String]| match subject.stack {
        Some((stack, _)) => of_stack(named, stack),
        None => named.to_vec(),
    };
    Document {
        plan: subject.plan,
        rollback: Rollback {
            format: 1,
            stack: subject.stack.map(host),
            stacks: whole.stacks.clone(),
            steps: whole.steps.clone(),
            run: RunFacts {
                id: moment.id.map(str::to_owned),
                purpose: purpose(moment.purpose).to_owned(),
                revision: moment.revision.to_owned(),
                halfway: moment.halfway,
            },
            phase: match moment.phase {
                Phase::Plan => "plan",
                Phase::Apply => "apply",
            },
            time: moment.now,
            actor: moment.actor.to_owned(),
            reason: moment.reason.map(str::to_owned),
            environment: section.environment.clone(),
            from: aged(&subject.ends.from),
            to: aged(&subject.ends.to),
            changes: subject.changes,
            drift: subject.drift,
            accepted: Accepted {
                data_loss: own(&moment.consent.data_loss),
                changes: own(&moment.consent.changes),
            },
            risks: subject.ends.risks.clone(),
            providers: subject.ends.providers.clone(),
            freeze: gate.open_windows(moment.now),
            known_bad: subject.ends.known_bad.clone(),
            approvals: moment.approvals.clone(),
            broken_glass: moment.broken_glass.clone(),
            settings: Settings {
                maximum_age_seconds: gate.maximum_age,
                blast_radius: section.blast_radius,
                four_eyes: gate.four_eyes,
            },
            history: moment.history.clone(),
        },
    }
}

/// Consents that hold for a stack, as plain addresses: `app:aws_x.y` is one of stack `app` alone.
fn of_stack(consents: &[String], stack: &str) -> Vec<String> {
    let own = |named: &String| {
        let address = named.strip_prefix(stack).and_then(|rest| rest.strip_prefix(':'));
        address.unwrap_or(named).to_owned()
    };
    consents.iter().map(own).collect()
}

fn change(context: &Context, stack: &Prepared, item: &Item) -> Change {
    let was = item.previous_address.as_ref().unwrap_or(&item.address);
    let inverse = stack.inverse.changes.iter().find(|change| {
        change
            .from
            .as_ref()
            .is_some_and(|from| from.address.to_string() == *was)
            || change.address().to_string() == item.address
    });
    let goes = matches!(item.fate, Fate::Destroy | Fate::Replace);
    Change {
        address: item.address.clone(),
        previous_address: item.previous_address.clone(),
        kind: item.kind.clone(),
        provider: item.provider.clone(),
        fate: item.fate.as_str().to_owned(),
        actions: item.actions.clone(),
        reversibility: item.reversibility.as_str().to_owned(),
        reason: item.reason.clone(),
        explained: item.explained,
        protected: inverse.and_then(|change| change.protected.clone()),
        holds: inverse.and_then(|change| change.holds.clone()).or_else(|| {
            let known = context
                .knowledge
                .kind(&item.kind)
                .filter(|known| goes && !known.holds.is_empty());
            known.map(|known| known.holds.to_string())
        }),
    }
}
