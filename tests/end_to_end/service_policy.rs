//! A rollback over HTTP is judged as on the command line: four eyes, overrides, broken glass, restores.

use rollback_tests::{Service, World, data, scenario};
use serde_json::{Value, json};

const NO_UPDATES: &str = "package main\nimport rego.v1\n\ndeny contains msg if {\n\tsome change in input.resource_changes\n\t\"update\" in change.change.actions\n\tmsg := sprintf(\"%s may not change\", [change.address])\n}\n";
const FOUR_EYES: &str = "environment = \"production\"\nfour_eyes = [\"production\"]\n";
/// From long ago until far away.
const FREEZE: &str = "[[policy.freeze]]\nname = \"always\"\nfrom = \"2020-01-01\"\nuntil = \"2099-01-01\"\n";

const APP: &str = "[[stack]]\nname = \"app\"\n";

/// Two releases of stack `app` under a policy; the commit of the first.
fn released(world: &World, policy: &str, rego: Option<&str>) -> String {
    let settings = format!("[policy]\n{policy}\n{APP}");
    let release = |input: &str| {
        let main = data("a", input);
        let mut files = vec![("infra-rollback.toml", settings.as_str()), ("main.tf", main.as_str())];
        files.extend(rego.map(|rego| ("policies/own.rego", rego)));
        world.release(&files).commit
    };
    let first = release("one");
    release("two");
    first
}

fn digest(known: &Value) -> String {
    let digest = known["approval"]["digest"].as_str();
    digest
        .unwrap_or_else(|| panic!("it awaits approval: {known}"))
        .to_owned()
}

fn approve(service: &Service, path: &str, token: &str, digest: &str) -> u16 {
    let body = json!({ "digest": digest }).to_string();
    service.post(&format!("{path}/approvals"), token, &body).status
}

fn over(service: &Service, path: &str, token: &str) -> Value {
    service.until(path, token, |known| known["over"] == true)
}

fn journal(service: &Service, path: &str, token: &str) -> String {
    let run = service.get(&path.replace("rollbacks", "runs"), token).is(200);
    run.json()["journal"].to_string()
}

/// Waits until there is a plan that nothing in the policy denies.
fn until_approvable(service: &Service, path: &str, token: &str) -> Value {
    service.until(path, token, |known| {
        known["status"] == "awaiting-approval" && known["denials"] == json!([]) && known["approval"].is_object()
    })
}

#[test]
fn the_policys_four_eyes_hold_for_principals() {
    scenario(|world| {
        let first = released(&world, FOUR_EYES, None);
        // No flag of the service's own.
        let service = Service::start(&world, &[]);
        let (ann, namesake) = (world.token("ann", "admin", &[]), world.token("ann", "admin", &[]));
        let bob = world.token("bob", "approver", &[]);
        let (path, known) = service.rollback(&ann, &json!({ "revision": first }).to_string());
        assert_eq!(known["approval"]["by_requester"], false, "{known}");
        let digest = digest(&known);
        assert_eq!(approve(&service, &path, &ann, &digest), 403);
        assert_eq!(
            approve(&service, &path, &namesake, &digest),
            403,
            "another token of hers"
        );
        let evaluations = service.get(&format!("{path}/evaluations"), &bob).is(200).json();
        assert_eq!(evaluations["four_eyes"], true);
        let findings = evaluations["items"][0]["evaluation"]["findings"].to_string();
        assert!(findings.contains("rollback.four_eyes.warn"), "{evaluations}");
        assert_eq!(approve(&service, &path, &bob, &digest), 201);
        let known = over(&service, &path, &bob);
        assert_eq!(known["status"], "completed", "{known}");
    });
}

