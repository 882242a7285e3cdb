//! Commands as one-off tasks of ECS: started, waited for, and what they wrote read from their log.
//!
//! A command that changes something is started under a name (`startedBy`) that is the same for every attempt. Whoever looks
//! waits for the tasks of that name first: what an earlier attempt has started and not seen end is neither started again nor
//! overlooked. A look takes a task's time, and asks for the name again when it is over, so that a task that was not in ECS's
//! list at first is in it by then. One call that gets no answer is repeated by the SDK with the same token, and ECS starts
//! one task for one token.

use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerOverride, DesiredStatus, KeyValuePair, Task, TaskOverride, TaskStopCode};
use rollback_runbook::process::last_words;
use rollback_runbook::runner::{CommandRunner, Order, looked};
use rollback_runbook::step::{Progress, Silent, StepError, StepPlan};
use rollback_runbook::steps::TaskSettings;

use super::api::{self, Revision};
use super::definition::{self, short};
use super::launch::{Launch, service_of};
use super::output::{LogPlace, Output, showing, telling};
use super::place::about_roles;
use super::rollout::find_or_register;
use super::stable::why;
use crate::account::Account;
use crate::failure::{AfterChange, Call};
use crate::key::key;
use crate::waiting::Wait;

/// How long the last lines of a task that has stopped may be on their way.
const LOG_PATIENCE: Duration = Duration::from_secs(60);

/// Runs commands as tasks.
pub(super) struct TaskRunner {
    account: Account,
    settings: TaskSettings,
    /// `startedBy` of the tasks that change something.
    name: String,
    patience: Duration,
}

/// What is to run, and where what it writes is found.
struct Prepared {
    revision: Revision,
    container: String,
    log: LogPlace,
    launch: Launch,
}

/// Why a command is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Looks,
    Changes,
}

impl TaskRunner {
    /// `step` is what the step is called.
    pub(super) fn new(account: Account, settings: TaskSettings, step: &str, patience: Duration) -> TaskRunner {
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        let key = key(&[
            &settings.cluster,
            &of(&settings.service),
            &of(&settings.task_definition),
            &of(&settings.container),
            step,
        ]);
        TaskRunner {
            account,
            settings,
            name: format!("infra-rollback/{key}"),
            patience,
        }
    }

    fn read_revision(&self, name: &str) -> Result<Revision, StepError> {
        api::revision(&self.account, name)?.ok_or_else(|| {
            StepError::untouched(format!("there is no task definition {}", short(name)))
                .hint("look at `task_definition` and `region` of the table, and at the account (AWS_PROFILE)")
        })
    }

