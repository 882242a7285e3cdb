//! Kills and interrupts, with real processes.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rollback_terraform::{
    ApplyEnd, ChildRecord, Event, Folder, FolderOptions, LocalState, LoggedEnd, PlanOptions, SealedPlan,
    TerraformError, local_state, output_is_held,
};

use crate::support::{Stack, StateServer, terraform, until};

/// Two objects, one after the other; the first takes its time.
const SLOW: &str = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "touch started; for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.2; done; touch ended" }
}
resource "terraform_data" "after" {
  depends_on = [terraform_data.slow]
}
"#;

/// Runs `helper` (below) in a process of its own.
fn helper(what: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "deaths::helper_process", "--nocapture"])
        .env("ROLLBACK_HELPER", what)
        .env("ROLLBACK_HELPER_FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Not a test by itself: the body of the processes that the tests below start and kill.
#[test]
fn helper_process() {
    let Ok(what) = std::env::var("ROLLBACK_HELPER") else {
        return;
    };
    let place = std::env::var_os("ROLLBACK_HELPER_FOLDER").unwrap();
    let place = Path::new(&place);
    if what == "lock" {
        // A child has run before: its handlers must have gone with it.
        Folder::new(&terraform().unwrap(), place, FolderOptions::default())
            .validate()
            .unwrap();
        let _lock = LocalState::lock(&place.join("terraform.tfstate"), "restore").unwrap();
        std::fs::write(place.join("locked"), "").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let folder = Folder::new(&terraform().unwrap(), place, FolderOptions::default());
    let mut journal = |record: &ChildRecord| {
        let mut file = std::fs::File::create(place.join("journal"))?;
        file.write_all(serde_json::to_string(record)?.as_bytes())?;
        file.sync_all()?;
        if what == "die-before-start" {
            std::process::abort();
        }
        Ok(())
    };
    let mut interrupting = 0;
    let plan = SealedPlan::take(&place.join("rollback.tfplan")).unwrap();
    let outcome = folder
        .apply(&plan, &mut journal, &mut |event| {
            interrupting += u32::from(event == Event::Interrupting)
        })
        .unwrap();
    let end = match outcome.end {
        ApplyEnd::Complete => "complete".to_owned(),
        ApplyEnd::Failed(error) => format!("failed: {error}"),
        ApplyEnd::Interrupted => "interrupted".to_owned(),
        ApplyEnd::Killed { signal } => format!("killed {signal}"),
    };
    std::fs::write(place.join("outcome"), format!("{end} after {interrupting}")).unwrap();
}

fn planned() -> Option<Stack> {
    let stack = Stack::new(SLOW)?.init();
    stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    Some(stack)
}

fn journal(stack: &Stack) -> ChildRecord {
    serde_json::from_str(&stack.read("journal")).unwrap()
}

fn signal(pid: u32, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn terraform_finishes_when_we_are_killed() {
    let Some(stack) = planned() else { return };
    let mut parent = helper("apply", stack.place.path());
    assert!(until(|| stack.path("started").exists()));
    let record = journal(&stack);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(record.is_alive(), "it died with its parent");
    assert!(output_is_held(&record.stdout));
    assert!(stack.folder.is_busy());
    assert!(local_state::holder(&stack.path("terraform.tfstate")).is_some());
    assert!(!record.wait(Duration::from_millis(50), Duration::from_millis(10)));
    assert!(record.wait(Duration::from_secs(20), Duration::from_millis(20)));
    assert!(!stack.folder.is_busy() && !output_is_held(&record.stdout));

    assert!(stack.path("ended").exists());
    let logged = record.outcome_from_log().unwrap();
    assert_eq!(logged.end, LoggedEnd::Complete, "{logged:?}");
    assert_eq!(logged.summary.completed(), 2);
    assert_eq!(stack.state()["resources"].as_array().unwrap().len(), 2);
    assert!(!stack.folder.plan_silently(&PlanOptions::default()).unwrap().has_changes);
}

#[test]
fn nothing_happens_when_we_die_before_the_start_is_written_down() {
    let Some(stack) = planned() else { return };
    let mut parent = helper("die-before-start", stack.place.path());
    parent.wait().unwrap();
    let record = journal(&stack);
    assert!(record.wait(Duration::from_secs(10), Duration::from_millis(10)));
    assert!(!stack.path("started").exists() && !stack.path("terraform.tfstate").exists());
    assert_eq!(record.outcome_from_log().unwrap().end, LoggedEnd::Unknown);
    assert!(!record.outcome_from_log().unwrap().summary.touched());
}

#[test]
fn a_killed_terraform_is_reported_and_what_it_began_is_known() {
    let Some(stack) = planned() else { return };
    let mut parent = helper("apply", stack.place.path());
    assert!(until(|| stack.path("started").exists()));
    let record = journal(&stack);
    signal(record.pid, "-KILL");
    parent.wait().unwrap();
    assert_eq!(stack.read("outcome"), "killed 9 after 0");
    assert!(!record.is_alive());
    let logged = record.outcome_from_log().unwrap();
    assert_eq!(logged.end, LoggedEnd::Unknown);
    assert_eq!(logged.summary.unfinished(), ["terraform_data.slow create"]);
}

/// A terminal sends Ctrl-C to the whole process group. The second one would come while terraform saves the state, and it would
/// give that up.
#[test]
fn one_interrupt_is_passed_on_however_many_come() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!("{}{SLOW}", server.block())) else {
        return;
    };
    let stack = stack.init();
    stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    server.served.lock().unwrap().slow_writes = Duration::from_millis(1500);
    let mut parent = helper("apply", stack.place.path());
    assert!(until(|| stack.path("started").exists()));
    for _ in 0..5 {
        let group = format!("-{}", parent.id());
        assert!(
            Command::new("kill")
                .args(["-INT", "--", &group])
                .status()
                .unwrap()
                .success()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    parent.wait().unwrap();
    assert_eq!(stack.read("outcome"), "interrupted after 1");
    // Terraform stopped in order: the state is there, with what it had begun, and unlocked.
    let served = server.served.lock().unwrap();
    let state: serde_json::Value = serde_json::from_slice(served.state.as_ref().unwrap()).unwrap();
    assert_eq!(state["resources"].as_array().unwrap().len(), 1);
    assert!(served.lock.is_none());
    assert!(!stack.path("errored.tfstate").exists());
    assert!(!journal(&stack).is_alive());
}

#[test]
fn a_termination_is_an_interrupt_too() {
    let Some(stack) = planned() else { return };
    let mut parent = helper("apply", stack.place.path());
    assert!(until(|| stack.path("started").exists()));
    signal(parent.id(), "-TERM");
    parent.wait().unwrap();
    assert_eq!(stack.read("outcome"), "interrupted after 1");
}

#[test]
fn our_lock_goes_with_us() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    let stack = stack.init();
    let mut parent = helper("lock", stack.place.path());
    assert!(until(|| stack.path("locked").exists()));
    let state = stack.path("terraform.tfstate");
    assert_eq!(local_state::holder(&state).unwrap().operation, "restore");
    assert!(stack.folder.plan_silently(&PlanOptions::default()).is_err());
    let second = LocalState::lock(&state, "second").unwrap_err();
    assert!(matches!(second, TerraformError::Locked { holder: Some(holder), .. } if holder.operation == "restore"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(
        local_state::holder(&state).is_none(),
        "the note of a dead holder is nobody"
    );
    stack.apply();
}

#[test]
fn ctrl_c_ends_us_when_no_terraform_runs() {
    let Some(stack) = planned() else { return };
    let mut parent = helper("lock", stack.place.path());
    assert!(until(|| stack.path("locked").exists()));
    signal(parent.id(), "-INT");
    assert!(!parent.wait().unwrap().success());
}
