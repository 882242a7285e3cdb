//! Parameters of Parameter Store.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use rollback_runbook::step::Silent;

use crate::bench::{Bench, change, said, unique};

pub struct World<'a> {
    bench: &'a Bench,
    ssm: Client,
    name: String,
}

impl<'a> World<'a> {
    pub fn new(bench: &'a Bench, kind: ParameterType, value: &str) -> World<'a> {
        let world = World {
            bench,
            ssm: Client::new(&bench.config),
            name: unique("/prod/flags/search"),
        };
        world.put(kind, value);
        world
    }

    pub fn put(&self, kind: ParameterType, value: &str) {
        let put = self
            .ssm
            .put_parameter()
            .name(&self.name)
            .value(value)
            .r#type(kind)
            .overwrite(true);
        self.bench.wait(put.send()).unwrap();
    }

    pub fn value(&self) -> String {
        let get = self.ssm.get_parameter().name(&self.name).with_decryption(true);
        self.bench.wait(get.send()).unwrap().parameter.unwrap().value.unwrap()
    }

    /// How often it was put.
    pub fn version(&self) -> usize {
        let get = self.bench.wait(self.ssm.get_parameter().name(&self.name).send());
        get.unwrap().parameter.unwrap().version.try_into().unwrap()
    }

    pub fn table(&self) -> String {
        format!("kind = \"ssm-parameter\"\nparameter = \"{}\"", self.name)
    }
}

#[test]
fn a_flag_goes_off_and_on_again() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench, ParameterType::String, "off");
    let step = bench.step(&world.table());
    let release = step.look().unwrap();
    world.put(ParameterType::String, "on");
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(change(&plan, "parameter /prod"), ("on".into(), "off".into()));
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(world.value(), "off");
    assert_eq!(
        step.plan(&there, &release).unwrap(),
        None,
        "another version with the same value"
    );
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), there, "nothing is put twice");
    step.go(&there, &now, &Silent).unwrap();
    assert_eq!(world.value(), "on");
}

#[test]
fn a_secret_goes_back_to_its_version_and_is_kept_nowhere() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench, ParameterType::SecureString, "hunter2-old");
    let step = bench.step(&world.table());
    let release = step.look().unwrap();
    world.put(ParameterType::SecureString, "hunter2-new");
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    for text in [
        release.to_string(),
        now.to_string(),
        serde_json::to_string(&plan).unwrap(),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(world.value(), "hunter2-old");
    assert_eq!(there["kind"], "SecureString");
    assert_eq!(step.plan(&there, &release).unwrap(), None);
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), there);
}

#[test]
fn a_version_that_is_no_longer_kept_stands_in_the_way() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench, ParameterType::SecureString, "hunter2-old");
    let step = bench.step(&world.table());
    let mut release = step.look().unwrap();
    release["version"] = 70.into();
    world.put(ParameterType::SecureString, "hunter2-new");
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        plan.obstacles[0].contains("version 70") && plan.obstacles[0].contains("no longer kept"),
        "{plan:?}"
    );
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(error.untouched && said(&error).contains("by hand"), "{}", said(&error));
    // A parameter that was made anew counts from 1 again: its version 1 is another one.
    let mut release = step.look().unwrap();
    release["version"] = 1.into();
    release["modified"] = 1.into();
    assert!(!step.plan(&now, &release).unwrap().unwrap().obstacles.is_empty());
}

#[test]
fn a_parameter_that_is_gone_is_made_anew_and_one_that_was_not_there_stays() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench, ParameterType::String, "off");
    let step = bench.step(&world.table());
    let release = step.look().unwrap();
    bench
        .wait(world.ssm.delete_parameter().name(&world.name).send())
        .unwrap();
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(plan.notes[0].contains("made anew"), "{plan:?}");
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(world.value(), "off");
    assert_eq!(
        step.plan(&there, &now).unwrap(),
        None,
        "removing parameters is Terraform's"
    );
}