#[test]
fn a_soft_denial_waits_for_an_override_with_a_reason() {
    scenario(|world| {
        let soft = "bundle = \"policies\"\nlevel = \"soft-mandatory\"\n";
        let first = released(&world, soft, Some(NO_UPDATES));
        let service = Service::start(&world, &[]);
        let (operator, approver) = (world.token("ci", "operator", &[]), world.token("bob", "approver", &[]));
        let chief = world.token("chief", "approver", &["--grant", "override"]);
        let body = json!({ "revision": first }).to_string();
        let (path, known) = service.rollback(&operator, &body);
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        assert_eq!(known["denials"][0]["rule"], "main.deny", "{known}");
        assert_eq!(known["denials"][0]["level"], "soft-mandatory");
        let denied = digest(&known);
        assert_eq!(
            approve(&service, &path, &approver, &denied),
            409,
            "the policy denies it"
        );

        let overrides = format!("{path}/overrides");
        let over_it = |token: &str, rules: Value, reason: &str| {
            let body = json!({ "rules": rules, "reason": reason }).to_string();
            service.post(&overrides, token, &body).status
        };
        assert_eq!(over_it(&approver, json!(["main.deny"]), "it burns"), 403);
        assert_eq!(over_it(&operator, json!(["main.deny"]), "it burns"), 403);
        assert_eq!(over_it(&chief, json!(["main.deny"]), "  "), 400);
        assert_eq!(over_it(&chief, json!([]), "it burns"), 400);
        assert_eq!(over_it(&chief, json!(["rollback.age.deny"]), "it burns"), 409);
        assert_eq!(over_it(&chief, json!(["main.deny"]), "orders are lost"), 201);

        let known = until_approvable(&service, &path, &approver);
        let digest = digest(&known);
        assert_ne!(digest, denied, "the override is part of what is approved");
        assert_eq!(known["overrides"][0]["reason"], "orders are lost");
        assert_eq!(approve(&service, &path, &approver, &denied), 409, "the former plan");
        assert_eq!(approve(&service, &path, &approver, &digest), 201);
        let known = self::over(&service, &path, &approver);
        assert_eq!(known["status"], "completed", "{known}");
        let journal = journal(&service, &path, &approver);
        assert!(
            journal.contains("policy-overridden") && journal.contains("chief ("),
            "{journal}"
        );
        let log = world.tool(&["audit", "log", "--json", "--action", "overrides.create"]);
        let log = log.exits(0).json().to_string();
        for expected in ["orders are lost", "main.deny", "chief (", "intended", "denied"] {
            assert!(log.contains(expected), "{expected}: {log}");
        }

        // At once, by somebody who may.
        let undo = json!({ "override_policy": ["main.deny"], "reason": "and back" }).to_string();
        service.post(&format!("{path}/undo"), &operator, &undo).is(403);
        let admin = world.token("admin", "admin", &[]);
        let undo = service.post(&format!("{path}/undo"), &admin, &undo).is(202).json();
        let path = format!("/v1/rollbacks/{}", undo["id"].as_str().unwrap());
        let known = until_approvable(&service, &path, &admin);
        assert_eq!(approve(&service, &path, &approver, &self::digest(&known)), 201);
        assert_eq!(self::over(&service, &path, &admin)["status"], "completed");
    });
}

#[test]
fn what_is_hard_mandatory_is_over_at_once() {
    scenario(|world| {
        let first = released(&world, "bundle = \"policies\"\n", Some(NO_UPDATES));
        let service = Service::start(&world, &[]);
        let admin = world.token("admin", "admin", &["--grant", "break-glass"]);
        world.unchanged(|_| {
            let (path, known) = service.rollback(&admin, &json!({ "revision": first }).to_string());
            assert_eq!(
                (&known["status"], &known["over"]),
                (&json!("refused"), &json!(true)),
                "{known}"
            );
            assert_eq!(known["denials"][0]["level"], "hard-mandatory");
            let body = json!({ "rules": ["main.deny"], "reason": "it burns" }).to_string();
            let answer = service.post(&format!("{path}/overrides"), &admin, &body).is(422);
            assert!(
                answer.json()["detail"]
                    .as_str()
                    .unwrap()
                    .contains("nobody can override")
            );
            let body = json!({ "digest": "0", "reason": "it burns" }).to_string();
            service.post(&format!("{path}/break-glass"), &admin, &body).is(409);
            // Named beforehand it stays denied as well.
            let body = json!({ "revision": first, "override_policy": ["main.deny"], "reason": "x" }).to_string();
            let (_, known) = service.rollback(&admin, &body);
            assert_eq!(known["status"], "refused", "{known}");
        });
    });
}

