//! A database that Terraform manages goes back, with the real AWS provider on the emulator: to a snapshot and to a moment,
//! killed in the middle, and undone. Afterwards the next plan is empty.

use std::time::Duration;

use rollback_tests::{Emulator, Release, Service, World, kill, scale, scenario, wait_until};
use serde_json::{Value, json};

use crate::client::through;
use crate::crash::crash;
use crate::holding::Holding;

/// The instance is taken in with what it has: the provider waits for a minute and more when it makes one.
const INFRASTRUCTURE: &str = r#"
provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

import {
  to = aws_db_instance.main
  id = "NAME"
}

resource "aws_db_instance" "main" {
  identifier              = "NAME"
  engine                  = "postgres"
  instance_class          = "db.t3.small"
  allocated_storage       = 20
  username                = "shop"
  backup_retention_period = 7
  skip_final_snapshot     = true
  tags                    = { team = "web" }
}

resource "aws_ssm_parameter" "host" {
  name  = "/NAME/database/host"
  type  = "String"
  value = aws_db_instance.main.address
}
"#;

const SETTINGS: &str = r#"
[[stack]]
name = "shop"

[[step]]
name = "database"
kind = "rds-restore"
instance = "NAME"
services = [{ cluster = "NAME", service = "web" }]

[[step]]
name = "moment"
kind = "rds-pitr"
instance = "NAME"
services = [{ cluster = "NAME", service = "web" }]
"#;

pub(crate) struct Shop {
    pub world: World,
    emulator: Emulator,
    pub name: String,
    pub release: Release,
}

