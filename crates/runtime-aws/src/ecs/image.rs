//! `ecs-image`: one container of a service goes back to an image, by its digest; everything else stays as it is now.

use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};
use rollback_runbook::{Common, Made, SettingsError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::Revision;
use super::definition;
use super::environment::no_container;
use super::place::Place;
use super::rollout::{Way, roll_out};
use crate::account::Account;
use crate::ecr::{Found, Image, Reference};
use crate::failure::AfterChange;
use crate::settings::{as_step_error, parse, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    cluster: String,
    service: String,
    /// May be left out where there is but one.
    container: Option<String>,
}

struct EcsImage {
    place: Place,
    container: Option<String>,
    patience: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Runs {
    /// ARN
    #[serde(default)]
    service: String,
    /// ARN of the revision that has it.
    #[serde(default)]
    task_definition: Option<String>,
    container: String,
    /// As the task definition has it.
    image: String,
    /// `sha256:…`, where it is known.
    digest: Option<String>,
}

pub(crate) fn image(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, step) = made(table, account)?;
    Ok((common, Box::new(step)))
}

fn made(table: &StepTable, account: &Account) -> Result<(Common, EcsImage), SettingsError> {
    let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
    let step = EcsImage {
        place: Place::of(account, settings.cluster, settings.service),
        container: settings.container,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, step))
}

/// The images that the container of an `ecs-image` step can go to, newest first.
///
/// # Errors
/// The table cannot be used, ECS or ECR cannot be asked, or the image is not in ECR.
pub fn images(table: &StepTable, account: &Account) -> Result<Vec<Image>, StepError> {
    let (_, step) = made(table, account).map_err(as_step_error)?;
    let (_, revision) = step.current()?;
    let (_, image) = step.container_of(&revision)?;
    let reference = Reference::parse(&image)
        .ok_or_else(|| StepError::untouched(format!("image {image} is not in a private repository of ECR")))?;
    reference.images(&step.place.account)
}

impl EcsImage {
    fn current(&self) -> Result<(String, Revision), StepError> {
        let service = self.place.service()?;
        let revision = self.place.revision_of(&service)?;
        Ok((service.service_arn.unwrap_or_default(), revision))
    }

    /// Its name and image.
    fn container_of(&self, revision: &Revision) -> Result<(String, String), StepError> {
        let mut containers = definition::containers(&revision.definition)
            .filter(|(name, _)| self.container.as_deref().is_none_or(|wanted| wanted == *name));
        let (name, container) = containers
            .next()
            .ok_or_else(|| no_container(&self.place.name, self.container.as_deref().unwrap_or_default()))?;
        if containers.next().is_some() {
            return Err(
                StepError::untouched(format!("{} has several containers", self.place.name.full()))
                    .hint("say which one: container = \"…\" in the table"),
            );
        }
        let image = definition::text(container, "image").unwrap_or_default();
        Ok((name.to_owned(), image.to_owned()))
    }

    /// What has to stand in the task definition for the image of a release.
    fn wanted(&self, target: &Runs) -> Result<Result<String, String>, StepError> {
        let gone = || Err(format!("image {} is no longer in ECR", named(target)));
        let Some(reference) = Reference::parse(&target.image) else {
            return Ok(Ok(target.image.clone()));
        };
        let Some(digest) = &target.digest else {
            return Ok(match reference.find(&self.place.account)? {
                Found::No => gone(),
                _ => Ok(target.image.clone()),
            });
        };
        Ok(match reference.find(&self.place.account)? {
            // The tag still names it: then the task definition stays as it was written.
            Found::Yes(now) if now == *digest => Ok(target.image.clone()),
            _ => match reference.has(&self.place.account, digest)? {
                Found::No => gone(),
                _ => Ok(reference.pinned(digest)),
            },
        })
    }
}

impl Step for EcsImage {
    fn look(&self) -> Result<Binding, StepError> {
        let (service, revision) = self.current()?;
        let (container, image) = self.container_of(&revision)?;
        let digest = self.place.digests(&revision)?.remove(&container).flatten();
        Ok(json!(Runs {
            service,
            task_definition: Some(revision.arn),
            container,
            image,
            digest,
        }))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, target): (Runs, Runs) = (parse(now)?, parse(target)?);
        if is_same(&now, &target) {
            return Ok(None);
        }
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            ..StepPlan::default()
        };
        let mut change = StepChange::new(
            format!("image of container {}", target.container),
            named(&now),
            named(&target),
        );
        match self.wanted(&target)? {
            Ok(image) if image != target.image => change.to = Some(image),
            Ok(_) if target.digest.is_none() => plan.notes.push(format!(
                "the release did not see which digest {} had: its tag may have moved",
                target.image
            )),
            Ok(_) => {}
            Err(obstacle) => plan.obstacles.push(obstacle),
        }
        plan.changes.push(change);
        Ok(Some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let target: Runs = parse(target)?;
        let now: Runs = parse(&self.look()?)?;
        let image = self.wanted(&target)?.map_err(|obstacle| {
            StepError::untouched(obstacle).hint("push the image again, or roll back to another release")
        })?;
        let (_, revision) = self.current()?;
        let mut wanted = revision.definition;
        // What runs already stays as it is written.
        if !is_same(&now, &target) {
            for (name, container) in definition::containers_mut(&mut wanted) {
                if name == now.container {
                    container.insert("image".to_owned(), Value::String(image.clone()));
                }
            }
        }
        let way = Way {
            known: target.task_definition.as_deref(),
            fresh: now.digest.is_some() && target.digest.is_some() && now.digest != target.digest,
            ..Way::default()
        };
        roll_out(&self.place, &wanted, &way, self.patience, progress)?;
        self.look().after_change()
    }
}

fn is_same(now: &Runs, target: &Runs) -> bool {
    match (&now.digest, &target.digest) {
        (Some(now), Some(target)) => now == target,
        _ => now.image == target.image,
    }
}

fn named(runs: &Runs) -> String {
    match &runs.digest {
        Some(digest) if !runs.image.contains('@') => format!("{} ({digest})", runs.image),
        _ => runs.image.clone(),
    }
}
