//! Waiting until a service runs what it is to run, as `aws ecs wait services-stable` does, and telling meanwhile what
//! happens: events, tasks that fail and why, and the circuit breaker.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, DesiredStatus, Service, Task};
use rollback_runbook::step::{Progress, StepError};

use super::definition::short;
use super::place::Place;
use crate::failure::AfterChange;
use crate::waiting::Wait;

/// The longest that a reason may be in a line.
const LONGEST_REASON: usize = 300;

/// What has been told already.
pub(super) struct Watch<'a> {
    place: &'a Place,
    progress: &'a dyn Progress,
    events: BTreeSet<String>,
    stopped: BTreeSet<String>,
    failed: i32,
    counts: Option<String>,
}

impl<'a> Watch<'a> {
    /// Events and stopped tasks from before are not told. Call it before the update.
    pub(super) fn begin(place: &'a Place, progress: &'a dyn Progress) -> Result<Watch<'a>, StepError> {
        let service = place.service()?;
        Ok(Watch {
            place,
            progress,
            events: events(&service).map(|(id, _)| id.to_owned()).collect(),
            stopped: stopped(place).into_iter().filter_map(|task| task.task_arn).collect(),
            failed: 0,
            counts: None,
        })
    }

    /// Comes back when only this revision runs, as often as it is to.
    ///
    /// # Errors
    /// The deployment failed, the service was brought to something else, or patience is over.
    pub(super) fn until_stable(
        &mut self,
        pace: crate::Pace,
        patience: Duration,
        revision: &str,
    ) -> Result<(), StepError> {
        let full = self.place.name.full();
        let mut wait = Wait::new(pace, patience, self.progress);
        loop {
            let service = self.place.service().after_change()?;
            self.tell_events(&service);
            let deployments = service.deployments.as_deref().unwrap_or_default();
            let ours = newest_of(deployments, revision);
            if let Some(ours) = ours {
                self.tell_failures(ours);
                if ours.rollout_state == Some(DeploymentRolloutState::Failed) {
                    return Err(self.failed(&service, ours));
                }
            }
            let runs = service.task_definition.as_deref().unwrap_or_default();
            if short(runs) != short(revision) {
                return Err(StepError::touched(format!(
                    "{full} was brought to {} while {} was waited for",
                    short(runs),
                    short(revision)
                ))
                .hint("somebody else deploys, or the circuit breaker took it back: `resume` tries again, `undo` goes back"));
            }
            let complete =
                ours.is_none_or(|ours| matches!(&ours.rollout_state, None | Some(DeploymentRolloutState::Completed)));
            if complete && deployments.len() <= 1 && service.running_count == service.desired_count {
                return Ok(());
            }
            self.tell_counts(&service, deployments);
            wait.pause(&format!("a stable {full}"))?;
        }
    }

    fn tell_events(&mut self, service: &Service) {
        let mut new: Vec<&str> = Vec::new();
        for (id, message) in events(service) {
            if self.events.insert(id.to_owned()) {
                new.push(message);
            }
        }
        // ECS lists the newest first.
        for message in new.into_iter().rev() {
            self.progress.line(&cut(message));
        }
    }

    fn tell_failures(&mut self, deployment: &Deployment) {
        if deployment.failed_tasks <= self.failed {
            return;
        }
        self.failed = deployment.failed_tasks;
        self.progress.line(&format!("{} tasks have failed", self.failed));
        for task in stopped(self.place) {
            let Some(arn) = &task.task_arn else { continue };
            if self.stopped.insert(arn.clone()) {
                self.progress.line(&why(&task));
            }
        }
    }

    fn tell_counts(&mut self, service: &Service, deployments: &[Deployment]) {
        let counts = format!(
            "{} of {} tasks run, {} pending, in {} deployments",
            service.running_count,
            service.desired_count,
            service.pending_count,
            deployments.len()
        );
        if self.counts.as_ref() != Some(&counts) {
            self.progress.line(&counts);
            self.counts = Some(counts);
        }
    }

    fn failed(&self, service: &Service, ours: &Deployment) -> StepError {
        let reason = ours.rollout_state_reason.as_deref().unwrap_or("it gives no reason");
        let runs = short(service.task_definition.as_deref().unwrap_or_default());
        let mut message = format!(
            "the deployment of {} to {} failed: {}",
            short(ours.task_definition.as_deref().unwrap_or_default()),
            self.place.name.full(),
            cut(reason)
        );
        if ours.task_definition != service.task_definition {
            message.push_str(&format!("; the circuit breaker took it back to {runs}"));
        }
        if let Some(task) = stopped(self.place).first() {
            message.push_str(&format!("; {}", why(task)));
        }
        StepError::touched(message).hint(
            "look at the reasons above and the tasks' logs; `undo` goes back, `resume` tries again once the cause is mended",
        )
    }
}

/// With their ids; where one has none, its text stands for it.
fn events(service: &Service) -> impl Iterator<Item = (&str, &str)> {
    service
        .events
        .as_deref()
        .unwrap_or_default()
        .iter()
        .filter_map(|event| {
            let message = event.message.as_deref()?;
            Some((event.id.as_deref().unwrap_or(message), message))
        })
}

fn newest_of<'d>(deployments: &'d [Deployment], revision: &str) -> Option<&'d Deployment> {
    deployments
        .iter()
        .filter(|deployment| deployment.task_definition.as_deref() == Some(revision))
        .max_by_key(|deployment| deployment.created_at.map(|at| at.secs()))
}

/// Tasks that stopped lately. It only explains, so that whoever may not ask is not held up by it.
fn stopped(place: &Place) -> Vec<Task> {
    place.tasks(DesiredStatus::Stopped).unwrap_or_default()
}

/// Why a task stopped, for a person.
pub(super) fn why(task: &Task) -> String {
    let id = short(task.task_arn.as_deref().unwrap_or_default());
    let reason = task.stopped_reason.as_deref().unwrap_or("it gives no reason");
    let mut text = format!("task {id} stopped: {}", cut(reason));
    for container in task.containers.as_deref().unwrap_or_default() {
        let code = container
            .exit_code
            .filter(|code| *code != 0)
            .map(|code| format!("exit code {code}"));
        let said: Vec<String> = code.into_iter().chain(container.reason.as_deref().map(cut)).collect();
        if !said.is_empty() {
            text.push_str(&format!(
                "; container {}: {}",
                container.name.as_deref().unwrap_or_default(),
                said.join(", ")
            ));
        }
    }
    text
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control())
        .take(LONGEST_REASON)
        .collect()
}
