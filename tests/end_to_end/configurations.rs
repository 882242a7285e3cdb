//! Configurations that read files, come from branches, or are written in other ways, and checkouts that are elsewhere.

use rollback_tests::{Objects, World, data, moved, scenario};

#[test]
fn files_that_the_configuration_reads() {
    scenario(|mut world| {
        world.stack = "deploy/app".to_owned();
        let settings = "[[stack]]\nname = \"app\"\ndir = \"deploy/app\"\n";
        let main = r#"
resource "terraform_data" "files" {
  input = {
    own      = file("${path.module}/own.txt")
    common   = file("${path.root}/../../common/common.txt")
    template = templatefile("own.tftpl", { name = "x" })
    set      = fileset(path.module, "parts/*.txt")
  }
}
resource "terraform_data" "script" {
  triggers_replace = filesha256("run.sh")
  provisioner "local-exec" {
    command = "./run.sh"
  }
}
"#;
        let release = |text: &str| {
            world.write(&[
                ("infra-rollback.toml", settings),
                ("deploy/app/main.tf", main),
                ("deploy/app/own.txt", text),
                ("deploy/app/own.tftpl", &format!("{text} of ${{name}}")),
                ("deploy/app/parts/a.txt", text),
                ("deploy/app/run.sh", &format!("#!/bin/sh\necho {text} >> $OUT/ran\n")),
                ("common/common.txt", text),
            ]);
            let script = world.repo.join("deploy/app/run.sh");
            world.git(&["add", "--all"]);
            world.git(&["update-index", "--chmod=+x", "deploy/app/run.sh"]);
            std::process::Command::new("chmod")
                .arg("+x")
                .arg(script)
                .status()
                .unwrap();
            world.init();
            let commit = world.commit("files");
            world.apply(&[]);
            world.snapshot();
            (commit, world.objects())
        };
        let (first, before) = release("one");
        release("two");
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        let now = world.objects();
        assert_eq!(now["terraform_data.files"], before["terraform_data.files"]);
        assert_eq!(
            world.state().attributes("terraform_data.files")["input"]["value"]["common"],
            "one"
        );
        assert_eq!(
            std::fs::read_to_string(world.out.join("ran")).unwrap(),
            "one\ntwo\none\n"
        );
        world.is_clean_at(&first, &[]);
        world.is_tidy();
    });
}

#[test]
fn a_file_that_git_does_not_have_is_a_clear_error() {
    scenario(|world| {
        let reading = "resource \"terraform_data\" \"a\" {\n  input = file(\"untracked.tfstate.key\")\n}\n";
        world.put("untracked.tfstate.key", "a key\n");
        let first = world.release_of(reading);
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            let failed = world.tool(&["to", &first.commit, "--auto-approve"]);
            failed.exits(1).says("untracked.tfstate.key");
        });
    });
}

/// Deploys two stacks, of which `app` depends on `network`, and gives the commit.
pub fn deploy_two(world: &mut World, network: &str, app: &str) -> String {
    let settings = "[[stack]]\nname = \"network\"\ndir = \"network\"\n[[stack]]\nname = \"app\"\ndir = \"app\"\ndepends_on = [\"network\"]\n";
    world.write(&[
        ("infra-rollback.toml", settings),
        ("network/main.tf", network),
        ("app/main.tf", app),
    ]);
    let commit = world.commit("two stacks");
    for stack in ["network", "app"] {
        world.stack = stack.to_owned();
        world.init();
        world.apply(&[]);
    }
    world.snapshot();
    commit
}

/// Two releases of two stacks, of which one reads the other's outputs; the first commit, and what `app` had then.
fn stacks_that_read(mut world: World, path: &str) -> (World, String, Objects) {
    let network = |value: &str| data("net", value) + "output \"net\" {\n  value = terraform_data.net.output\n}\n";
    let app = |name: &str| {
        format!(
            "data \"terraform_remote_state\" \"network\" {{\n  backend = \"local\"\n  config = {{\n    path = \"{path}\"\n  }}\n}}\n\
             resource \"terraform_data\" \"{name}\" {{\n  input = data.terraform_remote_state.network.outputs.net\n}}\n"
        )
    };
    let first = deploy_two(&mut world, &network("one"), &app("a"));
    let before = world.objects();
    let renamed = app("b") + &moved("terraform_data.a", "terraform_data.b");
    deploy_two(&mut world, &network("two"), &renamed);
    world.stack = "app".to_owned();
    (world, first, before)
}

/// Both are rolled back together.
fn outputs_of_another_stack(world: World, path: &str) -> (World, String) {
    let (world, first, before) = stacks_that_read(world, path);
    // The stack goes back before the one that it reads. By a relative path it finds what that one will have again; by an
    // absolute one it reads what is there, and goes back once more when the other one is back.
    let back = world.tool(&["to", &first, "--auto-approve"]);
    back.exits(0).never_says("NOT at rest");
    match path.starts_with('/') {
        true => back.says("Now that those which it reads are back"),
        false => back.never_says("Now that those which it reads are back"),
    };
    assert_eq!(world.objects(), before);
    let input = world.state().attributes("terraform_data.a")["input"]["value"].clone();
    assert_eq!(input, "one");
    (world, first)
}

