//! `--server URL` for what a runbook has people do: steps, checks, rehearsals, records, marks, locks, and the policy's word.

use std::fs;

use rollback_tests::{Release, Service, WebService, World, data, moved, scenario, wait_until};
use serde_json::Value;

use crate::bakes::{broken_by_the_second, deployed, is_at};
use crate::client::through;
use crate::locks::waiting_on_the_way_back;

/// A thing with a value and a check that looks at it, both outside of the repository.
const SETTINGS: &str = r#"
[[stack]]
name = "app"

[[step]]
name = "traffic"
kind = "command"
look = "cat $OUT/traffic"
go = "echo \"$TARGET\" > $OUT/traffic"
environment = ["OUT"]

[[check]]
name = "healthy"
kind = "command"
command = "test ! -e $OUT/broken"
environment = ["OUT"]
within = "1s"
every = "100ms"

[incident]
service = "Acme Shop"
"#;

struct Story {
    world: World,
    first: Release,
    second: Release,
}

fn traffic(world: &World) -> String {
    fs::read_to_string(world.out.join("traffic")).unwrap().trim().to_owned()
}

fn story(mut world: World) -> Story {
    let out = world.out.to_string_lossy().into_owned();
    world.set("OUT", &out);
    let release = |world: &World, value: &str, colour: &str| {
        world.put_out("traffic");
        fs::write(world.out.join("traffic"), format!("{colour}\n")).unwrap();
        world.release(&[("infra-rollback.toml", SETTINGS), ("main.tf", &data("letter", value))])
    };
    let first = release(&world, "one", "blue");
    let second = release(&world, "two", "green");
    Story { world, first, second }
}

