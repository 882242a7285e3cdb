//! What is refused, what is asked, and that nothing changes then.

use rollback_tests::{World, data, moved, scenario};

pub const PROTECTED: &str = "resource \"terraform_data\" \"kept\" {\n  input = \"precious\"\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n";

#[test]
fn what_is_protected_is_not_destroyed_by_auto_approve() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "two") + PROTECTED));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused.exits(3).says("terraform_data.kept").says("prevent_destroy");
            refused.says("--accept-data-loss");
            let other = [
                "to",
                &first.commit,
                "--auto-approve",
                "--accept-data-loss",
                "terraform_data.a",
            ];
            world.tool(&other).exits(3);
            let change = [
                "to",
                &first.commit,
                "--auto-approve",
                "--accept-change",
                "terraform_data.kept",
            ];
            world.tool(&change).exits(3);
        });
        world.is_tidy();
        world.back_to_but(&first, &[], &["--accept-data-loss", "terraform_data.kept"]);
    });
}

#[test]
fn what_is_protected_within_a_keyed_module() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release(&[
            (
                "main.tf",
                &(data("a", "one") + "module \"m\" {\n  source = \"./m\"\n  for_each = toset([\"x\"])\n}\n"),
            ),
            ("m/main.tf", PROTECTED),
        ]);
        let address = "module.m[\"x\"].terraform_data.kept";
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says(address);
        });
        world.back_to_but(&first, &[], &["--accept-data-loss", address]);
    });
}

#[test]
fn what_was_protected_by_an_apply_that_nobody_took_a_snapshot_of() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        world.release_without_snapshot(&[("main.tf", &(data("a", "two") + PROTECTED))], &[]);
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says("terraform_data.kept");
        });
    });
}

#[test]
fn what_is_protected_on_both_sides_and_would_be_replaced() {
    scenario(|world| {
        let text = |version: &str, protected: bool| {
            format!(
                "resource \"terraform_data\" \"kept\" {{\n  triggers_replace = \"{version}\"\n  lifecycle {{\n    \
                 prevent_destroy = {protected}\n  }}\n}}\n"
            )
        };
        let first = world.release_of(&text("one", true));
        world.release_of(&text("one", false));
        world.release_of(&text("two", false));
        world.release_of(&text("two", true));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused.fails().says("terraform_data.kept").says("prevent_destroy");
            assert!([1, 3].contains(&refused.code), "{refused}");
        });
    });
}

#[test]
fn deploys_after_a_rollback_are_known() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let to_b = moved("terraform_data.a", "terraform_data.b");
        let second = world.release_of(&(data("b", "two") + &to_b));
        world.back_to(&first);
        let third = world.release_of(&(data("c", "three") + &to_b + &moved("terraform_data.b", "terraform_data.c")));
        assert_eq!(third.objects["terraform_data.c"], first.objects["terraform_data.a"]);
        world.back_to(&second);
        world.back_to(&first);
        world.back_to(&third);
    });
}

#[test]
fn what_is_protected_can_be_moved_and_updated() {
    scenario(|world| {
        let first = world.release_of(PROTECTED);
        let later = PROTECTED.replace("kept", "renamed").replace("precious", "more");
        world.release_of(&(later + &moved("terraform_data.kept", "terraform_data.renamed")));
        world.back_to(&first);
    });
}

#[test]
fn a_dry_run_and_a_plan_change_nothing() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.unchanged(|world| {
            let dry = world.tool(&["to", &first.commit, "--dry-run"]);
            dry.exits(0).says("nothing was changed").says("terraform_data.a");
            world
                .tool(&["to", &first.commit, "--dry-run", "--auto-approve"])
                .exits(0);
            world.tool(&["plan", &first.commit]).exits(0).says("terraform_data.a");
            world
                .tool(&["plan", &first.commit, "--offline"])
                .exits(0)
                .says("terraform_data.a");
            world.tool(&["plan", &first.commit, "--detailed-exitcode"]).exits(2);
            world.tool(&["plan", "HEAD", "--detailed-exitcode"]).exits(0);
        });
        assert!(world.runs().is_empty(), "a dry run is no run");
        world.is_tidy();
    });
}

