//! `ecs-image` and `ecs-environment`: a part of a task definition goes back, the rest stays.

use rollback_runbook::step::Silent;

use super::World;
use crate::bench::{Bench, change, step_table};

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
    let images = rollback_runtime_aws::images(&step_table(&table), &bench.account).unwrap();
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
