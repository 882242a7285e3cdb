//! Approvals given from elsewhere: by whom, of which plan, used once.
//!
//! An approval is of one digest ([`crate::drive::digest_of`]): another plan needs another one. It is used up by the
//! very transaction that makes the run an applying one, so that of many who start it at once exactly one does.

use jiff::Timestamp;
use rollback_release::{Created, Operation, Replaced, Store, Version, keys};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Kind, Result};
use crate::person::Person;
use crate::run::Consent;

/// One person's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub by: String,
    /// What tells whether another one is the same person's: see [`Person`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    pub at: Timestamp,
    /// From then on it counts no more.
    pub expires_at: Timestamp,
    pub comment: Option<String>,
    /// What this person said yes to beyond the plan as a whole.
    #[serde(default)]
    pub consent: Consent,
}

impl Given {
    /// Who said it.
    pub fn person(&self) -> Person {
        Person::new(&self.by, &self.marks)
    }
}

/// A word that there is no time for the others' yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    pub by: String,
    pub at: Timestamp,
    /// From then on it counts no more.
    pub expires_at: Timestamp,
    pub reason: String,
    /// What this person said yes to beyond the plan as a whole.
    #[serde(default)]
    pub consent: Consent,
}

/// How many different people have to say yes, and whose yes does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    pub needed: usize,
    /// Whoever asked for it, where somebody else has to look.
    pub without: Option<Person>,
}

impl Quorum {
    /// Anybody's yes counts.
    pub fn of(needed: usize) -> Quorum {
        Quorum { needed, without: None }
    }

    fn counts(&self, given: &Given) -> bool {
        self.without.as_ref().is_none_or(|other| !other.is(&given.person()))
    }
}

/// Every yes to one plan of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub format: u32,
    pub digest: String,
    pub given: Vec<Given>,
    /// Somebody went ahead without the rest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
    /// When the run began to apply on the strength of it.
    pub consumed_at: Option<Timestamp>,
}

impl Approval {
    /// Those whose yes counts now.
    pub fn standing(&self) -> impl Iterator<Item = &Given> {
        let now = Timestamp::now();
        self.given.iter().filter(move |given| given.expires_at > now)
    }

    /// The broken glass, while it counts.
    pub fn broken(&self) -> Option<&Broken> {
        let now = Timestamp::now();
        self.broken.as_ref().filter(|broken| broken.expires_at > now)
    }

    /// Whether enough was said to begin.
    pub fn suffices(&self, quorum: &Quorum) -> bool {
        let count = self.standing().filter(|given| quorum.counts(given)).count();
        self.broken().is_some() || count >= quorum.needed.max(1)
    }

    /// Whether something of what counts was said since then.
    pub fn has_word_since(&self, since: Timestamp) -> bool {
        let broken = self.broken().map(|broken| broken.at);
        let mut times = self.standing().map(|given| given.at).chain(broken);
        times.any(|at| at >= since)
    }

    /// Everything that they said yes to beyond the plan.
    pub fn consent(&self) -> Consent {
        let mut consent = Consent::default();
        let broken = self.broken().map(|broken| &broken.consent);
        for given in self.standing().map(|given| &given.consent).chain(broken) {
            consent.add(given);
        }
        consent
    }
}

/// An approval that suffices, to be used up by the change to applying.
pub struct Sufficient {
    key: String,
    version: Version,
    consumed: Vec<u8>,
    quorum: Quorum,
    /// Who said yes.
    pub by: Vec<String>,
    /// Who went ahead without the rest of them.
    pub broken: Option<Broken>,
}

impl Sufficient {
    /// Its part of the transaction that makes the run an applying one.
    pub(crate) fn consume(&self) -> Operation<'_> {
        Operation::Replace {
            key: &self.key,
            expected: &self.version,
            value: &self.consumed,
        }
    }

    /// The same approval after somebody else has said yes, too; none where it was used meanwhile, or does not suffice any
    /// more.
    pub(crate) fn as_it_is_now(&self, store: &dyn Store) -> Result<Option<Sufficient>> {
        let Some((approval, version)) = read(store, &self.key)? else {
            return Ok(None);
        };
        if approval.consumed_at.is_some() {
            return Ok(None);
        }
        sufficient(&self.key, approval, version, &self.quorum)
    }
}

fn read(store: &dyn Store, key: &str) -> Result<Option<(Approval, Version)>> {
    let Some((bytes, version)) = store.get(key)? else {
        return Ok(None);
    };
    let approval = serde_json::from_slice(&bytes)
        .map_err(|error| EngineError::failed(format!("the approval {key} cannot be read: {error}")))?;
    Ok(Some((approval, version)))
}