#[test]
fn outputs_of_another_stack_by_a_relative_path() {
    scenario(|world| {
        outputs_of_another_stack(world, "${path.module}/../network/terraform.tfstate");
    });
}

#[test]
fn outputs_of_another_stack_are_those_of_the_target_in_the_end() {
    scenario(|world| {
        let path = world.repo.join("network/terraform.tfstate");
        let (world, first) = outputs_of_another_stack(world, &path.to_string_lossy());
        world.tool(&["plan", &first, "--detailed-exitcode"]).exits(0);
        world
            .tool(&["undo", "--auto-approve"])
            .exits(0)
            .never_says("NOT at rest");
        let input = world.state().attributes("terraform_data.b")["input"]["value"].clone();
        assert_eq!(input, "two");
    });
}

#[test]
fn configuration_in_json_and_overrides() {
    scenario(|world| {
        let json = |name: &str, more: &str| {
            format!("{{\"resource\":{{\"terraform_data\":{{\"{name}\":{{\"input\":\"json\"}}}}}}{more}}}")
        };
        let first = world.release(&[
            ("main.tf.json", &json("a", "")),
            ("main.tf", &data("c", "plain")),
            (
                "x_override.tf",
                "resource \"terraform_data\" \"c\" {\n  input = \"overridden\"\n}\n",
            ),
        ]);
        world.release(&[
            (
                "main.tf.json",
                &json(
                    "b",
                    ",\"moved\":[{\"from\":\"terraform_data.a\",\"to\":\"terraform_data.b\"}]",
                ),
            ),
            ("main.tf", &data("c", "plain")),
        ]);
        world.back_to(&first);
    });
}

#[test]
fn only_an_output_changed() {
    scenario(|world| {
        let output = |value: &str| data("a", "one") + &format!("output \"o\" {{\n  value = \"{value}\"\n}}\n");
        let first = world.release_of(&output("one"));
        world.release_of(&output("two"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.state().json["outputs"]["o"]["value"], "one");
        world.is_at(&first);
    });
}

#[test]
fn attributes_that_are_ignored_stay_as_they_are() {
    scenario(|world| {
        let ignoring = |input: &str, more: &str| {
            format!(
                "resource \"terraform_data\" \"a\" {{\n  input = \"{input}\"\n  lifecycle {{\n    ignore_changes = [input]\n  }}\n}}\n{more}"
            )
        };
        let first = world.release_of(&ignoring("one", ""));
        world.release_of(&ignoring("two", &data("b", "x")));
        world.back_to(&first);
    });
}

/// Terraform has nothing to do then, which is not the same as everything being as it was.
#[test]
fn what_an_ignored_attribute_keeps_is_told() {
    scenario(|world| {
        let with = |input: &str, more: &str| {
            format!("resource \"terraform_data\" \"a\" {{\n  input = \"{input}\"\n{more}}}\n")
        };
        let first = world.release_of(&with("one", "  lifecycle {\n    ignore_changes = [input]\n  }\n"));
        world.release_of(&with("two", ""));
        let back = world.tool(&["to", &first.commit, "--auto-approve"]);
        back.exits(0)
            .says("`input` does not go back, as the target's ignore_changes has terraform leave it alone: it had \"one\", it keeps \"two\"")
            .says("Nothing to do")
            .never_says("everything is as it was");
    });
}

#[test]
fn everything_was_destroyed_since() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        let second = world.release_of("locals {}\n");
        assert!(second.objects.is_empty());
        world.back_to_but(&first, &["terraform_data.a", "terraform_data.b"], &[]);
    });
}

#[test]
fn dependencies_between_objects_come_back_in_order() {
    scenario(|world| {
        let chain = |name: &str, value: &str| {
            data("base", value)
                + &format!(
                    "resource \"terraform_data\" \"{name}\" {{\n  input            = terraform_data.base.output\n  \
                     triggers_replace = terraform_data.base.id\n  lifecycle {{\n    create_before_destroy = true\n  }}\n}}\n"
                )
        };
        let first = world.release_of(&chain("top", "one"));
        world.release_of(&(chain("head", "two") + &moved("terraform_data.top", "terraform_data.head")));
        world.back_to(&first);
        assert_eq!(world.state().attributes("terraform_data.top")["output"]["value"], "one");
    });
}

// --- where the person stands ------------------------------------------------------------------------------------------

#[test]
fn from_a_checkout_of_the_target_itself() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.git(&["checkout", "--quiet", "--detach", &first.commit]);
        world.back_to(&first);
    });
}

