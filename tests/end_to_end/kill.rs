//! `kill -9` of terraform and of the tool while terraform applies, and applies that fail.

use rollback_tests::{Chance, Release, World, data, kill, kill_group, moved, scale, scenario, wait_until};

use crate::locks::{applying_on_the_way_back, killed_on_the_way_back, waiting_on_the_way_back};

/// The process of the terraform that applies for the newest run.
fn applying(world: &World) -> i32 {
    let journal = world.journal(&world.last_run());
    let started = journal.iter().rfind(|entry| entry["event"] == "apply-started");
    let pid = started.and_then(|entry| entry["child"]["pid"].as_i64());
    i32::try_from(pid.expect("the journal names the process")).unwrap()
}

#[test]
fn terraform_is_killed_while_it_applies() {
    scenario(|world| {
        let (first, _, tool) = applying_on_the_way_back(&world);
        kill(applying(&world));
        world.put_out("go");
        tool.wait().exits(4).says("resume");
        world.state();
        let resumed = world.tool(&["resume", "--auto-approve"]);
        resumed.exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn the_tool_alone_is_killed_and_terraform_goes_on() {
    scenario(|world| {
        let (first, _, tool) = applying_on_the_way_back(&world);
        let terraform = applying(&world);
        kill(tool.pid());
        tool.wait().died(9);
        let locks = world.tool(&["locks", "--json"]).json();
        assert_eq!(locks["locks"][0]["dead"], true);
        // Nobody but its own resume may go on, and that waits for the terraform that still works.
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(5)
            .says("resume");
        let mut resumed = world.start(&["resume", "--auto-approve"]);
        wait_until("resume to begin", || {
            let run = world.last_run();
            world.events(&run).contains(&"resumed".to_owned())
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(resumed.is_running(), "it must wait for process {terraform}");
        world.put_out("go");
        resumed.wait().exits(0).says(&terraform.to_string());
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

/// Who would rather have it as it was does not have to finish it first.
#[test]
fn a_killed_run_is_undone() {
    scenario(|world| {
        let (_, second) = killed_on_the_way_back(&world);
        world.put_out("go");
        let ran = world.tool(&["undo", "--auto-approve"]);
        ran.exits(0);
        world.is_at_but(&second, &[]);
        let runs = world.runs();
        let statuses: Vec<&str> = runs.iter().filter_map(|run| run["status"].as_str()).collect();
        assert_eq!(statuses, ["completed", "aborted"]);
    });
}

/// While it lives nobody else may.
#[test]
fn a_run_that_goes_on_is_not_undone() {
    scenario(|world| {
        let (_, _, tool) = applying_on_the_way_back(&world);
        world.tool(&["undo", "--auto-approve"]).exits(5).says("locked");
        world.put_out("go");
        tool.wait().exits(0);
    });
}

#[test]
fn some_objects_alone_are_undone() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        let second = world.release_of(&(data("a", "two") + &data("b", "two")));
        let to = ["to", &first.commit, "--target", "terraform_data.a", "--auto-approve"];
        world.tool(&to).exits(0);
        world.undo_to(&second, &[]);
    });
    // What was not touched may change meanwhile, and what depends on what would be another one's business.
    scenario(|world| {
        let text = |name: &str, value: &str| {
            format!(
                "resource \"terraform_data\" \"base\" {{\n  input = \"{value}\"\n}}\nresource \"terraform_data\" \"{name}\" {{\n  \
                 count = 2\n  input = terraform_data.base.output\n}}\n"
            )
        };
        let first = world.release_of(&text("m", "1"));
        let second = world.release_of(&(text("n", "2") + &moved("terraform_data.m", "terraform_data.n")));
        world
            .tool(&["to", &first.commit, "--target", "terraform_data.m[0]", "--auto-approve"])
            .exits(0);
        world.undo_to(&second, &[]);
    });
}

#[test]
fn the_tool_alone_is_killed_and_terraform_ends_before_resume() {
    scenario(|world| {
        let (first, _) = killed_on_the_way_back(&world);
        world.put_out("go");
        let made = world.wait_for_object("terraform_data.waiting");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        assert_eq!(world.objects()["terraform_data.waiting"], made, "it was made once");
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn everything_is_killed_while_terraform_applies() {
    scenario(|world| {
        let (first, second, tool) = applying_on_the_way_back(&world);
        kill(applying(&world));
        kill_group(tool.pid());
        tool.wait().died(9);
        world.put_out("go");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
        world.undo_to(&second, &[]);
    });
}

#[test]
fn a_resume_that_waits_is_killed_too() {
    scenario(|world| {
        let (first, _) = waiting_on_the_way_back(&world);
        for command in [
            &["to", &first.commit, "--auto-approve"][..],
            &["resume", "--auto-approve"],
        ] {
            let tool = world.start(command);
            wait_until("our apply", || world.is_out("begun"));
            if command[0] == "resume" {
                let run = world.last_run();
                wait_until("resume to begin", || world.events(&run).contains(&"resumed".to_owned()));
            }
            kill(tool.pid());
            tool.wait().died(9);
        }
        world.put_out("go");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

const FAILING: &str = "resource \"terraform_data\" \"failing\" {\n  provisioner \"local-exec\" {\n    command = \"test -e \
                       $OUT/mended\"\n  }\n}\n";

#[test]
fn an_apply_that_fails_stops_halfway_and_goes_on_when_mended() {
    scenario(|world| {
        world.put_out("mended");
        let first = world.release_of(&(data("a", "one") + &data("c", "one") + FAILING));
        let second =
            world.release_of(&(data("b", "two") + &data("c", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.remove_out("mended");
        let stopped = world.tool(&["to", &first.commit, "--auto-approve"]);
        stopped
            .exits(4)
            .says("terraform_data.failing")
            .says("resume")
            .says("undo");
        let run = world.last_run();
        assert_eq!(world.runs()[0]["status"], "halfway");
        // Not mended yet.
        world.tool(&["resume", "--auto-approve"]).exits(4);
        assert_eq!(world.runs()[0]["status"], "halfway");
        let json = world.tool(&["resume", "--auto-approve", "--json"]);
        assert_eq!(json.exits(4).json()["error"]["exit_code"], 4);
        world.put_out("mended");
        world.tool(&["resume", &run, "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.failing"]);
        world.undo_to(&second, &[]);
    });
}

/// Two releases, and a rollback to the first that has stopped halfway.
fn stopped_halfway(world: &World) -> (Release, Release) {
    world.put_out("mended");
    let first = world.release_of(&(data("a", "one") + FAILING));
    let second = world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
    world.remove_out("mended");
    world.tool(&["to", &first.commit, "--auto-approve"]).exits(4);
    (first, second)
}

#[test]
fn an_apply_that_failed_can_be_undone_instead() {
    scenario(|world| {
        let (first, second) = stopped_halfway(&world);
        world.tool(&["undo", &world.last_run(), "--auto-approve"]).exits(0);
        world.is_at(&second);
        // It is over: nothing takes it up again.
        world.unchanged(|world| {
            world.put_out("mended");
            world.tool(&["resume", "--auto-approve"]).exits(1);
        });
        world.back_to_but(&first, &["terraform_data.failing"], &[]);
    });
}

/// Both wait then: the undo is the one that goes on, and every hint is one that works.
#[test]
fn an_undo_that_stops_halfway_is_the_one_that_goes_on() {
    scenario(|world| {
        world.put_out("mended");
        let first = world.release_of(&(data("a", "one") + FAILING));
        let second = world.release_of(&(data("b", "two") + &FAILING.replace("\"failing", "\"other")));
        world.remove_out("mended");
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(4);
        let run = world.last_run();
        let stopped = world.tool(&["undo", "--auto-approve"]);
        let undo = world.last_run();
        let instead = format!("abort {undo}`, then `infra-rollback resume {run}`");
        stopped.exits(4).says(&format!("resume {undo}")).says(&instead);
        for asked in [&undo, &run] {
            let held = world.tool(&["undo", asked, "--auto-approve"]);
            held.exits(5)
                .says(&format!("{undo} of tester, which undoes run {run}"))
                .says(&instead);
        }
        world.put_out("mended");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(
            &second,
            &["terraform_data.a", "terraform_data.b", "terraform_data.other"],
        );
        assert!(world.runs().iter().all(|run| run["status"] != "halfway"));
    });
}

#[test]
fn an_apply_that_failed_can_be_given_up_and_undone() {
    scenario(|world| {
        let (first, second) = stopped_halfway(&world);
        let run = world.last_run();
        world.tool(&["abort", &run]).exits(0);
        world.is_tidy();
        world.tool(&["resume", "--auto-approve"]).exits(1);
        world.tool(&["undo", &run, "--auto-approve"]).exits(0);
        world.is_at(&second);
        world.put_out("mended");
        world.back_to_but(&first, &["terraform_data.failing"], &[]);
    });
}

#[test]
fn a_halfway_run_holds_its_stacks() {
    scenario(|world| {
        let (first, _) = stopped_halfway(&world);
        let run = world.last_run();
        world.put_out("mended");
        world.unchanged(|world| {
            let held = world.tool(&["to", &first.commit, "--auto-approve"]);
            held.exits(5).says(&run).says("resume").says("abort");
        });
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.failing"]);
    });
}

#[test]
fn an_interrupt_is_a_clean_stop() {
    scenario(|world| {
        let (first, _, tool) = applying_on_the_way_back(&world);
        rollback_tests::interrupt(tool.pid());
        std::thread::sleep(std::time::Duration::from_millis(200));
        world.put_out("go");
        let ended = tool.wait();
        assert!([0, 4].contains(&ended.code), "{ended}");
        world.state();
        if ended.code == 4 {
            world.tool(&["resume", "--auto-approve"]).exits(0);
        }
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

/// Terraform, the tool or both, at any moment of a rollback that takes a while; and again while that is mended.
#[test]
fn killed_at_any_moment_of_an_apply_and_of_its_resume() {
    scenario(|world| {
        let slow = |name: &str| {
            format!(
                "resource \"terraform_data\" \"{name}\" {{\n  input = \"x\"\n  provisioner \"local-exec\" {{\n    command = \
                 \"sleep 0.3\"\n  }}\n}}\n"
            )
        };
        let first = world.release_of(&(data("a", "one") + &data("u", "one") + &slow("s1") + &slow("s2")));
        let second = world.release_of(
            &(data("b", "one") + &data("u", "two") + &data("n", "n") + &moved("terraform_data.a", "terraform_data.b")),
        );
        let mut chance = Chance::new();
        for _ in 0..2 * scale() {
            let world = world.copy();
            let mut command: Vec<&str> = vec!["to", &first.commit, "--auto-approve"];
            for _ in 0..2 {
                let before: Vec<String> = world.runs().iter().map(|run| run["id"].to_string()).collect();
                let tool = world.start(&command);
                std::thread::sleep(std::time::Duration::from_millis(200 + chance.below(2500)));
                let victims = chance.below(3);
                let journal = match world.runs().first() {
                    Some(run) if command[0] == "resume" || !before.contains(&run["id"].to_string()) => {
                        world.journal(run["id"].as_str().unwrap_or_default())
                    }
                    _ => Vec::new(),
                };
                let started = journal.iter().rfind(|entry| entry["event"] == "apply-started");
                let terraform = started.and_then(|entry| entry["child"]["pid"].as_i64());
                if victims != 0 {
                    kill(tool.pid());
                }
                if let Some(terraform) = terraform.filter(|_| victims != 1) {
                    kill(i32::try_from(terraform).unwrap());
                }
                let ended = tool.wait();
                assert!([0, 1, 4, -9].contains(&ended.code), "{ended}");
                // Whatever was killed, the state is whole.
                world.state();
                if world.runs().first().is_none_or(|run| run["status"] == "failed") {
                    break;
                }
                command = vec!["resume", "--auto-approve"];
            }
            if world.runs().first().is_none_or(|run| run["status"] != "completed") {
                let resumed = world.tool(&["resume", "--auto-approve"]);
                if resumed.code != 0 {
                    world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
                }
            } else {
                // Killed once its end was on record, it left its lock to whoever comes next.
                world.tool(&["resume", "--auto-approve"]).exits(1);
            }
            let now = world.objects();
            for address in ["terraform_data.a", "terraform_data.u"] {
                assert_eq!(now[address], first.objects[address], "an object was lost");
            }
            assert_eq!(now.keys().collect::<Vec<_>>(), first.objects.keys().collect::<Vec<_>>());
            world.is_tidy();
        }
        world.is_at(&second);
    });
}
