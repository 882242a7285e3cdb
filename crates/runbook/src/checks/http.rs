//! `http`: one request, the runbook's health check.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rollback_config::project::StepTable;
use serde::Deserialize;

use super::expectation::{Expectation, Statuses, json};
use super::request::{Manner, Probe};
use super::{error, made};
use crate::check::{Check, Verdict};
use crate::settings::{Common, Made, Period, read};
use crate::step::StepError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    headers_environment: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    status: Statuses,
    contains: Option<String>,
    #[serde(default)]
    json: BTreeMap<String, toml::Value>,
    #[serde(default)]
    expect_headers: BTreeMap<String, String>,
    latency: Option<Period>,
    retries: Option<u32>,
    interval: Option<Period>,
    allow_private: Option<bool>,
    #[serde(default)]
    proxy: bool,
}

/// One request, sent again as often as settings allow before its failure counts.
pub(super) struct Http {
    probe: Probe,
    retries: u32,
    interval: Duration,
}

pub(super) fn of_table(table: &StepTable) -> Made<dyn Check> {
    let (common, own): (Common, Settings) = read("check", table)?;
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    if let Some(pointer) = own
        .json
        .keys()
        .find(|pointer| !pointer.is_empty() && !pointer.starts_with('/'))
    {
        return Err(error(table, format!("`{pointer}` under `json` is no JSON pointer"))
            .hint(format!("write \"/{}\"", pointer.replace('.', "/"))));
    }
    let expect = Expectation {
        status: own.status,
        contains: own.contains.into_iter().collect(),
        json: own
            .json
            .iter()
            .map(|(pointer, value)| (pointer.clone(), json(value)))
            .collect(),
        headers: own.expect_headers.into_iter().map(lower).collect(),
        latency: own.latency.map(|latency| latency.0),
    };
    let manner = Manner {
        headers: own.headers,
        headers_environment: own.headers_environment,
        timeout: common.timeout,
        allow_private: own.allow_private,
        proxy: own.proxy,
    };
    let probe = Probe::new(own.method.as_deref(), &own.url, own.body, expect, &manner);
    let check = Http {
        probe: probe.map_err(|message| error(table, message))?,
        retries: own.retries.unwrap_or(0),
        interval: own.interval.map_or(Duration::from_secs(1), |interval| interval.0),
    };
    made(common, check)
}

impl Check for Http {
    fn ask(&self, _: Timestamp) -> Result<Verdict, StepError> {
        let mut verdict = self.probe.ask()?;
        for _ in 0..self.retries {
            if verdict.passed {
                break;
            }
            std::thread::sleep(self.interval);
            verdict = self.probe.ask()?;
        }
        verdict.summary = format!("{}: {}", self.probe.title(), verdict.summary);
        Ok(verdict)
    }
}
