//! Services of ECS: task definitions, images, variables.

use std::sync::Arc;

use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair, Secret};
use rollback_runbook::step::{Binding, Silent};
use serde_json::{Value, json};

use crate::bench::{Bench, Lines, change, said, step_table, unique};
use crate::faults::{At, Fault};

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// A service with a repository of its own.
struct World<'a> {
    bench: &'a Bench,
    name: String,
    ecs: aws_sdk_ecs::Client,
    ecr: aws_sdk_ecr::Client,
}

impl<'a> World<'a> {
    /// It runs revision 1, image `one`, LOG_LEVEL=hunter2-one.
    fn new(bench: &'a Bench) -> World<'a> {
        let world = World {
            bench,
            name: unique("backend"),
            ecs: aws_sdk_ecs::Client::new(&bench.config),
            ecr: aws_sdk_ecr::Client::new(&bench.config),
        };
        bench
            .wait(world.ecs.create_cluster().cluster_name(&world.name).send())
            .unwrap();
        bench
            .wait(world.ecr.create_repository().repository_name(&world.name).send())
            .unwrap();
        world.push("one");
        world.push("two");
        let revision = world.register("one", "hunter2-one");
        let create = world.ecs.create_service().cluster(&world.name).service_name("web");
        bench
            .wait(create.task_definition(revision).desired_count(2).send())
            .unwrap();
        world
    }

    fn table(&self, kind: &str, more: &str) -> String {
        format!(
            "kind = \"{kind}\"\ncluster = \"{}\"\nservice = \"web\"\n{more}",
            self.name
        )
    }

    fn image(&self, tag: &str) -> String {
        format!("{REGISTRY}/{}:{tag}", self.name)
    }

    /// Pushes another image and gives it this tag. Tells its digest.
    fn push(&self, tag: &str) -> String {
        self.tag(tag, &unique("sha256:"))
    }

    /// Gives this tag to the image that has this layer.
    fn tag(&self, tag: &str, layer: &str) -> String {
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:0"},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": layer}]});
        let put = self.ecr.put_image().repository_name(&self.name).image_tag(tag);
        let made = self
            .bench
            .wait(put.image_manifest(manifest.to_string()).send())
            .unwrap();
        made.image.unwrap().image_id.unwrap().image_digest.unwrap()
    }

    fn remove_image(&self, digest: &str) {
        let image = aws_sdk_ecr::types::ImageIdentifier::builder()
            .image_digest(digest)
            .build();
        let delete = self
            .ecr
            .batch_delete_image()
            .repository_name(&self.name)
            .image_ids(image);
        self.bench.wait(delete.send()).unwrap();
    }

    fn register(&self, tag: &str, level: &str) -> String {
        let container = ContainerDefinition::builder()
            .name("app")
            .image(self.image(tag))
            .memory(64)
            .environment(KeyValuePair::builder().name("LOG_LEVEL").value(level).build())
            .environment(KeyValuePair::builder().name("PORT").value("8080").build())
            .secrets(
                Secret::builder()
                    .name("KEY")
                    .value_from(format!("arn:{level}"))
                    .build()
                    .unwrap(),
            )
            .build();
        let register = self.ecs.register_task_definition().family(&self.name).cpu("256");
        let made = self
            .bench
            .wait(register.container_definitions(container).send())
            .unwrap();
        made.task_definition.unwrap().task_definition_arn.unwrap()
    }

    /// A deploy by somebody else.
    fn deploy(&self, revision: &str) {
        let update = self.ecs.update_service().cluster(&self.name).service("web");
        self.bench.wait(update.task_definition(revision).send()).unwrap();
    }

    fn revisions(&self) -> Vec<String> {
        let list = self.ecs.list_task_definitions().family_prefix(&self.name);
        self.bench.wait(list.send()).unwrap().task_definition_arns.unwrap()
    }

    fn deregister(&self, revision: &str) {
        self.bench
            .wait(self.ecs.deregister_task_definition().task_definition(revision).send())
            .unwrap();
    }

    fn container(&self) -> ContainerDefinition {
        let services = self.ecs.describe_services().cluster(&self.name).services("web").send();
        let service = self.bench.wait(services).unwrap().services.unwrap().remove(0);
        let describe = self
            .ecs
            .describe_task_definition()
            .task_definition(service.task_definition.unwrap());
        let described = self.bench.wait(describe.send()).unwrap().task_definition.unwrap();
        described.container_definitions.unwrap().remove(0)
    }
}

fn text<'b>(binding: &'b Binding, key: &str) -> &'b str {
    binding[key].as_str().unwrap()
}

