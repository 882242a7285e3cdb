//! Asks all checks, side by side, each until it passes or the patience with it is over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{NamedCheck, Repetition};
use crate::check::Verdict;
use crate::step::{Progress, StepError};

/// What came out of asking all checks; without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    pub passed: bool,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub checks: Vec<Asked>,
}

/// One check and its last answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub name: String,
    pub kind: String,
    pub passed: bool,
    /// `false`: it could not be asked, and `summary` says why.
    pub answered: bool,
    pub summary: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How many times it was asked.
    pub times: u32,
    pub milliseconds: u64,
    /// When the answers that made it pass began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passing_since: Option<Timestamp>,
}

impl Verification {
    /// The names of those that did not pass.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.checks.iter().filter(|check| !check.passed);
        failed.map(|check| check.name.as_str()).collect()
    }
}

/// Asks all checks about what happens `since`. Where a check's own settings say nothing, `patience` is for how long it is
/// asked until it passes; zero asks once.
pub fn verify(checks: &[NamedCheck], since: Timestamp, patience: Duration, progress: &dyn Progress) -> Verification {
    ask_all(checks, since, progress, |repetition| Repetition {
        within: repetition.within.or(Some(patience)),
        ..repetition
    })
}

/// Asks all checks once, whatever their settings say: what it is like at this moment.
pub fn ask_once(checks: &[NamedCheck], since: Timestamp, progress: &dyn Progress) -> Verification {
    ask_all(checks, since, progress, |repetition| Repetition {
        within: None,
        times: 1,
        ..repetition
    })
}

fn ask_all(
    checks: &[NamedCheck],
    since: Timestamp,
    progress: &dyn Progress,
    repetition: impl Fn(Repetition) -> Repetition,
) -> Verification {
    let started_at = Timestamp::now();
    let asked: Vec<Asked> = std::thread::scope(|scope| {
        let threads: Vec<_> = checks
            .iter()
            .map(|check| {
                let repetition = repetition(check.repetition);
                scope.spawn(move || repeat(check, since, repetition, progress))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    Verification {
        passed: asked.iter().all(|check| check.passed),
        started_at,
        ended_at: Timestamp::now(),
        checks: asked,
    }
}

fn repeat(check: &NamedCheck, since: Timestamp, repetition: Repetition, progress: &dyn Progress) -> Asked {
    let patience = repetition.within.unwrap_or(Duration::ZERO);
    let begun = Instant::now();
    let mut times = 0;
    let mut in_a_row = 0;
    let mut passing_since = None;
    let mut said = None;
    loop {
        let asked_at = Timestamp::now();
        let answer = check.check.ask(since);
        times += 1;
        let passed = answer.as_ref().is_ok_and(|verdict| verdict.passed);
        if passed {
            in_a_row += 1;
            passing_since.get_or_insert(asked_at);
        } else {
            in_a_row = 0;
            passing_since = None;
        }
        let enough = in_a_row >= repetition.times;
        // A check that passes is asked so many times in a row, however short the patience is.
        let over = !passed && begun.elapsed() + repetition.every > patience;
        if enough || over || progress.is_cancelled() {
            let asked = told(check, answer, enough, times, begun.elapsed(), passing_since);
            progress.line(&one_line(&asked));
            return asked;
        }
        let now = summary(&answer);
        if !passed && said.as_ref() != Some(&now) {
            progress.line(&format!("… {}: {now}", check.name));
            said = Some(now);
        }
        std::thread::sleep(repetition.every);
    }
}

fn summary(answer: &Result<Verdict, StepError>) -> String {
    match answer {
        Ok(verdict) => verdict.summary.clone(),
        Err(error) => error.message.clone(),
    }
}

fn one_line(asked: &Asked) -> String {
    let sign = if asked.passed { "✓" } else { "✗" };
    format!("{sign} {}: {}", asked.name, asked.summary)
}

fn told(
    check: &NamedCheck,
    answer: Result<Verdict, StepError>,
    passed: bool,
    times: u32,
    took: Duration,
    passing_since: Option<Timestamp>,
) -> Asked {
    let answered = answer.is_ok();
    let summary = summary(&answer);
    let (details, hint) = match answer {
        Ok(verdict) => (verdict.details, None),
        Err(error) => (Vec::new(), error.hint),
    };
    Asked {
        name: check.name.clone(),
        kind: check.kind.clone(),
        passed,
        answered,
        summary,
        details,
        hint,
        times,
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        passing_since: passing_since.filter(|_| passed),
    }
}
