//! From a definition that is wanted to a service that runs it.

use std::time::Duration;

use rollback_runbook::step::{Progress, StepError};
use serde_json::Value;

use super::api::{self, Revision};
use super::definition::{self, short};
use super::place::Place;
use super::stable::Watch;
use crate::account::Account;
use crate::failure::AfterChange;
use crate::unanswered::once;

/// How many revisions of a family are looked through for one that says what is wanted. After a crash between registering
/// and updating it is the newest.
const NEWEST: i32 = 10;

/// How a service is brought to a definition.
#[derive(Default)]
pub(super) struct Way<'a> {
    /// A revision that had it.
    pub known: Option<&'a str>,
    /// How many tasks there are to be.
    pub desired: Option<i32>,
    /// Tasks are started anew though the definition is the same: a tag in it names another image than what runs.
    pub fresh: bool,
}

/// Brings the service to `definition`, and comes back when only that runs.
///
/// Nothing here needs to know what an earlier attempt did: a revision that says what is wanted is used before another one
/// is registered, and a service that is at it already is only waited for.
pub(super) fn roll_out(
    place: &Place,
    definition: &Value,
    way: &Way<'_>,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<(), StepError> {
    let service = place.service()?;
    let current = place.revision_of(&service)?;
    let mut watch = Watch::begin(place, progress)?;
    let desired = way.desired.filter(|desired| *desired != service.desired_count);
    let (revision, registered) = match definition::is_same(&current.definition, definition) {
        // What a service runs may be a revision that was deregistered since; it can go on running it.
        true => (current.arn.clone(), false),
        false => find_or_register(&place.account, definition, way.known, progress)?,
    };
    if revision != current.arn || desired.is_some() || way.fresh {
        progress.line(&match desired {
            Some(desired) => format!("{} goes to {}, {desired} tasks", place.name.full(), short(&revision)),
            None if revision == current.arn => format!("{} starts its tasks anew", place.name.full()),
            None => format!(
                "{} goes from {} to {}",
                place.name.full(),
                short(&current.arn),
                short(&revision)
            ),
        });
        let updated = place.update(
            (revision != current.arn).then_some(revision.as_str()),
            desired,
            way.fresh && revision == current.arn,
        );
        match registered {
            true => updated.after_change()?,
            false => updated?,
        }
    }
    // Services may be told of by their short names; what is compared later is what it says itself.
    watch.until_stable(place.account.pace(), patience, &revision)
}

/// An active revision that says this, and whether it had to be registered.
pub(super) fn find_or_register(
    account: &Account,
    definition: &Value,
    known: Option<&str>,
    progress: &dyn Progress,
) -> Result<(String, bool), StepError> {
    if let Some(known) = known
        && let Some(revision) = api::revision(account, known)?
        && fits(&revision, definition)
    {
        return Ok((revision.arn, false));
    }
    let newest = || newest_like(account, definition);
    if let Some(arn) = newest()? {
        return Ok((arn, false));
    }
    let made = once(|| api::register(account, definition), newest)?;
    progress.line(&format!("registered {}", short(&made)));
    Ok((made, true))
}

/// The newest active revision that says this.
fn newest_like(account: &Account, definition: &Value) -> Result<Option<String>, StepError> {
    for arn in api::newest(account, definition::family(definition)?, NEWEST)? {
        if let Some(revision) = api::revision(account, &arn)?
            && fits(&revision, definition)
        {
            return Ok(Some(revision.arn));
        }
    }
    Ok(None)
}

fn fits(revision: &Revision, definition: &Value) -> bool {
    revision.active && definition::is_same(&revision.definition, definition)
}
