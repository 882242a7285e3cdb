//! `kill -9` at every boundary of the journal, and resume. The boundaries are counted, not listed: a new one is covered
//! by itself.

use std::sync::Mutex;

use rollback_tests::{Chance, Release, StateFile, World, data, forgotten, kill, moved, scale, scenario};
use serde_json::Value;

use crate::configurations::deploy_two;

/// From this scale on every pair of crash points is tried; that takes the better part of an hour.
const ALL_PAIRS: usize = 100;

/// A story that can be told many times, and the number of entries in the journal of a whole run.
struct Story {
    world: World,
    first: Release,
    entries: u64,
}

/// Every kind of effect in one rollback: a move, an update, an adoption (the state is written), a destruction and a
/// creation (terraform applies).
fn story(world: World) -> Story {
    let first =
        world.release_of(&(data("moved", "m") + &data("updated", "one") + &data("gone", "g") + &data("letter", "l")));
    world.release_of(
        &(data("elsewhere", "m")
            + &data("updated", "two")
            + &data("added", "a")
            + &moved("terraform_data.moved", "terraform_data.elsewhere")
            + &forgotten("terraform_data.letter")),
    );
    let whole = world.copy();
    whole.back_to_but(&first, &["terraform_data.gone"], &[]);
    let journal = whole.journal(&whole.last_run());
    let entries = journal.len() as u64;
    assert_eq!(
        journal.last().unwrap()["sequence"],
        entries,
        "the journal counts from 1"
    );
    assert!(entries >= 10, "{journal:?}");
    Story { world, first, entries }
}

pub(crate) fn crash(world: &World, arguments: &[&str], point: &str) {
    let died = world.tool_with(arguments, &[("INFRA_ROLLBACK_CRASH", point)]);
    assert!(
        died.code == -9,
        "it did not die at {point} (only development builds do): {died}"
    );
    // Whatever it had written by then, the state is whole.
    world.state();
}

/// Goes on as a person would: resume where there is something to resume, else the same command again.
fn go_on(story: &Story, world: &World, point: &str) {
    let resumed = world.tool(&["resume", "--auto-approve"]);
    if resumed.code != 0 {
        let open = world
            .runs()
            .iter()
            .any(|run| ["applying", "halfway"].contains(&run["status"].as_str().unwrap_or_default()));
        assert!(!open, "{point}: a run is unfinished and cannot be resumed: {resumed}");
        let begun = world.runs().first().is_some_and(|run| run["status"] == "completed");
        if !begun {
            let again = world.tool(&["to", &story.first.commit, "--auto-approve"]);
            assert!(
                again.code == 0,
                "{point}: neither resume nor a new run goes on: {resumed}\n{again}"
            );
        }
    }
}

fn arrived(story: &Story, world: &World, point: &str) {
    let serial = story.world.state().serial();
    assert!(world.state().serial() > serial, "{point}: the serial did not rise");
    eprintln!("checking what came out of {point}");
    world.is_at_but(&story.first, &["terraform_data.gone"]);
    let run = &world.runs()[0];
    assert_eq!(run["status"], "completed", "{point}");
    let events = world.events(run["id"].as_str().unwrap());
    assert_eq!(
        events.last().map(String::as_str),
        Some("finished"),
        "{point}: {events:?}"
    );
}

fn crash_at(story: &Story, point: &str) {
    let world = story.world.copy();
    crash(&world, &["to", &story.first.commit, "--auto-approve"], point);
    go_on(story, &world, point);
    arrived(story, &world, point);
}

/// Two at a time: each waits for terraform most of its time.
fn each(points: Vec<String>, deed: impl Fn(&str) + Sync) {
    let points = Mutex::new(points.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(point) = points.lock().unwrap().next() else {
                        break;
                    };
                    deed(&point);
                }
            });
        }
    });
}

#[test]
fn before_each_entry() {
    scenario(|world| {
        let story = story(world);
        let points = (1..=story.entries).map(|entry| format!("before:{entry}")).collect();
        each(points, |point| crash_at(&story, point));
    });
}

