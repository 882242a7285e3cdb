//! An account of the emulator, and steps made from tables as a person writes them.

// A test that is skipped has nobody else to tell why.
#![allow(clippy::print_stderr)]

use std::sync::Mutex;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rollback_aws::{Access, http_client};
use rollback_config::project::{self, StepTable};
use rollback_runbook::check::Check;
use rollback_runbook::step::{Progress, Step, StepError, StepPlan};
use rollback_runtime_aws::{Account, Pace};

use crate::faults::Faults;

pub struct Bench {
    pub account: Account,
    pub faults: Faults,
    runtime: tokio::runtime::Runtime,
    pub config: SdkConfig,
}

impl Bench {
    /// `None`, said on stderr, where the tests run offline.
    pub fn new() -> Option<Bench> {
        Some(Bench::over(http_client(), &Bench::endpoint()?))
    }

    /// Where the emulator is; as [`Bench::new`].
    pub fn endpoint() -> Option<String> {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
        if endpoint.is_none() {
            let offline = std::env::var("INFRA_ROLLBACK_TESTS").is_ok_and(|value| value == "offline");
            assert!(offline, "AWS_ENDPOINT_URL is not set: run the tests by tests/run");
            eprintln!("skipped: the tests run offline");
        }
        endpoint
    }

    /// With somebody else in the emulator's place.
    pub fn over(http: SharedHttpClient, endpoint: &str) -> Bench {
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(endpoint.to_owned()),
            ..Access::default()
        };
        let faults = Faults::default();
        let pace = Pace {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(4),
        };
        let runtime = rollback_aws::runtime().unwrap();
        let config = runtime.block_on(rollback_aws::configuration(&access, http_client()));
        Bench {
            account: Account::through(access, faults.client(http), pace),
            faults,
            runtime,
            config: config.into_builder().endpoint_url(endpoint).build(),
        }
    }

    /// Waits for a call that nothing disturbs.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A step as a person writes it.
    pub fn step(&self, table: &str) -> Box<dyn Step> {
        let table = step_table(table);
        rollback_runtime_aws::step(&table, &self.account).unwrap().unwrap().1
    }

    /// A check as a person writes it.
    pub fn check(&self, table: &str) -> Box<dyn Check> {
        let table = check_table(table);
        rollback_runtime_aws::check(&table, &self.account).unwrap().unwrap().1
    }
}

/// Whether a call changes something.
pub fn is_effect(operation: &str) -> bool {
    !["Describe", "Get", "List", "Filter"]
        .iter()
        .any(|verb| operation.starts_with(verb))
        && !operation.starts_with("GET ")
}

pub fn check_table(text: &str) -> StepTable {
    let text = format!("[[check]]\n{text}");
    project::parse(&text, "infra-rollback.toml").unwrap().checks.remove(0)
}

pub fn step_table(text: &str) -> StepTable {
    project::parse(&format!("[[step]]\n{text}"), "infra-rollback.toml")
        .unwrap()
        .steps
        .remove(0)
}

/// A name that is nobody else's.
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}

/// Keeps what a step tells; wants it to stop at a line of one's choice.
#[derive(Default)]
pub struct Lines {
    pub lines: Mutex<Vec<String>>,
    pub stop_at: Option<&'static str>,
}

impl Lines {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Progress for Lines {
    fn line(&self, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.stop_at.is_some_and(|text| self.text().contains(text))
    }
}

pub fn change(plan: &StepPlan, what: &str) -> (String, String) {
    let change = plan
        .changes
        .iter()
        .find(|change| change.what.starts_with(what))
        .unwrap_or_else(|| panic!("{what} is not in {plan:?}"));
    (
        change.from.clone().unwrap_or_default(),
        change.to.clone().unwrap_or_default(),
    )
}

/// A step's error with its hint.
pub fn said(error: &StepError) -> String {
    format!("{error} ({})", error.hint.as_deref().unwrap_or_default())
}
