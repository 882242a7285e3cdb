//! The same secrets, and everything that a service says: every resource that can be read, events, problems, metrics, its log at its most
//! talkative, the audit log, what it has its client print, messages to people.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use rollback_tests::{Reply, Service, interrupt, scenario};
use serde_json::{Value, json};

use super::{GIVEN, IN_STATE, Planted, plant, scanner};

/// What shows a state as it is, to those who may see it: there the scanner proves itself.
const RAW: &[&str] = &["state.get", "written.raw", "versions.raw"];

/// A service whose every word is looked through.
struct Listened<'p> {
    planted: &'p Planted,
    service: Service,
    /// As the variables of a request.
    variables: Value,
    admin: String,
    approver: String,
}

impl Listened<'_> {
    #[track_caller]
    fn silent(&self, what: &str, reply: Reply) -> Reply {
        let scanner = &self.planted.scanner;
        scanner.silent(&format!("the head of {what}"), reply.head.as_bytes());
        scanner.silent(what, &reply.body);
        reply
    }

    #[track_caller]
    fn get(&self, path: &str) -> Reply {
        self.silent(path, self.service.get(path, &self.admin))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Reply {
        self.silent(path, self.service.post(path, &self.admin, &body.to_string()))
    }

    /// With the values of the variables.
    fn with_variables(&self, mut body: Value) -> Value {
        body["variables"] = self.variables.clone();
        body["nonce"] = json!("0123456789abcdef0123456789abcdef");
        body
    }

    /// Approves whatever waits for it, until it is over or at rest in the middle.
    #[track_caller]
    fn approved(&self, path: &str) -> Value {
        loop {
            let known = self.service.until(path, &self.admin, |known| {
                known["over"] == true || known["at_rest"] == true || known["approval"].is_object()
            });
            self.get(path).is(200);
            let Some(digest) = known["approval"]["digest"].as_str() else {
                return known;
            };
            let body = json!({ "digest": digest, "accept_changes": known["approval"]["missing_acceptance"]["changes"],
                "accept_data_loss": known["approval"]["missing_acceptance"]["data_loss"] });
            let answer = self
                .service
                .post(&format!("{path}/approvals"), &self.approver, &body.to_string());
            self.silent("an approval", answer).is(201);
            self.service
                .until(path, &self.admin, |known| known["approval"].is_null());
        }
    }

    #[track_caller]
    fn started(&self, path: &str, body: &Value) -> String {
        let known = self.post(path, body).is(202).json();
        format!("/v1/rollbacks/{}", known["id"].as_str().unwrap())
    }

    /// Has something looked into; the path of the answer.
    #[track_caller]
    fn looked_into(&self, path: &str, body: &Value) -> String {
        let task = self.post(path, body).is(202).json();
        let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
        let begun = Instant::now();
        while self.get(&path).is(200).json()["ended_at"].is_null() {
            assert!(begun.elapsed().as_secs() < 60, "{path} takes more than a minute");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        path
    }

    /// Everything that the document says can be read.
    fn everything(&self, values: &[(&str, &str)]) {
        let document = self.get("/v1/openapi.json").is(200).json();
        let codes = self.get("/v1/problems").is(200).json();
        assert!(codes.to_string().len() > 100);
        let (mut read, mut raw) = (0, BTreeSet::new());
        for (path, methods) in document["paths"].as_object().unwrap() {
            let Some(operation) = methods.get("get") else { continue };
            let mut path = path.clone();
            for (name, value) in values {
                path = path.replace(&format!("{{{name}}}"), value);
            }
            assert!(!path.contains('{'), "what is to be read at {path}?");
            let required = operation["parameters"].as_array().into_iter().flatten();
            let required = required.filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
            let query: Vec<String> = required
                .map(|parameter| {
                    let name = parameter["name"].as_str().unwrap();
                    let known = values.iter().find(|(known, _)| *known == name);
                    format!(
                        "{name}={}",
                        known.unwrap_or_else(|| panic!("what is {name} of {path}?")).1
                    )
                })
                .collect();
            if !query.is_empty() {
                path = format!("{path}?{}", query.join("&"));
            }
            let name = operation["operationId"].as_str().unwrap();
            if RAW.contains(&name) {
                let reply = self.service.get(&path, &self.admin).is(200);
                assert!(
                    self.planted.scanner.numbers(&reply.body).len() >= IN_STATE,
                    "the control: {name} shows the state as it is"
                );
                raw.insert(name.to_owned());
            } else {
                let reply = self.get(&path);
                assert!(matches!(reply.status, 200 | 204 | 400..=499), "{path}: {reply:?}");
                read += usize::from(reply.status == 200);
            }
        }
        assert_eq!(raw.len(), RAW.len(), "{raw:?}");
        assert!(read > 30, "{read} resources were read");
    }

    /// Bodies that are wrong, with secrets where they are wrong, at everything that takes one.
    fn problems(&self, values: &[(&str, &str)]) {
        let secret = &self.planted.secrets[GIVEN];
        let document = self.get("/v1/openapi.json").is(200).json();
        let mut refused = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            let mut path = path.clone();
            for (name, value) in values {
                path = path.replace(&format!("{{{name}}}"), value);
            }
            for method in ["post", "put"] {
                if methods.get(method).is_none() || path.ends_with("/state") || path.ends_with("/checkout") {
                    continue;
                }
                for body in [
                    json!(secret).to_string(),
                    json!([secret]).to_string(),
                    json!({ "variables": secret }).to_string(),
                    // Not where words are put on record as they are: revision, reason, names.
                    json!({ "variables": { "given": { "deep": secret } }, "digest": { "a": secret }, "nonce": 1 })
                        .to_string(),
                    format!("{{\"variables\": {{\"given\": {}", json!(secret)),
                    format!("{{\"variables\": {{\"given\": {} x", json!(secret)),
                ] {
                    let what = format!("the problem at {method} {path} with {}", body.len());
                    let reply = self.service.call(&method.to_uppercase(), &path, &self.admin, &body);
                    let reply = self.silent(&what, reply);
                    assert!((400..500).contains(&reply.status), "{what}: {reply:?}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 60, "{refused} bodies were refused");
        // Who shows a secret instead of a token is refused, and it is on no log.
        let header = self.planted.secrets[0].clone();
        for authorization in [format!("Bearer {header}"), format!("Basic {header}"), header.clone()] {
            let reply = self.service.raw("GET", "/v1/releases", &authorization);
            assert_eq!(self.silent("a wrong token", reply).status, 401);
        }
    }
}

#[test]
fn the_service_shows_none() {
    scenario(|world| {
        let mut planted = plant(world);
        let given = planted.world.variable("TF_VAR_given").unwrap().to_owned();
        let typed = planted.world.variable("TF_VAR_typed").unwrap().to_owned();
        // Whoever asks brings them.
        planted.world.unset("TF_VAR_given");
        planted.world.unset("TF_VAR_typed");
        planted.world.set("INFRA_ROLLBACK_LOG", "trace");
        let admin = planted.world.token(
            "admin",
            "admin",
            &[
                "--grant",
                "read-metrics",
                "--grant",
                "break-glass",
                "--grant",
                "override",
            ],
        );
        let approver = planted.world.token("ann", "approver", &[]);
        let key = planted.world.out.join("audit.pem");
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "ed25519", "-out"])
            .arg(&key)
            .output();
        assert!(made.is_ok_and(|made| made.status.success()), "openssl makes a key");
        let listened = Listened {
            service: Service::start(&planted.world, &["--audit-key", &key.to_string_lossy()]),
            planted: &planted,
            variables: json!({ "given": given, "typed": typed }),
            admin,
            approver,
        };
        let (first, second) = (planted.first.commit.as_str(), planted.second.commit.as_str());

        // It fails in the middle, with secrets in terraform's words, and goes on with the values given once more.
        planted.world.put_out("failing");
        let body = listened.with_variables(json!({ "revision": first, "reason": "it burns" }));
        let path = listened.started("/v1/rollbacks", &body);
        let known = listened.approved(&path);
        assert_eq!(known["status"], "halfway", "{known}");
        planted.world.remove_out("failing");
        listened
            .post(&format!("{path}/resume"), &listened.with_variables(json!({})))
            .is(202);
        let known = listened.approved(&path);
        assert_eq!(known["status"], "completed", "{known}");
        let events = listened.get(&format!("{path}/events")).is(200);
        let events = String::from_utf8_lossy(&events.body).into_owned();
        assert!(
            events.contains("event: stopped") && events.contains("event: end"),
            "{events}"
        );
        let undone = listened.started(&format!("{path}/undo"), &listened.with_variables(json!({})));
        let known = listened.approved(&undone);
        assert_eq!(known["status"], "completed", "{known}");

        let state = String::from_utf8(planted.server.state().unwrap()).unwrap();
        let state_path = "/v1/stacks/app/workspaces/default/state";
        listened
            .silent(
                "a state that is kept",
                listened.service.post(state_path, &listened.admin, &state),
            )
            .is(200);
        let task = listened.looked_into("/v1/drills", &listened.with_variables(json!({ "revision": first })));
        for (path, body) in [
            ("/v1/verifications", json!({ "terraform": true })),
            (
                "/v1/policy/inputs",
                listened.with_variables(json!({ "revision": first })),
            ),
            (
                "/v1/policy/evaluations",
                listened.with_variables(json!({ "revision": first })),
            ),
        ] {
            listened.looked_into(path, &body);
        }
        let release = listened.get("/v1/releases").is(200).json()["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let (run, task) = (path.rsplit('/').next().unwrap(), task.rsplit('/').next().unwrap());
        let values = [
            ("stack", "app"),
            ("workspace", "default"),
            ("number", "1"),
            ("version", release.as_str()),
            ("release", release.as_str()),
            ("run", run),
            ("rollback", run),
            ("task", task),
            ("step", "none"),
            ("code", "not-found"),
            ("to", second),
            ("from", "1"),
            ("sequence", "1"),
            ("address", "terraform_data.named"),
        ];
        listened.everything(&values);
        listened.problems(&values);

        // What the command line prints of it, at its most talkative.
        let environment = [
            ("INFRA_ROLLBACK_TOKEN", listened.admin.as_str()),
            ("TF_VAR_given", given.as_str()),
            ("TF_VAR_typed", typed.as_str()),
            ("INFRA_ROLLBACK_LOG", "trace"),
        ];
        let url = listened.service.url();
        for command in [
            &["plan", first, "-vvv"][..],
            &["plan", first, "--json"],
            &["report", run],
            &["runs", "show", run, "--json"],
            &["audit", "export", "--output", "-"],
            &["state", "blame", "terraform_data.deep"],
        ] {
            let words = [&["--server", &url], command].concat();
            let ran = planted.world.tool_with(&words, &environment);
            assert!(matches!(ran.code, 0..=3), "{ran}");
            planted.scanner.silent(&format!("stdout of {words:?}"), &ran.bytes);
            planted
                .scanner
                .silent(&format!("stderr of {words:?}"), ran.stderr.as_bytes());
        }

        interrupt(listened.service.process.pid());
        let log = listened.service.log();
        assert!(log.contains("TRACE"), "it says what it does");
        planted.scanner.silent("the service's log", log.as_bytes());
        let Listened { service, .. } = listened;
        service.process.wait();
        planted.nothing_around();
        let (texts, bytes) = planted.scanner.looked();
        eprintln!(
            "{} secrets in {} forms, not found in {texts} texts of {} KiB",
            planted.secrets.len(),
            scanner::FORMS.len(),
            bytes >> 10
        );
    });
}
