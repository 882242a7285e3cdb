//! `tests/orchestrator.py`: an orchestrator's whole story, told from outside in another language, on both kinds of store.

use std::path::Path;
use std::process::Command;

use rollback_tests::{World, shared_store, tool};

fn plays(store: Option<&str>) {
    if !World::can_exist() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("orchestrator.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(tool());
    command.args(store.iter().flat_map(|store| ["--store", store]));
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_PROXY", "127.0.0.1"),
    ] {
        command.env(name, value);
    }
    let output = command.output().expect("python3 can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the script ended with {}", output.status);
    // It was in the middle, and the whole way was gone.
    for line in [
        "while terraform applied; it is ",
        "7. back and verified: 1.4.1",
        "8. undone by",
    ] {
        assert!(said.contains(line), "{line:?} is missing");
    }
    assert!(said.ends_with("done\n"));
}

#[test]
fn an_orchestrator_and_a_killed_instance() {
    plays(None);
}

#[test]
fn an_orchestrator_and_a_killed_instance_on_a_shared_store() {
    if let Some(store) = shared_store() {
        plays(Some(&store));
    }
}
