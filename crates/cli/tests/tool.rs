//! The binary by itself. As an integration test it also has the workspace's test build make the binary, with the very
//! features of everything else, so that the end-to-end tests need no build of their own.

use std::process::Command;

#[test]
fn the_tool_tells_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_infra-rollback"))
        .arg("--version")
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success());
    let expected = format!("infra-rollback {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
