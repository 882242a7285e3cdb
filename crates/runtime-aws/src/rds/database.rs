//! `rds-restore` and `rds-pitr`: a database as a snapshot, or a moment, had it, in a new instance. The old one is kept.
//!
//! RDS restores into nothing but new instances. So the application stops, the new instance is made with the old one's
//! settings, takes the old one's name or is written where the application looks, and the application starts again as big as
//! it was. The new instance's name follows from
//! what was asked and by which run; each part looks whether it is done, so that a run that was cut off is taken up
//! wherever it was. Going back is pointing at the old instance again: what was written since is then in the new one.

use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::step::{Binding, Progress, Rebound, Reversibility, Step, StepChange, StepError, StepPlan};
use rollback_runbook::{Common, Made, SettingsError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{self, Source};
use super::application::{Count, counts};
use super::instance::{Instance, Settings as InstanceSettings};
use super::place::{Place, Setting, mentions};
use super::target::Target;
use crate::account::Account;
use crate::ecs::Name;
use crate::failure::AfterChange;
use crate::key::key;
use crate::settings::{parse, read};

/// Hundreds of gigabytes take hours.
const USUAL_PATIENCE: Duration = Duration::from_secs(4 * 60 * 60);

/// RDS allows 63 characters.
const LONGEST_BASE: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The identifier of the instance, as Terraform made it.
    instance: String,
    /// Services that are stopped meanwhile: `[{ cluster = "prod", service = "backend" }]`.
    #[serde(default)]
    services: Vec<Name>,
    /// Where its address stands, if the new instance has another one.
    #[serde(default)]
    repoint: Vec<Setting>,
    rebind: Option<Rebind>,
}

/// How the new instance is found by what used the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rebind {
    /// It takes the old one's name, and with it the address; Terraform is told.
    Rename,
    /// It has another name, and its address is written where the old one's stands.
    None,
}

pub(super) struct Database {
    pub account: Account,
    /// As Terraform made it.
    pub instance: String,
    pub services: Vec<Name>,
    /// None where the new instance takes the old one's name.
    pub places: Vec<Place>,
    pub patience: Duration,
}

/// Which instance is used, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The identifier of the instance that the application is pointed at.
    pub instance: String,
    /// Where instances change names, what tells one from another; none while nobody has the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Restores by which instances were replaced that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<String>,
    pub address: Option<String>,
    pub settings: InstanceSettings,
    /// How many tasks of each service there are to be.
    pub services: Vec<Count>,
    /// Places in which no address of any instance stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub astray: Vec<String>,
}

/// Both kinds: what they are asked for differs, the way there does not.
pub(crate) fn database(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, database) = Database::new(table, account)?;
    Ok((common, Box::new(database)))
}

impl Database {
    pub(super) fn new(table: &StepTable, account: &Account) -> Result<(Common, Database), SettingsError> {
        let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
        match (settings.rebind, settings.repoint.is_empty()) {
            (Some(Rebind::None), true) => {
                return Err(SettingsError::of("step", table, "`repoint` names no place").hint(
                    "without one nobody would use the new instance: write repoint = [{ parameter = \"/prod/database/host\" }], \
                     or rebind = \"rename\", so that it takes the old one's name",
                ));
            }
            (Some(Rebind::Rename), false) => {
                return Err(SettingsError::of(
                    "step",
                    table,
                    "`repoint` has nothing to do where `rebind` is \"rename\"",
                )
                .hint("the new instance takes the old one's name, and so has its address: leave `repoint` out"));
            }
            _ => {}
        }
        let places = settings.repoint.into_iter().map(|setting| Place::new(setting, table));
        let database = Database {
            account,
            instance: settings.instance,
            services: settings.services,
            places: places.collect::<Result<_, _>>()?,
            patience: common.timeout.unwrap_or(USUAL_PATIENCE),
        };
        Ok((common, database))
    }

    /// The instance that Terraform made and the one that is used, if that is another.
    pub(super) fn instances(&self) -> Result<Vec<String>, StepError> {
        if self.takes_the_name() {
            let kept = self.kept()?.into_iter().map(|one| one.id);
            return Ok(std::iter::once(self.instance.clone()).chain(kept).collect());
        }
        let (used, _) = self.used()?;
        let mut all = vec![used.id];
        if all[0] != self.instance {
            all.push(self.instance.clone());
        }
        Ok(all)
    }

