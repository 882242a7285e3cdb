//! `migration` as one-off tasks. moto starts no containers: they are played by [`agent`](super::agent), with a real shell.

use std::fs;
use std::sync::Arc;

use aws_sdk_ecs::types::{ContainerDefinition, LaunchType, LogConfiguration, LogDriver};
use rollback_runbook::step::{Reversibility, Silent};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agent::{Agent, GROUP};
use crate::bench::{Bench, Lines, said, step_table, unique};
use crate::faults::{At, Fault};

/// A service whose image has a migration tool, which keeps its list in a file. Each revert is told in `reverts`.
pub struct World {
    pub bench: Bench,
    pub agent: Agent,
    pub name: String,
    folder: TempDir,
    ecs: aws_sdk_ecs::Client,
}

const SHOW: &str = "cat list; echo npm notice >&2";
const REVERT: &str = "if test -e forbidden; then echo DropName is irreversible >&2; exit 1; fi; n=$(($(wc -l < list) - ROLLBACK_COUNT)); \
                      tail -n 1 list; head -n $n list > new; mv new list; echo revert >> effects";
const APPLY: &str = "printf 'a\\nb\\nc\\n' > list; echo apply >> effects";

impl World {
    pub fn new() -> Option<World> {
        let agent = Agent::default();
        let bench = Bench::over(agent.client(), &Bench::endpoint()?);
        let folder = tempfile::tempdir().unwrap();
        let logs = aws_sdk_cloudwatchlogs::Client::new(&bench.config);
        // Another test may have made it.
        let _ = bench.wait(logs.create_log_group().log_group_name(GROUP).send());
        agent.use_folder(folder.path().to_owned(), logs);
        let world = World {
            name: unique("shop"),
            ecs: aws_sdk_ecs::Client::new(&bench.config),
            bench,
            agent,
            folder,
        };
        let create = world.ecs.create_cluster().cluster_name(&world.name);
        world.bench.wait(create.send()).unwrap();
        let revision = world.register("one", true);
        let create = world.ecs.create_service().cluster(&world.name).service_name("web");
        let create = create
            .task_definition(revision)
            .desired_count(2)
            .launch_type(LaunchType::Fargate);
        world.bench.wait(create.send()).unwrap();
        world.be("a\n");
        Some(world)
    }

    pub fn register(&self, image: &str, readable: bool) -> String {
        let log = LogConfiguration::builder()
            .log_driver(if readable {
                LogDriver::Awslogs
            } else {
                LogDriver::Splunk
            })
            .options("awslogs-group", GROUP)
            .options("awslogs-region", "us-east-1")
            .options("awslogs-stream-prefix", "ecs");
        let container = ContainerDefinition::builder()
            .name("app")
            .image(image)
            .memory(64)
            .log_configuration(log.build().unwrap());
        let register = self.ecs.register_task_definition().family(&self.name);
        let made = register.container_definitions(container.build()).send();
        let made = self.bench.wait(made).unwrap().task_definition.unwrap();
        made.task_definition_arn.unwrap()
    }

    pub fn deploy(&self, revision: &str) {
        let update = self.ecs.update_service().cluster(&self.name).service("web");
        self.bench.wait(update.task_definition(revision).send()).unwrap();
    }

    pub fn table(&self, more: &str) -> String {
        self.table_of("service = \"web\"", more)
    }

    fn table_of(&self, task: &str, more: &str) -> String {
        format!(
            "kind = \"migration\"\nshow = '''{SHOW}'''\nrevert = '''{REVERT}'''\napply = '''{APPLY}'''\n\
             task = {{ cluster = \"{}\", {task} }}\n{more}",
            self.name
        )
    }

    pub fn be(&self, list: &str) {
        fs::write(self.folder.path().join("list"), list).unwrap();
    }

    pub fn list(&self) -> String {
        fs::read_to_string(self.folder.path().join("list")).unwrap()
    }