#[test]
fn what_runs_code_is_overridden_before_terraform_is_started() {
    scenario(|world| {
        let canary = world.out.join("canary");
        let hostile = format!(
            "{}resource \"terraform_data\" \"runs\" {{\n  input = \"x\"\n  provisioner \"local-exec\" {{\n    command = \"echo ran >> '{}'\"\n  }}\n}}\n",
            data("a", "one"),
            canary.display()
        );
        world.release(&[("infra-rollback.toml", APP), ("main.tf", hostile.as_str())]);
        world.release(&[("infra-rollback.toml", APP), ("main.tf", data("a", "two").as_str())]);
        std::fs::remove_file(&canary).unwrap();
        // A commit of which no release tells that it ran.
        world.put("main.tf", &hostile.replace("input = \"x\"", "input = \"y\""));
        world.commit("never applied");
        let never = world.git(&["rev-parse", "HEAD"]);
        world.put("main.tf", &data("a", "two"));
        world.commit("back");
        let service = Service::start(&world, &[]);
        let admin = world.token("admin", "admin", &[]);
        let (path, known) = service.rollback(&admin, &json!({ "revision": never }).to_string());
        assert_eq!(known["denials"][0]["rule"], "rollback.configuration.deny", "{known}");
        assert_eq!(known["approval"], Value::Null, "there is no plan to approve yet");
        assert!(!canary.exists());
        let body = json!({ "rules": ["rollback.configuration.deny"], "reason": "we know it" }).to_string();
        service.post(&format!("{path}/overrides"), &admin, &body).is(201);
        let known = until_approvable(&service, &path, &admin);
        assert!(!canary.exists(), "a plan runs no provisioner");
        assert_eq!(approve(&service, &path, &admin, &digest(&known)), 201);
        let known = over(&service, &path, &admin);
        assert_eq!(known["status"], "completed", "{known}");
        assert!(canary.exists());
    });
}

#[test]
fn a_restore_is_judged_and_approved_like_any_rollback() {
    scenario(|world| {
        let first = released(&world, &format!("{FOUR_EYES}{FREEZE}"), None);
        let service = Service::start(&world, &[]);
        let (ann, bob) = (world.token("ann", "admin", &[]), world.token("bob", "approver", &[]));
        world.unchanged(|world| {
            let refused = world.tool(&["state", "restore", &first, "--auto-approve", "--accept-orphans"]);
            refused
                .exits(3)
                .says("rollback.freeze_window.deny")
                .says("--override-policy");
            let dry = world.tool(&["state", "restore", &first, "--dry-run", "--json"]);
            dry.exits(3).says("rollback.freeze_window.deny");
        });
        let body = json!({ "version": first, "reason": "the state is wrong" }).to_string();
        let asked = service.post("/v1/stacks/app/restores", &ann, &body).is(202).json();
        service.post("/v1/stacks/nothing/restores", &ann, &body).is(400);
        let path = format!("/v1/rollbacks/{}", asked["id"].as_str().unwrap());
        let known = service.until(&path, &ann, |known| known["denials"] != json!([]));
        assert_eq!(known["denials"][0]["rule"], "rollback.freeze_window.deny", "{known}");
        let evaluations = service.get(&format!("{path}/evaluations"), &bob).is(200).json();
        assert_eq!(
            evaluations["items"][0]["evaluation"]["verdict"], "refused",
            "{evaluations}"
        );
        let over_it = json!({ "rules": ["rollback.freeze_window.deny"], "reason": "it cannot wait" }).to_string();
        service.post(&format!("{path}/overrides"), &ann, &over_it).is(201);
        let known = until_approvable(&service, &path, &ann);
        let plan = service.get(&format!("{path}/plan"), &bob).is(200).json();
        assert_eq!(plan["restore"]["stack"], "app", "{plan}");
        assert_eq!(approve(&service, &path, &ann, &digest(&known)), 403, "four eyes");
        assert_eq!(approve(&service, &path, &bob, &digest(&known)), 201);
        let known = over(&service, &path, &ann);
        assert_eq!(known["status"], "completed", "{known}");
        let live = String::from_utf8(world.live_bytes().unwrap()).unwrap();
        assert!(live.contains("\"one\"") && !live.contains("\"two\""), "{live}");
        // On the command line one person alone is told to wait for another, and a reason is needed.
        let over_it = [
            "state",
            "restore",
            &first,
            "--auto-approve",
            "--override-policy",
            "freeze_window",
        ];
        world.tool(&over_it).exits(2).says("reason");
        let mut with_reason = over_it.to_vec();
        with_reason.extend(["--reason", "it cannot wait"]);
        world.tool(&with_reason).exits(6).says("somebody other than");
    });
}

