//! What is rolled back beside Terraform, in one run with it: steps in the settings, in releases, in plans and journals.

use std::fs;

use rollback_tests::{Release, World, data, scale, scenario};
use serde_json::Value;

use crate::crash::crash;

/// A migration tool that keeps its list in a file outside of the repository, and a thing that has a value.
const SETTINGS: &str = r#"
[[stack]]
name = "app"

[[step]]
name = "traffic"
kind = "command"
look = "cat $OUT/traffic"
go = "echo \"$TARGET\" > $OUT/traffic; echo \"traffic $TARGET\" >> $OUT/order; echo \"to $TARGET\""
environment = ["OUT"]

[[step]]
name = "migrations"
kind = "migration"
show = "cat $OUT/list"
revert = "test ! -e $OUT/forbidden || exit 1; n=$(($(wc -l < $OUT/list) - 1)); head -n $n $OUT/list > $OUT/new; mv $OUT/new $OUT/list; echo revert >> $OUT/order"
apply = "printf 'a\nb\nc\n' > $OUT/list; echo apply >> $OUT/order"
environment = ["OUT"]
"#;

struct Story {
    world: World,
    first: Release,
    second: Release,
}

fn be(world: &World, traffic: &str, migrations: &str) {
    fs::write(world.out.join("traffic"), format!("{traffic}\n")).unwrap();
    fs::write(world.out.join("list"), migrations).unwrap();
}

fn is(world: &World, traffic: &str, migrations: &str) {
    assert_eq!(fs::read_to_string(world.out.join("traffic")).unwrap().trim(), traffic);
    assert_eq!(fs::read_to_string(world.out.join("list")).unwrap(), migrations);
}

fn order(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.out.join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn release(world: &World, value: &str) -> Release {
    let files = [("infra-rollback.toml", SETTINGS), ("main.tf", &data("letter", value))];
    world.release(&files)
}

fn story(mut world: World) -> Story {
    let out = world.out.to_string_lossy().into_owned();
    world.set("OUT", &out);
    be(&world, "blue", "a\n");
    let first = release(&world, "one");
    be(&world, "green", "a\nb\nc\n");
    let second = release(&world, "two");
    Story { world, first, second }
}

const YES: &[&str] = &["--auto-approve", "--accept-data-loss", "migrations"];

fn to<'a>(commit: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["to", commit];
    words.extend(more);
    words
}

#[test]
fn one_run_brings_everything_back_and_undo_goes_forward_again() {
    scenario(|world| {
        let Story { world, first, second } = story(world);
        let ran = world.tool(&to(&first.commit, YES));
        ran.exits(0).says("migration c").says("traffic");
        world.is_at(&first);
        is(&world, "blue", "a\n");
        assert_eq!(
            order(&world),
            ["traffic blue", "revert", "revert"],
            "traffic before the database"
        );
        let shown = world
            .tool(&["runs", "show", &world.last_run(), "--json"])
            .exits(0)
            .json();
        let events: Vec<&str> = shown["journal"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["event"].as_str())
            .collect();
        let place = |event: &str| events.iter().position(|found| *found == event).unwrap();
        assert!(place("backup-taken") < place("step-intended"), "{events:?}");
        assert!(
            place("step-done") < place("stack-done"),
            "what users feel comes before Terraform: {events:?}"
        );

        fs::remove_file(world.out.join("order")).unwrap();
        world.tool(&["undo", "--auto-approve"]).exits(0);
        world.is_at(&second);
        is(&world, "green", "a\nb\nc\n");
        assert_eq!(
            order(&world),
            ["apply", "traffic green"],
            "forward it goes the other way round"
        );
    });
}

#[test]
fn reverting_migrations_needs_a_yes_of_its_own() {
    scenario(|world| {
        let Story { world, first, second } = story(world);
        world
            .tool(&to(&first.commit, &["--auto-approve"]))
            .exits(3)
            .says("--accept-data-loss 'migrations'");
        world.is_at(&second);
        is(&world, "green", "a\nb\nc\n");
        world
            .tool(&to(&first.commit, &["--auto-approve", "--skip-step", "migrations"]))
            .exits(0);
        world.is_at(&first);
        is(&world, "blue", "a\nb\nc\n");
    });
}

