//! Poisoned configurations and states: what would run something at `init`, `plan` or `apply` is refused before terraform
//! is started in it.

use rollback_tests::{World, data, scenario};

/// What each payload does if anybody runs it.
const CANARY: &str = "touch $OUT/canary";

/// Name, and the files of the target's commit.
fn payloads() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let plain = || data("a", "one");
    let external = "data \"external\" \"x\" {\n  program = [\"sh\", \"-c\", \"touch $OUT/canary; echo '{}'\"]\n}\n";
    let module = "module \"m\" {\n  source = \"./m\"\n}\n";
    let provisioner =
        |body: &str| format!("resource \"terraform_data\" \"p\" {{\n  input = \"p\"\n  provisioner {body}\n}}\n");
    let local_exec = provisioner(&format!("\"local-exec\" {{\n    command = \"{CANARY}\"\n  }}"));
    let requires = |source: &str| {
        format!("terraform {{\n  required_providers {{\n    evil = {{\n      source = \"{source}\"\n    }}\n  }}\n}}\n")
    };
    let one = |text: String| vec![("main.tf", plain() + &text)];
    let in_module = |text: String| vec![("main.tf", plain() + module), ("m/main.tf", text)];
    vec![
        ("external", one(external.to_owned())),
        ("external with count", one(external.replace("program", "count = 0\n  program"))),
        ("external in a module", in_module(external.to_owned())),
        (
            "external in a module of a module",
            vec![
                ("main.tf", plain() + module),
                ("m/main.tf", "module \"n\" {\n  source = \"../n\"\n}\n".to_owned()),
                ("n/main.tf", external.to_owned()),
            ],
        ),
        (
            "external in JSON",
            vec![
                ("main.tf", plain()),
                (
                    "x.tf.json",
                    format!("{{\"data\": {{\"external\": {{\"x\": {{\"program\": [\"sh\", \"-c\", \"{CANARY}\"]}}}}}}}}"),
                ),
            ],
        ),
        (
            "external by another provider's name",
            one(requires("hashicorp/external") + &external.replace("program", "provider = evil\n  program")),
        ),
        (
            "a program of the local provider",
            one("data \"local_command\" \"x\" {\n  command = \"sh\"\n}\n".to_owned()),
        ),
        (
            "a shell script",
            one(format!("data \"shell_script\" \"x\" {{\n  lifecycle_commands {{\n    read = \"{CANARY}\"\n  }}\n}}\n")),
        ),
        ("http", one("data \"http\" \"x\" {\n  url = \"http://127.0.0.1:9/\"\n}\n".to_owned())),
        (
            "http in a check",
            one("check \"c\" {\n  data \"http\" \"x\" {\n    url = \"http://127.0.0.1:9/\"\n  }\n  assert {\n    condition     = true\n    error_message = \"x\"\n  }\n}\n".to_owned()),
        ),
        (
            "external in a check in JSON",
            vec![
                ("main.tf", plain()),
                ("x.tf.json", "{\"check\": {\"c\": {\"data\": {\"external\": {\"x\": {\"program\": [\"true\"]}}}}}}".to_owned()),
            ],
        ),
        ("local-exec", one(local_exec.clone())),
        (
            "local-exec when destroyed",
            one(provisioner(&format!("\"local-exec\" {{\n    when    = destroy\n    command = \"{CANARY}\"\n  }}"))),
        ),
        (
            "local-exec on what is there",
            vec![(
                "main.tf",
                format!("resource \"terraform_data\" \"a\" {{\n  input = \"one\"\n  triggers_replace = 1\n  provisioner \"local-exec\" {{\n    command = \"{CANARY}\"\n  }}\n}}\n"),
            )],
        ),
        ("local-exec in a module", in_module(local_exec.clone())),
        (
            "local-exec in JSON",
            vec![
                ("main.tf", plain()),
                (
                    "x.tf.json",
                    format!("{{\"resource\": {{\"terraform_data\": {{\"p\": {{\"provisioner\": [{{\"local-exec\": {{\"command\": \"{CANARY}\"}}}}]}}}}}}}}"),
                ),
            ],
        ),
        (
            "local-exec in an override file",
            vec![
                ("main.tf", plain()),
                (
                    "a_override.tf",
                    format!("resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = \"{CANARY}\"\n  }}\n}}\n"),
                ),
            ],
        ),
        (
            "remote-exec",
            one(provisioner("\"remote-exec\" {\n    inline = [\"true\"]\n    connection {\n      host = \"127.0.0.1\"\n    }\n  }")),
        ),
        (
            "file",
            one(provisioner("\"file\" {\n    content     = \"x\"\n    destination = \"/tmp/x\"\n    connection {\n      host = \"127.0.0.1\"\n    }\n  }")),
        ),
        ("a provider that nobody uses", one(requires("evil/evil"))),
        ("a provider of another registry", one(requires("evil.example/evil/evil"))),
        (
            "a provider under a known name",
            one("terraform {\n  required_providers {\n    null = {\n      source = \"evil/null\"\n    }\n  }\n}\nresource \"null_resource\" \"x\" {}\n".to_owned()),
        ),
        ("a provider by its type's name", one("resource \"evil_thing\" \"x\" {}\n".to_owned())),
        ("a provider by its block", one("provider \"evil\" {}\n".to_owned())),
        ("a provider in a module", in_module(requires("evil/evil"))),
        (
            "a provider's sign-in program",
            one(format!("provider \"kubernetes\" {{\n  exec {{\n    api_version = \"v1\"\n    command     = \"sh\"\n    args        = [\"-c\", \"{CANARY}\"]\n  }}\n}}\n")),
        ),
        (
            "a module from Git",
            one("module \"x\" {\n  source = \"git::file://$OUT/module\"\n}\n".to_owned()),
        ),
        ("a module from a registry", one("module \"x\" {\n  source = \"evil/evil/aws\"\n}\n".to_owned())),
        (
            "a module of a module",
            in_module("module \"x\" {\n  source = \"git::file://$OUT/module\"\n}\n".to_owned()),
        ),
        (
            "a module from outside of the repository",
            one("module \"x\" {\n  source = \"../../out/module\"\n}\n".to_owned()),
        ),
        (
            "ephemeral",
            one("ephemeral \"evil_token\" \"x\" {}\n".to_owned()),
        ),
        (
            "an action",
            one("action \"local_command\" \"x\" {\n  config {\n    command = \"sh\"\n  }\n}\n".to_owned()),
        ),
    ]
}

