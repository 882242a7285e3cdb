//! `policy test`: rules called `test_…` in any package, as `opa test` and `conftest verify` run them. Tests that are not ours run
//! one by one in a process of its own each ([`crate::apart`]): one that asks for all memory is an error of that test alone.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Instant;

use regex::Regex;
use regorus::{Engine, Value as Rego};
use serde::Serialize;

use crate::apart;
use crate::bounded::bounded;
use crate::bundle::Bundle;
use crate::engine::{add_data, add_module, engine};
use crate::error::PolicyError;
use crate::limits::Limits;
use crate::task::{Answer, Task, What};

/// The head of a test at the beginning of a line; `todo_test_…` is skipped, as `opa test` does.
static TEST_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^(?:default[ \t]+)?((?:todo_)?test_[A-Za-z0-9_]*)\b").unwrap_or_else(|_| unreachable!())
});

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestEnd {
    Pass,
    /// False or undefined.
    Fail,
    /// It could not be evaluated.
    Error,
    Skipped,
}

/// One test.
#[derive(Clone, Debug, Serialize)]
pub struct TestCase {
    pub package: String,
    pub name: String,
    pub file: String,
    pub end: TestEnd,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub seconds: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TestReport {
    pub tests: Vec<TestCase>,
}

impl TestReport {
    /// How many ended so.
    pub fn count(&self, end: TestEnd) -> usize {
        self.tests.iter().filter(|test| test.end == end).count()
    }

    /// Whether none failed. No test at all is for the caller to judge.
    pub fn is_good(&self) -> bool {
        self.count(TestEnd::Fail) + self.count(TestEnd::Error) == 0
    }
}

/// Runs the tests of a bundle whose `package.name` matches.
///
/// # Errors
/// What cannot be parsed.
pub fn run_tests(bundle: &Bundle, wanted: Option<&Regex>, limits: Limits) -> Result<TestReport, PolicyError> {
    let mut prepared = engine(limits.time);
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    for (path, text) in bundle.modules().chain(bundle.tests()) {
        let package = add_module(&mut prepared, path, text)?;
        for hit in TEST_NAME.captures_iter(text) {
            found.insert((package.clone(), hit[1].to_owned()), path.to_owned());
        }
    }
    add_data(&mut prepared, bundle)?;
    let is_apart = bundle.is_foreign() && apart::is_possible();
    let mut report = TestReport::default();
    for ((package, name), file) in found {
        let whole = format!("{package}.{name}");
        if wanted.is_some_and(|wanted| !wanted.is_match(&whole)) {
            continue;
        }
        let begun = Instant::now();
        let (end, message) = if name.starts_with("todo_") {
            (TestEnd::Skipped, None)
        } else {
            let passed = match is_apart {
                true => elsewhere(bundle, whole, limits),
                false => here(prepared.clone(), whole, limits),
            };
            match passed {
                Ok(true) => (TestEnd::Pass, None),
                Ok(false) => (TestEnd::Fail, None),
                Err(message) => (TestEnd::Error, Some(message)),
            }
        };
        report.tests.push(TestCase {
            package,
            name,
            file,
            end,
            message,
            seconds: begun.elapsed().as_secs_f64(),
        });
    }
    Ok(report)
}

fn here(mut engine: Engine, name: String, limits: Limits) -> Result<bool, String> {
    bounded(limits, move || passes(&mut engine, &name))
}

fn elsewhere(bundle: &Bundle, name: String, limits: Limits) -> Result<bool, String> {
    match apart::ask(&Task::new(bundle, limits, What::Test { name }), limits)? {
        Answer::Tested { passed } => Ok(passed),
        _ => Err("what it said is no answer".to_owned()),
    }
}

/// Whether a rule is anything but false or undefined.
pub(crate) fn passes(engine: &mut Engine, name: &str) -> Result<bool, String> {
    let value = engine
        .eval_rule(format!("data.{name}"))
        .map_err(|error| format!("{error:#}").trim().to_owned())?;
    Ok(!matches!(value, Rego::Undefined | Rego::Bool(false)))
}