#[test]
fn a_dirty_checkout_is_neither_used_nor_touched() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.put("main.tf", "this is not even HCL {{{\n");
        world.put("new.tf", &data("surprise", "x"));
        let status = world.git(&["status", "--porcelain"]);
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        assert_eq!(world.git(&["status", "--porcelain"]), status);
        assert_eq!(
            std::fs::read_to_string(world.repo.join("main.tf")).unwrap(),
            "this is not even HCL {{{\n"
        );
        world.is_clean_at(&first.commit, &[]);
    });
}

#[test]
fn to_a_commit_of_another_branch() {
    scenario(|world| {
        let base = world.release_of(&(data("a", "one") + &data("s", "s")));
        world.git(&["checkout", "--quiet", "-b", "feature"]);
        let feature =
            world.release_of(&(data("f", "one") + &data("s", "s") + &moved("terraform_data.a", "terraform_data.f")));
        world.git(&["checkout", "--quiet", "main"]);
        world.back_to(&base);
        // Main goes its own way from the common base.
        world.release_of(&(data("m", "two") + &data("s", "s") + &moved("terraform_data.a", "terraform_data.m")));
        world.back_to(&feature);
    });
}

#[test]
fn over_a_merge() {
    scenario(|world| {
        let first = world.release(&[("main.tf", &data("a", "one")), ("other.tf", &data("o", "one"))]);
        world.git(&["checkout", "--quiet", "-b", "feature"]);
        world.write(&[
            (
                "main.tf",
                &(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")),
            ),
            ("other.tf", &data("o", "one")),
        ]);
        world.commit("a rename on a branch");
        world.git(&["checkout", "--quiet", "main"]);
        world.write(&[("main.tf", &data("a", "one")), ("other.tf", &data("o", "two"))]);
        world.commit("something else on main");
        world.git(&["merge", "--quiet", "--no-edit", "feature"]);
        world.init();
        world.apply(&[]);
        world.snapshot();
        assert_eq!(world.objects()["terraform_data.b"], first.objects["terraform_data.a"]);
        world.back_to(&first);
    });
}

fn forget_history(world: &World) {
    world.git(&["reflog", "expire", "--expire=now", "--all"]);
    world.git(&["gc", "--quiet", "--prune=now"]);
}

#[test]
fn history_was_written_anew() {
    scenario(|world| {
        world.release_of(&data("z", "zero"));
        let first = world.release_of(&(data("z", "zero") + &data("a", "one")));
        let second =
            world.release_of(&(data("z", "zero") + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.git(&["reset", "--quiet", "--soft", "HEAD~2"]);
        let squashed = world.commit("both, squashed");
        // The old commits are nobody's ancestors any more, and still there.
        world.back_to(&first);
        assert_ne!(squashed, first.commit);
        // And then they are gone for good: the releases have what they need of them.
        forget_history(&world);
        for release in [&second, &first] {
            world
                .tool(&["to", &release.commit[..12], "--auto-approve"])
                .exits(0)
                .says("cannot be followed");
            assert_eq!(world.objects(), release.objects);
        }
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), second.objects);
        world.tool(&["drill", &first.commit]).exits(0);
    });
}

/// Whether what came since was made or taken in only the commits on the way could tell.
#[test]
fn what_would_be_destroyed_on_an_unknown_way_needs_a_yes() {
    scenario(|world| {
        world.release_of(&data("z", "zero"));
        let first = world.release_of(&data("a", "one"));
        let block = "import {\n  to = terraform_data.found\n  id = \"an-id-of-its-own\"\n}\n".to_owned();
        world.release_of(&(data("a", "one") + &data("found", "f") + &block));
        world.release_of(&(data("a", "one") + &data("found", "f")));
        world.git(&["reset", "--quiet", "--soft", "HEAD~3"]);
        world.commit("all, squashed");
        forget_history(&world);
        let to = ["to", &first.commit, "--auto-approve"];
        world.unchanged(|world| {
            let refused = world.tool(&to);
            refused
                .exits(3)
                .says("--accept-change 'history'")
                .says("git fetch --unshallow");
        });
        world
            .tool(&[to.as_slice(), &["--accept-change", "history"]].concat())
            .exits(0);
        assert_eq!(world.objects(), first.objects);
    });
}

#[test]
fn a_shallow_clone_is_told_what_to_do() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        let shallow = world.out.join("shallow");
        let source = format!("file://{}", world.repo.display());
        world.git(&["clone", "--quiet", "--depth=1", &source, &shallow.to_string_lossy()]);
        let failed = world.tool_in(&shallow, &["to", &first.commit, "--auto-approve"]);
        failed.fails().says("fetch").never_says("panicked");
    });
}

/// A commit that takes the whole configuration away is one to come back from, without settings too.
#[test]
fn a_checkout_without_any_configuration() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        std::fs::remove_file(world.repo.join("main.tf")).unwrap();
        world.commit("nothing is left");
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}