    /// The instance whose address stands where the application looks for it, and the places where none stands.
    fn used(&self) -> Result<(Instance, Vec<String>), StepError> {
        let own = api::instance(&self.account, &self.instance)?;
        let mut candidates: Vec<Instance> = own.clone().into_iter().collect();
        let mut used: Option<Instance> = None;
        let mut astray = Vec::new();
        let mut all_known = false;
        for place in &self.places {
            let text = place.read(&self.account)?;
            let named = |all: &[Instance]| {
                let address = |one: &&Instance| one.address.as_deref().is_some_and(|address| mentions(&text, address));
                all.iter().find(address).cloned()
            };
            let mut found = named(&candidates);
            if found.is_none() && !all_known {
                candidates.extend(api::instances(&self.account)?);
                all_known = true;
                found = named(&candidates);
            }
            match found {
                // The first place leads; a run that was cut off may have left the others behind.
                Some(found) => used = used.or(Some(found)),
                None => astray.push(place.words()),
            }
        }
        let used = used.or(own).ok_or_else(|| self.not_there())?;
        Ok((used, astray))
    }

    /// Whether a new instance takes the old one's name.
    pub(super) fn takes_the_name(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn not_there(&self) -> StepError {
        StepError::untouched(format!("there is no database instance {}", self.instance))
            .hint("look at `instance` and `region` of the table, and at the account (AWS_PROFILE)")
    }

    fn state(&self) -> Result<State, StepError> {
        if self.takes_the_name() {
            return self.state_by_name();
        }
        let (used, astray) = self.used()?;
        Ok(State {
            instance: used.id,
            resource: None,
            restores: Vec::new(),
            address: used.address,
            settings: used.settings,
            services: counts(&self.account, &self.services)?,
            astray,
        })
    }

    /// What a new instance is called: the same for the same restore, and for no other.
    pub(super) fn name(&self, source: &Source, run: &str) -> (String, String) {
        // Whichever instance is used: a moment's restore changes that, and keeps its name.
        let (kind, asked) = match source {
            Source::Snapshot(snapshot) => ("snapshot", snapshot.clone()),
            Source::Moment { time, .. } => ("moment", time.to_string()),
        };
        let key = key(&[self.instance.as_str(), kind, &asked, run]);
        let base: String = self.instance.chars().take(LONGEST_BASE).collect();
        (format!("{}-{}", base.trim_end_matches('-'), &key[..8]), key)
    }
}

impl Step for Database {
    fn look(&self) -> Result<Binding, StepError> {
        Ok(json!(self.state()?))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let now: State = parse(now)?;
        let mut plan = StepPlan {
            reversibility: Reversibility::DataLoss,
            ..StepPlan::default()
        };
        let target = Target::read(target, &now.instance)?;
        let to = match &target {
            Target::Instance { id, resource, .. } => {
                let is_used = match resource {
                    Some(resource) => now.resource.as_ref() == Some(resource),
                    None => *id == now.instance,
                };
                if is_used && now.services.iter().all(|count| target.tasks(count) == count.desired) {
                    return Ok(None);
                }
                if !is_used {
                    self.plan_former(&now, id, resource.as_deref(), &mut plan)?;
                }
                (!is_used).then(|| resource.as_ref().unwrap_or(id).clone())
            }
            Target::New { source, run } => {
                let (name, key) = self.name(source, run);
                let is_used = match self.takes_the_name() {
                    true => now.resource.is_some() && now.restores.contains(&key),
                    false => name == now.instance,
                };
                if is_used {
                    return Ok(None);
                }
                self.plan_source(&now, source, &mut plan)?;
                let kept = self.kept_as(&now);
                plan.notes.push(format!(
                    "the old instance is kept as {kept}, and costs until it is deleted"
                ));
                Some(name)
            }
        };
        let Some(to) = to else {
            for count in &now.services {
                let what = format!("tasks of service {} in cluster {}", count.service, count.cluster);
                let (is, then) = (count.desired.to_string(), target.tasks(count).to_string());
                plan.changes.push(StepChange::new(what, is, then));
            }
            plan.reversibility = Reversibility::Lossless;
            return Ok(Some(plan));
        };
        for count in now.services.iter().filter(|count| count.desired > 0) {
            let what = format!("tasks of service {} in cluster {}", count.service, count.cluster);
            plan.changes
                .push(StepChange::new(what, count.desired.to_string(), "0 meanwhile"));
        }
        if self.takes_the_name() {
            let what = format!("database instance {}", self.instance);
            let is = now
                .resource
                .as_deref()
                .unwrap_or("none, between two renamings")
                .to_owned();
            let to = match target {
                Target::Instance { .. } => to.clone(),
                Target::New { .. } => "a new one".to_owned(),
            };
            plan.changes.push(StepChange::new(what, is, to));
        } else {
            plan.changes
                .push(StepChange::new("database instance", &now.instance, &to));
        }
        for place in &self.places {
            plan.changes.push(StepChange::new(
                format!("address in {}", place.words()),
                now.address.as_deref().unwrap_or(&now.instance),
                format!("the address of {to}"),
            ));
        }
        for place in &now.astray {
            plan.obstacles
                .push(format!("the address of the database does not stand in {place}"));
        }
        Ok(Some(plan))
    }

