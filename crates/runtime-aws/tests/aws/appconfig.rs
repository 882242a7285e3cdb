//! Configuration profiles of AppConfig. The emulator knows no deployments, so its part is played here, by what the API's
//! reference says: one deployment at a time in an environment, states one after the other, and stopping one brings back
//! the version before.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use rollback_runbook::step::Silent;
use serde_json::{Value, json};

use crate::bench::{Bench, Lines, change, said};

#[derive(Clone, Debug, Default)]
pub struct AppConfigPlayed(Arc<Mutex<Played>>);

#[derive(Debug, Default)]
pub struct Played {
    /// Version and state, the first is number 1.
    deployments: Vec<(String, &'static str)>,
    versions: Vec<String>,
    /// What becomes of the next deployment.
    ends_badly: bool,
}

pub const TABLE: &str =
    "kind = \"appconfig\"\napplication = \"shop\"\nenvironment = \"prod\"\nconfiguration_profile = \"flags\"";

/// A service that is played, and who speaks to it.
pub struct World {
    pub played: AppConfigPlayed,
    pub bench: Bench,
}

impl World {
    pub fn new() -> World {
        let played = AppConfigPlayed::default();
        World {
            bench: played.bench(),
            played,
        }
    }
}

impl AsRef<Bench> for World {
    fn as_ref(&self) -> &Bench {
        &self.bench
    }
}

impl AppConfigPlayed {
    fn bench(&self) -> Bench {
        let played = self.clone();
        let client: SharedHttpClient = http_client_fn(move |_, _| SharedHttpConnector::new(played.clone()));
        Bench::over(client, "http://appconfig.invalid")
    }

    /// Somebody deploys a version, and it is complete.
    pub fn deploy(&self, version: &str) {
        let mut played = self.0.lock().unwrap();
        if !played.versions.iter().any(|known| known == version) {
            played.versions.push(version.to_owned());
        }
        played.deployments.push((version.to_owned(), "COMPLETE"));
    }

    pub fn starts(&self) -> usize {
        self.0.lock().unwrap().deployments.len()
    }
}

impl HttpConnector for AppConfigPlayed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut played = self.0.lock().unwrap();
        let uri = request
            .uri()
            .split_once("://")
            .map_or(request.uri(), |(_, rest)| rest)
            .to_owned();
        let path = uri
            .split_once('/')
            .map_or("", |(_, path)| path)
            .split('?')
            .next()
            .unwrap()
            .to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let (status, answer) = played.answer(request.method(), &parts, &body);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(answer.to_string()),
        )))
    }
}

impl Played {
    fn answer(&mut self, method: &str, path: &[&str], body: &Value) -> (u16, Value) {
        let refused = |status, code: &str| (status, json!({"__type": code, "Message": "no"}));
        match (method, path) {
            ("GET", ["applications"]) => (200, json!({"Items": [{"Id": "a1", "Name": "shop"}]})),
            ("GET", ["applications", "a1", "environments"]) => (200, json!({"Items": [{"Id": "e1", "Name": "prod"}]})),
            ("GET", ["applications", "a1", "configurationprofiles"]) => (
                200,
                json!({"Items": [{"Id": "p1", "Name": "flags", "LocationUri": "hosted"}]}),
            ),
            (
                "GET",
                [
                    "applications",
                    "a1",
                    "configurationprofiles",
                    "p1",
                    "hostedconfigurationversions",
                    version,
                ],
            ) => match self.versions.iter().any(|known| known == version) {
                true => (200, json!({})),
                false => refused(404, "ResourceNotFoundException"),
            },
            ("GET", ["applications", "a1", "environments", "e1", "deployments"]) => {
                let all: Vec<Value> = (0..self.deployments.len())
                    .rev()
                    .map(|index| self.deployment(index))
                    .collect();
                (200, json!({"Items": all}))
            }
            ("POST", ["applications", "a1", "environments", "e1", "deployments"]) => {
                if self
                    .deployments
                    .iter()
                    .any(|(_, state)| ["DEPLOYING", "BAKING", "ROLLING_BACK"].contains(state))
                {
                    return refused(409, "ConflictException");
                }
                self.deployments
                    .push((body["ConfigurationVersion"].as_str().unwrap().to_owned(), "DEPLOYING"));
                (201, self.deployment(self.deployments.len() - 1))
            }
            (_, ["applications", "a1", "environments", "e1", "deployments", number]) => {
                let index = number.parse::<usize>().unwrap() - 1;
                let told = self.deployment(index);
                let state = &mut self.deployments[index].1;
                *state = match (method, *state) {
                    ("DELETE", _) => "ROLLING_BACK",
                    (_, "DEPLOYING") if self.ends_badly => "ROLLED_BACK",
                    (_, "DEPLOYING") => "BAKING",
                    (_, "BAKING") => "COMPLETE",
                    (_, "ROLLING_BACK") => "ROLLED_BACK",
                    (_, state) => state,
                };
                (200, told)
            }
            other => panic!("nobody asks this of AppConfig: {other:?}"),
        }
    }

    fn deployment(&self, index: usize) -> Value {
        let (version, state) = &self.deployments[index];
        json!({"DeploymentNumber": index + 1, "ConfigurationProfileId": "p1", "ConfigurationName": "flags",
            "ConfigurationVersion": version, "State": state, "PercentageComplete": if *state == "DEPLOYING" { 20 } else { 100 },
            "EventLog": [{"Description": "an alarm rang"}]})
    }
}

#[test]
fn a_version_is_deployed_again_and_waited_for_in_a_played_appconfig() {
    let played = AppConfigPlayed::default();
    let bench = played.bench();
    let step = bench.step(TABLE);
    assert_eq!(
        step.look().unwrap()["version"],
        Value::Null,
        "nothing was ever deployed"
    );
    played.deploy("3");
    let release = step.look().unwrap();
    played.deploy("4");
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(
        change(&plan, "configuration flags"),
        ("version 4".into(), "version 3".into())
    );
    let lines = Lines::default();
    assert_eq!(step.go(&now, &release, &lines).unwrap(), release);
    assert!(lines.text().contains("DEPLOYING, 20 %"), "{}", lines.text());
    assert_eq!(step.plan(&release, &release).unwrap(), None);
    let starts = played.starts();
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
    assert_eq!(played.starts(), starts, "nothing is deployed twice");
    // Undo while AppConfig still watches its alarms.
    played.0.lock().unwrap().deployments.last_mut().unwrap().1 = "BAKING";
    assert_eq!(step.go(&release, &now, &Silent).unwrap(), now);
    assert_eq!(played.starts(), starts, "stopping brought the version before back");
}

#[test]
fn what_is_gone_stands_in_the_way_and_what_is_taken_back_is_said_in_a_played_appconfig() {
    let played = AppConfigPlayed::default();
    let bench = played.bench();
    let step = bench.step(TABLE);
    played.deploy("3");
    let release = step.look().unwrap();
    played.deploy("4");
    let now = step.look().unwrap();
    played.0.lock().unwrap().versions.retain(|version| version != "3");
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(plan.obstacles[0].contains("version 3"), "{plan:?}");
    played.0.lock().unwrap().ends_badly = true;
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        !error.untouched && said(&error).contains("an alarm rang"),
        "{}",
        said(&error)
    );
    let error = bench.step(&TABLE.replace("prod", "nowhere")).look().unwrap_err();
    assert!(said(&error).contains("no environment nowhere"), "{}", said(&error));
}
