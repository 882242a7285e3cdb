//! The record of one run: what happened, who decided what, what was lost, what the checks said, and what is left to do. A
//! pure function of the run, its journal and the project's settings.

use jiff::{SignedDuration, Timestamp};
use rollback_config::project::{ContactSection, IncidentSection};
use rollback_runbook::checks::{Asked, Verification};
use rollback_runbook::invitation::Invitation;
use rollback_runbook::notify::Phase;
use rollback_runbook::step::StepChange;
use serde::Serialize;

use crate::journal::{CheckMoment, Entry, Event};
use crate::run::{Purpose, Run, Status};
use crate::words;

/// What a report is made of. Times are UTC.
pub struct Sources<'a> {
    pub run: &'a Run,
    pub journal: &'a [Entry],
    pub incident: &'a IncidentSection,
    /// Whether somebody is told of runs at all.
    pub notifies: bool,
    pub now: Timestamp,
}

/// The record.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub run: String,
    /// `rollback`, `undo of RUN`, `restore of VERSION`
    pub what: String,
    /// What was rolled back, as people call it.
    pub service: String,
    pub revision: String,
    pub commit: String,
    pub status: &'static str,
    pub actor: String,
    pub reason: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Whole seconds, until now where it has not ended.
    pub seconds: i64,
    pub minutes: i64,
    pub backup: Option<String>,
    pub result: Option<String>,
    pub stacks: Vec<StackLine>,
    pub steps: Vec<StepLine>,
    /// Addresses whose data was given up.
    pub lost: Vec<String>,
    pub decisions: Vec<Decision>,
    pub approvals: Vec<Approval>,
    /// What the checks said before, and each time after.
    pub verification: Vec<AskedAt>,
    /// `OK` or `DEGRADED`, after the last effect.
    pub health: Option<&'static str>,
    pub stopped_because: Option<String>,
    pub last_event: Option<String>,
    pub checklist: Vec<Item>,
    pub notifications: Vec<Told>,
    pub contacts: Vec<Contact>,
    pub post_mortem: PostMortem,
    pub timeline: Vec<Line>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StackLine {
    pub stack: String,
    pub from_commit: String,
    pub done: bool,
    /// `2 update, 1 destroy`
    pub summary: Option<String>,
    pub changes_left: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StepLine {
    pub step: String,
    pub kind: String,
    pub done: bool,
    /// Its changes: `task definition app:12 → app:11`
    pub summary: Option<String>,
}

/// Something that a person decided beyond saying yes to the plan.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub at: Option<Timestamp>,
    pub by: String,
    pub what: String,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Approval {
    pub at: Timestamp,
    pub digest: String,
    pub by: String,
    pub how: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct AskedAt {
    pub moment: CheckMoment,
    pub at: Timestamp,
    pub passed: bool,
    pub checks: Vec<Asked>,
}

/// One line of the runbook's quick checklist.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub item: &'static str,
    pub done: bool,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub at: Timestamp,
    pub channel: String,
    pub phase: Phase,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Contact {
    pub role: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub after: Option<String>,
    /// The run has taken that long, and is not over.
    pub due: bool,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PostMortem {
    pub start: Timestamp,
    pub minutes: i64,
    pub organizer: Option<String>,
    pub attendees: Vec<String>,
    pub location: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub at: Timestamp,
    pub what: String,
}

/// Where settings say nothing.
const POST_MORTEM_AFTER: SignedDuration = SignedDuration::from_hours(24);
const POST_MORTEM_DURATION: SignedDuration = SignedDuration::from_hours(1);

/// Makes the record.
pub fn report(sources: &Sources<'_>) -> Report {
    let Sources { run, journal, now, .. } = *sources;
    let took = run.ended_at.unwrap_or(now).duration_since(run.created_at);
    let verification = verification(journal);
    let last = verification.iter().rfind(|asked| asked.moment == CheckMoment::After);
    let health = last.map(|asked| if asked.passed { "OK" } else { "DEGRADED" });
    let shown = |event: &Event| {
        !matches!(
            event,
            Event::NotificationIntended { .. } | Event::StateUnlocked { .. } | Event::StateLockIntended { .. }
        )
    };
    let timeline: Vec<Line> = journal
        .iter()
        .filter(|entry| shown(&entry.event))
        .map(|entry| Line {
            at: entry.at,
            what: words::describe(&entry.event),
        })
        .collect();
    let effects = journal.iter().any(|entry| {
        matches!(
            entry.event,
            Event::StateWriteIntended { .. } | Event::ApplyIntended { .. } | Event::StepIntended { .. }
        )
    });
    Report {
        run: run.id.clone(),
        what: match &run.purpose {
            Purpose::To => format!("rollback to {}", run.revision),
            Purpose::Undo { run } => format!("undo of run {run}"),
            Purpose::Restore { version } => format!("restore of state {version}"),
        },
        service: sources.incident.service.clone().unwrap_or_else(|| {
            let names: Vec<&str> = run.selected.iter().map(String::as_str).collect();
            names.join(", ")
        }),
        revision: run.revision.clone(),
        commit: run.commit.clone(),
        status: run.status.as_str(),
        actor: run.actor.clone(),
        reason: run.reason.clone(),
        started_at: run.created_at,
        ended_at: run.ended_at,
        seconds: took.as_secs(),
        minutes: took.as_mins(),
        backup: run.backup.clone(),
        result: run.result.clone(),
        stacks: stacks(run, journal),
        steps: steps(journal),
        lost: if effects {
            run.consent.data_loss.clone()
        } else {
            Vec::new()
        },
        decisions: decisions(run, journal),
        approvals: approvals(journal),
        health,
        stopped_because: journal.iter().rev().find_map(|entry| match &entry.event {
            Event::Stopped { why } if run.status != Status::Completed => Some(why.clone()),
            _ => None,
        }),
        last_event: timeline.last().map(|line| line.what.clone()),
        checklist: checklist(sources, last),
        notifications: told(journal),
        contacts: sources
            .incident
            .contacts
            .iter()
            .map(|contact| known(contact, took, run))
            .collect(),
        post_mortem: post_mortem(sources),
        verification,
        timeline,
    }
}

impl Report {
    /// The invitation to the post-mortem.
    pub fn invitation(&self, stamp: Timestamp) -> Invitation {
        let reason = self.reason.as_deref().unwrap_or("no reason was given");
        let meeting = &self.post_mortem;
        Invitation {
            uid: format!("{}@infra-rollback", self.run),
            summary: format!("Post-mortem: {}, {}", self.service, self.what),
            description: format!(
                "{} on {} by {}: {reason}\nThe record: infra-rollback report {}",
                self.what, self.started_at, self.actor, self.run
            ),
            location: meeting.location.clone(),
            start: meeting.start,
            end: meeting.start + SignedDuration::from_mins(meeting.minutes),
            stamp,
            organizer: meeting.organizer.clone(),
            attendees: meeting.attendees.clone(),
        }
    }
}

fn stacks(run: &Run, journal: &[Entry]) -> Vec<StackLine> {
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

fn steps(journal: &[Entry]) -> Vec<StepLine> {
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

fn decisions(run: &Run, journal: &[Entry]) -> Vec<Decision> {
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
                at: Some(entry.at),
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
            Event::ChecksSkipped { by, reason } => decision(by, "the checks are not asked".to_owned(), reason),
            Event::HolderDeclaredDead { by, reason } => {
                decision(by, "the former process is declared dead".to_owned(), reason)
            }
            Event::LockReleased { stack, by, reason, .. } => {
                decision(by, format!("{stack}: the lock is taken away"), reason)
            }
            Event::Aborted { by } => Some(Decision {
                at: Some(entry.at),
                by: by.clone(),
                what: "the run is given up".to_owned(),
                reason: None,
            }),
            _ => None,
        }
    }));
    decisions
}

fn approvals(journal: &[Entry]) -> Vec<Approval> {
    let approval = |entry: &Entry| match &entry.event {
        Event::Approved { digest, by, how } => Some(Approval {
            at: entry.at,
            digest: digest.clone(),
            by: by.clone(),
            how: how.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(approval).collect()
}

fn verification(journal: &[Entry]) -> Vec<AskedAt> {
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
            at: *ended_at,
            passed: *passed,
            checks: checks.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(asked).collect()
}

fn told(journal: &[Entry]) -> Vec<Told> {
    let told = |entry: &Entry| match &entry.event {
        Event::Notified { channel, phase, error } => Some(Told {
            at: entry.at,
            channel: channel.clone(),
            phase: *phase,
            error: error.clone(),
        }),
        _ => None,
    };
    journal.iter().filter_map(told).collect()
}

fn checklist(sources: &Sources<'_>, after: Option<&AskedAt>) -> Vec<Item> {
    let Sources { run, journal, .. } = *sources;
    let has = |wanted: &dyn Fn(&Event) -> bool| journal.iter().any(|entry| wanted(&entry.event));
    let delivered =
        |wanted: Phase| has(&|event| matches!(event, Event::Notified { phase, error: None, .. } if *phase == wanted));
    let item = |item: &'static str, done: bool, note: Option<String>| Item { item, done, note };
    let over = run.status.is_over();
    let at_rest = stacks(run, journal)
        .iter()
        .all(|stack| stack.changes_left.is_none_or(|left| left == 0));
    let verified = match after {
        Some(asked) => asked.passed,
        None => run.status == Status::Completed && at_rest,
    };
    vec![
        item(
            "Identify the issue and confirm rollback is necessary",
            has(&|event| matches!(event, Event::Approved { .. })),
            run.reason
                .clone()
                .or_else(|| Some("no reason was given: --reason".to_owned())),
        ),
        item(
            "Notify team of rollback decision",
            delivered(Phase::Start),
            (!sources.notifies).then(|| "nobody is told by itself: [[notify]] in infra-rollback.toml".to_owned()),
        ),
        item(
            "Create incident report",
            true,
            Some(format!("infra-rollback report {}", run.id)),
        ),
        item(
            "Execute rollback steps",
            run.status == Status::Completed,
            (run.status != Status::Completed).then(|| run.status.as_str().to_owned()),
        ),
        item(
            "Verify rollback success",
            verified,
            match after {
                Some(asked) => Some(format!(
                    "{} of {} checks pass",
                    asked.checks.iter().filter(|check| check.passed).count(),
                    asked.checks.len()
                )),
                None => Some("no check was asked; terraform's plan alone".to_owned()),
            },
        ),
        item("Update incident report", over, None),
        item(
            "Schedule post-mortem",
            delivered(Phase::End) && run.status == Status::Completed,
            Some(format!("infra-rollback report {} --format ics", run.id)),
        ),
    ]
}

fn known(contact: &ContactSection, took: SignedDuration, run: &Run) -> Contact {
    let after = contact
        .after
        .as_deref()
        .and_then(|text| text.parse::<SignedDuration>().ok());
    Contact {
        role: contact.role.clone(),
        name: contact.name.clone(),
        phone: contact.phone.clone(),
        email: contact.email.clone(),
        after: contact.after.clone(),
        due: !run.status.is_over() && after.is_none_or(|after| took >= after),
        note: contact.note.clone(),
    }
}

fn post_mortem(sources: &Sources<'_>) -> PostMortem {
    let section = &sources.incident.post_mortem;
    let period = |text: &Option<String>, usual: SignedDuration| {
        let given = text.as_deref().and_then(|text| text.parse().ok());
        given.unwrap_or(usual)
    };
    let ended = sources.run.ended_at.unwrap_or(sources.now);
    let start = ended + period(&section.after, POST_MORTEM_AFTER);
    // Nobody meets at 14:37:12: the next full half hour.
    let half_hour = 30 * 60;
    let seconds = start.as_second().div_euclid(half_hour) * half_hour;
    let rounded = Timestamp::from_second(seconds + half_hour).unwrap_or(start);
    PostMortem {
        start: rounded,
        minutes: period(&section.duration, POST_MORTEM_DURATION).as_mins(),
        organizer: section.organizer.clone(),
        attendees: section.attendees.clone(),
        location: section.location.clone(),
    }
}
