//! Who is told of a rollback, and the record of it.

use rollback_tests::{Received, WebService, World, data, scenario};
use serde_json::Value;

fn settings(service: &WebService, more: &str) -> String {
    format!(
        "[[stack]]\nname = \"app\"\n\n[incident]\nservice = \"Shop\"\n{more}\n[[incident.contact]]\nrole = \"On-call engineer\"\n\
         phone = \"+971-4-000\"\n\n[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\n\
         secret_environment = \"HOOK_KEY\"\n",
        service.url("/hook")
    )
}

fn releases(world: &World, settings: &str) -> String {
    let first = world.release(&[("main.tf", &data("a", "one")), ("infra-rollback.toml", settings)]);
    world.release(&[("main.tf", &data("a", "two")), ("infra-rollback.toml", settings)]);
    first.commit
}

fn told(service: &WebService) -> Vec<(String, Value)> {
    let body = |received: &Received| serde_json::from_str(&received.body).expect("JSON was sent");
    let received = service.received();
    let posted = received.iter().filter(|received| received.line.starts_with("POST"));
    posted
        .map(|received| {
            (
                received.header("x-rollback-event").unwrap_or_default().to_owned(),
                body(received),
            )
        })
        .collect()
}

#[test]
fn everybody_is_told_at_the_start_and_at_the_end() {
    scenario(|mut world| {
        let service = WebService::start();
        world.set("HOOK_KEY", "topsecret-key");
        let first = releases(&world, &settings(&service, ""));
        let ran = world.tool(&["to", &first, "--auto-approve", "--reason", "it loses orders", "--json"]);
        let run = ran.exits(0).json()["run"].as_str().unwrap().to_owned();
        let told = told(&service);
        let events: Vec<&str> = told.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events, ["rollback.start", "rollback.end"]);
        let text = told[0].1["text"].as_str().unwrap();
        for part in [
            "ROLLBACK IN PROGRESS",
            "Rollback: applying",
            "it loses orders",
            "[ ] app",
            "+971-4-000",
            "every 30 minutes",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let text = told[1].1["text"].as_str().unwrap();
        for part in ["ROLLBACK COMPLETE", "[x] app", "Post-mortem"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(told[1].1["report"]["status"], "completed");
        assert!(service.received()[0].header("x-rollback-signature").is_some());
        let shown = world.tool(&["runs", "show", &run]);
        shown
            .says("told hook (start)")
            .says("[x] Notify team")
            .says("[ ] Schedule post-mortem")
            .never_says("topsecret");
        // Nobody is told of what changes nothing.
        world.tool(&["to", &first, "--dry-run"]).exits(0);
        assert_eq!(service.received().len(), 2);
    });
}

#[test]
fn a_run_that_goes_on_says_so_and_one_that_stops_says_that() {
    scenario(|mut world| {
        let service = WebService::start();
        world.set("HOOK_KEY", "k");
        let more = "update_every = \"1s\"";
        let check =
            "\n[[check]]\nname = \"never\"\nkind = \"command\"\ncommand = \"test -e $OUT/well\"\nwithin = \"3s\"\n";
        let first = releases(&world, &(settings(&service, more) + check));
        world.tool(&["to", &first, "--auto-approve"]).exits(4);
        let events: Vec<String> = told(&service).into_iter().map(|(event, _)| event).collect();
        assert!(
            events.iter().filter(|event| *event == "rollback.update").count() >= 1,
            "{events:?}"
        );
        assert_eq!(events.first().unwrap(), "rollback.start");
        assert_eq!(events.last().unwrap(), "rollback.end");
        let last = told(&service).pop().unwrap().1;
        assert!(last["text"].as_str().unwrap().contains("STOPPED HALFWAY"), "{last}");
        std::fs::write(world.out.join("well"), "").unwrap();
        world.tool(&["resume", "--auto-approve"]).exits(0);
        let events: Vec<String> = told(&service).into_iter().map(|(event, _)| event).collect();
        assert_eq!(
            events.iter().filter(|event| *event == "rollback.start").count(),
            1,
            "{events:?}"
        );
        assert!(
            told(&service).pop().unwrap().1["text"]
                .as_str()
                .unwrap()
                .contains("COMPLETE")
        );
    });
}

#[test]
fn who_cannot_be_told_stops_nothing_and_is_on_record() {
    scenario(|world| {
        let service = WebService::start();
        // The key of the signature is not set.
        let first = releases(&world, &settings(&service, ""));
        let ran = world.tool(&["to", &first, "--auto-approve", "--json"]);
        let run = ran.exits(0).json()["run"].as_str().unwrap().to_owned();
        assert!(service.received().is_empty());
        world
            .tool(&["runs", "show", &run])
            .says("hook could not be told")
            .says("$HOOK_KEY")
            .says("[ ] Notify team");
    });
}

#[test]
fn the_record_of_a_run_in_words_for_machines_and_for_calendars() {
    scenario(|mut world| {
        let service = WebService::start();
        world.set("HOOK_KEY", "k");
        let post_mortem = "[incident.post_mortem]\nafter = \"48h\"\norganizer = \"lead@example.com\"\nattendees = [\"a@example.com\"]";
        let check = "\n[[check]]\nname = \"fine\"\nkind = \"command\"\ncommand = \"true\"\n";
        let first = releases(&world, &(settings(&service, post_mortem) + check));
        let ran = world.tool(&["to", &first, "--auto-approve", "--reason", "it loses orders", "--json"]);
        let run = ran.exits(0).json()["run"].as_str().unwrap().to_owned();
        let report = world.tool(&["report", &run]);
        for part in [
            "# Rollback of Shop",
            "it loses orders",
            "## Timeline",
            "approved by",
            "✓ fine: exit status 0",
            "### Before",
            "### After",
            "- [x] Verify rollback success — 1 of 1 checks pass",
            "On-call engineer: +971-4-000",
            "app**: done: 1 update; at rest",
        ] {
            assert!(report.exits(0).stdout.contains(part), "{part}\n{}", report.stdout);
        }
        let document = world.tool(&["report", &run, "--json"]).json();
        assert_eq!(document["status"], "completed");
        assert_eq!(document["checklist"].as_array().unwrap().len(), 7);
        assert_eq!(document["verification"][1]["moment"], "after");
        assert_eq!(document["notifications"][0]["phase"], "start");
        let file = world.out.join("post-mortem.ics");
        world
            .tool(&["report", "--format", "ics", "--output", file.to_str().unwrap()])
            .exits(0);
        let text = std::fs::read_to_string(file).unwrap().replace("\r\n ", "");
        for part in [
            "METHOD:REQUEST",
            "mailto:a@example.com",
            &format!("UID:{run}@infra-rollback"),
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        // A template of one's own.
        let own = format!("report_template = \"report.j2\"\n{post_mortem}");
        world.put("infra-rollback.toml", &(settings(&service, &own) + check));
        world.put(
            "report.j2",
            "{{ report.service }} by {{ report.actor }}: {{ report.statsu }}",
        );
        world.tool(&["report", &run]).exits(2).says("line 1");
        world.put("report.j2", "{{ report.service }}: {{ report.status }}");
        assert_eq!(world.tool(&["report", &run]).exits(0).stdout.trim(), "Shop: completed");
    });
}

#[test]
fn nobody_is_told_twice_that_it_begins_whenever_it_is_killed() {
    scenario(|mut world| {
        let service = WebService::start();
        world.set("HOOK_KEY", "k");
        let first = releases(&world, &settings(&service, ""));
        // Where in its journal a run tells people.
        let other = world.copy();
        let ran = other.tool(&["to", &first, "--auto-approve", "--json"]);
        let run = ran.exits(0).json()["run"].as_str().unwrap().to_owned();
        let shown = other.tool(&["runs", "show", &run, "--json"]).json();
        let journal = shown["journal"].as_array().unwrap().clone();
        let intended = |entry: &&Value| entry["event"] == "notification-intended" && entry["phase"] == "start";
        let number = journal.iter().find(intended).unwrap()["sequence"].as_u64().unwrap();
        // Before the intent, after it, after the message is sent, and after that is on record.
        let moments = [
            ("before", number),
            ("after", number),
            ("before", number + 1),
            ("after", number + 1),
        ];
        for (when, number) in moments {
            let other = world.copy();
            let before = told(&service).len();
            let crash = format!("{when}:{number}");
            let ran = other.tool_with(&["to", &first, "--auto-approve"], &[("INFRA_ROLLBACK_CRASH", &crash)]);
            ran.died(9);
            other.tool(&["resume", "--auto-approve"]).exits(0);
            let events: Vec<String> = told(&service)
                .into_iter()
                .skip(before)
                .map(|(event, _)| event)
                .collect();
            let starts = events.iter().filter(|event| *event == "rollback.start").count();
            let ends = events.iter().filter(|event| *event == "rollback.end").count();
            // Killed right after the intent, whether it was sent is not known: then rather not than twice.
            assert!(starts <= 1 && ends == 1, "{crash}: {events:?}");
            assert!(starts == 1 || crash == format!("after:{number}"), "{crash}: {events:?}");
        }
    });
}
