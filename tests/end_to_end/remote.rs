//! A remote backend: the state is pulled and pushed, and another machine may hold its lock.

use rollback_tests::{Chance, Release, StateServer, World, data, forgotten, kill, moved, scale, scenario, wait_until};

use crate::locks::WAITING;

/// A world whose state lies on a server.
fn remote(test: impl FnOnce(World, StateServer)) {
    scenario(|mut world| {
        let server = StateServer::start();
        world.server = Some(server.clone());
        test(world, server);
    });
}

/// Two releases with every kind of change between them.
pub fn story(world: &World, backend: String) -> (Release, Release) {
    let first = world.release_of(
        &(backend.clone() + &data("moved", "m") + &data("updated", "one") + &data("gone", "g") + &data("letter", "l")),
    );
    let second = world.release_of(
        &(backend
            + &data("elsewhere", "m")
            + &data("updated", "two")
            + &data("added", "a")
            + &moved("terraform_data.moved", "terraform_data.elsewhere")
            + &forgotten("terraform_data.letter")),
    );
    (first, second)
}

#[test]
fn back_and_forward() {
    remote(|world, server| {
        let (first, second) = story(&world, server.backend());
        world.back_to_but(&first, &["terraform_data.gone"], &[]);
        world.undo_to(&second, &["terraform_data.added"]);
        assert!(!world.repo.join("terraform.tfstate").exists(), "no state lies on disk");
    });
}

#[test]
fn swap_by_hand() {
    remote(|world, server| {
        let both = server.backend() + &data("a", "same") + &data("b", "same");
        let first = world.release_of(&both);
        for (from, to) in [("a", "kept"), ("b", "a"), ("kept", "b")] {
            let (from, to) = (format!("terraform_data.{from}"), format!("terraform_data.{to}"));
            world.terraform(&["state", "mv", &from, &to]).exits(0);
        }
        world.release_of(&(both + "# swapped\n"));
        world.back_to(&first);
    });
}

#[test]
fn questions_write_nothing() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        let writes = server.writes();
        world.unchanged(|world| {
            world.tool(&["plan", &first.commit]).exits(0);
            world.tool(&["to", &first.commit, "--dry-run"]).exits(0);
            world.tool(&["to", &first.commit]).exits(6);
            world.tool(&["abort"]).exits(0);
            world.tool(&["snapshot"]).exits(0);
            world.tool(&["doctor"]).exits(0);
        });
        assert_eq!(server.writes(), writes, "only an approved run writes the state");
        world.is_tidy();
    });
}

#[test]
fn a_lock_of_another_machine_is_named() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        server.lock_as("hana@build-7");
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(5)
                // All that terraform tells of a holder over HTTP.
                .says("0c5ee9d5-0000-0000-0000-000000000000");
        });
        assert!(server.is_locked(), "it is theirs");
        assert_eq!(
            world.runs()[0]["status"],
            "failed",
            "nothing changed: there is nothing to resume"
        );
        server.force_unlock();
        world.back_to_but(&first, &["terraform_data.gone"], &[]);
    });
}

#[test]
fn a_write_that_is_refused() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        server.refuse_writes(1);
        let failed = world.tool(&["to", &first.commit, "--auto-approve"]);
        assert!([1, 4].contains(&failed.code), "{failed}");
        if failed.code == 4 {
            world.tool(&["resume", "--auto-approve"]).exits(0);
        } else {
            world.is_tidy();
            world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        }
        world.is_at_but(&first, &["terraform_data.gone"]);
    });
}

#[test]
fn a_state_that_terraform_could_not_store_is_stored_by_resume() {
    remote(|world, server| {
        let backend = server.backend();
        world.put_out("go");
        let first = world.release_of(&(backend.clone() + &data("a", "one") + WAITING));
        world.release_of(&(backend + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.remove_out("go");
        world.remove_out("begun");
        let tool = world.start(&["to", &first.commit, "--auto-approve"]);
        wait_until("our apply", || world.is_out("begun"));
        // From here on the server takes nothing: terraform leaves errored.tfstate behind.
        server.refuse_writes(1000);
        world.put_out("go");
        tool.wait().exits(4).says("errored.tfstate").says("resume");
        // Not yet.
        world.tool(&["resume", "--auto-approve"]).exits(4);
        server.refuse_writes(0);
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
        let run = world.last_run();
        assert!(world.events(&run).contains(&"errored-state-recovered".to_owned()));
    });
}

#[test]
fn somebody_writes_between_plan_and_yes() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        world.tool(&["to", &first.commit]).exits(6);
        world.put("by_hand.tf", &data("by_hand", "x"));
        world.apply(&[]);
        std::fs::remove_file(world.repo.join("by_hand.tf")).unwrap();
        let theirs = world.objects();
        // What was shown is not what would happen now.
        let resumed = world.tool(&["resume", "--auto-approve"]);
        if resumed.code == 0 {
            resumed.says("terraform_data.by_hand");
        } else {
            assert_eq!(world.objects(), theirs, "{resumed}");
        }
    });
}

