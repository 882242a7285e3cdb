//! `logs`: how often something stands in a log group since what is judged began.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatchlogs::Client;
use jiff::Timestamp;
use rollback_config::project::StepTable;
use rollback_runbook::check::{Check, Verdict};
use rollback_runbook::step::StepError;
use rollback_runbook::{Made, Period, SettingsError};
use serde::Deserialize;

use crate::account::Account;
use crate::failure::Call;
use crate::settings::read;

/// A busy group is read page by page; this is how long, where nothing is said.
const USUAL_PATIENCE: Duration = Duration::from_secs(60);

/// The longest that a line may be that is shown.
const LONGEST_SHOWN: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `/ecs/backend`
    group: String,
    /// A filter pattern of CloudWatch Logs: `ERROR`, `?ERROR ?FATAL`, `{ $.status >= 500 }`. By default every event.
    filter: Option<String>,
    /// How many events there may be. 0 where neither this nor `at_least` is said.
    at_most: Option<usize>,
    /// How many there must be: `filter = "Server started"`.
    at_least: Option<usize>,
    /// Nothing further back than this is read.
    window: Option<Period>,
    /// How many of the events the answer shows. By default none: a line of a log may have a secret in it.
    #[serde(default)]
    show: usize,
}

struct Logs {
    account: Account,
    settings: Settings,
    patience: Duration,
}

pub(crate) fn logs(table: &StepTable, account: &Account) -> Made<dyn Check> {
    let (common, mut settings, account): (_, Settings, _) = read("check", table, account)?;
    if settings.at_most.is_none() && settings.at_least.is_none() {
        if settings.filter.is_none() {
            return Err(
                SettingsError::of("check", table, "it does not say what may not stand in the log")
                    .hint("write filter = \"ERROR\", or at_least = 1 for a log that must not be silent"),
            );
        }
        settings.at_most = Some(0);
    }
    let check = Logs {
        account,
        settings,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, Box::new(check)))
}

/// What was found, counted no further than needed.
struct Found {
    count: usize,
    /// There may be more.
    more: bool,
    lines: Vec<String>,
}

impl Check for Logs {
    fn ask(&self, since: Timestamp) -> Result<Verdict, StepError> {
        let start = self.start(since);
        let found = self.find(start)?;
        let settings = &self.settings;
        let too_many = settings.at_most.is_some_and(|most| found.count > most);
        let too_few = settings.at_least.is_some_and(|least| found.count < least);
        let events = format!(
            "{}{} events{} in {} since {}",
            if found.more { "at least " } else { "" },
            found.count,
            settings
                .filter
                .as_ref()
                .map(|filter| format!(" of {filter}"))
                .unwrap_or_default(),
            settings.group,
            start.round(jiff::Unit::Second).unwrap_or(start)
        );
        let mut verdict = match (too_many, too_few) {
            (true, _) => Verdict::failed(format!(
                "{events}, at most {} expected",
                settings.at_most.unwrap_or_default()
            )),
            (_, true) => Verdict::failed(format!(
                "{events}, at least {} expected",
                settings.at_least.unwrap_or_default()
            )),
            _ => Verdict::passed(events),
        };
        verdict.details = found.lines;
        Ok(verdict)
    }
}

impl Logs {
    fn start(&self, since: Timestamp) -> Timestamp {
        let window = self
            .settings
            .window
            .and_then(|window| jiff::SignedDuration::try_from(window.0).ok());
        let earliest = window.and_then(|window| Timestamp::now().checked_sub(window).ok());
        earliest.map_or(since, |earliest| earliest.max(since))
    }

    fn find(&self, start: Timestamp) -> Result<Found, StepError> {
        let settings = &self.settings;
        // More than this changes no answer.
        let enough = settings
            .at_most
            .map_or(settings.at_least.unwrap_or_default(), |most| most + 1);
        let what = format!("read log group {}", settings.group);
        let begun = Instant::now();
        let mut found = Found {
            count: 0,
            more: false,
            lines: Vec::new(),
        };
        let mut token: Option<String> = None;
        loop {
            let page = self
                .account
                .call(&Call::looks(&what, "logs:FilterLogEvents"), |config| {
                    Client::new(config)
                        .filter_log_events()
                        .log_group_name(&settings.group)
                        .set_filter_pattern(settings.filter.clone())
                        .start_time(start.as_millisecond())
                        .set_next_token(token.take())
                        .send()
                });
            let page = page.map_err(|refusal| match refusal.is(&["ResourceNotFoundException"]) {
                true => StepError::untouched(format!("there is no log group {}", settings.group))
                    .hint("look at `group` and `region` of the table, and at the account (AWS_PROFILE)"),
                false => refusal.error,
            })?;
            for event in page.events.unwrap_or_default() {
                found.count += 1;
                if found.lines.len() < settings.show {
                    let line = event.message.unwrap_or_default();
                    let line = line.chars().filter(|char| !char.is_control()).take(LONGEST_SHOWN);
                    found.lines.push(line.collect());
                }
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(found);
            }
            if found.count >= enough.max(settings.show) && enough > 0 {
                found.more = true;
                return Ok(found);
            }
            if begun.elapsed() > self.patience {
                return Err(StepError::untouched(format!(
                    "cannot {what} to its end within {} s",
                    self.patience.as_secs()
                ))
                .hint("say window = \"10m\" in the table, a narrower filter, or a longer timeout"));
            }
        }
    }
}
