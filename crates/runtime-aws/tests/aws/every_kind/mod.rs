//! Every kind of step × everything that can happen to an effect, each ended both ways: taken up again, and taken back.
//!
//! The pattern is that of the saga tests of Omicron (Oxide), which undo a saga at every node and repeat every action. Here,
//! the kinds come from the registry ([`STEP_KINDS`]), and the places where something happens are the calls or commands of a
//! way on which nothing did. So a new kind, and a new call of an old one, are tried or fail these tests by themselves.
//!
//! Whatever happens, it ends at the target or back at the start, and what leaves something behind is done once.

mod aws;
mod tools;

use std::collections::BTreeSet;

use rollback_config::project::STEP_KINDS;
use rollback_runbook::step::{Binding, Step, StepError};
use serde_json::Value;

use crate::bench::{Bench, said};

/// What happens to one call or command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused, and nothing was done.
    FailsBefore,
    /// It was done, and its answer is lost; what follows works again.
    AnswerLost,
    /// It was done, its answer is lost, and nothing that follows is answered at all.
    NetworkGone,
    /// The process ends before it.
    EndsBefore,
    /// The process ends when it was done.
    EndsAfter,
    /// The process ends, and what it has begun goes on and is done a moment later.
    EndsMeanwhile,
    /// It takes its time.
    Slow,
    /// Refused as one too many, once.
    Throttled,
    /// Refused as one too many, and so is every one that follows.
    ThrottledForLong,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// By whoever resumes the run.
    TakenUp,
    /// By whoever undoes it.
    TakenBack,
}

/// A call or command of a way.
#[derive(Clone, Debug)]
pub struct Act {
    /// Its number on the way, from 1.
    pub number: usize,
    pub name: String,
    /// Whether it may change something.
    pub is_effect: bool,
}

/// How a step goes, with something that happens on the way.
pub trait Way {
    /// A step of a process that comes anew.
    fn step(&self) -> Box<dyn Step>;

    /// Goes; `None` where the process ended.
    fn go(&self, from: &Binding, to: &Binding) -> Option<Result<Binding, StepError>>;

    /// What was done since the last time; and nothing happens any more.
    fn rest(&self) -> Vec<Act>;

    /// Makes this happen at the act with this number; `false` where it cannot happen here.
    fn put(&self, trouble: Trouble, number: usize) -> bool;

    /// Whether what was throttled once is repeated without anybody's help.
    fn repeats(&self) -> bool;
}

/// One thing of a kind in a world of its own: at a release, and then somewhere else.
pub struct Scene<'b> {
    pub kind: String,
    /// Kinds have several where they go several ways.
    pub name: &'static str,
    pub way: Box<dyn Way + 'b>,
    pub start: Binding,
    pub target: Binding,
    /// What the world is at.
    pub state: Box<dyn Fn() -> Value + 'b>,
    /// How often something was done that leaves something behind: revisions, versions, instances, reverted migrations.
    pub spent: Box<dyn Fn() -> usize + 'b>,
    pub at_start: Value,
    pub at_target: Value,
}

type Maker = for<'b> fn(&'b Bench) -> Scene<'b>;

/// The scenes, and for each of them a test of everything that can happen.
macro_rules! scenes {
    ($($kind:literal $name:ident $of:ident::$maker:ident,)*) => {
        const SCENES: &[(&str, Maker)] = &[$(($kind, $of::$maker)),*];

        $(mod $name {
            use super::{Maker, Trouble, happens_everywhere};

            const MAKER: Maker = super::$of::$maker;

            #[test]
            fn an_effect_that_fails_before() {
                happens_everywhere(MAKER, Trouble::FailsBefore);
            }

            #[test]
            fn an_effect_whose_answer_is_lost() {
                happens_everywhere(MAKER, Trouble::AnswerLost);
            }

            #[test]
            fn a_network_that_is_gone_after_an_effect() {
                happens_everywhere(MAKER, Trouble::NetworkGone);
            }

            #[test]
            fn a_process_that_ends_before_an_effect() {
                happens_everywhere(MAKER, Trouble::EndsBefore);
            }

            #[test]
            fn a_process_that_ends_after_an_effect() {
                happens_everywhere(MAKER, Trouble::EndsAfter);
            }

            #[test]
            fn a_process_that_ends_meanwhile() {
                happens_everywhere(MAKER, Trouble::EndsMeanwhile);
            }

            #[test]
            fn an_effect_that_takes_its_time() {
                happens_everywhere(MAKER, Trouble::Slow);
            }

            #[test]
            fn an_effect_that_is_throttled() {
                happens_everywhere(MAKER, Trouble::Throttled);
            }

            #[test]
            fn effects_that_are_throttled_for_long() {
                happens_everywhere(MAKER, Trouble::ThrottledForLong);
            }
        })*
    };
}

