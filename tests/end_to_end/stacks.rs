//! Several stacks in one repository.

use rollback_tests::{Objects, StateBucket, StateFile, StateLocks, World, data, moved, scenario};

const SETTINGS: &str = r#"
[[stack]]
name = "network"
dir  = "network"

[[stack]]
name       = "app"
dir        = "deploy/app"
depends_on = ["network"]

[[stack]]
name       = "edge"
dir        = "edge"
depends_on = ["app", "network"]
"#;

const STACKS: [(&str, &str); 3] = [("network", "network"), ("app", "deploy/app"), ("edge", "edge")];

fn objects(world: &World, dir: &str) -> Objects {
    StateFile::parse(std::fs::read(world.repo.join(dir).join("terraform.tfstate")).unwrap()).objects()
}

/// Deploys the three stacks, each with its own text, and gives the commit with all objects.
fn deploy(world: &mut World, text: impl Fn(&str) -> String) -> (String, Vec<Objects>) {
    let files: Vec<(String, String)> = STACKS
        .iter()
        .map(|(name, dir)| (format!("{dir}/main.tf"), text(name)))
        .collect();
    let mut files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    files.push(("infra-rollback.toml", SETTINGS));
    world.write(&files);
    let commit = world.commit("all stacks");
    let mut all = Vec::new();
    for (_, dir) in STACKS {
        world.stack = (*dir).to_owned();
        world.init();
        world.apply(&[]);
        all.push(objects(world, dir));
    }
    world.snapshot();
    (commit, all)
}

fn renamed(name: &str) -> String {
    data(&format!("{name}_new"), "two")
        + &moved(&format!("terraform_data.{name}"), &format!("terraform_data.{name}_new"))
}