/// The approval, if it suffices.
fn sufficient(key: &str, mut approval: Approval, version: Version, quorum: &Quorum) -> Result<Option<Sufficient>> {
    if !approval.suffices(quorum) {
        return Ok(None);
    }
    let counted = approval.standing().filter(|given| quorum.counts(given));
    let by: Vec<String> = counted.map(|given| given.by.clone()).collect();
    let broken = approval.broken().filter(|_| by.len() < quorum.needed.max(1)).cloned();
    approval.consumed_at = Some(Timestamp::now());
    Ok(Some(Sufficient {
        key: key.to_owned(),
        version,
        consumed: encode(&approval)?,
        quorum: quorum.clone(),
        by,
        broken,
    }))
}

/// The approvals of a run's plans.
pub struct Approvals<'s> {
    store: &'s dyn Store,
    project: &'s str,
    run: &'s str,
}

impl<'s> Approvals<'s> {
    pub fn new(store: &'s dyn Store, project: &'s str, run: &'s str) -> Self {
        Approvals { store, project, run }
    }

    /// What was said to the plan of this digest so far.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get(&self, digest: &str) -> Result<Option<Approval>> {
        Ok(self.read(digest)?.map(|(approval, _)| approval))
    }

    /// Adds a yes; a second one of the same person takes the place of the first.
    ///
    /// # Errors
    /// [`Kind::Refused`] where the approval was used already.
    pub fn give(&self, digest: &str, given: &Given) -> Result<Approval> {
        self.change(digest, |approval| {
            approval.given.retain(|other| !other.person().is(&given.person()));
            approval.given.push(given.clone());
        })
    }

    /// Goes ahead without the rest of those who were to say yes.
    ///
    /// # Errors
    /// As [`Approvals::give`].
    pub fn break_glass(&self, digest: &str, broken: &Broken) -> Result<Approval> {
        self.change(digest, |approval| approval.broken = Some(broken.clone()))
    }

    fn change(&self, digest: &str, how: impl Fn(&mut Approval)) -> Result<Approval> {
        // Everybody may say yes in the same moment: whoever loses reads what is there and adds to that.
        loop {
            let found = self.read(digest)?;
            let mut approval = match &found {
                Some((approval, _)) => approval.clone(),
                None => Approval {
                    format: 1,
                    digest: digest.to_owned(),
                    given: Vec::new(),
                    broken: None,
                    consumed_at: None,
                },
            };
            if approval.consumed_at.is_some() {
                return Err(EngineError::refused("this approval was used already")
                    .hint("an approval is for one execution: a new plan needs a new one"));
            }
            how(&mut approval);
            let bytes = encode(&approval)?;
            let key = keys::approval(self.project, self.run, digest);
            let written = match &found {
                None => matches!(self.store.create(&key, &bytes)?, Created::Yes(_)),
                Some((_, version)) => matches!(self.store.replace(&key, version, &bytes)?, Replaced::Yes(_)),
            };
            if written {
                return Ok(approval);
            }
        }
    }

    /// The approval of this digest, if the quorum stands behind it and nobody has used it.
    ///
    /// # Errors
    /// [`Kind::Refused`] where it was used already.
    pub fn sufficient(&self, digest: &str, quorum: &Quorum) -> Result<Option<Sufficient>> {
        let Some((approval, version)) = self.read(digest)? else {
            return Ok(None);
        };
        if approval.consumed_at.is_some() {
            return Err(EngineError::new(
                Kind::Refused,
                "the approval of this plan was used already: it is for one execution",
            ));
        }
        sufficient(
            &keys::approval(self.project, self.run, digest),
            approval,
            version,
            quorum,
        )
    }

    fn read(&self, digest: &str) -> Result<Option<(Approval, Version)>> {
        read(self.store, &keys::approval(self.project, self.run, digest))
    }
}

