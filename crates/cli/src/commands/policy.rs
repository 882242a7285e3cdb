//! `policy test`, `check`, `show`, `input`: the policy that judges rollbacks, looked at and asked.

use std::io::Read;
use std::path::{Path, PathBuf};

use regex::Regex;
use rollback_config::project::PolicySection;
use rollback_engine::drive::Options;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::planning;
use rollback_engine::policy::{self, Gate};
use rollback_engine::target::Target;
use rollback_policy::{Bundle, Evaluation, Level, Limits, Policy, TestEnd, run_tests};
use rollback_terraform::Plan;
use serde_json::{Value, json};

use crate::arguments::{Global, PolicyCheckArguments, PolicyCommand, VariableArguments};
use crate::commands::to::consent;
use crate::output::{Output, Tone};
use crate::session;

/// 0 where it is well, 1 where a test failed, 3 where the policy refuses.
pub fn run(global: &Global, command: &PolicyCommand, output: &Output) -> Result<u8> {
    match command {
        PolicyCommand::Test { bundle, run } => test(global, bundle.as_deref(), run.as_deref(), output),
        PolicyCommand::Check(arguments) => check(global, arguments, output),
        PolicyCommand::Show { bundle } => show(global, bundle, output).map(|()| 0),
        PolicyCommand::Input { revision, variables } => input(global, revision, variables, output).map(|()| 0),
    }
}

/// `[policy]` of the project that one stands in, and the folder that its paths count from; the defaults outside of any.
fn settings(global: &Global) -> Result<(PolicySection, PathBuf)> {
    let (project, folder) = session::settings_here(global)?;
    Ok((project.policy, folder))
}

