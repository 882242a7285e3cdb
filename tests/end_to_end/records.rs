//! What is on record: releases, their differences, states and who changed them, plans of files.

use rollback_tests::{World, data, moved, scenario};

/// Two releases: a rename, a changed value, an addition.
pub fn two_releases(world: &World) -> (String, String) {
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

/// What an update in place loses, and what cannot be set back, with the project's own knowledge; and outside of any project.
#[test]
fn a_forward_plan_that_only_updates_is_checked() {
    scenario(|world| {
        let plan = |kind: &str, before: &str, after: &str, marks: &str| {
            format!(
                r#"{{"format_version":"1.2","terraform_version":"1.11.4","resource_changes":[{{"address":"{kind}.main",
                "mode":"managed","type":"{kind}","name":"main","provider_name":"registry.terraform.io/hashicorp/aws",
                "change":{{"actions":["update"],"before":{before},"after":{after},"after_unknown":{{}},
                "before_sensitive":{marks},"after_sensitive":{marks}}}}}]}}"#
            )
        };
        let elsewhere = world.out.join("elsewhere");
        std::fs::create_dir_all(&elsewhere).unwrap();
        let check = |text: &str| {
            world.put("plan.json", text);
            let ran = world.tool(&["check", "plan.json"]);
            let apart = world.tool_in(&elsewhere, &["check", world.repo.join("plan.json").to_str().unwrap()]);
            (ran, apart)
        };
        let days = |days: u32| format!(r#"{{"id":"x","retention_in_days":{days}}}"#);
        let (ran, apart) = check(&plan("aws_cloudwatch_log_group", &days(30), &days(7), "{}"));
        for ran in [ran, apart] {
            ran.exits(3)
                .says("aws_cloudwatch_log_group.main (data-loss)")
                .says("no rollback brings back")
                .never_says("can be undone");
        }
        let (ran, _) = check(&plan(
            "aws_db_instance",
            r#"{"engine_version":"14.9-hidden"}"#,
            r#"{"engine_version":"15.4-hidden"}"#,
            r#"{"engine_version":true}"#,
        ));
        ran.exits(3)
            .says("aws_db_instance.main (irreversible)")
            .says("It cannot go back")
            .never_says("hidden");
        check(&plan(
            "aws_db_instance",
            r#"{"instance_class":"a"}"#,
            r#"{"instance_class":"b"}"#,
            "{}",
        ))
        .0
        .exits(0)
        .says("Everything in this plan can be undone");

        let own = plan("acme_ledger", r#"{"size":1}"#, r#"{"size":2}"#, "{}");
        check(&own).0.exits(0);
        world.put(
            "own.toml",
            "[rules.acme_ledger]\nsize = { rule = \"no-decrease\", message = \"A ledger only grows.\" }\n",
        );
        world.put("infra-rollback.toml", "[knowledge]\nfiles = [\"own.toml\"]\n");
        let (ran, apart) = check(&own);
        ran.exits(3).says("A ledger only grows.");
        apart.exits(0);
        // Wherever one stands, the settings that are named count.
        let (settings, plan) = (world.repo.join("infra-rollback.toml"), world.repo.join("plan.json"));
        let named = ["--config", settings.to_str().unwrap(), "check", plan.to_str().unwrap()];
        world.tool_in(&elsewhere, &named).exits(3).says("A ledger only grows.");
        world.put("own.toml", "[rules.acme_ledger]\nsize = { rule = \"grows\" }\n");
        check(&own).0.exits(2).says("own.toml:2:");
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
