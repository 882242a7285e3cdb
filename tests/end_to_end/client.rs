//! `--server URL`: the commands asked of a running service print what they print without it.

use rollback_tests::{Ran, Service, StateServer, World, data, kill, moved, scenario, wait_until};
use serde_json::{Value, json};

use crate::locks::waiting_on_the_way_back;

/// The tool, asked through a service with a token.
pub fn through(world: &mut World, service: &Service, token: &str, arguments: &[&str]) -> Ran {
    world.set("INFRA_ROLLBACK_TOKEN", token);
    let url = service.url();
    let mut all = vec!["--server", url.as_str()];
    all.extend(arguments);
    world.tool(&all)
}

/// The document without what differs from call to call.
fn steady(mut document: Value) -> Value {
    if let Some(locks) = document.get_mut("locks").and_then(Value::as_array_mut) {
        for lock in locks {
            lock["seconds_since_last_beat"] = Value::Null;
        }
    }
    // What of the runbook is still to be done depends on settings that only the service's side has.
    if let Some(document) = document.as_object_mut() {
        document.remove("checklist");
    }
    if document.get("time").is_some() {
        document["time"] = Value::Null;
    }
    document
}

#[test]
fn reading_through_a_service_shows_what_reading_the_store_shows() {
    scenario(|mut world| {
        world.release(&[("main.tf", &(data("a", "one") + &data("b", "one")))]);
        world.release(&[("main.tf", &data("a", "two"))]);
        let (viewer, auditor) = (world.token("ann", "viewer", &[]), world.token("audit", "auditor", &[]));
        let service = Service::start(&world, &[]);
        let releases = world.tool(&["releases", "--json"]).exits(0).json();
        let newest = releases["releases"][0]["id"].as_str().unwrap().to_owned();
        let oldest = releases["releases"][1]["id"].as_str().unwrap().to_owned();
        let sha256 = releases["releases"][1]["stacks"][0]["state"]["sha256"]
            .as_str()
            .unwrap()
            .to_owned();
        world.tool(&["to", &oldest, "--auto-approve"]).exits(0);
        world
            .tool(&["releases", "pin", &oldest, "--reason", "it works"])
            .exits(0);
        let run = world.last_run();
        for command in [
            &["releases"][..],
            &["releases", "--all"],
            &["show", &oldest],
            &["runs"],
            &["runs", "show", &run],
            &["locks"],
            &["state", "versions"],
            &["state", "at", "now"],
        ] {
            let json = [command, &["--json"]].concat();
            let (here, there) = (world.tool(&json), through(&mut world, &service, &viewer, &json));
            assert_eq!(
                steady(here.exits(0).json()),
                steady(there.exits(0).json()),
                "{command:?}"
            );
            if command.starts_with(&["runs", "show"]) {
                continue;
            }
            let (here, there) = (world.tool(command), through(&mut world, &service, &viewer, command));
            assert_eq!(here.exits(0).stdout, there.exits(0).stdout, "{command:?}");
        }
        let there = through(&mut world, &service, &viewer, &["diff", &oldest, &newest]);
        there.exits(0).says("- terraform_data.b").says("main.tf differs");

        // Raw states and the log take more than a viewer.
        let pull = ["state", "pull", &sha256];
        let here = world.tool(&pull);
        let there = through(&mut world, &service, &auditor, &pull);
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        through(&mut world, &service, &viewer, &pull).exits(3).says("viewer");
        through(&mut world, &service, &viewer, &["audit", "log"]).exits(3);
        let log = through(
            &mut world,
            &service,
            &auditor,
            &["audit", "log", "--action", "state.read", "--json"],
        );
        assert_eq!(log.exits(0).json()["entries"].as_array().unwrap().len(), 3);
        through(&mut world, &service, &auditor, &["audit", "verify"])
            .exits(0)
            .says("one unbroken chain");
        let exported = through(&mut world, &service, &auditor, &["audit", "export"])
            .exits(0)
            .stdout
            .clone();
        assert!(exported.lines().count() > 3, "{exported}");
    });
}

