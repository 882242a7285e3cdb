//! Each command as a person or a script uses it.

use rollback_tests::{World, data, moved, scenario, tool};
use serde_json::Value;

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

/// Two releases: a rename, a changed value, an addition.
fn two_releases(world: &World) -> (String, String) {
    let first = world.release_of(&(data("a", "one") + &data("c", "same")));
    let second = world.release_of(
        &(data("b", "two") + &data("c", "same") + &data("d", "new") + &moved("terraform_data.a", "terraform_data.b")),
    );
    (first.commit, second.commit)
}

#[test]
fn releases_and_what_is_in_them() {
    scenario(|world| {
        let (first, second) = two_releases(&world);
        world
            .tool(&["snapshot", "--release", "v2", "--note", "before the weekend"])
            .exits(0);
        let releases = world.tool(&["releases", "--json"]).json();
        let releases = releases["releases"].as_array().unwrap();
        assert_eq!(releases.len(), 3);
        assert_eq!(releases[0]["name"], "v2");
        assert_eq!(releases[2]["commit"], first.as_str());
        assert_eq!(
            world.tool(&["releases", "--limit", "1", "--json"]).json()["releases"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        world.tool(&["releases"]).exits(0).says("v2").says(&first[..10]);
        let shown = world.tool(&["show", "v2", "--json"]).json();
        assert_eq!(shown["note"], "before the weekend");
        assert_eq!(shown["stacks"][0]["state"]["instances"], 3);
        assert_eq!(shown["stacks"][0]["terraform"]["product"], "terraform");
        let id = shown["id"].as_str().unwrap();
        for name in [id, &second, "HEAD", "v2"] {
            let again = world.tool(&["show", name, "--json"]);
            assert_eq!(again.exits(0).json()["commit"], second.as_str());
        }
        world.tool(&["show", &first]).exits(0).says("2 objects");
        world.tool(&["show", "v3"]).fails().says("v3");
        // A name means one commit for ever.
        world.release_of(&data("z", "three"));
        world.tool(&["snapshot", "--release", "v2"]).exits(1).says("taken");
    });
}

#[test]
fn differences_between_releases() {
    scenario(|world| {
        let (first, second) = two_releases(&world);
        world.unchanged(|world| {
            let diff = world.tool(&["diff", &first, &second]);
            diff.exits(0)
                .says("terraform_data.a")
                .says("terraform_data.b")
                .says("terraform_data.d");
            diff.says("main.tf");
            let state = world.tool(&["diff", &first, &second, "--state"]);
            state.exits(0).says("terraform_data.d").never_says("main.tf");
            let config = world.tool(&["diff", &first, &second, "--config"]);
            config.exits(0).says("+resource \"terraform_data\" \"d\"");
            let patch = world.tool(&["diff", &first, &second, "--patch", "--json"]);
            let text = patch.exits(0).json().to_string();
            assert!(text.contains("\"op\"") && text.contains("/input"), "{text}");
            world
                .tool(&["diff", &first, &first])
                .exits(0)
                .never_says("terraform_data.d");
            world.tool(&["diff", &first, "nothing"]).fails();
        });
    });
}

#[test]
fn states_are_kept_to_the_byte() {
    scenario(|world| {
        let first = world.release_of(&data("a", "ünïcode \u{1F980} <&>"));
        let bytes = world.state().bytes;
        let serial = world.state().serial();
        world.release_of(&data("a", "two"));
        let pulled = world.tool(&["state", "pull", &first.commit]);
        pulled.exits(0);
        assert!(pulled.bytes == bytes, "the very bytes: {pulled}");
        world
            .tool(&["state", "pull", &first.commit, "--output", "kept.tfstate"])
            .exits(0);
        assert_eq!(std::fs::read(world.repo.join("kept.tfstate")).unwrap(), bytes);
        world
            .tool(&["state", "pull", &first.commit, "--output", "kept.tfstate"])
            .exits(1);
        let versions = world.tool(&["state", "versions", "--json"]).json();
        let versions = versions["versions"].as_array().unwrap().clone();
        assert_eq!(versions.len(), 2);
        let sha256 = versions[1]["sha256"].as_str().unwrap();
        assert!(world.tool(&["state", "pull", sha256]).bytes == bytes);
        assert!(world.tool(&["state", "pull", &sha256[..12]]).bytes == bytes);
        let inspected = world.tool(&["state", "inspect", "kept.tfstate", "--json"]).json();
        assert_eq!(inspected["sha256"], sha256);
        assert_eq!(inspected["addresses"], serde_json::json!(["terraform_data.a"]));
        assert_eq!(inspected["version"], 4);
        assert_eq!(inspected["instances"], 1);
        assert_eq!(inspected["serial"], serial);
        world
            .tool(&["state", "inspect", "nowhere.tfstate"])
            .exits(1)
            .says("nowhere.tfstate");
        world.tool(&["state", "inspect", "main.tf"]).exits(1);
    });
}

#[test]
fn states_at_a_time_and_who_changed_what() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        let second = world.release_of(&(data("a", "two") + &data("b", "one")));
        let at = world.tool(&["state", "at", "now", "--json"]).json();
        assert_eq!(at["versions"][0]["commit"], second.commit.as_str());
        world.tool(&["state", "at", "2 hours ago"]).exits(1);
        world.tool(&["state", "at", "2020-01-01T00:00:00Z"]).exits(1);
        let versions = world.tool(&["state", "versions", "--json"]).json();
        let when = versions["versions"][1]["created_at"].as_str().unwrap();
        let then = world.tool(&["state", "at", when, "--json"]).json();
        assert_eq!(then["versions"][0]["commit"], first.commit.as_str());
        let blame = |address: &str| world.tool(&["state", "blame", address, "--json"]).json()["changes"].clone();
        let changes = blame("terraform_data.a.input");
        assert_eq!(changes[0]["commit"], second.commit.as_str());
        assert_eq!(changes[0]["what"], "changed");
        assert_eq!(changes[1]["what"], "added");
        assert_eq!(blame("terraform_data.b").as_array().unwrap().len(), 1);
        assert_eq!(
            blame("terraform_data.a")[0]["attributes"],
            serde_json::json!(["input", "output"])
        );
        world.tool(&["state", "blame", "terraform_data.nobody"]).exits(1);
    });
}

