//! Terraform's own lock, our own lock, and who gets through.

use rollback_tests::{Background, Release, World, data, kill, moved, scale, scenario, wait_until};

/// A resource whose making says that it has begun and waits until it may end.
pub const WAITING: &str = "resource \"terraform_data\" \"waiting\" {\n  provisioner \"local-exec\" {\n    command = \
                           \"touch $OUT/begun; while [ ! -e $OUT/go ]; do sleep 0.05; done\"\n  }\n}\n";

/// Two releases; going back to the first makes the resource that waits.
pub fn waiting_on_the_way_back(world: &World) -> (Release, Release) {
    world.put_out("go");
    let first = world.release_of(&(data("a", "one") + WAITING));
    let second = world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
    world.remove_out("go");
    world.remove_out("begun");
    (first, second)
}

/// Goes back to the first of those until Terraform applies.
pub fn applying_on_the_way_back(world: &World) -> (Release, Release, Background) {
    let (first, second) = waiting_on_the_way_back(world);
    let tool = world.start(&["to", &first.commit, "--auto-approve"]);
    wait_until("our apply", || world.is_out("begun"));
    (first, second, tool)
}

/// The tool is killed then; Terraform goes on.
pub fn killed_on_the_way_back(world: &World) -> (Release, Release) {
    let (first, second, tool) = applying_on_the_way_back(world);
    kill(tool.pid());
    tool.wait().died(9);
    (first, second)
}

#[test]
fn a_terraform_that_holds_the_lock_is_named() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.put("hold.tf", WAITING);
        let terraform = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to hold the lock", || world.is_out("begun"));
        let info = std::fs::read(world.repo.join(".terraform.tfstate.lock.info")).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        let locked = world.tool(&["to", &first.commit, "--auto-approve"]);
        locked
            .exits(5)
            .says("OperationTypeApply")
            .says(info["Who"].as_str().unwrap());
        assert_eq!(world.objects().get("terraform_data.a"), None);
        world.put_out("go");
        terraform.wait().exits(0);
        std::fs::remove_file(world.repo.join("hold.tf")).unwrap();
        world.back_to(&first);
    });
}

#[test]
fn a_terraform_beside_our_apply_is_refused() {
    scenario(|world| {
        let (first, _, tool) = applying_on_the_way_back(&world);
        let beside = world.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        beside.exits(1).says("Error acquiring the state lock");
        world
            .terraform(&["state", "rm", "terraform_data.a"])
            .exits(1)
            .says("lock");
        world.put_out("go");
        tool.wait().exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn a_second_rollback_is_told_who_holds_what() {
    scenario(|world| {
        let (first, _, tool) = applying_on_the_way_back(&world);
        let run = world.last_run();
        let locks = world.tool(&["locks", "--json"]).json();
        assert_eq!(locks["locks"][0]["holder"]["run"], run.as_str());
        assert_eq!(locks["locks"][0]["dead"], false);
        for command in [
            &["to", &first.commit, "--auto-approve"][..],
            &["undo", "--auto-approve"],
            &["resume", "--auto-approve"],
            &["resume", &run, "--auto-approve"],
        ] {
            let second = world.tool(command);
            second.exits(5).says(&run).says("tester").says(&tool.pid().to_string());
        }
        world.tool(&["abort", &run]).exits(5);
        world.put_out("go");
        tool.wait().exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn many_at_once_end_well_or_locked() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("c", "one")));
        let second = world.release_of(
            &(data("b", "two")
                + &data("c", "two")
                + &data("d", "two")
                + &moved("terraform_data.a", "terraform_data.b")),
        );
        for round in 0..scale() {
            let target = if round % 2 == 0 { &first } else { &second };
            let runs: Vec<_> = (0..4)
                .map(|_| world.start(&["to", &target.commit, "--auto-approve"]))
                .collect();
            let codes: Vec<i32> = runs.into_iter().map(|run| run.wait().code).collect();
            assert!(codes.contains(&0), "nobody won: {codes:?}");
            assert!(codes.iter().all(|code| [0, 5].contains(code)), "{codes:?}");
            let anew: &[&str] = if round % 2 == 0 { &[] } else { &["terraform_data.d"] };
            world.is_at_but(target, anew);
        }
    });
}

#[test]
fn snapshots_and_questions_go_on_beside_a_rollback() {
    scenario(|world| {
        let (first, second, tool) = applying_on_the_way_back(&world);
        for question in [
            &["releases"][..],
            &["runs"],
            &["locks"],
            &["state", "versions"],
            &["show", &second.commit],
        ] {
            world.tool(question).exits(0);
        }
        world.put_out("go");
        tool.wait().exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}
