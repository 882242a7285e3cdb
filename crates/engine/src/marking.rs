//! What people say about a release later: that it must stay, that it is broken, that it works.

use rollback_release::{Catalogue, Mark, Release, Verdict};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// A change of a release's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Keep it whatever its age.
    Pin,
    Unpin,
    /// Nobody should go back to it.
    Bad,
    Good,
    /// Take back `bad` or `good`.
    Unmark,
}

/// Marks a release; the mark as it is then.
///
/// # Errors
/// The store cannot be read or written.
pub fn mark(
    catalogue: &Catalogue<'_>,
    by: &str,
    release: &Release,
    change: Change,
    reason: Option<&str>,
) -> Result<Mark> {
    let change = |mark: &mut Mark| {
        match change {
            Change::Pin => mark.pinned = true,
            Change::Unpin => mark.pinned = false,
            Change::Bad => mark.verdict = Some(Verdict::Bad),
            Change::Good => mark.verdict = Some(Verdict::Good),
            Change::Unmark => mark.verdict = None,
        }
        if reason.is_some() {
            mark.reason = reason.map(str::to_owned);
        } else if !mark.pinned && mark.verdict.is_none() {
            mark.reason = None;
        }
    };
    Ok(catalogue.mark(&release.id, by, &change)?)
}
