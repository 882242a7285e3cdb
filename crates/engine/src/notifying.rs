//! Telling people of a run: when it begins, every now and then, and when it ends. That somebody cannot be told stops nothing,
//! and is on record.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rollback_config::project::IncidentSection;
use rollback_release::Store;
use rollback_runbook::notify::{Message, NamedChannel, Phase};
use rollback_runbook::templates;
use serde::Serialize;

use crate::context::Context;
use crate::drill::{Drill, Reach};
use crate::drive::Drive;
use crate::error::Result;
use crate::journal::{Event, Journal};
use crate::report::{Report, Sources, report};
use crate::run::{Run, Status};

/// The runbook: "Updates will be provided every 30 minutes."
const UPDATE_EVERY: Duration = Duration::from_secs(30 * 60);

/// Who is told, and in which words.
#[derive(Clone, Default)]
pub struct Notices {
    pub channels: Arc<Vec<NamedChannel>>,
    /// The template of messages, where the project has one of its own.
    pub template: Option<String>,
    /// The template of reports, where the project has one of its own.
    pub report_template: Option<String>,
}

impl Notices {
    /// The names of the channels that bring an invitation to the post-mortem.
    pub fn inviting(&self) -> Vec<&str> {
        let channels = self.channels.iter().filter(|channel| channel.kind == "smtp");
        channels.map(|channel| channel.name.as_str()).collect()
    }
}

/// What a template of messages is given.
#[derive(Serialize)]
struct Words<'a> {
    phase: Phase,
    /// `ROLLBACK IN PROGRESS`
    headline: &'a str,
    update_minutes: u64,
    report: &'a Report,
}

/// What came of telling one channel.
struct Answer {
    channel: String,
    error: Option<String>,
}

impl Drive<'_> {
    /// Tells everybody that the run begins to change things, and from then on, now and then, that it goes on.
    pub(crate) fn announce_start(&mut self) -> Result<()> {
        if self.context.notices.channels.is_empty() {
            return Ok(());
        }
        self.tell(Phase::Start)?;
        self.updates = Updates::begin(self.context, &self.run);
        Ok(())
    }

    /// Tells everybody how it ended, if they were told that it began.
    pub(crate) fn announce_end(&mut self) -> Result<()> {
        for answer in self.updates.take().map(Updates::end).unwrap_or_default() {
            let error = answer.error.map(|error| self.context.secrets.scrub(&error));
            self.journal.append(Event::Notified {
                channel: answer.channel,
                phase: Phase::Update,
                error,
            })?;
        }
        let begun = self.journal.entries().iter().any(|entry| {
            matches!(
                entry.event,
                Event::NotificationIntended {
                    phase: Phase::Start,
                    ..
                }
            )
        });
        match begun {
            true => self.tell(Phase::End),
            false => Ok(()),
        }
    }

    /// Tells every channel that wants to hear of it, and does not tell the same twice: each intent is on record before.
    fn tell(&mut self, phase: Phase) -> Result<()> {
        let status = self.run.status;
        let once = phase == Phase::Start || status.is_over();
        let told = |name: &str| {
            self.journal.entries().iter().any(|entry| {
                matches!(&entry.event, Event::NotificationIntended { channel, phase: known, status: then }
                    if channel == name && *known == phase && (phase == Phase::Start || then == status.as_str()))
            })
        };
        let channels = Arc::clone(&self.context.notices.channels);
        let chosen: Vec<&NamedChannel> = channels
            .iter()
            .filter(|channel| channel.phases.contains(&phase) && !(once && told(&channel.name)))
            .collect();
        if chosen.is_empty() {
            return Ok(());
        }
        for channel in &chosen {
            self.journal.append(Event::NotificationIntended {
                channel: channel.name.clone(),
                phase,
                status: status.as_str().to_owned(),
            })?;
        }
        let journal = self.journal.entries();
        let mut run = self.run.clone();
        if phase == Phase::Start {
            // It is about to be: nobody needs to hear that it was being planned.
            run.status = Status::Applying;
        }
        let sources = Sources {
            run: &run,
            journal,
            incident: &self.context.settings.incident,
            notifies: true,
            inviting: self.context.notices.inviting(),
            now: Timestamp::now(),
        };
        let number = journal.len();
        let answers = send(&self.context.notices, &chosen, phase, &sources, number);
        for answer in answers {
            let error = answer.error.map(|error| self.context.secrets.scrub(&error));
            if let Some(error) = &error {
                self.context
                    .observer
                    .warning(&format!("{} could not be told: {error}", answer.channel));
            }
            self.journal.append(Event::Notified {
                channel: answer.channel,
                phase,
                error,
            })?;
        }
        Ok(())
    }
}

/// Sends one message to all, side by side.
fn send(
    notices: &Notices,
    channels: &[&NamedChannel],
    phase: Phase,
    sources: &Sources<'_>,
    number: usize,
) -> Vec<Answer> {
    let message = match message(notices, phase, sources, number) {
        Ok(message) => message,
        Err(why) => {
            return channels
                .iter()
                .map(|channel| Answer {
                    channel: channel.name.clone(),
                    error: Some(why.clone()),
                })
                .collect();
        }
    };
    send_message(channels, &message)
}

/// Sends a message to all, side by side.
fn send_message(channels: &[&NamedChannel], message: &Message) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let sending: Vec<_> = channels
            .iter()
            .map(|channel| scope.spawn(|| channel.channel.send(message).err().map(|error| error.message)))
            .collect();
        let answers = channels.iter().zip(sending).map(|(channel, sending)| Answer {
            channel: channel.name.clone(),
            // A channel that panics is one that could not be told.
            error: sending.join().unwrap_or_else(|_| Some("it panicked".to_owned())),
        });
        answers.collect()
    })
}

