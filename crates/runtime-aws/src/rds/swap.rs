//! The restored instance takes the old one's name, and the old one is kept under another. Its address follows from the
//! name, so that no configuration has to say another one; only Terraform, which tells instances by their resource ids, has
//! to be told.
//!
//! Which instance is which stands on the instances themselves: a tag on the restored one until it has the name, a tag on
//! the old one from then on, and the name of a kept one, which follows from its resource id. So a run that was cut off
//! between any two calls is taken up.

use std::collections::BTreeMap;

use rollback_runbook::step::{Progress, Rebound, Revalued, StepError};

use super::api;
use super::application::{counts, scale};
use super::database::{Database, State};
use super::instance::Instance;
use super::target::Target;
use super::way::{OURS, TAG, is_theirs};
use crate::waiting::Wait;

/// On an old instance: which restore has put another one in its place.
const KEPT: &str = "infra-rollback:replaced-by";

/// RDS allows 63 characters.
const LONGEST_BASE: usize = 48;

/// So many of a resource id tell one kept instance from another.
const OF_RESOURCE: usize = 8;

impl Database {
    /// What an instance is called that another one has taken the name of.
    pub(super) fn aside(&self, resource: &str) -> String {
        let base: String = self.instance.chars().take(LONGEST_BASE).collect();
        let own = resource.strip_prefix("db-").unwrap_or(resource).chars();
        let own: String = own.filter(char::is_ascii_alphanumeric).take(OF_RESOURCE).collect();
        format!("{}-kept-{}", base.trim_end_matches('-'), own.to_ascii_lowercase())
    }

    fn is_kept(&self, instance: &Instance) -> bool {
        instance.id == self.aside(&instance.resource)
    }

    /// The instances that another one has taken the name of.
    pub(super) fn kept(&self) -> Result<Vec<Instance>, StepError> {
        let mut all = api::instances(&self.account)?;
        all.retain(|one| self.is_kept(one));
        Ok(all)
    }

    /// Who has the name, and which restores took it. Between two renamings nobody has it.
    pub(super) fn state_by_name(&self) -> Result<State, StepError> {
        let mut all = api::instances(&self.account)?;
        all.retain(|one| one.id == self.instance || self.is_kept(one));
        if all.is_empty() {
            return Err(self.not_there());
        }
        let services = counts(&self.account, &self.services)?;
        let mut restores: Vec<String> = all.iter().filter_map(|one| one.tags.get(KEPT).cloned()).collect();
        restores.sort_unstable();
        let own = all.into_iter().find(|one| one.id == self.instance);
        let resource = own.as_ref().map(|own| own.resource.clone());
        Ok(State {
            instance: self.instance.clone(),
            resource,
            restores,
            address: own.as_ref().and_then(|own| own.address.clone()),
            settings: own.map(|own| own.settings).unwrap_or_default(),
            services,
            astray: Vec::new(),
        })
    }

    /// Everything that is not done yet, in its order. `changed` is set as soon as something is.
    pub(super) fn bring_by_name(
        &self,
        from: &State,
        target: &Target,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        let own = api::instance(&self.account, &self.instance)?;
        // In the same run Terraform came first: what it has made of the instance is what the next one has to be.
        let mut from = from.clone();
        if let Some(own) = &own {
            from.settings.clone_from(&own.settings);
        }
        let (wanted, key) = match target {
            Target::Instance { id, resource, .. } => (Some(self.former(id, resource.as_deref())?), None),
            Target::New { source, run } => {
                let key = self.name(source, run).1;
                (self.made(&key, own.as_ref())?, Some(key))
            }
        };
        let in_place = matches!((&wanted, &own), (Some(wanted), Some(own)) if wanted.resource == own.resource);
        if !in_place {
            scale(&self.account, &from.services, |_| 0, self.patience, changed, progress)?;
            let new = match (wanted, target) {
                (Some(wanted), _) => wanted.id,
                (None, Target::New { source, run }) => {
                    let (name, key) = self.name(source, run);
                    self.restore(&from, &name, source, &key)?;
                    *changed = true;
                    progress.line(&format!("database instance {name} is being restored"));
                    name
                }
                (None, Target::Instance { id, .. }) => return Err(gone(id)),
            };
            let new = self.wait_for(&new, changed, progress)?;
            // Once nobody has the name, everything before that is done.
            if let Some(own) = own {
                self.settle(&new, &from, changed, progress)?;
                self.tag_as(&new, &own, changed)?;
                if let Some(key) = &key
                    && own.tags.get(KEPT) != Some(key)
                {
                    let tag = BTreeMap::from([(KEPT.to_owned(), key.clone())]);
                    api::tag(&self.account, &own, &tag)?;
                    *changed = true;
                }
                self.rename(&own, &self.aside(&own.resource), changed, progress)?;
            }
            self.rename(&new, &self.instance, changed, progress)?;
        }
        self.take_our_tags(changed)?;
        scale(
            &self.account,
            &from.services,
            |count| target.tasks(count),
            self.patience,
            changed,
            progress,
        )
    }

