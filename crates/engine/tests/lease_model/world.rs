//! What there is in the model: the records of one stack, the actors, and what nobody in it can see.

use std::hash::{DefaultHasher, Hash, Hasher};

use rollback_engine::lease::{Grant, Life, Precondition};

pub const ACTORS: usize = 3;
/// In ticks.
pub const LEASE: u8 = 2;
/// Two actors share a machine: they can see each other's processes.
pub const MACHINE: [u8; ACTORS] = [0, 0, 1];
/// How far their absolute clocks are ahead; only a seeded bug looks at them.
pub const SKEW: [u8; ACTORS] = [0, 0, 5];
/// A version of a record that is there now, one that is there no more, and the one that a step writes. Only equality with
/// what is there counts, so that no more need to be told apart: this keeps the number of states finite and small.
pub const NOW: u8 = 1;
pub const FORMER: u8 = 0;
pub const NEW: u8 = 2;

/// Ways to get it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The lock is taken over and the fence stays.
    FenceNotRaised,
    /// Entries are written without a check of the fence.
    AppendUnchecked,
    /// Whatever lock is there is removed at the end.
    UnlockUnconditional,
    /// A lease is over when one's own clock is a lease past the time written in the lock.
    ExpiryByAbsoluteClock,
    /// A lease that is over may be taken over in any case.
    TakeoverWhileApplying,
    /// A renewal makes the lock anew where it finds another one or none.
    RenewalRecreates,
    /// The fence goes with the lock.
    FenceRemovedOnRelease,
    /// That effects may happen is not written into the lock.
    ApplyingOnlyInMind,
    /// A resumed run does not wait for the Terraform of its former process.
    ResumeWithoutWaiting,
    /// A run is resumed elsewhere, and nobody has asked whether its former process is dead.
    ResumeUnproven,
    /// One's own entry whose answer was lost is taken for somebody else's.
    LostAnswerIsConflict,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    StaleWrite,
    StaleEffect,
    TwoEffects,
    TokenNotRisen,
    ForeignUnlocked,
    ForeignOverwritten,
    TakenTooEarly,
    TakenFromApplying,
    FalseAlarm,
}

impl Violation {
    pub const ALL: [Violation; 9] = [
        Violation::StaleWrite,
        Violation::StaleEffect,
        Violation::TwoEffects,
        Violation::TokenNotRisen,
        Violation::ForeignUnlocked,
        Violation::ForeignOverwritten,
        Violation::TakenTooEarly,
        Violation::TakenFromApplying,
        Violation::FalseAlarm,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Violation::StaleWrite => "no entry is accepted under an old token",
            Violation::StaleEffect => "no effect begins under an old token",
            Violation::TwoEffects => "no two effects at once",
            Violation::TokenNotRisen => "tokens strictly rise",
            Violation::ForeignUnlocked => "an unlock removes only one's own lock",
            Violation::ForeignOverwritten => "a renewal writes only one's own lock",
            Violation::TakenTooEarly => "no lease is over before its time",
            Violation::TakenFromApplying => "nothing is taken from one who applies and lives",
            Violation::FalseAlarm => "who holds the fence is not told that it was overtaken",
        }
    }
}

/// A lock in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lock {
    pub version: u8,
    pub actor: u8,
    /// Its process is gone.
    pub dead: bool,
    /// Which giving of the lock it is.
    pub nonce: u8,
    pub run: u8,
    pub applying: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Planning,
    Marked,
    /// The intent was sent, and the answer is lost.
    Asking,
    Intended,
    Started,
    Done,
    Overtaken,
}

