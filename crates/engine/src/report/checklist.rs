//! The runbook's quick checklist, as far as the journal tells what of it is done.

use rollback_runbook::notify::Phase;

use super::journal::stacks;
use super::{AskedAt, Item, Sources};
use crate::journal::Event;
use crate::run::Status;

pub(super) fn checklist(sources: &Sources<'_>, after: Option<&AskedAt>) -> Vec<Item> {
    let Sources { run, journal, .. } = *sources;
    let has = |wanted: &dyn Fn(&Event) -> bool| journal.iter().any(|entry| wanted(&entry.event));
    let delivered =
        |wanted: Phase| has(&|event| matches!(event, Event::Notified { phase, error: None, .. } if *phase == wanted));
    let item = |item: &'static str, done: bool, note: Option<String>| Item {
        item: item.to_owned(),
        done,
        note,
    };
    let invited = has(&|event| {
        matches!(event, Event::Notified { channel, phase: Phase::End, error: None }
            if sources.inviting.contains(&channel.as_str()))
    });
    let over = run.status.is_over();
    let at_rest = stacks(run, journal)
        .iter()
        .all(|stack| stack.changes_left.is_none_or(|left| left == 0));
    let verified = match after {
        Some(asked) => asked.passed,
        None => run.status == Status::Completed && at_rest,
    };
    vec![
        item(
            "Identify the issue and confirm rollback is necessary",
            has(&|event| matches!(event, Event::Approved { .. })),
            run.reason
                .clone()
                .or_else(|| Some("no reason was given: --reason".to_owned())),
        ),
        item(
            "Notify team of rollback decision",
            delivered(Phase::Start),
            (!sources.notifies).then(|| "nobody is told by itself: [[notify]] in infra-rollback.toml".to_owned()),
        ),
        item(
            "Create incident report",
            true,
            Some(format!("infra-rollback report {}", run.id)),
        ),
        item(
            "Execute rollback steps",
            run.status == Status::Completed,
            (run.status != Status::Completed).then(|| run.status.as_str().to_owned()),
        ),
        item(
            "Verify rollback success",
            verified,
            match after {
                Some(asked) => Some(format!(
                    "{} of {} checks pass",
                    asked.checks.iter().filter(|check| check.passed).count(),
                    asked.checks.len()
                )),
                None => Some("no check was asked; terraform's plan alone".to_owned()),
            },
        ),
        item("Update incident report", over, None),
        item(
            "Schedule post-mortem",
            invited && run.status == Status::Completed,
            Some(format!("infra-rollback report {} --format ics", run.id)),
        ),
    ]
}
