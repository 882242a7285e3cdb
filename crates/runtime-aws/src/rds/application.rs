//! The services that use a database: they stop before it changes, so that nothing is written to the old one, and start
//! again when they point at the new one.

use std::time::Duration;

use rollback_runbook::step::{Progress, StepError};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::ecs::{Name, Place};
use crate::failure::AfterChange;
use crate::waiting::Wait;

/// A service, and how many tasks of it there are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    pub cluster: String,
    pub service: String,
    pub desired: i32,
}

impl Count {
    /// Whether both are of one service.
    pub(super) fn is_of(&self, other: &Count) -> bool {
        (&self.cluster, &self.service) == (&other.cluster, &other.service)
    }

    fn name(&self) -> Name {
        Name {
            cluster: self.cluster.clone(),
            service: self.service.clone(),
        }
    }

    fn place(&self, account: &Account) -> Place {
        Place {
            account: account.clone(),
            name: self.name(),
        }
    }
}

/// How many tasks there are to be, now.
pub(super) fn counts(account: &Account, services: &[Name]) -> Result<Vec<Count>, StepError> {
    let count = |name: &Name| {
        let place = Place {
            account: account.clone(),
            name: name.clone(),
        };
        Ok(Count {
            cluster: name.cluster.clone(),
            service: name.service.clone(),
            desired: place.service()?.desired_count,
        })
    };
    services.iter().map(count).collect()
}

/// Brings each service to `desired` tasks (its own count, or none), and comes back when so many run. `changed` is set as
/// soon as one was told to.
pub(super) fn scale(
    account: &Account,
    counts: &[Count],
    desired: impl Fn(&Count) -> i32,
    patience: Duration,
    changed: &mut bool,
    progress: &dyn Progress,
) -> Result<(), StepError> {
    for count in counts {
        let (place, desired) = (count.place(account), desired(count));
        let current = place.service()?.desired_count;
        if current != desired {
            place.update(None, Some(desired), false)?;
            *changed = true;
            progress.line(&format!("{} goes from {current} to {desired} tasks", place.name.full()));
        }
    }
    for count in counts {
        let (place, desired) = (count.place(account), desired(count));
        let mut wait = Wait::new(account.pace(), patience, progress);
        let mut told = None;
        loop {
            let service = place.service().after_change()?;
            let running = service.running_count;
            if running == desired && service.desired_count == desired {
                break;
            }
            if service.desired_count != desired {
                return Err(StepError::touched(format!(
                    "{} was set to {} tasks while {desired} were waited for",
                    place.name.full(),
                    service.desired_count
                ))
                .hint("does an autoscaler hold it up? Set its minimum (Application Auto Scaling), then `resume`"));
            }
            if told != Some(running) {
                progress.line(&format!("{} has {running} tasks running", place.name.full()));
                told = Some(running);
            }
            wait.pause(&format!("{} with {desired} tasks", place.name.full()))?;
        }
    }
    Ok(())
}
