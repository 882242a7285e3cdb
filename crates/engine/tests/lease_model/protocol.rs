//! What actors do between two calls of the store, each call being one step. Pauses need no step of their own: any actor
//! may stand still between any two steps, for as long as the others like.

use std::time::Duration;

use rollback_engine::lease::{self, Life, Precondition, Refused, Seen, SeenLock, Watch};
use stateright::{Model, Property};

use crate::bounds::Bounds;
use crate::world::{ACTORS, Actor, Bug, FORMER, Hold, LEASE, Lock, MACHINE, NEW, Phase, SKEW, Stage, Violation, World};

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
