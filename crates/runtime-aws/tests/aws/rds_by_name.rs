//! Databases whose restored instance takes the old one's name: nothing has to be pointed elsewhere but Terraform.

use rollback_runbook::step::{Reversibility, Silent};
use serde_json::Value;

use crate::bench::{Bench, Lines, change, said, step_table};
use crate::faults::{At, Fault};
use crate::rds::World;

pub fn table(world: &World<'_>) -> String {
    let name = &world.name;
    format!("kind = \"rds-restore\"\ninstance = \"{name}\"\nservices = [{{ cluster = \"{name}\", service = \"web\" }}]")
}

/// Resource id and tags of the instance with this name.
fn named(world: &World<'_>, name: &str) -> (String, Vec<String>) {
    let all = world.instances();
    let found = all.iter().find(|one| one.db_instance_identifier() == Some(name));
    let found = found.unwrap_or_else(|| panic!("there is no {name} in {all:?}"));
    let mut tags: Vec<String> = found
        .tag_list()
        .iter()
        .filter_map(|tag| tag.key().map(str::to_owned))
        .collect();
    tags.sort();
    (found.dbi_resource_id().unwrap().to_owned(), tags)
}

#[test]
fn the_restored_instance_has_the_name_and_the_old_one_is_kept() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&table(&world));
    assert!(step.replaces_what_terraform_has());
    let (old, _) = named(&world, &world.name);
    let now = step.look().unwrap();
    assert_eq!(now["resource"], old.as_str());
    let target = world.snapshot("run-1");
    let plan = step.plan(&now, &target).unwrap().unwrap();
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    assert_eq!(plan.reversibility, Reversibility::DataLoss);
    assert_eq!(change(&plan, "database instance").0, old);
    let lines = Lines::default();
    let there = step.go(&now, &target, &lines).unwrap();
    let (new, tags) = named(&world, &world.name);
    assert_ne!(new, old);
    assert_eq!(tags, ["team"], "no tag of ours stays on what Terraform manages");
    assert_eq!(there["services"], now["services"], "as big as it was");
    assert_eq!(
        (world.host(), world.address.clone()),
        (world.address.clone(), there["address"].as_str().unwrap().to_owned())
    );
    let kept = world
        .instances()
        .into_iter()
        .find(|one| one.dbi_resource_id() == Some(&old))
        .unwrap();
    let kept = kept.db_instance_identifier().unwrap().to_owned();
    assert!(kept.starts_with(&format!("{}-kept-", world.name)), "{kept}");
    assert!(plan.notes.iter().any(|note| note.contains(&kept)), "{plan:?}");
    assert!(
        lines.text().contains(&format!("is renamed to {kept}")),
        "{}",
        lines.text()
    );
    let rebound = step.rebound(&now, &there).unwrap().unwrap();
    assert_eq!(
        (rebound.known_by.from.as_str(), rebound.known_by.to.as_str()),
        (old.as_str(), new.as_str())
    );
    assert_eq!(step.rebound(&there, &there).unwrap(), None);

    let plan = step.plan(&there, &now).unwrap().unwrap();
    assert!(
        plan.reversibility == Reversibility::DataLoss && plan.obstacles.is_empty(),
        "{plan:?}"
    );
    assert_eq!(step.go(&there, &now, &Silent).unwrap(), now);
    assert_eq!(named(&world, &world.name), (old, vec!["team".to_owned()]));
    assert_eq!(world.instances().len(), 2, "and the restored one is kept");
    // Forward again: it is known by what stays the same.
    step.go(&step.look().unwrap(), &there, &Silent).unwrap();
    assert_eq!(named(&world, &world.name).0, new);
}

/// Terraform goes first in a run: what it makes of the instance that has the name has to be true of the one that takes it.
#[test]
fn what_terraform_has_changed_in_the_same_run_goes_with_the_name() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&table(&world));
    let made = |class: &str, days: i32, team: &str| {
        let modify = world.rds.modify_db_instance().db_instance_identifier(&world.name);
        let modify = modify.db_instance_class(class).backup_retention_period(days);
        let made = bench
            .wait(modify.apply_immediately(true).send())
            .unwrap()
            .db_instance
            .unwrap();
        let tag = aws_sdk_rds::types::Tag::builder().key("team").value(team).build();
        let tagged = world
            .rds
            .add_tags_to_resource()
            .resource_name(made.db_instance_arn().unwrap());
        bench.wait(tagged.tags(tag).send()).unwrap();
    };
    let is = |class: &str, days: i32, team: &str| {
        let all = world.instances();
        let named = all
            .iter()
            .find(|one| one.db_instance_identifier() == Some(&world.name))
            .unwrap();
        assert_eq!(
            (named.db_instance_class(), named.backup_retention_period()),
            (Some(class), Some(days))
        );
        let tags: Vec<(&str, &str)> = named
            .tag_list()
            .iter()
            .filter_map(|tag| Some((tag.key()?, tag.value()?)))
            .collect();
        assert_eq!(tags, [("team", team)]);
    };
    let now = step.look().unwrap();
    made("db.t3.large", 3, "ops");
    let there = step.go(&now, &world.snapshot("run"), &Silent).unwrap();
    is("db.t3.large", 3, "ops");
    // An undo brings the kept one back, and Terraform has changed the restored one before.
    made("db.t3.small", 14, "web");
    step.go(&there, &now, &Silent).unwrap();
    is("db.t3.small", 14, "web");
}

/// An undo of a run that was cut off finds the application stopped: it starts as big as it was before that run.
#[test]
fn cut_off_between_two_names_it_goes_back_too() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&table(&world));
    let now = step.look().unwrap();
    // The second change of an instance is the renaming of the restored one: tags come in between.
    bench.faults.rest();
    step.go(&now, &world.snapshot("first"), &Silent).unwrap();
    let calls = bench.faults.rest();
    let second = calls.iter().rposition(|call| call == "ModifyDBInstance").unwrap();
    step.go(&step.look().unwrap(), &now, &Silent).unwrap();
    bench.faults.rest();
    bench.faults.plan(At::Call(second + 1), Fault::Refused);
    let error = step.go(&now, &world.snapshot("second"), &Silent).unwrap_err();
    assert!(!error.untouched, "{}", said(&error));
    bench.faults.rest();
    let between = step.look().unwrap();
    assert_eq!(
        (between["resource"].as_str(), &between["services"][0]["desired"]),
        (None, &Value::from(0))
    );
    let plan = step.plan(&between, &now).unwrap().unwrap();
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    let back = step.go(&between, &now, &Silent).unwrap();
    assert_eq!(
        (&back["resource"], &back["services"]),
        (&now["resource"], &now["services"])
    );
    assert_eq!(step.rebound(&between, &back).unwrap(), None);
}

#[test]
fn a_name_and_places_for_another_exclude_each_other() {
    let Some(bench) = Bench::new() else { return };
    let text = "kind = \"rds-restore\"\ninstance = \"prod\"\nrebind = \"rename\"\nrepoint = [{ parameter = \"/x\" }]";
    let Some(Err(error)) = rollback_runtime_aws::step(&step_table(text), &bench.account) else {
        panic!("it is taken")
    };
    assert!(error.to_string().contains("nothing to do"), "{error}");
}