#[test]
fn after_each_entry() {
    scenario(|world| {
        let story = story(world);
        let points = (1..=story.entries).map(|entry| format!("after:{entry}")).collect();
        each(points, |point| crash_at(&story, point));
    });
}

/// Two releases of two stacks. One reads the id of an object of the other, which comes back as another object: nobody knows
/// its id before it is made.
fn stacks_with_a_new_id(mut world: World) -> (World, String) {
    let app = "data \"terraform_remote_state\" \"network\" {\n  backend = \"local\"\n  config = {\n    path = \
               \"${path.module}/../network/terraform.tfstate\"\n  }\n}\nresource \"terraform_data\" \"a\" {\n  input = \
               data.terraform_remote_state.network.outputs.net\n}\n";
    let network =
        |name: &str| data(name, "one") + &format!("output \"net\" {{\n  value = terraform_data.{name}.id\n}}\n");
    let first = deploy_two(&mut world, &network("net"), app);
    deploy_two(&mut world, &network("other"), app);
    (world, first)
}

/// A stack that reads another one's outputs is planned and applied a second time: crashes from there on.
#[test]
fn after_each_entry_of_the_second_round() {
    scenario(|world| {
        let (world, first) = stacks_with_a_new_id(world);
        let before = world.objects();
        let whole = world.copy();
        whole.tool(&["to", &first, "--auto-approve"]).exits(0);
        let journal = whole.journal(&whole.last_run());
        let is_reopened = |entry: &Value| entry["event"] == "reopened";
        let second = journal.iter().position(is_reopened).expect("there is a second round");
        let points = (second..=journal.len()).map(|entry| format!("after:{entry}")).collect();
        each(points, |point| {
            let world = world.copy();
            crash(&world, &["to", &first, "--auto-approve"], point);
            let resumed = world.tool(&["resume", "--auto-approve"]);
            let over = world.runs()[0]["status"] == "completed";
            assert!(over, "{point}: {resumed}");
            assert_eq!(world.objects(), before, "{point}");
            let input = world.state().attributes("terraform_data.a")["input"]["value"].clone();
            let network = StateFile::parse(std::fs::read(world.repo.join("network/terraform.tfstate")).unwrap());
            assert_eq!(input, network.objects()["terraform_data.net"], "{point}");
        });
    });
}

#[test]
fn undone_after_each_crash() {
    scenario(|world| {
        let story = story(world);
        let before = story.world.objects();
        let mut chance = Chance::new();
        // From the backup on there is something to go back to.
        let points = (0..3 * scale())
            .map(|_| format!("after:{}", 4 + chance.below(story.entries - 4)))
            .collect();
        each(points, |point| {
            let world = story.world.copy();
            crash(&world, &["to", &story.first.commit, "--auto-approve"], point);
            let run = world.last_run();
            world.tool(&["resume", "--auto-approve"]).exits(0);
            world.tool(&["undo", &run, "--auto-approve"]).exits(0);
            let now = world.objects();
            for address in ["terraform_data.elsewhere", "terraform_data.updated"] {
                assert_eq!(now[address], before[address], "{point}");
            }
            assert_eq!(
                now.keys().collect::<Vec<_>>(),
                before.keys().collect::<Vec<_>>(),
                "{point}"
            );
            world.is_tidy();
        });
    });
}

#[test]
fn given_up_after_a_crash() {
    scenario(|world| {
        let story = story(world);
        let mut chance = Chance::new();
        let points = (0..2 * scale())
            .map(|_| format!("after:{}", 4 + chance.below(story.entries - 4)))
            .collect();
        each(points, |point| {
            let world = story.world.copy();
            crash(&world, &["to", &story.first.commit, "--auto-approve"], point);
            world.tool(&["abort"]).exits(0);
            assert_eq!(world.runs()[0]["status"], "aborted", "{point}");
            world.is_tidy();
            // What it left behind is a state like any other: the same rollback can be asked for again.
            world.tool(&["to", &story.first.commit, "--auto-approve"]).exits(0);
            let now = world.objects();
            for address in [
                "terraform_data.moved",
                "terraform_data.updated",
                "terraform_data.letter",
            ] {
                assert_eq!(now[address], story.first.objects[address], "{point}");
            }
            world.is_clean_at(&story.first.commit, &[]);
        });
    });
}