#[test]
fn broken_glass_is_loud_and_goes_ahead() {
    scenario(|world| {
        let first = released(&world, FOUR_EYES, None);
        let service = Service::start(&world, &["--approvals", "2"]);
        let admin = world.token("admin", "admin", &[]);
        let on_call = world.token("oncall", "operator", &["--grant", "break-glass"]);
        let (path, known) = service.rollback(&on_call, &json!({ "revision": first }).to_string());
        let digest = digest(&known);
        let glass = format!("{path}/break-glass");
        let body = |digest: &str, reason: &str| json!({ "digest": digest, "reason": reason }).to_string();
        service.post(&glass, &admin, &body(&digest, "nobody answers")).is(403);
        service.post(&glass, &on_call, &body(&digest, " ")).is(400);
        service
            .post(&glass, &on_call, &body(&"0".repeat(64), "nobody answers"))
            .is(409);
        service.post(&glass, &on_call, &body(&digest, "nobody answers")).is(201);
        let known = over(&service, &path, &admin);
        assert_eq!(known["status"], "completed", "{known}");
        let journal = journal(&service, &path, &admin);
        assert!(
            journal.contains("glass-broken") && journal.contains("nobody answers"),
            "{journal}"
        );
        let events = service.get(&format!("{path}/events"), &admin).is(200);
        assert!(String::from_utf8_lossy(&events.body).contains("event: glass-broken"));
        let id = path.rsplit('/').next().unwrap();
        world
            .tool(&["runs", "show", id])
            .exits(0)
            .says("BROKE THE GLASS")
            .says("nobody answers");
        let log = world.tool(&["audit", "log", "--json", "--action", "rollbacks.break-glass"]);
        let log = log.exits(0).json().to_string();
        assert!(log.contains("nobody answers") && log.contains("oncall ("), "{log}");
    });
}

#[test]
fn checkpoints_are_signed_and_verified_from_an_export() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let (secret, public) = (world.out.join("audit.pem"), world.out.join("audit.pub.pem"));
        let (secret, public) = (secret.to_str().unwrap(), public.to_str().unwrap());
        let openssl = |arguments: &[&str]| {
            let ran = std::process::Command::new("openssl")
                .args(arguments)
                .output()
                .expect("openssl is there");
            assert!(ran.status.success(), "{ran:?}");
        };
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", secret]);
        openssl(&["pkey", "-in", secret, "-pubout", "-out", public]);
        world
            .tool(&["serve", "--listen", "127.0.0.1:0", "--audit-key", public])
            .exits(2)
            .says("Ed25519");
        let admin = world.token("admin", "admin", &[]);
        let service = Service::start(&world, &["--audit-key", secret]);
        service.post("/v1/releases", &admin, "{}").is(201);
        // The last checkpoint is signed at the end.
        rollback_tests::interrupt(service.process.pid());
        service.process.wait().exits(0);
        let verified = world
            .tool(&["audit", "verify", "--key", public, "--json"])
            .exits(0)
            .json();
        assert_eq!(
            (&verified["signed"], &verified["checkpoints"]),
            (&json!(true), &json!(2)),
            "{verified}"
        );
        assert_eq!(verified["last_checkpoint"], verified["entries"]);
        let kept = world
            .tool(&["audit", "checkpoint", "--key", secret, "--json"])
            .exits(0)
            .json();
        let note = world.out.join("checkpoint");
        std::fs::write(&note, kept["note"].as_str().unwrap()).unwrap();

        let file = world.out.join("audit.ndjson");
        world
            .tool(&["audit", "export", "--output", file.to_str().unwrap()])
            .exits(0);
        let verify = |name: &str, lines: &[&str], more: &[&str]| {
            let file = world.out.join(name);
            std::fs::write(&file, lines.join("\n") + "\n").unwrap();
            let mut arguments = vec!["audit", "verify", "--from", file.to_str().unwrap()];
            arguments.extend(more);
            world.tool_in(&world.out, &arguments)
        };
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (entries, signed): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| !line.starts_with("{\"checkpoint\":"));
        assert_eq!(
            (entries.len() as u64, signed.len()),
            (verified["entries"].as_u64().unwrap(), 2)
        );
        let note = note.to_str().unwrap();
        verify("whole", &lines, &["--key", public, "--checkpoint", note]).exits(0);
        let cut: Vec<&str> = entries[..entries.len() - 1].iter().chain(&signed).copied().collect();
        verify("cut", &cut, &["--key", public]).exits(1).says("cut off");
        verify("bare", &entries, &["--key", public])
            .exits(1)
            .says("no checkpoint");
        // The checkpoints of it cut off as well: the one that was kept elsewhere shows it.
        let fewer = &entries[..entries.len() - 1];
        verify("fewer", fewer, &[]).exits(0);
        verify("fewer", fewer, &["--key", public, "--checkpoint", note])
            .exits(1)
            .says("cut off");
        let other = world.out.join("other.pem");
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", other.to_str().unwrap()]);
        openssl(&["pkey", "-in", other.to_str().unwrap(), "-pubout", "-out", public]);
        verify("whole", &lines, &["--key", public])
            .exits(1)
            .says("not signed by the key");
    });
}
