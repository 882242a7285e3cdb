//! What infra-rollback.toml asks for, tried before the night in which it is needed: the policy compiles, every step can be seen,
//! and whoever is to be told can be.

use rollback_engine::context::Context;
use rollback_engine::policy::Gate;
use rollback_engine::words::counted;
use rollback_runbook::step::{Binding, StepError};

use super::Examination;

pub(super) fn examine(examination: &mut Examination<'_>, context: &Context) {
    policy(examination, context);
    steps(examination, context);
    channels(examination, context);
}

fn policy(examination: &mut Examination<'_>, context: &Context) {
    match Gate::open(context) {
        Ok(gate) => {
            let rules = counted(gate.policy().rules().len(), "rule");
            examination.good("policy", &format!("{rules}, bundle {:.12}", gate.policy().digest()));
        }
        Err(error) => examination.bad("policy", &error.message, &error.hints),
    }
}

fn steps(examination: &mut Examination<'_>, context: &Context) {
    let looked: Vec<Result<Binding, StepError>> = std::thread::scope(|scope| {
        let looking: Vec<_> = context
            .parts
            .iter()
            .map(|part| scope.spawn(|| part.step.look()))
            .collect();
        looking
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for (part, looked) in context.parts.iter().zip(looked) {
        let what = format!("step {}", part.name);
        match looked {
            Ok(_) => examination.good(&what, &format!("{} can be seen", part.kind)),
            Err(error) => {
                let skip = format!("until then `--skip-step {}` goes back without it", part.name);
                let hints: Vec<String> = error.hint.into_iter().chain([skip]).collect();
                examination.bad(&what, &context.secrets.scrub(&error.message), &hints);
            }
        }
    }
}

/// Nothing is sent: whoever would be told in an examination takes it for an incident.
fn channels(examination: &mut Examination<'_>, context: &Context) {
    for channel in context.notices.channels.iter() {
        let what = format!("notify {}", channel.name);
        let unset: Vec<&str> = channel
            .channel
            .needs()
            .into_iter()
            .filter(|name| is_unset(name))
            .collect();
        if unset.is_empty() {
            examination.good(&what, &format!("{} has what it needs", channel.kind));
            continue;
        }
        let named: Vec<String> = unset.iter().map(|name| format!("${name}")).collect();
        examination.bad(
            &what,
            &format!("{} not set: nobody would be told", named.join(", ")),
            &[format!("set {} where infra-rollback runs", unset.join(" and "))],
        );
    }
}

fn is_unset(variable: &str) -> bool {
    std::env::var(variable).map_or(true, |value| value.trim().is_empty())
}
