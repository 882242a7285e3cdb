//! W2: schemathesis (PyPI) makes requests of the served document, right and wrong ones, and holds each answer against it.
//!
//! `tests/run` installs it. `INFRA_ROLLBACK_TEST_SCALE` multiplies the requests of each operation.

use std::path::PathBuf;
use std::process::Command;

use rollback_tests::{Chance, Service, data, scale, scenario};

/// What an answer is held against: no 5xx; statuses, media types, headers and bodies as documented; wrong requests refused; what
/// was deleted gone, what was made there; nothing without a token.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,use_after_free,\
    ensure_resource_availability,ignored_auth";

#[test]
fn every_answer_is_one_of_the_document() {
    let Some(folder) = std::env::var_os("INFRA_ROLLBACK_TEST_SCHEMATHESIS").map(PathBuf::from) else {
        eprintln!("left out: INFRA_ROLLBACK_TEST_SCHEMATHESIS names no folder of schemathesis (tests/run installs it)");
        return;
    };
    scenario(|world| {
        let settings = "[[stack]]\nname = \"app\"\n\n[[step]]\nname = \"cache\"\nkind = \"command\"\nlook = \"echo one\"\ngo = \"true\"\n";
        world.release(&[("main.tf", &data("a", "one")), ("infra-rollback.toml", settings)]);
        world.release(&[("main.tf", &data("a", "two")), ("infra-rollback.toml", settings)]);
        let token = world.token("fuzzer", "admin", &[]);
        let service = Service::start(&world, &[]);
        let seed = Chance::new().below(u64::from(u32::MAX));
        let examples = 3 * scale();
        // The archives of checkouts are tried by tests of their own: schemathesis makes no zstd.
        let ran = Command::new(folder.join("python"))
            .arg(folder.join("schemathesis"))
            .current_dir(world.path())
            .args(["run", &format!("{}/v1/openapi.json", service.url())])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string()])
            .args(["--exclude-path", "/v1/checkout", "--checks", CHECKS])
            .args(["--no-shrink", "--continue-on-failure", "--request-timeout", "60"])
            .env("NO_COLOR", "1")
            .output()
            .expect("schemathesis can be started");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        let count = said.lines().find(|line| line.contains(" generated,"));
        let generated = count.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        let generated = generated.unwrap_or_default();
        assert!(generated > 1000, "so few requests tell nothing: {said}");
        eprintln!("{generated} requests of schemathesis: no 5xx, nothing that is not documented");
    });
}