pub(crate) fn shop(mut world: World, settings: &str) -> Option<Shop> {
    let emulator = world.use_cloud()?;
    // The emulator is one for all tests.
    let name = format!("shop-{}", std::process::id());
    let rds = |parameters: &str| emulator.query("rds", &format!("Version=2014-10-31&{parameters}"));
    rds(&format!(
        "Action=CreateDBInstance&DBInstanceIdentifier={name}&DBInstanceClass=db.t3.small&Engine=postgres\
         &AllocatedStorage=20&MasterUsername=shop&MasterUserPassword=not-a-secret&BackupRetentionPeriod=7\
         &Tags.Tag.1.Key=team&Tags.Tag.1.Value=web"
    ));
    rds(&format!(
        "Action=CreateDBSnapshot&DBInstanceIdentifier={name}&DBSnapshotIdentifier={name}-good"
    ));
    let ecs = |operation: &str, body: &Value| {
        emulator.json("ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
    };
    ecs("CreateCluster", &json!({"clusterName": name}));
    ecs(
        "RegisterTaskDefinition",
        &json!({"family": name, "containerDefinitions": [{"name": "web", "image": "web:1", "memory": 64}]}),
    );
    ecs(
        "CreateService",
        &json!({"cluster": name, "serviceName": "web", "taskDefinition": name, "desiredCount": 2}),
    );
    let files = [
        ("infra-rollback.toml", settings.replace("NAME", &name)),
        ("main.tf", INFRASTRUCTURE.replace("NAME", &name)),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let release = world.release_without_snapshot(&files, &[]);
    world.tool(&["snapshot", "--release", "before"]).exits(0);
    Some(Shop {
        world,
        emulator,
        name,
        release,
    })
}

impl Shop {
    /// Names and resource ids of the database's instances.
    fn instances(&self) -> Vec<(String, String)> {
        let field = |text: &str, name: &str| {
            let rest = text.split_once(&format!("<{name}>"))?.1;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let page = |marker: &str| {
            let list = format!("Version=2014-10-31&Action=DescribeDBInstances{marker}");
            self.emulator.query("rds", &list)
        };
        let mut all = page("");
        let mut last = all.clone();
        while let Some(marker) = field(&last, "Marker") {
            last = page(&format!("&Marker={marker}"));
            all.push_str(&last);
        }
        let each = all.split("<DBInstance>").skip(1);
        let mut found: Vec<(String, String)> = each
            .filter_map(|text| Some((field(text, "DBInstanceIdentifier")?, field(text, "DbiResourceId")?)))
            .filter(|(name, _)| name.starts_with(&self.name))
            .collect();
        found.sort();
        found
    }

    /// The resource id of the instance that has the name.
    pub fn resource(&self) -> String {
        let all = self.instances();
        let found = all.iter().find(|(name, _)| *name == self.name);
        found
            .unwrap_or_else(|| panic!("nobody has the name in {all:?}"))
            .1
            .clone()
    }

    pub fn tasks(&self) -> Value {
        let found = self.emulator.json(
            "ecs",
            "AmazonEC2ContainerServiceV20141113.DescribeServices",
            &json!({"cluster": self.name, "services": ["web"]}),
        );
        found["services"][0]["desiredCount"].clone()
    }

    /// It has the name, the application runs, and Terraform knows it: the next plan is empty.
    #[track_caller]
    pub fn is_used(&self, resource: &str) {
        self.is_used_at(&self.release, resource);
    }

    /// The same on the configuration of another release.
    #[track_caller]
    fn is_used_at(&self, release: &Release, resource: &str) {
        assert_eq!(self.resource(), resource);
        assert_eq!(self.tasks(), 2);
        let known = self.world.state().attributes("aws_db_instance.main").clone();
        assert_eq!(
            (known["id"].as_str(), known["resource_id"].as_str()),
            (Some(resource), Some(resource))
        );
        self.world.is_clean_at(&release.commit, &[]);
    }
}

/// One step for one instance: a run takes all of them with it.
fn one_step() -> &'static str {
    SETTINGS.split_once("[[step]]\nname = \"moment\"").unwrap().0
}

fn restore<'a>(shop: &'a Shop, asked: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec![
        "to",
        &shop.release.commit,
        "--restore-database",
        asked,
        "--auto-approve",
    ];
    words.extend(more);
    words
}

#[test]
fn a_snapshot_comes_back_and_the_next_plan_is_empty() {
    scenario(|world| {
        let Some(shop) = shop(world, one_step()) else { return };
        let (world, old) = (&shop.world, shop.resource());
        let snapshot = format!("{}-good", shop.name);
        world.tool(&["steps", "database"]).exits(0).says(&snapshot);
        let asked = format!("database={snapshot}");
        world
            .tool(&restore(&shop, &asked, &[]))
            .exits(3)
            .says("--accept-data-loss 'database'");
        assert_eq!(shop.instances().len(), 1, "nothing was begun");
        world
            .tool(&restore(&shop, &asked, &["--accept-data-loss", "database"]))
            .exits(0)
            .says("goes from 2 to 0 tasks")
            .says("Terraform knows database instance");
        let new = shop.resource();
        assert_ne!(new, old);
        shop.is_used(&new);
        assert!(
            shop.instances().iter().any(|(_, resource)| *resource == old),
            "the old one is kept"
        );
        // A release alone never makes it go back.
        let restored = world.last_run();
        world
            .tool(&["to", "before", "--auto-approve"])
            .exits(0)
            .says("--restore-database database")
            // The time up to which it can be restored passes by itself.
            .never_says("changed outside of Terraform");
        shop.is_used(&new);
        world
            .tool(&["undo", &restored, "--auto-approve", "--accept-data-loss", "database"])
            .exits(0);
        shop.is_used(&old);
        world.is_tidy();
    });
}

#[test]
fn a_moment_comes_back_by_the_step_alone() {
    scenario(|world| {
        let Some(shop) = shop(world, SETTINGS) else { return };
        let (world, old) = (&shop.world, shop.resource());
        world
            .tool(&restore(&shop, "moment=2020-01-01T00:00:00Z", &["--step", "moment"]))
            .exits(3)
            .says("is outside");
        std::thread::sleep(Duration::from_secs(2));
        let moment = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1);
        let asked = format!("moment={moment:.0}");
        world
            .tool(&restore(
                &shop,
                &asked,
                &["--step", "moment", "--accept-data-loss", "moment"],
            ))
            .exits(0);
        let new = shop.resource();
        assert_ne!(new, old);
        shop.is_used(&new);
        world
            .tool(&["undo", "--auto-approve", "--accept-data-loss", "moment"])
            .exits(0);
        shop.is_used(&old);
        world.is_tidy();
    });
}

