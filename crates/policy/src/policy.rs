//! A compiled bundle and its judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use regex::Regex;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value as Rego};
use serde::Serialize;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::document::with_aliases;
use crate::error::PolicyError;
use crate::evaluation::{Evaluation, Finding, Level, RuleError, Verdict};
use crate::limits::{Limits, resident_memory};
use crate::literals::for_engine;
use crate::metadata::{self, FileMetadata};

/// Names that Conftest looks for, too: `deny`, `violation`, `warn`, with or without a suffix.
static RULE_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:deny|violation|warn)(?:_[A-Za-z0-9_]+)?\b").unwrap_or_else(|_| unreachable!()));

/// How binding rules are, from the project's settings.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Of `deny` and `violation` rules that say nothing themselves; hard-mandatory where nothing is set.
    pub default: Option<Level>,
    /// By rule, whatever the rule says itself.
    pub rules: BTreeMap<String, Level>,
    /// Rules that are not asked.
    pub disabled: BTreeSet<String>,
    /// Only rules of these packages (and below them) are asked; empty for all.
    pub namespaces: Vec<String>,
}

/// One rule of a compiled policy.
#[derive(Clone, Debug, Serialize)]
pub struct RuleInfo {
    /// `package.rule`, without `data.`.
    pub name: String,
    pub level: Level,
    pub disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip)]
    package: String,
    #[serde(skip)]
    rule: String,
}

/// A bundle that is ready to judge.
pub struct Policy {
    engine: Engine,
    rules: Vec<RuleInfo>,
    exceptions: BTreeSet<String>,
    digest: String,
    origin: String,
    limits: Limits,
}

impl Policy {
    /// Parses the modules (each as Rego v1, else as the older Rego), finds the rules and settles their levels.
    ///
    /// # Errors
    /// What cannot be parsed; a bundle without rules; settings that name a rule which there is not.
    pub fn compile(bundle: &Bundle, levels: &Levels, limits: Limits) -> Result<Policy, PolicyError> {
        let mut engine = engine(limits.time);
        let mut rules: BTreeMap<String, RuleInfo> = BTreeMap::new();
        let mut exceptions = BTreeSet::new();
        for (path, text) in bundle.modules() {
            let package = add_module(&mut engine, path, text)?;
            let found = metadata::read(path, text)?;
            if text.contains("exception") {
                exceptions.insert(package.clone());
            }
            for rule in rule_names(text) {
                let name = format!("{package}.{rule}");
                let info = info(&package, &rule, &found, levels);
                match rules.entry(name) {
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(info);
                    }
                    // A package in several files: the strictest wins.
                    std::collections::btree_map::Entry::Occupied(mut place) => {
                        let known = place.get_mut();
                        known.title = known.title.take().or(info.title);
                        if declares(&found, &rule) {
                            known.level = known.level.max(info.level);
                        }
                    }
                }
            }
        }
        add_data(&mut engine, bundle)?;
        let mut rules = really_rules(&mut engine, rules.into_values().collect())?;
        if rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        settle(&mut rules, levels)?;
        Ok(Policy {
            engine,
            rules,
            exceptions,
            digest: bundle.digest(),
            origin: bundle.origin.clone(),
            limits,
        })
    }

    /// See [`Bundle::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where the bundle came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The rules by name.
    pub fn rules(&self) -> &[RuleInfo] {
        &self.rules
    }

    /// The rules that a person means by `name`: the whole name, its package, or the package's last part.
    ///
    /// # Errors
    /// [`PolicyError::UnknownRule`]
    pub fn rules_named(&self, what: &'static str, name: &str) -> Result<Vec<String>, PolicyError> {
        named(&self.rules, what, name)
    }

    /// Judges a document. `overrides` are names of soft-mandatory rules (see [`Policy::rules_named`]) that somebody who
    /// may do so overrides. What cannot be judged comes back as [`Verdict::None`], never as a pass.
    pub fn evaluate(&self, input: &Value, overrides: &[String]) -> Evaluation {
        self.evaluate_where(input, overrides, |_| true)
    }

    /// As [`Policy::evaluate`], asking the rules of one package only; none where no such rule is on.
    pub fn evaluate_package(&self, package: &str, input: &Value, overrides: &[String]) -> Option<Evaluation> {
        let is_one = |rule: &RuleInfo| rule.package == package;
        let any = self.rules.iter().any(|rule| is_one(rule) && !rule.disabled);
        any.then(|| self.evaluate_where(input, overrides, is_one))
    }

    fn evaluate_where(&self, input: &Value, overrides: &[String], wanted: impl Fn(&RuleInfo) -> bool) -> Evaluation {
        let none = |reason: String| Evaluation::without_verdict(&self.digest, reason);
        let mut overridden = BTreeSet::new();
        for name in overrides {
            match self.rules_named("--override-policy", name) {
                Ok(found) => overridden.extend(found),
                Err(error) => return none(error.to_string()),
            }
        }
        let Ok(text) = serde_json::to_string(input) else {
            return none("the input cannot be written as JSON".to_owned());
        };
        if text.len() > self.limits.input {
            return none(format!(
                "the input is {} MiB, more than the {} that a policy is given",
                text.len() >> 20,
                self.limits.input >> 20
            ));
        }
        let mut engine = self.engine.clone();
        let rules: Vec<RuleInfo> = self
            .rules
            .iter()
            .filter(|rule| !rule.disabled && wanted(rule))
            .cloned()
            .collect();
        let exceptions = self.exceptions.clone();
        let (asked, time) = (rules.len(), self.limits.time);
        let outcome = bounded(self.limits, move || {
            let until = Instant::now() + time;
            let input = Rego::from_json_str(&text).map_err(|error| error.to_string())?;
            engine.set_input(with_aliases(input));
            Ok(judge(&mut engine, &rules, &exceptions, until))
        });
        match outcome {
            Ok(mut judged) => {
                for finding in &mut judged.findings {
                    finding.overridden = finding.level == Level::SoftMandatory && overridden.contains(&finding.rule);
                }
                let mut evaluation = Evaluation::new(
                    &self.digest,
                    asked,
                    judged.passed,
                    judged.exceptions,
                    judged.findings,
                    judged.errors,
                );
                if asked == 0 {
                    evaluation.verdict = Verdict::None;
                    evaluation.errors.push(RuleError {
                        rule: "(bundle)".to_owned(),
                        message: "every rule is disabled or outside of the namespaces: nothing was judged".to_owned(),
                    });
                }
                evaluation
            }
            Err(reason) => none(reason),
        }
    }
}

