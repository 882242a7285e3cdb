//! Watching a deploy for a while, and going back by itself where the checks fail. The record of it lies in the store, so that
//! whoever watches may be killed and another go on, and people can hold or extend it meanwhile.

mod record;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use record::WatchingProcess;
use record::failing;
pub use record::{BEAT, Bake, Decision, Served, Wanted, Watch};
use rollback_release::{Created, Replaced, Version, keys};
use rollback_runbook::checks::ask_once;
use rollback_runbook::step::Silent;
use serde::Deserialize;
use uuid::Uuid;

use crate::again;
use crate::context::Context;
use crate::drill;
use crate::drive::{self, Approver, Options, Outcome};
use crate::error::{EngineError, Kind, Result};
use crate::lease::Life;
use crate::lock::to_bytes;
use crate::run::{Consent, Runs, Status};
use crate::target::Target;
use crate::verification::scrubbed;

/// The longest that one watches: CloudFormation's monitoring time of rollback triggers ends at 180 minutes, too.
pub const LONGEST: Duration = Duration::from_secs(180 * 60);

/// How soon whoever watches hears that it is to stop.
const ATTENTION: Duration = Duration::from_millis(200);

/// How it ended.
pub struct Baked {
    pub bake: Bake,
    pub outcome: Option<Outcome>,
}

/// The bake of this project, finished or not.
///
/// # Errors
/// The store cannot be read.
pub fn current(context: &Context) -> Result<Option<(Bake, Version)>> {
    let Some((bytes, version)) = context.store.get(&keys::bake(&context.project))? else {
        return Ok(None);
    };
    let bake = serde_json::from_slice(&bytes).map_err(|error| {
        EngineError::failed(format!("the record of the bake cannot be read: {error}"))
            .hint("a newer infra-rollback may have written it")
    })?;
    Ok(Some((bake, version)))
}

/// Changes an unfinished bake: for people, while another process watches.
///
/// # Errors
/// There is none.
pub fn decide(context: &Context, what: &str, reason: Option<&str>, change: &dyn Fn(&mut Bake)) -> Result<Bake> {
    for _ in 0..20 {
        let unfinished = current(context)?.filter(|(bake, _)| !bake.status.is_over());
        let (mut bake, version) = unfinished.ok_or_else(|| {
            EngineError::failed("nothing is being watched").hint("`infra-rollback bake --window 30m` begins")
        })?;
        let decision = Decision {
            at: Timestamp::now(),
            by: context.actor.clone(),
            what: what.to_owned(),
            reason: reason.map(str::to_owned),
        };
        bake.decisions.push(decision);
        change(&mut bake);
        if let Replaced::Yes(_) = context
            .store
            .replace(&keys::bake(&context.project), &version, &to_bytes(&bake)?)?
        {
            return Ok(bake);
        }
    }
    Err(EngineError::failed(
        "the record of the bake is written by others all the time",
    ))
}

/// What people say to a bake while it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Word {
    /// Neither end nor roll back until `release`.
    Hold {
        reason: String,
    },
    Release,
    /// Watch longer.
    Extend {
        seconds: u64,
    },
    /// Watch no longer.
    Stop {
        reason: String,
    },
}

/// By how many seconds a bake can be extended at a time: a week.
const LONGEST_EXTENSION: u64 = 7 * 24 * 60 * 60;

