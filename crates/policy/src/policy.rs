//! A compiled bundle and its judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Instant;

use regex::Regex;
use regorus::{Engine, Value as Rego};
use serde::Serialize;
use serde_json::Value;

use crate::apart;
use crate::bounded::bounded;
use crate::bundle::Bundle;
use crate::document::with_aliases;
use crate::engine;
use crate::error::PolicyError;
use crate::evaluation::{Evaluation, Level, RuleError, Verdict};
use crate::judging::{Judged, Question, judge, really_rules};
use crate::limits::Limits;
use crate::metadata::{self, FileMetadata};
use crate::task::{Answer, Task, What};

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
}

/// A bundle that is ready to judge.
pub struct Policy {
    bundle: Bundle,
    /// Filled already; none where every judgement is made in another process.
    engine: Option<Engine>,
    rules: Vec<RuleInfo>,
    exceptions: BTreeSet<String>,
    digest: String,
    limits: Limits,
}

impl Policy {
    /// Parses the modules (each as Rego v1, else as the older Rego), finds the rules and settles their levels.
    ///
    /// # Errors
    /// What cannot be parsed; a bundle without rules; settings that name a rule which there is not.
    pub fn compile(bundle: &Bundle, levels: &Levels, limits: Limits) -> Result<Policy, PolicyError> {
        // Parsed here, whoever judges: mistakes are to be told by their place.
        let mut engine = engine::engine(limits.time);
        let mut rules: BTreeMap<String, RuleInfo> = BTreeMap::new();
        let mut exceptions = BTreeSet::new();
        for (path, text) in bundle.modules() {
            let package = engine::add_module(&mut engine, path, text)?;
            let found = metadata::read(path, text)?;
            if text.contains("exception") {
                exceptions.insert(package.clone());
            }
            for rule in rule_names(text).into_iter().filter(|rule| is_asked(&package, rule)) {
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
        engine::add_data(&mut engine, bundle)?;
        let apart = bundle.is_foreign() && apart::is_possible();
        let names = rules.keys().cloned().collect();
        let names = match apart {
            true => found_apart(bundle, limits, names)?,
            false => really_rules(&mut engine, names),
        };
        let mut rules: Vec<RuleInfo> = names.iter().filter_map(|name| rules.remove(name)).collect();
        if rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        settle(&mut rules, levels)?;
        // Whatever does not depend on an input (a name that is nowhere defined) was found here rather than at night.
        engine.set_input(Rego::new_object());
        Ok(Policy {
            bundle: bundle.clone(),
            engine: (!apart).then_some(engine),
            rules,
            exceptions,
            digest: bundle.digest(),
            limits,
        })
    }

    /// See [`Bundle::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where the bundle came from.
    pub fn origin(&self) -> &str {
        &self.bundle.origin
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
        let questions: Vec<Question> = self
            .rules
            .iter()
            .filter(|rule| !rule.disabled && wanted(rule))
            .map(|rule| Question {
                name: rule.name.clone(),
                level: rule.level,
            })
            .collect();
        let asked = questions.len();
        let outcome = self.judged(questions, text);
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

    fn judged(&self, questions: Vec<Question>, input: String) -> Result<Judged, String> {
        let exceptions = self.exceptions.clone();
        let Some(engine) = &self.engine else {
            let what = What::Judge {
                questions,
                exceptions,
                input,
            };
            return match apart::ask(&Task::new(&self.bundle, self.limits, what), self.limits)? {
                Answer::Judged(judged) => Ok(judged),
                _ => Err("what it said is no answer".to_owned()),
            };
        };
        let (mut engine, time) = (engine.clone(), self.limits.time);
        bounded(self.limits, move || {
            let until = Instant::now() + time;
            let input = Rego::from_json_str(&input).map_err(|error| error.to_string())?;
            engine.set_input(with_aliases(input));
            Ok(judge(&mut engine, &questions, &exceptions, until))
        })
    }
}

/// Which of the names are rules, as another process finds out.
fn found_apart(bundle: &Bundle, limits: Limits, candidates: Vec<String>) -> Result<Vec<String>, PolicyError> {
    let unbounded = |reason: String| PolicyError::Unbounded {
        origin: bundle.origin.clone(),
        reason,
    };
    match apart::ask(&Task::new(bundle, limits, What::Find { candidates }), limits).map_err(unbounded)? {
        Answer::Found(found) => Ok(found),
        _ => Err(unbounded("what it said is no answer".to_owned())),
    }
}

/// Every word of the text that a rule could be called: more than there are rules, but never fewer.
fn rule_names(text: &str) -> BTreeSet<String> {
    RULE_NAME
        .find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

/// Spacelift asks for `deny` and `warn` alone, and its policies have lists called `deny_list` beside them: no rules there.
fn is_asked(package: &str, rule: &str) -> bool {
    package != "spacelift" || !rule.contains('_')
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
    }
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

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