scenes! {
    "alb-listener" alb_listener aws::listener,
    "appconfig" appconfig aws::configuration,
    "command" command tools::command,
    "ecs-environment" ecs_environment aws::environment,
    "ecs-image" ecs_image aws::image,
    "ecs-service" ecs_service aws::service,
    "migration" migration tools::migration,
    "migration" migration_as_tasks aws::migration,
    "rds-pitr" rds_pitr aws::moment,
    "rds-restore" rds_restore aws::snapshot,
    "rds-restore" rds_restore_by_name aws::renamed,
    "ssm-parameter" ssm_parameter aws::parameter,
}

/// The registry's kinds are what is tried: one without a scene fails here.
#[test]
fn every_kind_is_tried() {
    let tried: BTreeSet<&str> = SCENES.iter().map(|(kind, _)| *kind).collect();
    let known: BTreeSet<&str> = STEP_KINDS.iter().copied().collect();
    assert_eq!(
        tried, known,
        "each kind of step needs a scene here, and no other one does"
    );
    let Some(bench) = Bench::new() else { return };
    for (kind, maker) in SCENES {
        let scene = maker(&bench);
        assert_eq!(&scene.kind, kind, "{}: the scene is of another kind", scene.name);
    }
}

/// What a way takes on which nothing happens.
struct Clean {
    acts: Vec<Act>,
    repeats: bool,
    spent: usize,
    /// And back again.
    spent_in_all: usize,
}

fn clean(maker: Maker, bench: &Bench) -> Clean {
    let scene = maker(bench);
    let name = scene.name;
    assert_eq!((scene.state)(), scene.at_start, "{name}: it begins at its start");
    scene.way.rest();
    let there = scene.way.go(&scene.start, &scene.target).unwrap();
    let there = there.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
    let acts = scene.way.rest();
    assert_eq!((scene.state)(), scene.at_target, "{name}: it arrives");
    let spent = (scene.spent)();
    let back = scene.way.go(&there, &scene.start).unwrap();
    back.unwrap_or_else(|error| panic!("{name}, back: {}", said(&error)));
    assert_eq!((scene.state)(), scene.at_start, "{name}: it goes back");
    scene.way.rest();
    assert!(acts.iter().any(|act| act.is_effect), "{name}: {acts:?}");
    Clean {
        acts,
        repeats: scene.way.repeats(),
        spent,
        spent_in_all: (scene.spent)(),
    }
}

/// A way with more effects than this is a long one.
const LONG: usize = 4;

/// Makes this happen at every effect of a way, each in a world of its own. Looks change nothing: they are refused alone, and
/// every third of them stands for all. On a long way one effect is taken up and the next one taken back, where not all is
/// asked for (`INFRA_ROLLBACK_TEST_SCALE` of 10 or more).
fn happens_everywhere(maker: Maker, trouble: Trouble) {
    let Some(bench) = Bench::new() else { return };
    let clean = clean(maker, &bench);
    let scale = std::env::var("INFRA_ROLLBACK_TEST_SCALE").ok();
    let all = scale
        .and_then(|scale| scale.parse().ok())
        .is_some_and(|scale: u32| scale >= 10);
    let effects = clean.acts.iter().filter(|act| act.is_effect).count();
    let tried = |act: &&Act| act.is_effect || (trouble == Trouble::FailsBefore && act.number.is_multiple_of(3));
    for (index, act) in clean.acts.iter().filter(tried).enumerate() {
        for (turn, ending) in [Ending::TakenUp, Ending::TakenBack].into_iter().enumerate() {
            let its_turn = all || effects <= LONG || index % 2 == turn;
            // Where it arrives all the same there is nothing to take up; and a look that failed is either.
            let wanted = match arrives(&clean, trouble) || !act.is_effect {
                true => ending == Ending::TakenBack,
                false => its_turn,
            };
            if wanted {
                happens(&maker(&bench), &clean, trouble, act, ending);
            }
        }
    }
}

