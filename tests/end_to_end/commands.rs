//! Each command as a person or a script uses it.

use rollback_tests::{World, data, scenario, tool};
use serde_json::Value;

use crate::records::two_releases;

#[test]
fn init_writes_a_file_that_is_accepted_back() {
    scenario(|world| {
        world.write(&[
            ("network/main.tf", &data("n", "one")),
            (
                "services/app/terraform/main.tf",
                "module \"m\" {\n  source = \"../../../modules/m\"\n}\n",
            ),
            ("modules/m/main.tf", &data("x", "one")),
        ]);
        world.commit("a repository");
        let written = world.tool(&["init", "--json"]);
        let names: Vec<Value> = written.exits(0).json()["stacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stack| stack["dir"].clone())
            .collect();
        assert_eq!(names, ["network", "services/app/terraform"]);
        world.commit("settings");
        world.tool(&["snapshot"]).exits(0).says("network").says("app");
        world.tool(&["init"]).exits(1).says("--force");
        world.tool(&["init", "--force"]).exits(0);
    });
}

#[test]
fn init_without_a_root_module() {
    scenario(|world| {
        world.write(&[("README.md", "no terraform\n")]);
        world.commit("nothing");
        world.tool(&["init"]).exits(1).says("root module");
        assert!(!world.repo.join("infra-rollback.toml").exists());
    });
}

#[test]
fn an_unknown_key_of_the_settings_names_the_nearest() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        for (text, wrong, nearest, place) in [
            ("[[stack]]\nname = \"a\"\ndri = \".\"\n", "dri", "dir", "3"),
            ("[[stak]]\nname = \"a\"\ndir = \".\"\n", "stak", "stack", "1"),
            (
                "[[stack]]\nname = \"a\"\ndir = \".\"\nvar_file = []\n",
                "var_file",
                "var_files",
                "4",
            ),
            ("[terraform]\nbinray = \"tofu\"\n", "binray", "binary", "2"),
        ] {
            world.put("infra-rollback.toml", text);
            let failed = world.tool(&["releases"]);
            failed
                .fails()
                .says(wrong)
                .says(nearest)
                .says(place)
                .says("infra-rollback.toml");
        }
    });
}

#[test]
fn doctor_looks_at_everything() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        world.unchanged(|world| {
            let well = world.tool(&["doctor"]);
            well.exits(0).says("terraform").says("git").says("store");
            let checks = world.tool(&["doctor", "--json"]);
            checks.exits(0).json();
        });
    });
}

#[test]
fn completions_are_understood_by_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = std::process::Command::new(tool())
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(script.status.success(), "{script:?}");
        let text = String::from_utf8(script.stdout).unwrap();
        for command in ["snapshot", "resume", "blame", "auto-approve"] {
            assert!(text.contains(command), "{shell} does not complete {command}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, text).unwrap();
        match std::process::Command::new(shell).arg("-n").arg(&file).output() {
            Ok(parsed) => assert!(parsed.status.success(), "{shell} does not parse it: {parsed:?}"),
            Err(_) => eprintln!("{shell} is not there to parse its script"),
        }
    }
}

