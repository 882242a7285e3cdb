//! Databases: snapshots, moments, new instances, and the application that uses them.

use std::sync::Arc;

use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair};
use jiff::{SignedDuration, Timestamp};
use rollback_runbook::step::{Reversibility, Silent};
use rollback_runtime_aws::{database_target, snapshots};
use serde_json::{Value, json};

use crate::bench::{Bench, Lines, change, said, step_table, unique};
use crate::faults::{At, Fault};

/// An instance with a snapshot, a service of two tasks that has its host in a variable, and a parameter with its URL.
pub struct World<'a> {
    bench: &'a Bench,
    pub rds: aws_sdk_rds::Client,
    ecs: aws_sdk_ecs::Client,
    ssm: aws_sdk_ssm::Client,
    pub name: String,
    pub address: String,
}

/// Whoever lists instances lists those of all worlds: what is over goes.
impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for one in self.instances() {
            let delete = self.rds.delete_db_instance().skip_final_snapshot(true);
            let delete = delete.set_db_instance_identifier(one.db_instance_identifier);
            let _ = self.bench.wait(delete.send());
        }
    }
}

impl<'a> World<'a> {
    pub fn new(bench: &'a Bench) -> World<'a> {
        let rds = aws_sdk_rds::Client::new(&bench.config);
        let ecs = aws_sdk_ecs::Client::new(&bench.config);
        let ssm = aws_sdk_ssm::Client::new(&bench.config);
        let name = unique("prod");
        let create = rds
            .create_db_instance()
            .db_instance_identifier(&name)
            .db_instance_class("db.t3.small");
        let create = create
            .engine("postgres")
            .master_username("me")
            .master_user_password("hunter2-password");
        let create = create.allocated_storage(20).backup_retention_period(14).multi_az(true);
        let create = create.tags(aws_sdk_rds::types::Tag::builder().key("team").value("web").build());
        let made = bench.wait(create.send()).unwrap().db_instance.unwrap();
        let address = made.endpoint.unwrap().address.unwrap();
        let snapshot = rds
            .create_db_snapshot()
            .db_instance_identifier(&name)
            .db_snapshot_identifier(format!("{name}-s1"));
        bench.wait(snapshot.send()).unwrap();
        let put = ssm
            .put_parameter()
            .name(format!("/{name}/url"))
            .r#type("SecureString".into());
        bench
            .wait(put.value(format!("postgres://app:hunter2@{address}:5432/app")).send())
            .unwrap();
        bench.wait(ecs.create_cluster().cluster_name(&name).send()).unwrap();
        let host = KeyValuePair::builder().name("DATABASE_HOST").value(&address).build();
        let container = ContainerDefinition::builder()
            .name("app")
            .image("nginx")
            .memory(64)
            .environment(host)
            .build();
        let register = ecs
            .register_task_definition()
            .family(&name)
            .container_definitions(container);
        bench.wait(register.send()).unwrap();
        let create = ecs.create_service().cluster(&name).service_name("web").desired_count(2);
        bench.wait(create.task_definition(&name).send()).unwrap();
        World {
            bench,
            rds,
            ecs,
            ssm,
            name,
            address,
        }
    }

    pub fn table(&self, kind: &str) -> String {
        let name = &self.name;
        format!(
            "kind = \"{kind}\"\ninstance = \"{name}\"\nservices = [{{ cluster = \"{name}\", service = \"web\" }}]\n\
             repoint = [{{ parameter = \"/{name}/url\" }}, {{ cluster = \"{name}\", service = \"web\", variable = \"DATABASE_HOST\" }}]"
        )
    }

    pub fn snapshot(&self, run: &str) -> Value {
        json!({"snapshot": format!("{}-s1", self.name), "run": run})
    }

    pub fn url(&self) -> String {
        let get = self
            .ssm
            .get_parameter()
            .name(format!("/{}/url", self.name))
            .with_decryption(true);
        self.bench.wait(get.send()).unwrap().parameter.unwrap().value.unwrap()
    }

    pub fn host(&self) -> String {
        let services = self.ecs.describe_services().cluster(&self.name).services("web").send();
        let service = self.bench.wait(services).unwrap().services.unwrap().remove(0);
        let describe = self
            .ecs
            .describe_task_definition()
            .task_definition(service.task_definition.unwrap());
        let described = self.bench.wait(describe.send()).unwrap().task_definition.unwrap();
        let container = described.container_definitions.unwrap().remove(0);
        container.environment.unwrap().remove(0).value.unwrap()
    }

    /// The resource id of the instance that the application uses, where its places agree on one.
    pub fn resource_in_use(&self) -> Option<String> {
        let host = self.host();
        let is_used = |one: &aws_sdk_rds::types::DbInstance| {
            one.endpoint.as_ref().and_then(|endpoint| endpoint.address()) == Some(host.as_str())
        };
        let found = self.instances().into_iter().find(is_used)?.dbi_resource_id;
        found.filter(|_| self.url().contains(&host))
    }

    pub fn tasks(&self) -> i32 {
        let services = self.ecs.describe_services().cluster(&self.name).services("web").send();
        self.bench.wait(services).unwrap().services.unwrap()[0].desired_count
    }

    pub fn instances(&self) -> Vec<aws_sdk_rds::types::DbInstance> {
        let pages = self.rds.describe_db_instances().into_paginator().items().send();
        let all = self.bench.wait(pages.collect::<Result<Vec<_>, _>>()).unwrap();
        let mine = |one: &aws_sdk_rds::types::DbInstance| one.db_instance_identifier().unwrap().starts_with(&self.name);
        all.into_iter().filter(mine).collect()
    }
}

#[test]
fn a_database_comes_back_from_its_snapshot_in_a_new_instance() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let table = world.table("rds-restore");
    let step = bench.step(&table);
    let now = step.look().unwrap();
    assert_eq!(now["services"][0]["desired"], 2);
    let listed = snapshots(&step_table(&table), &bench.account).unwrap();
    assert!(
        listed
            .iter()
            .any(|snapshot| snapshot.id == format!("{}-s1", world.name)),
        "{listed:?}"
    );
    let newest = database_target(&step_table(&table), &bench.account, None, "run-1").unwrap();
    assert_eq!(
        newest,
        json!({"snapshot": listed[0].id, "run": "run-1"}),
        "the newest where none is named"
    );
    let target = world.snapshot("run-1");
    let plan = step.plan(&now, &target).unwrap().unwrap();
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    assert_eq!(plan.reversibility, Reversibility::DataLoss);
    assert_eq!(
        change(&plan, "tasks of service web"),
        ("2".into(), "0 meanwhile".into())
    );
    assert!(plan.notes.iter().any(|note| note.contains("written after")), "{plan:?}");
    let lines = Lines::default();
    let there = step.go(&now, &target, &lines).unwrap();
    let new = there["instance"].as_str().unwrap();
    assert_eq!(change(&plan, "database instance").1, new);
    assert_ne!(new, world.name);
    let all = world.instances();
    assert_eq!(all.len(), 2, "the old one is kept");
    let made = all
        .iter()
        .find(|one| one.db_instance_identifier() == Some(new))
        .unwrap();
    assert_eq!(
        (made.db_instance_class(), made.multi_az, made.backup_retention_period),
        (Some("db.t3.small"), Some(true), Some(14))
    );
    assert!(
        made.tag_list().iter().any(|tag| tag.key() == Some("team")),
        "{:?}",
        made.tag_list()
    );
    let address = made.endpoint.as_ref().unwrap().address().unwrap();
    assert_eq!(world.url(), format!("postgres://app:hunter2@{address}:5432/app"));
    assert_eq!(world.host(), address);
    assert_eq!(there["services"], now["services"], "as big as it was");
    for text in [there.to_string(), serde_json::to_string(&plan).unwrap(), lines.text()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        lines.text().contains("from 2 to 0 tasks") && lines.text().contains("from 0 to 2 tasks"),
        "{}",
        lines.text()
    );
    assert_eq!(step.plan(&there, &target).unwrap(), None);
    // Undo: the application uses the old one again, and the new one is kept.
    let plan = step.plan(&there, &now).unwrap().unwrap();
    assert!(
        plan.reversibility == Reversibility::DataLoss && plan.obstacles.is_empty(),
        "{plan:?}"
    );
    assert_eq!(step.go(&there, &now, &Silent).unwrap(), now);
    assert_eq!(world.host(), world.address);
    assert_eq!(world.instances().len(), 2);
    // Another run makes another instance from the same snapshot.
    let again = step.go(&now, &world.snapshot("run-2"), &Silent).unwrap();
    assert_ne!(again["instance"], there["instance"]);
}

