//! The protocol of the locks as pure decisions: who may take a lock, when a lease is over, whose write is accepted. The
//! store is asked and told elsewhere ([`crate::lock`], [`crate::fence`]); the model in `tests/lease_model.rs` tries these
//! very functions in every order of events.
//!
//! - A *lock* says who works on a stack. Its holder renews it; each renewal is a new version of the record.
//! - A *fence* is a counter per stack. It rises in the same transaction that takes the lock and is never removed. Who
//!   holds a lock writes only in transactions that check that the fence is still the one it was given: whoever was
//!   overtaken, however late it wakes up, writes nothing more.
//! - A lease is over when one observer, by its own steady clock, has seen one version stand still for a whole lease. No
//!   clock of another machine takes part.
//! - A lock that is marked *applying* belongs to its run until that run is resumed or given up: nobody can check a fence
//!   in front of a cloud's API, so Terraform may still be working there.

use std::time::Duration;

/// The value of a fence.
pub type Token = u64;

/// What is known of the process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs on this machine.
    Alive,
    /// It ran on this machine and is gone.
    Dead,
    /// It runs or ran elsewhere: it cannot be asked.
    Unknown,
}

/// A lock as an observer sees it. `V` is the version of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeenLock<V> {
    pub version: V,
    /// Effects of its run may have happened or be happening.
    pub applying: bool,
    pub life: Life,
    /// Whether this observer saw the version stand still for a whole lease.
    pub expired: bool,
    /// Whether it is held for the very run that asks.
    pub same_run: bool,
}

/// A stack's records as an observer sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen<V> {
    pub lock: Option<SeenLock<V>>,
    pub fence: Option<(Token, V)>,
}

/// What must be true of a record for a write to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Precondition<V> {
    Absent,
    Is(V),
}

/// What is written, in one transaction, to take a lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant<V> {
    /// The new value of the fence.
    pub token: Token,
    pub lock: Precondition<V>,
    pub fence: Precondition<V>,
    /// The lock stays marked: what the former holder began is not known to have ended.
    pub applying: bool,
}

/// Why a lock is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its holder works, or was not yet seen to stand still.
    Held,
    /// Its holder is dead, and died while it applied: only its own run goes on.
    StoppedHalfway,
    /// Its lease is over, and it was applying: only its own run goes on, after somebody has made sure.
    NeedsReconcile,
    /// Its own run asks for it, and nobody has shown that the former process is dead.
    Unproven,
}

/// Whether a lock may be taken, and by which write.
///
/// `vouched`: a person says, on record, that the holder and the Terraform that it started are dead. What is known to be
/// alive on this machine is not taken from it all the same.
///
/// # Errors
/// It may not.
pub fn take<V: Clone>(seen: &Seen<V>, vouched: bool) -> Result<Grant<V>, Refusal> {
    let applying = match &seen.lock {
        None => false,
        Some(lock) => match (lock.life, lock.applying, lock.same_run) {
            (Life::Dead, false, _) | (Life::Dead, true, true) => lock.applying,
            (Life::Dead, true, false) => return Err(Refusal::StoppedHalfway),
            (Life::Unknown, _, true) if vouched => lock.applying,
            (_, false, _) if lock.expired => false,
            (_, true, false) if lock.expired => return Err(Refusal::NeedsReconcile),
            (Life::Unknown, true, true) => return Err(Refusal::Unproven),
            _ => return Err(Refusal::Held),
        },
    };
    Ok(Grant {
        token: seen.fence.as_ref().map_or(1, |(token, _)| token + 1),
        lock: seen
            .lock
            .as_ref()
            .map_or(Precondition::Absent, |lock| Precondition::Is(lock.version.clone())),
        fence: seen
            .fence
            .as_ref()
            .map_or(Precondition::Absent, |(_, version)| Precondition::Is(version.clone())),
        applying,
    })
}

/// Whether a person may take a lock away from its holder. Before the first effect the fence makes that harmless; after it
/// only where the process and its Terraform are known to be dead, or where the person insists.
pub fn may_release(applying: bool, life: Life, child_may_live: bool, forced: bool) -> bool {
    forced || !applying || (life == Life::Dead && !child_may_live)
}

/// What a conditional write that was refused has come to: it may be one's own earlier one whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The fence has risen: somebody else has the lock, and nothing of ours counts any more.
    Overtaken,
    /// It was done before: what we wrote is there.
    DoneBefore,
    /// The fence is ours and the record is somebody else's.
    Conflict,
}