/// The names that a help text lists below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn said(arguments: &[&str]) -> String {
    let output = std::process::Command::new(tool()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_help() {
    let top = said(&["--help"]);
    let commands = subcommands(&top);
    assert!(commands.len() >= 18, "{commands:?}");
    assert!(top.contains("Exit codes"));
    let mut paths: Vec<Vec<String>> = commands.into_iter().map(|command| vec![command]).collect();
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = said(&arguments);
        assert!(help.contains("Usage:"), "{path:?}: {help}");
        assert!(help.contains("--json"), "{path:?}: {help}");
        assert!(
            help.lines().next().is_some_and(|line| line.len() > 10),
            "{path:?} says nothing of itself"
        );
        // Every argument says what it is.
        for line in help.lines().filter(|line| line.trim_start().starts_with("--")) {
            let words = line.trim().split("  ").filter(|part| !part.trim().is_empty()).count();
            let next = help
                .lines()
                .skip_while(|other| *other != line)
                .nth(1)
                .unwrap_or_default();
            assert!(
                words > 1 || next.starts_with("          "),
                "{path:?}: {line:?} is not explained"
            );
        }
        for command in subcommands(&help) {
            let mut deeper = path.clone();
            deeper.push(command);
            paths.push(deeper);
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen} commands");
}

#[test]
fn the_manual_page_names_every_command() {
    let page = said(&["man"]);
    assert!(page.contains(".TH"));
    for command in subcommands(&said(&["--help"])) {
        assert!(page.contains(&command), "the manual does not know {command}");
    }
}

#[test]
fn what_cannot_be_understood_exits_2() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        for arguments in [
            &["nonsense"][..],
            &["to"],
            &["to", "HEAD", "--no-such-option"],
            &["to", "HEAD", "--var", "no-value", "--auto-approve"],
            &["to", "HEAD", "--var-file", "nowhere.tfvars", "--auto-approve"],
            &["state"],
            &["state", "at", "yesteryear"],
            &["state", "blame", "not an address"],
            &["--store", "carrier-pigeon://coop", "releases"],
            &["--stack", "nobody", "releases"],
            &["--config", "nowhere.toml", "releases"],
            &["snapshot", "--release", "-x y"],
        ] {
            let ran = world.tool(arguments);
            ran.exits(2).never_says("panicked");
        }
        let version = said(&["--version"]);
        assert!(version.starts_with("infra-rollback "), "{version}");
    });
}

#[test]
fn json_is_one_document_for_every_command() {
    scenario(|world| {
        let (first, second) = two_releases(&world);
        std::fs::write(
            world.out.join("plan.json"),
            "{\"format_version\":\"1.2\",\"resource_changes\":[]}",
        )
        .unwrap();
        let plan = world.out.join("plan.json").to_string_lossy().into_owned();
        for (arguments, code) in [
            (&["snapshot"][..], 0),
            (&["releases"], 0),
            (&["releases", "--all"], 0),
            (&["show", &first], 0),
            (&["diff", &first, &second], 0),
            (&["plan", &first], 0),
            (&["plan", &first, "--offline"], 0),
            (&["plan", &first, "--detailed-exitcode"], 2),
            (&["plan", "nothing"], 1),
            (&["to", &first, "--dry-run"], 0),
            (&["to", &first], 6),
            (&["abort"], 0),
            (&["to", &first, "--auto-approve"], 0),
            (&["to", "nothing", "--auto-approve"], 1),
            (&["undo", "--auto-approve"], 0),
            (&["resume"], 1),
            (&["runs"], 0),
            (&["locks"], 0),
            (&["state", "versions"], 0),
            (&["state", "inspect", "terraform.tfstate"], 0),
            (&["state", "at", "now"], 0),
            (&["state", "at", "2020-01-01T00:00:00Z"], 1),
            (&["state", "blame", "terraform_data.c"], 0),
            (&["state", "restore", "HEAD", "--auto-approve"], 0),
            (&["check", &plan], 0),
            (&["doctor"], 0),
            (&["init"], 0),
        ] {
            let mut with: Vec<&str> = arguments.to_vec();
            with.push("--json");
            let ran = world.tool(&with);
            assert!(ran.code == code, "expected {code}: {ran}");
            let document = ran.json();
            assert!(document.is_object(), "{ran}");
            if ![0, 2].contains(&code) {
                assert_eq!(document["error"]["exit_code"], code, "{ran}");
                assert!(!document["error"]["message"].as_str().unwrap_or_default().is_empty());
            }
        }
    });
}

#[test]
fn another_store_is_another_memory() {
    scenario(|world| {
        let only = world.release_of(&data("a", "one"));
        let elsewhere = world.out.join("store").to_string_lossy().into_owned();
        let url = format!("file://{elsewhere}");
        let count = |arguments: &[&str]| {
            let releases = world.tool(arguments);
            releases.exits(0).json()["releases"].as_array().unwrap().len()
        };
        assert_eq!(count(&["releases", "--json"]), 1);
        world
            .tool(&["--store", &url, "releases"])
            .exits(1)
            .says("there is no store in");
        world.tool(&["--store", &elsewhere, "snapshot"]).exits(0);
        assert_eq!(count(&["--store", &url, "releases", "--json"]), 1);
        let text = format!("[store]\nurl = \"{url}\"\n[[stack]]\nname = \"app\"\ndir = \".\"\n");
        world.put("infra-rollback.toml", &text);
        assert_eq!(count(&["releases", "--json"]), 1);
        assert_eq!(only.objects.len(), 1);
    });
}

