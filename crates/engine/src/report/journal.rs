//! What the entries of a journal come to.

use rollback_runbook::checks::Verification;
use rollback_runbook::step::StepChange;

use super::{Approval, AskedAt, Decision, StackLine, StepLine, Told, second};
use crate::journal::{Entry, Event};
use crate::run::Run;

pub(super) fn stacks(run: &Run, journal: &[Entry]) -> Vec<StackLine> {
    let line = |stack: &str, from_commit: &str| {
        let mut line = StackLine {
            stack: stack.to_owned(),
            from_commit: from_commit.to_owned(),
            done: false,
            summary: None,
            changes_left: None,
        };
        for entry in journal {
            match &entry.event {
                Event::Planned {
                    stack: named, summary, ..
                } if named == stack && line.summary.is_none() => {
                    line.summary = Some(summary.clone());
                }
                Event::StackDone { stack: named } if named == stack => line.done = true,
                Event::Reopened { stack: named } if named == stack => line.done = false,
                Event::Verified {
                    stack: named,
                    changes_left,
                } if named == stack => {
                    line.changes_left = Some(*changes_left);
                }
                _ => {}
            }
        }
        line
    };
    run.stacks
        .iter()
        .map(|part| line(&part.stack, &part.from_commit))
        .collect()
}

pub(super) fn steps(journal: &[Entry]) -> Vec<StepLine> {
    let mut steps: Vec<StepLine> = Vec::new();
    for entry in journal {
        match &entry.event {
            Event::StepPlanned { envelope } => {
                let change = |change: &StepChange| match (&change.from, &change.to) {
                    (Some(from), Some(to)) => format!("{} {from} → {to}", change.what),
                    _ => change.what.clone(),
                };
                let changes: Vec<String> = envelope.plan.changes.iter().map(change).collect();
                if !steps.iter().any(|step| step.step == envelope.step) {
                    steps.push(StepLine {
                        step: envelope.step.clone(),
                        kind: envelope.kind.clone(),
                        done: false,
                        summary: (!changes.is_empty()).then(|| changes.join(", ")),
                    });
                }
            }
            Event::StepDone { step, .. } => {
                if let Some(line) = steps.iter_mut().find(|line| line.step == *step) {
                    line.done = true;
                }
            }
            _ => {}
        }
    }
    steps
}

pub(super) fn decisions(run: &Run, journal: &[Entry]) -> Vec<Decision> {
    let beforehand = |what: String| Decision {
        at: None,
        by: run.actor.clone(),
        what,
        reason: run.reason.clone(),
    };
    let lost = run.consent.data_loss.iter();
    let mut decisions: Vec<Decision> = lost
        .map(|address| beforehand(format!("the data of {address} may be lost")))
        .collect();
    let changes = run.consent.changes.iter();
    decisions.extend(changes.map(|address| beforehand(format!("the unexplained change of {address} is accepted"))));
    decisions.extend(journal.iter().filter_map(|entry| {
        let decision = |by: &String, what: String, reason: &String| {
            Some(Decision {
                at: Some(second(entry.at)),
                by: by.clone(),
                what,
                reason: Some(reason.clone()),
            })
        };
        match &entry.event {
            Event::PolicyOverridden {
                stack,
                rule,
                by,
                reason,
            } => decision(by, format!("{stack}: the rule {rule} is overridden"), reason),
            Event::GlassBroken { by, reason, .. } => decision(
                by,
                "the glass is broken: the approvals are not waited for".to_owned(),
                reason,
            ),
            Event::ChecksSkipped { by, reason } => decision(by, "the checks are not asked".to_owned(), reason),
            Event::HolderDeclaredDead { by, reason } => {
                decision(by, "the former process is declared dead".to_owned(), reason)
            }
            Event::LockReleased { stack, by, reason, .. } => {
                decision(by, format!("{stack}: the lock is taken away"), reason)
            }
            Event::Aborted { by, .. } => Some(Decision {
                at: Some(second(entry.at)),
                by: by.clone(),
                what: "the run is given up".to_owned(),
                reason: None,
            }),
            _ => None,
        }
    }));
    decisions
}

pub(super) fn approvals(journal: &[Entry]) -> Vec<Approval> {
    let approval = |entry: &Entry| match &entry.event {
        Event::Approved { digest, by, how } => Some(Approval {
            at: second(entry.at),
            digest: digest.clone(),
            by: by.clone(),
            how: how.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(approval).collect()
}

pub(super) fn verification(journal: &[Entry]) -> Vec<AskedAt> {
    let asked = |entry: &Entry| match &entry.event {
        Event::Checked {
            moment,
            verification:
                Verification {
                    passed,
                    ended_at,
                    checks,
                    ..
                },
        } => Some(AskedAt {
            moment: *moment,
            at: second(*ended_at),
            passed: *passed,
            checks: checks.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(asked).collect()
}

pub(super) fn told(journal: &[Entry]) -> Vec<Told> {
    let told = |entry: &Entry| match &entry.event {
        Event::Notified { channel, phase, error } => Some(Told {
            at: second(entry.at),
            channel: channel.clone(),
            phase: *phase,
            error: error.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(told).collect()
}