/// What one pass over the rules brought.
struct Judged {
    findings: Vec<Finding>,
    errors: Vec<RuleError>,
    passed: usize,
    exceptions: usize,
}

pub(crate) fn engine(time: Duration) -> Engine {
    let mut engine = Engine::new();
    // A built-in function that fails would otherwise be undefined, and the rule silent.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: time,
        check_interval: NonZeroU32::new(64).unwrap_or(NonZeroU32::MIN),
    });
    engine
}

/// Adds a module and returns its package without `data.`.
pub(crate) fn add_module(engine: &mut Engine, path: &str, text: &str) -> Result<String, PolicyError> {
    let wrong = |reason: String| PolicyError::Rego {
        file: path.to_owned(),
        reason,
    };
    let text = for_engine(text);
    engine.set_rego_v0(false);
    let package = match engine.add_policy(path.to_owned(), text.clone().into_owned()) {
        Ok(package) => package,
        Err(newer) => {
            engine.set_rego_v0(true);
            engine
                .add_policy(path.to_owned(), text.clone().into_owned())
                .map_err(|older| match text.contains("rego.v1") || text.contains(" if ") {
                    true => wrong(format!("{newer:#}").trim().to_owned()),
                    false => wrong(format!("{older:#}").trim().to_owned()),
                })?
        }
    };
    let package = package.strip_prefix("data.").unwrap_or(&package).to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if !package.chars().all(plain) {
        return Err(wrong(format!(
            "package {package}: only packages of plain names are judged"
        )));
    }
    Ok(package)
}

pub(crate) fn add_data(engine: &mut Engine, bundle: &Bundle) -> Result<(), PolicyError> {
    let data = bundle.data()?;
    if data.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(());
    }
    engine
        .add_data_json(&data.to_string())
        .map_err(|error| PolicyError::Data {
            file: bundle.origin.clone(),
            reason: format!("{error:#}"),
        })
}