/// A crash and a second one while the first is mended: some pairs of them, and all of them in the long form.
fn pairs(entries: u64) -> Vec<String> {
    let all: Vec<String> = (2..=entries)
        .flat_map(|one| (one + 1..=one + entries).map(move |two| (one, two)))
        .flat_map(|(one, two)| {
            ["before", "after"]
                .into_iter()
                .flat_map(move |first| ["before", "after"].map(|second| format!("{first}:{one} {second}:{two}")))
        })
        .collect();
    if scale() >= ALL_PAIRS {
        return all;
    }
    let mut chance = Chance::new();
    (0..5 * scale())
        .map(|_| all[usize::try_from(chance.below(all.len() as u64)).unwrap_or(0)].clone())
        .collect()
}

#[test]
fn crashes_while_resuming() {
    scenario(|world| {
        let story = story(world);
        let points = pairs(story.entries);
        each(points, |points| {
            let (one, two) = points.split_once(' ').unwrap();
            let world = story.world.copy();
            crash(&world, &["to", &story.first.commit, "--auto-approve"], one);
            let second = world.tool_with(&["resume", "--auto-approve"], &[("INFRA_ROLLBACK_CRASH", two)]);
            // The second point may lie behind the end.
            assert!([0, -9].contains(&second.code), "{points}: {second}");
            world.state();
            if second.code != 0 {
                go_on(&story, &world, points);
            }
            arrived(&story, &world, points);
        });
    });
}

#[test]
fn crashes_of_an_undo() {
    scenario(|world| {
        let story = story(world);
        let before = story.world.objects();
        let back = story.world.copy();
        back.tool(&["to", &story.first.commit, "--auto-approve"]).exits(0);
        let mut chance = Chance::new();
        let points = (0..3 * scale())
            .map(|_| format!("after:{}", 1 + chance.below(story.entries)))
            .collect();
        each(points, |point| {
            let world = back.copy();
            crash(&world, &["undo", "--auto-approve"], point);
            let resumed = world.tool(&["resume", "--auto-approve"]);
            if resumed.code != 0 && world.runs()[0]["status"] != "completed" {
                panic!("{point}: {resumed}");
            }
            let now = world.objects();
            for address in ["terraform_data.elsewhere", "terraform_data.updated"] {
                assert_eq!(now[address], before[address], "{point}");
            }
            assert_eq!(now.len(), before.len(), "{point}");
            world.is_tidy();
        });
    });
}

/// The number of the journal's first entry of a kind.
fn number_of(story: &Story, event: &str) -> u64 {
    let whole = story.world.copy();
    whole.tool(&["to", &story.first.commit, "--auto-approve"]).exits(0);
    let journal = whole.journal(&whole.last_run());
    let entry = journal.iter().find(|entry| entry["event"] == event);
    entry
        .and_then(|entry| entry["sequence"].as_u64())
        .unwrap_or_else(|| panic!("no {event} in {journal:?}"))
}

#[test]
fn a_state_that_was_cut_off_in_the_write() {
    scenario(|world| {
        let story = story(world);
        let point = format!("after:{}", number_of(&story, "state-write-intended"));
        let whole = story.world.state().bytes;
        for left in [0, 1, whole.len() / 2, whole.len() - 2] {
            let world = story.world.copy();
            crash(&world, &["to", &story.first.commit, "--auto-approve"], &point);
            std::fs::write(world.state_path(), &whole[..left]).unwrap();
            world.tool(&["resume", "--auto-approve"]).exits(0);
            arrived(&story, &world, &point);
        }
    });
}