/// In which order a run finished its stacks.
fn order(world: &World, run: &str) -> Vec<String> {
    world
        .journal(run)
        .iter()
        .filter(|entry| entry["event"] == "stack-done")
        .map(|entry| entry["stack"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn all_clean(world: &mut World, commit: &str) {
    for (_, dir) in STACKS {
        world.stack = (*dir).to_owned();
        world.is_clean_at(commit, &[]);
    }
}

#[test]
fn dependents_go_back_before_what_they_depend_on() {
    scenario(|mut world| {
        let (first, before) = deploy(&mut world, |name| data(name, "one"));
        let (_, after) = deploy(&mut world, renamed);
        let plan = world.tool(&["plan", &first, "--json"]);
        let stacks: Vec<String> = plan.exits(0).json()["stacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stack| stack["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(stacks, ["edge", "app", "network"]);
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(order(&world, &world.last_run()), ["edge", "app", "network"]);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
        all_clean(&mut world, &first);
        world.is_tidy();
        world.tool(&["undo", "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), after[index], "{dir}");
        }
    });
}

#[test]
fn only_the_stack_that_is_named() {
    scenario(|mut world| {
        let (first, before) = deploy(&mut world, |name| data(name, "one"));
        let (_, after) = deploy(&mut world, renamed);
        world.tool(&["--stack", "app", "to", &first, "--auto-approve"]).exits(0);
        assert_eq!(objects(&world, "deploy/app"), before[1]);
        assert_eq!(objects(&world, "network"), after[0]);
        assert_eq!(objects(&world, "edge"), after[2]);
        world
            .tool(&["to", &first, "--auto-approve", "--stack", "nonsense"])
            .exits(2)
            .says("network");
        // The rest follows.
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
        world.is_tidy();
    });
}

#[test]
fn undoing_a_run_over_one_stack_leaves_the_others() {
    scenario(|mut world| {
        let (first, _) = deploy(&mut world, |name| data(name, "one"));
        let (_, after) = deploy(&mut world, renamed);
        world.tool(&["--stack", "app", "to", &first, "--auto-approve"]).exits(0);
        world.tool(&["undo", "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), after[index], "{dir}");
        }
        world.is_tidy();
    });
}

#[test]
fn a_stack_that_did_not_exist_then_is_left_alone() {
    scenario(|mut world| {
        world.stack = "network".to_owned();
        let settings = "[[stack]]\nname = \"network\"\ndir = \"network\"\n";
        let first = world.release(&[
            ("infra-rollback.toml", settings),
            ("network/main.tf", &data("network", "one")),
        ]);
        let (_, after) = deploy(&mut world, renamed_or_new);
        let back = world.tool(&["to", &first.commit, "--auto-approve"]);
        back.exits(0).says("app");
        assert_eq!(objects(&world, "network"), first.objects);
        assert_eq!(objects(&world, "deploy/app"), after[1]);
        assert_eq!(objects(&world, "edge"), after[2]);
    });
}

fn renamed_or_new(name: &str) -> String {
    if name == "network" {
        renamed(name)
    } else {
        data(name, "new")
    }
}

#[test]
fn one_stack_stops_halfway_and_the_rest_follows_on_resume() {
    scenario(|mut world| {
        let guarded = "resource \"terraform_data\" \"guarded\" {\n  provisioner \"local-exec\" {\n    \
                       command = \"test -e $OUT/fine\"\n  }\n}\n";
        world.put_out("fine");
        let (first, before) = deploy(&mut world, |name| match name {
            "app" => data(name, "one") + guarded,
            _ => data(name, "one"),
        });
        deploy(&mut world, renamed);
        world.remove_out("fine");
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(4)
            .says("app")
            .says("resume");
        let run = world.last_run();
        assert_eq!(order(&world, &run), ["edge"]);
        world.put_out("fine");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        assert_eq!(order(&world, &run), ["edge", "app", "network"]);
        assert_eq!(objects(&world, "network"), before[0]);
        assert_eq!(
            objects(&world, "deploy/app")["terraform_data.app"],
            before[1]["terraform_data.app"]
        );
        assert_eq!(objects(&world, "edge"), before[2]);
        all_clean(&mut world, &first);
        world.is_tidy();
    });
}

/// The same address is protected in all stacks: a consent that names some of them is none for the others.
#[test]
fn a_consent_names_its_stack() {
    scenario(|mut world| {
        let (first, _) = deploy(&mut world, renamed);
        let protected = |name: &str| {
            renamed(name)
                + "resource \"terraform_data\" \"ledger\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n"
        };
        deploy(&mut world, protected);
        let accept = |stack: &str| format!("--accept-data-loss={stack}:terraform_data.ledger");
        let to = |consents: &[String]| {
            let mut arguments = vec!["to", first.as_str(), "--auto-approve"];
            arguments.extend(consents.iter().map(String::as_str));
            world.tool(&arguments)
        };
        to(&[accept("app"), accept("edge")])
            .exits(3)
            .says("terraform_data.ledger");
        to(&[accept("app"), accept("edge"), accept("network")]).exits(0);
    });
}

#[test]
fn settings_that_go_round_in_a_circle_or_have_a_typo() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        world.put(
            "infra-rollback.toml",
            "[[stack]]\nname = \"a\"\ndir = \".\"\ndepends_on = [\"b\"]\n[[stack]]\nname = \"b\"\ndir = \"b\"\ndepends_on = [\"a\"]\n",
        );
        world.tool(&["plan", "HEAD"]).fails().says("a").says("b");
        world.put(
            "infra-rollback.toml",
            "[[stack]]\nname = \"a\"\ndir = \".\"\ndepend_on = []\n",
        );
        world
            .tool(&["plan", "HEAD"])
            .fails()
            .says("depend_on")
            .says("depends_on")
            .says("4");
        world.put(
            "infra-rollback.toml",
            "[[stack]]\nname = \"a\"\ndir = \".\"\ndepends_on = [\"nowhere\"]\n",
        );
        world.tool(&["plan", "HEAD"]).fails().says("nowhere");
        world.put("infra-rollback.toml", "[[stack\n");
        world.tool(&["plan", "HEAD"]).fails().says("infra-rollback.toml");
    });
}

/// `terraform state mv -state-out` from one stack to another.
#[test]
fn an_object_that_went_to_another_stack_comes_back_from_it() {
    scenario(|mut world| {
        let texts = |name: &str, has_it: &str| {
            let own = data(name, "one");
            if name == has_it {
                own + &data("wanderer", "same")
            } else {
                own
            }
        };
        let (first, before) = deploy(&mut world, |name| texts(name, "app"));
        let app = world.repo.join("deploy/app/terraform.tfstate");
        let network = world.repo.join("network/terraform.tfstate");
        world.stack = "deploy/app".to_owned();
        let (from, to) = (
            format!("-state={}", app.display()),
            format!("-state-out={}", network.display()),
        );
        let address = "terraform_data.wanderer";
        world.terraform(&["state", "mv", &from, &to, address, address]).exits(0);
        let (_, after) = deploy(&mut world, |name| texts(name, "network"));
        let id = |objects: &Objects| objects.get(address).cloned();
        assert_eq!(id(&before[1]), id(&after[0]), "it is the same object");
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(0)
            .says("Stack network has it now")
            .says("It came from stack app since");
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
        world.tool(&["undo", "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), after[index], "{dir}");
        }
    });
}

#[test]
fn a_stack_that_the_settings_have_no_more_is_not_passed_over() {
    scenario(|mut world| {
        let (first, _) = deploy(&mut world, |name| data(name, "one"));
        let fewer = SETTINGS[..SETTINGS.rfind("[[stack]]").unwrap()].to_owned();
        world.put("infra-rollback.toml", &fewer);
        world.commit("no edge any more");
        world.snapshot();
        world
            .tool(&["to", &first, "--auto-approve"])
            .exits(3)
            .says("the release has a stack edge, in edge")
            .says("--accept-change 'stack.edge'");
        world
            .tool(&["to", &first, "--auto-approve", "--accept-change", "stack.edge"])
            .exits(0);
        world.tool(&["--stack", "app", "to", &first, "--auto-approve"]).exits(0);
    });
}

/// Two stacks, one of which reads an output of the other.
fn reading_and_read(name: &str, output: &str, value: &str, remote_state: &str) -> String {
    match name {
        "network" => data("network", value) + &format!("output \"{output}\" {{\n  value = \"{value}\"\n}}\n"),
        "app" => format!(
            "{remote_state}resource \"terraform_data\" \"app\" {{\n  input = \
             data.terraform_remote_state.network.outputs.{output}\n}}\n"
        ),
        _ => data(name, "one"),
    }
}

/// Stacks go back before those that they read: what the target reads is not there yet when it is planned.
#[test]
fn an_output_that_was_renamed_since_is_read_as_it_will_be_again() {
    scenario(|mut world| {
        let text = |output: &'static str, value: &'static str| {
            move |name: &str| reading_and_read(name, output, value, REMOTE_STATE)
        };
        let (first, before) = deploy(&mut world, text("subnet", "10.0.1.0"));
        let (_, after) = deploy(&mut world, text("subnet_id", "10.0.2.0"));
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
        let app = StateFile::parse(std::fs::read(world.repo.join("deploy/app/terraform.tfstate")).unwrap());
        assert_eq!(app.attributes("terraform_data.app")["input"]["value"], "10.0.1.0");
        world.git(&["checkout", "--quiet", &first]);
        for (_, dir) in STACKS {
            world.stack = (*dir).to_owned();
            world.terraform(&["plan", "-detailed-exitcode"]).exits(0);
        }
        world.git(&["checkout", "--quiet", "-"]);
        world.is_tidy();
        world.tool(&["undo", "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), after[index], "{dir}");
        }
        // Alone it reads what will stay as it is.
        world
            .tool(&["to", &first, "--stack", "app", "--auto-approve"])
            .exits(1)
            .says("bring that back first");
    });
}

/// The same with states in S3: the copy with the lost output is read in the place of the bucket's.
#[test]
fn a_renamed_output_of_a_state_in_s3_is_read_as_it_will_be_again() {
    scenario(|mut world| {
        let Some(bucket) = StateBucket::make() else { return };
        bucket.hold_state_of(&mut world);
        world.bucket = None;
        let block = bucket.backend(StateLocks::File);
        let of = |name: &str| block.replace("stacks/app.tfstate", &format!("{name}.tfstate"));
        let settings = of("network");
        let settings: Vec<&str> = settings
            .lines()
            .skip(2)
            .filter(|line| line.contains(" = ") && !line.contains("use_lockfile"))
            .collect();
        let remote_state = format!(
            "data \"terraform_remote_state\" \"network\" {{\n  backend = \"s3\"\n  config = {{\n{}\n  }}\n}}\n",
            settings.join("\n")
        );
        let mut deploy = |output: &str, value: &str| {
            let files = ["network", "app"].map(|name| {
                let text = of(name) + &reading_and_read(name, output, value, &remote_state);
                (format!("{name}/main.tf"), text)
            });
            let settings = "[[stack]]\nname = \"network\"\ndir = \"network\"\n\n[[stack]]\nname = \"app\"\ndir = \
                            \"app\"\ndepends_on = [\"network\"]\n";
            world.write(&[
                ("infra-rollback.toml", settings),
                (&files[0].0, &files[0].1),
                (&files[1].0, &files[1].1),
            ]);
            let commit = world.commit("both");
            for name in ["network", "app"] {
                world.stack = name.to_owned();
                world.init();
                world.apply(&[]);
            }
            world.snapshot();
            commit
        };
        let app = || StateFile::parse(bucket.get("app.tfstate").expect("it is there"));
        let first = deploy("subnet", "10.0.1.0");
        let before = app().objects();
        deploy("subnet_id", "10.0.2.0");
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(app().objects(), before);
        assert_eq!(app().attributes("terraform_data.app")["input"]["value"], "10.0.1.0");
        world
            .tool(&["plan", &first, "--detailed-exitcode"])
            .exits(0)
            .never_says("will be");
        world.is_tidy();
    });
}

const REMOTE_STATE: &str = "data \"terraform_remote_state\" \"network\" {\n  backend = \"local\"\n  config = {\n    path = \
                            \"../../network/terraform.tfstate\"\n  }\n}\n";

/// A deploy that broke off between two stacks: the one that was not reached has what it has to have, as soon as the other
/// one is back.
#[test]
fn a_deploy_that_stopped_between_two_stacks() {
    scenario(|mut world| {
        let text = |value: &'static str| move |name: &str| reading_and_read(name, "subnet", value, REMOTE_STATE);
        let (first, before) = deploy(&mut world, text("10.0.1.0"));
        world.put("network/main.tf", &text("10.0.2.0")("network"));
        world.commit("only the network was applied");
        world.stack = "network".to_owned();
        world.apply(&[]);
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
        let app = StateFile::parse(std::fs::read(world.repo.join("deploy/app/terraform.tfstate")).unwrap());
        assert_eq!(app.attributes("terraform_data.app")["input"]["value"], "10.0.1.0");
        assert_eq!(order(&world, &world.last_run()).len(), 3, "none twice");
    });
}

/// One stack first, then all: what the first run left of it was never deployed together with the others.
#[test]
fn one_stack_alone_and_then_all() {
    scenario(|mut world| {
        let text = |value: &'static str| move |name: &str| reading_and_read(name, "subnet", value, REMOTE_STATE);
        let (first, before) = deploy(&mut world, text("10.0.1.0"));
        deploy(&mut world, text("10.0.2.0"));
        world.tool(&["to", &first, "--stack", "app", "--auto-approve"]).exits(0);
        let app = |world: &World| {
            let state = StateFile::parse(std::fs::read(world.repo.join("deploy/app/terraform.tfstate")).unwrap());
            state.attributes("terraform_data.app")["input"]["value"].clone()
        };
        assert_eq!(app(&world), "10.0.2.0", "it reads what is there");
        let all = world.tool(&["to", &first, "--auto-approve"]);
        all.exits(0).never_says("NOT at rest");
        assert_eq!(app(&world), "10.0.1.0");
        for (index, (_, dir)) in STACKS.iter().enumerate() {
            assert_eq!(objects(&world, dir), before[index], "{dir}");
        }
    });
}

/// An address is meant wherever it is; a stack and an address in that stack alone, and an undo of it, too.
#[test]
fn an_object_is_named_among_several_stacks() {
    scenario(|mut world| {
        let (first, then) = deploy(&mut world, |name| data(name, "one") + &data("same", "one"));
        let (_, now) = deploy(&mut world, |name| data(name, "two") + &data("same", "two"));
        assert_eq!(then, now, "all were updated in place");
        let input = |world: &World, dir: &str, address: &str| {
            let state = std::fs::read(world.repo.join(dir).join("terraform.tfstate")).unwrap();
            StateFile::parse(state).attributes(address)["input"]["value"].clone()
        };
        let to = |target: &str| world.tool(&["to", &first, "--target", target, "--auto-approve"]);
        to("terraform_data.nowhere").exits(2).says("there is no such object");
        to("edge:terraform_data.app").exits(2).says("there is no such object");
        // In one stack only.
        to("terraform_data.app").exits(0);
        assert_eq!(input(&world, "deploy/app", "terraform_data.app"), "one");
        assert_eq!(input(&world, "deploy/app", "terraform_data.same"), "two");
        // In all of them, and meant in one.
        to("edge:terraform_data.same").exits(0);
        let same = |world: &World| STACKS.map(|(_, dir)| input(world, dir, "terraform_data.same"));
        assert_eq!(same(&world), ["two", "two", "one"]);
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(same(&world), ["two", "two", "two"]);
        to("terraform_data.same").exits(0);
        assert_eq!(same(&world), ["one", "one", "one"]);
    });
}
