//! States in a history that this program wrote itself, or keeps already: of those it knows more than the history does.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use rollback_release::ReleaseKind;

use super::Why;
use crate::context::{Context, Stack};
use crate::error::Result;

/// What the releases of snapshots and runs tell of one stack.
pub(super) struct Own {
    /// The release that holds each state, by the SHA-256 of its bytes.
    kept: HashMap<String, String>,
    /// The states that were there before runs.
    before: HashSet<String>,
    /// When each run began and ended, in whole seconds as histories tell time.
    runs: BTreeMap<String, (i64, i64)>,
}

impl Own {
    /// Looks through the releases.
    pub fn of(context: &Context, stack: &Stack) -> Result<Own> {
        let mut own = Own {
            kept: HashMap::new(),
            before: HashSet::new(),
            runs: BTreeMap::new(),
        };
        for release in context.catalogue().list(usize::MAX)? {
            let Some(record) = release.stack(&stack.name) else {
                continue;
            };
            let sha256 = record.state.as_ref().map(|state| state.sha256.clone());
            match &release.kind {
                ReleaseKind::Imported(_) => continue,
                ReleaseKind::Backup { .. } => own.before.extend(sha256),
                ReleaseKind::Snapshot | ReleaseKind::Result { .. } => {
                    own.kept.extend(sha256.map(|sha256| (sha256, release.id.to_string())));
                }
            }
            if let ReleaseKind::Backup { run } | ReleaseKind::Result { run } = &release.kind {
                let second = release.created_at.as_second();
                let span = own.runs.entry(run.clone()).or_insert((second, second));
                *span = (span.0.min(second), span.1.max(second));
            }
        }
        Ok(own)
    }

    /// Why a state need not be taken in.
    pub fn explains(&self, sha256: &str, time: Timestamp) -> Option<(Why, String)> {
        if let Some(release) = self.kept.get(sha256) {
            return Some((Why::Known, format!("release {release} has its very bytes")));
        }
        let second = time.as_second();
        let mut runs = self.runs.iter();
        let (run, _) = runs.find(|(_, (begun, ended))| (*begun..=*ended).contains(&second))?;
        // What a deploy left in the second in which a run began is the deploy's.
        (!self.before.contains(sha256)).then(|| (Why::Run, format!("run {run} wrote it on its way")))
    }
}
