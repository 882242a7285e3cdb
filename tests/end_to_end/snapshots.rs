//! What a snapshot must not take for the deploy of a commit.

use rollback_tests::{data, moved, scenario, wait_until};

use crate::locks::{WAITING, killed_on_the_way_back};

#[test]
fn no_snapshot_of_half_an_apply() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        world.put("hold.tf", WAITING);
        world.commit("waits");
        let terraform = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to hold the lock", || world.is_out("begun"));
        let known = world.tool(&["releases", "--json"]).json();
        world
            .tool(&["snapshot"])
            .exits(5)
            .says("OperationTypeApply")
            .says("take the snapshot when that is done");
        assert_eq!(world.tool(&["releases", "--json"]).json(), known, "nothing was kept");
        world.put_out("go");
        terraform.wait().exits(0);
        world.snapshot();
    });
}

/// After a rollback HEAD is still the commit that was rolled back; the state is not its any more.
#[test]
fn no_snapshot_of_what_was_rolled_back() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world
            .tool(&["snapshot"])
            .exits(3)
            .says("is what the rollback from")
            .says(&format!("git checkout {:.10}", first.commit));
        world.tool(&["to", &second.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), second.objects);
        // Deployed anew it is.
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.apply(&[]);
        world.snapshot();
        // And so is a commit that takes the change back.
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.git(&["revert", "--no-edit", &second.commit]);
        world.apply(&[]);
        world.snapshot();
        assert_eq!(world.objects(), first.objects);
    });
}

/// A commit that changes nothing of the stack is the one that was rolled back by another name, whatever wrote the serial.
#[test]
fn no_snapshot_of_what_was_rolled_back_by_another_name() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = data("b", "two") + &moved("terraform_data.a", "terraform_data.b");
        world.release_of(&second);
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.put("docs/README.md", "words");
        world.commit("documentation");
        world.tool(&["snapshot"]).exits(3).says("is what the rollback from");
        world.terraform(&["taint", "terraform_data.a"]).exits(0);
        world.terraform(&["untaint", "terraform_data.a"]).exits(0);
        world.tool(&["snapshot"]).exits(3).says("is what the rollback from");
    });
}

#[test]
fn no_snapshot_while_a_run_has_stopped_halfway() {
    scenario(|world| {
        killed_on_the_way_back(&world);
        world.tool(&["snapshot"]).exits(5).says("resume");
        world.put_out("go");
        world.tool(&["resume", "--auto-approve"]).exits(0);
    });
}

/// Who gives a run up has half of two commits, until somebody applies one.
#[test]
fn no_snapshot_of_what_a_run_left_that_was_given_up() {
    scenario(|world| {
        killed_on_the_way_back(&world);
        world.put_out("go");
        world.wait_for_object("terraform_data.waiting");
        world.tool(&["abort"]).exits(0);
        world
            .tool(&["snapshot"])
            .exits(3)
            .says("which was given up on the way to")
            .says("apply HEAD first");
        world.apply(&[]);
        world.snapshot();
    });
}

/// `file("…")` of what Git does not have works today, and not after a rollback.
#[test]
fn a_file_that_git_does_not_have_is_told() {
    scenario(|world| {
        let reads = "resource \"terraform_data\" \"a\" {\n  input = file(\"${path.module}/build/version.txt\")\n}\n";
        world.write(&[("main.tf", reads)]);
        world.init();
        world.put(".gitignore", "build/\n*.tfstate*\n.terraform*\n");
        world.commit("reads what a build left");
        world.put("build/version.txt", "1.0");
        world.apply(&[]);
        world
            .tool(&["snapshot"])
            .exits(0)
            .says("build/version.txt is read by the configuration and is not in Git");
    });
}

/// A rollback that had nothing to do left nothing.
#[test]
fn a_rollback_without_an_effect_forbids_no_snapshot() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.put("README.md", "words");
        world.commit("documentation");
        world.snapshot();
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.snapshot();
    });
}
