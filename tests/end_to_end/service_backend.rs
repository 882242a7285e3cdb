//! Real terraform with the service as its `http` backend.

use rollback_tests::{Service, World, data, kill, moved, scenario, wait_until};
use serde_json::{Value, json};

use crate::locks::WAITING;

const STATE: &str = "/v1/stacks/repo/workspaces/default/state";
const VERSIONS: &str = "/v1/stacks/repo/workspaces/default/versions";
const BACKEND: &str = "terraform {\n  backend \"http\" {\n    retry_max = 0\n  }\n}\n";

/// A world whose terraform keeps its state in a service.
fn served(test: impl FnOnce(World, Service, String)) {
    scenario(|mut world| {
        // A commit to be a project by; then the service, whose port the backend's address has.
        world.write(&[("main.tf", BACKEND)]);
        world.commit("the beginning");
        let token = world.token("terraform", "operator", &["--stack", "repo"]);
        let service = Service::start(&world, &[]);
        let address = format!("{}{STATE}", service.url());
        for name in ["TF_HTTP_ADDRESS", "TF_HTTP_LOCK_ADDRESS", "TF_HTTP_UNLOCK_ADDRESS"] {
            world.set(name, &address);
        }
        world.set("TF_HTTP_USERNAME", "terraform");
        world.set("TF_HTTP_PASSWORD", &token);
        test(world, service, token);
    });
}

fn versions(service: &Service, token: &str) -> Vec<Value> {
    let page = service.get(&format!("{VERSIONS}?limit=100"), token).is(200).json();
    page["items"].as_array().expect("a page has items").clone()
}

