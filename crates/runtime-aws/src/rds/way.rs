//! The way to another instance, part for part. Each part looks whether it is done.

use rollback_runbook::step::{Progress, StepError};

use super::api::{self, Source};
use super::application::scale;
use super::database::{Database, State};
use super::instance::Instance;
use super::place::{mentions, replaced};
use super::target::Target;
use crate::waiting::Wait;

/// The tag that tells which restore made an instance.
pub(super) const TAG: &str = "infra-rollback:restore";

/// What our own tags begin with.
pub(super) const OURS: &str = "infra-rollback:";

/// Whether a tag is neither ours nor AWS's own.
pub(super) fn is_theirs(tag: &str) -> bool {
    !tag.starts_with("aws:") && !tag.starts_with(OURS)
}

impl Database {
    /// Everything that is not done yet, in its order. `changed` is set as soon as something is.
    pub(super) fn bring(
        &self,
        from: &State,
        target: &Target,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        let (id, made) = match target {
            Target::Instance { id, .. } => (id.clone(), None),
            Target::New { source, run } => {
                let (name, key) = self.name(source, run);
                (name, Some((source, key)))
            }
        };
        let found = api::instance(&self.account, &id)?;
        if let (Some(found), Some((_, key))) = (&found, &made)
            && found.tags.get(TAG) != Some(key)
        {
            return Err(StepError::untouched(format!(
                "there is a database instance {id} that this restore did not make"
            ))
            .hint("delete or rename it, or restore again under another run"));
        }
        if found.is_none() && made.is_none() {
            return Err(StepError::untouched(format!(
                "database instance {id} is no longer there"
            )));
        }
        // Once all places point there, the application only has to start again.
        if !self.all_point_to(found.as_ref())? {
            scale(&self.account, &from.services, |_| 0, self.patience, changed, progress)?;
            if let (None, Some((source, key))) = (&found, &made) {
                self.restore(from, &id, source, key)?;
                *changed = true;
                progress.line(&format!("database instance {id} is being restored"));
            }
            let new = self.wait_for(&id, changed, progress)?;
            if made.is_some() {
                self.settle(&new, from, changed, progress)?;
            }
            self.repoint(from, &new, changed, progress)?;
        }
        scale(
            &self.account,
            &from.services,
            |count| target.tasks(count),
            self.patience,
            changed,
            progress,
        )
    }

    fn all_point_to(&self, instance: Option<&Instance>) -> Result<bool, StepError> {
        let Some(address) = instance.and_then(|instance| instance.address.as_deref()) else {
            return Ok(false);
        };
        for place in &self.places {
            if !mentions(&place.read(&self.account)?, address) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes an instance what the old one is, in what can be changed of it.
    pub(super) fn settle(
        &self,
        new: &Instance,
        from: &State,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        if new.settings.is_settled_as(&from.settings) {
            return Ok(());
        }
        api::settle(&self.account, new, &from.settings)?;
        *changed = true;
        progress.line(&format!(
            "database instance {} is set as the one in whose place it comes",
            new.id
        ));
        Ok(())
    }

    pub(super) fn restore(&self, from: &State, id: &str, source: &Source, key: &str) -> Result<(), StepError> {
        let mut tags = api::instance(&self.account, &from.instance)?
            .map(|old| old.tags)
            .unwrap_or_default();
        tags.retain(|name, _| is_theirs(name));
        tags.insert(TAG.to_owned(), key.to_owned());
        api::restore(&self.account, id, source, &from.settings, &tags)
    }

    pub(super) fn wait_for(
        &self,
        id: &str,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<Instance, StepError> {
        let mut wait = Wait::new(self.account.pace(), self.patience, progress);
        let mut told = String::new();
        loop {
            let found = api::instance(&self.account, id)?.ok_or_else(|| {
                StepError::touched(format!("database instance {id} has gone while it was waited for"))
            })?;
            if found.is_available() && found.address.is_some() {
                return Ok(found);
            }
            if found.is_lost() {
                return Err(
                    StepError::touched(format!("database instance {id} is {}", found.status)).hint(
                        "see its events (aws rds describe-events); delete it and `resume`, or `undo`, which starts the \
                     application with the old instance",
                    ),
                );
            }
            if told != found.status {
                progress.line(&format!("database instance {id} is {}", found.status));
                told.clone_from(&found.status);
            }
            *changed = true;
            wait.pause(&format!("an available database instance {id}"))?;
        }
    }

    fn repoint(
        &self,
        from: &State,
        new: &Instance,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        let (Some(old), Some(address)) = (from.address.as_deref(), new.address.as_deref()) else {
            return Err(StepError::untouched("the old database instance has no address"));
        };
        for place in &self.places {
            let text = place.read(&self.account)?;
            if mentions(&text, address) {
                continue;
            }
            let text = replaced(&text, old, address).ok_or_else(|| {
                StepError::untouched(format!("{old} does not stand in {}", place.words()))
                    .hint(format!("write {address} there by hand, and `resume`"))
            })?;
            *changed = true;
            place.write(&self.account, &text, self.patience, progress)?;
            progress.line(&format!("{} points at {address}", place.words()));
        }
        Ok(())
    }
}