    /// What changed something, in its order.
    pub fn effects(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("effects")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The release with one migration, and then a deploy that brings two more.
    pub fn story(&self, table: &str) -> (Value, Value) {
        let step = self.bench.step(table);
        let release = step.look().unwrap();
        self.deploy(&self.register("two", true));
        self.be("a\nb\nc\n");
        (release, step.look().unwrap())
    }
}

impl AsRef<Bench> for World {
    fn as_ref(&self) -> &Bench {
        &self.bench
    }
}

#[test]
fn migrations_go_back_with_the_code_that_brought_them_and_forth_again() {
    let Some(world) = World::new() else { return };
    let table = world.table("");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    assert_eq!(now["applied"], json!(["a", "b", "c"]));
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(plan.reversibility, Reversibility::DataLoss);
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    let note = format!("runs as tasks of {}:2 in cluster {}", world.name, world.name);
    assert!(plan.notes.contains(&note), "{plan:?}");
    // As in a run: the application is back already, and its code knows nothing of what has to be reverted.
    world.deploy(release["revision"].as_str().unwrap());
    let before = world.agent.revisions().len();
    let lines = Lines::default();
    let there = step.go(&now, &release, &lines).unwrap();
    assert_eq!((there, world.list().as_str()), (release.clone(), "a\n"));
    let told = lines.text();
    assert!(told.contains("reverting c") && told.contains("runs `if test"), "{told}");
    assert!(
        told.lines().any(|line| line == "b"),
        "what a task writes is shown: {told}"
    );
    assert!(!told.contains("infra-rollback:"), "{told}");
    // Three looks and two reverts, and not one look more.
    let tasks = &world.agent.revisions()[before..];
    assert_eq!(tasks, vec![format!("{}:2", world.name); 5]);
    assert_eq!(world.effects(), ["revert", "revert"]);
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
    assert_eq!(world.effects().len(), 2, "nothing is reverted twice");
    // Undo.
    let plan = step.plan(&release, &now).unwrap().unwrap();
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    step.go(&release, &now, &Silent).unwrap();
    assert_eq!((world.list().as_str(), world.effects().len()), ("a\nb\nc\n", 3));
}

#[test]
fn all_at_once_and_by_a_task_definition_of_its_own() {
    let Some(world) = World::new() else { return };
    let task = format!(
        "task_definition = \"{}\", launch_type = \"FARGATE\", container = \"app\", subnets = [\"subnet-1\"], \
         security_groups = [\"sg-1\"], assign_public_ip = true",
        world.name
    );
    let table = world.table_of(&task, "at_once = true");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    assert!(
        now["revision"].as_str().unwrap().ends_with(":2"),
        "the family's newest: {now}"
    );
    world.bench.faults.rest();
    step.go(&now, &release, &Silent).unwrap();
    assert_eq!(
        (world.list().as_str(), world.effects()),
        ("a\n", vec!["revert".to_owned()])
    );
    let calls = world.bench.faults.rest();
    assert!(
        !calls.contains(&"DescribeServices".to_owned()),
        "no service was named: {calls:?}"
    );
}

#[test]
fn what_the_tool_calls_irreversible_ends_it_with_the_tools_words() {
    let Some(world) = World::new() else { return };
    let table = world.table("");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    fs::write(world.folder.path().join("forbidden"), "").unwrap();
    let error = step.go(&now, &release, &Silent).unwrap_err();
    let told = said(&error);
    assert!(!error.untouched && told.contains("exit status 1 in task"), "{told}");
    assert!(
        told.contains("DropName is irreversible") && told.contains("migration c may be"),
        "{told}"
    );
    // Mended, it is taken up.
    fs::remove_file(world.folder.path().join("forbidden")).unwrap();
    step.go(&now, &release, &Silent).unwrap();
    assert_eq!((world.list().as_str(), world.effects().len()), ("a\n", 2));
}

#[test]
fn a_task_that_still_runs_from_before_is_waited_for_and_not_started_again() {
    let Some(world) = World::new() else { return };
    let table = world.table("at_once = true");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    // The process ends with its task on the way.
    world.agent.be_slow("head -n", 8);
    world.bench.faults.rest();
    let stop = Lines {
        stop_at: Some("runs `if test"),
        ..Lines::default()
    };
    let error = step.go(&now, &release, &stop).unwrap_err();
    assert!(
        !error.untouched && said(&error).contains("goes on at AWS"),
        "{}",
        said(&error)
    );
    assert_eq!(world.list(), "a\nb\nc\n", "it has not come so far");
    let lines = Lines::default();
    step.go(&now, &release, &lines).unwrap();
    assert!(
        lines
            .text()
            .contains("which an earlier attempt has started, still runs"),
        "{}",
        lines.text()
    );
    assert_eq!((world.list().as_str(), world.effects().len()), ("a\n", 1));
    let calls = world.bench.faults.rest();
    assert!(!calls.contains(&"StopTask".to_owned()), "{calls:?}");
}

#[test]
fn a_look_that_nobody_waits_for_any_more_is_stopped() {
    let Some(world) = World::new() else { return };
    let table = world.table("timeout = 1");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    world.agent.be_slow("cat list", usize::MAX);
    world.bench.faults.rest();
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        error.untouched && said(&error).contains("not reached after 1 s"),
        "{}",
        said(&error)
    );
    assert!(world.bench.faults.rest().contains(&"StopTask".to_owned()));
    assert!(world.effects().is_empty());
}

