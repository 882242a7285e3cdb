//! Policies of one's own and the built-in one, in runs and asked directly.

use rollback_tests::{World, data, scenario};
use serde_json::Value;

const NO_UPDATES: &str = "package main\nimport rego.v1\n\ndeny contains msg if {\n\tsome change in input.resource_changes\n\t\"update\" in change.change.actions\n\tmsg := sprintf(\"%s may not change\", [change.address])\n}\n";

/// Two releases of one object with a policy of one's own, and the first of them.
fn with_policy(world: &World, settings: &str, rego: &str) -> String {
    let stack = "[[stack]]\nname = \"app\"\n";
    let settings = format!("{settings}\n{stack}");
    let files = |input: &str| {
        vec![
            ("infra-rollback.toml", settings.clone()),
            ("policies/own.rego", rego.to_owned()),
            ("main.tf", data("a", input)),
        ]
    };
    let release = |files: Vec<(&str, String)>| {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        world.release(&files)
    };
    let first = release(files("one"));
    release(files("two"));
    first.commit
}

fn evaluation(document: &Value) -> &Value {
    &document["policy"][0]["evaluation"]
}

#[test]
fn a_policy_of_ones_own_refuses() {
    scenario(|world| {
        let first = with_policy(&world, "[policy]\nbundle = \"policies\"\n", NO_UPDATES);
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first, "--auto-approve"]);
            refused
                .exits(3)
                .says("terraform_data.a may not change")
                .says("hard-mandatory");
            // Nobody can override what is hard-mandatory.
            let over = [
                "to",
                &first,
                "--auto-approve",
                "--override-policy",
                "main.deny",
                "--reason",
                "x",
            ];
            world.tool(&over).exits(3);
            // A dry run says so as well.
            let dry = world.tool(&["to", &first, "--dry-run", "--json"]);
            let dry = dry.exits(3).json();
            assert_eq!(evaluation(&dry["plan"])["verdict"], "refused", "{dry}");
            // A plan only shows it.
            let plan = world.tool(&["plan", &first, "--json"]);
            let plan = plan.exits(0).json();
            assert_eq!(evaluation(&plan)["findings"][0]["rule"], "main.deny", "{plan}");
            let check = world.tool(&["policy", "check", &first]);
            check.exits(3).says("FAIL - app - main.deny").says("1 failures");
        });
        world.is_tidy();
    });
}

#[test]
fn soft_rules_are_overridden_with_a_reason_on_record() {
    scenario(|world| {
        let settings = "[policy]\nbundle = \"policies\"\nlevel = \"soft-mandatory\"\n";
        let first = with_policy(&world, settings, NO_UPDATES);
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(3)
            .says("--override-policy main.deny");
        let over = ["to", &first, "--auto-approve", "--override-policy", "main.deny"];
        world.tool(&over).exits(2).says("reason");
        let mut with_reason = over.to_vec();
        with_reason.extend(["--reason", "orders are lost", "--json"]);
        let ran = world.tool(&with_reason);
        let ran = ran.exits(0).json();
        assert_eq!(evaluation(&ran["plan"])["verdict"], "overridden", "{ran}");
        let shown = world.tool(&["runs", "show", ran["run"].as_str().unwrap(), "--json"]);
        let journal = shown.exits(0).json().to_string();
        assert!(
            journal.contains("policy-overridden") && journal.contains("orders are lost"),
            "{journal}"
        );
        let unknown = [
            "to",
            "HEAD",
            "--auto-approve",
            "--override-policy",
            "nothing",
            "--reason",
            "x",
        ];
        world.tool(&unknown).exits(3).says("no such rule");
    });
}

#[test]
fn what_gives_no_verdict_refuses() {
    scenario(|world| {
        let first = with_policy(&world, "[policy]\nbundle = \"policies\"\n", NO_UPDATES);
        world.unchanged(|world| {
            for (what, rego) in [
                ("no Rego at all", "package main\ndeny contains {"),
                ("a function that fails", "package main\nimport rego.v1\ndeny contains \"x\" if to_number(\"x\") == 1\n"),
                ("a function that there is not", "package main\nimport rego.v1\ndeny contains \"x\" if http.send({\"url\": \"http://127.0.0.1:9\", \"method\": \"get\"})\n"),
                ("a result that is none", "package main\nimport rego.v1\ndeny := 3\n"),
            ] {
                world.put("policies/own.rego", rego);
                let ran = world.tool(&["to", &first, "--auto-approve"]);
                assert!(ran.code == 3, "{what}: {ran}");
            }
            std::fs::remove_dir_all(world.repo.join("policies")).unwrap();
            world.tool(&["to", &first, "--auto-approve"]).exits(3).says("no verdict");
            world.git(&["checkout", "--quiet", "--", "policies"]);
        });
    });
}

