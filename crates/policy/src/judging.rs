//! Asking the rules, one by one, and reading what they say.

use std::collections::BTreeSet;
use std::time::Instant;

use regorus::{Engine, Value as Rego};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evaluation::{Finding, Level, RuleError};

/// A rule to be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// `package.rule`, without `data.`.
    pub name: String,
    pub level: Level,
}

impl Question {
    fn package(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(package, _)| package)
    }

    fn rule(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(_, rule)| rule)
    }
}

/// What one pass over the rules brought.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub findings: Vec<Finding>,
    pub errors: Vec<RuleError>,
    pub passed: usize,
    pub exceptions: usize,
}

/// Of the names, those of rules. The engine says so by the error it has for a path that leads to none.
pub(crate) fn really_rules(engine: &mut Engine, candidates: Vec<String>) -> Vec<String> {
    engine.set_input(Rego::new_object());
    let mut rules = Vec::new();
    for candidate in candidates {
        match engine.eval_rule(format!("data.{candidate}")) {
            Err(error) if error.to_string().contains("not a valid rule path") => {
                // The head of a rule may go on: `deny["a"]`, `deny.a`. Then there is something below the name.
                if is_below(engine, &candidate) {
                    rules.push(candidate);
                }
            }
            // An error of the empty input is the rule's own affair; one of the whole bundle shows at the first rule.
            _ => rules.push(candidate),
        }
    }
    rules
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

/// Asks until the time is up.
pub(crate) fn judge(engine: &mut Engine, rules: &[Question], exceptions: &BTreeSet<String>, until: Instant) -> Judged {
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

fn ask(engine: &mut Engine, rule: &Question) -> Result<Vec<Finding>, String> {
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
fn messages(rule: &Question, value: &Value, findings: &mut Vec<Finding>) -> Result<(), String> {
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
fn excepted(engine: &mut Engine, rule: &Question, packages: &BTreeSet<String>) -> Result<bool, String> {
    if !packages.contains(rule.package()) {
        return Ok(false);
    }
    let suffix = rule.rule().split_once('_').map_or("", |(_, suffix)| suffix);
    let values = query(
        engine,
        format!("data.{}.exception[_][_] == \"{suffix}\"", rule.package()),
    )?;
    Ok(values.contains(&Rego::Bool(true)))
}
