//! The checks of the project before and after the effects of a run, and a plan of what is deployed.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use rollback_runbook::SettingsError;
use rollback_runbook::checks::{Asked, NamedCheck, Verification, ask_once, verify};
use rollback_runbook::step::{Progress, Silent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::{Context, Stack};
use crate::deployed;
use crate::drive::Drive;
use crate::error::{EngineError, Kind, Result};
use crate::journal::{CheckMoment, Event};
use crate::live::Live;
use crate::observe::{Observer, Stage};
use crate::prepare::{Request, prepare};
use crate::target::Target;

/// For how long a check that says nothing of it is asked after a run's effects: services need a moment to come up.
const PATIENCE: Duration = Duration::from_secs(120);

impl Drive<'_> {
    /// Begins to ask what it is like before the first effect, beside the planning: that must not take longer because
    /// something does not answer. It stops nothing: that something is broken is why one rolls back.
    pub(crate) fn begin_asking(&self) -> Option<JoinHandle<Verification>> {
        let asked = self.journal.entries().iter().any(|entry| {
            matches!(
                entry.event,
                Event::Checked {
                    moment: CheckMoment::Before,
                    ..
                }
            )
        });
        let skipped = self.run.consent.skip_checks.is_some() || self.context.checks.is_empty();
        if asked || skipped || self.journal.has_effect() {
            return None;
        }
        let checks = Arc::clone(&self.context.checks);
        Some(std::thread::spawn(move || ask_once(&checks, Timestamp::now(), &Silent)))
    }

    /// Puts on record what [`Drive::begin_asking`] has found.
    pub(crate) fn record_before(&mut self, asked: Option<JoinHandle<Verification>>) -> Result<()> {
        let Some(asked) = asked else { return Ok(()) };
        self.context.observer.stage("checks", Stage::Checking);
        let verification = asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.record(CheckMoment::Before, &scrubbed(self.context, verification))
    }

    /// Asks after the last effect, until all pass or patience is over.
    ///
    /// # Errors
    /// One does not pass: what the run was for is not reached, so that it has stopped halfway.
    pub(crate) fn ask_after(&mut self) -> Result<Option<Verification>> {
        if self.skips_checks()? {
            return Ok(None);
        }
        let ended = self.journal.entries().iter().rev();
        let mut ended = ended.filter(|entry| matches!(entry.event, Event::StackDone { .. } | Event::StepDone { .. }));
        let since = ended.next().map_or_else(Timestamp::now, |entry| entry.at);
        self.context.observer.stage("checks", Stage::Checking);
        let verification = ask(self.context, since, PATIENCE);
        self.record(CheckMoment::After, &verification)?;
        match verification.passed {
            true => Ok(Some(verification)),
            false => Err(self.does_not_pass(&verification)),
        }
    }

    /// Without checks, or with a person's reason to go without them, which goes on record.
    fn skips_checks(&mut self) -> Result<bool> {
        if self.context.checks.is_empty() {
            return Ok(true);
        }
        let Some(reason) = self.run.consent.skip_checks.clone() else {
            return Ok(false);
        };
        let known = self
            .journal
            .entries()
            .iter()
            .any(|entry| matches!(&entry.event, Event::ChecksSkipped { reason: known, .. } if *known == reason));
        if !known {
            self.journal.append(Event::ChecksSkipped {
                by: self.context.actor.clone(),
                reason,
            })?;
        }
        Ok(true)
    }

    fn record(&mut self, moment: CheckMoment, verification: &Verification) -> Result<()> {
        self.journal.append(Event::Checked {
            moment,
            verification: verification.clone(),
        })
    }

    fn does_not_pass(&self, verification: &Verification) -> EngineError {
        let before = self.journal.entries().iter().find_map(|entry| match &entry.event {
            Event::Checked {
                moment: CheckMoment::Before,
                verification,
            } => Some(verification.failed()),
            _ => None,
        });
        let before = before.unwrap_or_default();
        let lines = verification.checks.iter().filter(|check| !check.passed).map(|check| {
            let already = if before.contains(&check.name.as_str()) {
                " (it did not pass before the run either)"
            } else {
                ""
            };
            format!("{}: {}{already}", check.name, check.summary)
        });
        let lines: Vec<String> = lines.collect();
        let error = EngineError::new(
            Kind::Halfway,
            format!(
                "everything is rolled back, and {} of {} checks do not pass:\n  {}",
                lines.len(),
                verification.checks.len(),
                lines.join("\n  ")
            ),
        );
        let hints = verification.checks.iter().filter_map(|check| check.hint.clone());
        hints.fold(error, EngineError::hint).hint(format!(
            "`infra-rollback resume {} --skip-checks REASON` ends it as it is",
            self.run.id
        ))
    }
}

/// Asks all checks of the project; what they say while one waits goes to the observer. No secret that is known comes out.
pub fn ask(context: &Context, since: Timestamp, patience: Duration) -> Verification {
    let checks = Arc::clone(&context.checks);
    let verification = watched(context.observer.as_ref(), move |progress| {
        verify(&checks, since, patience, progress)
    });
    scrubbed(context, verification)
}

