//! At most one execution per approval: a hundred callers, two instances, retries, real terraform.

use std::sync::atomic::{AtomicUsize, Ordering};

use rollback_tests::{Release, Service, World, scale, scenario};
use serde_json::{Value, json};

const CALLERS: usize = 100;

fn configuration(word: &str) -> String {
    format!(
        "resource \"terraform_data\" \"a\" {{\n  triggers_replace = \"{word}\"\n  provisioner \"local-exec\" {{\n    \
         command = \"echo {word} >>$OUT/applied\"\n  }}\n}}\n"
    )
}

/// What has been applied so far, one line for each time.
fn applied(world: &World) -> usize {
    let text = std::fs::read_to_string(world.out.join("applied")).unwrap_or_default();
    text.lines().count()
}

/// All say yes at once, and that it is to go on; each of them again until somebody has heard it.
fn everybody(services: &[Service; 2], path: &str, token: &str, operator: &str, digest: &str) -> usize {
    let taken = AtomicUsize::new(0);
    let body = json!({ "digest": digest }).to_string();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (service, taken, body) = (&services[caller % 2], &taken, &body);
            scope.spawn(move || {
                for _ in 0..3 {
                    let approved = service.post(&format!("{path}/approvals"), token, body).status;
                    let resumed = service.post(&format!("{path}/resume"), operator, "{}").status;
                    taken.fetch_add(usize::from(approved == 201), Ordering::Relaxed);
                    // Too many at a time: once more. What nobody else may do twice is refused, and that is an answer.
                    for status in [approved, resumed] {
                        assert!(matches!(status, 200..=299 | 409 | 422 | 429 | 503), "{status}");
                    }
                    if approved != 429 && approved != 503 {
                        break;
                    }
                }
            });
        }
    });
    taken.load(Ordering::Relaxed)
}

fn journal(service: &Service, path: &str, token: &str) -> Vec<Value> {
    let run = service.get(&path.replace("rollbacks", "runs"), token).is(200).json();
    run["journal"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_hundred_callers_apply_once() {
    scenario(|world| {
        let releases: Vec<Release> = ["one", "two"]
            .into_iter()
            .map(|word| world.release_of(&configuration(word)))
            .collect();
        let (operator, approver) = (world.token("ci", "operator", &[]), world.token("ann", "approver", &[]));
        let services = [Service::start(&world, &[]), Service::start(&world, &[])];
        let rounds = scale();
        let mut yes = 0;
        for round in 0..rounds {
            let before = applied(&world);
            let to = &releases[round % 2];
            let body = json!({ "revision": to.commit }).to_string();
            let (path, known) = services[round % 2].rollback(&operator, &body);
            assert_eq!(known["status"], "awaiting-approval", "round {round}: {known}");
            let digest = known["approval"]["digest"].as_str().unwrap();
            yes += everybody(&services, &path, &approver, &operator, digest);
            let known = services[0].until(&path, &operator, |known| known["over"] == true);
            assert_eq!(known["status"], "completed", "round {round}: {known}");
            assert_eq!(
                applied(&world),
                before + 1,
                "round {round}: it was applied more than once"
            );
            let entries = journal(&services[1], &path, &operator);
            let of = |event: &str| entries.iter().filter(|entry| entry["event"] == event).count();
            assert_eq!((of("apply-started"), of("applied")), (1, 1), "round {round}");
        }
        eprintln!(
            "{rounds} rounds of {CALLERS} callers at two instances, {yes} answers of 201: each approval was carried out once"
        );
    });
}
