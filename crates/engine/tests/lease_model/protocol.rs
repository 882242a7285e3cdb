//! What actors do between two calls of the store, each call being one step. Pauses need no step of their own: any actor
//! may stand still between any two steps, for as long as the others like.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rollback_engine::lease::{self, Grant, Life, Precondition, Refused, Seen, SeenLock, Watch};
use stateright::{Model, Property};

use crate::bounds::Bounds;

pub const ACTORS: usize = 3;
/// In ticks.
const LEASE: u8 = 2;
/// Two actors share a machine: they can see each other's processes.
const MACHINE: [u8; ACTORS] = [0, 0, 1];
/// How far their absolute clocks are ahead; only a seeded bug looks at them.
const SKEW: [u8; ACTORS] = [0, 0, 5];
/// A version of a record that is there now, one that is there no more, and the one that a step writes. Only equality with
/// what is there counts, so that no more need to be told apart: this keeps the number of states finite and small.
const NOW: u8 = 1;
const FORMER: u8 = 0;
const NEW: u8 = 2;

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
struct Lock {
    version: u8,
    actor: u8,
    /// Its process is gone.
    dead: bool,
    /// Which giving of the lock it is.
    nonce: u8,
    run: u8,
    applying: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
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
struct Hold {
    nonce: u8,
    run: u8,
    fence: u8,
    stage: Stage,
    noted: bool,
    /// It goes on with a run of somebody before.
    resumed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
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
struct Actor {
    /// The version that it looks at, and for how many ticks it has stood still under its eyes.
    watch: Option<(u8, u8)>,
    phase: Phase,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    lock: Option<Lock>,
    /// The token and the version.
    fence: Option<(u64, u8)>,
    /// The run that may have had effects and has not come to its end.
    unfinished: Option<u8>,
    /// The Terraform process that works, by the nonce of the one who started it; 0 for none.
    child: u8,
    actors: [Actor; ACTORS],
    grants: u8,
    crashes: u8,
    lost_answers: u8,
    releases: u8,
    // What nobody in the model can see.
    /// The nonce of the last giving; 0 where a person took the lock away since.
    rightful: u8,
    highest: u64,
    /// For how many ticks the lock has stood still; a lease at most.
    age: u8,
    violation: Option<Violation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Tick,
    Look { actor: usize, resume: bool },
    Take { actor: usize, lost: bool },
    LookForOwn { actor: usize },
    Renew { actor: usize },
    Note { actor: usize },
    Mark { actor: usize },
    Intend { actor: usize, lost: bool },
    AskAgain { actor: usize },
    Start { actor: usize },
    ChildEnds,
    Finish { actor: usize },
    Unlock { actor: usize },
    Crash { actor: usize },
    TakeAway { machine: u8 },
}

pub struct Protocol {
    pub bounds: Bounds,
    pub bug: Option<Bug>,
}

impl World {
    /// The same world for everything that can come: versions are told apart only by whether they are those of now, and the
    /// two actors on one machine may change places.
    fn canonical(mut self) -> World {
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

    fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    fn hold(&mut self, actor: usize) -> Option<&mut Hold> {
        match &mut self.actors[actor].phase {
            Phase::Holding(hold) => Some(hold),
            _ => None,
        }
    }

    fn life(&self, lock: &Lock, machine: u8) -> Life {
        match (MACHINE[usize::from(lock.actor)] == machine, lock.dead) {
            (false, _) => Life::Unknown,
            (true, false) => Life::Alive,
            (true, true) => Life::Dead,
        }
    }

    /// The lock, if it is the one of this hold; its version may be another than the holder knows.
    fn own_lock(&self, hold: &Hold) -> Option<&Lock> {
        self.lock.as_ref().filter(|lock| lock.nonce == hold.nonce)
    }

    /// Writes somebody's own lock anew: a renewal.
    fn write_lock(&mut self, actor: usize, hold: &Hold, applying: bool) {
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

    fn overtaken(&mut self, actor: usize) {
        let nonce = self.hold(actor).map(|hold| hold.nonce);
        if nonce == Some(self.rightful) {
            self.violate(Violation::FalseAlarm);
        }
        if let Some(hold) = self.hold(actor) {
            hold.stage = Stage::Overtaken;
        }
    }
}

impl Protocol {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn look(&self, world: &mut World, actor: usize, resume: bool) {
        let run = match (&world.lock, resume) {
            (_, false) => None,
            (Some(lock), true) => Some(lock.run),
            (None, true) => world.unfinished,
        };
        if resume && run.is_none() {
            return;
        }
        let mut vouched = false;
        let seen_lock = world.lock.clone().map(|lock| {
            let mut watch = Watch::default();
            let mut ticks = 0;
            if let Some((version, age)) = world.actors[actor].watch {
                watch.look(version, Duration::ZERO, Duration::ZERO);
                ticks = age;
            }
            let now = Duration::from_secs(ticks.into());
            let still = watch.look(lock.version, now, now);
            world.actors[actor].watch = Some((lock.version, if still.is_zero() { 0 } else { ticks }));
            let expired = if self.has(Bug::ExpiryByAbsoluteClock) {
                (world.age + SKEW[actor]).saturating_sub(SKEW[usize::from(lock.actor)]) >= LEASE
            } else {
                still.as_secs() >= u64::from(LEASE)
            };
            // A person's word is true.
            vouched = resume && ((lock.dead && world.child == 0) || self.has(Bug::ResumeUnproven));
            SeenLock {
                version: lock.version,
                applying: lock.applying && !(self.has(Bug::TakeoverWhileApplying) && expired),
                life: world.life(&lock, MACHINE[actor]),
                expired,
                same_run: run == Some(lock.run),
            }
        });
        let by_expiry = seen_lock
            .as_ref()
            .is_some_and(|lock| lock.life != Life::Dead && !(lock.same_run && vouched));
        let seen = Seen {
            lock: seen_lock,
            fence: world.fence,
        };
        if let Ok(grant) = lease::take(&seen, vouched) {
            world.actors[actor].phase = Phase::Granted {
                grant,
                run,
                by_expiry,
                sent: false,
            };
        }
    }

    fn take(&self, world: &mut World, actor: usize, lost: bool) {
        let Phase::Granted {
            grant, run, by_expiry, ..
        } = world.actors[actor].phase.clone()
        else {
            return;
        };
        let holds = |precondition: &Precondition<u8>, found: Option<u8>| match precondition {
            Precondition::Absent => found.is_none(),
            Precondition::Is(version) => found == Some(*version),
        };
        let lock_version = world.lock.as_ref().map(|lock| lock.version);
        let fence_version = world.fence.map(|(_, version)| version);
        if !holds(&grant.lock, lock_version) || !holds(&grant.fence, fence_version) {
            world.actors[actor].phase = Phase::Idle;
            return;
        }
        if let Some(lock) = world.lock.clone() {
            if by_expiry && world.age < LEASE {
                world.violate(Violation::TakenTooEarly);
            }
            if !lock.dead && self.applies(world, &lock) {
                world.violate(Violation::TakenFromApplying);
            }
        }
        if grant.token <= world.highest {
            world.violate(Violation::TokenNotRisen);
        }
        world.highest = world.highest.max(grant.token);
        world.grants += 1;
        let nonce = world.grants;
        world.rightful = nonce;
        let hold = Hold {
            nonce,
            run: run.unwrap_or(nonce),
            fence: NEW,
            stage: Stage::Planning,
            noted: false,
            resumed: run.is_some(),
        };
        world.lock = None;
        world.write_lock(actor, &hold, grant.applying);
        let keep_fence = self.has(Bug::FenceNotRaised) && world.fence.is_some();
        if !keep_fence {
            world.fence = Some((grant.token, NEW));
        }
        let fence = world.fence.map_or(FORMER, |(_, version)| version);
        world.actors[actor].phase = if lost {
            world.lost_answers += 1;
            Phase::Granted {
                grant,
                run,
                by_expiry,
                sent: true,
            }
        } else {
            Phase::Holding(Hold { fence, ..hold })
        };
    }

    /// Whether the holder may start, or has started, an effect.
    fn applies(&self, world: &World, lock: &Lock) -> bool {
        match &world.actors[usize::from(lock.actor)].phase {
            Phase::Holding(hold) => {
                hold.nonce == lock.nonce && matches!(hold.stage, Stage::Asking | Stage::Intended | Stage::Started)
            }
            _ => false,
        }
    }

    fn look_for_own(&self, world: &mut World, actor: usize) {
        let Phase::Granted { grant, run, .. } = world.actors[actor].phase.clone() else {
            return;
        };
        let own = world
            .lock
            .clone()
            .filter(|lock| usize::from(lock.actor) == actor && !lock.dead);
        world.actors[actor].phase = match (own, world.fence) {
            (Some(lock), Some((token, fence))) if token == grant.token || self.has(Bug::FenceNotRaised) => {
                Phase::Holding(Hold {
                    nonce: lock.nonce,
                    run: lock.run,
                    fence,
                    stage: Stage::Planning,
                    noted: false,
                    resumed: run.is_some(),
                })
            }
            _ => Phase::Idle,
        };
    }

    /// Replaces one's own lock, in whatever version it is; false where there is none.
    fn replace_lock(&self, world: &mut World, actor: usize, hold: &Hold, applying: bool) -> bool {
        let may = world.own_lock(hold).is_some() || self.has(Bug::RenewalRecreates);
        if may {
            world.write_lock(actor, hold, applying);
        }
        may
    }

    fn mark(&self, world: &mut World, actor: usize) {
        let Some(hold) = world.hold(actor).cloned() else { return };
        // A run that stopped halfway keeps its stacks.
        if world.unfinished.is_some_and(|run| run != hold.run) {
            if let Some(hold) = world.hold(actor) {
                hold.stage = Stage::Done;
            }
            return;
        }
        let marked = self.has(Bug::ApplyingOnlyInMind) || self.replace_lock(world, actor, &hold, true);
        match world.hold(actor).filter(|_| marked) {
            Some(hold) => hold.stage = Stage::Marked,
            None => world.overtaken(actor),
        }
    }

    /// A write in one transaction with a check of the fence. True when it is accepted.
    fn write(&self, world: &mut World, actor: usize) -> bool {
        let Some(hold) = world.hold(actor).cloned() else {
            return false;
        };
        let is_ours = world.fence.is_some_and(|(_, version)| version == hold.fence);
        if !is_ours && !self.has(Bug::AppendUnchecked) {
            world.overtaken(actor);
            return false;
        }
        if world.rightful != hold.nonce {
            world.violate(Violation::StaleWrite);
        }
        true
    }

    fn intend(&self, world: &mut World, actor: usize, lost: bool) {
        if !self.write(world, actor) {
            return;
        }
        let Some(hold) = world.hold(actor).cloned() else { return };
        world.unfinished = Some(hold.run);
        world.lost_answers += u8::from(lost);
        if let Some(hold) = world.hold(actor) {
            hold.stage = if lost { Stage::Asking } else { Stage::Intended };
        }
    }

    fn ask_again(&self, world: &mut World, actor: usize) {
        let Some(hold) = world.hold(actor).cloned() else { return };
        let fence_is_ours = world.fence.is_some_and(|(_, version)| version == hold.fence);
        // Only answers of what was done are lost.
        let found_is_ours = !self.has(Bug::LostAnswerIsConflict);
        match lease::read_refusal(fence_is_ours, found_is_ours) {
            Refused::DoneBefore => {
                if let Some(hold) = world.hold(actor) {
                    hold.stage = Stage::Intended;
                }
            }
            Refused::Overtaken | Refused::Conflict => world.overtaken(actor),
        }
    }

    fn start(&self, world: &mut World, actor: usize) {
        let Some(hold) = world.hold(actor).cloned() else { return };
        if world.child != 0 {
            world.violate(Violation::TwoEffects);
        }
        if world.rightful != hold.nonce {
            world.violate(Violation::StaleEffect);
        }
        world.child = hold.nonce;
        if let Some(hold) = world.hold(actor) {
            hold.stage = Stage::Started;
        }
    }

    fn unlock(&self, world: &mut World, actor: usize) {
        let Some(hold) = world.hold(actor).cloned() else { return };
        let is_own = world.own_lock(&hold).is_some();
        if let Some(lock) = world.lock.clone()
            && (is_own || self.has(Bug::UnlockUnconditional))
        {
            if lock.nonce != hold.nonce {
                world.violate(Violation::ForeignUnlocked);
            }
            world.lock = None;
            if self.has(Bug::FenceRemovedOnRelease) {
                world.fence = None;
            }
        }
        world.actors[actor].phase = Phase::Idle;
        world.actors[actor].watch = None;
    }

    fn take_away(&self, world: &mut World, machine: u8) {
        let Some(lock) = world.lock.clone() else { return };
        let child_may_live = world.child != 0;
        if lease::may_release(lock.applying, world.life(&lock, machine), child_may_live, false) {
            world.lock = None;
            let token = world.fence.map_or(0, |(token, _)| token) + 1;
            world.fence = Some((token, NEW));
            world.highest = world.highest.max(token);
            world.rightful = 0;
            world.releases += 1;
        }
    }

    fn steps_of(&self, world: &World, actor: usize, steps: &mut Vec<Step>) {
        let answers = if world.lost_answers < self.bounds.lost_answers {
            &[false, true][..]
        } else {
            &[false]
        };
        let may_crash = world.crashes < self.bounds.crashes;
        match &world.actors[actor].phase {
            Phase::Idle => {
                if world.grants < self.bounds.grants {
                    steps.push(Step::Look { actor, resume: false });
                    steps.push(Step::Look { actor, resume: true });
                }
                return;
            }
            Phase::Granted { sent: true, .. } => steps.push(Step::LookForOwn { actor }),
            Phase::Granted { .. } => {
                if world.grants < self.bounds.grants {
                    steps.extend(answers.iter().map(|lost| Step::Take { actor, lost: *lost }));
                }
            }
            Phase::Holding(hold) => {
                let over = matches!(hold.stage, Stage::Done | Stage::Overtaken);
                if !over {
                    steps.push(Step::Renew { actor });
                }
                match hold.stage {
                    Stage::Planning => {
                        if !hold.noted {
                            steps.push(Step::Note { actor });
                        }
                        // Who resumes waits for what the former process has started.
                        if !hold.resumed || world.child == 0 || self.has(Bug::ResumeWithoutWaiting) {
                            steps.push(Step::Mark { actor });
                        }
                    }
                    Stage::Marked => steps.extend(answers.iter().map(|lost| Step::Intend { actor, lost: *lost })),
                    Stage::Asking => steps.push(Step::AskAgain { actor }),
                    Stage::Intended => steps.push(Step::Start { actor }),
                    Stage::Started => {
                        if world.child != hold.nonce {
                            steps.push(Step::Finish { actor });
                        }
                    }
                    Stage::Done | Stage::Overtaken => steps.push(Step::Unlock { actor }),
                }
            }
        }
        if may_crash {
            steps.push(Step::Crash { actor });
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let actor = Actor {
            watch: None,
            phase: Phase::Idle,
        };
        vec![World {
            lock: None,
            fence: None,
            unfinished: None,
            child: 0,
            actors: [actor.clone(), actor.clone(), actor],
            grants: 0,
            crashes: 0,
            lost_answers: 0,
            releases: 0,
            rightful: 0,
            highest: 0,
            age: 0,
            violation: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.violation.is_some() {
            return;
        }
        for actor in 0..ACTORS {
            self.steps_of(world, actor, steps);
        }
        if world.child != 0 {
            steps.push(Step::ChildEnds);
        }
        steps.push(Step::Tick);
        if world.releases < self.bounds.releases && world.lock.is_some() {
            steps.extend([0, 1].map(|machine| Step::TakeAway { machine }));
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Tick => {
                world.age = LEASE.min(world.age + 1);
                for (_, age) in world.actors.iter_mut().filter_map(|actor| actor.watch.as_mut()) {
                    *age = LEASE.min(*age + 1);
                }
            }
            Step::Look { actor, resume } => self.look(&mut world, actor, resume),
            Step::Take { actor, lost } => self.take(&mut world, actor, lost),
            Step::LookForOwn { actor } => self.look_for_own(&mut world, actor),
            Step::Renew { actor } => {
                let hold = world.hold(actor)?.clone();
                self.replace_lock(&mut world, actor, &hold, false);
            }
            Step::Note { actor } => {
                if self.write(&mut world, actor) {
                    world.hold(actor)?.noted = true;
                }
            }
            Step::Mark { actor } => self.mark(&mut world, actor),
            Step::Intend { actor, lost } => self.intend(&mut world, actor, lost),
            Step::AskAgain { actor } => self.ask_again(&mut world, actor),
            Step::Start { actor } => self.start(&mut world, actor),
            Step::ChildEnds => world.child = 0,
            Step::Finish { actor } => {
                if self.write(&mut world, actor) {
                    world.unfinished = None;
                    world.hold(actor)?.stage = Stage::Done;
                }
            }
            Step::Unlock { actor } => self.unlock(&mut world, actor),
            Step::Crash { actor } => {
                world.crashes += 1;
                world.actors[actor].phase = Phase::Idle;
                world.actors[actor].watch = None;
                if let Some(lock) = world.lock.as_mut().filter(|lock| usize::from(lock.actor) == actor) {
                    lock.dead = true;
                }
            }
            Step::TakeAway { machine } => self.take_away(&mut world, machine),
        }
        let world = world.canonical();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! never {
            ($violation:ident) => {
                Property::always(Violation::$violation.name(), |_: &Protocol, world: &World| {
                    world.violation != Some(Violation::$violation)
                })
            };
        }
        let mut properties = vec![
            never!(StaleWrite),
            never!(StaleEffect),
            never!(TwoEffects),
            never!(TokenNotRisen),
            never!(ForeignUnlocked),
            never!(ForeignOverwritten),
            never!(TakenTooEarly),
            never!(TakenFromApplying),
            never!(FalseAlarm),
        ];
        // What the model must be able to do, so that the rest says something.
        if self.bug.is_none() {
            properties.extend([
                Property::sometimes("a lease that is over is taken over", |_: &Protocol, world: &World| {
                    world.crashes == 0 && world.releases == 0 && world.rightful == 2 && world.lock.is_some() && {
                        let older = |actor: &Actor| matches!(&actor.phase, Phase::Holding(hold) if hold.nonce == 1);
                        world.actors.iter().any(older)
                    }
                }),
                Property::sometimes("who was overtaken is refused", |_, world: &World| {
                    let overtaken =
                        |actor: &Actor| matches!(&actor.phase, Phase::Holding(hold) if hold.stage == Stage::Overtaken);
                    world.actors.iter().any(overtaken)
                }),
                Property::sometimes("a run is resumed after a crash and comes to its end", |_, world: &World| {
                    let ended = |actor: &Actor| {
                        matches!(&actor.phase, Phase::Holding(hold) if hold.resumed && hold.stage == Stage::Done)
                    };
                    world.crashes > 0 && world.unfinished.is_none() && world.actors.iter().any(ended)
                }),
                Property::sometimes("an orphan works while its run waits", |_, world: &World| {
                    let waits = |actor: &Actor| {
                        matches!(&actor.phase, Phase::Holding(hold) if hold.resumed && hold.stage == Stage::Planning)
                    };
                    world.child != 0 && world.actors.iter().any(waits)
                }),
            ]);
        }
        properties
    }
}
