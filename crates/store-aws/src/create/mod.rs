//! `store create`: bucket and table made where they are missing, with settings under which nothing is lost.
//!
//! What exists and is in use is never changed: what differs from the settings that we would give is told. A bucket or
//! table that is there and empty gets the settings that it lacks, so that a creation that was cut off can be repeated.

mod bucket;
mod table;

use rollback_release::StoreError;

use crate::failure::{Call, of_call};
use crate::patience::Failed;
use crate::store::AwsStore;

/// One thing that a store needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Such as `bucket acme-rollback` or `versioning`.
    pub what: String,
    pub outcome: Outcome,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was missing and is there now.
    Made,
    /// It is missing; nothing was made, as only the question was asked.
    Missing,
    /// It is as it should be.
    There,
    /// It is different, and was left alone.
    Different { found: String, hint: String },
    /// The server (no real AWS) does not know it.
    Unsupported,
}

impl AwsStore {
    /// Makes bucket and table where missing. `dry` makes nothing. `progress` hears what takes a while.
    ///
    /// # Errors
    /// The bucket belongs to another account, the table has other keys, or a permission is missing. What was made stays:
    /// repeat it.
    pub fn create_missing(&self, dry: bool, progress: &dyn Fn(&str)) -> Result<Vec<Setting>, StoreError> {
        self.clients().wait(async {
            let mut settings = bucket::create(self.objects(), dry, progress).await?;
            settings.extend(table::create(self.table(), dry, progress).await?);
            Ok(settings)
        })
    }
}

/// Whether settings may be given to what exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    /// Made a moment ago, or there and empty.
    Fresh,
    InUse,
}

fn setting(what: impl Into<String>, outcome: Outcome) -> Setting {
    Setting {
        what: what.into(),
        outcome,
    }
}

/// An error of a call about the bucket or the table as a whole.
pub(crate) fn about<E>(
    objects: &crate::objects::Objects,
    action: &'static str,
    place: String,
    permission: &'static str,
) -> impl Fn(Failed<E>) -> StoreError
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
{
    move |failed| {
        let call = Call {
            action,
            place: place.clone(),
            permission,
        };
        of_call(&objects.location, objects.region.as_deref(), &call, &failed)
    }
}