    fn prepare(&self, revision: Option<&str>) -> Result<Prepared, StepError> {
        let name = match revision {
            Some(name) => name.to_owned(),
            None => self.current()?,
        };
        let revision = self.read_revision(&name)?;
        if !revision.active {
            return Err(StepError::untouched(format!(
                "no task can be started of {}: it was deregistered",
                short(&name)
            ))
            .hint("bring the service to a revision that is active, or name another one as `task_definition`"));
        }
        let containers: Vec<(&str, &serde_json::Value)> = definition::containers(&revision.definition).collect();
        let names = || containers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let (container, found) = match (&self.settings.container, containers.as_slice()) {
            (Some(wanted), all) => *all.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                StepError::untouched(format!("{} has no container {wanted}", short(&name)))
                    .hint(format!("its containers are: {}", names()))
            })?,
            (None, [one]) => *one,
            (None, _) => {
                return Err(StepError::untouched(format!("{} has several containers", short(&name)))
                    .hint(format!("say which one as `container` of `task`: {}", names())));
            }
        };
        Ok(Prepared {
            container: container.to_owned(),
            log: LogPlace::of(container, found)?,
            launch: Launch::of(&self.account, &self.settings)?,
            revision,
        })
    }

    /// The task definition that is used now.
    fn current(&self) -> Result<String, StepError> {
        match (
            &self.settings.task_definition,
            service_of(&self.account, &self.settings),
        ) {
            (Some(name), _) => Ok(self.read_revision(name)?.arn),
            (None, Some(place)) => Ok(place.revision_of(&place.service()?)?.arn),
            (None, None) => Err(StepError::untouched("`task` names no task definition")),
        }
    }

    /// Starts a task and tells its ARN.
    fn start(&self, prepared: &Prepared, order: &Order<'_>, purpose: Purpose) -> Result<String, StepError> {
        let cluster = &self.settings.cluster;
        let what = format!("start a task of {} in cluster {cluster}", short(&prepared.revision.arn));
        let call = match purpose {
            Purpose::Looks => Call::looks(&what, "ecs:RunTask"),
            Purpose::Changes => Call::changes(&what, "ecs:RunTask"),
        };
        let (script, by) = match purpose {
            Purpose::Looks => (telling(order.line), format!("{}/look", self.name)),
            Purpose::Changes => (showing(order.line), self.name.clone()),
        };
        let variable = |(name, value): &(String, String)| KeyValuePair::builder().name(name).value(value).build();
        let command = self.settings.shell.iter().cloned().chain([script]).collect();
        let container = ContainerOverride::builder()
            .name(&prepared.container)
            .set_command(Some(command))
            .set_environment(Some(order.variables.iter().map(variable).collect()))
            .build();
        let launch = prepared.launch.clone();
        let answer = self
            .account
            .call(&call, |config| {
                Client::new(config)
                    .run_task()
                    .cluster(cluster)
                    .task_definition(&prepared.revision.arn)
                    .count(1)
                    .started_by(by)
                    .overrides(TaskOverride::builder().container_overrides(container).build())
                    .set_network_configuration(launch.network)
                    .set_launch_type(launch.kind)
                    .set_capacity_provider_strategy(launch.providers)
                    .set_platform_version(launch.platform)
                    .send()
            })
            .map_err(about_roles)?;
        let task = answer.tasks.unwrap_or_default().into_iter().next();
        task.and_then(|task| task.task_arn).ok_or_else(|| {
            let failures = answer.failures.unwrap_or_default();
            let reasons: Vec<String> = failures
                .into_iter()
                .flat_map(|failure| [failure.reason, failure.detail])
                .flatten()
                .collect();
            StepError::untouched(format!("cannot {what}: {}", reasons.join(", ")))
                .hint("has the cluster room for it, and do the subnets and groups of `task` exist?")
        })
    }

    /// Runs a command to its end. What it wrote is as whole as it can be had.
    fn run(
        &self,
        prepared: &Prepared,
        order: &Order<'_>,
        purpose: Purpose,
        progress: &dyn Progress,
    ) -> Result<String, StepError> {
        let arn = self.start(prepared, order, purpose)?;
        progress.line(&format!(
            "task {} of {} runs `{}`",
            short(&arn),
            short(&prepared.revision.arn),
            order.line
        ));
        let mut output = Output::of(&self.account, &prepared.log);
        let shown: &dyn Progress = match purpose {
            Purpose::Looks => &Silent,
            Purpose::Changes => progress,
        };
        let ended = self.until_stopped(&arn, progress, |task| {
            // It only shows: what cannot be read is said when it has to be read.
            if let Some(stream) = stream(prepared, task)
                && output.read(&stream).is_ok()
            {
                output.tell(shown);
            }
        });
        let task = match ended {
            Ok(task) => task,
            Err(error) => {
                if purpose == Purpose::Looks {
                    self.stop(&arn);
                }
                return Err(error);
            }
        };
        let read = self.read_to_its_end(prepared, &task, &mut output);
        output.tell(shown);
        self.judge(prepared, &task, order, &output)?;
        match purpose {
            Purpose::Changes => Ok(String::new()),
            Purpose::Looks => {
                read?;
                output.standard_output().ok_or_else(|| {
                    StepError::untouched(format!(
                        "what `{}` wrote in task {} cannot be read from log group {}",
                        order.line,
                        short(&arn),
                        prepared.log.group
                    ))
                    .hint("does the container's entry point run the shell that it is given? `shell` of `task` says which words come before a line")
                })
            }
        }
    }

    /// Waits until a task has stopped, and looks at it each time.
    fn until_stopped(&self, arn: &str, progress: &dyn Progress, mut see: impl FnMut(&Task)) -> Result<Task, StepError> {
        let mut wait = Wait::new(self.account.pace(), self.patience, progress);
        let mut known = None;
        loop {
            // ECS may not know a task yet that it has just started.
            if let Some(task) = self.describe(vec![arn.to_owned()]).after_change()?.into_iter().next() {
                see(&task);
                if is_stopped(&task) {
                    return Ok(task);
                }
                if known != task.last_status {
                    let status = task.last_status.as_deref().unwrap_or_default();
                    progress.line(&format!("task {}: {status}", short(arn)));
                    known = task.last_status;
                }
            }
            wait.pause(&format!("the end of task {}", short(arn)))?;
        }
    }

    /// Waits for the last lines of a task that has stopped.
    fn read_to_its_end(&self, prepared: &Prepared, task: &Task, output: &mut Output<'_>) -> Result<(), StepError> {
        let Some(stream) = stream(prepared, task) else {
            return Ok(());
        };
        // What did not begin wrote nothing.
        if exit_code(prepared, task).is_none() {
            return output.read(&stream);
        }
        let mut wait = Wait::new(self.account.pace(), self.patience.min(LOG_PATIENCE), &Silent);
        loop {
            output.read(&stream)?;
            if output.is_whole() || wait.pause("the end of the log").is_err() {
                return Ok(());
            }
        }
    }

    /// Whether the command did its work.
    fn judge(&self, prepared: &Prepared, task: &Task, order: &Order<'_>, output: &Output<'_>) -> Result<(), StepError> {
        let id = short(task.task_arn.as_deref().unwrap_or_default());
        match exit_code(prepared, task) {
            Some(0) => Ok(()),
            Some(code) => {
                let words = last_words(&output.text());
                let words = if words.is_empty() { words } else { format!(":\n{words}") };
                Err(StepError::touched(format!(
                    "`{}` ended with exit status {code} in task {id}{words}",
                    order.line
                )))
            }
            None if task.stop_code == Some(TaskStopCode::TaskFailedToStart) => {
                Err(
                    StepError::untouched(format!("`{}` was not started: {}", order.line, why(task)))
                        .hint("the image, the roles and the network of the task definition must let it start"),
                )
            }
            None => Err(
                StepError::touched(format!("it is not known how `{}` ended: {}", order.line, why(task)))
                    .hint("`resume` looks at what there is and goes on, `undo` goes back"),
            ),
        }
    }

    /// The tasks of our name that have not stopped. Those that are told to stop have not.
    fn under_way(&self) -> Result<Vec<String>, StepError> {
        let cluster = &self.settings.cluster;
        let what = format!("list the tasks of cluster {cluster}");
        let mut arns = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let listed = self.account.call(&Call::looks(&what, "ecs:ListTasks"), |config| {
                Client::new(config)
                    .list_tasks()
                    .cluster(cluster)
                    .started_by(&self.name)
                    .desired_status(status)
                    .send()
            })?;
            arns.extend(listed.task_arns.unwrap_or_default());
        }
        if arns.is_empty() {
            return Ok(arns);
        }
        let tasks = self.describe(arns)?;
        Ok(tasks
            .into_iter()
            .filter(|task| !is_stopped(task))
            .filter_map(|task| task.task_arn)
            .collect())
    }

    /// Waits for what an earlier attempt has started.
    fn settle(&self, progress: &dyn Progress) -> Result<(), StepError> {
        for arn in self.under_way()? {
            progress.line(&format!(
                "task {}, which an earlier attempt has started, still runs: it is waited for",
                short(&arn)
            ));
            self.until_stopped(&arn, progress, |_| {})?;
        }
        Ok(())
    }

    /// Tasks that ECS knows; at most a hundred are asked for.
    fn describe(&self, arns: Vec<String>) -> Result<Vec<Task>, StepError> {
        let what = format!("look at tasks of cluster {}", self.settings.cluster);
        let answer = self.account.call(&Call::looks(&what, "ecs:DescribeTasks"), |config| {
            Client::new(config)
                .describe_tasks()
                .cluster(&self.settings.cluster)
                .set_tasks(Some(arns.into_iter().take(100).collect()))
                .send()
        })?;
        Ok(answer.tasks.unwrap_or_default())
    }

    /// Stops a task that nobody waits for any more. It changes nothing, so that nobody has to know whether it worked.
    fn stop(&self, arn: &str) {
        let what = format!("stop task {}", short(arn));
        let _ = self.account.call(&Call::changes(&what, "ecs:StopTask"), |config| {
            Client::new(config)
                .stop_task()
                .cluster(&self.settings.cluster)
                .task(arn)
                .reason("infra-rollback no longer waits for it")
                .send()
        });
    }
}

