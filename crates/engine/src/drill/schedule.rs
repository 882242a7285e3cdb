//! Rehearsals by themselves: which releases are due, and which of several instances of a service does them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rollback_config::project::DrillSection;
use rollback_release::{Catalogue, Created, ReleaseKind, Replaced, Store, Summary, Version, keys};
use serde::{Deserialize, Serialize};

use super::last;
use crate::error::{EngineError, Result};
use crate::lock::to_bytes;

/// How often, and how many releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub every: Duration,
    pub releases: usize,
}

impl Schedule {
    /// As the settings say.
    ///
    /// # Errors
    /// What is no length of time.
    pub fn of(section: &DrillSection) -> Result<Schedule> {
        let every = section.every.parse::<SignedDuration>().ok();
        let every = every.and_then(|every| Duration::try_from(every).ok());
        Ok(Schedule {
            every: every.ok_or_else(|| EngineError::usage("`every` of [drill] is no length of time"))?,
            releases: usize::try_from(section.releases).unwrap_or(usize::MAX),
        })
    }
}

/// The newest releases that people or pipelines took, one for each commit, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn newest(catalogue: &Catalogue<'_>, count: usize) -> Result<Vec<Summary>> {
    let mut found: Vec<Summary> = Vec::new();
    for release in catalogue.summaries(usize::MAX)?.items {
        if found.len() == count {
            break;
        }
        let own = matches!(release.kind, ReleaseKind::Backup { .. });
        if !own && !found.iter().any(|known| known.commit == release.commit) {
            found.push(release);
        }
    }
    Ok(found)
}

/// Those of the newest releases that have not been rehearsed for so long, the longest ago first.
///
/// # Errors
/// The store cannot be read.
pub fn due(store: &dyn Store, project: &str, schedule: &Schedule, now: Timestamp) -> Result<Vec<Summary>> {
    let catalogue = Catalogue::new(store, project);
    let mut due: Vec<(Option<Timestamp>, Summary)> = Vec::new();
    for release in newest(&catalogue, schedule.releases)? {
        let at = last(store, project, release.id.as_str())?.map(|last| last.at);
        let is_due = at.is_none_or(|at| now.duration_since(at).unsigned_abs() >= schedule.every);
        if is_due {
            due.push((at, release));
        }
    }
    // Never rehearsed at all comes before the oldest rehearsal.
    due.sort_by_key(|(at, _)| *at);
    Ok(due.into_iter().map(|(_, release)| release).collect())
}

/// Who rehearses, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// The instance, by a random name; none where nobody does.
    holder: Option<String>,
    /// It rises while the holder is at it.
    beats: u64,
}

/// How long a claim may stand still until others take it over. As with locks, only time that the waiting instance has itself
/// measured counts: no clock of another machine decides.
pub const SILENCE: Duration = Duration::from_secs(60);

/// The claim as one instance sees it.
pub struct Claims {
    store: Arc<dyn Store>,
    key: String,
    me: String,
    /// Another's claim, and since when it has been standing still.
    seen: Option<(Version, Instant)>,
}

impl Claims {
    /// `me` is a name that no other instance has.
    pub fn new(store: Arc<dyn Store>, project: &str, me: &str) -> Claims {
        Claims {
            store,
            key: keys::drilling(project),
            me: me.to_owned(),
            seen: None,
        }
    }

    fn read(&self) -> Result<Option<(Claim, Version)>> {
        let Some((bytes, version)) = self.store.get(&self.key)? else {
            return Ok(None);
        };
        // What cannot be read was written by a newer program, and is somebody's.
        let claim = serde_json::from_slice(&bytes).unwrap_or(Claim {
            holder: Some(String::new()),
            beats: 0,
        });
        Ok(Some((claim, version)))
    }

    /// Takes the claim where nobody has it, or where whoever has it has been silent for `silence`.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn take(&mut self, silence: Duration) -> Result<bool> {
        let mine = |beats| {
            to_bytes(&Claim {
                holder: Some(self.me.clone()),
                beats,
            })
        };
        let Some((claim, version)) = self.read()? else {
            return Ok(matches!(self.store.create(&self.key, &mine(0)?)?, Created::Yes(_)));
        };
        let others = claim.holder.as_ref().is_some_and(|holder| *holder != self.me);
        if others {
            let since = match &self.seen {
                Some((known, since)) if *known == version => *since,
                _ => {
                    self.seen = Some((version, Instant::now()));
                    return Ok(false);
                }
            };
            if since.elapsed() < silence {
                return Ok(false);
            }
        }
        let taken = self.store.replace(&self.key, &version, &mine(claim.beats + 1)?)?;
        Ok(matches!(taken, Replaced::Yes(_)))
    }

    /// Says that it is still at it; false where another instance has taken the claim over.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn beat(&self) -> Result<bool> {
        self.change(Some(self.me.clone()))
    }

    /// Gives the claim back.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn leave(&self) -> Result<()> {
        self.change(None).map(|_| ())
    }

    fn change(&self, holder: Option<String>) -> Result<bool> {
        match self.read()? {
            Some((claim, version)) if claim.holder.as_deref() == Some(&self.me) => {
                let bytes = to_bytes(&Claim {
                    holder,
                    beats: claim.beats + 1,
                })?;
                Ok(matches!(
                    self.store.replace(&self.key, &version, &bytes)?,
                    Replaced::Yes(_)
                ))
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollback_release::MemoryStore;

    fn two_instances() -> (Claims, Claims) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        (Claims::new(store.clone(), "p", "one"), Claims::new(store, "p", "two"))
    }

    #[test]
    fn one_of_two_has_the_claim_until_it_gives_it_back() {
        let (mut one, mut two) = two_instances();
        assert!(one.take(SILENCE).unwrap());
        assert!(!two.take(SILENCE).unwrap());
        assert!(one.take(SILENCE).unwrap(), "its own claim is no obstacle");
        assert!(one.beat().unwrap());
        assert!(!two.beat().unwrap());
        two.leave().unwrap();
        assert!(!two.take(SILENCE).unwrap(), "nobody gives back what is another's");
        one.leave().unwrap();
        assert!(two.take(SILENCE).unwrap());
        assert!(!one.beat().unwrap());
    }

    #[test]
    fn who_is_silent_loses_it_and_who_beats_does_not() {
        let (mut one, mut two) = two_instances();
        assert!(one.take(Duration::ZERO).unwrap());
        assert!(!two.take(Duration::ZERO).unwrap(), "it has only just been seen");
        one.beat().unwrap();
        assert!(!two.take(Duration::ZERO).unwrap(), "it has moved since");
        assert!(two.take(Duration::ZERO).unwrap(), "it stood still");
        assert!(!one.beat().unwrap());
    }
}
