//! `ecs-service`: there and back, and what stands in the way.

use rollback_runbook::step::Silent;
use serde_json::json;

use super::{REGISTRY, World, text};
use crate::bench::{Bench, Lines, change, said, step_table};

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
