//! The binary under test, built once per test run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The tool. `INFRA_ROLLBACK_BIN` names one; else it is built, in the development profile (only there it can be made
/// to crash), into the target folder that this test lies in, and copied, so that a build going on beside the tests
/// cannot take it away.
///
/// # Panics
/// It cannot be built.
pub fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| match std::env::var_os("INFRA_ROLLBACK_BIN") {
        Some(path) => fs::canonicalize(&path).unwrap_or_else(|error| panic!("INFRA_ROLLBACK_BIN {path:?}: {error}")),
        None => build(),
    })
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let profile = test
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "deps"))
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps");
    let target = profile.parent().expect("target/PROFILE lies in target");
    let folder = target.join("rollback-tests");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let copy = folder.join("infra-rollback");
    let stamp = folder.join("built-for-run");
    let lock = File::create(folder.join("lock")).expect("the target folder can be written");
    lock.lock().expect("files in the target folder can be locked");
    // Nextest runs each test in a process of its own: the first of a run builds for all.
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    if !run.is_empty() && fs::read_to_string(&stamp).is_ok_and(|built_for| built_for == run) {
        return copy;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "infra-rollback", "--target-dir"])
        .arg(target)
        .current_dir(workspace)
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "infra-rollback cannot be built");
    let fresh = folder.join(format!("infra-rollback.{}", std::process::id()));
    fs::copy(target.join("debug/infra-rollback"), &fresh).expect("the binary was built");
    fs::rename(&fresh, &copy).expect("the target folder can be written");
    fs::write(&stamp, run).expect("the target folder can be written");
    copy
}
