//! What people say about a release after it was made. The release itself never changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError};
use crate::{Created, ReleaseId, Replaced, StoreError, keys};

/// A judgement on what was deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was found to be broken: nobody should go back to it.
    Bad,
    /// It was found to work.
    Good,
}

/// What is said about one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Never removed by retention.
    #[serde(default)]
    pub pinned: bool,
    #[serde(default)]
    pub verdict: Option<Verdict>,
    #[serde(default)]
    pub reason: Option<String>,
    /// Who said the last of it, and when.
    pub by: String,
    pub at: Timestamp,
}

/// How often a change is tried against others that change the same mark.
const ATTEMPTS: usize = 20;

impl Catalogue<'_> {
    /// Every mark of the project; what cannot be read is an error, as it may be a pin.
    pub fn marks(&self) -> Result<BTreeMap<ReleaseId, Mark>, CatalogueError> {
        let prefix = keys::marks(&self.project);
        let mut marks = BTreeMap::new();
        for entry in crate::all_entries(self.store, &prefix)? {
            let id = entry.key[prefix.len()..].parse::<ReleaseId>();
            let mark = serde_json::from_slice(&entry.value);
            match (id, mark) {
                (Ok(id), Ok(mark)) => drop(marks.insert(id, mark)),
                _ => return Err(unreadable(&entry.key).into()),
            }
        }
        Ok(marks)
    }

    /// Changes what is said about a release, which must be there. Gives what is said now.
    pub fn mark(&self, id: &ReleaseId, by: &str, change: &dyn Fn(&mut Mark)) -> Result<Mark, CatalogueError> {
        self.get(id)?;
        let key = keys::mark(&self.project, id);
        for _ in 0..ATTEMPTS {
            let found = self.store.get(&key)?;
            let mut mark = match &found {
                Some((bytes, _)) => serde_json::from_slice(bytes).map_err(|_| unreadable(&key))?,
                None => Mark {
                    pinned: false,
                    verdict: None,
                    reason: None,
                    by: String::new(),
                    at: Timestamp::now(),
                },
            };
            let before = mark.clone();
            change(&mut mark);
            if found.is_some() && mark == before {
                return Ok(mark);
            }
            by.clone_into(&mut mark.by);
            mark.at = Timestamp::now();
            let bytes = serde_json::to_vec(&mark).map_err(|error| StoreError::Damaged {
                place: key.clone(),
                reason: error.to_string(),
            })?;
            let done = match &found {
                Some((_, version)) => matches!(self.store.replace(&key, version, &bytes)?, Replaced::Yes(_)),
                None => matches!(self.store.create(&key, &bytes)?, Created::Yes(_)),
            };
            if done {
                return Ok(mark);
            }
        }
        Err(StoreError::Busy {
            place: key,
            waited_seconds: 0,
        }
        .into())
    }
}

fn unreadable(key: &str) -> StoreError {
    StoreError::Damaged {
        place: key.to_owned(),
        reason: "it is no mark of a release, or one of a newer program".to_owned(),
    }
}
