//! Identity tokens: pipelines and people that prove who they are to the service with what an issuer signed.

mod issuers;
mod refused;

use std::time::Duration;

use rollback_tests::{Issuer, KeyKind, Service, Signer, World, data, scenario, wait_until};
use serde_json::{Value, json};

use crate::client::through;

const MAIN: &str = "repo:acme/infra:ref:refs/heads/main";

/// What the settings say of an issuer: `more` before the rules.
fn settings(issuer: &Issuer, more: &str, rules: &str) -> String {
    format!(
        "[[identity]]\nissuer = \"{}\"\naudience = \"infra-rollback\"\npause = \"1s\"\n{more}\n{rules}",
        issuer.url()
    )
}

const RULES: &str = r#"
[[identity.rule]]
role = "operator"
claims = { repository = "acme/infra", ref = ["refs/heads/main", "refs/heads/release/*"], environment = "production" }

[[identity.rule]]
role = "approver"
grants = ["read-metrics"]
claims = { repository = "acme/infra", environment = "approval" }

[[identity.rule]]
role = "viewer"
stacks = ["network"]
claims = { repository = "acme/infra" }
"#;

/// A service that takes the tokens of an issuer.
fn serve(world: &World, text: &str, arguments: &[&str]) -> Service {
    world.put("infra-rollback.toml", text);
    Service::start(world, arguments)
}

/// What GitHub Actions says of a job.
fn github(issuer: &Issuer, environment: &str, actor: &str) -> Value {
    issuer.claims(json!({
        "sub": format!("repo:acme/infra:environment:{environment}"), "repository": "acme/infra",
        "repository_owner": "acme", "ref": "refs/heads/main", "environment": environment, "actor": actor,
    }))
}

/// Whether a file below this folder holds the text.
fn holds(folder: &std::path::Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.flatten().any(|entry| match entry.path().is_dir() {
        true => holds(&entry.path(), text),
        false => {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        }
    })
}

fn begin(world: &World) {
    world.write(&[("main.tf", "")]);
    world.commit("the beginning");
}