#[test]
fn crashes_at_entries_of_the_journal() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        let before = server.state();
        let whole = world.copy();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let entries = whole.journal(&whole.last_run()).len();
        let mut chance = Chance::new();
        for _ in 0..6 * scale() {
            let entry = 1 + chance.below(entries as u64);
            let point = format!("after:{entry}");
            server.set_state(before.clone());
            let world = world.copy();
            world
                .tool_with(
                    &["to", &first.commit, "--auto-approve"],
                    &[("INFRA_ROLLBACK_CRASH", &point)],
                )
                .died(9);
            // A terraform that outlived the tool may still work; a lock of the tool's own is for `resume` to give back.
            wait_until("terraform to end", || {
                server.holder().is_none_or(|info| info.starts_with("infra-rollback"))
            });
            let resumed = world.tool(&["resume", "--auto-approve"]);
            if resumed.code != 0 && world.runs()[0]["status"] != "completed" {
                world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
            }
            eprintln!("checking what came out of {point}");
            assert!(!server.is_locked(), "the lock is given back");
            world.is_at_but(&first, &["terraform_data.gone"]);
        }
    });
}

#[test]
fn the_tool_is_killed_while_terraform_applies() {
    remote(|world, server| {
        let backend = server.backend();
        world.put_out("go");
        let first = world.release_of(&(backend.clone() + &data("a", "one") + WAITING));
        world.release_of(&(backend + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.remove_out("go");
        world.remove_out("begun");
        let tool = world.start(&["to", &first.commit, "--auto-approve"]);
        wait_until("our apply", || world.is_out("begun"));
        kill(tool.pid());
        tool.wait().died(9);
        world.put_out("go");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn a_backend_that_is_configured_at_init() {
    scenario(|mut world| {
        let path = world.out.join("configured.tfstate");
        world.state_file = Some(path.clone());
        let option = format!("-backend-config=path={}", path.display());
        let backend = "terraform {\n  backend \"local\" {}\n}\n";
        let deploy = |text: &str| {
            world.write(&[("main.tf", &(backend.to_owned() + text))]);
            world
                .terraform(&["init", "-input=false", "-no-color", &option])
                .exits(0);
            let commit = world.commit("a backend without a path");
            world.apply(&[]);
            world.snapshot();
            Release {
                commit,
                objects: world.objects(),
            }
        };
        let first = deploy(&data("a", "one"));
        deploy(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        assert!(!world.repo.join("terraform.tfstate").exists());
        world.is_tidy();
    });
}

#[test]
fn a_lock_that_a_kill_left_behind_is_given_back_and_no_other() {
    remote(|world, server| {
        let (first, _) = story(&world, server.backend());
        let whole = world.copy();
        let before = server.state();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let events = whole.events(&whole.last_run());
        let written = 1 + events.iter().position(|event| event == "state-written").unwrap();
        server.set_state(before);
        world
            .tool_with(
                &["to", &first.commit, "--auto-approve"],
                &[("INFRA_ROLLBACK_CRASH", &format!("before:{written}"))],
            )
            .died(9);
        let run = world.last_run();
        assert_eq!(server.holder().unwrap(), format!("infra-rollback, run {run}"));
        world
            .terraform(&["apply", "-auto-approve", "-input=false", "-no-color"])
            .exits(1)
            .says("Error acquiring the state lock");
        // Somebody breaks it, and somebody else takes it.
        server.force_unlock();
        server.lock_as("hana@build-7");
        world
            .tool(&["resume", "--auto-approve"])
            .exits(5)
            .says("hana@build-7")
            .says("OperationTypeApply");
        assert!(server.is_locked(), "it is theirs");
        server.force_unlock();
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.gone"]);
    });
}
