//! `metrics`: a metric of CloudWatch against a bound or against the time before, or the state of an alarm.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{AlarmType, Dimension, Metric, MetricDataQuery, MetricStat, StateValue};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use rollback_config::project::StepTable;
use rollback_runbook::check::{Check, Verdict};
use rollback_runbook::step::StepError;
use rollback_runbook::{Made, Period, SettingsError};
use serde::Deserialize;

use crate::account::Account;
use crate::failure::Call;
use crate::settings::read;

const USUAL_PERIOD: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// An alarm that must not be in ALARM. Instead of all below but `missing`.
    alarm: Option<String>,
    /// `AWS/ApplicationELB`
    namespace: Option<String>,
    /// `HTTPCode_Target_5XX_Count`
    metric: Option<String>,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    /// `Average`, `Sum`, `Maximum`, `p99`, …
    statistic: Option<String>,
    /// Of one value: `"1m"`.
    period: Option<Period>,
    /// No value may be above it.
    at_most: Option<f64>,
    /// No value may be below it.
    at_least: Option<f64>,
    /// The mean may be so many times that of a time before, as long as what is judged.
    at_most_times_before: Option<f64>,
    /// What it means that there is no value: `"fail"`, or `"pass"` for metrics that are told only when something is wrong.
    #[serde(default)]
    missing: Missing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Fail,
    Pass,
}

enum Question {
    Alarm(String),
    Metric {
        metric: Metric,
        name: String,
        statistic: String,
        period: Duration,
        at_most: Option<f64>,
        at_least: Option<f64>,
        at_most_times_before: Option<f64>,
    },
}

struct Metrics {
    account: Account,
    question: Question,
    missing: Missing,
}

pub(crate) fn metrics(table: &StepTable, account: &Account) -> Made<dyn Check> {
    let (common, settings, account): (_, Settings, _) = read("check", table, account)?;
    let check = Metrics {
        account,
        missing: settings.missing,
        question: question(settings, table)?,
    };
    Ok((common, Box::new(check)))
}

fn question(settings: Settings, table: &StepTable) -> Result<Question, SettingsError> {
    let wrong = |message: &str, hint: &str| SettingsError::of("check", table, message).hint(hint);
    let (namespace, name, statistic) = match (settings.alarm, settings.namespace, settings.metric, settings.statistic) {
        (Some(alarm), None, None, None) => return Ok(Question::Alarm(alarm)),
        (None, Some(namespace), Some(metric), Some(statistic)) => (namespace, metric, statistic),
        _ => {
            return Err(wrong(
                "it does not say what is looked at",
                "write alarm = \"NAME\", or namespace = \"AWS/ApplicationELB\", metric = \"…\" and statistic = \"Sum\"",
            ));
        }
    };
    let bounds = [settings.at_most, settings.at_least, settings.at_most_times_before];
    if bounds.iter().all(Option::is_none) {
        return Err(wrong(
            "it has no bound",
            "write at_most = 5, at_least = 1 or at_most_times_before = 1.5",
        ));
    }
    let period = settings.period.map_or(USUAL_PERIOD, |period| period.0);
    let seconds = period.as_secs();
    if seconds != 1 && seconds != 5 && seconds != 10 && seconds != 30 && !seconds.is_multiple_of(60) {
        return Err(wrong(
            "`period` is none of CloudWatch's",
            "write period = \"1m\", or another number of whole minutes",
        ));
    }
    let dimensions = settings.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    Ok(Question::Metric {
        metric: Metric::builder()
            .namespace(namespace)
            .metric_name(&name)
            .set_dimensions(Some(dimensions.collect()))
            .build(),
        name,
        statistic,
        period,
        at_most: settings.at_most,
        at_least: settings.at_least,
        at_most_times_before: settings.at_most_times_before,
    })
}

impl Check for Metrics {
    fn ask(&self, since: Timestamp) -> Result<Verdict, StepError> {
        match &self.question {
            Question::Alarm(name) => self.alarm(name),
            Question::Metric { .. } => self.metric(since, Timestamp::now()),
        }
    }
}