#[test]
fn a_moment_comes_back_if_it_lies_in_the_window() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let table = world.table("rds-pitr");
    let step = bench.step(&table);
    let now = step.look().unwrap();
    let target = |asked: &str| database_target(&step_table(&table), &bench.account, Some(asked), "run");
    let error = target("yesterday").unwrap_err();
    assert!(said(&error).contains("2026-01-15T10:30:00Z"), "{}", said(&error));
    let long_ago = target("2020-01-15T10:30:00+02:00").unwrap();
    assert_eq!(long_ago["restore_time"], "2020-01-15T08:30:00Z");
    let plan = step.plan(&now, &long_ago).unwrap().unwrap();
    assert!(plan.obstacles[0].contains("is outside"), "{plan:?}");
    // The emulator's instances can be restored to the moment they are asked, made a moment before.
    let moment = Timestamp::now().round(jiff::Unit::Second).unwrap();
    let target = target(&moment.to_string()).unwrap();
    let window = |answer: &str| {
        let day_ago = Timestamp::now().checked_sub(SignedDuration::from_hours(24)).unwrap();
        let start = answer.find("<InstanceCreateTime>").unwrap();
        let end = answer.find("</InstanceCreateTime>").unwrap();
        let answer = format!("{}<InstanceCreateTime>{day_ago}{}", &answer[..start], &answer[end..]);
        let start = answer.find("<LatestRestorableTime>").unwrap();
        let end = answer.find("</LatestRestorableTime>").unwrap();
        let later = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
        format!("{}<LatestRestorableTime>{later}{}", &answer[..start], &answer[end..])
    };
    bench.faults.plan(
        At::Operation {
            name: "DescribeDBInstances",
            times: 1,
        },
        Fault::Answer(Arc::new(window)),
    );
    let plan = step.plan(&now, &target).unwrap().unwrap();
    bench.faults.rest();
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    let there = step.go(&now, &target, &Silent).unwrap();
    assert_eq!(
        change(&plan, "database instance").1,
        there["instance"].as_str().unwrap()
    );
    assert!(world.host().starts_with(there["instance"].as_str().unwrap()));
    assert_eq!(step.plan(&there, &target).unwrap(), None);
}