#[test]
fn back_to_where_we_are_does_nothing() {
    scenario(|world| {
        let only = world.release_of(&data("a", "one"));
        world.unchanged(|world| {
            world.tool(&["to", &only.commit, "--auto-approve"]).exits(0);
        });
        world.is_tidy();
    });
}

#[test]
fn nobody_to_ask_waits_for_approval() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        let run = world.unchanged(|world| {
            let waiting = world.tool(&["to", &first.commit]);
            waiting.exits(6).says("resume");
            let run = world.last_run();
            waiting.says(&run);
            assert_eq!(world.runs()[0]["status"], "awaiting-approval");
            // It still waits when asked again without a yes.
            world.tool(&["resume", &run]).exits(6);
            run
        });
        world.tool(&["resume", &run, "--auto-approve"]).exits(0);
        assert_eq!(world.runs()[0]["status"], "completed");
        world.is_at(&first);
        world.tool(&["resume", &run, "--auto-approve"]).fails().says("over");
    });
}

#[test]
fn an_approval_does_not_cover_what_changed_since() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "two") + &data("b", "two")));
        world.tool(&["to", &first.commit]).exits(6);
        // Meanwhile somebody deploys something precious.
        world.release_of(&(data("a", "two") + &data("b", "two") + PROTECTED));
        world.unchanged(|world| {
            world
                .tool(&["resume", "--auto-approve"])
                .exits(3)
                .says("terraform_data.kept");
        });
    });
}

#[test]
fn a_run_is_given_up() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            world.tool(&["to", &first.commit]).exits(6);
            let run = world.last_run();
            world.tool(&["abort", &run]).exits(0);
            assert_eq!(world.runs()[0]["status"], "aborted");
            world.tool(&["resume", &run, "--auto-approve"]).fails();
            world.tool(&["abort", &run]).fails();
            world.tool(&["resume", "--auto-approve"]).fails();
        });
        world.is_tidy();
        world.back_to(&first);
    });
}

#[test]
fn only_one_target() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one") + &data("c", "one")));
        world.release_of(
            &(data("a", "two")
                + &data("b2", "two")
                + &data("c", "two")
                + &moved("terraform_data.b", "terraform_data.b2")),
        );
        let input = |world: &World, address: &str| world.state().attributes(address)["input"]["value"].clone();
        world
            .tool(&["to", &first.commit, "--auto-approve", "--target", "terraform_data.a"])
            .exits(0);
        assert_eq!(input(&world, "terraform_data.a"), "one");
        assert_eq!(input(&world, "terraform_data.c"), "two");
        let ids: Vec<_> = world.objects().into_values().collect();
        for id in first.objects.values() {
            assert!(ids.contains(id), "an object was lost: {id}");
        }
        // Then the rest, too.
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}

#[test]
fn a_target_that_nobody_knows_is_an_error() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            for target in ["terraform_data.typo", "not an address", "", "-x", "terraform_data.a\n"] {
                let option = format!("--target={target}");
                world.tool(&["to", &first.commit, "--auto-approve", &option]).fails();
            }
        });
    });
}

