//! The record of one run: what happened, who decided what, what was lost, what the checks said, and what is left to do. A
//! pure function of the run, its journal and the project's settings.

mod checklist;
mod journal;
mod plans;
mod written;

use checklist::checklist;
use jiff::{SignedDuration, Timestamp};
use journal::{approvals, decisions, stacks, steps, told, verification};
use plans::{known, post_mortem};
use rollback_config::project::IncidentSection;
use rollback_runbook::checks::Asked;
use rollback_runbook::invitation::Invitation;
use rollback_runbook::notify::Phase;
use serde::{Deserialize, Serialize};
pub use written::Format;

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
    /// The names of the channels that bring an invitation.
    pub inviting: Vec<&'a str>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub item: String,
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

/// Nobody reads less than a second of it.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

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
            at: second(entry.at),
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
            let named = if run.is_about_steps_alone() {
                &run.steps
            } else {
                &run.selected
            };
            let names: Vec<&str> = named.iter().map(String::as_str).collect();
            names.join(", ")
        }),
        revision: run.revision.clone(),
        commit: run.commit.clone(),
        status: run.status.as_str(),
        actor: run.actor.clone(),
        reason: run.reason.clone(),
        started_at: second(run.created_at),
        ended_at: run.ended_at.map(second),
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