/// Without what differs from call to call.
fn steady(mut document: Value) -> Value {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, value) in map.iter_mut() {
                    let differs = [
                        "at",
                        "by",
                        "milliseconds",
                        "times",
                        "started_at",
                        "ended_at",
                        "passing_since",
                    ];
                    match differs.contains(&name.as_str()) {
                        true => *value = Value::Null,
                        false => clear(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut document);
    document
}

#[track_caller]
fn the_same(world: &mut World, service: &Service, token: &str, command: &[&str], code: i32) {
    let json = [command, &["--json"]].concat();
    let (here, there) = (world.tool(&json), through(world, service, token, &json));
    assert_eq!(
        steady(here.exits(code).json()),
        steady(there.exits(code).json()),
        "{command:?}"
    );
}

#[track_caller]
fn the_same_words(world: &mut World, service: &Service, token: &str, command: &[&str], code: i32) {
    let (here, there) = (world.tool(command), through(world, service, token, command));
    assert_eq!(here.exits(code).stdout, there.exits(code).stdout, "{command:?}");
}

#[test]
fn what_is_looked_into_is_found_as_without_a_service() {
    scenario(|world| {
        let Story { mut world, first, .. } = story(world);
        let (operator, viewer) = (world.token("ci", "operator", &[]), world.token("ann", "viewer", &[]));
        let service = Service::start(&world, &[]);
        for command in [
            &["steps"][..],
            &["steps", "traffic"],
            &["verify"],
            &["verify", "--terraform"],
            &["drill"],
            &["drill", &first.commit],
            &["policy", "check", &first.commit],
            &["state", "blame", "terraform_data.letter"],
        ] {
            the_same(&mut world, &service, &operator, command, 0);
        }
        for command in [
            &["steps"][..],
            &["steps", "traffic"],
            &["policy", "check", &first.commit],
            &["state", "blame", "terraform_data.letter.input"],
        ] {
            the_same_words(&mut world, &service, &operator, command, 0);
        }
        the_same(&mut world, &service, &operator, &["steps", "nothing"], 2);

        // The policy's document tells when and by whom it is asked, and is otherwise the same.
        let input = ["policy", "input", &first.commit];
        let (here, there) = (world.tool(&input), through(&mut world, &service, &operator, &input));
        let (here, there) = (here.exits(0).json(), there.exits(0).json());
        assert_eq!(here["resource_changes"], there["resource_changes"]);
        assert!(there["input"].is_null() || there["input"].is_object());

        // A check that does not pass ends both with 3.
        world.put_out("broken");
        through(&mut world, &service, &operator, &["verify"])
            .exits(3)
            .says("healthy");
        the_same(&mut world, &service, &operator, &["verify", "--check", "healthy"], 3);
        the_same(&mut world, &service, &operator, &["verify", "--check", "nothing"], 2);
        world.remove_out("broken");

        // Looking at what there is takes a viewer, having something done takes more.
        through(&mut world, &service, &viewer, &["steps"]).exits(0);
        through(
            &mut world,
            &service,
            &viewer,
            &["state", "blame", "terraform_data.letter"],
        )
        .exits(0);
        for command in [
            &["verify"][..],
            &["drill"],
            &["policy", "check", &first.commit],
            &["releases", "pin", &first.commit],
            &["locks", "release", "app", "--reason", "x", "--yes"],
        ] {
            let ran = through(&mut world, &service, &viewer, command);
            // Whoever may not take a lock away may still see that there is none.
            assert!([1, 3].contains(&ran.code), "{command:?}: {}", ran.words());
        }
    });
}

#[test]
fn a_rehearsal_by_a_service_is_kept_with_its_release() {
    scenario(|world| {
        let Story { mut world, first, .. } = story(world);
        let operator = world.token("ci", "operator", &[]);
        let (one, two) = (Service::start(&world, &[]), Service::start(&world, &[]));
        through(
            &mut world,
            &one,
            &operator,
            &["releases", "bad", &first.commit, "--reason", "it loses orders"],
        )
        .exits(0)
        .says("is bad");
        the_same(
            &mut world,
            &one,
            &operator,
            &["releases", "bad", &first.commit, "--reason", "it does"],
            0,
        );
        let task = one.post("/v1/drills", &operator, "{}").is(202).json();
        // Whichever instance is asked knows how it stands.
        let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
        let known = two.until(&path, &operator, |task| task["status"] != "running");
        assert_eq!(known["document"]["reach"], "at-a-price", "{known}");
        let stranger = world.token("eve", "operator", &["--stack", "other"]);
        two.get(&path, &stranger).is(404);
        let releases = through(&mut world, &two, &operator, &["releases", "--json"])
            .exits(0)
            .json();
        assert_eq!(releases["releases"][1]["drill"]["reach"], "at-a-price");
        through(&mut world, &two, &operator, &["releases", "unmark", &first.commit])
            .exits(0)
            .says("not marked");
        let auditor = world.token("audit", "auditor", &[]);
        let log = through(&mut world, &two, &auditor, &["audit", "log", "--json"]);
        log.exits(0)
            .says("releases.mark")
            .says("it loses orders")
            .says("drills.create");
    });
}

#[test]
fn steps_are_left_out_and_checks_are_skipped_through_a_service() {
    scenario(|world| {
        let Story {
            mut world,
            first,
            second,
        } = story(world);
        let admin = world.token("root", "admin", &[]);
        let service = Service::start(&world, &[]);
        let plan = ["plan", &first.commit, "--skip-step", "traffic"];
        let (here, there) = (world.tool(&plan), through(&mut world, &service, &admin, &plan));
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        the_same(&mut world, &service, &admin, &plan, 0);
        the_same(
            &mut world,
            &service,
            &admin,
            &["plan", &first.commit, "--stack", "app"],
            0,
        );
        the_same(
            &mut world,
            &service,
            &admin,
            &["plan", &first.commit, "--skip-step", "nothing"],
            2,
        );
        the_same(
            &mut world,
            &service,
            &admin,
            &["plan", &first.commit, "--restore-database", "traffic"],
            2,
        );

        // With the step, and with a check that never passes: it stops halfway, and a reason ends it.
        world.put_out("broken");
        let to = ["to", &first.commit, "--auto-approve"];
        through(&mut world, &service, &admin, &to).exits(4).says("healthy");
        assert_eq!(traffic(&world), "blue");
        let run = world.last_run();
        let resume = [
            "resume",
            &run,
            "--auto-approve",
            "--skip-checks",
            "the check itself is broken",
        ];
        through(&mut world, &service, &admin, &resume).exits(0);
        let report = through(&mut world, &service, &admin, &["report", &run]);
        report.exits(0).says("Acme Shop").says("the check itself is broken");
        the_same(&mut world, &service, &admin, &["report", &run], 0);
        the_same_words(
            &mut world,
            &service,
            &admin,
            &["report", &run, "--format", "markdown"],
            0,
        );
        through(&mut world, &service, &admin, &["report", "--format", "ics"])
            .exits(0)
            .says("BEGIN:VCALENDAR");
        let undo = ["undo", "--auto-approve", "--skip-checks", "it is broken still"];
        through(&mut world, &service, &admin, &undo).exits(0);
        assert_eq!(traffic(&world), "green");
        world.is_at(&second);
        world.remove_out("broken");

        let to = ["to", &first.commit, "--auto-approve", "--skip-step", "traffic"];
        through(&mut world, &service, &admin, &to).exits(0);
        world.is_at(&first);
        assert_eq!(traffic(&world), "green", "it was left out");
        let undo = ["undo", "--dry-run"];
        let (here, there) = (world.tool(&undo), through(&mut world, &service, &admin, &undo));
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        world.is_at(&first);
        through(&mut world, &service, &admin, &["undo", "--auto-approve"]).exits(0);
        world.is_at(&second);
        assert_eq!(traffic(&world), "green");

        // The stack alone, by name: no step is asked.
        let to = ["to", &first.commit, "--auto-approve", "--stack", "app"];
        through(&mut world, &service, &admin, &to).exits(0);
        world.is_at(&first);
        assert_eq!(traffic(&world), "green");
        through(&mut world, &service, &admin, &["undo", "--auto-approve"]).exits(0);
    });
}

#[test]
fn a_kept_state_becomes_the_current_one_through_a_service() {
    scenario(|mut world| {
        let first = world.release(&[("main.tf", &data("a", "one"))]);
        world.release(&[(
            "main.tf",
            &(data("c", "one") + &data("b", "one") + &moved("terraform_data.a", "terraform_data.c")),
        )]);
        let admin = world.token("root", "admin", &[]);
        let service = Service::start(&world, &[]);
        let look = ["state", "restore", &first.commit, "--dry-run", "--accept-orphans"];
        let (here, there) = (world.tool(&look), through(&mut world, &service, &admin, &look));
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        the_same(
            &mut world,
            &service,
            &admin,
            &["state", "restore", &first.commit, "--dry-run"],
            3,
        );
        // Nobody has accepted that an object is orphaned.
        let restore = ["state", "restore", &first.commit, "--auto-approve"];
        through(&mut world, &service, &admin, &restore)
            .exits(6)
            .says("terraform_data.b");
        through(&mut world, &service, &admin, &["abort"]).exits(0);
        let restore = [&restore[..], &["--accept-orphans", "--json"]].concat();
        let done = through(&mut world, &service, &admin, &restore).exits(0).json();
        assert_eq!(
            done["report"]["orphans"],
            serde_json::json!(["terraform_data.b"]),
            "{done}"
        );
        assert_eq!(done["report"]["moved"].as_array().unwrap().len(), 1);
        assert!(done["sha256"].is_string() && done["serial"].is_u64(), "{done}");
        assert!(
            world
                .objects()
                .keys()
                .all(|address| address.contains("terraform_data.a"))
        );
        through(&mut world, &service, &admin, &["undo", "--auto-approve", "--json"]);
    });
}

#[test]
fn a_lock_is_taken_away_through_a_service() {
    scenario(|world| {
        let mut world = world;
        let (first, _) = waiting_on_the_way_back(&world);
        let (operator, auditor) = (world.token("ci", "operator", &[]), world.token("audit", "auditor", &[]));
        let service = Service::start(&world, &[]);
        let held = world.start(&["to", &first.commit, "--auto-approve"]);
        wait_until("terraform to be at it", || world.is_out("begun"));
        let stack = world.tool(&["locks", "--json"]).exits(0).json()["locks"][0]["stack"]
            .as_str()
            .unwrap()
            .to_owned();
        through(
            &mut world,
            &service,
            &operator,
            &["locks", "release", &stack, "--reason", " "],
        )
        .exits(2);
        through(
            &mut world,
            &service,
            &operator,
            &["locks", "release", &stack, "--reason", "it hangs"],
        )
        .exits(2)
        .says("--yes");
        // Its run applies and lives: that takes more than a reason.
        let release = ["locks", "release", &stack, "--reason", "it hangs", "--yes"];
        through(&mut world, &service, &operator, &release)
            .exits(3)
            .says("--force");
        let forced = [&release[..], &["--force", "--json"]].concat();
        let released = through(&mut world, &service, &operator, &forced).exits(0).json();
        assert_eq!(released["release"]["reason"], "it hangs");
        assert_eq!(released["release"]["forced"], true);
        through(&mut world, &service, &operator, &release)
            .exits(1)
            .says("is not locked");
        through(
            &mut world,
            &service,
            &auditor,
            &["audit", "log", "--action", "locks.release", "--json"],
        )
        .exits(0)
        .says("it hangs");
        // Who was overtaken writes nothing more, and says so.
        world.put_out("go");
        held.wait().fails();
    });
}

#[test]
fn a_deploy_is_watched_by_a_service_and_goes_back_with_the_yes_that_a_rollback_takes() {
    scenario(|mut world| {
        let web = WebService::start();
        deployed(&world, &web);
        let (operator, admin) = (world.token("ci", "operator", &[]), world.token("root", "admin", &[]));
        let service = Service::start(&world, &[]);
        through(&mut world, &service, &admin, &["bake", "show"])
            .exits(1)
            .says("nothing was watched yet");
        through(
            &mut world,
            &service,
            &operator,
            &["bake", "--window", "2s", "--every", "1s"],
        )
        .exits(0)
        .says("passed");
        the_same(&mut world, &service, &operator, &["bake", "show"], 0);

        // Whoever may not approve has it planned, and somebody else says yes.
        broken_by_the_second(&world, &web);
        let options = ["bake", "--window", "60s", "--every", "1s", "--times", "2"];
        through(&mut world, &service, &operator, &options)
            .exits(6)
            .says("approve ");
        assert!(is_at(&world, "two"));
        through(&mut world, &service, &admin, &["approve", "--auto-approve"]).exits(0);
        wait_until("it to be rolled back", || {
            let shown = world.tool(&["bake", "show", "--json"]).json();
            shown["bake"]["status"] == "rolled-back"
        });
        assert!(is_at(&world, "one"));
        let run = world.tool(&["runs", "show", &world.last_run(), "--json"]).json();
        assert_eq!(run["run"]["reason"], "bake: health failed 2 times in a row");
    });
}

#[test]
fn a_watch_by_a_service_is_held_extended_and_stopped_and_goes_back_by_itself_where_that_was_said() {
    scenario(|mut world| {
        let web = WebService::start();
        deployed(&world, &web);
        let (viewer, admin) = (world.token("ann", "viewer", &[]), world.token("root", "admin", &[]));
        let service = Service::start(&world, &[]);
        let body = r#"{"window_seconds":600,"every_seconds":1,"times":2,"rollback":true}"#;
        service.post("/v1/bakes", &viewer, body).is(403);
        service.post("/v1/bakes", &admin, body).is(202);
        service.post("/v1/bakes", &admin, body).is(202);
        through(&mut world, &service, &viewer, &["bake", "stop", "--reason", "x"]).exits(3);
        through(&mut world, &service, &admin, &["bake", "hold", "--reason", "we look"])
            .exits(0)
            .says("held by");
        broken_by_the_second(&world, &web);
        service.until("/v1/bake", &viewer, |shown| {
            shown["bake"]["failures_in_a_row"].as_u64() > Some(3)
        });
        assert!(is_at(&world, "two"), "it is held");
        through(&mut world, &service, &admin, &["bake", "extend", "5m"]).exits(0);
        through(
            &mut world,
            &service,
            &admin,
            &["bake", "stop", "--reason", "it is known"],
        )
        .exits(0)
        .says("no longer");
        // How soon the thread sees it depends on when it looks next.
        wait_until("the watch to end", || {
            let ran = world.tool(&["bake", "show", "--json"]).json();
            ran["bake"]["status"] == "stopped"
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
        let options = [
            "bake",
            "--window",
            "60s",
            "--every",
            "1s",
            "--times",
            "2",
            "--auto-approve",
            "--json",
        ];
        let document = through(&mut world, &service, &admin, &options).exits(3).json();
        assert_eq!(document["bake"]["status"], "rolled-back");
        assert_eq!(document["outcome"]["verification"]["passed"], true, "{document}");
        assert!(is_at(&world, "one"));
    });
}