#[test]
fn who_has_no_name_in_the_environment_has_one_in_the_passwd_database() {
    scenario(|mut world| {
        let name = std::process::Command::new("id").arg("-un").output().unwrap();
        if !name.status.success() {
            return; // A user without a name, as containers have them: there is only the number.
        }
        world.unset("INFRA_ROLLBACK_ACTOR");
        let release = world.release_of(&data("a", "one"));
        let shown = world.tool(&["show", &release.commit, "--json"]).exits(0).json();
        assert_eq!(
            shown["actor"],
            String::from_utf8(name.stdout).unwrap().trim(),
            "{shown}"
        );
    });
}

#[test]
fn it_works_from_a_folder_below_and_from_a_work_tree() {
    scenario(|world| {
        let first = world.release(&[("main.tf", &data("a", "one")), ("docs/x.md", "x\n")]);
        world.release(&[("main.tf", &data("a", "two")), ("docs/x.md", "y\n")]);
        let below = world.tool_in(&world.repo.join("docs"), &["to", &first.commit, "--auto-approve"]);
        below.exits(0);
        world.is_at(&first);
    });
}

/// Without settings the only root module below is the stack, and it is the same one under another folder's name.
#[test]
fn a_root_module_below_is_found_and_known_under_its_new_name() {
    scenario(|mut world| {
        world.stack = "infra".to_owned();
        let module = ("modules/m/main.tf", "");
        let first = world.release(&[("infra/main.tf", &data("a", "one")), module]);
        let state = world.live_bytes().unwrap();
        world.stack = "deployment".to_owned();
        std::fs::create_dir_all(world.stack_folder()).unwrap();
        std::fs::write(world.state_path(), state).unwrap();
        world.release(&[("deployment/main.tf", &data("a", "two"))]);
        let plan = world.tool(&["plan", &first.commit, "--json"]).json();
        assert_eq!(plan["stacks"][0]["name"], "infra", "{plan}");
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);

        // Two of them: somebody has to say which is meant.
        world.put("other/main.tf", &data("b", "one"));
        world.tool(&["snapshot"]).exits(2).says("infra-rollback init");
    });
}

#[test]
fn the_demo_tells_the_whole_story() {
    scenario(|world| {
        world
            .tool(&["demo"])
            .exits(0)
            .says("undo --auto-approve")
            .says("no object lost");
    });
}

/// What would stop a rollback, or leave people without word of it, is said by day.
#[test]
fn doctor_tries_what_the_settings_ask_for() {
    scenario(|mut world| {
        let settings = |policy: &str| {
            format!(
                "{policy}\n[[step]]\nname = \"flag\"\nkind = \"migration\"\nshow = \"exit 9\"\nrevert = \"true\"\n\n[[notify]]\nname = \
                 \"ops\"\nkind = \"slack\"\nurl_environment = \"OPS_HOOK\"\n"
            )
        };
        let write = |world: &World, policy: &str| world.write(&[("infra-rollback.toml", &settings(policy))]);
        world.release_of(&data("a", "one"));
        write(&world, "");
        let found = world.tool(&["doctor"]);
        found
            .exits(1)
            .says("policy: ")
            .says("BAD step flag")
            .says("--skip-step flag")
            .says("BAD notify ops: $OPS_HOOK not set");
        world.set("OPS_HOOK", "https://hooks.invalid/abc");
        let found = world.tool(&["doctor"]);
        found.exits(1).says("ok notify ops");
        assert!(!found.words().contains("hooks.invalid"));
        for broken in [
            "[policy]\nbundle = \"nowhere\"\n",
            "[policy.levels]\n\"rollback.no.such\" = \"advisory\"\n",
            "[[policy.freeze]]\nname = \"x\"\nfrom = \"soon\"\nuntil = \"later\"\n",
        ] {
            write(&world, broken);
            world.tool(&["doctor"]).exits(1).says("BAD policy");
        }
    });
}
