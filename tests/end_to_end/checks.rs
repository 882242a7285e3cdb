//! Checks: asked by themselves, and before and after a rollback.

use rollback_tests::{WebService, World, data, scenario};
use serde_json::Value;

/// A check of the service's health; a second one that always passes.
fn configuration(service: &WebService, more: &str) -> String {
    format!(
        "[[stack]]\nname = \"app\"\n\n[[check]]\nname = \"health\"\nkind = \"http\"\nurl = \"{}\"\n{more}\n\
         [[check]]\nkind = \"command\"\ncommand = \"true\"\n",
        service.url("/health?token=hunter2")
    )
}

fn world_with(world: &World, service: &WebService, more: &str) -> String {
    let settings = configuration(service, more);
    let first = world.release(&[("main.tf", &data("a", "one")), ("infra-rollback.toml", &settings)]);
    world.release(&[("main.tf", &data("a", "two")), ("infra-rollback.toml", &settings)]);
    first.commit
}

/// The events of a run's journal of this kind.
fn events(world: &World, run: &str, event: &str) -> Vec<Value> {
    let shown = world.tool(&["runs", "show", run, "--json"]).json();
    let journal = shown["journal"].as_array().expect("a journal").clone();
    journal.into_iter().filter(|entry| entry["event"] == event).collect()
}

#[test]
fn verify_asks_all_and_says_what_does_not_pass() {
    scenario(|world| {
        let service = WebService::start();
        world_with(&world, &service, "");
        world.unchanged(|world| {
            world.tool(&["verify"]).exits(0).says("health").says("200 in");
            service.answers(503);
            let ran = world.tool(&["verify"]);
            ran.exits(3)
                .says("503, expected 200-299")
                .says("token=…")
                .never_says("hunter2");
            let document = world.tool(&["verify", "--json"]);
            let document = document.exits(3).json();
            assert_eq!(document["passed"], false);
            assert_eq!(document["checks"][0]["name"], "health");
            assert_eq!(document["checks"][0]["passed"], false);
            assert_eq!(document["checks"][1]["passed"], true);
            world
                .tool(&["verify", "--check", "command"])
                .exits(0)
                .never_says("health");
            world.tool(&["verify", "--check", "helth"]).exits(2).says("health");
        });
    });
}

#[test]
fn verify_without_checks_says_what_to_write_and_terraform_can_be_asked() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        world.tool(&["verify"]).exits(2).says("[[check]]");
        world
            .tool(&["verify", "--terraform"])
            .exits(0)
            .says("nothing left to do");
        // Somebody applied something that is in no release and no commit.
        world.put("main.tf", &data("a", "drifted"));
        world.apply(&[]);
        world.git(&["checkout", "--quiet", "main.tf"]);
        let ran = world.tool(&["verify", "--terraform", "--json"]);
        let document = ran.exits(3).json();
        assert_eq!(document["stacks"][0]["changes"][0], "update terraform_data.a");
    });
}

#[test]
fn a_run_asks_before_and_after_and_its_journal_has_both() {
    scenario(|world| {
        let service = WebService::start();
        // Broken as long as the second release is deployed.
        let state = world.state_path();
        service.answers_as(move || match std::fs::read_to_string(&state) {
            Ok(text) if text.contains("\"one\"") => 200,
            _ => 503,
        });
        let first = world_with(&world, &service, "");
        let ran = world.tool(&["to", &first, "--auto-approve", "--json"]);
        let outcome = ran.exits(0).json();
        assert_eq!(outcome["verification"]["passed"], true, "{outcome}");
        let run = outcome["run"].as_str().unwrap();
        let checked = events(&world, run, "checked");
        assert_eq!(checked.len(), 2);
        assert_eq!(checked[0]["moment"], "before");
        assert_eq!(checked[0]["verification"]["passed"], false);
        assert_eq!(checked[1]["moment"], "after");
        assert_eq!(checked[1]["verification"]["passed"], true);
        world
            .tool(&["runs", "show", run])
            .says("checks before: these do not pass: health");
    });
}

#[test]
fn a_check_that_fails_after_is_halfway_and_resume_asks_again() {
    scenario(|world| {
        let service = WebService::start();
        let first = world_with(&world, &service, "within = \"0.2s\"\nevery = \"0.1s\"");
        service.answers(500);
        let ran = world.tool(&["to", &first, "--auto-approve"]);
        ran.exits(4)
            .says("1 of 2 checks do not pass")
            .says("500, expected 200-299")
            .says("did not pass before the run either")
            .says("resume")
            .says("--skip-checks");
        world.tool(&["resume", "--auto-approve"]).exits(4).says("health");
        service.answers(200);
        let outcome = world.tool(&["resume", "--auto-approve", "--json"]);
        let outcome = outcome.exits(0).json();
        assert_eq!(outcome["verification"]["passed"], true);
        let run = outcome["run"].as_str().unwrap();
        assert_eq!(events(&world, run, "checked").len(), 4);
        world.tool(&["undo", "--auto-approve"]).exits(0);
    });
}

#[test]
fn halfway_by_a_check_can_be_undone_or_ended_with_a_reason() {
    scenario(|world| {
        let service = WebService::start();
        let first = world_with(&world, &service, "within = \"0.2s\"\nevery = \"0.1s\"");
        service.answers(500);
        world.tool(&["to", &first, "--auto-approve"]).exits(4);
        world
            .tool(&[
                "undo",
                "--auto-approve",
                "--skip-checks",
                "the service is known to be down",
            ])
            .exits(0);
        assert!(std::fs::read_to_string(world.state_path()).unwrap().contains("\"two\""));
        let asked = service.received().len();
        let ran = world.tool(&[
            "to",
            &first,
            "--auto-approve",
            "--skip-checks",
            "it is Sunday",
            "--json",
        ]);
        let run = ran.exits(0).json()["run"].as_str().unwrap().to_owned();
        assert_eq!(service.received().len(), asked);
        let skipped = events(&world, &run, "checks-skipped");
        assert_eq!(skipped[0]["reason"], "it is Sunday");
        world.tool(&["to", &first, "--auto-approve", "--skip-checks"]).exits(2);
    });
}