#[test]
fn every_apply_is_a_version_under_its_lock() {
    served(|world, service, token| {
        for value in ["one", "two", "three"] {
            world.write(&[("main.tf", &(BACKEND.to_owned() + &data("a", value)))]);
            world.init();
            world.apply(&[]);
        }
        let versions = versions(&service, &token);
        assert_eq!(versions.len(), 3);
        assert!(
            versions
                .iter()
                .all(|version| version["lock_id"].is_string() && version["serial"].is_u64())
        );
        let locks = service.get("/v1/locks", &token).is(200).json();
        assert_eq!(locks["items"], json!([]), "each gave its lock back");
        let pulled = world.terraform(&["state", "pull"]);
        let kept = service.get(&format!("{VERSIONS}/3/raw"), &token).is(200);
        assert_eq!(pulled.exits(0).json(), kept.json());

        let listed = world.tool(&["state", "versions"]);
        listed.exits(0).says("written through the service").says("write:3");
        assert_eq!(world.tool(&["state", "pull", "write:3"]).exits(0).bytes, kept.body);

        // An older state, and one of other infrastructure, do not get in.
        let old = service.get(&format!("{VERSIONS}/1/raw"), &token).is(200);
        std::fs::write(world.out.join("old.tfstate"), &old.body).unwrap();
        let file = world.out.join("old.tfstate");
        world
            .terraform(&["state", "push", "-force", file.to_str().unwrap()])
            .exits(1);
        let other = String::from_utf8(old.body)
            .unwrap()
            .replace("\"lineage\": \"", "\"lineage\": \"0");
        std::fs::write(&file, other).unwrap();
        world
            .terraform(&["state", "push", "-force", file.to_str().unwrap()])
            .exits(1);
        assert_eq!(
            service.get(&format!("{VERSIONS}?limit=100"), &token).json()["items"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
    });
}

#[test]
fn two_terraforms_do_not_apply_at_the_same_time() {
    served(|world, service, token| {
        world.write(&[("main.tf", &(BACKEND.to_owned() + &data("a", "one") + WAITING))]);
        world.init();
        let one = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to apply", || world.is_out("begun"));
        let refused = world.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        refused
            .exits(1)
            .says("Error acquiring the state lock")
            .says("OperationTypeApply");
        let held = service.get("/v1/locks", &token).is(200).json();
        assert_eq!(
            (&held["items"][0]["kind"], &held["items"][0]["stack"]),
            (&json!("state"), &json!("repo"))
        );
        let waiting = world.start_terraform(&[
            "apply",
            "-auto-approve",
            "-input=false",
            "-no-color",
            "-lock-timeout=60s",
        ]);
        std::thread::sleep(std::time::Duration::from_secs(1));
        world.put_out("go");
        one.wait().exits(0);
        waiting.wait().exits(0);
        assert_eq!(service.get("/v1/locks", &token).is(200).json()["items"], json!([]));
    });
}

#[test]
fn a_lock_left_by_a_dead_terraform_is_broken_by_force_and_that_is_on_record() {
    served(|world, service, token| {
        world.write(&[("main.tf", &(BACKEND.to_owned() + WAITING))]);
        world.init();
        let mut dead = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to apply", || world.is_out("begun"));
        kill(dead.pid());
        wait_until("terraform to die", || !dead.is_running());
        drop(dead);
        let held = service.get("/v1/locks", &token).is(200).json();
        let id = held["items"][0]["info"]["ID"]
            .as_str()
            .expect("it is still locked")
            .to_owned();
        world
            .terraform(&["plan", "-input=false", "-no-color"])
            .exits(1)
            .says(&id);
        world.terraform(&["force-unlock", "-force", &id]).exits(0);
        world.put_out("go");
        world.apply(&[]);
        let log = world
            .tool(&["audit", "log", "--json", "--action", "state.unlock"])
            .exits(0)
            .json();
        let entries = log["entries"].as_array().unwrap();
        assert!(
            entries
                .iter()
                .any(|entry| entry["phase"] == "intended" && entry["detail"]["body_sha256"].is_null()),
            "an unlock without a body is one by force: {log}"
        );
    });
}

#[test]
fn a_stack_whose_state_lies_here_is_rolled_back_here() {
    served(|world, service, token| {
        let approver = world.token("ann", "approver", &[]);
        let text = |value: &str| BACKEND.to_owned() + &data("a", value);
        world.write(&[("main.tf", &text("one"))]);
        world.init();
        world.commit("one");
        world.apply(&[]);
        // The service's terraform asks the same backend: it needs the same address and token.
        let service = {
            drop(service);
            Service::start(&world, &["--listen", &address_of(&world)])
        };
        service.post("/v1/releases", &token, r#"{"name":"v1"}"#).is(201);
        world.write(&[("main.tf", &text("two"))]);
        world.commit("two");
        world.apply(&[]);
        service.post("/v1/releases", &token, r#"{"name":"v2"}"#).is(201);
        let (path, known) = service.rollback(&token, r#"{"revision":"v1"}"#);
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        let body = json!({ "digest": known["approval"]["digest"] }).to_string();
        service.post(&format!("{path}/approvals"), &approver, &body).is(201);
        let known = service.until(&path, &token, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(versions(&service, &token).len(), 3);
        let listed = world.tool(&["state", "versions", "--json"]).exits(0).json();
        assert!(listed["versions"].as_array().unwrap().len() >= 3, "{listed}");
    });
}

/// Serials of versions that were written before the state was deleted count, too.
#[test]
fn a_rollback_here_takes_a_serial_above_every_one_written() {
    served(|world, service, token| {
        let approver = world.token("ann", "approver", &[]);
        world.write(&[("main.tf", &(BACKEND.to_owned() + &data("a", "one")))]);
        world.init();
        world.commit("one");
        world.apply(&[]);
        let service = {
            drop(service);
            Service::start(&world, &["--listen", &address_of(&world)])
        };
        service.post("/v1/releases", &token, r#"{"name":"v1"}"#).is(201);
        let renamed = data("b", "one") + &moved("terraform_data.a", "terraform_data.b");
        world.write(&[("main.tf", &(BACKEND.to_owned() + &renamed))]);
        world.commit("two");
        world.apply(&[]);
        let pulled = world.terraform(&["state", "pull"]).exits(0).json();
        let with_serial = |serial: u64| {
            let mut state = pulled.clone();
            state["serial"] = serial.into();
            state.to_string()
        };
        service.post(STATE, &token, &with_serial(40)).is(200);
        service.call("DELETE", STATE, &token, "").is(200);
        service
            .post(STATE, &token, &with_serial(pulled["serial"].as_u64().unwrap()))
            .is(200);
        let (path, known) = service.rollback(&token, r#"{"revision":"v1"}"#);
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        let body = json!({ "digest": known["approval"]["digest"] }).to_string();
        service.post(&format!("{path}/approvals"), &approver, &body).is(201);
        let known = service.until(&path, &token, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        let now = world.terraform(&["state", "pull"]).exits(0).json();
        assert!(now["serial"].as_u64().unwrap() > 40, "{}", now["serial"]);
    });
}

/// The address that the backend's variables name.
fn address_of(world: &World) -> String {
    let url = world.variable("TF_HTTP_ADDRESS").expect("it was set");
    let rest = url.strip_prefix("http://").expect("it is a URL");
    rest.split('/').next().unwrap_or_default().to_owned()
}
