//! The service as an orchestrator uses it: from a token to a verified rollback, approvals, crashes, the audit log.

use rollback_tests::{Service, World, data, interrupt, kill, scenario, wait_until};
use serde_json::{Value, json};

use crate::guards::PROTECTED;
use crate::locks::waiting_on_the_way_back;

fn digest(known: &Value) -> String {
    known["approval"]["digest"]
        .as_str()
        .expect("it awaits approval")
        .to_owned()
}

fn approve(service: &Service, path: &str, token: &str, digest: &str) -> u16 {
    let body = json!({ "digest": digest }).to_string();
    service.post(&format!("{path}/approvals"), token, &body).status
}

/// The kinds of a run's journal entries.
fn journal(service: &Service, path: &str, token: &str) -> Vec<String> {
    let run = service.get(&path.replace("rollbacks", "runs"), token).is(200).json();
    let entries = run["journal"].as_array().expect("it has a journal");
    entries
        .iter()
        .map(|entry| entry["event"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn from_a_token_to_a_verified_rollback_and_back() {
    scenario(|world| {
        world.write(&[("main.tf", "")]);
        world.commit("the beginning");
        let (admin, viewer) = (world.token("admin", "admin", &[]), world.token("viewer", "viewer", &[]));
        let (operator, approver) = (world.token("ci", "operator", &[]), world.token("ann", "approver", &[]));
        let service = Service::start(&world, &[]);
        let first = world.release_without_snapshot(&[("main.tf", &(data("a", "one") + &data("b", "one")))], &[]);
        let taken = service.post("/v1/releases", &operator, r#"{"name":"v1"}"#).is(201);
        assert!(taken.head.to_lowercase().contains("location: /v1/releases/"));
        let second = world.release_without_snapshot(&[("main.tf", &data("a", "two"))], &[]);
        service.post("/v1/releases", &operator, r#"{"name":"v2"}"#).is(201);
        service.post("/v1/releases", &viewer, "{}").is(403);
        let diff = service.get("/v1/releases/v1/diff?to=v2", &viewer).is(200).json();
        assert!(diff["stacks"][0]["resource_changes"].is_array(), "{diff}");

        let eligible = service.get("/v1/eligibility?to=v1", &viewer).is(200).json();
        assert_eq!(
            (&eligible["eligible"], &eligible["changes"]),
            (&json!(true), &json!(2)),
            "{eligible}"
        );
        assert_eq!(eligible["recreated_empty"], json!(["terraform_data.b"]));
        service.get("/v1/eligibility?to=nothing", &viewer).is(422);

        let body = r#"{"revision":"v1","reason":"it burns"}"#;
        let asked = service
            .call_with("POST", "/v1/rollbacks", &operator, &[("Idempotency-Key", "k")], body)
            .is(202);
        let again = service
            .call_with("POST", "/v1/rollbacks", &operator, &[("Idempotency-Key", "k")], body)
            .is(202);
        assert_eq!(asked.json()["id"], again.json()["id"]);
        let other = r#"{"revision":"v2"}"#;
        service
            .call_with("POST", "/v1/rollbacks", &operator, &[("Idempotency-Key", "k")], other)
            .is(422);
        let path = format!("/v1/rollbacks/{}", asked.json()["id"].as_str().unwrap());
        let known = service.until(&path, &viewer, |known| known["status"] == "awaiting-approval");
        let digest = digest(&known);
        let plan = service.get(&format!("{path}/plan"), &viewer).is(200).json();
        assert_eq!(
            (&plan["digest"], plan["resource_changes"].as_array().unwrap().len()),
            (&json!(digest), 2)
        );

        assert_eq!(
            approve(&service, &path, &operator, &digest),
            403,
            "an operator is no approver"
        );
        assert_eq!(approve(&service, &path, &approver, &"0".repeat(64)), 409);
        assert_eq!(
            journal(&service, &path, &viewer).last().unwrap(),
            "stopped",
            "nothing has begun"
        );
        assert_eq!(approve(&service, &path, &approver, &digest), 201);
        let known = service.until(&path, &viewer, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(world.objects().len(), first.objects.len());
        assert_eq!(
            world.objects()["terraform_data.a"],
            first.objects["terraform_data.a"],
            "the same object"
        );
        assert_eq!(approve(&service, &path, &approver, &digest), 409, "it was used");

        // The journal as events, whole and from the middle.
        let all = service.get(&format!("{path}/events"), &viewer).is(200);
        let text = String::from_utf8_lossy(&all.body).into_owned();
        assert!(text.contains("event: approved") && text.contains("event: verified") && text.contains("event: end"));
        let rest = service.call_with("GET", &format!("{path}/events"), &viewer, &[("Last-Event-ID", "5")], "");
        let rest = String::from_utf8_lossy(&rest.body).into_owned();
        assert!(!rest.contains("event: started") && rest.contains("id: 6"), "{rest}");

        let undo = service.post(&format!("{path}/undo"), &operator, "{}").is(202).json();
        let path = format!("/v1/rollbacks/{}", undo["id"].as_str().unwrap());
        let known = service.until(&path, &viewer, |known| known["status"] == "awaiting-approval");
        assert_eq!(approve(&service, &path, &approver, &self::digest(&known)), 201);
        let known = service.until(&path, &viewer, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(world.objects(), second.objects);

        // Given up before anybody says yes.
        let (path, known) = service.rollback(&operator, r#"{"revision":"v1"}"#);
        assert_eq!(known["status"], "awaiting-approval");
        service.post(&format!("{path}/cancel"), &operator, "{}").is(200);
        service.post(&format!("{path}/cancel"), &operator, "{}").is(409);
        assert_eq!(approve(&service, &path, &approver, &self::digest(&known)), 409);
        // Looked at only.
        let (_, known) = service.rollback(&operator, r#"{"revision":"v1","dry_run":true}"#);
        assert_eq!(known["status"], "planned");
        assert_eq!(world.objects(), second.objects);
        service
            .post("/v1/rollbacks", &operator, r#"{"revision":"nothing"}"#)
            .is(422);

        audit_is_whole(&world, &admin, &service);
    });
}

/// The command line verifies the log, from an export as well, and sees what was done to it.
fn audit_is_whole(world: &World, admin: &str, service: &Service) {
    let tip = service.get("/v1/audit/tip", admin).is(200).json();
    let verified = world.tool(&["audit", "verify", "--json"]).exits(0).json();
    assert!(verified["entries"].as_u64() >= tip["sequence"].as_u64());
    let seen = verified["seen"].as_str().unwrap().to_owned();
    let file = world.out.join("audit.ndjson");
    world
        .tool(&["audit", "export", "--output", file.to_str().unwrap()])
        .exits(0);
    let verify = |file: &std::path::Path| {
        world.tool_in(
            &world.out,
            &["audit", "verify", "--from", file.to_str().unwrap(), "--seen", &seen],
        )
    };
    verify(&file).exits(0);
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = world.out.join("changed.ndjson");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.iter().any(|line| line.contains("rollbacks.create"))
            && lines.iter().any(|line| line.contains("tokens.create"))
    );
    for bad in [
        text.replacen("it burns", "it purrs", 1).replacen("ci (", "cj (", 1),
        lines[..lines.len() - 1].join("\n") + "\n",
        lines[1..].join("\n") + "\n",
    ] {
        std::fs::write(&changed, bad).unwrap();
        verify(&changed).exits(1).says("the audit log is damaged");
    }
    let log = world
        .tool(&["audit", "log", "--json", "--action", "approvals"])
        .exits(0)
        .json();
    assert!(
        log["entries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["phase"] == "denied")
    );
}

#[test]
fn two_people_neither_of_them_the_one_who_asked() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let first = world.git(&["rev-parse", "HEAD"]);
        world.release_of(&data("a", "two"));
        let service = Service::start(&world, &["--approvals", "2", "--four-eyes"]);
        let (admin, ann, bob) = (
            world.token("admin", "admin", &[]),
            world.token("ann", "approver", &[]),
            world.token("bob", "approver", &[]),
        );
        let (path, known) = service.rollback(&admin, &json!({ "revision": first }).to_string());
        let digest = digest(&known);
        assert_eq!(approve(&service, &path, &admin, &digest), 403);
        assert_eq!(approve(&service, &path, &ann, &digest), 201);
        assert_eq!(approve(&service, &path, &ann, &digest), 201, "twice is once");
        std::thread::sleep(std::time::Duration::from_millis(500));
        let known = service.get(&path, &ann).is(200).json();
        assert_eq!(known["status"], "awaiting-approval");
        // Somebody applies meanwhile: what was approved is not what would be done any more.
        world.write(&[("main.tf", &data("a", "three"))]);
        world.apply(&[]);
        assert_eq!(approve(&service, &path, &bob, &digest), 201);
        let known = service.until(&path, &ann, |known| {
            known["status"] == "awaiting-approval"
                && known["approval"]["digest"].as_str().is_some_and(|new| new != digest)
        });
        assert_eq!(known["approval"]["given"], json!([]), "{known}");
        let digest = self::digest(&known);
        wait_until("the attempt to end", || approve(&service, &path, &ann, &digest) == 201);
        assert_eq!(approve(&service, &path, &bob, &digest), 201);
        let known = service.until(&path, &ann, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        let run = service
            .get(&path.replace("rollbacks", "runs"), &ann)
            .is(200)
            .json()
            .to_string();
        assert!(
            run.contains("ann (") && run.contains("bob ("),
            "who said yes is in the journal: {run}"
        );
    });
}

#[test]
fn a_killed_instance_leaves_a_rollback_that_the_other_goes_on_with() {
    scenario(|world| {
        let (first, _) = waiting_on_the_way_back(&world);
        let admin = world.token("admin", "admin", &[]);
        let (one, other) = (Service::start(&world, &[]), Service::start(&world, &[]));
        let body = json!({ "revision": first.commit }).to_string();
        let (path, known) = one.rollback(&admin, &body);
        assert_eq!(approve(&one, &path, &admin, &digest(&known)), 201);
        wait_until("terraform to apply", || world.is_out("begun"));
        kill(one.process.pid());
        let known = other.until(&path, &admin, |known| known["status"] != "applying");
        assert_eq!(known["status"], "needs-reconcile", "{known}");
        assert_eq!(known["at_rest"], true, "{known}");
        assert!(
            known["hints"][0].as_str().unwrap_or_default().contains("/resume"),
            "{known}"
        );
        assert_eq!(other.post(&format!("{path}/cancel"), "nobody", "{}").status, 401);
        world.put_out("go");
        other.post(&format!("{path}/resume"), &admin, "{}").is(202);
        let known = other.until(&path, &admin, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(world.objects()["terraform_data.a"], first.objects["terraform_data.a"]);
    });
}

#[test]
fn a_signal_ends_the_service_and_leaves_what_it_did_resumable() {
    scenario(|world| {
        let (first, _) = waiting_on_the_way_back(&world);
        let admin = world.token("admin", "admin", &[]);
        let service = Service::start(&world, &[]);
        let (path, known) = service.rollback(&admin, &json!({ "revision": first.commit }).to_string());
        assert_eq!(approve(&service, &path, &admin, &digest(&known)), 201);
        wait_until("terraform to apply", || world.is_out("begun"));
        interrupt(service.process.pid());
        std::thread::sleep(std::time::Duration::from_millis(500));
        world.put_out("go");
        service.process.wait().exits(0);
        let service = Service::start(&world, &[]);
        let known = service.get(&path, &admin).is(200).json();
        assert_eq!(known["status"], "halfway", "{known}");
        service.post(&format!("{path}/resume"), &admin, "{}").is(202);
        // What terraform left half made is replaced: that is not what was approved.
        let known = service.until(&path, &admin, |known| {
            known["over"] == true || known["approval"].is_object()
        });
        if known["over"] != true {
            assert_eq!(approve(&service, &path, &admin, &digest(&known)), 201);
        }
        let known = service.until(&path, &admin, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(world.objects()["terraform_data.a"], first.objects["terraform_data.a"]);
    });
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let token = world.token("ci", "viewer", &["--stack", "repo", "--expires", "90d"]);
        let service = Service::start(&world, &[]);
        let who = service.get("/v1/principal", &token).is(200).json();
        assert_eq!((&who["role"], &who["stacks"]), (&json!("viewer"), &json!(["repo"])));
        let listed = world.tool(&["tokens", "list"]);
        listed.exits(0).says("ci").says("viewer").never_says(&token);
        let secret = token.rsplit('_').next().unwrap();
        world.tool(&["tokens", "list", "--json"]).exits(0).never_says(secret);
        world.tool(&["tokens", "revoke", "ci"]).exits(0);
        service.get("/v1/principal", &token).is(401);
        world.tool(&["tokens", "revoke", "nobody"]).exits(1).says("tokens list");
        world
            .tool(&["tokens", "create", "--name", "x", "--role", "king"])
            .exits(2);
        world
            .tool(&[
                "tokens",
                "create",
                "--name",
                "x",
                "--role",
                "admin",
                "--expires",
                "soon",
            ])
            .exits(2);
        world.tool(&["serve", "--listen", "nonsense"]).exits(1).says("--listen");
    });
}

#[test]
fn data_is_lost_only_with_an_approval_that_names_it() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "two") + PROTECTED));
        let admin = world.token("admin", "admin", &[]);
        let service = Service::start(&world, &[]);
        let (path, known) = service.rollback(&admin, &json!({ "revision": first.commit }).to_string());
        let needed = json!({ "data_loss": ["terraform_data.kept"], "changes": [] });
        assert_eq!(known["approval"]["missing_acceptance"], needed, "{known}");
        let digest = digest(&known);
        assert_eq!(approve(&service, &path, &admin, &digest), 201);
        std::thread::sleep(std::time::Duration::from_millis(500));
        let known = service.get(&path, &admin).is(200).json();
        assert_eq!(
            known["status"], "awaiting-approval",
            "a yes to the plan alone is not enough"
        );
        let body = json!({ "digest": digest, "accept_data_loss": ["terraform_data.kept"] }).to_string();
        service.post(&format!("{path}/approvals"), &admin, &body).is(201);
        let known = service.until(&path, &admin, |known| known["over"] == true);
        assert_eq!(known["status"], "completed", "{known}");
        assert_eq!(world.objects(), first.objects);
    });
}
