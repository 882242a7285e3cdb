//! A service of a cluster, and what it is at.

use std::collections::BTreeMap;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DeploymentControllerType, DesiredStatus, Service, Task};
use rollback_runbook::step::StepError;
use serde::Deserialize;

use super::api::{self, Revision};
use super::definition;
use crate::account::Account;
use crate::ecr::{Found, Reference};
use crate::failure::{Call, Refusal};

/// Which service. In a table: `{ cluster = "prod", service = "backend" }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Name {
    pub cluster: String,
    pub service: String,
}

impl Name {
    /// `service backend of cluster prod`
    pub(crate) fn full(&self) -> String {
        format!("service {} of cluster {}", self.service, self.cluster)
    }
}

/// A service in an account.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub account: Account,
    pub name: Name,
}

impl Place {
    pub(crate) fn of(account: Account, cluster: String, service: String) -> Place {
        Place {
            account,
            name: Name { cluster, service },
        }
    }

    /// The service as it is.
    ///
    /// # Errors
    /// There is none, or it is deployed by something else than ECS itself.
    pub(crate) fn service(&self) -> Result<Service, StepError> {
        let full = self.name.full();
        let what = format!("look at {full}");
        let answer = self
            .account
            .call(&Call::looks(&what, "ecs:DescribeServices"), |config| {
                Client::new(config)
                    .describe_services()
                    .cluster(&self.name.cluster)
                    .services(&self.name.service)
                    .send()
            })
            .map_err(|refusal| match refusal.is(&["ClusterNotFoundException"]) {
                true => StepError::untouched(format!("there is no cluster {}", self.name.cluster))
                    .hint("look at `cluster` and `region` of the table, and at the account (AWS_PROFILE)"),
                false => refusal.error,
            })?;
        let service = answer
            .services
            .unwrap_or_default()
            .into_iter()
            .find(|service| service.status.as_deref() != Some("INACTIVE"))
            .ok_or_else(|| {
                StepError::untouched(format!("there is no {full}"))
                    .hint("look at `cluster`, `service` and `region` of the table, and at the account (AWS_PROFILE)")
            })?;
        match service
            .deployment_controller
            .as_ref()
            .map(|controller| &controller.r#type)
        {
            None | Some(DeploymentControllerType::Ecs) => Ok(service),
            Some(other) => Err(StepError::untouched(format!(
                "{full} is deployed by {}, not by ECS itself",
                other.as_str()
            ))
            .hint("a step of kind `command` can call what deploys it")),
        }
    }

    /// The revision that a service is to run.
    pub(crate) fn revision_of(&self, service: &Service) -> Result<Revision, StepError> {
        let name = service
            .task_definition
            .as_deref()
            .ok_or_else(|| StepError::untouched(format!("{} has no task definition", self.name.full())))?;
        api::revision(&self.account, name)?
            .ok_or_else(|| StepError::untouched(format!("task definition {} cannot be read", definition::short(name))))
    }

    /// The digest of each container's image. What runs knows best: a tag may have been moved since. Where nothing runs,
    /// what the tag names now; `None` where that cannot be known.
    pub(crate) fn digests(&self, revision: &Revision) -> Result<BTreeMap<String, Option<String>>, StepError> {
        let mut images: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (name, container) in definition::containers(&revision.definition) {
            let image = definition::text(container, "image").unwrap_or_default();
            let digest = image.split_once('@').map(|(_, digest)| digest.to_owned());
            images.insert(name.to_owned(), digest);
        }
        if images.values().all(Option::is_some) {
            return Ok(images);
        }
        for (container, digest) in self.running_digests(&revision.arn)? {
            if let Some(unknown) = images.get_mut(&container).filter(|known| known.is_none()) {
                *unknown = Some(digest);
            }
        }
        for (container, digest) in &mut images {
            if digest.is_some() {
                continue;
            }
            let image = definition::image_of(&revision.definition, container).unwrap_or_default();
            if let Some(reference) = Reference::parse(image)
                && let Found::Yes(found) = reference.find(&self.account)?
            {
                *digest = Some(found);
            }
        }
        Ok(images)
    }

    fn running_digests(&self, revision: &str) -> Result<Vec<(String, String)>, StepError> {
        let tasks = match self.tasks(DesiredStatus::Running) {
            Ok(tasks) => tasks,
            // Whoever may not see tasks asks the registry.
            Err(refusal) if refusal.is_denied() => return Ok(Vec::new()),
            Err(refusal) => return Err(refusal.error),
        };
        let containers = tasks
            .into_iter()
            .filter(|task| task.task_definition_arn.as_deref() == Some(revision))
            .flat_map(|task| task.containers.unwrap_or_default());
        Ok(containers
            .filter_map(|container| Some((container.name?, container.image_digest?)))
            .collect())
    }

    /// Some of its tasks, at most 100.
    pub(super) fn tasks(&self, status: DesiredStatus) -> Result<Vec<Task>, Refusal> {
        let what = format!("look at the tasks of {}", self.name.full());
        let list = self.account.call(&Call::looks(&what, "ecs:ListTasks"), |config| {
            Client::new(config)
                .list_tasks()
                .cluster(&self.name.cluster)
                .service_name(&self.name.service)
                .desired_status(status)
                .send()
        })?;
        let arns = list.task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.account.call(&Call::looks(&what, "ecs:DescribeTasks"), |config| {
            Client::new(config)
                .describe_tasks()
                .cluster(&self.name.cluster)
                .set_tasks(Some(arns))
                .send()
        })?;
        Ok(answer.tasks.unwrap_or_default())
    }

    /// Tells ECS what the service is to run, and how often; what is `None` stays. `fresh`
    /// starts its tasks anew.
    pub(crate) fn update(&self, revision: Option<&str>, desired: Option<i32>, fresh: bool) -> Result<(), StepError> {
        let what = format!("update {}", self.name.full());
        self.account
            .call(&Call::changes(&what, "ecs:UpdateService"), |config| {
                Client::new(config)
                    .update_service()
                    .cluster(&self.name.cluster)
                    .service(&self.name.service)
                    .set_task_definition(revision.map(str::to_owned))
                    .set_desired_count(desired)
                    .set_force_new_deployment(fresh.then_some(true))
                    .send()
            })
            .map_err(about_roles)?;
        Ok(())
    }
}

/// What starts tasks hands them their roles, and needs a permission for that.
pub(super) fn about_roles(refusal: Refusal) -> StepError {
    let roles = refusal.is_denied() && refusal.error.message.contains("iam:PassRole");
    match roles {
        true => refusal
            .error
            .hint("this needs iam:PassRole for the task's role and its execution role"),
        false => refusal.error,
    }
}