#[track_caller]
fn no_canary(world: &World, what: &str) {
    assert!(!world.is_out("canary"), "{what}: the canary ran");
}

#[test]
fn poisoned_commits_are_refused_before_terraform_is_started() {
    scenario(|world| {
        // What a module would bring is poisoned as well.
        let folder = world.out.join("module");
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "resource \"terraform_data\" \"x\" {{\n  provisioner \"local-exec\" {{\n    command = \"touch {}/canary\"\n  }}\n}}\n",
            world.out.display()
        );
        std::fs::write(folder.join("main.tf"), text).unwrap();
        world.git_in(&folder, &["init", "--quiet"]);
        world.git_in(&folder, &["add", "--all"]);
        world.git_in(&folder, &["commit", "--quiet", "--message", "x"]);

        let payloads = payloads();
        assert!(payloads.len() >= 25, "{}", payloads.len());
        let mut commits = Vec::new();
        for (name, files) in &payloads {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            world.write(&files);
            commits.push((*name, world.commit(name)));
        }
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            for (name, commit) in &commits {
                for arguments in [
                    vec!["to", commit.as_str(), "--auto-approve"],
                    vec!["plan", commit.as_str()],
                ] {
                    let ran = world.tool(&arguments);
                    assert!(ran.code == 3, "{name}: {ran}");
                    ran.says("rollback.configuration").says("--override-policy");
                    no_canary(world, name);
                }
            }
        });
        world.is_tidy();
    });
}