impl Metrics {
    fn alarm(&self, name: &str) -> Result<Verdict, StepError> {
        let what = format!("look at alarm {name}");
        let answer = self
            .account
            .call(&Call::looks(&what, "cloudwatch:DescribeAlarms"), |config| {
                Client::new(config)
                    .describe_alarms()
                    .alarm_names(name)
                    .alarm_types(AlarmType::MetricAlarm)
                    .alarm_types(AlarmType::CompositeAlarm)
                    .send()
            })?;
        let metric = answer
            .metric_alarms
            .unwrap_or_default()
            .into_iter()
            .map(|alarm| (alarm.state_value, alarm.state_reason));
        let composite = answer.composite_alarms.unwrap_or_default().into_iter();
        let composite = composite.map(|alarm| (alarm.state_value, alarm.state_reason));
        let (state, reason) = metric.chain(composite).next().ok_or_else(|| {
            StepError::untouched(format!("there is no alarm {name}"))
                .hint("look at `alarm` and `region` of the table, and at the account (AWS_PROFILE)")
        })?;
        let state = state.unwrap_or(StateValue::InsufficientData);
        let summary = format!("alarm {name} is {}", state.as_str());
        let mut verdict = match state {
            StateValue::Ok => Verdict::passed(summary),
            StateValue::InsufficientData => self.without_value(summary),
            _ => Verdict::failed(summary),
        };
        verdict
            .details
            .extend(reason.filter(|reason| !verdict.passed && !reason.is_empty()));
        Ok(verdict)
    }

    fn metric(&self, since: Timestamp, now: Timestamp) -> Result<Verdict, StepError> {
        let Question::Metric {
            name,
            statistic,
            at_most,
            at_least,
            at_most_times_before,
            ..
        } = &self.question
        else {
            return Err(StepError::untouched("an alarm has no values"));
        };
        let values = self.values(since, now)?;
        let words = format!("{statistic} of {name}");
        if values.is_empty() {
            return Ok(self.without_value(format!("{words} has no value since {}", seconds(since))));
        }
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        if let Some(most) = at_most.filter(|most| highest > *most) {
            return Ok(Verdict::failed(format!(
                "{words} is up to {highest}, at most {most} expected"
            )));
        }
        if let Some(least) = at_least.filter(|least| lowest < *least) {
            return Ok(Verdict::failed(format!(
                "{words} is down to {lowest}, at least {least} expected"
            )));
        }
        let Some(times) = at_most_times_before else {
            return Ok(Verdict::passed(format!("{words} is {lowest} to {highest}")));
        };
        let judged: SignedDuration = now.duration_since(since);
        let before = self.values(since.checked_sub(judged).unwrap_or(Timestamp::MIN), since)?;
        if before.is_empty() {
            return Ok(self.without_value(format!(
                "{words} has no value before {} to compare with",
                seconds(since)
            )));
        }
        let (before, after) = (mean(&before), mean(&values));
        let summary = format!("{words} is {after:.4} on average and was {before:.4}");
        Ok(match after > before * times {
            true => Verdict::failed(format!("{summary}, at most {times} times as much expected")),
            false => Verdict::passed(summary),
        })
    }

    fn without_value(&self, summary: String) -> Verdict {
        match self.missing {
            Missing::Pass => Verdict::passed(summary),
            Missing::Fail => Verdict::failed(format!("{summary} (missing = \"pass\" where that is a good sign)")),
        }
    }

    /// The values from one moment to another, oldest first.
    fn values(&self, from: Timestamp, to: Timestamp) -> Result<Vec<f64>, StepError> {
        let Question::Metric {
            metric,
            name,
            statistic,
            period,
            ..
        } = &self.question
        else {
            return Ok(Vec::new());
        };
        let period_seconds = i32::try_from(period.as_secs()).unwrap_or(i32::MAX);
        let query = MetricDataQuery::builder().id("asked").return_data(true).metric_stat(
            MetricStat::builder()
                .metric(metric.clone())
                .period(period_seconds)
                .stat(statistic)
                .build(),
        );
        let what = format!("read metric {name}");
        let mut values = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self
                .account
                .call(&Call::looks(&what, "cloudwatch:GetMetricData"), |config| {
                    Client::new(config)
                        .get_metric_data()
                        .metric_data_queries(query.clone().build())
                        // What began before, counts from before: only whole periods after it do.
                        .start_time(DateTime::from_secs(up(from, period_seconds)))
                        .end_time(DateTime::from_secs(to.as_second()))
                        .scan_by(aws_sdk_cloudwatch::types::ScanBy::TimestampAscending)
                        .set_next_token(token.take())
                        .send()
                })?;
            let results = page.metric_data_results.unwrap_or_default().into_iter();
            values.extend(results.flat_map(|result| result.values.unwrap_or_default()));
            token = page.next_token;
            if token.is_none() {
                return Ok(values);
            }
        }
    }
}

/// The beginning of the first whole period.
fn up(from: Timestamp, period: i32) -> i64 {
    let (second, period) = (from.as_second(), i64::from(period.max(1)));
    second + (period - second.rem_euclid(period)) % period
}

fn mean(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "there are at most some thousands")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}

fn seconds(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}
