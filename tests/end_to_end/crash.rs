//! `kill -9` at every boundary of the journal, and resume. The boundaries are counted, not listed: a new one is covered
//! by itself.

use std::sync::Mutex;

use rollback_tests::{Chance, Release, World, data, forgotten, moved, scale, scenario};

/// The number of entries in the journal of a whole run.
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

fn crash(world: &World, arguments: &[&str], point: &str) {
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

#[test]
fn crashes_while_resuming() {
    scenario(|world| {
        let story = story(world);
        let mut chance = Chance::new();
        let points = (0..5 * scale())
            .map(|_| {
                let when = |chance: &mut Chance| if chance.below(2) == 0 { "before" } else { "after" };
                let one = 2 + chance.below(story.entries - 2);
                let two = one + 1 + chance.below(story.entries - 1);
                format!("{}:{one} {}:{two}", when(&mut chance), when(&mut chance))
            })
            .collect();
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