#[test]
fn a_snapshot_of_what_was_never_applied_is_no_excuse() {
    scenario(|world| {
        let files = [(
            "main.tf",
            data("p", "p").replace(
                "}\n",
                &format!("  provisioner \"local-exec\" {{\n    command = \"{CANARY}\"\n  }}\n}}\n"),
            ),
        )];
        world.release_of(&data("a", "one"));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        world.write(&files);
        let poisoned = world.commit("poisoned");
        world.snapshot();
        world.release_of(&data("a", "two"));
        let refused = world.tool(&["to", &poisoned, "--auto-approve"]);
        refused.exits(3).says("local-exec").says("rollback.configuration");
        no_canary(&world, "a snapshot");
    });
}

#[test]
fn a_guards_yes_lets_it_run_and_is_on_record() {
    scenario(|world| {
        let text = format!(
            "{}resource \"terraform_data\" \"p\" {{\n  input = \"p\"\n  provisioner \"local-exec\" {{\n    command = \"{CANARY}\"\n  }}\n}}\n",
            data("a", "one")
        );
        world.write(&[("main.tf", &text)]);
        let target = world.commit("with a provisioner");
        world.release_of(&data("a", "two"));
        let yes = [
            "to",
            &target,
            "--auto-approve",
            "--override-policy",
            "rollback.configuration",
        ];
        // Without a reason it is no yes.
        world.tool(&yes).exits(2).says("--reason");
        no_canary(&world, "no reason");
        let reason = "we read it";
        let mut with_reason = yes.to_vec();
        with_reason.extend(["--reason", reason, "--json"]);
        let ran = world.tool(&with_reason);
        let ran = ran.exits(0).json();
        // The control: the payload is a live one.
        assert!(world.is_out("canary"), "the canary did not run after a yes");
        let run = ran["run"].as_str().unwrap();
        let shown = world.tool(&["runs", "show", run]);
        shown.exits(0).says("rollback.configuration.deny").says(reason);
    });
}

#[test]
fn what_ran_when_it_was_deployed_may_run_again() {
    scenario(|world| {
        let text = format!(
            "{}resource \"terraform_data\" \"p\" {{\n  input = \"p\"\n  provisioner \"local-exec\" {{\n    command = \"true\"\n  }}\n}}\n",
            data("a", "one")
        );
        let first = world.release_of(&text);
        world.release_of(&data("a", "two"));
        let ran = world.tool(&["to", &first.commit, "--auto-approve"]);
        ran.exits(0).says("local-exec provisioner");
    });
}

#[test]
fn a_poisoned_state_does_not_choose_providers() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        let mut state: serde_json::Value = serde_json::from_slice(&world.live_bytes().unwrap()).unwrap();
        let mut evil = state["resources"][0].clone();
        evil["type"] = "evil_thing".into();
        evil["name"] = "x".into();
        evil["provider"] = "provider[\"evil.example/evil/evil\"]".into();
        state["resources"].as_array_mut().unwrap().push(evil);
        state["serial"] = 100.into();
        std::fs::write(world.state_path(), serde_json::to_vec_pretty(&state).unwrap()).unwrap();
        let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
        refused.exits(3).says("evil.example/evil/evil");
    });
}

#[test]
fn plugins_that_lie_in_the_commit_are_not_taken() {
    scenario(|world| {
        world.write(&[("main.tf", &data("a", "one"))]);
        let script = "#!/bin/sh\ntouch $OUT/canary\n";
        for path in [
            ".terraform/providers/registry.terraform.io/hashicorp/null/3.2.3/linux_amd64/terraform-provider-null_v3.2.3",
            "terraform.d/plugins/registry.terraform.io/hashicorp/null/3.2.3/linux_amd64/terraform-provider-null_v3.2.3",
        ] {
            world.put(path, script);
        }
        world.git(&["add", "--all", "--force"]);
        let target = world.commit("plugins");
        world.git(&["rm", "-r", "--quiet", ".terraform", "terraform.d"]);
        world.release_of(&data("a", "two"));
        world.tool(&["to", &target, "--auto-approve"]).exits(0);
        no_canary(&world, "plugins in the commit");
    });
}
