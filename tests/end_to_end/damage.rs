//! States that are lost, foreign, cut off or too new, and configurations that do not work any more.

use rollback_tests::{World, data, moved, scenario};
use serde_json::Value;

/// Writes the live state after a change to its JSON.
pub fn edit(world: &World, change: impl FnOnce(&mut Value)) {
    let mut state = world.state().json;
    change(&mut state);
    let serial = state["serial"].as_u64().unwrap_or(0);
    state["serial"] = (serial + 1).into();
    std::fs::write(world.state_path(), serde_json::to_vec_pretty(&state).unwrap()).unwrap();
}

#[test]
fn a_live_state_that_is_gone_is_not_made_anew() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        std::fs::remove_file(world.state_path()).unwrap();
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says("no live state")
                .says("state restore");
        });
        // As the hint says.
        world
            .tool(&["state", "restore", &first.commit, "--auto-approve"])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
    });
}

#[test]
fn a_state_of_another_lineage_is_refused() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        std::fs::remove_file(world.state_path()).unwrap();
        let second = world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused.exits(3).says("lineage");
            world
                .tool(&["state", "restore", &first.commit, "--auto-approve", "--accept-orphans"])
                .exits(3)
                .says("lineage");
        });
        world.is_at(&second);
    });
}

#[test]
fn a_live_state_that_cannot_be_read_is_a_clear_error() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        world.release_of(&data("a", "two"));
        let good = world.state().bytes;
        let half = &good[..good.len() / 2];
        let future = String::from_utf8(good.clone())
            .unwrap()
            .replace("\"version\": 4", "\"version\": 5");
        let wide: Vec<u8> = good.iter().flat_map(|byte| [*byte, 0]).collect();
        for broken in [half, b"{}", b"[]", b"not json", b"\0\0\0\0", future.as_bytes(), &wide] {
            std::fs::write(world.state_path(), broken).unwrap();
            world.unchanged(|world| {
                for command in [
                    &["to", &first.commit, "--auto-approve"][..],
                    &["plan", &first.commit],
                    &["snapshot"],
                ] {
                    let failed = world.tool(command);
                    assert!([1, 3].contains(&failed.code), "{failed}");
                    failed.says("state").never_says("panicked");
                }
            });
        }
        std::fs::write(world.state_path(), &good).unwrap();
        world.back_to_but(&first, &["terraform_data.b"], &[]);
    });
}

#[test]
fn objects_of_a_newer_schema_are_taken_as_the_release_has_them() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        world.release_of(&(data("a2", "two") + &data("b", "one") + &moved("terraform_data.a", "terraform_data.a2")));
        edit(&world, |state| {
            for resource in state["resources"].as_array_mut().unwrap() {
                resource["instances"][0]["schema_version"] = 7.into();
                resource["instances"][0]["attributes"]["new_in_7"] = "x".into();
            }
        });
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}

#[test]
fn an_object_of_a_newer_schema_that_the_release_does_not_know() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "two") + &data("b", "two")));
        edit(&world, |state| {
            for resource in state["resources"].as_array_mut().unwrap() {
                if resource["name"] == "b" {
                    resource["instances"][0]["schema_version"] = 7.into();
                }
            }
        });
        // There is no record of it to take: nothing can destroy it, and that must be said before anything changes.
        world.unchanged(|world| {
            let failed = world.tool(&["to", &first.commit, "--auto-approve"]);
            failed.fails().says("terraform_data.b");
            assert!(failed.code != 4, "{failed}");
        });
    });
}

#[test]
fn a_target_that_terraform_cannot_plan() {
    scenario(|world| {
        world.put_out("fine");
        let first = world.release_of(
            "resource \"terraform_data\" \"a\" {\n  input = \"one\"\n  lifecycle {\n    precondition {\n      condition     = \
             terraform_data.b.id != \"\" && fileexists(\"$OUT/fine\")\n      error_message = \"the fine file is missing\"\n    }\n  }\n}\nresource \"terraform_data\" \"b\" {}\n",
        );
        world.release_of(&(data("a", "two") + "resource \"terraform_data\" \"b\" {}\n"));
        world.remove_out("fine");
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(1)
                .says("the fine file is missing");
        });
        world.is_tidy();
        world.put_out("fine");
        world.back_to(&first);
    });
}

