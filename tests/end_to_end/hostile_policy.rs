//! A policy that builds a huge value takes nothing down: it is judged apart, with little memory, and no verdict is a refusal.

use rollback_tests::{Release, Service, World, data, scenario};
use serde_json::json;

/// Four hundred million numbers, as soon as it is looked which rules there are.
const WITHOUT_INPUT: &str =
    "package main\nimport rego.v1\ndeny contains \"x\" if count(numbers.range(1, 400000000)) == 1\n";
/// As many, once there is a plan.
const WITH_INPUT: &str = "package main\nimport rego.v1\ndeny contains \"x\" if {\n\tcount(input.resource_changes) > 0\n\tcount(numbers.range(1, 400000000)) == 1\n}\n";
/// One text that doubles, out of the engine's own sight as well.
const DOUBLING: &str = "package main\nimport rego.v1\ndouble(s) := concat(\"\", [s, s])\nlong := double(double(double(double(double(double(double(double(double(double(\"0123456789\"))))))))))\nlonger := double(double(double(double(double(double(double(double(double(double(long))))))))))\nlongest := double(double(double(double(double(double(double(double(double(double(longer))))))))))\ndeny contains \"x\" if { count(input.resource_changes) > 0; longest == \"x\" }\n";

fn releases(world: &World) -> Release {
    let settings = "[policy]\nbundle = \"policies\"\n\n[[stack]]\nname = \"app\"\n";
    let fine = "package main\nimport rego.v1\ndeny contains \"never\" if input.nothing\n";
    let release = |input: &str| {
        world.release(&[
            ("infra-rollback.toml", settings),
            ("policies/own.rego", fine),
            ("main.tf", &data("a", input)),
        ])
    };
    let first = release("one");
    release("two");
    first
}

/// The most memory that a process ever had, in MiB.
#[cfg(target_os = "linux")]
fn most_memory(process: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn what_takes_too_much_memory_refuses() {
    scenario(|world| {
        let first = releases(&world);
        world.unchanged(|world| {
            for (what, rego) in [
                ("without input", WITHOUT_INPUT),
                ("with input", WITH_INPUT),
                ("doubling", DOUBLING),
            ] {
                world.put("policies/own.rego", rego);
                let ran = world.tool(&["to", &first.commit, "--auto-approve"]);
                assert!(ran.code == 3, "{what}: {ran}");
                assert!(
                    ran.stderr.contains("MiB") || ran.stdout.contains("MiB"),
                    "{what}: {ran}"
                );
            }
            world.git(&["checkout", "--quiet", "--", "policies"]);
        });
        // The same bundle without the mischief judges as ever.
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.is_at(&first);
    });
}

#[test]
fn a_test_that_takes_too_much_memory_is_an_error_of_that_test() {
    scenario(|world| {
        let tests = "package main_test\nimport rego.v1\n\ntest_fine if 1 < 2\n\ntest_huge if count(numbers.range(1, 400000000)) == \
                     400000000\n\ntest_wrong if 1 > 2\n";
        world.put(
            "p/own.rego",
            "package main\nimport rego.v1\ndeny contains \"x\" if input.never\n",
        );
        world.put("p/own_test.rego", tests);
        let ran = world.tool(&["policy", "test", "p"]);
        ran.exits(1)
            .says("test_huge: ERROR")
            .says("it used more than 512 MiB")
            .says("test_wrong: FAIL")
            .says("PASS: 1/3");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_service_lives_on_and_stays_small() {
    scenario(|world| {
        let first = releases(&world);
        let operator = world.token("ci", "operator", &[]);
        let service = Service::start(&world, &[]);
        let process = service.process.pid();
        world.put("policies/own.rego", WITH_INPUT);
        let body = json!({ "revision": first.commit }).to_string();
        let (path, known) = service.rollback(&operator, &body);
        assert_eq!(known["status"], "refused", "{known}");
        let most = most_memory(process);
        assert!(most < 400, "the service grew to {most} MiB");
        service.get("/v1/health", "").is(200);
        let run = service
            .get(&path.replace("rollbacks", "runs"), &operator)
            .is(200)
            .json();
        assert!(run.to_string().contains("MiB"), "{run}");
        eprintln!("the service had at most {most} MiB while a policy asked for everything");
        world.put(
            "policies/own.rego",
            "package main\nimport rego.v1\ndeny contains \"never\" if input.nothing\n",
        );
        let (_, known) = service.rollback(&operator, &body);
        assert_eq!(known["status"], "awaiting-approval", "{known}");
    });
}