#[test]
fn an_old_state_becomes_the_current_one() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &data("c", "new") + &moved("terraform_data.a", "terraform_data.b")));
        let serial = world.state().serial();
        world.unchanged(|world| {
            let refused = world.tool(&["state", "restore", &first.commit, "--auto-approve"]);
            refused.exits(3).says("terraform_data.c").says("--accept-orphans");
            world
                .tool(&["state", "restore", &first.commit, "--accept-orphans"])
                .exits(6);
        });
        world
            .tool(&["state", "restore", &first.commit, "--auto-approve", "--accept-orphans"])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
        assert!(world.state().serial() > serial);
        // What was there before it is kept.
        let versions = world.tool(&["state", "versions", "--json"]).json();
        let kept = versions["versions"].as_array().unwrap();
        assert!(kept.iter().any(|version| version["serial"] == serial), "{kept:?}");
        world.is_tidy();
    });
}

#[test]
fn a_forward_plan_is_checked() {
    scenario(|world| {
        let plan = |actions: &str, kind: &str| {
            format!(
                r#"{{"format_version":"1.2","terraform_version":"1.11.4","resource_changes":[{{"address":"{kind}.main",
                "mode":"managed","type":"{kind}","name":"main","provider_name":"registry.terraform.io/hashicorp/aws",
                "change":{{"actions":{actions},"before":{{"id":"x"}},"after":null,"after_unknown":{{}},
                "before_sensitive":{{}},"after_sensitive":{{}}}}}}]}}"#
            )
        };
        let check = |text: &str, more: &[&str]| {
            world.put("plan.json", text);
            let arguments: Vec<&str> = ["check", "plan.json"].iter().chain(more).copied().collect();
            world.tool(&arguments)
        };
        let lost = check(&plan("[\"delete\"]", "aws_db_instance"), &["--json"]);
        let document = lost.exits(3).json();
        assert_eq!(document["reversible"], false);
        assert_eq!(document["findings"][0]["address"], "aws_db_instance.main");
        check(&plan("[\"delete\",\"create\"]", "aws_s3_bucket"), &[])
            .exits(3)
            .says("aws_s3_bucket.main");
        check(&plan("[\"update\"]", "aws_db_instance"), &[]).exits(0);
        check(&plan("[\"delete\"]", "terraform_data"), &[]).exits(0);
        check(&plan("[\"evaporate\"]", "terraform_data"), &[]).exits(3);
        for broken in [
            "",
            "{}",
            "[1,2]",
            "no json",
            "{\"format_version\":\"9.0\",\"resource_changes\":[]}",
        ] {
            check(broken, &[]).exits(1).never_says("panicked");
        }
        // A real one.
        world.release_of(&data("a", "one"));
        world.put("main.tf", &data("b", "two"));
        world
            .terraform(&["plan", "-input=false", "-out=forward.tfplan"])
            .exits(0);
        let shown = world.terraform(&["show", "-json", "forward.tfplan"]);
        check(&shown.stdout, &[]).exits(0).says("terraform_data.a");
    });
}

#[test]
fn plans_of_two_files_need_nothing_else() {
    scenario(|world| {
        world.release_of(&(data("a", "one") + &data("c", "same")));
        let old = world.out.join("old.tfstate");
        std::fs::write(&old, world.state().bytes).unwrap();
        world.release_of(&(data("b", "two") + &data("c", "same") + &moved("terraform_data.a", "terraform_data.b")));
        let new = world.out.join("new.tfstate");
        std::fs::write(&new, world.state().bytes).unwrap();
        let elsewhere = world.out.join("elsewhere");
        std::fs::create_dir_all(&elsewhere).unwrap();
        let arguments = [
            "plan",
            "--from-state",
            "../new.tfstate",
            "--to-state",
            "../old.tfstate",
            "--json",
        ];
        let plan = world.tool_in(&elsewhere, &arguments);
        let document = plan.exits(0).json();
        let told = rollback_tests::Happened::foretold_by(&document);
        assert_eq!(
            told.moved.into_iter().collect::<Vec<_>>(),
            [("terraform_data.b".to_owned(), "terraform_data.a".to_owned())]
        );
        assert!(told.gone.is_empty() && told.new.is_empty());
        world
            .tool_in(&elsewhere, &arguments[..5])
            .exits(0)
            .says("terraform_data.a");
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
        assert_eq!(count(&["--store", &url, "releases", "--json"]), 0);
        world.tool(&["--store", &elsewhere, "snapshot"]).exits(0);
        assert_eq!(count(&["--store", &url, "releases", "--json"]), 1);
        let text = format!("[store]\nurl = \"{url}\"\n[[stack]]\nname = \"app\"\ndir = \".\"\n");
        world.put("infra-rollback.toml", &text);
        assert_eq!(count(&["releases", "--json"]), 1);
        assert_eq!(only.objects.len(), 1);
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