/// What a holder knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    pub nonce: u8,
    pub run: u8,
    pub fence: u8,
    pub stage: Stage,
    pub noted: bool,
    /// It goes on with a run of somebody before.
    pub resumed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    Granted {
        grant: Grant<u8>,
        /// The run that is resumed; a new one otherwise.
        run: Option<u8>,
        by_expiry: bool,
        /// It was sent, and the answer is lost.
        sent: bool,
    },
    Holding(Hold),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The version that it looks at, and for how many ticks it has stood still under its eyes.
    pub watch: Option<(u8, u8)>,
    pub phase: Phase,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub lock: Option<Lock>,
    /// The token and the version.
    pub fence: Option<(u64, u8)>,
    /// The run that may have had effects and has not come to its end.
    pub unfinished: Option<u8>,
    /// The Terraform process that works, by the nonce of the one who started it; 0 for none.
    pub child: u8,
    pub actors: [Actor; ACTORS],
    pub grants: u8,
    pub crashes: u8,
    pub lost_answers: u8,
    pub releases: u8,
    // What nobody in the model can see.
    /// The nonce of the last giving; 0 where a person took the lock away since.
    pub rightful: u8,
    pub highest: u64,
    /// For how many ticks the lock has stood still; a lease at most.
    pub age: u8,
    pub violation: Option<Violation>,
}

impl World {
    /// The same world for everything that can come: versions are told apart only by whether they are those of now, and the
    /// two actors on one machine may change places.
    pub fn canonical(mut self) -> World {
        let lock_version = self.lock.as_ref().map(|lock| lock.version);
        let fence_version = self.fence.map(|(_, version)| version);
        let renamed = |version: u8, now: Option<u8>| if Some(version) == now { NOW } else { FORMER };
        for actor in &mut self.actors {
            actor.watch = actor
                .watch
                .filter(|(version, _)| Some(*version) == lock_version)
                .map(|(_, age)| (NOW, age));
            match &mut actor.phase {
                Phase::Idle => {}
                Phase::Granted { grant, .. } => {
                    if let Precondition::Is(version) = &mut grant.lock {
                        *version = renamed(*version, lock_version);
                    }
                    if let Precondition::Is(version) = &mut grant.fence {
                        *version = renamed(*version, fence_version);
                    }
                }
                Phase::Holding(hold) => hold.fence = renamed(hold.fence, fence_version),
            }
        }
        if let Some(lock) = &mut self.lock {
            lock.version = NOW;
        }
        if let Some((_, version)) = &mut self.fence {
            *version = NOW;
        }
        let rank = |index: usize| {
            let mut hasher = DefaultHasher::new();
            let holds = self.lock.as_ref().is_some_and(|lock| usize::from(lock.actor) == index);
            (&self.actors[index], holds).hash(&mut hasher);
            hasher.finish()
        };
        if rank(0) > rank(1) {
            self.actors.swap(0, 1);
            if let Some(lock) = self.lock.as_mut().filter(|lock| lock.actor < 2) {
                lock.actor = 1 - lock.actor;
            }
        }
        self
    }

    pub fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub fn hold(&mut self, actor: usize) -> Option<&mut Hold> {
        match &mut self.actors[actor].phase {
            Phase::Holding(hold) => Some(hold),
            _ => None,
        }
    }

    pub fn life(&self, lock: &Lock, machine: u8) -> Life {
        match (MACHINE[usize::from(lock.actor)] == machine, lock.dead) {
            (false, _) => Life::Unknown,
            (true, false) => Life::Alive,
            (true, true) => Life::Dead,
        }
    }

    /// The lock, if it is the one of this hold; its version may be another than the holder knows.
    pub fn own_lock(&self, hold: &Hold) -> Option<&Lock> {
        self.lock.as_ref().filter(|lock| lock.nonce == hold.nonce)
    }

    /// Writes somebody's own lock anew: a renewal.
    pub fn write_lock(&mut self, actor: usize, hold: &Hold, applying: bool) {
        if self.rightful != hold.nonce {
            self.violate(Violation::ForeignOverwritten);
        }
        let before = self.own_lock(hold).is_some_and(|lock| lock.applying);
        self.lock = Some(Lock {
            version: NEW,
            actor: actor as u8,
            dead: false,
            nonce: hold.nonce,
            run: hold.run,
            applying: before || applying,
        });
        self.age = 0;
    }

    pub fn overtaken(&mut self, actor: usize) {
        let nonce = self.hold(actor).map(|hold| hold.nonce);
        if nonce == Some(self.rightful) {
            self.violate(Violation::FalseAlarm);
        }
        if let Some(hold) = self.hold(actor) {
            hold.stage = Stage::Overtaken;
        }
    }
}