#[test]
fn a_target_that_cannot_be_parsed_or_whose_provider_is_nowhere() {
    scenario(|world| {
        world.write(&[("main.tf", "resource \"terraform_data\" {\n")]);
        let broken = world.commit("broken");
        world.write(&[(
            "main.tf",
            "terraform {\n  required_providers {\n    nope = {\n      source = \"example.invalid/nobody/nope\"\n    }\n  }\n}\nresource \
             \"nope_thing\" \"a\" {}\n",
        )]);
        let nowhere = world.commit("a provider that nobody has");
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            world.tool(&["to", &broken, "--auto-approve"]).exits(1).says("main.tf");
            // A provider that the current release does not have needs a yes, and terraform does not find it either.
            let nowhere = ["to", &nowhere, "--auto-approve"];
            world.tool(&nowhere).exits(3).says("nope");
            let yes = ["--override-policy", "rollback.configuration", "--reason", "a test"];
            world.tool(&[&nowhere[..], &yes[..]].concat()).exits(1).says("nope");
        });
        world.is_tidy();
    });
}

#[test]
fn a_commit_without_the_stack() {
    scenario(|world| {
        world.write(&[("README.md", "nothing yet\n")]);
        let empty = world.commit("nothing yet");
        world.release_of(&data("a", "one"));
        world.unchanged(|world| {
            world.tool(&["to", &empty, "--auto-approve"]).fails();
        });
    });
}

#[test]
fn a_store_that_was_damaged_is_noticed() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        let mut damaged = 0;
        let mut folders = vec![world.home.join("store/blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    let mut bytes = std::fs::read(entry.path()).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0xff;
                    let _ = std::fs::remove_file(entry.path());
                    std::fs::write(entry.path(), bytes).unwrap();
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 3);
        world.unchanged(|world| {
            let failed = world.tool(&["to", &first.commit, "--auto-approve"]);
            failed.exits(1).never_says("panicked");
            world.tool(&["state", "pull", &first.commit]).exits(1);
        });
        world.is_at(&second);
    });
}

#[test]
fn outside_of_a_repository_and_without_a_commit() {
    scenario(|world| {
        let empty = world.out.join("empty");
        std::fs::create_dir_all(&empty).unwrap();
        world.tool_in(&empty, &["snapshot"]).exits(1).says("repository");
        world.put("main.tf", &data("a", "one"));
        world.tool(&["snapshot"]).fails().says("commit");
        world.tool(&["to", "HEAD", "--auto-approve"]).fails();
    });
}

#[test]
fn a_terraform_that_is_missing_is_named() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        let folder = world.out.join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.to_string_lossy().into_owned();
        world.unchanged(|world| {
            let failed = world.tool_with(&["to", &first.commit, "--auto-approve"], &[("PATH", &path)]);
            failed.fails().says("terraform");
            // What needs no terraform goes on.
            world.tool_with(&["doctor"], &[("PATH", &path)]).says("terraform");
        });
    });
}

#[test]
fn the_environment_of_the_person_does_not_lead_terraform_astray() {
    scenario(|mut world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        let out = world.out.to_string_lossy().into_owned();
        let astray = [
            ("TF_CLI_ARGS", "-destroy"),
            ("TF_CLI_ARGS_plan", "-destroy"),
            ("TF_CLI_ARGS_apply", "-target=terraform_data.nothing"),
            ("TF_CLI_ARGS_init", "-backend=false"),
            ("TF_DATA_DIR", &format!("{out}/data")),
            ("TF_LOG", "TRACE"),
            ("TF_LOG_PATH", &format!("{out}/trace")),
            ("TF_REATTACH_PROVIDERS", "{}"),
            ("GIT_DIR", "/nowhere"),
        ];
        let ran = world.tool_with(&["to", &first.commit, "--auto-approve"], &astray[..astray.len() - 1]);
        ran.exits(0);
        assert!(!world.is_out("trace"), "terraform was told to write values into a log");
        world.unset("GIT_DIR");
        world.is_at(&first);
    });
}