/// Says it.
///
/// # Errors
/// As [`decide`], and [`Kind::Usage`](crate::error::Kind::Usage) for an extension that nobody can mean.
pub fn say(context: &Context, word: &Word) -> Result<Bake> {
    match word {
        Word::Hold { reason } => {
            let held = Decision {
                at: Timestamp::now(),
                by: context.actor.clone(),
                what: "hold".to_owned(),
                reason: Some(reason.clone()),
            };
            decide(context, "hold", Some(reason), &|bake| bake.held = Some(held.clone()))
        }
        Word::Release => decide(context, "release", None, &|bake| bake.held = None),
        Word::Extend { seconds } => {
            if *seconds > LONGEST_EXTENSION {
                return Err(EngineError::usage(format!(
                    "a bake is extended by at most {LONGEST_EXTENSION} seconds (a week) at a time"
                )));
            }
            let longer = SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(i64::MAX));
            decide(context, &format!("extend by {seconds} s"), None, &|bake| {
                bake.ends_at = bake.ends_at.checked_add(longer).unwrap_or(bake.ends_at);
            })
        }
        Word::Stop { reason } => decide(context, "stop", Some(reason), &|bake| {
            // A rollback that has begun is ended by `abort`.
            if bake.status == Watch::Watching {
                bake.status = Watch::Stopped;
                bake.ended_at = Some(Timestamp::now());
            }
        }),
    }
}

/// As it is, finished or not; `None` where there was none yet, for which there are the words of [`nothing_watched`].
///
/// # Errors
/// The store cannot be read.
pub fn shown(context: &Context) -> Result<Option<Bake>> {
    Ok(current(context)?.map(|(bake, _)| bake))
}

pub fn nothing_watched() -> EngineError {
    EngineError::failed("nothing was watched yet").hint("`infra-rollback bake --window 30m` begins")
}

/// Watches: an unfinished bake goes on, else a new one begins.
///
/// # Errors
/// Nothing can be watched or gone back to, another process watches, or the rollback ends with an error.
pub fn watch(context: &Context, wanted: &Wanted, approver: &dyn Approver) -> Result<Baked> {
    let mut watcher = Watcher::open(context, wanted)?;
    watcher.until_decided(&|| false)?;
    if watcher.bake.status != Watch::RollingBack {
        return Ok(Baked {
            bake: watcher.bake,
            outcome: None,
        });
    }
    let result = watcher.roll_back(approver);
    let (bake, outcome) = watcher.settle(result)?;
    Ok(Baked { bake, outcome })
}

/// Whoever watches.
pub struct Watcher<'c> {
    context: &'c Context,
    bake: Bake,
    version: Version,
}

