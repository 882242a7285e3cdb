//! What a service watches goes on by itself: after its end, after its death, and in another instance.

use rollback_tests::{Service, WebService, World, interrupt, kill, scenario, wait_until};
use serde_json::Value;

use crate::bakes::{broken_by_the_second, deployed, is_at};

const BODY: &str = r#"{"window_seconds":600,"every_seconds":1,"times":2,"rollback":true,"auto_approve":true}"#;

fn bake(service: &Service, token: &str) -> Value {
    service.get("/v1/bake", token).is(200).json()["bake"].clone()
}

/// It is watched: looks are taken.
fn watched(service: &Service, token: &str) {
    let before = bake(service, token)["looks"].as_u64();
    wait_until("it to be watched", || bake(service, token)["looks"].as_u64() > before);
}

fn begun(world: &World, web: &WebService) -> (String, Service) {
    deployed(world, web);
    let admin = world.token("root", "admin", &[]);
    let service = Service::start(world, &[]);
    service.post("/v1/bakes", &admin, BODY).is(202);
    watched(&service, &admin);
    (admin, service)
}

#[test]
fn after_its_death_and_after_its_end_a_service_goes_on_watching_and_rolls_back() {
    scenario(|world| {
        let web = WebService::start();
        let (admin, service) = begun(&world, &web);
        let id = bake(&service, &admin)["id"].clone();
        kill(service.process.pid());
        drop(service);
        let mut service = Service::start(&world, &[]);
        watched(&service, &admin);
        interrupt(service.process.pid());
        wait_until("its end", || !service.process.is_running());
        drop(service);
        let service = Service::start(&world, &[]);
        watched(&service, &admin);
        assert_eq!(bake(&service, &admin)["id"], id, "the very one");
        broken_by_the_second(&world, &web);
        wait_until("it to be rolled back", || {
            bake(&service, &admin)["status"] == "rolled-back"
        });
        assert!(is_at(&world, "one"));
        assert!(service.log().contains("watched here from now on"), "{}", service.log());
    });
}

#[test]
fn another_instance_goes_on_and_two_do_not_watch_at_once() {
    scenario(|world| {
        let web = WebService::start();
        let (admin, first) = begun(&world, &web);
        let second = Service::start(&world, &[]);
        let looks = bake(&second, &admin)["looks"].as_u64().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(6));
        assert!(!second.log().contains("watched here"), "the first one is there");
        let more = bake(&second, &admin)["looks"].as_u64().unwrap() - looks;
        assert!((4..=8).contains(&more), "{more} looks in six seconds");
        kill(first.process.pid());
        drop(first);
        watched(&second, &admin);
        second
            .post("/v1/bake/decisions", &admin, r#"{"what":"stop","reason":"enough"}"#)
            .is(200);
        wait_until("its end", || bake(&second, &admin)["status"] == "stopped");
    });
}

#[test]
fn a_yes_of_a_token_that_was_revoked_meanwhile_is_none() {
    scenario(|world| {
        let web = WebService::start();
        let (_, service) = begun(&world, &web);
        let other = world.token("ann", "approver", &[]);
        kill(service.process.pid());
        drop(service);
        world.tool(&["tokens", "revoke", "root"]).exits(0);
        let service = Service::start(&world, &[]);
        watched(&service, &other);
        broken_by_the_second(&world, &web);
        wait_until("the plan to be there", || {
            bake(&service, &other)["status"] == "rolling-back"
        });
        let path = format!("/v1/rollbacks/{}", bake(&service, &other)["run"].as_str().unwrap());
        wait_until("it to await approval", || {
            let reply = service.get(&path, &other);
            reply.status == 200 && reply.json()["status"] == "awaiting-approval"
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
        let known = service.get(&path, &other).is(200).json();
        assert_eq!(known["status"], "awaiting-approval", "{known}");
        assert!(is_at(&world, "two"));
        let digest = serde_json::json!({ "digest": known["approval"]["digest"] }).to_string();
        service.post(&format!("{path}/approvals"), &other, &digest).is(201);
        wait_until("it to be rolled back", || {
            bake(&service, &other)["status"] == "rolled-back"
        });
        assert!(is_at(&world, "one"));
    });
}