#[test]
fn the_digest_of_what_is_approved_changes_with_the_policy() {
    scenario(|world| {
        let harmless = "package main\nimport rego.v1\ndeny contains \"x\" if input.nothing\n";
        let first = with_policy(&world, "[policy]\nbundle = \"policies\"\n", harmless);
        let digest = |world: &World| {
            let plan = world.tool(&["plan", &first, "--json"]);
            plan.exits(0).json()["digest"].as_str().unwrap().to_owned()
        };
        let before = digest(&world);
        assert_eq!(before, digest(&world), "the same plan has the same digest");
        world.put("policies/own.rego", &format!("{harmless}# another bundle\n"));
        let other = digest(&world);
        assert_ne!(before, other);
        world.put(
            "policies/own.rego",
            &format!("{harmless}warn contains \"said\" if true\n# another bundle\n"),
        );
        assert_ne!(other, digest(&world));
    });
}

#[test]
fn a_policy_that_changes_before_the_yes_asks_again() {
    scenario(|world| {
        let harmless = "package main\nimport rego.v1\ndeny contains \"x\" if input.nothing\n";
        let first = with_policy(&world, "[policy]\nbundle = \"policies\"\n", harmless);
        // Nobody is here to approve it.
        world.tool(&["to", &first]).exits(6);
        world.put("policies/own.rego", NO_UPDATES);
        world
            .tool(&["resume", "--auto-approve"])
            .exits(3)
            .says("may not change");
    });
}

#[test]
fn settings_refuse() {
    scenario(|world| {
        let own = "package own\nimport rego.v1\nwarn contains \"x\" if input.nothing\n";
        let first = with_policy(&world, "[policy]\nblast_radius = 0\n", own);
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(3)
            .says("rollback.blast_radius");
        // An age is told in whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        for (settings, says) in [
            ("maximum_age = \"500ms\"\n", "rollback.age"),
            (
                "[[policy.freeze]]\nname = \"always\"\nfrom = \"2020-01-01\"\nuntil = \"2099-01-01\"\n",
                "rollback.freeze_window",
            ),
        ] {
            world.put(
                "infra-rollback.toml",
                &format!("[policy]\n{settings}\n[[stack]]\nname = \"app\"\n"),
            );
            let refused = world.tool(&["to", &first, "--auto-approve"]);
            refused.exits(3).says(says);
        }
        world.put(
            "infra-rollback.toml",
            &format!("[policy]\n[[policy.known_bad]]\nrevision = \"{first}\"\nreason = \"it loses orders\"\n[[stack]]\nname = \"app\"\n"),
        );
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(3)
            .says("it loses orders");
        for broken in [
            "level = \"strict\"",
            "disabled = [\"rollback.nothing\"]",
            "maximum_age = \"soon\"",
            "bundles = \"x\"",
        ] {
            world.put(
                "infra-rollback.toml",
                &format!("[policy]\n{broken}\n[[stack]]\nname = \"app\"\n"),
            );
            world.tool(&["to", &first, "--auto-approve"]).fails();
        }
        world.git(&["checkout", "--quiet", "--", "."]);
        world.put(
            "infra-rollback.toml",
            "[policy]\nblast_radius = 0\ndisabled = [\"blast_radius\"]\n[[stack]]\nname = \"app\"\n",
        );
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
    });
}

#[test]
fn a_release_that_was_marked_bad_does_not_come_back() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&data("a", "two"));
        let bad = ["releases", "bad", &first.commit, "--reason", "it loses orders"];
        world.tool(&bad).exits(0);
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(3)
            .says("it loses orders");
        let over = [
            "to",
            &first.commit,
            "--auto-approve",
            "--override-policy",
            "known_bad",
            "--reason",
            "better than nothing",
        ];
        world.tool(&over).exits(0);
        world.is_at(&first);
    });
}