/// Tells everybody who wants to hear of rehearsals that the way back to a release is worse than it was. There is no run
/// whose journal could hold it: that somebody could not be told is a warning.
pub(crate) fn tell_of_drill(context: &Context, drill: &Drill, before: Option<Reach>) {
    let wants = |channel: &&NamedChannel| channel.phases.contains(&Phase::Drill);
    let channels: Vec<&NamedChannel> = context.notices.channels.iter().filter(wants).collect();
    if channels.is_empty() {
        return;
    }
    let incident = &context.settings.incident;
    let service = incident.service.as_deref().unwrap_or("Terraform");
    let headline = match drill.reach {
        Reach::NotReachable => "NO WAY BACK",
        _ => "THE WAY BACK HAS A PRICE NOW",
    };
    let before = before.map_or("never rehearsed", Reach::in_words);
    let mut lines = vec![
        format!("{headline}: {service}"),
        format!(
            "A rehearsal of the rollback to {} ({:.10}) says: {}. Before it was {before}.",
            drill.revision,
            drill.commit,
            drill.reach.in_words()
        ),
    ];
    let reasons = drill.findings.iter().filter(|finding| finding.reach == drill.reach);
    for finding in reasons {
        lines.push(format!("- {}: {}", finding.part, finding.text));
        lines.extend(finding.hints.iter().map(|hint| format!("  {hint}")));
    }
    let message = Message {
        id: format!("drill-{}-{}", drill.releases.join("-"), drill.at.as_second()),
        phase: Phase::Drill,
        subject: format!("[REHEARSAL] {headline}: {service}"),
        text: context.secrets.scrub(&lines.join("\n")),
        document: serde_json::json!({ "drill": drill, "before": before }),
        invitation: None,
    };
    for answer in send_message(&channels, &message) {
        if let Some(error) = answer.error {
            let error = context.secrets.scrub(&error);
            context
                .observer
                .warning(&format!("{} could not be told: {error}", answer.channel));
        }
    }
}

/// # Errors
/// The template cannot be used.
fn message(notices: &Notices, phase: Phase, sources: &Sources<'_>, number: usize) -> Result<Message, String> {
    let report = report(sources);
    let headline = match (phase, sources.run.status) {
        (Phase::End, Status::Completed) => "ROLLBACK COMPLETE",
        (Phase::End, Status::Halfway) => "ROLLBACK STOPPED HALFWAY",
        (Phase::End, _) => "ROLLBACK ENDED WITHOUT A CHANGE",
        _ => "ROLLBACK IN PROGRESS",
    };
    let words = Words {
        phase,
        headline,
        update_minutes: update_every(sources.incident).as_secs().div_ceil(60),
        report: &report,
    };
    let text = match &notices.template {
        Some(own) => templates::render("incident.message_template", own, &words)?,
        None => templates::render("message", templates::MESSAGE, &words)?,
    };
    Ok(Message {
        id: format!("{}-{}-{number}", report.run, phase.as_str()),
        phase,
        subject: format!("[INCIDENT] {headline}: {}", report.service),
        text: text.trim().to_owned(),
        invitation: (phase == Phase::End && sources.run.status == Status::Completed)
            .then(|| report.invitation(sources.now).to_ics()),
        document: serde_json::to_value(&report).map_err(|error| error.to_string())?,
    })
}

fn update_every(incident: &IncidentSection) -> Duration {
    let given = incident.update_every.as_deref();
    let given = given.and_then(|text| text.parse::<SignedDuration>().ok());
    given
        .and_then(|every| Duration::try_from(every).ok())
        .unwrap_or(UPDATE_EVERY)
}

/// A thread that says every now and then that a run goes on.
pub(crate) struct Updates {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Updates {
    fn begin(context: &Context, run: &Run) -> Option<Updates> {
        let wants = |channel: &NamedChannel| channel.phases.contains(&Phase::Update);
        if !context.notices.channels.iter().any(wants) {
            return None;
        }
        let every = update_every(&context.settings.incident);
        let notices = context.notices.clone();
        let incident = context.settings.incident.clone();
        let (store, project): (Arc<dyn Store>, String) = (Arc::clone(&context.store), context.project.clone());
        let mut run = run.clone();
        run.status = Status::Applying;
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let found = Arc::clone(&answers);
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                number += 1;
                // What happened since is in the journal, which only its run writes.
                let Ok(journal) = Journal::open(store.as_ref(), &project, &run.id) else {
                    continue;
                };
                let channels: Vec<&NamedChannel> = notices.channels.iter().filter(|channel| wants(channel)).collect();
                let sources = Sources {
                    run: &run,
                    journal: journal.entries(),
                    incident: &incident,
                    notifies: true,
                    inviting: notices.inviting(),
                    now: Timestamp::now(),
                };
                let told = send(&notices, &channels, Phase::Update, &sources, number);
                if let Ok(mut found) = found.lock() {
                    found.extend(told);
                }
            }
        });
        Some(Updates { stop, thread, answers })
    }

    /// Stops it; what came of its messages.
    fn end(self) -> Vec<Answer> {
        drop(self.stop);
        let _ = self.thread.join();
        self.answers
            .lock()
            .map(|mut answers| std::mem::take(&mut *answers))
            .unwrap_or_default()
    }
}