#[test]
fn what_stands_in_the_way_is_said_before_the_application_stops() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("rds-restore"));
    let now = step.look().unwrap();
    let plan = step
        .plan(&now, &json!({"snapshot": "nobody", "run": "r"}))
        .unwrap()
        .unwrap();
    assert!(plan.obstacles[0].contains("no database snapshot nobody"), "{plan:?}");
    let put = world
        .ssm
        .put_parameter()
        .name(format!("/{}/url", world.name))
        .overwrite(true);
    bench
        .wait(
            put.r#type("SecureString".into())
                .value("postgres://elsewhere/app")
                .send(),
        )
        .unwrap();
    let astray = step.look().unwrap();
    let plan = step.plan(&astray, &world.snapshot("r")).unwrap().unwrap();
    assert!(plan.obstacles[0].contains("does not stand in parameter"), "{plan:?}");
    // An instance of that name that somebody else made is not taken for one's own.
    let name = change(
        &step.plan(&now, &world.snapshot("r")).unwrap().unwrap(),
        "database instance",
    )
    .1;
    let create = world
        .rds
        .create_db_instance()
        .db_instance_identifier(&name)
        .db_instance_class("db.t3.small");
    let create = create
        .engine("postgres")
        .master_username("me")
        .master_user_password("hunter2-password");
    bench.wait(create.allocated_storage(20).send()).unwrap();
    let error = step.go(&now, &world.snapshot("r"), &Silent).unwrap_err();
    assert!(
        error.untouched && said(&error).contains("did not make"),
        "{}",
        said(&error)
    );
    let text = format!(
        "kind = \"rds-restore\"\ninstance = \"{}\"\nrebind = \"none\"",
        world.name
    );
    let Some(Err(error)) = rollback_runtime_aws::step(&step_table(&text), &bench.account) else {
        panic!("it is taken")
    };
    assert!(error.to_string().contains("names no place"), "{error}");
}

#[test]
fn a_restore_that_takes_its_time_is_waited_for_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("rds-restore"));
    let now = step.look().unwrap();
    bench.faults.rest();
    step.go(&now, &world.snapshot("first"), &Silent).unwrap();
    let calls = bench.faults.rest();
    let restore = calls
        .iter()
        .position(|call| call == "RestoreDBInstanceFromDBSnapshot")
        .unwrap();
    step.go(&step.look().unwrap(), &now, &Silent).unwrap();
    bench.faults.rest();
    let status = |word: &'static str| {
        Fault::Answer(Arc::new(move |answer: &str| {
            let found = answer.contains("<DBInstanceStatus>available<");
            assert!(found, "{answer}");
            answer.replace("<DBInstanceStatus>available<", &format!("<DBInstanceStatus>{word}<"))
        }))
    };
    bench.faults.plan(At::Call(restore + 2), status("creating"));
    bench.faults.plan(At::Call(restore + 3), status("backing-up"));
    let lines = Lines::default();
    step.go(&now, &world.snapshot("second"), &lines).unwrap();
    bench.faults.rest();
    assert!(
        lines.text().contains("is creating") && lines.text().contains("is backing-up"),
        "{}",
        lines.text()
    );
    step.go(&step.look().unwrap(), &now, &Silent).unwrap();
    bench.faults.rest();
    bench.faults.plan(At::Call(restore + 2), status("incompatible-restore"));
    let error = step.go(&now, &world.snapshot("third"), &Silent).unwrap_err();
    assert!(
        !error.untouched && said(&error).contains("incompatible-restore"),
        "{}",
        said(&error)
    );
    bench.faults.rest();
    // Undo from there starts the application again, with the old one.
    let halfway = step.look().unwrap();
    assert_eq!(halfway["services"][0]["desired"], 0);
    assert_eq!(step.go(&now, &now, &Silent).unwrap(), now);
}