#[test]
fn what_does_not_work_says_why_and_ends_as_it_should() {
    scenario(|mut world| {
        world.release(&[("main.tf", &data("a", "one"))]);
        let viewer = world.token("ann", "viewer", &[]);
        let service = Service::start(&world, &[]);
        for command in [
            &["init"][..],
            &["doctor"],
            &["serve"],
            &["store", "gc"],
            &["tokens", "list"],
        ] {
            through(&mut world, &service, &viewer, command)
                .exits(2)
                .says("--server");
        }
        through(&mut world, &service, "", &["releases"])
            .exits(2)
            .says("INFRA_ROLLBACK_TOKEN");
        through(&mut world, &service, "hunter2-is-no-token", &["releases"])
            .exits(1)
            .says("no valid token")
            .never_says("hunter2");
        through(&mut world, &service, &viewer, &["show", "nothing"])
            .exits(1)
            .says("no such release");
        through(&mut world, &service, &viewer, &["runs", "show", "nothing"]).exits(1);
        let error = through(&mut world, &service, &viewer, &["show", "nothing", "--json"])
            .exits(1)
            .json();
        assert_eq!(error["error"]["exit_code"], 1);
        world
            .tool(&["--server", "http://127.0.0.1:1", "releases"])
            .exits(1)
            .says("cannot be asked");
        world.tool(&["--server", "ftp://x", "releases"]).exits(2);
        world
            .tool(&["--server", "http://127.0.0.1:1", "--store", "x", "releases"])
            .exits(2);
        // What needs no service asks none.
        std::fs::write(
            world.out.join("plan.json"),
            r#"{"format_version":"1.2","resource_changes":[]}"#,
        )
        .unwrap();
        let plan = world.out.join("plan.json");
        world
            .tool(&["--server", "http://127.0.0.1:1", "check", plan.to_str().unwrap()])
            .exits(0);
    });
}

#[test]
fn a_rollback_through_a_service_from_the_plan_to_the_undo() {
    scenario(|mut world| {
        let first = world.release(&[("main.tf", &(data("a", "one") + &data("b", "one")))]);
        let second = world.release(&[(
            "main.tf",
            &(data("c", "two") + &moved("terraform_data.a", "terraform_data.c")),
        )]);
        let operator = world.token("ci", "operator", &[]);
        let (approver, admin) = (world.token("ann", "approver", &[]), world.token("root", "admin", &[]));
        let service = Service::start(&world, &[]);

        let plan = ["plan", &first.commit];
        let (here, there) = (world.tool(&plan), through(&mut world, &service, &operator, &plan));
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        let json = ["plan", &first.commit, "--json", "--detailed-exitcode"];
        let (here, there) = (world.tool(&json), through(&mut world, &service, &operator, &json));
        assert_eq!(here.exits(2).json(), there.exits(2).json());
        let offline = ["plan", &first.commit, "--json", "--offline"];
        let (here, there) = (world.tool(&offline), through(&mut world, &service, &approver, &offline));
        assert_eq!(
            here.exits(0).json()["resource_changes"],
            there.exits(0).json()["resource_changes"]
        );

        // Nobody here may say yes: it waits, and says for whom.
        let to = ["to", &first.commit, "--reason", "it burns", "--auto-approve"];
        let asked = through(&mut world, &service, &operator, &to);
        asked
            .exits(6)
            .says("awaits approval")
            .says("approve ")
            .says("/approvals");
        assert_eq!(world.objects(), second.objects);
        let run = world.last_run();
        through(&mut world, &service, &operator, &["resume", &run, "--json"]).exits(6);
        through(&mut world, &service, &approver, &["approve", &run]).exits(6);
        let approved = through(
            &mut world,
            &service,
            &approver,
            &["approve", &run, "--auto-approve", "--comment", "go"],
        );
        approved.exits(0).says("1 of 1");
        let done = through(&mut world, &service, &operator, &["resume", &run, "--json"])
            .exits(0)
            .json();
        assert_eq!((&done["status"], &done["run"]), (&json!("completed"), &json!(run)));
        world.is_at_but(&first, &["terraform_data.b"]);
        through(&mut world, &service, &operator, &["resume", &run])
            .exits(1)
            .says("over");
        through(&mut world, &service, &operator, &["resume"])
            .exits(1)
            .says("no run to resume");

        // One who may say yes does all of it at once; the document is that of a run without a service.
        let undone = through(&mut world, &service, &admin, &["undo", "--auto-approve", "--json"])
            .exits(0)
            .json();
        world.is_at_but(&second, &[]);
        let here = world
            .tool(&["to", &first.commit, "--auto-approve", "--json"])
            .exits(0)
            .json();
        let keys = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&here), keys(&undone));
        assert_eq!(keys(&here["stacks"][0]), keys(&undone["stacks"][0]));
        through(&mut world, &service, &admin, &["undo", "--auto-approve"])
            .exits(0)
            .says("Done: back at");

        through(&mut world, &service, &operator, &to).exits(6);
        let run = world.last_run();
        through(&mut world, &service, &operator, &["abort", &run])
            .exits(0)
            .says("given up");
        through(&mut world, &service, &operator, &["abort", &run]).exits(1);
        through(&mut world, &service, &operator, &["to", "nothing"])
            .exits(1)
            .says("nothing");
        through(&mut world, &service, &operator, &["to", "$(touch pwned)"])
            .exits(1)
            .says("not a revision");
        through(&mut world, &service, &operator, &["to", &first.commit, "--dry-run"])
            .exits(0)
            .says("Dry run");
    });
}