fn encode(approval: &Approval) -> Result<Vec<u8>> {
    serde_json::to_vec(approval).map_err(|error| EngineError::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use rollback_release::{MemoryStore, Transacted};

    fn yes(by: &str, hours: i64) -> Given {
        Given {
            by: by.to_owned(),
            marks: Vec::new(),
            at: Timestamp::now(),
            expires_at: Timestamp::now() + hours.hours(),
            comment: None,
            consent: Consent::default(),
        }
    }

    #[test]
    fn it_takes_as_many_people_as_asked_for_and_none_twice() {
        let store = MemoryStore::default();
        let approvals = Approvals::new(&store, "p", "r");
        assert!(approvals.sufficient("d", &Quorum::of(1)).unwrap().is_none());
        approvals.give("d", &yes("ann", 1)).unwrap();
        approvals.give("d", &yes("ann", 1)).unwrap();
        assert!(approvals.sufficient("d", &Quorum::of(2)).unwrap().is_none());
        approvals.give("d", &yes("bob", -1)).unwrap();
        assert!(
            approvals.sufficient("d", &Quorum::of(2)).unwrap().is_none(),
            "bob's has expired"
        );
        approvals.give("d", &yes("bob", 1)).unwrap();
        assert_eq!(
            approvals.sufficient("d", &Quorum::of(2)).unwrap().unwrap().by,
            ["ann", "bob"]
        );
        assert!(approvals.sufficient("another", &Quorum::of(1)).unwrap().is_none());
    }

    #[test]
    fn one_person_with_two_tokens_says_yes_once() {
        let store = MemoryStore::default();
        let approvals = Approvals::new(&store, "p", "r");
        let marked = |by: &str, marks: &[&str]| Given {
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
            ..yes(by, 1)
        };
        approvals
            .give("d", &marked("main by ann (1)", &["1", "name:ann"]))
            .unwrap();
        approvals
            .give("d", &marked("main by bob (1)", &["1", "name:bob"]))
            .unwrap();
        assert!(
            approvals.sufficient("d", &Quorum::of(2)).unwrap().is_none(),
            "one subject"
        );
        approvals.give("d", &marked("bob (2)", &["2", "name:bob"])).unwrap();
        assert!(approvals.sufficient("d", &Quorum::of(2)).unwrap().is_none(), "one name");
        approvals.give("d", &marked("cid (3)", &["3", "name:cid"])).unwrap();
        assert!(approvals.sufficient("d", &Quorum::of(2)).unwrap().is_some());
    }

    #[test]
    fn whoever_asked_does_not_count_where_somebody_else_has_to_look() {
        let store = MemoryStore::default();
        let approvals = Approvals::new(&store, "p", "r");
        let others = Quorum {
            needed: 1,
            without: Some(Person::new("ann", &[])),
        };
        approvals.give("d", &yes("ann", 1)).unwrap();
        assert!(approvals.sufficient("d", &others).unwrap().is_none());
        assert!(approvals.sufficient("d", &Quorum::of(1)).unwrap().is_some());
        approvals.give("d", &yes("bob", 1)).unwrap();
        assert_eq!(approvals.sufficient("d", &others).unwrap().unwrap().by, ["bob"]);
    }

    #[test]
    fn broken_glass_goes_ahead_until_it_expires_and_is_used_up_as_well() {
        let store = MemoryStore::default();
        let approvals = Approvals::new(&store, "p", "r");
        let broken = |hours: i64| Broken {
            by: "ann".to_owned(),
            at: Timestamp::now(),
            expires_at: Timestamp::now() + hours.hours(),
            reason: "nobody answers".to_owned(),
            consent: Consent::default(),
        };
        approvals.break_glass("d", &broken(-1)).unwrap();
        assert!(approvals.sufficient("d", &Quorum::of(2)).unwrap().is_none());
        approvals.break_glass("d", &broken(1)).unwrap();
        let used = approvals.sufficient("d", &Quorum::of(2)).unwrap().unwrap();
        assert_eq!(used.broken.as_ref().unwrap().reason, "nobody answers");
        assert!(matches!(store.transact(&[used.consume()]), Ok(Transacted::Yes(_))));
        assert!(approvals.sufficient("d", &Quorum::of(2)).is_err(), "it was used");
        // Where enough people have said yes, nothing had to be broken.
        approvals.give("e", &yes("bob", 1)).unwrap();
        approvals.break_glass("e", &broken(1)).unwrap();
        assert_eq!(approvals.sufficient("e", &Quorum::of(1)).unwrap().unwrap().broken, None);
    }

    #[test]
    fn one_more_yes_meanwhile_does_no_harm() {
        let store = MemoryStore::default();
        let approvals = Approvals::new(&store, "p", "r");
        approvals.give("d", &yes("ann", 1)).unwrap();
        let seen = approvals.sufficient("d", &Quorum::of(1)).unwrap().unwrap();
        approvals.give("d", &yes("bob", 1)).unwrap();
        assert!(matches!(
            store.transact(&[seen.consume()]),
            Ok(Transacted::Refused { .. })
        ));
        let now = seen.as_it_is_now(&store).unwrap().expect("it still suffices");
        assert!(matches!(store.transact(&[now.consume()]), Ok(Transacted::Yes(_))));
        assert!(now.as_it_is_now(&store).unwrap().is_none(), "it was used");
    }

    #[test]
    fn of_many_who_use_it_one_does() {
        for _ in 0..20 {
            let store = MemoryStore::default();
            let approvals = Approvals::new(&store, "p", "r");
            approvals.give("d", &yes("ann", 1)).unwrap();
            let used = std::thread::scope(|scope| {
                let users: Vec<_> = (0..100)
                    .map(|_| {
                        scope.spawn(|| match approvals.sufficient("d", &Quorum::of(1)) {
                            Ok(Some(approval)) => {
                                matches!(store.transact(&[approval.consume()]), Ok(Transacted::Yes(_)))
                            }
                            _ => false,
                        })
                    })
                    .collect();
                users
                    .into_iter()
                    .filter_map(|user| user.join().ok())
                    .filter(|won| *won)
                    .count()
            });
            assert_eq!(used, 1);
            assert!(approvals.give("d", &yes("bob", 1)).is_err(), "it was used");
        }
    }
}
