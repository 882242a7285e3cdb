//! The kinds that speak to AWS: each call goes through [`faults`](crate::faults).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use rollback_runbook::step::{Binding, Silent, Step, StepError};
use serde_json::{Value, json};

use super::{Act, Scene, Trouble, Way};
use crate::bench::{Bench, is_effect, step_table};
use crate::faults::{At, Ended, Fault};
use crate::{alb, appconfig, ecs, parameter, rds, rds_by_name};

/// What a call takes that takes its time, each way.
const SLOW: Duration = Duration::from_millis(50);

struct Network<'b> {
    bench: Owned<'b>,
    table: String,
}

enum Owned<'b> {
    Shared(&'b Bench),
    /// Whoever plays a service has a network of his own.
    Own(Rc<dyn AsRef<Bench> + 'b>),
}

impl Network<'_> {
    fn bench(&self) -> &Bench {
        match &self.bench {
            Owned::Shared(bench) => bench,
            Owned::Own(owner) => owner.as_ref().as_ref(),
        }
    }
}

impl Way for Network<'_> {
    fn step(&self) -> Box<dyn Step> {
        self.bench().step(&self.table)
    }

    fn go(&self, from: &Binding, to: &Binding) -> Option<Result<Binding, StepError>> {
        let step = self.step();
        let went = catch_unwind(AssertUnwindSafe(|| step.go(from, to, &Silent)));
        match went {
            Ok(ended) => Some(ended),
            Err(panic) if (*panic).is::<Ended>() => None,
            Err(panic) => resume_unwind(panic as Box<dyn Any + Send>),
        }
    }

    fn rest(&self) -> Vec<Act> {
        let act = |(index, name): (usize, String)| Act {
            number: index + 1,
            is_effect: is_effect(&name),
            name,
        };
        let called = self.bench().faults.rest();
        called.into_iter().enumerate().map(act).collect()
    }

    fn put(&self, trouble: Trouble, number: usize) -> bool {
        let (fault, then) = match trouble {
            Trouble::FailsBefore => (Fault::Refused, None),
            Trouble::AnswerLost => (Fault::Lost, None),
            Trouble::NetworkGone => (Fault::Lost, Some(Fault::Cut)),
            Trouble::EndsBefore => (Fault::Ends { done: false }, None),
            Trouble::EndsAfter => (Fault::Ends { done: true }, None),
            // What AWS has begun goes on whoever ends: whatever is asked later is asked of what came of it.
            Trouble::EndsMeanwhile => return false,
            Trouble::Slow => (Fault::Slow(SLOW), None),
            Trouble::Throttled => (Fault::Throttled, None),
            Trouble::ThrottledForLong => (Fault::TooMany, Some(Fault::TooMany)),
        };
        let faults = &self.bench().faults;
        faults.plan(At::Call(number), fault);
        if let Some(fault) = then {
            faults.plan(At::After(number), fault);
        }
        true
    }

    fn repeats(&self) -> bool {
        true
    }
}

fn network<'b>(bench: &'b Bench, table: &str) -> Box<dyn Way + 'b> {
    Box::new(Network {
        bench: Owned::Shared(bench),
        table: table.to_owned(),
    })
}

/// A service that has to be brought to a revision that is gone, so that each kind has to register one.
fn of_ecs<'b>(bench: &'b Bench, kind: &'static str, key: &'static str) -> Scene<'b> {
    let world = ecs::World::new(bench);
    let table = world.table(kind, "");
    let look = {
        let table = table.clone();
        move || bench.step(&table).look().unwrap()
    };
    let target = look();
    world.deploy(&world.register("two", "hunter2-two"));
    world.deregister(target["task_definition"].as_str().unwrap());
    let start = look();
    Scene {
        kind: step_table(&table).kind,
        name: kind,
        way: network(bench, &table),
        at_start: start[key].clone(),
        at_target: target[key].clone(),
        start,
        target,
        state: Box::new(move || look()[key].clone()),
        spent: Box::new(move || world.revisions().len()),
    }
}

pub fn service(bench: &Bench) -> Scene<'_> {
    of_ecs(bench, "ecs-service", "definition")
}

pub fn image(bench: &Bench) -> Scene<'_> {
    of_ecs(bench, "ecs-image", "digest")
}

pub fn environment(bench: &Bench) -> Scene<'_> {
    of_ecs(bench, "ecs-environment", "containers")
}