    fn go(&self, from: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let from: State = parse(from)?;
        let target = Target::read(target, &from.instance)?;
        let mut changed = false;
        let gone = match self.takes_the_name() {
            true => self.bring_by_name(&from, &target, &mut changed, progress),
            false => self.bring(&from, &target, &mut changed, progress),
        };
        match changed {
            true => gone.after_change()?,
            false => gone?,
        }
        self.look().after_change()
    }

    fn replaces_what_terraform_has(&self) -> bool {
        self.takes_the_name()
    }

    fn rebound(&self, from: &Binding, now: &Binding) -> Result<Option<Rebound>, StepError> {
        if !self.takes_the_name() {
            return Ok(None);
        }
        Ok(self.rebound_by_name(&parse(from)?, &parse(now)?))
    }
}

impl Database {
    /// What the instance that is used now is called when another one is used.
    fn kept_as(&self, now: &State) -> String {
        let resource = now.resource.as_deref().filter(|_| self.takes_the_name());
        resource.map_or_else(|| now.instance.clone(), |resource| self.aside(resource))
    }

    /// Back to an instance that was used before.
    fn plan_former(&self, now: &State, id: &str, resource: Option<&str>, plan: &mut StepPlan) -> Result<(), StepError> {
        let found = match resource {
            Some(resource) => api::of_resource(&self.account, resource)?,
            None => api::instance(&self.account, id)?,
        };
        let name = resource.unwrap_or(id);
        match found {
            None => plan
                .obstacles
                .push(format!("database instance {name} is no longer there")),
            Some(found) if !found.is_available() => {
                plan.obstacles
                    .push(format!("database instance {name} is {}", found.status));
            }
            Some(_) => {}
        }
        let kept = self.kept_as(now);
        plan.notes.push(format!(
            "what was written to {} since it is used is not in {name}; it is kept as {kept}",
            now.instance
        ));
        Ok(())
    }

    fn plan_source(&self, now: &State, source: &Source, plan: &mut StepPlan) -> Result<(), StepError> {
        if self.takes_the_name() && now.resource.is_none() {
            // A run that was cut off has restored it already.
            return Ok(());
        }
        let Some(current) = api::instance(&self.account, &now.instance)? else {
            plan.obstacles
                .push(format!("database instance {} is no longer there", now.instance));
            return Ok(());
        };
        if let Some(cluster) = &current.cluster {
            plan.obstacles.push(format!(
                "{} belongs to the Aurora cluster {cluster}: those are restored as a whole, not by this step",
                current.id
            ));
        }
        if self.takes_the_name() && !current.replicas.is_empty() {
            plan.notes.push(format!(
                "its read replicas ({}) stay with the old instance: make new ones of the restored one",
                current.replicas.join(", ")
            ));
        }
        if current.managed_password {
            plan.notes.push(format!(
                "RDS keeps the password of {} in Secrets Manager: the new instance has the password of its source until that is set up again",
                current.id
            ));
        }
        match source {
            Source::Snapshot(id) => match api::snapshot(&self.account, id)? {
                None => plan.obstacles.push(format!("there is no database snapshot {id}")),
                Some(snapshot) => {
                    let status = snapshot.status.unwrap_or_default();
                    if status != "available" {
                        plan.obstacles.push(format!("database snapshot {id} is {status}"));
                    }
                    let taken = snapshot
                        .snapshot_create_time
                        .and_then(|at| jiff::Timestamp::from_second(at.secs()).ok());
                    let taken = taken.map_or_else(|| "its snapshot".to_owned(), |taken| taken.to_string());
                    plan.notes
                        .push(format!("whatever was written after {taken} is not in it"));
                }
            },
            Source::Moment { time, .. } => match api::window(&self.account, &current)? {
                None => plan.obstacles.push(format!(
                    "{} keeps no automatic backups to restore a moment from",
                    current.id
                )),
                Some((earliest, latest)) if *time < earliest || *time > latest => plan.obstacles.push(format!(
                    "{} can be restored to moments from {earliest} to {latest}, and {time} is outside",
                    current.id
                )),
                Some(_) => plan
                    .notes
                    .push(format!("whatever was written after {time} is not in it")),
            },
        }
        Ok(())
    }
}
