//! `verify`: asks the checks of infra-rollback.toml.

use jiff::Timestamp;
use rollback_engine::context::{Located, Place};
use rollback_engine::error::Result;
use rollback_engine::verification::{AtRest, Verified, at_rest, choose, no_check};
use rollback_engine::words::counted;
use rollback_runbook::checks::{Asked, Verification, verify};
use rollback_runbook::step::Progress;
use serde_json::json;

use crate::arguments::{Global, VariableArguments, VerifyArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Tells what comes while one waits, on stderr.
struct Notes<'o>(&'o Output);

impl Progress for Notes<'_> {
    fn line(&self, text: &str) {
        self.0.note(Tone::Faint, text);
    }
}

/// 0 where all pass, 3 where one does not.
pub fn run(global: &Global, arguments: &VerifyArguments, output: &Output) -> Result<u8> {
    let located = Located::find(&Place {
        folder: &std::env::current_dir()?,
        settings_file: global.config.as_deref(),
        stacks: &global.stacks,
    })?;
    let checks = choose(session::checks(&located)?, &arguments.checks)?;
    if checks.is_empty() && !arguments.terraform {
        return Err(no_check());
    }
    let asked = match checks.is_empty() {
        true => None,
        false => Some(verify(&checks, Timestamp::now(), arguments.within, &Notes(output))),
    };
    let stacks = match arguments.terraform {
        true => Some(at_rest(&session::open(global, &VariableArguments::default(), output)?)?),
        false => None,
    };
    Ok(tell(output, &Verified::new(asked, stacks)))
}

/// What was found; 3 where something does not pass.
pub fn tell(output: &Output, verified: &Verified) -> u8 {
    print_checks(output, &verified.checks);
    verified
        .stacks
        .iter()
        .flatten()
        .for_each(|stack| print_stack(output, stack));
    output.document(&json!(verified));
    if verified.passed { 0 } else { 3 }
}

/// What the checks of a run say.
pub fn print(output: &Output, asked: &Verification) {
    print_checks(output, &asked.checks);
}

/// A line for each check, and what there is to say of those that do not pass.
fn print_checks(output: &Output, checks: &[Asked]) {
    let widest = |column: fn(&Asked) -> &str| checks.iter().map(|check| column(check).chars().count()).max();
    let name = widest(|check| &check.name).unwrap_or(0);
    let kind = widest(|check| &check.kind).unwrap_or(0);
    for check in checks {
        let (sign, tone) = match (check.passed, check.answered) {
            (true, _) => ("✓", Tone::Good),
            (false, true) => ("✗", Tone::Danger),
            (false, false) => ("?", Tone::Danger),
        };
        let again = if check.times > 1 {
            format!(" ({} times asked)", check.times)
        } else {
            String::new()
        };
        output.toned(
            tone,
            &format!(
                "{sign} {:name$}  {:kind$}  {}{again}",
                check.name, check.kind, check.summary
            ),
        );
        if !check.passed || check.details.iter().any(|line| line.starts_with('✗')) {
            check
                .details
                .iter()
                .for_each(|line| output.line(&format!("    {line}")));
        }
        if let Some(hint) = &check.hint {
            output.line(&format!("    → {hint}"));
        }
    }
}

fn print_stack(output: &Output, stack: &AtRest) {
    let commit = &stack.commit[..stack.commit.len().min(10)];
    if stack.passed {
        output.toned(
            Tone::Good,
            &format!("✓ {}: terraform has nothing left to do ({commit})", stack.stack),
        );
        return;
    }
    output.toned(
        Tone::Danger,
        &format!(
            "✗ {}: terraform would change {} to what {commit} says",
            stack.stack,
            counted(stack.changes.len(), "object")
        ),
    );
    stack
        .changes
        .iter()
        .for_each(|change| output.line(&format!("    {change}")));
}