#[test]
fn a_client_that_dies_finds_its_rollback_again() {
    scenario(|mut world| {
        let (first, _) = waiting_on_the_way_back(&world);
        let admin = world.token("admin", "admin", &[]);
        let service = Service::start(&world, &[]);
        world.set("INFRA_ROLLBACK_TOKEN", &admin);
        let url = service.url();
        let client = world.start(&["--server", &url, "to", &first.commit, "--auto-approve"]);
        wait_until("terraform to apply", || world.is_out("begun"));
        let run = world.last_run();
        kill(client.pid());
        drop(client);
        world.put_out("go");
        service.until(&format!("/v1/rollbacks/{run}"), &admin, |known| known["over"] == true);
        // It ended meanwhile, and whoever began it is told how.
        let told = through(&mut world, &service, &admin, &["resume", "--auto-approve"]);
        told.exits(0).says("Done: back at");
        world.is_at_but(&first, &["terraform_data.waiting"]);
        through(&mut world, &service, &admin, &["resume", "--auto-approve"]).exits(1);
    });
}

const SECRET: &str = "variable \"password\" {\n  type      = string\n  sensitive = true\n}\n\
                      resource \"terraform_data\" \"login\" {\n  input = var.password\n}\n";

/// Whether any file below a folder has this text.
fn holds(folder: &std::path::Path, text: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = holds(&path, text) {
                return Some(found);
            }
        } else if std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
            return Some(path);
        }
    }
    None
}

#[test]
fn a_client_brings_what_the_service_cannot_know() {
    scenario(|mut world| {
        let state = StateServer::start();
        world.server = Some(state.clone());
        let admin = world.token("admin", "admin", &["--project", "service"]);
        let bound = world.token("bound", "admin", &["--project", "service", "--stack", "other"]);
        let checkouts = world.path().join("checkouts");
        let service = Service::start(&world, &["--checkouts", checkouts.to_str().unwrap()]);
        // Assigned in a file that Git does not have.
        world.put(".git/info/exclude", "*.auto.tfvars\n");
        world.put("secret.auto.tfvars", "password = \"hunter2-brought\"\n");
        let text = |more: &str| state.backend() + SECRET + more;

        let first = world.release_without_snapshot(&[("main.tf", &text(&(data("a", "one") + &data("b", "one"))))], &[]);
        let taken = through(&mut world, &service, &admin, &["snapshot", "--release", "v1"]);
        taken.exits(0).says("Kept release v1").never_says("hunter2");
        // No snapshot is taken of this one: its configuration comes with the client.
        let moved = moved("terraform_data.a", "terraform_data.c");
        let second = world.release_without_snapshot(
            &[("main.tf", &text(&(data("c", "one") + &data("b", "two") + &moved)))],
            &[],
        );
        let third = world.release_without_snapshot(&[("main.tf", &text(&data("d", "one")))], &[]);
        through(&mut world, &service, &admin, &["snapshot", "--json"]).exits(0);
        let releases = through(&mut world, &service, &admin, &["releases", "--json"])
            .exits(0)
            .json();
        assert_eq!(releases["releases"].as_array().unwrap().len(), 2);

        let back = through(&mut world, &service, &admin, &["to", &second.commit, "--auto-approve"]);
        back.exits(0).says("Done: back at").never_says("hunter2");
        assert_eq!(world.objects().len(), second.objects.len());
        through(&mut world, &service, &admin, &["to", "v1", "--auto-approve"]).exits(0);
        assert_eq!(world.objects().len(), first.objects.len());
        through(&mut world, &service, &admin, &["undo", "--auto-approve"]).exits(0);
        through(&mut world, &service, &admin, &["undo", "--auto-approve"]).exits(0);
        assert_eq!(world.objects().len(), third.objects.len());

        // Another value than the release had is refused by name, as it is without a service.
        world.put("secret.auto.tfvars", "password = \"hunter2-another\"\n");
        let other = through(&mut world, &service, &admin, &["to", "v1", "--auto-approve"]);
        other.fails().says("password").never_says("hunter2");
        assert_eq!(holds(&checkouts, "hunter2"), None);
        assert!(holds(&checkouts, "terraform_data").is_some());

        // A token that is bound to stacks of the service's own project is none here.
        through(&mut world, &service, &bound, &["releases"])
            .exits(1)
            .says("no valid token");
        // A state in a file is not one that the service reaches.
        world.server = None;
        world.put("main.tf", &data("a", "one"));
        world.commit("no backend any more");
        std::fs::remove_dir_all(world.repo.join(".terraform")).unwrap();
        let local = through(&mut world, &service, &admin, &["snapshot"]);
        local.exits(1).says("keeps its state in a file");
    });
}