impl CommandRunner for TaskRunner {
    fn revision(&self) -> Result<Option<String>, StepError> {
        self.current().map(Some)
    }

    fn foresee(&self, revision: Option<&str>, plan: &mut StepPlan) -> Result<(), StepError> {
        let cluster = &self.settings.cluster;
        let Some(name) = revision else {
            plan.notes.push(format!(
                "the release has no task definition of it: that of today is used in cluster {cluster}"
            ));
            return Ok(());
        };
        match api::revision(&self.account, name)? {
            None => plan.obstacles.push(format!(
                "task definition {} is gone, and with it the code that knows these migrations",
                short(name)
            )),
            Some(found) if !found.active => plan.notes.push(format!(
                "{} was deregistered: it is registered again, and run as tasks in cluster {cluster}",
                short(name)
            )),
            Some(_) => plan
                .notes
                .push(format!("runs as tasks of {} in cluster {cluster}", short(name))),
        }
        Ok(())
    }

    fn ready(&self, revision: Option<&str>, progress: &dyn Progress) -> Result<Option<String>, StepError> {
        let Some(name) = revision else {
            return self.revision();
        };
        let found = self.read_revision(name)?;
        if found.active {
            return Ok(Some(found.arn));
        }
        let (arn, _) = find_or_register(&self.account, &found.definition, None, progress)?;
        Ok(Some(arn))
    }

