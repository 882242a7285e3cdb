//! `endpoints`: the critical ones of an API, side by side.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_config::project::StepTable;
use serde::Deserialize;

use super::expectation::{Expectation, Statuses};
use super::request::{Manner, Probe, parse};
use super::{error, made};
use crate::check::{Check, Verdict};
use crate::settings::{Common, Made, Period, read};
use crate::step::StepError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What the paths are below.
    base: String,
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    headers_environment: BTreeMap<String, String>,
    latency: Option<Period>,
    allow_private: Option<bool>,
    #[serde(default)]
    proxy: bool,
}

#[derive(Debug)]
struct Endpoint(Described);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    path: String,
    method: Option<String>,
    body: Option<String>,
    #[serde(default)]
    status: Statuses,
    contains: Option<String>,
}

/// A path alone, or a table.
impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(path) => Ok(Endpoint(Described {
                path,
                method: None,
                body: None,
                status: Statuses::default(),
                contains: None,
            })),
            value => Described::deserialize(value)
                .map(Endpoint)
                .map_err(|error| serde::de::Error::custom(error.message())),
        }
    }
}

/// At most so many are asked at once.
const AT_ONCE: usize = 8;

pub(super) struct Endpoints {
    probes: Vec<Probe>,
}

pub(super) fn of_table(table: &StepTable) -> Made<dyn Check> {
    let (common, own): (Common, Settings) = read("check", table)?;
    let wrong = |message: String| error(table, message);
    if own.endpoints.is_empty() {
        return Err(wrong("`endpoints` is empty".into()).hint("write endpoints = [\"/health\"]"));
    }
    let mut base = parse(&own.base).map_err(wrong)?;
    // Joined to `https://host/v1`, `/users` would lose the `v1`.
    let prefix = base.path().trim_end_matches('/').to_owned();
    base.set_query(None);
    let manner = Manner {
        headers: own.headers,
        headers_environment: own.headers_environment,
        timeout: common.timeout,
        allow_private: own.allow_private,
        proxy: own.proxy,
    };
    let mut probes = Vec::new();
    for Endpoint(endpoint) in own.endpoints {
        let path = endpoint.path.trim_start_matches('/');
        let url = base
            .join(&format!("{prefix}/{path}"))
            .map_err(|error| wrong(format!("{:?} cannot be a path: {error}", endpoint.path)))?;
        let expect = Expectation {
            status: endpoint.status,
            contains: endpoint.contains.into_iter().collect(),
            latency: own.latency.map(|latency| latency.0),
            ..Expectation::default()
        };
        let probe = Probe::new(endpoint.method.as_deref(), url.as_str(), endpoint.body, expect, &manner);
        probes.push(probe.map_err(|message| wrong(format!("{}: {message}", endpoint.path)))?);
    }
    made(common, Endpoints { probes })
}

impl Check for Endpoints {
    fn ask(&self, _: Timestamp) -> Result<Verdict, StepError> {
        let mut passed = 0;
        let mut details = Vec::new();
        for group in self.probes.chunks(AT_ONCE) {
            let answers: Vec<_> = std::thread::scope(|scope| {
                let asked: Vec<_> = group.iter().map(|probe| scope.spawn(|| probe.ask())).collect();
                asked
                    .into_iter()
                    .map(|asked| asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            for (probe, answer) in group.iter().zip(answers) {
                let answer = answer?;
                passed += usize::from(answer.passed);
                let sign = if answer.passed { "✓" } else { "✗" };
                details.push(format!("{sign} {}: {}", probe.title(), answer.summary));
            }
        }
        Ok(Verdict {
            passed: passed == self.probes.len(),
            summary: format!("{passed} of {} endpoints answer as they should", self.probes.len()),
            details,
        })
    }
}