impl<'c> Watcher<'c> {
    /// Takes up an unfinished bake that nobody watches any more, or begins a new one.
    ///
    /// # Errors
    /// Nothing can be watched or gone back to; [`Kind::Locked`] where another process watches.
    pub fn open(context: &'c Context, wanted: &Wanted) -> Result<Watcher<'c>> {
        if context.checks.is_empty() {
            return Err(
                EngineError::usage("there is no check in infra-rollback.toml: nothing can be watched")
                    .hint("`infra-rollback verify` says what a check looks like"),
            );
        }
        if let Some((bake, version)) = current(context)?.filter(|(bake, _)| !bake.status.is_over()) {
            nobody_watches(context, &bake, &version, wanted.served.is_none())?;
        }
        if let Some(watcher) = Watcher::take_up(context)? {
            return Ok(watcher);
        }
        let key = keys::bake(&context.project);
        let watcher = Uuid::now_v7().to_string();
        let found = current(context)?;
        let target = match &wanted.rollback {
            None => None,
            // Found out now: in the middle of the night is too late to hear that there is none.
            Some(None) => Some(drill::previous(context)?),
            Some(Some(revision)) => {
                Target::resolve(context, revision)?;
                Some(revision.clone())
            }
        };
        let now = Timestamp::now();
        let window = SignedDuration::try_from(wanted.window).unwrap_or(SignedDuration::ZERO);
        let bake = Bake {
            id: Uuid::now_v7().to_string(),
            started_at: now,
            ends_at: now + window,
            every_seconds: wanted.every.as_secs().max(1),
            times: wanted.times.max(1),
            by: context.actor.clone(),
            target,
            status: Watch::Watching,
            held: None,
            looks: 0,
            failures_in_a_row: 0,
            baseline: wanted
                .compare
                .then(|| scrubbed(context, ask_once(&context.checks, now, &Silent))),
            last: None,
            run: None,
            ended_at: None,
            decisions: Vec::new(),
            watcher,
            watching: Some(WatchingProcess::this()),
            beats: 0,
            served: wanted.served.clone(),
        };
        let bytes = to_bytes(&bake)?;
        let version = match found {
            None => match context.store.create(&key, &bytes)? {
                Created::Yes(version) => version,
                _ => return Err(taken()),
            },
            Some((_, former)) => match context.store.replace(&key, &former, &bytes)? {
                Replaced::Yes(version) => version,
                _ => return Err(taken()),
            },
        };
        Ok(Watcher { context, bake, version })
    }

    /// Takes up the unfinished bake, whoever watches it; none where there is none.
    ///
    /// # Errors
    /// Another process has taken it up at the same moment, or the store cannot be used.
    pub fn take_up(context: &'c Context) -> Result<Option<Watcher<'c>>> {
        let Some((mut bake, version)) = current(context)?.filter(|(bake, _)| !bake.status.is_over()) else {
            return Ok(None);
        };
        context.observer.warning(&format!(
            "the bake that {} began at {:.0} goes on: its window, its interval and where it goes back to stay; what is approved \
             beforehand is what is approved now",
            bake.by, bake.started_at
        ));
        bake.watcher = Uuid::now_v7().to_string();
        bake.watching = Some(WatchingProcess::this());
        bake.beats += 1;
        let key = keys::bake(&context.project);
        match context.store.replace(&key, &version, &to_bytes(&bake)?)? {
            Replaced::Yes(version) => Ok(Some(Watcher { context, bake, version })),
            _ => Err(taken()),
        }
    }

    /// Says that somebody is there, while there is nothing else to say.
    ///
    /// # Errors
    /// Another process watches now, or the store cannot be used.
    pub fn beat(&mut self) -> Result<()> {
        self.update(&|_| {})
    }

    /// As it is now.
    pub fn bake(&self) -> &Bake {
        &self.bake
    }

    /// Asks the checks again and again until it is decided what becomes of the deploy, or until `stop` says so.
    ///
    /// # Errors
    /// Another process watches now, or the store cannot be used.
    pub fn until_decided(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        while self.bake.status == Watch::Watching && !stop() {
            self.look()?;
            let next = Instant::now() + Duration::from_secs(self.bake.every_seconds);
            while self.bake.status == Watch::Watching && !stop() {
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(ATTENTION));
            }
        }
        Ok(())
    }

    /// Asks once, and decides.
    fn look(&mut self) -> Result<()> {
        let asked = ask_once(&self.context.checks, self.bake.started_at, &Silent);
        let asked = scrubbed(self.context, asked);
        let failing = failing(&asked, self.bake.baseline.as_ref());
        self.context.observer.line(&self.bake.in_words(&asked, &failing));
        let now = Timestamp::now();
        let run = Uuid::now_v7().to_string();
        self.update(&|bake| {
            bake.looks += 1;
            bake.failures_in_a_row = if failing.is_empty() {
                0
            } else {
                bake.failures_in_a_row + 1
            };
            bake.last = Some(asked.clone());
            bake.decide(now, &run);
        })
    }

    /// Changes the record; what people have changed meanwhile stays.
    fn update(&mut self, change: &dyn Fn(&mut Bake)) -> Result<()> {
        let key = keys::bake(&self.context.project);
        loop {
            let mut bake = self.bake.clone();
            change(&mut bake);
            bake.beats += 1;
            if let Replaced::Yes(version) = self.context.store.replace(&key, &self.version, &to_bytes(&bake)?)? {
                self.bake = bake;
                self.version = version;
                return Ok(());
            }
            let (found, version) = current(self.context)?.ok_or_else(taken)?;
            // Our own write whose answer was lost is as good as any other that is ours.
            if found.id != self.bake.id || found.watcher != self.bake.watcher {
                return Err(taken());
            }
            self.bake = found;
            self.version = version;
            if self.bake.status.is_over() {
                return Ok(());
            }
        }
    }

    /// Puts on record how the rollback went.
    ///
    /// # Errors
    /// As the rollback itself ended.
    pub fn settle<T>(mut self, result: Result<T>) -> Result<(Bake, T)> {
        let status = match &result {
            Ok(_) => Watch::RolledBack,
            // What waits or stopped halfway goes on with the next `bake`, or `resume`.
            Err(_) if self.run_is_open()? => Watch::RollingBack,
            Err(_) => Watch::Failed,
        };
        self.update(&|bake| {
            bake.status = status;
            bake.ended_at = status.is_over().then(Timestamp::now);
        })?;
        result.map(|outcome| (self.bake, outcome))
    }

    fn run_is_open(&self) -> Result<bool> {
        let runs = Runs::new(self.context.store.as_ref(), &self.context.project);
        let run = self.bake.run.as_deref().map(|run| runs.get(run)).transpose()?.flatten();
        Ok(run.is_some_and(|(run, _)| !run.status.is_over()))
    }

    /// Through the same guards as any rollback. After a crash the very run goes on that was begun, and no second one begins.
    fn roll_back(&self, approver: &dyn Approver) -> Result<Option<Outcome>> {
        let (Some(run), Some(target)) = (&self.bake.run, &self.bake.target) else {
            return Err(EngineError::failed("the record of the bake names no run"));
        };
        let begun = Runs::new(self.context.store.as_ref(), &self.context.project).get(run)?;
        let result = match begun {
            Some((begun, _)) if begun.status == Status::Completed => return Ok(None),
            Some((begun, _)) if begun.status.is_over() => Err(EngineError::new(
                Kind::Refused,
                format!(
                    "the rollback {run} is over ({}), and nothing is rolled back",
                    begun.status.as_str()
                ),
            )),
            Some(_) => again::resume(self.context, Some(run), &Consent::default(), approver),
            None => {
                let options = Options {
                    reason: Some(self.bake.reason()),
                    id: Some(run.clone()),
                    ..Options::default()
                };
                drive::to(self.context, target, &options, approver)
            }
        };
        result.map(Some)
    }
}

/// Whether the process is gone that watched. Of one on another machine only its silence tells, which takes a while; where
/// nobody has time to wait for that it counts as alive.
///
/// # Errors
/// [`Kind::Locked`]: it is there.
fn nobody_watches(context: &Context, bake: &Bake, version: &Version, waits: bool) -> Result<()> {
    let watching = || {
        let who = bake
            .watching
            .as_ref()
            .map_or_else(String::new, |process| format!(" by {process}"));
        EngineError::new(
            Kind::Locked,
            format!(
                "the deploy is being watched already{who}: {} began at {:.0}",
                bake.by, bake.started_at
            ),
        )
        .hint("`infra-rollback bake show` tells how it stands; `bake hold`, `extend` and `stop` decide about it")
    };
    match bake.watching.as_ref().map_or(Life::Unknown, WatchingProcess::life) {
        Life::Dead => return Ok(()),
        Life::Alive => return Err(watching()),
        Life::Unknown if !waits => return Err(watching()),
        Life::Unknown => {}
    }
    context.observer.warning(&format!(
        "the deploy is watched from another machine: waiting up to {} s to see whether anybody still is there",
        bake.silence().as_secs()
    ));
    let over = Instant::now() + bake.silence();
    while Instant::now() < over {
        std::thread::sleep(Duration::from_secs(1).min(bake.silence()));
        match current(context)? {
            Some((_, found)) if found == *version => {}
            _ => return Err(watching()),
        }
    }
    Ok(())
}

fn taken() -> EngineError {
    EngineError::new(Kind::Locked, "another process watches this bake now")
        .hint("`infra-rollback bake show` tells how it stands")
}
