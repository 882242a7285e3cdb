//! Which releases are past their time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{Mark, ReleaseId, ReleaseKind, Summary};

/// What is kept. A release that either of the two keeps is kept; with neither all are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// So many of the newest, backups of runs not counted; backups go with the releases of their time.
    pub keep_last: Option<usize>,
    /// Everything made at this time or later.
    pub keep_since: Option<Timestamp>,
}

/// Those past their time, oldest first, and those that would be but are needed, each with the reason. `summaries` are
/// newest first; `needed` is what the caller knows to be needed.
pub(super) fn expired(
    summaries: Vec<Summary>,
    retention: Retention,
    marks: &BTreeMap<ReleaseId, Mark>,
    needed: &BTreeMap<ReleaseId, String>,
) -> (Vec<Summary>, BTreeMap<ReleaseId, String>) {
    if retention.keep_last.is_none() && retention.keep_since.is_none() {
        return (Vec::new(), BTreeMap::new());
    }
    let mut reasons = needed.clone();
    for (id, mark) in marks.iter().filter(|(_, mark)| mark.pinned) {
        reasons.insert(id.clone(), format!("pinned by {}", mark.by));
    }
    // Of each stack the newest that has a state, and the newest that is no backup.
    let mut seen: BTreeSet<(&str, bool)> = BTreeSet::new();
    for summary in &summaries {
        let is_backup = matches!(summary.kind, ReleaseKind::Backup { .. });
        for stack in summary.stacks.iter().filter(|stack| stack.state.is_some()) {
            let newest = seen.insert((&stack.name, true));
            let newest_deploy = !is_backup && seen.insert((&stack.name, false));
            if newest || newest_deploy {
                let reason = || format!("the newest of stack {}", stack.name);
                reasons.entry(summary.id.clone()).or_insert_with(reason);
            }
        }
    }
    let deploys = summaries
        .iter()
        .filter(|summary| !matches!(summary.kind, ReleaseKind::Backup { .. }));
    let oldest_counted: Option<ReleaseId> = retention
        .keep_last
        .and_then(|count| deploys.take(count).last().map(|summary| summary.id.clone()));
    let is_kept = |summary: &Summary| {
        oldest_counted.as_ref().is_some_and(|oldest| summary.id >= *oldest)
            || retention.keep_since.is_some_and(|since| summary.created_at >= since)
    };
    let past: Vec<Summary> = summaries.iter().filter(|summary| !is_kept(summary)).cloned().collect();
    let (kept, mut expired): (Vec<Summary>, Vec<Summary>) =
        past.into_iter().partition(|summary| reasons.contains_key(&summary.id));
    expired.reverse();
    let kept: BTreeSet<ReleaseId> = kept.into_iter().map(|summary| summary.id).collect();
    reasons.retain(|id, _| kept.contains(id));
    (expired, reasons)
}