#[test]
fn a_missing_snapshot_leaves_git_and_moved_blocks() {
    scenario(|world| {
        let first = world.release_without_snapshot(&[("main.tf", &(data("a", "one") + &data("x", "one")))], &[]);
        world.release_of(&(data("b", "one") + &data("x", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.back_to(&first).says("no snapshot");
    });
}

#[test]
fn no_snapshot_at_all() {
    scenario(|world| {
        let first = world.release_without_snapshot(&[("main.tf", &data("a", "one"))], &[]);
        world.release_without_snapshot(
            &[(
                "main.tf",
                &(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")),
            )],
            &[],
        );
        world.back_to(&first);
    });
}

#[test]
fn hostile_revisions_are_errors_and_nothing_is_run() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let second = world.release_of(&data("a", "two"));
        let colon = format!("{}:main.tf", second.commit);
        let range = format!("{}..HEAD", second.commit);
        let long = "a".repeat(5000);
        let ref_file = world.out.join("sneaky").to_string_lossy().into_owned();
        let hostile: &[&str] = &[
            "$(touch x)",
            "`touch x`",
            "; touch x",
            "| touch x",
            "HEAD; touch x",
            "HEAD\ntouch x",
            "--upload-pack=touch x",
            "--output=x",
            "-x",
            "-",
            "--",
            "",
            " ",
            "a..b",
            "HEAD..HEAD~1",
            "HEAD...HEAD~1",
            &range,
            "^HEAD",
            &colon,
            ":main.tf",
            ":/release",
            "HEAD^{tree}",
            "../../etc/passwd",
            "/etc/passwd",
            "refs/../HEAD",
            &ref_file,
            "HEAD~99999999999999999999",
            "HEAD~99",
            "@{-99}",
            "@{999 years ago}",
            "\u{202e}DAEH",
            "HÉAD",
            "no-such-branch",
            "deadbeef",
            "0000000000000000000000000000000000000000",
            "*",
            "%s%n",
            &long,
        ];
        world.unchanged(|world| {
            for (number, revision) in hostile.iter().enumerate() {
                for command in ["to", "plan"] {
                    let mut arguments = vec![command, revision];
                    if command == "to" {
                        arguments.push("--auto-approve");
                    }
                    let ran = world.tool(&arguments);
                    assert!([1, 2].contains(&ran.code), "{revision:?}: {ran}");
                    assert!(!ran.words().trim().is_empty(), "{revision:?}: said nothing");
                    ran.never_says("panicked");
                }
                // The other commands ask the same resolver; a sample of them will do.
                if number % 3 != 0 {
                    continue;
                }
                for command in [["show", revision], ["state", "pull"], ["undo", revision]] {
                    let mut arguments = command.to_vec();
                    if command[0] == "state" {
                        arguments.push(revision);
                    }
                    let ran = world.tool(&arguments);
                    assert!([1, 2].contains(&ran.code), "{revision:?}: {ran}");
                }
            }
        });
        assert!(!world.repo.join("x").exists());
        assert!(world.runs().is_empty(), "no run begins with a revision that is none");
    });
}

#[test]
fn revisions_that_are_some() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.git(&["tag", "--annotate", "v1", "--message", "one"]);
        world.git(&["branch", "stable"]);
        world.release_of(&data("a", "two"));
        world.tool(&["snapshot", "--release", "two-point-0"]).exits(0);
        for revision in [
            "v1",
            "stable",
            "HEAD~1",
            "main~",
            &first.commit[..10],
            &first.commit.to_uppercase(),
        ] {
            let plan = world.tool(&["plan", revision, "--json"]);
            assert_eq!(
                plan.exits(0).json()["stacks"][0]["to_commit"],
                first.commit,
                "{revision}"
            );
        }
        world
            .tool(&["to", "v1", "--auto-approve", "--reason", "it burns"])
            .exits(0);
        world.is_at(&first);
        assert_eq!(world.runs()[0]["reason"], "it burns");
        world.tool(&["to", "two-point-0", "--auto-approve"]).exits(0);
        assert_eq!(world.state().attributes("terraform_data.a")["input"]["value"], "two");
    });
}

/// Terraform plans the target's configuration, which has the addresses of then.
#[test]
fn a_target_is_named_as_it_was_then() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let moved = data("b", "two") + &moved("terraform_data.a", "terraform_data.b");
        let second = world.release_of(&moved);
        let to =
            |address: &'static str| ["to", &first.commit, "--auto-approve", "--target", address].map(str::to_owned);
        let run = |world: &World, address: &'static str| world.tool(&to(address).each_ref().map(String::as_str));
        world.unchanged(|world| {
            run(world, "terraform_data.b")
                .exits(2)
                .says("--target 'terraform_data.a'");
        });
        run(&world, "terraform_data.a").exits(0);
        assert_eq!(world.objects(), first.objects);
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), second.objects);
        // Another object has the address now, and nobody named it by any other.
        world.release_of(&(data("b", "two") + &data("a", "new")));
        world.unchanged(|world| {
            run(world, "terraform_data.a").exits(2).says("another object has now");
        });
    });
}