#[test]
fn a_service_goes_back_to_a_release_and_forth_again() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let table = world.table("ecs-service", "");
    let step = bench.step(&table);
    let release = step.look().unwrap();
    assert!(
        release["images"]["app"].as_str().unwrap().starts_with("sha256:"),
        "{release}"
    );
    assert_eq!(release["desired_count"], json!(2));
    world.deploy(&world.register("two", "hunter2-two"));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(
        change(&plan, "task definition"),
        (format!("{}:2", world.name), format!("{}:1", world.name))
    );
    let (from, to) = change(&plan, "image of container app");
    assert!(
        from.contains(":two (sha256:") && to.contains(":one (sha256:"),
        "{from} {to}"
    );
    change(&plan, "variable LOG_LEVEL of container app");
    let told = serde_json::to_string(&plan).unwrap();
    assert!(
        !told.contains("hunter2-one\"") || told.contains("arn:hunter2-one"),
        "{told}"
    );
    assert!(
        !told.replace("arn:hunter2", "").contains("hunter2"),
        "no value is shown: {told}"
    );
    assert!(plan.obstacles.is_empty() && plan.notes.is_empty(), "{plan:?}");
    let lines = Lines::default();
    let there = step.go(&now, &release, &lines).unwrap();
    assert_eq!(
        there, release,
        "exactly what it was, so that Terraform finds no difference either"
    );
    assert!(lines.text().contains("goes from"), "{}", lines.text());
    assert!(!lines.text().contains("hunter2"));
    assert_eq!(world.revisions().len(), 2, "no revision was registered");
    assert_eq!(step.plan(&there, &release).unwrap(), None);
    // Undo.
    assert_eq!(step.go(&there, &now, &Silent).unwrap(), now);
}

#[test]
fn a_revision_that_was_deregistered_is_registered_again() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let table = world.table("ecs-service", "");
    let step = bench.step(&table);
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "hunter2-two"));
    world.deregister(text(&release, "task_definition"));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        change(&plan, "task definition").1.ends_with(":1 as a new revision"),
        "{plan:?}"
    );
    assert!(plan.notes[0].contains("registered again"), "{plan:?}");
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(there["definition"], release["definition"]);
    assert_eq!(there["task_definition"].as_str().unwrap().rsplit(':').next(), Some("3"));
    assert_eq!(
        step.plan(&there, &release).unwrap(),
        None,
        "a new revision that says the same is the release's"
    );
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), there);
    assert_eq!(world.revisions().len(), 2, "it is registered once");
}

#[test]
fn a_tag_that_was_moved_does_not_bring_another_image() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    // The emulator drops an image with its last tag; ECR keeps it.
    world.tag("kept", "layer");
    world.tag("latest", "layer");
    world.deploy(&world.register("latest", "x"));
    let release = step.look().unwrap();
    let digest = release["images"]["app"].as_str().unwrap().to_owned();
    let moved = world.push("latest");
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("names another image by now")),
        "{plan:?}"
    );
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(
        world.container().image.unwrap(),
        format!("{REGISTRY}/{}@{digest}", world.name)
    );
    assert_ne!(moved, digest);
    assert_eq!(step.plan(&there, &release).unwrap(), None, "the digest is what ran");
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), there);
}

#[test]
fn an_image_that_is_gone_stands_in_the_way_before_anything_starts() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    for kind in ["ecs-service", "ecs-image"] {
        let step = bench.step(&world.table(kind, ""));
        let gone = world.push("gone");
        world.deploy(&world.register("gone", "x"));
        let release = step.look().unwrap();
        world.deploy(&world.register("two", "y"));
        world.remove_image(&gone);
        let now = step.look().unwrap();
        let plan = step.plan(&now, &release).unwrap().unwrap();
        assert!(plan.obstacles[0].contains("no longer in ECR"), "{plan:?}");
        bench.faults.rest();
        let error = step.go(&now, &release, &Silent).unwrap_err();
        assert!(
            error.untouched && said(&error).contains("push the image again"),
            "{}",
            said(&error)
        );
        assert_eq!(step.look().unwrap(), now);
    }
}

#[test]
fn the_number_of_tasks_is_the_autoscalers_unless_asked() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    let scale = world
        .ecs
        .update_service()
        .cluster(&world.name)
        .service("web")
        .desired_count(5);
    bench.wait(scale.send()).unwrap();
    let now = step.look().unwrap();
    assert_eq!(step.plan(&now, &release).unwrap(), None);
    let asked = bench.step(&world.table("ecs-service", "desired_count = true"));
    let plan = asked.plan(&now, &release).unwrap().unwrap();
    assert_eq!(change(&plan, "desired count"), ("5".into(), "2".into()));
    assert_eq!(asked.go(&now, &release, &Silent).unwrap()["desired_count"], json!(2));
    world.deploy(&world.register("two", "x"));
    bench
        .wait(
            world
                .ecs
                .update_service()
                .cluster(&world.name)
                .service("web")
                .desired_count(5)
                .send(),
        )
        .unwrap();
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("stays at 5")), "{plan:?}");
    assert_eq!(step.go(&now, &release, &Silent).unwrap()["desired_count"], json!(5));
}