#[test]
fn four_eyes() {
    scenario(|mut world| {
        let own = "package own\nimport rego.v1\nwarn contains \"x\" if input.nothing\n";
        let first = with_policy(
            &world,
            "[policy]\nenvironment = \"production\"\nfour_eyes = [\"production\"]\n",
            own,
        );
        world.set("INFRA_ROLLBACK_ACTOR", "alice");
        let waits = world.tool(&["to", &first, "--auto-approve"]);
        waits.exits(6).says("other than alice").says("resume");
        world.tool(&["resume", "--auto-approve"]).exits(6);
        world.set("INFRA_ROLLBACK_ACTOR", "bob");
        world.tool(&["resume", "--auto-approve"]).exits(0);
    });
}

#[test]
fn the_document_is_as_its_schema_says_and_holds_no_secret() {
    scenario(|world| {
        let secret = "hunter2-very-secret";
        let text = |input: &str| {
            format!(
                "variable \"password\" {{\n  type = string\n  sensitive = true\n  default = \"{secret}\"\n}}\n{}resource \"terraform_data\" \"s\" {{\n  input = {{ password = var.password, n = 12345678901234567890 }}\n}}\nresource \"terraform_data\" \"prefix\" {{\n  input = \"{input}\"\n}}\noutput \"p\" {{\n  value = var.password\n  sensitive = true\n}}\n",
                data("a", input)
            )
        };
        let first = world.release_of(&text("one"));
        world.release_of(&text("two"));
        let schema = include_str!("../../policies/schema/input.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let ran = world.tool(&["policy", "input", &first.commit]);
        let document = ran.exits(0).json();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert!(!ran.words().contains(secret), "{ran}");
        // The control: the schema says no as well.
        let mut wrong = document.clone();
        wrong["rollback"]["changes"][0]["fate"] = "explode".into();
        assert!(!validator.is_valid(&wrong));
        wrong = document;
        wrong["rollback"]["surprise"] = 1.into();
        assert!(!validator.is_valid(&wrong));
        // A policy that says everything it sees says no secret.
        let tell = "package tell\nimport rego.v1\ndeny contains json.marshal(input) if true\n";
        world.put("tell/all.rego", tell);
        let told = world.tool(&["policy", "check", &first.commit, "--bundle", "tell"]);
        told.exits(3).says("resource_changes");
        assert!(!told.words().contains(secret), "{told}");
    });
}

#[test]
fn policies_are_tested_and_asked_without_a_rollback() {
    scenario(|world| {
        let tested = world.tool(&["policy", "test", "--json"]);
        let report = tested.exits(0).json();
        assert!(
            report["passed"].as_u64().unwrap() >= 40 && report["failed"] == 0,
            "{report}"
        );
        world.put("p/own.rego", NO_UPDATES);
        world.tool(&["policy", "test", "p"]).exits(1).says("no tests");
        let test = "package main_test\nimport rego.v1\nimport data.main\n\nupdate := {\"resource_changes\": [{\"address\": \"a.b\", \"change\": {\"actions\": [\"update\"]}}]}\n\ntest_no if count(main.deny) == 1 with input as update\n\ntest_yes if count(main.deny) == 0 with input as {\"resource_changes\": []}\n";
        world.put("p/own_test.rego", test);
        world
            .tool(&["policy", "test", "p", "-v"])
            .exits(0)
            .says("test_no: PASS")
            .says("PASS: 2/2");
        world
            .tool(&["policy", "test", "p", "--run", "yes"])
            .exits(0)
            .says("PASS: 1/1");
        world.put("p/own_test.rego", &test.replace("== 1", "== 2"));
        world
            .tool(&["policy", "test", "p"])
            .exits(1)
            .says("test_no: FAIL")
            .says("FAIL: 1/2");
        world.tool(&["policy", "test", "p", "--run", "["]).exits(2);
        world.put(
            "update.json",
            "{\"resource_changes\": [{\"address\": \"a.b\", \"change\": {\"actions\": [\"update\"]}}]}",
        );
        let check = ["policy", "check", "--input", "update.json", "--bundle", "p"];
        world
            .tool(&check)
            .exits(3)
            .says("a.b may not change")
            .says("1 tests, 0 passed, 0 warnings, 1 failures");
        let mut other = check.to_vec();
        other.extend(["--namespace", "elsewhere"]);
        world.tool(&other).exits(3).says("no verdict");
        world.put("update.json", "{}");
        world.tool(&check).exits(0).says("1 passed");
        let show = world.tool(&["policy", "show", "--json"]);
        assert_eq!(show.exits(0).json()["digest"].as_str().unwrap().len(), 64);
        world
            .tool(&["policy", "show"])
            .exits(0)
            .says("rollback.exposure.deny (soft-mandatory)");
        world.tool(&["policy", "check"]).exits(2);
        world.tool(&["policy", "check", "--input", "nowhere.json"]).exits(1);
        world
            .tool(&["policy", "check", "--input", "update.json", "--bundle", "nowhere"])
            .exits(3);
    });
}

/// In the shapes of Conftest's examples for Terraform: a list of prefixes, a function over all changes, the list in the text.
const AS_FOR_CONFTEST: &str = r#"package main
import rego.v1

unwanted := ["aws_iam", "terraform_da"]

deny contains msg if {
	touches(input.resource_changes, unwanted)
	all := concat(", ", unwanted)
	msg := sprintf("the plan touches what begins with: %v", [all])
}

touches(changes, prefixes) if {
	startswith(changes[_].type, prefixes[_])
}
"#;

/// In those of Spacelift's library: the older Rego, the text in the head, sets as tables, sums over comprehensions, a function of
/// two branches, a list whose name begins with `deny`, and the mark that has its input kept.
const AS_FOR_SPACELIFT: &str = r#"package spacelift

import future.keywords.in

deny_list := ["large"]

proposed := input.spacelift.run.type == "PROPOSED"

deny[sprintf(text, [change.address])] {
	text := "do not delete %s"
	change := input.terraform.resource_changes[_]
	kept := {"terraform_data", "aws_db_instance"}
	kept[change.type]
	"delete" in change.change.actions
}

deny["too large"] {
	input.terraform.resource_changes[_].change.after.input == deny_list[_]
}

deny[text] {
	proposed
	text := too_much[_]
}

warn[text] {
	not proposed
	text := too_much[_]
}

too_much[sprintf("the changes weigh %d", [weight])] {
	weight := sum([one |
		change := input.terraform.resource_changes[_]
		one := weight_of(change)
	])
	weight > 10
}

weight_of(change) := total {
	by_action := {"delete": 10, "update": 5, "create": 1, "no-op": 0}
	total := sum([value |
		action := change.change.actions[_]
		value := by_action[action] * factor(change.type)
	])
}

factors := {"terraform_data": 2}

factor(kind) := 1 {
	not factors[kind]
}

factor(kind) := factors[kind]

sample := true
"#;

/// Which of others' policies were run themselves is in README.md.
#[test]
fn policies_for_conftest_and_spacelift_run_as_they_are() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "one") + &data("b", "two")));
        world.put("conftest/base.rego", AS_FOR_CONFTEST);
        world.put("spacelift/plan.rego", AS_FOR_SPACELIFT);
        // A plan of Terraform's own, as other tools are given it.
        world.write(&[("main.tf", &data("a", "one"))]);
        world
            .terraform(&["plan", "-out=saved.plan", "-input=false", "-no-color"])
            .exits(0);
        let shown = world.terraform(&["show", "-json", "saved.plan"]);
        world.put("plan.json", &shown.exits(0).stdout);
        world.git(&["checkout", "--quiet", "--", "main.tf"]);
        for (bundle, expected) in [
            (
                "conftest",
                &["the plan touches what begins with: aws_iam, terraform_da"][..],
            ),
            ("spacelift", &["do not delete terraform_data.b", "the changes weigh 20"]),
        ] {
            for asked in [&["--plan", "plan.json"][..], &[&first.commit]] {
                let command = [&["policy", "check", "--bundle", bundle, "--json"], asked].concat();
                let said = world.tool(&command).exits(3).json();
                let findings = said["results"][0]["evaluation"]["findings"].as_array().unwrap();
                let mut texts: Vec<&str> = findings
                    .iter()
                    .map(|finding| finding["message"].as_str().unwrap())
                    .collect();
                texts.sort_unstable();
                assert_eq!(texts, expected, "{bundle} {asked:?}: {said}");
            }
        }
    });
}
