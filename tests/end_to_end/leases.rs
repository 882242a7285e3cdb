//! Leases: processes that stand still for longer, locks that are taken away, runs whose machine is gone.

use rollback_release::{Replaced, Store};
use rollback_store_local::LocalStore;
use rollback_tests::{Background, Release, World, data, go_on, kill, moved, scenario, wait_until_stopped};
use serde_json::{Value, json};

use crate::crash::crash;
use crate::locks::applying_on_the_way_back;

/// For who is stopped: beats are rare then, so that no process is stopped while it holds the embedded store's write lock.
const LEASE: &str = "2000";
/// For who goes on beating.
const SHORT_LEASE: &str = "500";

/// Two releases; going back to the first writes the state and applies.
fn two_releases(world: &mut World) -> (Release, Release) {
    world.set("INFRA_ROLLBACK_LEASE_MILLISECONDS", LEASE);
    let first = world.release_of(&(data("a", "one") + &data("c", "one")));
    let second = world.release_of(
        &(data("b", "one") + &data("c", "two") + &data("d", "two") + &moved("terraform_data.a", "terraform_data.b")),
    );
    (first, second)
}

/// The number of the first entry of this kind in the journal of a whole rollback.
fn number_of(world: &World, release: &Release, event: &str) -> u64 {
    let whole = world.copy();
    whole.tool(&["to", &release.commit, "--auto-approve"]).exits(0);
    let journal = whole.journal(&whole.last_run());
    let entry = journal.iter().find(|entry| entry["event"] == event);
    entry.and_then(|entry| entry["sequence"].as_u64()).expect(event)
}

/// A rollback that stands still after an entry of its journal.
fn standing_still(world: &mut World, release: &Release, after: u64) -> Background {
    world.set("INFRA_ROLLBACK_STOP", &format!("after:{after}"));
    let tool = world.start(&["to", &release.commit, "--auto-approve"]);
    world.unset("INFRA_ROLLBACK_STOP");
    wait_until_stopped(tool.pid());
    tool
}

/// Changes a record in the store past the tool, as if another machine had written it.
fn change(world: &World, key: &str, change: impl FnOnce(&mut Value)) {
    let store = LocalStore::open(&world.home.join("store")).unwrap();
    let (bytes, version) = store.get(key).unwrap().expect(key);
    let mut value: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut value);
    let written = store.replace(key, &version, &serde_json::to_vec(&value).unwrap());
    assert!(matches!(written.unwrap(), Replaced::Yes(_)));
}

fn key_of(world: &World, of: &str) -> String {
    let store = LocalStore::open(&world.home.join("store")).unwrap();
    let keys = store.list("projects/", None, 100_000).unwrap();
    let found = keys.into_iter().find(|key| key.contains(of));
    found.unwrap_or_else(|| panic!("no record {of}"))
}

#[test]
fn who_slept_for_longer_than_its_lease_before_its_first_effect_is_overtaken() {
    scenario(|mut world| {
        let (first, _) = two_releases(&mut world);
        let sleeper = standing_still(&mut world, &first, 2);
        let slept = world.last_run();
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(5)
            .says(&slept)
            .says("--lock-timeout");
        world
            .tool(&["to", &first.commit, "--auto-approve", "--lock-timeout", "30s"])
            .exits(0);
        let serial = world.state().serial();
        let entries = world.journal(&slept).len();
        go_on(sleeper.pid());
        sleeper
            .wait()
            .exits(5)
            .says("has lost its lock")
            .says("nothing was changed");
        assert_eq!(world.journal(&slept).len(), entries, "it wrote after it was overtaken");
        assert_eq!(world.state().serial(), serial);
        world.is_at_but(&first, &[]);
    });
}

#[test]
fn who_slept_while_it_applied_needs_to_be_reconciled_and_goes_on_when_it_wakes_up() {
    scenario(|mut world| {
        let (first, _) = two_releases(&mut world);
        let intended = number_of(&world, &first, "apply-intended");
        let sleeper = standing_still(&mut world, &first, intended);
        let slept = world.last_run();
        let refused = world.tool(&["to", &first.commit, "--auto-approve", "--lock-timeout", "30s"]);
        refused.exits(5).says("reconcile").says(&slept).says("resume");
        assert_eq!(world.runs()[0]["status"], "needs-reconcile");
        let locks = world.tool(&["locks", "--json"]).json();
        assert_eq!(locks["locks"][0]["needs_reconcile"], true, "{locks}");
        assert_eq!(locks["locks"][0]["applying"], true);
        assert_eq!(locks["locks"][0]["life"], "alive");
        // Its own run cannot be taken up either as long as its process exists.
        world.tool(&["resume", &slept, "--auto-approve"]).exits(5);
        go_on(sleeper.pid());
        sleeper.wait().exits(0);
        assert_eq!(world.runs()[0]["status"], "completed");
        world.is_at(&first);
    });
}