/// In two stages, with a default action and a rule.
pub fn listener(bench: &Bench) -> Scene<'_> {
    let world = alb::World::new(bench);
    let table = world.table("stages = [10, 100]\npause = \"1ms\"");
    let look = {
        let table = table.clone();
        move || bench.step(&table).look().unwrap()
    };
    let target = look();
    world.send(
        alb::weighted(&[(&world.blue, 20), (&world.green, 80)]),
        alb::to(&world.green),
    );
    let start = look();
    Scene {
        kind: step_table(&table).kind,
        name: "alb-listener",
        way: network(bench, &table),
        at_start: start.clone(),
        at_target: target.clone(),
        start,
        target,
        state: Box::new(look),
        // What it does leaves nothing behind.
        spent: Box::new(|| 0),
    }
}

pub fn parameter(bench: &Bench) -> Scene<'_> {
    let world = Rc::new(parameter::World::new(bench, ParameterType::SecureString, "hunter2-old"));
    let table = world.table();
    let target = bench.step(&table).look().unwrap();
    world.put(ParameterType::SecureString, "hunter2-new");
    let start = bench.step(&table).look().unwrap();
    let other = Rc::clone(&world);
    Scene {
        kind: step_table(&table).kind,
        name: "ssm-parameter",
        way: network(bench, &table),
        start,
        target,
        state: Box::new(move || world.value().into()),
        spent: Box::new(move || other.version()),
        at_start: "hunter2-new".into(),
        at_target: "hunter2-old".into(),
    }
}

pub fn configuration(_: &Bench) -> Scene<'_> {
    let world = Rc::new(appconfig::World::new());
    world.played.deploy("3");
    let bench: &Bench = &world.bench;
    let target = bench.step(appconfig::TABLE).look().unwrap();
    world.played.deploy("4");
    let start = bench.step(appconfig::TABLE).look().unwrap();
    let (one, other) = (Rc::clone(&world), Rc::clone(&world));
    Scene {
        kind: step_table(appconfig::TABLE).kind,
        name: "appconfig",
        way: Box::new(Network {
            bench: Owned::Own(world),
            table: appconfig::TABLE.to_owned(),
        }),
        start,
        target,
        state: Box::new(move || one.bench.step(appconfig::TABLE).look().unwrap()["version"].clone()),
        spent: Box::new(move || other.played.starts()),
        at_start: "4".into(),
        at_target: "3".into(),
    }
}

/// The list of migrations is the containers' own, so that it is seen past the step.
pub fn migration(_: &Bench) -> Scene<'_> {
    let world = Rc::new(ecs::migration::World::new().unwrap());
    let table = world.table("at_once = true");
    let (target, start) = world.story(&table);
    let (one, other) = (Rc::clone(&world), Rc::clone(&world));
    Scene {
        kind: step_table(&table).kind,
        name: "migration as tasks",
        way: Box::new(Network {
            bench: Owned::Own(world),
            table,
        }),
        start,
        target,
        state: Box::new(move || one.list().into()),
        spent: Box::new(move || other.effects().len()),
        at_start: "a\nb\nc\n".into(),
        at_target: "a\n".into(),
    }
}

/// A database, and where the application finds it.
fn database<'b>(
    bench: &'b Bench,
    name: &'static str,
    table: impl Fn(&rds::World<'b>) -> String,
    target: impl Fn(&rds::World<'b>) -> Value,
) -> Scene<'b> {
    let world = Rc::new(rds::World::new(bench));
    let table = table(&world);
    let start = bench.step(&table).look().unwrap();
    let other = Rc::clone(&world);
    let (target, resource) = (target(&world), world.resource_in_use());
    let state = |is_old: bool| json!({"is the old one": is_old, "tasks": 2});
    Scene {
        kind: step_table(&table).kind,
        name,
        way: network(bench, &table),
        start,
        target,
        state: Box::new(move || json!({"is the old one": world.resource_in_use() == resource, "tasks": world.tasks()})),
        spent: Box::new(move || other.instances().len()),
        at_start: state(true),
        at_target: state(false),
    }
}

pub fn snapshot(bench: &Bench) -> Scene<'_> {
    let table = |world: &rds::World<'_>| world.table("rds-restore");
    database(bench, "rds-restore", table, |world| world.snapshot("run"))
}

pub fn renamed(bench: &Bench) -> Scene<'_> {
    let target = |world: &rds::World<'_>| world.snapshot("run");
    database(bench, "rds-restore by rename", rds_by_name::table, target)
}

pub fn moment(bench: &Bench) -> Scene<'_> {
    let table = |world: &rds::World<'_>| world.table("rds-pitr");
    // The emulator's instances can be restored to any moment.
    let target = |_: &rds::World<'_>| json!({"restore_time": "2026-01-15T10:30:00Z", "run": "run"});
    database(bench, "rds-pitr", table, target)
}