fn happens(scene: &Scene<'_>, clean: &Clean, trouble: Trouble, act: &Act, ending: Ending) {
    let Scene {
        name,
        way,
        start,
        target,
        ..
    } = scene;
    let context = format!("{name}: {trouble:?} at {} {}, {ending:?}", act.number, act.name);
    way.rest();
    if !way.put(trouble, act.number) {
        return;
    }
    let before = (scene.spent)();
    let first = way.go(start, target);
    let done = way.rest();
    assert!(done.len() >= act.number, "{context}: it did not come so far: {done:?}");
    judge(scene, clean, (trouble, act), first.as_ref(), before, &context);
    match ending {
        Ending::TakenUp => {
            let there = way.go(start, target).unwrap();
            let there = there.unwrap_or_else(|error| panic!("{context}: {}", said(&error)));
            assert_eq!((scene.state)(), scene.at_target, "{context}: it is not at its target");
            assert_eq!((scene.spent)(), clean.spent, "{context}: something was done twice");
            way.rest();
            let again = way.go(start, target).unwrap().unwrap();
            assert_eq!(again, there, "{context}: once more");
            let left = way.step().plan(&there, target).unwrap();
            assert_eq!(left, None, "{context}: it is there, and something is left to do");
        }
        Ending::TakenBack => {
            let step = way.step();
            let now = step
                .look()
                .unwrap_or_else(|error| panic!("{context}: {}", said(&error)));
            // As an undo: what is where it was is left alone.
            if step.plan(&now, start).unwrap().is_some() {
                let back = way.go(&now, start).unwrap();
                back.unwrap_or_else(|error| panic!("{context}: {}", said(&error)));
            }
            assert_eq!(
                (scene.state)(),
                scene.at_start,
                "{context}: it is not back at its start"
            );
            assert!(
                (scene.spent)() <= clean.spent_in_all,
                "{context}: something was done twice"
            );
        }
    }
    if trouble == Trouble::EndsMeanwhile {
        let (state, spent) = ((scene.state)(), (scene.spent)());
        std::thread::sleep(tools::MOMENT);
        assert_eq!((scene.state)(), state, "{context}: something came after it was over");
        assert_eq!((scene.spent)(), spent, "{context}: something came after it was over");
    }
}

/// Whether a way arrives though this happens on it.
fn arrives(clean: &Clean, trouble: Trouble) -> bool {
    trouble == Trouble::Slow || trouble == Trouble::Throttled && clean.repeats
}

/// Whether the first attempt ended as it had to, and said so.
fn judge(
    scene: &Scene<'_>,
    clean: &Clean,
    (trouble, act): (Trouble, &Act),
    ended: Option<&Result<Binding, StepError>>,
    before: usize,
    context: &str,
) {
    match (trouble, ended) {
        (Trouble::EndsBefore | Trouble::EndsAfter | Trouble::EndsMeanwhile, None) => {}
        // Lost, it is asked again; and the second one may be told that it is done already.
        (Trouble::AnswerLost, Some(_)) if clean.repeats => {}
        (_, Some(Ok(_))) if arrives(clean, trouble) => {
            assert_eq!((scene.state)(), scene.at_target, "{context}: it is not at its target");
            assert_eq!((scene.spent)(), clean.spent, "{context}: something was done twice");
        }
        (_, Some(Err(_))) if !arrives(clean, trouble) => {}
        // A look that explains only is done without.
        (Trouble::FailsBefore, Some(Ok(_))) if !act.is_effect => {}
        (_, other) => panic!("{context}: it ended with {other:?}"),
    }
    if let Some(Err(error)) = ended
        && error.untouched
    {
        assert_eq!(
            (scene.state)(),
            scene.at_start,
            "{context}: said to be untouched: {error}"
        );
        assert_eq!((scene.spent)(), before, "{context}: said to be untouched: {error}");
    }
}