#[test]
fn an_image_goes_back_and_the_variables_of_today_stay() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let table = world.table("ecs-image", "");
    let step = bench.step(&table);
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "hunter2-two"));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    let (from, to) = change(&plan, "image of container app");
    assert!(
        from.starts_with(&world.image("two")) && to.starts_with(&world.image("one")),
        "{plan:?}"
    );
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(there["digest"], release["digest"]);
    let container = world.container();
    assert_eq!(container.image.as_deref(), Some(world.image("one").as_str()));
    assert_eq!(container.environment.unwrap()[0].value.as_deref(), Some("hunter2-two"));
    assert_eq!(step.go(&there, &now, &Silent).unwrap()["digest"], now["digest"]);
    let images = rollback_runtime_aws::images(&step_table(&table), &bench.account)
        .unwrap()
        .unwrap();
    assert_eq!(images.len(), 2);
    assert!(
        images
            .iter()
            .any(|image| Some(image.digest.as_str()) == release["digest"].as_str())
    );
    assert!(
        images.windows(2).all(|pair| pair[0].pushed >= pair[1].pushed),
        "newest first: {images:?}"
    );
}

#[test]
fn variables_go_back_and_the_image_of_today_stays() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-environment", "container = \"app\""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "hunter2-two"));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(plan.changes.len(), 2, "PORT is the same: {plan:?}");
    assert_eq!(
        change(&plan, "secret KEY"),
        ("arn:hunter2-two".into(), "arn:hunter2-one".into())
    );
    assert!(
        !serde_json::to_string(&plan)
            .unwrap()
            .replace("arn:hunter2", "")
            .contains("hunter2"),
        "{plan:?}"
    );
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(there["containers"], release["containers"]);
    let container = world.container();
    assert_eq!(container.image.as_deref(), Some(world.image("two").as_str()));
    assert_eq!(container.environment.unwrap()[0].value.as_deref(), Some("hunter2-one"));
    assert_eq!(step.go(&there, &now, &Silent).unwrap()["containers"], now["containers"]);
}