/// Runs something that tells its progress from threads of its own.
pub(crate) fn watched<T: Send>(observer: &dyn Observer, run: impl FnOnce(&dyn Progress) -> T + Send) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let running = scope.spawn(move || run(&Lines(Mutex::new(sender))));
        for line in receiver {
            observer.line(&line);
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Brings lines to the thread that may speak.
struct Lines(Mutex<mpsc::Sender<String>>);

impl Progress for Lines {
    fn line(&self, text: &str) {
        if let Ok(sender) = self.0.lock() {
            let _ = sender.send(text.to_owned());
        }
    }
}

pub(crate) fn scrubbed(context: &Context, verification: Verification) -> Verification {
    let scrub = |text: String| context.secrets.scrub(&text);
    Verification {
        checks: verification
            .checks
            .into_iter()
            .map(|check| Asked {
                summary: scrub(check.summary),
                details: check.details.into_iter().map(scrub).collect(),
                ..check
            })
            .collect(),
        ..verification
    }
}

/// # Errors
/// A check of one of these names is not there.
pub fn check_names(known: &[&str], names: &[String]) -> Result<()> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(
            EngineError::usage(format!("there is no check {unknown}")).hint(match known {
                [] => "infra-rollback.toml has no [[check]]".to_owned(),
                known => format!("the checks are: {}", known.join(", ")),
            }),
        ),
    }
}

/// What `verify` finds: what the checks say, and whether what is deployed is at rest.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verified {
    pub passed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub checks: Vec<Asked>,
    /// None where terraform was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stacks: Option<Vec<AtRest>>,
}

impl Verified {
    pub fn new(asked: Option<Verification>, stacks: Option<Vec<AtRest>>) -> Verified {
        let checks_pass = asked.as_ref().is_none_or(|asked| asked.passed);
        let at_rest = stacks.iter().flatten().all(|stack| stack.passed);
        Verified {
            passed: checks_pass && at_rest,
            started_at: asked.as_ref().map(|asked| asked.started_at),
            ended_at: asked.as_ref().map(|asked| asked.ended_at),
            checks: asked.map(|asked| asked.checks).unwrap_or_default(),
            stacks,
        }
    }
}

/// Only these checks, by name.
///
/// # Errors
/// One is not there.
pub fn choose(checks: Vec<NamedCheck>, names: &[String]) -> Result<Vec<NamedCheck>> {
    let known: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    check_names(&known, names)?;
    let chosen = checks
        .into_iter()
        .filter(|check| names.is_empty() || names.contains(&check.name));
    Ok(chosen.collect())
}

/// There is nothing to ask.
pub fn no_check() -> EngineError {
    EngineError::usage("there is no check in infra-rollback.toml")
        .hint("write one, such as:\n    [[check]]\n    kind = \"http\"\n    url  = \"https://api.example.com/health\"")
        .hint("kinds are http, endpoints, postgres, command, logs and metrics; the README tells what each takes")
        .hint("`infra-rollback verify --terraform` plans what is deployed: it needs no check")
}

/// What terraform would still do to a stack whose deployed configuration is planned.
#[derive(Debug, Serialize, Deserialize)]
pub struct AtRest {
    pub stack: String,
    pub commit: String,
    /// Nothing is left to do.
    pub passed: bool,
    /// `update terraform_data.a`
    pub changes: Vec<String>,
}

/// Plans what is deployed over what is live, with real terraform, for each stack. Nothing is changed.
///
/// # Errors
/// It cannot be planned.
pub fn at_rest(context: &Context) -> Result<Vec<AtRest>> {
    let folder = context.run_folder(&format!("verify-{}", Uuid::now_v7()));
    let found = context
        .stacks
        .iter()
        .map(|stack| one_at_rest(context, stack, &folder.join(&stack.name)))
        .collect();
    // It holds states and plans: it must not stay behind.
    let _ = std::fs::remove_dir_all(&folder);
    found
}

fn one_at_rest(context: &Context, stack: &Stack, folder: &std::path::Path) -> Result<AtRest> {
    context.observer.stage(&stack.name, Stage::ReadingState);
    let live = Live::read(context, stack)?;
    let deployed = deployed::find(context, stack, live.state())?;
    let target = match deployed.release {
        Some((release, _)) => Target::of_release(context, release)?,
        None => Target::of_commit(context, deployed.commit.as_str(), deployed.commit.clone())?,
    };
    let request = Request {
        stack,
        target: &target,
        deployed: Some(&deployed.commit),
        targets: &[],
        gate: None,
        folder: Some(folder),
    };
    let prepared = prepare(context, &request)?;
    let plan = prepared.prepared().and_then(|prepared| prepared.plan);
    let changes: Vec<String> = plan
        .iter()
        .flat_map(|plan| &plan.resource_changes)
        .filter(|change| !change.is_untouched() && !change.reads())
        .map(|change| {
            let actions = change.change.actions.iter().map(|action| action.as_str());
            format!("{} {}", actions.collect::<Vec<_>>().join("+"), change.address)
        })
        .collect();
    Ok(AtRest {
        stack: stack.name.clone(),
        commit: deployed.commit.to_string(),
        passed: changes.is_empty(),
        changes,
    })
}

impl From<SettingsError> for EngineError {
    fn from(error: SettingsError) -> Self {
        let ours = EngineError::usage(error.message);
        match error.hint {
            Some(hint) => ours.hint(hint),
            None => ours,
        }
    }
}