#[test]
fn who_died_in_its_sleep_is_resumed() {
    scenario(|mut world| {
        let (first, second) = two_releases(&mut world);
        let intended = number_of(&world, &first, "apply-intended");
        let sleeper = standing_still(&mut world, &first, intended);
        world
            .tool(&["to", &second.commit, "--auto-approve", "--lock-timeout", "30s"])
            .exits(5)
            .says("reconcile");
        kill(sleeper.pid());
        sleeper.wait().died(9);
        world
            .tool(&["to", &second.commit, "--auto-approve"])
            .exits(5)
            .says("resume");
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}

/// Its locks and its folder are nobody's: there is nothing to resume, and nothing to wait for but the lease of who cannot be
/// seen from here.
#[test]
fn who_died_once_its_end_was_on_record_is_in_nobodys_way() {
    scenario(|mut world| {
        let (first, second) = two_releases(&mut world);
        crash(&world, &["to", &first.commit, "--auto-approve"], "over");
        assert_eq!(world.runs()[0]["status"], "completed");
        let locks = world.tool(&["locks", "--json"]).exits(0).json();
        assert_eq!(locks["locks"][0]["applying"], true, "{locks}");

        let resumed = world.copy();
        resumed
            .tool(&["resume", "--auto-approve"])
            .exits(1)
            .says("there is no run to resume");
        resumed.is_at(&first);

        let elsewhere = world.copy();
        change(&elsewhere, &key_of(&elsewhere, "/locks/"), |lock| {
            lock["host"] = json!("elsewhere")
        });
        let again = ["to", &second.commit, "--auto-approve"];
        elsewhere.tool(&again).exits(5).says("--lock-timeout");
        elsewhere
            .tool(&[&again[..], &["--lock-timeout", "30s"]].concat())
            .exits(0);
        elsewhere.is_clean_at(&second.commit, &[]);

        world.undo_to(&second, &["terraform_data.d"]);
    });
}

/// What was undone cannot be resumed, whenever the undo was killed.
#[test]
fn an_undo_that_died_once_its_end_was_on_record_has_closed_what_it_undid() {
    scenario(|mut world| {
        let (first, second) = two_releases(&mut world);
        let applied = number_of(&world, &first, "applied");
        crash(
            &world,
            &["to", &first.commit, "--auto-approve"],
            &format!("after:{applied}"),
        );
        let undone = world.last_run();
        crash(&world, &["undo", &undone, "--auto-approve"], "over");
        let of_both: Vec<Value> = world.runs().iter().map(|run| run["status"].clone()).collect();
        assert_eq!(of_both, ["completed", "aborted"]);
        world
            .tool(&["resume", "--auto-approve"])
            .exits(1)
            .says("there is no run to resume");
        world.is_at_but(&second, &["terraform_data.d"]);
    });
}

#[test]
fn a_run_of_another_machine_is_taken_over_only_on_a_persons_word() {
    scenario(|mut world| {
        let (first, _) = two_releases(&mut world);
        let started = number_of(&world, &first, "apply-started");
        let crash = format!("after:{started}");
        let died = world.tool_with(
            &["to", &first.commit, "--auto-approve"],
            &[("INFRA_ROLLBACK_CRASH", &crash)],
        );
        died.died(9);
        let run = world.last_run();
        change(&world, &key_of(&world, "/locks/"), |lock| {
            lock["host"] = json!("elsewhere")
        });
        let first_entry = key_of(&world, &format!("journals/{run}/00000001"));
        change(&world, &first_entry, |entry| {
            entry["attempt"]["machine"]["host"] = json!("elsewhere")
        });
        world
            .tool(&["to", &first.commit, "--auto-approve", "--lock-timeout", "30s"])
            .exits(5)
            .says("elsewhere")
            .says("--holder-is-dead");
        assert_eq!(world.runs()[0]["status"], "needs-reconcile");
        world.unchanged(|world| {
            for command in ["resume", "abort"] {
                world.tool(&[command, &run]).exits(5).says("--holder-is-dead");
            }
            let released = world.tool(&["locks", "release", "repo", "--reason", "it burnt", "--yes"]);
            released.exits(3).says("elsewhere");
        });
        let words = "its machine burnt down";
        world
            .tool(&["resume", &run, "--auto-approve", "--holder-is-dead", words])
            .exits(0);
        world.tool(&["runs", "show", &run]).exits(0).says(words);
        world.is_at(&first);
    });
}

#[test]
fn a_lock_that_is_taken_away_stops_its_run_before_the_next_effect() {
    scenario(|mut world| {
        let (first, _) = two_releases(&mut world);
        let intended = number_of(&world, &first, "apply-intended");
        let sleeper = standing_still(&mut world, &first, intended);
        let slept = world.last_run();
        let stack = world.tool(&["locks", "--json"]).json()["locks"][0]["stack"].clone();
        let stack = stack.as_str().unwrap();
        let release = ["locks", "release", stack, "--reason", "she is on holiday"];
        world.unchanged(|world| {
            world.tool(&release).exits(2).says("--yes");
            let refused = world.tool(&[&release[..], &["--yes"]].concat());
            refused.exits(3).says("--force").says("resume");
        });
        let forced = world.tool(&[&release[..], &["--yes", "--force", "--json"]].concat());
        let record = forced.exits(0).json()["release"].clone();
        assert_eq!(record["by"], "tester");
        assert_eq!(record["reason"], "she is on holiday");
        assert_eq!(record["holder"]["run"], slept.as_str());
        key_of(&world, &format!("lock-releases/{}", record["id"].as_str().unwrap()));
        world.tool(&["runs", "show", &slept]).exits(0).says("she is on holiday");
        assert_eq!(world.runs()[0]["status"], "needs-reconcile");
        let objects = world.objects();
        go_on(sleeper.pid());
        sleeper.wait().exits(4).says("lost its lock");
        // Terraform waited behind the journal, and never began.
        assert_eq!(world.objects(), objects);
        let events = world.events(&slept);
        assert_eq!(events.last().map(String::as_str), Some("lock-released"), "{events:?}");
        world.tool(&["resume", &slept, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}

#[test]
fn a_holder_that_beats_is_not_overtaken() {
    scenario(|mut world| {
        world.set("INFRA_ROLLBACK_LEASE_MILLISECONDS", SHORT_LEASE);
        let (first, _, tool) = applying_on_the_way_back(&world);
        world
            .tool(&["to", &first.commit, "--auto-approve", "--lock-timeout", "2s"])
            .exits(5)
            .says("waiting up to 2 s")
            .says("is locked by");
        let locks = world.tool(&["locks", "--json"]).json();
        assert!(locks["locks"][0]["holder"]["beats"].as_u64() > Some(3), "{locks}");
        assert_eq!(locks["locks"][0]["needs_reconcile"], false);
        world.put_out("go");
        tool.wait().exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

#[test]
fn who_waits_gets_the_stack_when_it_is_free() {
    scenario(|mut world| {
        world.set("INFRA_ROLLBACK_LEASE_MILLISECONDS", SHORT_LEASE);
        let (first, _, tool) = applying_on_the_way_back(&world);
        let waits = world.start(&["to", &first.commit, "--auto-approve", "--lock-timeout", "60s"]);
        std::thread::sleep(std::time::Duration::from_millis(1000));
        world.put_out("go");
        tool.wait().exits(0);
        waits.wait().exits(0);
        world.is_at_but(&first, &["terraform_data.waiting"]);
    });
}

/// Journals of before they had a place of their own are read where they are, and gone on with.
#[test]
fn a_journal_of_before_is_resumed() {
    scenario(|mut world| {
        let (first, _) = two_releases(&mut world);
        let intended = number_of(&world, &first, "apply-intended");
        let crash = format!("after:{intended}");
        world
            .tool_with(
                &["to", &first.commit, "--auto-approve"],
                &[("INFRA_ROLLBACK_CRASH", &crash)],
            )
            .died(9);
        let run = world.last_run();
        let store = LocalStore::open(&world.home.join("store")).unwrap();
        for key in store.list("projects/", None, 100_000).unwrap() {
            if let Some((project, step)) = key.split_once(&format!("journals/{run}/")) {
                let (bytes, version) = store.get(&key).unwrap().unwrap();
                let former = format!("{project}runs/{run}/journal/{step}");
                assert!(matches!(
                    store.create(&former, &bytes),
                    Ok(rollback_release::Created::Yes(_))
                ));
                assert!(matches!(store.remove(&key, &version), Ok(Replaced::Yes(_))));
            }
        }
        drop(store);
        assert_eq!(world.journal(&run).len() as u64, intended);
        world.tool(&["resume", "--auto-approve"]).exits(0);
        let journal = world.journal(&run);
        let numbers: Vec<u64> = journal.iter().filter_map(|entry| entry["sequence"].as_u64()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        world.is_at(&first);
    });
}
