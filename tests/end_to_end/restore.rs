//! `state restore`: an old state becomes the current one, in a run that can be resumed and undone.

use rollback_tests::{Release, World, data, moved, scale, scenario, wait_until};

use crate::locks::WAITING;

fn story(world: &World) -> (Release, Release) {
    let first = world.release_of(&(data("a", "one") + &data("gone", "g")));
    let second =
        world.release_of(&(data("b", "two") + &data("added", "a") + &moved("terraform_data.a", "terraform_data.b")));
    (first, second)
}

const YES: [&str; 2] = ["--auto-approve", "--accept-orphans"];

fn restore<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["state", "restore", version][..], more].concat()
}

#[test]
fn serials_only_rise_and_saved_plans_stay_stale() {
    scenario(|world| {
        let (first, second) = story(&world);
        world.put("main.tf", &data("b", "three"));
        let mut saved: Vec<String> = Vec::new();
        let mut serial = world.state().serial();
        for round in 0..5 * scale() {
            let plan = format!("{}/plan-{round}", world.out.display());
            world
                .terraform(&["plan", "-input=false", "-no-color", &format!("-out={plan}")])
                .exits(0);
            saved.push(plan);
            let target = if round % 2 == 0 { &first } else { &second };
            world.tool(&restore(&target.commit, &YES)).exits(0);
            let now = world.state();
            assert!(now.serial() > serial, "{} after {serial}", now.serial());
            serial = now.serial();
            assert_eq!(now.objects(), target.objects);
            // Each round the newest one, and one of all the others.
            for plan in [saved.len() - 1, round * 7 % saved.len()] {
                world
                    .terraform(&["apply", "-input=false", "-no-color", &saved[plan]])
                    .exits(1)
                    .says("Saved plan is stale");
            }
            assert_eq!(world.state().bytes, now.bytes);
        }
        for plan in &saved {
            world
                .terraform(&["apply", "-input=false", "-no-color", plan])
                .exits(1)
                .says("Saved plan is stale");
        }
    });
}

#[test]
fn a_kill_at_any_entry_of_the_journal() {
    scenario(|world| {
        let (first, second) = story(&world);
        let before = world.state().bytes;
        let whole = world.copy();
        whole.tool(&restore(&first.commit, &YES)).exits(0);
        let entries = whole.journal(&whole.last_run()).len();
        let serial = whole.state().serial();
        for entry in 1..=entries {
            for when in ["before", "after"] {
                let point = format!("{when}:{entry}");
                let world = world.copy();
                world
                    .tool_with(&restore(&first.commit, &YES), &[("INFRA_ROLLBACK_CRASH", &point)])
                    .died(9);
                let now = world.state();
                assert!(
                    now.bytes == before || now.objects() == first.objects,
                    "{point}: neither the old nor the new state"
                );
                let resumed = world.tool(&["resume", "--auto-approve"]);
                assert!([0, 3].contains(&resumed.code), "{point}: {resumed}");
                if resumed.code == 3 {
                    // Nothing had been accepted by then.
                    world.tool(&restore(&first.commit, &YES)).exits(0);
                }
                eprintln!("checking what came out of {point}");
                assert_eq!(world.objects(), first.objects);
                assert_eq!(world.state().serial(), serial, "{point}: written once");
                world.is_tidy();
                assert_eq!(world.runs()[0]["status"], "completed");
            }
        }
        let run = &whole.runs()[0];
        assert_eq!(run["kind"], "restore");
        whole.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(whole.objects(), second.objects);
        whole.is_at(&second);
        // And the undoing of the undoing.
        let undo = whole.last_run();
        whole.tool(&["undo", &undo, "--auto-approve"]).exits(0);
        assert_eq!(whole.objects(), first.objects);
    });
}

#[test]
fn a_report_first_and_nothing_without_a_yes() {
    scenario(|world| {
        let (first, second) = story(&world);
        world.unchanged(|world| {
            let dry = world.tool(&restore(&first.commit, &["--dry-run", "--accept-orphans", "--json"]));
            let report = dry.exits(0).json()["report"].clone();
            assert_eq!(report["orphans"], serde_json::json!(["terraform_data.added"]));
            assert_eq!(report["claims"], serde_json::json!(["terraform_data.gone"]));
            assert!(world.runs().is_empty(), "a dry run is none");
            world.tool(&restore(&first.commit, &["--dry-run"])).exits(3);
            world
                .tool(&restore(&first.commit, &["--auto-approve"]))
                .exits(3)
                .says("terraform_data.added")
                .says("--accept-orphans");
            world.tool(&restore(&first.commit, &["--accept-orphans"])).exits(6);
        });
        // What was shown is what is done.
        world.tool(&["resume", "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        // Something is added since: undoing would lose sight of it.
        world.put(
            "main.tf",
            &(data("a", "one") + &data("gone", "g") + &data("since", "s")),
        );
        world.apply(&[]);
        world.unchanged(|world| {
            world
                .tool(&["undo", "--auto-approve"])
                .exits(3)
                .says("terraform_data.since");
        });
        world
            .tool(&[
                "undo",
                "--auto-approve",
                "--accept-change",
                "terraform_data.since",
                "--accept-change",
                "terraform_data.gone",
            ])
            .exits(0);
        assert_eq!(world.objects(), second.objects);
    });
}

#[test]
fn a_terraform_that_applies_is_in_the_way() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        world.put("hold.tf", WAITING);
        let terraform = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to hold the lock", || world.is_out("begun"));
        world
            .tool(&restore(&first.commit, &YES))
            .exits(5)
            .says("OperationTypeApply");
        world.put_out("go");
        terraform.wait().exits(0);
        world.tool(&restore(&first.commit, &YES)).exits(0);
        assert_eq!(world.objects(), first.objects);
    });
}