/// Reads a refusal after looking again. The fence counts first: what was written in time does not permit what comes next.
pub fn read_refusal(fence_is_ours: bool, found_is_ours: bool) -> Refused {
    match (fence_is_ours, found_is_ours) {
        (false, _) => Refused::Overtaken,
        (true, true) => Refused::DoneBefore,
        (true, false) => Refused::Conflict,
    }
}

/// One observer's watch over one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch<V> {
    seen: Option<(V, Duration)>,
}

impl<V: PartialEq> Default for Watch<V> {
    fn default() -> Self {
        Watch { seen: None }
    }
}

impl<V: PartialEq> Watch<V> {
    /// Notes what is there, and tells for how long it has stood still under these eyes at the least: the record was read
    /// at some moment between `asked` and `answered`, by the observer's own steady clock.
    pub fn look(&mut self, version: V, asked: Duration, answered: Duration) -> Duration {
        match &self.seen {
            Some((seen, since)) if *seen == version => asked.saturating_sub(*since),
            _ => {
                self.seen = Some((version, answered));
                Duration::ZERO
            }
        }
    }
}

/// How often a holder renews: three times in a lease.
pub fn beat_interval(lease: Duration) -> Duration {
    lease / 3
}

/// How often a contender looks: often enough to see every beat.
pub fn look_interval(lease: Duration) -> Duration {
    (lease / 20).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(life: Life, applying: bool, expired: bool, same_run: bool) -> Seen<u8> {
        Seen {
            lock: Some(SeenLock {
                version: 7,
                applying,
                life,
                expired,
                same_run,
            }),
            fence: Some((4, 5)),
        }
    }

    #[test]
    fn a_free_stack_is_taken_under_a_higher_fence() {
        let nothing = Seen::<u8> {
            lock: None,
            fence: None,
        };
        let grant = take(&nothing, false).unwrap();
        assert_eq!(
            (grant.token, grant.lock, grant.fence),
            (1, Precondition::Absent, Precondition::Absent)
        );
        let released = Seen {
            lock: None,
            fence: Some((4, 5_u8)),
        };
        let grant = take(&released, false).unwrap();
        assert_eq!((grant.token, grant.fence), (5, Precondition::Is(5)));
    }

    /// Every combination: nobody takes over what applies but its own run, and that only with proof.
    #[test]
    fn what_applies_is_never_taken_without_proof() {
        for life in [Life::Alive, Life::Dead, Life::Unknown] {
            for bits in 0..16_u8 {
                let [applying, expired, same_run, vouched] = [1, 2, 4, 8].map(|bit| bits & bit > 0);
                let taken = take(&seen(life, applying, expired, same_run), vouched);
                let proven = life == Life::Dead || (life == Life::Unknown && vouched);
                let case = format!("{life:?} applying {applying} expired {expired} same {same_run} vouched {vouched}");
                match taken {
                    Ok(grant) => {
                        assert!(!applying || (same_run && proven), "{case}");
                        assert!(
                            applying || life == Life::Dead || expired || (same_run && proven),
                            "{case}"
                        );
                        assert_eq!(grant.applying, applying, "{case}");
                        assert_eq!(grant.lock, Precondition::Is(7), "{case}");
                        assert_eq!(grant.token, 5, "{case}");
                    }
                    Err(Refusal::NeedsReconcile) => assert!(applying && expired && !same_run, "{case}"),
                    Err(Refusal::StoppedHalfway) => assert!(applying && life == Life::Dead && !same_run, "{case}"),
                    Err(Refusal::Unproven) => assert!(applying && same_run && !proven, "{case}"),
                    Err(Refusal::Held) => assert!(life != Life::Dead, "{case}"),
                }
            }
        }
    }

    #[test]
    fn a_lease_is_over_only_when_one_version_stood_still_under_ones_own_eyes() {
        let at = Duration::from_secs;
        let mut watch = Watch::default();
        assert_eq!(watch.look(1, at(100), at(100)), Duration::ZERO);
        assert_eq!(watch.look(1, at(129), at(129)), at(29));
        assert_eq!(watch.look(2, at(130), at(130)), Duration::ZERO);
        assert_eq!(watch.look(2, at(135), at(135)), at(5));
        // A clock that stood still or went back shortens, and never lengthens.
        assert_eq!(watch.look(2, at(1), at(1)), Duration::ZERO);
        // Slow answers shorten too: it may have been written just before the first one, and after the second question.
        assert_eq!(watch.look(3, at(200), at(207)), Duration::ZERO);
        assert_eq!(watch.look(3, at(230), at(260)), at(23));
    }
}