#[test]
fn a_log_that_does_not_come_is_no_empty_list() {
    let Some(world) = World::new() else { return };
    let table = world.table("timeout = 1");
    let step = world.bench.step(&table);
    world.agent.be_silent();
    let error = step.look().unwrap_err();
    assert!(
        error.untouched && said(&error).contains("cannot be read from log group /ecs/migrations"),
        "{}",
        said(&error)
    );
    world.deploy(&world.register("two", false));
    let error = step.look().unwrap_err();
    assert!(said(&error).contains("goes by the driver splunk"), "{}", said(&error));
}

#[test]
fn what_does_not_start_has_changed_nothing() {
    let Some(world) = World::new() else { return };
    let table = world.table("");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    world
        .agent
        .start_nothing(Some("CannotPullContainerError: no such image"));
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        error.untouched && said(&error).contains("no such image"),
        "{}",
        said(&error)
    );
    world.agent.start_nothing(None);
    // No room: ECS says so without an error.
    let full = json!({"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY"}]}).to_string();
    let at = At::Operation {
        name: "RunTask",
        times: 1,
    };
    let answer = full.into_bytes();
    world
        .bench
        .faults
        .plan(at, Fault::Instead(200, Arc::new(move |_| answer.clone())));
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        error.untouched && said(&error).contains("RESOURCE:MEMORY"),
        "{}",
        said(&error)
    );
    step.go(&now, &release, &Silent).unwrap();
    assert_eq!(world.list(), "a\n");
}

#[test]
fn code_that_was_deregistered_is_registered_again_and_code_that_is_gone_stands_in_the_way() {
    let Some(world) = World::new() else { return };
    let table = world.table("");
    let step = world.bench.step(&table);
    let (release, now) = world.story(&table);
    let code = now["revision"].as_str().unwrap();
    world.deploy(release["revision"].as_str().unwrap());
    let deregister = world.ecs.deregister_task_definition().task_definition(code);
    world.bench.wait(deregister.send()).unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        plan.notes.iter().any(|note| note.contains("registered again")),
        "{plan:?}"
    );
    step.go(&now, &release, &Silent).unwrap();
    assert_eq!(world.list(), "a\n");
    let last = world.agent.revisions().pop().unwrap();
    assert_eq!(last, format!("{}:3", world.name));
    let mut gone = now.clone();
    gone["revision"] = format!("{}:70", world.name).into();
    let plan = step.plan(&gone, &release).unwrap().unwrap();
    assert!(plan.obstacles[0].contains(":70 is gone"), "{plan:?}");
}

#[test]
fn settings_that_have_no_meaning_are_refused_before_anything_is_asked() {
    let Some(world) = World::new() else { return };
    let refused = |table: &str, words: &str| {
        let Some(Err(error)) = rollback_runtime_aws::step(&step_table(table), &world.bench.account) else {
            panic!("it is taken: {table}")
        };
        let told = format!("{error} ({})", error.hint.as_deref().unwrap_or_default());
        assert!(told.contains(words), "{told}");
    };
    let some = "task_definition = \"f\"";
    refused(&world.table("environment = [\"DATABASE_URL\"]"), "no `environment`");
    refused(
        &world.table_of("container = \"app\"", ""),
        "neither whose task definition",
    );
    refused(
        &world.table_of(&format!("{some}, launch_type = \"FARGAT\""), ""),
        "FARGATE",
    );
    refused(
        &world.table_of(&format!("{some}, assign_public_ip = true"), ""),
        "no subnets",
    );
    refused(&world.table_of("servise = \"web\"", ""), "did you mean `service`?");
    refused(&world.table("regoin = \"x\""), "did you mean `region`?");
    assert!(world.bench.faults.rest().is_empty());
}
