//! `ecs-service`: a service goes back to the task definition, and the very images, that a release ran.
//!
//! A tag that was moved since would bring back the revision and not what it ran. So a release keeps the images' digests;
//! where a tag names another image by now, a revision is registered that names the digest instead.

use std::collections::BTreeMap;
use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api;
use super::definition::{self, short};
use super::environment::variable_changes;
use super::place::Place;
use super::rollout::{Way, roll_out};
use crate::account::Account;
use crate::ecr::{Found, Reference};
use crate::failure::AfterChange;
use crate::settings::{parse, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    cluster: String,
    service: String,
    /// Whether the number of tasks goes back, too. By default it is the autoscaler's.
    #[serde(default)]
    desired_count: bool,
}

struct EcsService {
    place: Place,
    desired_count: bool,
    patience: Duration,
}

/// What a service is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Running {
    /// ARN
    service: String,
    /// ARN
    task_definition: String,
    /// What registers that task definition again. It has the plain environment values in it, which no plan shows.
    definition: Value,
    /// Container to digest, where it is known.
    images: BTreeMap<String, Option<String>>,
    desired_count: i32,
    /// How ECS replaces tasks; for a person to know.
    #[serde(default)]
    deployment: Value,
}

pub(crate) fn service(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
    let step = EcsService {
        place: Place::of(account, settings.cluster, settings.service),
        desired_count: settings.desired_count,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, Box::new(step)))
}

impl Step for EcsService {
    fn look(&self) -> Result<Binding, StepError> {
        let service = self.place.service()?;
        let revision = self.place.revision_of(&service)?;
        let images = self.place.digests(&revision)?;
        let deployment = service.deployment_configuration.map(|configuration| {
            let breaker = configuration.deployment_circuit_breaker;
            json!({
                "maximum_percent": configuration.maximum_percent,
                "minimum_healthy_percent": configuration.minimum_healthy_percent,
                "circuit_breaker": breaker.as_ref().map(|breaker| breaker.enable),
                "circuit_breaker_rolls_back": breaker.as_ref().map(|breaker| breaker.rollback),
            })
        });
        Ok(json!(Running {
            service: service.service_arn.unwrap_or_default(),
            task_definition: revision.arn,
            definition: revision.definition,
            images,
            desired_count: service.desired_count,
            deployment: deployment.unwrap_or_default(),
        }))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, target): (Running, Running) = (parse(now)?, parse(target)?);
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            ..StepPlan::default()
        };
        let counts_differ = now.desired_count != target.desired_count;
        if !is_there(&now, &target) {
            self.plan_revision(&now, &target, &mut plan)?;
        } else if !(counts_differ && self.desired_count) {
            return Ok(None);
        }
        if counts_differ && self.desired_count {
            let (now, target) = (now.desired_count.to_string(), target.desired_count.to_string());
            plan.changes.push(StepChange::new("desired count", now, target));
        } else if counts_differ {
            plan.notes.push(format!(
                "the desired count stays at {} (it was {}): it is the autoscaler's; desired_count = true brings it back",
                now.desired_count, target.desired_count
            ));
        }
        Ok(Some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let target: Running = parse(target)?;
        let wanted = self.wanted(&target)?;
        if let Some(obstacle) = wanted.obstacles.into_iter().next() {
            return Err(StepError::untouched(obstacle).hint("push the image again, or roll back to another release"));
        }
        let now: Running = parse(&self.look()?)?;
        let way = Way {
            known: Some(&target.task_definition),
            desired: self.desired_count.then_some(target.desired_count),
            fresh: runs_other_images(&now, &target),
        };
        roll_out(&self.place, &wanted.definition, &way, self.patience, progress)?;
        self.look().after_change()
    }
}

/// What has to run so that what a release ran does.
struct Wanted {
    definition: Value,
    notes: Vec<String>,
    obstacles: Vec<String>,
}

impl EcsService {
    fn wanted(&self, target: &Running) -> Result<Wanted, StepError> {
        let mut wanted = Wanted {
            definition: target.definition.clone(),
            notes: Vec::new(),
            obstacles: Vec::new(),
        };
        for (name, container) in definition::containers_mut(&mut wanted.definition) {
            let image = container
                .get("image")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            match self.image(&name, &image, target.images.get(&name).and_then(Option::as_deref))? {
                Pin::AsItIs => {}
                Pin::Note(note) => wanted.notes.push(note),
                Pin::Digest(pinned, note) => {
                    container.insert("image".to_owned(), Value::String(pinned));
                    wanted.notes.push(note);
                }
                Pin::Gone(obstacle) => wanted.obstacles.push(obstacle),
            }
        }
        Ok(wanted)
    }