#[test]
fn ended_anywhere_it_is_taken_up_and_registers_nothing_twice() {
    let Some(bench) = Bench::new() else { return };
    for (kind, key) in [
        ("ecs-service", "definition"),
        ("ecs-image", "digest"),
        ("ecs-environment", "containers"),
    ] {
        let worlds = std::cell::RefCell::new(Vec::<(World<'_>, Value, usize)>::new());
        bench.crashes(
            || {
                let world = World::new(&bench);
                let table = world.table(kind, "");
                let release = bench.step(&table).look().unwrap();
                world.deploy(&world.register("two", "hunter2-two"));
                // So that each kind has to register a revision.
                world.deregister(text(&release, "task_definition"));
                worlds.borrow_mut().push((world, release[key].clone(), 2));
                (table, release)
            },
            |there, context| {
                let worlds = worlds.borrow();
                let (world, expected, revisions) = worlds.last().unwrap();
                assert_eq!(&there[key], expected, "{kind}: {context}");
                assert_eq!(
                    world.revisions().len(),
                    *revisions,
                    "{kind}: {context}: registered once"
                );
            },
        );
    }
}

#[test]
fn throttled_calls_are_repeated() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    world.deregister(text(&release, "task_definition"));
    let now = step.look().unwrap();
    for (name, fault) in [
        ("DescribeServices", Fault::Throttled),
        ("RegisterTaskDefinition", Fault::Throttled),
        ("UpdateService", Fault::TooMany),
        ("DescribeImages", Fault::TooMany),
    ] {
        bench.faults.plan(At::Operation { name, times: 1 }, fault);
    }
    step.go(&now, &release, &Silent).unwrap();
    let calls = bench.faults.rest();
    for (name, at_least) in [("RegisterTaskDefinition", 2), ("UpdateService", 2)] {
        assert_eq!(
            calls.iter().filter(|call| *call == name).count(),
            at_least,
            "{name} in {calls:?}"
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let missing = format!(
        "kind = \"ecs-service\"\ncluster = \"{}\"\nservice = \"nobody\"",
        world.name
    );
    let error = bench.step(&missing).look().unwrap_err();
    assert!(
        said(&error).contains("no service nobody of cluster"),
        "{}",
        said(&error)
    );
    let error = bench
        .step("kind = \"ecs-service\"\ncluster = \"nowhere\"\nservice = \"web\"")
        .look()
        .unwrap_err();
    assert!(said(&error).contains("no cluster nowhere"), "{}", said(&error));
    let error = bench
        .step(&world.table("ecs-image", "container = \"nginx\""))
        .look()
        .unwrap_err();
    assert!(said(&error).contains("no container nginx"), "{}", said(&error));
    let table = step_table(&world.table("ecs-service", "regoin = \"x\""));
    let Some(Err(error)) = rollback_runtime_aws::step(&table, &bench.account) else {
        panic!("it is taken")
    };
    assert_eq!(error.hint.as_deref(), Some("did you mean `region`?"));
}

/// Puts a deployment of this state into what the emulator says of a service: it knows no events and no failures.
fn with_deployment(deployment: Value, events: Value, running: i64) -> Fault {
    Fault::Answer(Arc::new(move |answer| {
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let service = &mut answer["services"][0];
        let mut all = service["deployments"].clone();
        let revision = service["taskDefinition"].clone();
        if let Some(list) = all.as_array_mut() {
            list.clear();
            let mut deployment = deployment.clone();
            if deployment["taskDefinition"].is_null() {
                deployment["taskDefinition"] = revision;
            }
            list.push(deployment);
        }
        service["deployments"] = all;
        service["events"] = events.clone();
        service["runningCount"] = json!(running);
        answer.to_string()
    }))
}

#[test]
fn events_are_told_while_it_waits_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let old = json!({"id": "1", "createdAt": 1, "message": "from before"});
    let new = json!({"id": "2", "createdAt": 2, "message": "(service web) has started 2 tasks"});
    let idle = json!({"id": "d", "status": "PRIMARY", "rolloutState": "COMPLETED"});
    let busy = json!({"id": "d", "status": "PRIMARY", "rolloutState": "IN_PROGRESS", "failedTasks": 1});
    // Two looks before the update, four after it.
    let describe = |times| At::Operation {
        name: "DescribeServices",
        times,
    };
    bench.faults.plan(describe(3), with_deployment(idle, json!([old]), 2));
    bench
        .faults
        .plan(describe(4), with_deployment(busy, json!([new, old]), 1));
    let lines = Lines::default();
    step.go(&now, &release, &lines).unwrap();
    bench.faults.rest();
    let text = lines.text();
    assert!(!text.contains("from before"), "{text}");
    assert_eq!(text.matches("has started 2 tasks").count(), 1, "{text}");
    assert!(
        text.contains("1 of 2 tasks run") && text.contains("1 tasks have failed"),
        "{text}"
    );
}

#[test]
fn a_circuit_breaker_ends_the_wait_with_its_reason_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", "timeout = \"5s\""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let failed = json!({"id": "d", "status": "PRIMARY", "rolloutState": "FAILED", "failedTasks": 3,
        "taskDefinition": release["task_definition"],
        "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start."});
    bench.faults.plan(
        At::Operation {
            name: "DescribeServices",
            times: 100,
        },
        with_deployment(failed, json!([]), 0),
    );
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(!error.untouched);
    assert!(
        said(&error).contains("circuit breaker: tasks failed to start"),
        "{}",
        said(&error)
    );
    assert!(said(&error).contains("undo"), "{}", said(&error));
    bench.faults.rest();
    // Mended, it is taken up.
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
}

#[test]
fn a_deploy_by_somebody_else_is_noticed_while_it_waits() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    let other = world.register("two", "x");
    world.deploy(&other);
    let now = step.look().unwrap();
    let current = text(&now, "task_definition").to_owned();
    // The update is answered, and what it did is undone at once.
    bench.faults.plan(
        At::Operation {
            name: "UpdateService",
            times: 1,
        },
        Fault::Instead(200, Arc::new(|_| b"{\"service\": {}}".to_vec())),
    );
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        said(&error).contains("was brought to") && !error.untouched,
        "{}",
        said(&error)
    );
    assert!(said(&error).contains(current.rsplit('/').next().unwrap()));
}

#[test]
fn patience_ends_and_a_person_can_stop_it_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", "timeout = 1"));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let busy = || {
        with_deployment(
            json!({"id": "d", "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}),
            json!([]),
            1,
        )
    };
    let always = At::Operation {
        name: "DescribeServices",
        times: usize::MAX,
    };
    bench.faults.plan(always.clone(), busy());
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        said(&error).contains("not reached after 1 s") && said(&error).contains("resume"),
        "{}",
        said(&error)
    );
    let lines = Lines {
        stop_at: Some("1 of 2 tasks run"),
        ..Lines::default()
    };
    let error = step.go(&now, &release, &lines).unwrap_err();
    assert!(said(&error).contains("stopped before"), "{}", said(&error));
    bench.faults.rest();
}