    fn look(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<String, StepError> {
        let prepared = self.prepare(order.revision)?;
        loop {
            self.settle(progress)?;
            let told = self.run(&prepared, order, Purpose::Looks, progress).map_err(looked)?;
            if self.under_way()?.is_empty() {
                return Ok(told);
            }
        }
    }

    fn act(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<(), StepError> {
        let prepared = self.prepare(order.revision)?;
        self.run(&prepared, order, Purpose::Changes, progress).map(drop)
    }
}

fn is_stopped(task: &Task) -> bool {
    matches!(task.last_status.as_deref(), Some("STOPPED" | "DELETED"))
}

fn container<'t>(prepared: &Prepared, task: &'t Task) -> Option<&'t aws_sdk_ecs::types::Container> {
    let mut containers = task.containers.as_deref().unwrap_or_default().iter();
    containers.find(|one| one.name.as_deref() == Some(&prepared.container))
}

fn exit_code(prepared: &Prepared, task: &Task) -> Option<i32> {
    container(prepared, task)?.exit_code
}

fn stream(prepared: &Prepared, task: &Task) -> Option<String> {
    let id = short(task.task_arn.as_deref()?);
    let engine = container(prepared, task).and_then(|one| one.runtime_id.as_deref());
    prepared.log.stream(&prepared.container, id, engine)
}