    fn image(&self, container: &str, image: &str, digest: Option<&str>) -> Result<Pin, StepError> {
        let account = &self.place.account;
        let Some(reference) = Reference::parse(image) else {
            return Ok(match image.contains('@') {
                true => Pin::AsItIs,
                false => Pin::Note(format!(
                    "image {image} of container {container} is not in ECR: nobody looked whether it is still what it was"
                )),
            });
        };
        let unseen = || {
            Pin::Note(format!(
                "image {image} of container {container} may not be looked at (ecr:DescribeImages)"
            ))
        };
        let gone = |what: &str| Pin::Gone(format!("{what} of container {container} is no longer in ECR"));
        let now = reference.find(account)?;
        let Some(digest) = digest else {
            return Ok(match now {
                Found::No => gone(&format!("image {image}")),
                Found::Denied => unseen(),
                Found::Yes(_) => Pin::Note(format!(
                    "the release did not see which digest {image} of container {container} had: its tag may have moved"
                )),
            });
        };
        Ok(match now {
            Found::Yes(now) if now == digest => Pin::AsItIs,
            Found::Denied => unseen(),
            now => match reference.has(account, digest)? {
                Found::No => gone(&format!("image {image} with {digest}")),
                _ => {
                    let tag = match now {
                        Found::Yes(_) => "names another image by now",
                        _ => "is gone",
                    };
                    let note =
                        format!("the tag of {image} {tag}: container {container} gets the digest of the release");
                    Pin::Digest(reference.pinned(digest), note)
                }
            },
        })
    }

    fn plan_revision(&self, now: &Running, target: &Running, plan: &mut StepPlan) -> Result<(), StepError> {
        let wanted = self.wanted(target)?;
        let there = api::revision(&self.place.account, &target.task_definition)?
            .is_some_and(|there| there.active && definition::is_same(&there.definition, &wanted.definition));
        let to = match there {
            true => short(&target.task_definition).to_owned(),
            false => format!("{} as a new revision", short(&target.task_definition)),
        };
        plan.changes
            .push(StepChange::new("task definition", short(&now.task_definition), to));
        if !there && wanted.notes.is_empty() && wanted.obstacles.is_empty() {
            plan.notes.push(format!(
                "{} was deregistered: it is registered again from the release",
                short(&target.task_definition)
            ));
        }
        for (container, after) in definition::containers(&wanted.definition) {
            let image = |running: &Running, image: Option<&str>| {
                let digest = running.images.get(container).and_then(Option::as_deref);
                shown(image.unwrap_or("none"), digest)
            };
            let from = image(now, definition::image_of(&now.definition, container));
            let to = image(target, definition::text(after, "image"));
            if from != to {
                plan.changes
                    .push(StepChange::new(format!("image of container {container}"), from, to));
            }
        }
        plan.changes
            .extend(variable_changes(&now.definition, &wanted.definition));
        plan.notes.extend(wanted.notes);
        plan.obstacles.extend(wanted.obstacles);
        Ok(())
    }
}

enum Pin {
    AsItIs,
    Note(String),
    Digest(String, String),
    Gone(String),
}

/// An image with as much of its digest as a person compares.
fn shown(image: &str, digest: Option<&str>) -> String {
    match digest {
        Some(digest) if !image.contains('@') => format!("{image} ({})", digest.chars().take(19).collect::<String>()),
        _ => image.to_owned(),
    }
}

/// Whether it is known of some container that another image runs in it.
fn runs_other_images(now: &Running, target: &Running) -> bool {
    target.images.iter().any(|(container, digest)| {
        let running = now.images.get(container).and_then(Option::as_ref);
        digest.as_ref().zip(running).is_some_and(|(one, other)| one != other)
    })
}

/// Whether what runs is what ran: the same definition, and the same images where both are known.
fn is_there(now: &Running, target: &Running) -> bool {
    if runs_other_images(now, target) {
        return false;
    }
    if now.task_definition == target.task_definition {
        return true;
    }
    // A digest that was written in place of a moved tag is the same image.
    let mut now_definition = now.definition.clone();
    for (container, object) in definition::containers_mut(&mut now_definition) {
        let same = now.images.get(&container).zip(target.images.get(&container));
        if same.is_some_and(|(now, target)| now.is_some() && now == target)
            && let Some(image) = definition::image_of(&target.definition, &container)
        {
            object.insert("image".to_owned(), Value::String(image.to_owned()));
        }
    }
    definition::is_same(&now_definition, &target.definition)
}