#[test]
fn somebody_else_wrote_between_the_crash_and_the_resume() {
    scenario(|world| {
        let story = story(world);
        let point = format!("after:{}", number_of(&story, "state-write-intended"));
        let world = story.world.copy();
        crash(&world, &["to", &story.first.commit, "--auto-approve"], &point);
        world.put("more.tf", &data("by_hand", "x"));
        world.apply(&[]);
        std::fs::remove_file(world.repo.join("more.tf")).unwrap();
        let theirs = world.objects();
        let resumed = world.tool(&["resume", "--auto-approve"]);
        // Their object is destroyed only where somebody has said yes to that: it was not in what was approved.
        if resumed.code == 0 {
            arrived(&story, &world, &point);
        } else {
            assert!([3, 4, 6].contains(&resumed.code), "{resumed}");
            assert_eq!(world.objects(), theirs);
        }
    });
}

/// Rollbacks with only one kind of effect have other boundaries.
#[test]
fn a_rollback_that_only_moves_and_one_that_only_applies() {
    for later in [
        data("b", "one") + &data("c", "one") + &moved("terraform_data.a", "terraform_data.b"),
        data("a", "two") + &data("c", "two"),
    ] {
        scenario(|world| {
            let first = world.release_of(&(data("a", "one") + &data("c", "one")));
            world.release_of(&later);
            let whole = world.copy();
            whole.back_to(&first);
            let entries = whole.journal(&whole.last_run()).len() as u64;
            let story = Story { world, first, entries };
            let mut chance = Chance::new();
            let points = (0..3 * scale())
                .map(|_| {
                    let when = if chance.below(2) == 0 { "before" } else { "after" };
                    format!("{when}:{}", 1 + chance.below(entries))
                })
                .collect();
            each(points, |point| {
                let world = story.world.copy();
                crash(&world, &["to", &story.first.commit, "--auto-approve"], point);
                go_on(&story, &world, point);
                world.is_at(&story.first);
            });
        });
    }
}

/// Not at boundaries, at any moment.
#[test]
fn killed_at_any_moment() {
    scenario(|world| {
        let story = story(world);
        let mut chance = Chance::new();
        let moments = (0..6 * scale()).map(|_| chance.below(700).to_string()).collect();
        each(moments, |moment| {
            let world = story.world.copy();
            let tool = world.start(&["to", &story.first.commit, "--auto-approve"]);
            std::thread::sleep(std::time::Duration::from_millis(moment.parse().unwrap()));
            kill(tool.pid());
            let died = tool.wait();
            assert!([0, -9].contains(&died.code), "{died}");
            if died.code != 0 {
                go_on(&story, &world, moment);
            }
            arrived(&story, &world, moment);
        });
    });
}

#[test]
fn a_snapshot_killed_at_any_moment_is_whole_or_not_there() {
    scenario(|world| {
        world.release_of(&(data("a", "one") + &data("b", "one")));
        let mut chance = Chance::new();
        let mut count = 1;
        for _ in 0..8 * scale() {
            let snapshot = world.start(&["snapshot"]);
            std::thread::sleep(std::time::Duration::from_millis(chance.below(120)));
            kill(snapshot.pid());
            snapshot.wait();
            let releases = world.tool(&["releases", "--limit", "1000", "--json"]);
            let releases = releases.exits(0).json();
            assert_eq!(releases["unreadable"], serde_json::json!([]));
            let now = releases["releases"].as_array().unwrap().len();
            assert!(now == count || now == count + 1, "{count} -> {now}");
            count = now;
            let newest = releases["releases"][0]["id"].as_str().unwrap();
            world.tool(&["show", newest]).exits(0);
            assert!(world.tool(&["state", "pull", newest]).bytes == world.state().bytes);
        }
        world.snapshot();
    });
}

#[test]
fn many_snapshots_at_once_are_all_kept() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let snapshots: Vec<_> = (0..5).map(|_| world.start(&["snapshot"])).collect();
        for snapshot in snapshots {
            snapshot.wait().exits(0);
        }
        let releases = world.tool(&["releases", "--json"]).json();
        assert_eq!(releases["releases"].as_array().unwrap().len(), 6);
    });
}