    /// The instance that was used once, whatever it is called now.
    fn former(&self, id: &str, resource: Option<&str>) -> Result<Instance, StepError> {
        let found = match resource {
            Some(resource) => api::of_resource(&self.account, resource)?,
            None => api::instance(&self.account, id)?,
        };
        found.ok_or_else(|| gone(resource.unwrap_or(id)))
    }

    /// The instance that a restore has made, if it has.
    fn made(&self, key: &str, own: Option<&Instance>) -> Result<Option<Instance>, StepError> {
        let all = api::instances(&self.account)?;
        let tagged = |tags: &BTreeMap<String, String>, tag: &str| tags.get(tag).is_some_and(|value| value == key);
        if let Some(made) = all.iter().find(|one| tagged(&one.tags, TAG)) {
            return Ok(Some(made.clone()));
        }
        // It has the name already, and no tag any more.
        let replaced = |one: &Instance| tagged(&one.tags, KEPT) && self.is_kept(one);
        Ok(own.filter(|_| all.iter().any(replaced)).cloned())
    }

    /// Gives an instance another name, and comes back when it has it.
    fn rename(
        &self,
        instance: &Instance,
        name: &str,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        let mut wait = Wait::new(self.account.pace(), self.patience, progress);
        let mut asked = false;
        loop {
            let found = api::of_resource(&self.account, &instance.resource)?
                .ok_or_else(|| StepError::touched(format!("database instance {} has gone", instance.id)))?;
            if found.id == name && found.is_available() {
                return Ok(());
            }
            if found.is_lost() {
                return Err(StepError::touched(format!(
                    "database instance {} is {} and cannot be renamed to {name}",
                    found.id, found.status
                ))
                .hint("see its events (aws rds describe-events), then `resume` or `undo`"));
            }
            if found.id != name && found.is_available() && !asked {
                api::rename(&self.account, &found.id, name)?;
                asked = true;
                *changed = true;
                progress.line(&format!("database instance {} is renamed to {name}", found.id));
            }
            wait.pause(&format!("database instance {name}"))?;
        }
    }

    /// Gives an instance the tags of the one whose name it takes.
    fn tag_as(&self, new: &Instance, own: &Instance, changed: &mut bool) -> Result<(), StepError> {
        let mut missing = own.tags.clone();
        missing.retain(|key, value| is_theirs(key) && new.tags.get(key) != Some(value));
        if !missing.is_empty() {
            api::tag(&self.account, new, &missing)?;
            *changed = true;
        }
        let theirs = new.tags.keys().map(String::as_str).filter(|key| is_theirs(key));
        let extra: Vec<&str> = theirs.filter(|key| !own.tags.contains_key(*key)).collect();
        if !extra.is_empty() {
            api::untag(&self.account, new, &extra)?;
            *changed = true;
        }
        Ok(())
    }

    /// Terraform would take a tag of ours for one that somebody added.
    fn take_our_tags(&self, changed: &mut bool) -> Result<(), StepError> {
        let Some(own) = api::instance(&self.account, &self.instance)? else {
            return Ok(());
        };
        let ours: Vec<&str> = own
            .tags
            .keys()
            .map(String::as_str)
            .filter(|key| key.starts_with(OURS))
            .collect();
        if !ours.is_empty() {
            api::untag(&self.account, &own, &ours)?;
            *changed = true;
        }
        Ok(())
    }

    /// What Terraform is to be told: since version 5 of the provider the id of an instance is its resource id, and before
    /// that its name, which has not changed.
    pub(super) fn rebound_by_name(&self, from: &State, now: &State) -> Option<Rebound> {
        let (from, to) = (from.resource.as_ref()?, now.resource.as_ref()?);
        let attribute = |name: &str| Revalued {
            name: name.to_owned(),
            from: from.clone(),
            to: to.clone(),
        };
        (from != to).then(|| Rebound {
            kind: "aws_db_instance".to_owned(),
            what: format!("database instance {}", self.instance),
            known_by: attribute("resource_id"),
            also: vec![attribute("id")],
        })
    }
}

fn gone(id: &str) -> StepError {
    StepError::untouched(format!("database instance {id} is no longer there"))
}