#[test]
fn a_pipeline_rolls_back_with_its_own_identity_and_that_is_on_record() {
    scenario(|mut world| {
        let first = world.release(&[("main.tf", &data("a", "one"))]);
        world.release(&[("main.tf", &data("a", "two"))]);
        let signer = Signer::new("one", KeyKind::Rsa);
        let issuer = Issuer::start(&[&signer]);
        let service = serve(&world, &settings(&issuer, "", RULES), &[]);
        wait_until("it to say whose tokens it takes", || {
            service.log().contains(&issuer.url())
        });
        let admin = world.token("admin", "admin", &[]);
        let operator = signer.token(&github(&issuer, "production", "ann"));
        let approver = signer.token(&github(&issuer, "approval", "bob"));
        let viewer = signer.token(&github(&issuer, "staging", "eve"));

        let who = service.get("/v1/principal", &operator).is(200).json();
        assert_eq!(who["name"], "repo:acme/infra:environment:production by ann");
        assert_eq!((&who["role"], &who["stacks"]), (&json!("operator"), &Value::Null));
        assert_eq!(who["identity"]["issuer"], issuer.url());
        assert_eq!(who["identity"]["rule"], 1);
        assert_eq!(
            who["identity"]["claims"],
            json!({ "repository": "acme/infra", "ref": "refs/heads/main", "environment": "production" })
        );
        // As Terraform sends it.
        let basic = {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(format!("terraform:{operator}"))
        };
        let header = format!("Basic {basic}");
        let reply = service.raw("GET", "/v1/principal", &header);
        assert_eq!(reply.is(200).json()["id"], who["id"]);

        // What the rules say, and no more.
        service.get("/v1/stacks/repo/workspaces/default/state", &viewer).is(403);
        service.get("/v1/metrics", &viewer).is(403);
        service.get("/v1/metrics", &approver).is(200);
        service
            .post("/v1/rollbacks", &approver, r#"{"revision":"HEAD"}"#)
            .is(403);

        let token = &first.commit;
        let (path, known) = service.rollback(&operator, &json!({ "revision": token }).to_string());
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        let digest = json!({ "digest": known["approval"]["digest"] }).to_string();
        service.post(&format!("{path}/approvals"), &operator, &digest).is(403);
        service.post(&format!("{path}/approvals"), &approver, &digest).is(201);
        let known = service.until(&path, &operator, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        through(&mut world, &service, &operator, &["runs"]).exits(0);

        let log = world.tool(&["audit", "log", "--json"]).exits(0).json();
        let entries = log["entries"].as_array().unwrap();
        let of = |action: &str, phase: &str| {
            let found = entries
                .iter()
                .find(|entry| entry["action"] == action && entry["phase"] == phase);
            found.unwrap_or_else(|| panic!("{action} {phase}: {log}")).clone()
        };
        let asked = of("rollbacks.create", "intended");
        let id = who["id"].as_str().unwrap();
        assert_eq!(
            asked["actor"],
            format!("repo:acme/infra:environment:production by ann ({id})")
        );
        assert_eq!(asked["detail"]["identity"]["issuer"], issuer.url());
        assert_eq!(asked["detail"]["identity"]["claims"]["environment"], "production");
        let denied = of("approvals.create", "denied");
        assert_eq!(
            denied["detail"]["identity"]["subject"],
            "repo:acme/infra:environment:production"
        );
        through(&mut world, &service, &admin, &["audit", "verify"]).exits(0);

        // The token is nowhere.
        let shown = log.to_string() + &service.log();
        for token in [&operator, &approver, &viewer] {
            for part in token.split('.') {
                assert!(!shown.contains(part), "a part of a token is on record");
            }
            assert!(
                !holds(&world.home, token.rsplit('.').next().unwrap()),
                "a token is in the store"
            );
        }
    });
}

#[test]
fn one_person_is_one_person_whatever_tokens_they_have() {
    scenario(|world| {
        let first = world.release(&[("main.tf", &data("a", "one"))]);
        world.release(&[("main.tf", &data("a", "two"))]);
        let signer = Signer::new("one", KeyKind::P256);
        let issuer = Issuer::start(&[&signer]);
        let rules = "[[identity.rule]]\nrole = \"admin\"\nclaims = { repository_owner = \"acme\" }\n";
        let service = serve(
            &world,
            &settings(&issuer, "", rules),
            &["--approvals", "2", "--four-eyes"],
        );
        let token = |repository: &str, actor: &str| {
            signer.token(&issuer.claims(json!({
                "sub": format!("repo:acme/{repository}:ref:refs/heads/main"), "repository": format!("acme/{repository}"),
                "repository_owner": "acme", "actor": actor,
            })))
        };
        let asking = token("infra", "ann");
        let (path, known) = service.rollback(&asking, &json!({ "revision": first.commit }).to_string());
        let body = json!({ "digest": known["approval"]["digest"] }).to_string();
        let approve = |token: &str| service.post(&format!("{path}/approvals"), token, &body);
        // The same token, a newer one of the same job, her in another repository, another one in the same job, and a
        // token of hers.
        assert_eq!(approve(&asking).status, 403);
        assert_eq!(approve(&token("infra", "ann")).status, 403);
        assert_eq!(approve(&token("other", "Ann")).status, 403);
        assert_eq!(approve(&token("infra", "bob")).status, 403);
        assert_eq!(approve(&world.token("ann", "approver", &[])).status, 403);
        // One other person, twice and thrice.
        approve(&token("other", "bob")).is(201);
        approve(&token("third", "bob")).is(201);
        let given = approve(&world.token("Bob", "approver", &[])).is(201).json();
        assert_eq!(given["given"].as_array().unwrap().len(), 1, "{given}");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(
            service.get(&path, &asking).is(200).json()["status"],
            "awaiting-approval"
        );
        // And somebody else.
        approve(&world.token("cid", "approver", &[])).is(201);
        let known = service.until(&path, &asking, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
    });
}

#[test]
fn who_is_let_in_changes_without_a_restart() {
    scenario(|world| {
        begin(&world);
        let signer = Signer::new("one", KeyKind::Rsa);
        let issuer = Issuer::start(&[&signer]);
        let service = serve(&world, &settings(&issuer, "", RULES), &[]);
        let operator = signer.token(&github(&issuer, "production", "ann"));
        assert_eq!(
            service.get("/v1/principal", &operator).is(200).json()["role"],
            "operator"
        );
        let becomes = |what: &str, status: u16, role: &str| {
            wait_until(what, || {
                let reply = service.get("/v1/principal", &operator);
                reply.status == status && (status != 200 || reply.json()["role"] == role)
            });
        };
        // What cannot be understood shuts nobody out, and lets nobody else in.
        let broken = settings(&issuer, "", RULES).replace("role = \"operator\"", "role = \"emperor\"");
        world.put("infra-rollback.toml", &broken);
        wait_until("the complaint", || service.log().contains("what was read before stays"));
        assert_eq!(
            service.get("/v1/principal", &operator).is(200).json()["role"],
            "operator"
        );
        let less = settings(&issuer, "", RULES).replace("role = \"operator\"", "role = \"auditor\"");
        world.put("infra-rollback.toml", &less);
        becomes("another role", 200, "auditor");
        world.put("infra-rollback.toml", "");
        becomes("nobody to be let in", 401, "");
        world.put("infra-rollback.toml", &settings(&issuer, "", RULES));
        becomes("the first role again", 200, "operator");
    });
}