#[test]
fn the_plan_tells_it_to_people_and_machines() {
    scenario(|world| {
        let Story { world, first, .. } = story(world);
        let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
        let step = |name: &str| {
            let steps = plan["steps"].as_array().unwrap();
            steps.iter().find(|step| step["name"] == name).unwrap().clone()
        };
        assert_eq!(step("traffic")["plan"]["changes"][0]["to"], "blue");
        assert_eq!(step("migrations")["plan"]["reversibility"], "data-loss");
        world
            .tool(&["plan", &first.commit])
            .exits(0)
            .says("value: green -> blue");
        is(&world, "green", "a\nb\nc\n");
        assert!(order(&world).is_empty(), "a plan does nothing");
        assert_eq!(step("traffic")["expected"], Value::Null);
        world
            .tool(&["plan", &first.commit])
            .exits(0)
            .never_says("takes about")
            .never_says("not yet known");
        world
            .tool(&["--stack", "app", "plan", &first.commit])
            .exits(0)
            .never_says("traffic");
        world
            .tool(&to(&first.commit, &["--skip-step", "trafic"]))
            .exits(2)
            .says("traffic, migrations");
    });
}

#[test]
fn the_plan_says_how_long_it_took_before() {
    scenario(|world| {
        let Story { world, first, .. } = story(world);
        world.tool(&to(&first.commit, YES)).exits(0);
        world.tool(&["undo", "--auto-approve"]).exits(0);
        let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
        let step = plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .find(|step| step["name"] == "traffic");
        let expected = &step.unwrap()["expected"];
        assert_eq!(
            (&expected["times"], &expected["of_its_kind"]),
            (&Value::from(2), &Value::from(false)),
            "{plan}"
        );
        assert!(
            expected["seconds"].as_f64().is_some_and(|seconds| seconds < 60.0),
            "{expected}"
        );
        let stack = &plan["stacks"][0]["expected"];
        assert!(
            stack["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0),
            "{stack}"
        );
        world
            .tool(&["plan", &first.commit])
            .exits(0)
            .says("takes about")
            .says("the median of 2 times");
    });
}

#[test]
fn what_a_release_did_not_see_is_left_as_it_is() {
    scenario(|mut world| {
        let out = world.out.to_string_lossy().into_owned();
        world.set("OUT", &out);
        let first = world.release_of(&data("letter", "one"));
        // Nothing is there that could be seen: the snapshot is made all the same, and says so.
        world.write(&[("infra-rollback.toml", SETTINGS), ("main.tf", &data("letter", "two"))]);
        world.commit("two");
        world.apply(&[]);
        world.tool(&["snapshot"]).exits(0).says("traffic");
        world.tool(&to(&first.commit, YES)).exits(1).says("--skip-step traffic");
        be(&world, "green", "a\n");
        world.tool(&to(&first.commit, YES)).exits(0).says("is left as it is");
        world.is_at(&first);
        is(&world, "green", "a\n");
    });
}

#[test]
fn a_step_that_fails_stops_the_run_and_resume_goes_on() {
    scenario(|world| {
        let Story { world, first, .. } = story(world);
        world.put_out("forbidden");
        world
            .tool(&to(&first.commit, YES))
            .exits(4)
            .says("step migrations")
            .says("resume");
        is(&world, "blue", "a\nb\nc\n");
        world.tool(&to(&first.commit, YES)).exits(5).says("stopped halfway");
        world.remove_out("forbidden");
        world
            .tool(&["resume", "--auto-approve"])
            .exits(0)
            .says("before it was resumed");
        world.is_at(&first);
        is(&world, "blue", "a\n");
        assert_eq!(
            order(&world),
            ["traffic blue", "revert", "revert"],
            "nothing is done twice"
        );
    });
}

#[test]
fn killed_at_any_entry_of_the_journal_it_ends_at_the_target() {
    scenario(|world| {
        let Story { world, first, .. } = story(world);
        let whole = world.copy();
        let mut whole = whole;
        let out = whole.out.to_string_lossy().into_owned();
        whole.set("OUT", &out);
        whole.tool(&to(&first.commit, YES)).exits(0);
        let journal = whole.journal(&whole.last_run());
        let about_steps = |entry: &Value| entry["event"].as_str().unwrap().starts_with("step-");
        let last = journal.iter().rposition(about_steps).unwrap();
        let points = (1..=last + 2).flat_map(|sequence| ["before", "after"].map(|when| format!("{when}:{sequence}")));
        // In the short form every second one; over several runs of it all are seen.
        let step = if scale() > 1 { 1 } else { 2 };
        for point in points.step_by(step) {
            let mut world = world.copy();
            let out = world.out.to_string_lossy().into_owned();
            world.set("OUT", &out);
            crash(&world, &to(&first.commit, YES), &point);
            let mut resume = vec!["resume"];
            resume.extend(YES);
            let resumed = world.tool(&resume);
            if resumed.code != 0 {
                world.tool(&to(&first.commit, YES)).exits(0);
            }
            world.is_at(&first);
            is(&world, "blue", "a\n");
            let reverts = order(&world).iter().filter(|line| *line == "revert").count();
            assert_eq!(reverts, 2, "{point}: nothing is reverted twice: {:?}", order(&world));
        }
    });
}

#[test]
fn a_step_can_be_left_out_of_what_goes_on_and_of_what_goes_back() {
    scenario(|world| {
        let Story { world, first, second } = story(world);
        world.put_out("forbidden");
        world.tool(&to(&first.commit, YES)).exits(4);
        world
            .tool(&["resume", "--auto-approve", "--skip-step", "migration"])
            .exits(2);
        world
            .tool(&["resume", "--auto-approve", "--skip-step", "migrations"])
            .exits(0);
        world.is_at(&first);
        is(&world, "blue", "a\nb\nc\n");
        world
            .tool(&["undo", "--auto-approve", "--skip-step", "traffic"])
            .exits(0);
        world.is_at(&second);
        is(&world, "blue", "a\nb\nc\n");
        let release = world.tool(&["show", &second.commit, "--json"]).exits(0).json();
        let steps = release["steps"].as_array().unwrap_or_else(|| panic!("{release}"));
        assert!(
            steps
                .iter()
                .any(|step| step["name"] == "migrations" && step["seen"] == true),
            "{steps:?}"
        );
    });
}

#[test]
fn only_the_named_step_goes_back() {
    scenario(|world| {
        let Story { world, first, second } = story(world);
        world
            .tool(&to(&first.commit, &["--step", "traffik"]))
            .exits(2)
            .says("traffic");
        let planned = world.tool(&["plan", &first.commit, "--step", "traffic", "--json"]);
        let plan = planned.exits(0).json();
        assert_eq!(
            (
                plan["stacks"].as_array().unwrap().len(),
                plan["steps"].as_array().unwrap().len()
            ),
            (0, 1)
        );
        assert_eq!(plan["policy"][0]["stack"], Value::Null, "{plan}");
        world
            .tool(&to(&first.commit, &["--step", "traffic", "--auto-approve"]))
            .exits(0)
            .says("traffic");
        is(&world, "blue", "a\nb\nc\n");
        world.is_at(&second);
        // Nothing of it is taken for a deploy of the target.
        world.tool(&["undo", "--auto-approve"]).exits(0);
        is(&world, "green", "a\nb\nc\n");
        world.is_at(&second);
        world.is_tidy();
    });
}

/// Four eyes, freeze windows and the price of a step are judged where only steps go, too.
#[test]
fn the_policy_judges_the_steps() {
    scenario(|world| {
        let Story { world, first, .. } = story(world);
        let frozen = format!(
            "{SETTINGS}\n[policy]\n[[policy.freeze]]\nname = \"always\"\nfrom = \"2020-01-01\"\nuntil = \"2099-12-31\"\n"
        );
        world.put("infra-rollback.toml", &frozen);
        world
            .tool(&to(&first.commit, &["--step", "traffic", "--auto-approve"]))
            .exits(3)
            .says("rollback.freeze_window.deny");
        is(&world, "green", "a\nb\nc\n");
        let rule = [
            "--override-policy",
            "rollback.freeze_window.deny",
            "--reason",
            "it burns",
        ];
        let mut words = to(&first.commit, &["--step", "traffic", "--auto-approve"]);
        words.extend(rule);
        world.tool(&words).exits(0);
        is(&world, "blue", "a\nb\nc\n");
        let own = "package own\n\nimport rego.v1\n\ndeny contains msg if {\n  some step in input.rollback.steps\n  step.kind == \"migration\"\n  msg := sprintf(\"no %s today\", [step.name])\n}\n";
        world.write(&[("rules/own.rego", own)]);
        world.put(
            "infra-rollback.toml",
            &format!("{SETTINGS}\n[policy]\nbundle = \"rules\"\n"),
        );
        world
            .tool(&to(
                &first.commit,
                &[
                    "--step",
                    "migrations",
                    "--auto-approve",
                    "--accept-data-loss",
                    "migrations",
                ],
            ))
            .exits(3)
            .says("no migrations today");
        world
            .tool(&["policy", "input", &first.commit, "--json"])
            .exits(0)
            .says("\"kind\": \"migration\"");
    });
}
