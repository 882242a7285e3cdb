//! Values of records that lie in objects and belong to nobody: their write was cut off before its item, or the removal of a
//! value that was replaced never came to its object.

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use rollback_release::{Leftover, StoreError, Version};

use crate::blobs::PARALLEL;
use crate::item::{SPILLED, record_of_spilled};
use crate::objects::Listed;
use crate::table::Table;

/// How many objects are listed at once.
const PAGE: usize = 1000;

/// Those that were put before a time. A version is never written twice: what an item does not name by now, no item ever will,
/// unless its write is still under way, and so long no write takes.
pub(crate) async fn find(table: &Table, put_before: Timestamp) -> Result<Vec<Leftover>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = table.objects.list(SPILLED, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.name.clone());
        let old = page.into_iter().filter(|object| object.written_at < put_before);
        let leftovers: Vec<Option<Leftover>> = futures_util::stream::iter(old)
            .map(async |object| Ok::<_, StoreError>(is_left(table, &object.name).await?.then(|| leftover(object))))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        found.extend(leftovers.into_iter().flatten());
    }
}

/// Removes one if it still is one; tells whether it was there.
///
/// # Errors
/// [`StoreError::Retained`] where Object Lock keeps it.
pub(crate) async fn remove(table: &Table, name: &str) -> Result<bool, StoreError> {
    if !is_left(table, name).await? {
        return Ok(false);
    }
    table.objects.collect(name).await
}

async fn is_left(table: &Table, name: &str) -> Result<bool, StoreError> {
    // Anything else in the folder is not ours to judge.
    let Some((key, version)) = record_of_spilled(name) else {
        return Ok(false);
    };
    let current: Option<Version> = table.version(key).await?;
    Ok(current != Some(version))
}

fn leftover(object: Listed) -> Leftover {
    Leftover {
        name: object.name,
        stored_bytes: object.bytes,
        written_at: object.written_at,
    }
}