/// Terraform goes first, both ways: its plan is of the instance that has the name when it is made, and what it changes of
/// that one is true of the one that takes the name.
#[test]
fn terraform_and_a_snapshot_come_back_in_one_run() {
    scenario(|world| {
        let Some(shop) = shop(world, one_step()) else { return };
        let (world, old) = (&shop.world, shop.resource());
        let changed = INFRASTRUCTURE
            .replace("team = \"web\"", "team = \"store\"")
            .replace("database/host", "database/address")
            + "resource \"aws_ssm_parameter\" \"port\" {\n  name = \"/NAME/database/port\"\n  type = \"String\"\n  \
               value = aws_db_instance.main.port\n}\n";
        let files = [
            ("infra-rollback.toml", one_step().replace("NAME", &shop.name)),
            ("main.tf", changed.replace("NAME", &shop.name)),
        ];
        let second = world.release(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        let asked = format!("database={}-good", shop.name);
        world
            .tool(&restore(&shop, &asked, &["--accept-data-loss", "database"]))
            .exits(0)
            .says("Terraform knows database instance");
        let new = shop.resource();
        assert_ne!(new, old);
        shop.is_used(&new);
        let events = world.events(&world.last_run());
        let place = |event: &str| events.iter().position(|found| found == event).unwrap();
        assert!(
            place("stack-done") < place("step-intended") && place("step-done") < place("terraform-told"),
            "{events:?}"
        );
        world
            .tool(&["undo", "--auto-approve", "--accept-data-loss", "database"])
            .exits(0);
        shop.is_used_at(&second, &old);
        world.is_tidy();
    });
}

#[test]
fn a_snapshot_comes_back_through_a_service() {
    scenario(|world| {
        let Some(mut shop) = shop(world, one_step()) else {
            return;
        };
        let old = shop.resource();
        let (operator, approver) = (
            shop.world.token("ci", "operator", &[]),
            shop.world.token("ann", "approver", &[]),
        );
        let admin = shop.world.token("root", "admin", &[]);
        let service = Service::start(&shop.world, &[]);
        let snapshot = format!("{}-good", shop.name);
        through(&mut shop.world, &service, &operator, &["steps", "database"])
            .exits(0)
            .says(&snapshot);
        let asked = format!("database={snapshot}");
        let plan = ["plan", "before", "--restore-database", &asked];
        let (here, there) = (
            shop.world.tool(&plan),
            through(&mut shop.world, &service, &operator, &plan),
        );
        assert_eq!(here.exits(0).stdout, there.exits(0).stdout);
        // Whoever may not approve has it planned; what is lost has to be accepted by whoever says yes.
        let to = ["to", "before", "--restore-database", &asked];
        through(&mut shop.world, &service, &operator, &to)
            .exits(6)
            .says("database");
        through(&mut shop.world, &service, &approver, &["approve", "--auto-approve"]).fails();
        assert_eq!(shop.resource(), old, "nothing was begun");
        let run = shop.world.last_run();
        let yes = ["approve", &run, "--auto-approve", "--accept-data-loss", "database"];
        through(&mut shop.world, &service, &approver, &yes)
            .exits(0)
            .says("1 of 1");
        // The service does it; whoever wants to see it to its end follows.
        through(&mut shop.world, &service, &operator, &["resume", &run]).exits(0);
        let new = shop.resource();
        assert_ne!(new, old);
        shop.is_used(&new);
        let undo = ["undo", "--auto-approve", "--accept-data-loss", "database"];
        through(&mut shop.world, &service, &admin, &undo).exits(0);
        shop.is_used(&old);
        shop.world.is_tidy();
    });
}

#[test]
fn killed_anywhere_it_ends_with_the_restored_one_and_an_empty_plan() {
    scenario(|world| {
        let Some(mut shop) = shop(world, SETTINGS) else { return };
        let old = shop.resource();
        let yes = ["--step", "database", "--accept-data-loss", "database"];
        let asked = format!("database={}-good", shop.name);
        let arguments: Vec<String> = restore(&shop, &asked, &yes).into_iter().map(str::to_owned).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let undo = |shop: &Shop| {
            let ran = shop
                .world
                .tool(&["undo", "--auto-approve", "--accept-data-loss", "database"]);
            ran.exits(0);
            assert_eq!((shop.resource(), shop.tasks()), (old.clone(), json!(2)));
        };
        let resumed = |shop: &Shop, what: &str| {
            shop.world.tool(&["resume", "--auto-approve"]).exits(0);
            let new = shop.resource();
            assert_ne!(new, old, "{what}");
            assert_eq!(shop.tasks(), 2, "{what}: as many as before it began");
            let known = shop.world.state().attributes("aws_db_instance.main").clone();
            assert_eq!(known["id"].as_str(), Some(new.as_str()), "{what}");
        };
        // In the middle of a step: the change was made, and its answer never came.
        let direct = shop.world.variable("AWS_ENDPOINT_URL").unwrap().to_owned();
        for (place, what) in [
            ("desiredCount", 1),
            ("NewDBInstanceIdentifier", 1),
            ("NewDBInstanceIdentifier", 2),
        ] {
            let holding = Holding::start(&direct, place, what);
            shop.world.set("AWS_ENDPOINT_URL", &holding.url());
            let running = shop.world.start(&arguments);
            wait_until("the answer is held back", || holding.holds());
            kill(running.pid());
            drop(running);
            shop.world.set("AWS_ENDPOINT_URL", &direct);
            resumed(&shop, place);
            undo(&shop);
        }
        // At the boundaries of the journal from the moment on that the run knows what it is about.
        shop.world.tool(&arguments).exits(0);
        let journal = shop.world.journal(&shop.world.last_run());
        let place = |event: &str| journal.iter().position(|entry| entry["event"] == event).unwrap() + 1;
        let (first, last) = (place("step-planned"), place("terraform-told"));
        undo(&shop);
        let points = (first..=last).flat_map(|sequence| ["before", "after"].map(|when| format!("{when}:{sequence}")));
        // In the short form every fourth one; over several runs of it all are seen.
        let (each, from) = if scale() > 1 {
            (1, 0)
        } else {
            (4, usize::try_from(std::process::id() % 4).unwrap())
        };
        for point in points.skip(from).step_by(each) {
            crash(&shop.world, &arguments, &point);
            resumed(&shop, &point);
            undo(&shop);
        }
        shop.is_used(&old);
    });
}