/// Puts the bundles that were named in the place of the project's.
fn choose(section: &mut PolicySection, bundles: &[PathBuf], namespaces: &[String]) -> Result<()> {
    if !bundles.is_empty() {
        section.bundles = bundles
            .iter()
            .map(|path| Ok(std::path::absolute(path)?.to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        section.default = false;
        // They name rules of the project's own bundle.
        section.levels.clear();
        section.disabled.clear();
    }
    if !namespaces.is_empty() {
        section.namespaces = namespaces.to_vec();
    }
    Ok(())
}

fn test(global: &Global, bundle: Option<&Path>, wanted: Option<&str>, output: &Output) -> Result<u8> {
    let wanted = wanted
        .map(|text| Regex::new(text).map_err(|error| EngineError::usage(format!("--run: {error}"))))
        .transpose()?;
    let bundle = match bundle {
        Some(path) => {
            Bundle::read(path).map_err(|error| policy::refused(&error).kind(rollback_engine::error::Kind::Failed))?
        }
        None => {
            let (section, root) = settings(global)?;
            policy::bundle_of(&section, &root)?
        }
    };
    let report = run_tests(&bundle, wanted.as_ref(), Limits::default())
        .map_err(|error| EngineError::failed(error.to_string()).hint("mend the file, then run it again"))?;
    if report.tests.is_empty() {
        return Err(EngineError::failed(format!("there are no tests in {}", bundle.origin))
            .hint("a test is a rule whose name begins with test_, such as `test_deny if { count(deny) == 1 with input as {…} }`"));
    }
    for case in &report.tests {
        let bad = matches!(case.end, TestEnd::Fail | TestEnd::Error);
        if bad || global.verbose > 0 {
            let tone = if bad { Tone::Danger } else { Tone::Good };
            let word = match case.end {
                TestEnd::Pass => "PASS",
                TestEnd::Fail => "FAIL",
                TestEnd::Error => "ERROR",
                TestEnd::Skipped => "SKIPPED",
            };
            output.toned(
                tone,
                &format!(
                    "data.{}.{}: {word} ({:.1}ms)",
                    case.package,
                    case.name,
                    case.seconds * 1000.0
                ),
            );
            output.toned(Tone::Faint, &format!("  {}", case.file));
            if let Some(message) = &case.message {
                output.line(&format!("  {}", message.replace('\n', "\n  ")));
            }
        }
    }
    let all = report.tests.len();
    for (word, end, tone) in [
        ("PASS", TestEnd::Pass, Tone::Good),
        ("FAIL", TestEnd::Fail, Tone::Danger),
        ("ERROR", TestEnd::Error, Tone::Danger),
        ("SKIPPED", TestEnd::Skipped, Tone::Warning),
    ] {
        let count = report.count(end);
        if count > 0 || end == TestEnd::Pass {
            output.toned(tone, &format!("{word}: {count}/{all}"));
        }
    }
    output.document(&json!({
        "bundle": bundle.origin,
        "digest": bundle.digest(),
        "passed": report.count(TestEnd::Pass),
        "failed": report.count(TestEnd::Fail),
        "errors": report.count(TestEnd::Error),
        "skipped": report.count(TestEnd::Skipped),
        "tests": report.tests,
    }));
    Ok(u8::from(!report.is_good()))
}

fn compile(section: &PolicySection, root: &Path) -> Result<Policy> {
    Policy::compile(
        &policy::bundle_of(section, root)?,
        &policy::levels(section)?,
        Limits::default(),
    )
    .map_err(|error| policy::refused(&error))
}

fn check(global: &Global, arguments: &PolicyCheckArguments, output: &Output) -> Result<u8> {
    let consent = consent(&arguments.consent, arguments.reason.as_deref(), &Default::default());
    let results: Vec<(String, Evaluation)> = if let Some(revision) = &arguments.revision {
        let mut context = session::open(global, &arguments.variables, output)?;
        choose(&mut context.settings.policy, &arguments.bundle, &arguments.namespace)?;
        let target = Target::resolve(&context, revision)?;
        let options = Options {
            consent,
            reason: arguments.reason.clone(),
            ..Options::default()
        };
        planning::evaluations(&context, &target, &options)?
    } else {
        let (mut section, root) = settings(global)?;
        choose(&mut section, &arguments.bundle, &arguments.namespace)?;
        let (name, document) = document(global, arguments)?;
        let evaluation = compile(&section, &root)?.evaluate(&document, &consent.policy);
        vec![(name, evaluation)]
    };
    tell_results(output, &results)
}

/// What the policy says of each subject; 3 where it refuses.
///
/// # Errors
/// There is none.
pub fn tell_results(output: &Output, results: &[(String, Evaluation)]) -> Result<u8> {
    if results.is_empty() {
        return Err(EngineError::refused(
            "there was nothing to judge, and so there is no verdict",
        ));
    }
    let (mut passed, mut warnings, mut failures, mut exceptions) = (0, 0, 0, 0);
    for (subject, evaluation) in results {
        for finding in &evaluation.findings {
            let (word, tone) = if finding.refuses() {
                ("FAIL", Tone::Danger)
            } else {
                ("WARN", Tone::Warning)
            };
            let over = if finding.overridden { ", overridden" } else { "" };
            output.toned(
                tone,
                &format!(
                    "{word} - {subject} - {} ({}{over}) - {}",
                    finding.rule, finding.level, finding.message
                ),
            );
        }
        for error in &evaluation.errors {
            output.toned(
                Tone::Danger,
                &format!("ERROR - {subject} - {} - no verdict: {}", error.rule, error.message),
            );
        }
        passed += evaluation.passed;
        exceptions += evaluation.exceptions;
        failures += evaluation.refusals().count() + evaluation.errors.len();
        warnings += evaluation.findings.len() - evaluation.refusals().count();
    }
    output.line("");
    output.line(&format!(
        "{} tests, {passed} passed, {warnings} warnings, {failures} failures, {exceptions} exceptions",
        passed + warnings + failures + exceptions
    ));
    let verdict = results.iter().map(|(_, evaluation)| evaluation.verdict).max();
    let allows = verdict.is_some_and(|verdict| verdict.allows());
    let soft = results
        .iter()
        .flat_map(|(_, evaluation)| evaluation.refusals())
        .find(|finding| finding.level == Level::SoftMandatory);
    if let Some(finding) = soft {
        output.note(
            Tone::Faint,
            &format!(
                "a run may override it: --override-policy {} --reason TEXT",
                finding.rule
            ),
        );
    }
    output.document(&json!({
        "verdict": verdict,
        "allowed": allows,
        "results": results.iter().map(|(subject, evaluation)| json!({ "subject": subject, "evaluation": evaluation }))
            .collect::<Vec<_>>(),
    }));
    Ok(if allows { 0 } else { 3 })
}

/// A plan's JSON, masked, or any document as it is.
fn document(global: &Global, arguments: &PolicyCheckArguments) -> Result<(String, Value)> {
    let read = |path: &Path| -> Result<Vec<u8>> {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        std::fs::read(path).map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", path.display())))
    };
    if let Some(path) = &arguments.plan {
        let plan =
            Plan::parse(read(path)?).map_err(|error| rollback_engine::terraform_error(error).during(path.display()))?;
        let document = policy::plan_document(&plan, &session::knowledge_here(global)?);
        return Ok((path.display().to_string(), document));
    }
    let path = arguments
        .input
        .as_deref()
        .ok_or_else(|| EngineError::usage("name a revision, --plan or --input"))?;
    let value = serde_json::from_slice(&read(path)?).map_err(|error| {
        EngineError::failed(format!(
            "{} is no JSON (line {}, column {})",
            path.display(),
            error.line(),
            error.column()
        ))
    })?;
    Ok((path.display().to_string(), value))
}

fn show(global: &Global, bundles: &[PathBuf], output: &Output) -> Result<()> {
    let (mut section, root) = settings(global)?;
    choose(&mut section, bundles, &[])?;
    let compiled = compile(&section, &root)?;
    // Freeze windows and the like are read as well: what is wrong with them is better said here than at night.
    let gate = Gate::with(compiled, &section)?;
    let compiled = gate.policy();
    output.heading(&format!("Policy: {}", compiled.origin()));
    output.line(&format!("  digest {}", compiled.digest()));
    for rule in compiled.rules() {
        let off = if rule.disabled { ", off" } else { "" };
        output.line(&format!("  {} ({}{off})", rule.name, rule.level));
        if let Some(title) = &rule.title {
            output.toned(Tone::Faint, &format!("      {title}"));
        }
    }
    output.document(&json!({
        "origin": compiled.origin(),
        "digest": compiled.digest(),
        "rules": compiled.rules(),
    }));
    Ok(())
}

fn input(global: &Global, revision: &str, variables: &VariableArguments, output: &Output) -> Result<()> {
    let context = session::open(global, variables, output)?;
    let target = Target::resolve(&context, revision)?;
    let options = Options::default();
    let documents = planning::policy_documents(&context, &target, &options)?;
    drop(context);
    tell_input(output, &documents);
    Ok(())
}

/// It is a document whatever was asked for: that is what it is for.
pub fn tell_input(output: &Output, documents: &[Value]) {
    let output = Output::of_document(output);
    match documents {
        [one] => output.document(one),
        several => output.document(&Value::Array(several.to_vec())),
    }
}