/// Every word of the text that a rule could be called: more than there are rules, but never fewer.
fn rule_names(text: &str) -> BTreeSet<String> {
    RULE_NAME
        .find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

fn declares(found: &FileMetadata, rule: &str) -> bool {
    found.package.custom.level.is_some() || found.rules.get(rule).is_some_and(|own| own.custom.level.is_some())
}

fn info(package: &str, rule: &str, found: &FileMetadata, levels: &Levels) -> RuleInfo {
    let own = found.rules.get(rule).cloned().unwrap_or_default();
    let level = own.custom.level.or(found.package.custom.level).unwrap_or({
        if rule.starts_with("warn") {
            Level::Advisory
        } else {
            levels.default.unwrap_or(Level::HardMandatory)
        }
    });
    RuleInfo {
        name: format!("{package}.{rule}"),
        level,
        disabled: false,
        title: own.title.or_else(|| found.package.title.clone()),
        description: own.description.or_else(|| found.package.description.clone()),
        package: package.to_owned(),
        rule: rule.to_owned(),
    }
}

/// Leaves out the words that are no rules. The engine says so by the error it has for a path that leads to none.
fn really_rules(engine: &mut Engine, candidates: Vec<RuleInfo>) -> Result<Vec<RuleInfo>, PolicyError> {
    engine.set_input(Rego::new_object());
    let mut rules = Vec::new();
    for candidate in candidates {
        match engine.eval_rule(format!("data.{}", candidate.name)) {
            Err(error) if error.to_string().contains("not a valid rule path") => {
                // The head of a rule may go on: `deny["a"]`, `deny.a`. Then there is something below the name.
                if is_below(engine, &candidate.name) {
                    rules.push(candidate);
                }
            }
            // An error of the empty input is the rule's own affair; one of the whole bundle shows at the first rule.
            _ => rules.push(candidate),
        }
    }
    // Whatever does not depend on an input (a name that is nowhere defined) is found here rather than at night.
    engine.set_input(Rego::new_object());
    Ok(rules)
}

fn is_below(engine: &mut Engine, name: &str) -> bool {
    let Some((package, rule)) = name.rsplit_once('.') else {
        return false;
    };
    let words = engine.eval_query(format!("data.{package}[\"{rule}\"]"), false);
    words.is_ok_and(|results| {
        results
            .result
            .iter()
            .flat_map(|result| &result.expressions)
            .any(|expression| expression.value != Rego::Undefined)
    })
}

/// Applies the settings' own levels and switches.
fn settle(rules: &mut [RuleInfo], levels: &Levels) -> Result<(), PolicyError> {
    for (name, level) in &levels.rules {
        for hit in named(rules, "[policy.levels]", name)? {
            rules
                .iter_mut()
                .filter(|rule| rule.name == hit)
                .for_each(|rule| rule.level = *level);
        }
    }
    for name in &levels.disabled {
        for hit in named(rules, "`disabled`", name)? {
            rules
                .iter_mut()
                .filter(|rule| rule.name == hit)
                .for_each(|rule| rule.disabled = true);
        }
    }
    if !levels.namespaces.is_empty() {
        let wanted = |package: &str| {
            levels.namespaces.iter().any(|name| {
                package == name
                    || package
                        .strip_prefix(name.as_str())
                        .is_some_and(|rest| rest.starts_with('.'))
            })
        };
        rules
            .iter_mut()
            .filter(|rule| !wanted(&rule.package))
            .for_each(|rule| rule.disabled = true);
    }
    Ok(())
}

fn named(rules: &[RuleInfo], what: &'static str, name: &str) -> Result<Vec<String>, PolicyError> {
    let last = |package: &str| package.rsplit('.').next().unwrap_or(package).to_owned();
    let hits: Vec<String> = rules
        .iter()
        .filter(|rule| rule.name == name || rule.package == name || last(&rule.package) == name)
        .map(|rule| rule.name.clone())
        .collect();
    if !hits.is_empty() {
        return Ok(hits);
    }
    let nearest = rules
        .iter()
        .map(|rule| last(&rule.package))
        .find(|known| known.contains(name) || name.contains(known.as_str()));
    Err(PolicyError::UnknownRule {
        what,
        name: name.to_owned(),
        nearest,
    })
}

/// Runs on a thread of its own with room for deep recursion, and stops waiting when time or memory are used up.
pub(crate) fn bounded<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let before = resident_memory();
    let started = Instant::now();
    let thread = std::thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(64 << 20)
        .spawn(move || {
            let _ = sender.send(work());
        });
    if let Err(error) = thread {
        return Err(format!("no thread to judge on: {error}"));
    }
    // The engine looks at the clock itself; what it does not look at (one long function) ends here.
    let last = limits.time + Duration::from_secs(1);
    let mut pause = Duration::from_millis(2);
    loop {
        match receiver.recv_timeout(pause) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err("the policy engine gave up on this policy".to_owned()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if started.elapsed() > last {
            return Err(format!("there was no verdict within {} s", limits.time.as_secs_f64()));
        }
        if let (Some(before), Some(now)) = (before, resident_memory())
            && now.saturating_sub(before) > limits.memory
        {
            return Err(format!("it used more than {} MiB", limits.memory >> 20));
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn judge(engine: &mut Engine, rules: &[RuleInfo], exceptions: &BTreeSet<String>, until: Instant) -> Judged {
    let mut judged = Judged {
        findings: Vec::new(),
        errors: Vec::new(),
        passed: 0,
        exceptions: 0,
    };
    for rule in rules {
        if Instant::now() >= until {
            judged.errors.push(RuleError {
                rule: rule.name.clone(),
                message: "the time was up before it was asked".to_owned(),
            });
            continue;
        }
        match ask(engine, rule) {
            Ok(messages) if messages.is_empty() => judged.passed += 1,
            Ok(messages) => match excepted(engine, rule, exceptions) {
                Ok(true) => judged.exceptions += messages.len(),
                Ok(false) => judged.findings.extend(messages),
                Err(message) => judged.errors.push(RuleError {
                    rule: rule.name.clone(),
                    message,
                }),
            },
            Err(message) => judged.errors.push(RuleError {
                rule: rule.name.clone(),
                message,
            }),
        }
    }
    judged
}

fn query(engine: &mut Engine, text: String) -> Result<Vec<Rego>, String> {
    let results = engine
        .eval_query(text, false)
        .map_err(|error| format!("{error:#}").trim().to_owned())?;
    Ok(results
        .result
        .into_iter()
        .flat_map(|result| result.expressions)
        .map(|expression| expression.value)
        .collect())
}

fn ask(engine: &mut Engine, rule: &RuleInfo) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for value in query(engine, format!("data.{}", rule.name))? {
        if value != Rego::Undefined {
            messages(rule, &json(&value)?, &mut findings)?;
        }
    }
    Ok(findings)
}

fn json(value: &Rego) -> Result<Value, String> {
    let text = value.to_json_str().map_err(|error| format!("{error:#}"))?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// Reads a rule's result in the shapes that are in use: a set or list of texts or objects with `msg`, one text, one
/// object, an object whose keys are the texts, true and false.
fn messages(rule: &RuleInfo, value: &Value, findings: &mut Vec<Finding>) -> Result<(), String> {
    let finding = |message: String, address: Option<String>| Finding {
        rule: rule.name.clone(),
        level: rule.level,
        message,
        address,
        overridden: false,
    };
    match value {
        Value::Array(items) => {
            for item in items {
                findings.push(match item {
                    Value::String(text) => finding(text.clone(), None),
                    Value::Object(object) => of_object(object).map_or_else(
                        || finding(item.to_string(), None),
                        |(message, address)| finding(message, address),
                    ),
                    other => finding(other.to_string(), None),
                });
            }
        }
        Value::String(text) => findings.push(finding(text.clone(), None)),
        Value::Bool(true) => findings.push(finding(format!("{} is true", rule.name), None)),
        Value::Bool(false) => {}
        Value::Object(object) => match of_object(object) {
            Some((message, address)) => findings.push(finding(message, address)),
            None => findings.extend(
                object
                    .iter()
                    .filter(|(_, value)| **value != Value::Bool(false))
                    .map(|(key, _)| finding(key.clone(), None)),
            ),
        },
        Value::Null | Value::Number(_) => return Err(format!("its result is {value}, which is no verdict")),
    }
    Ok(())
}

/// `msg` and where it is about one object its address.
fn of_object(object: &serde_json::Map<String, Value>) -> Option<(String, Option<String>)> {
    let text = ["msg", "message"]
        .iter()
        .find_map(|key| object.get(*key).and_then(Value::as_str))?;
    let address = ["address", "resource"]
        .iter()
        .find_map(|key| object.get(*key).and_then(Value::as_str));
    Some((text.to_owned(), address.map(str::to_owned)))
}

/// Conftest's exceptions: `exception contains rules if { rules := ["name"] }` takes back what `deny_name` said.
fn excepted(engine: &mut Engine, rule: &RuleInfo, packages: &BTreeSet<String>) -> Result<bool, String> {
    if !packages.contains(&rule.package) {
        return Ok(false);
    }
    let suffix = rule.rule.split_once('_').map_or("", |(_, suffix)| suffix);
    let values = query(engine, format!("data.{}.exception[_][_] == \"{suffix}\"", rule.package))?;
    Ok(values.contains(&Rego::Bool(true)))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
