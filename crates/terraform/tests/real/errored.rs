use std::path::Path;

use rollback_terraform::{PlanOptions, Recovered, TerraformError, recover_errored_state};

use crate::support::{Stack, StateServer};

#[test]
fn a_state_that_could_not_be_written_is_found_and_pushed() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!("{}resource \"terraform_data\" \"a\" {{}}\n", server.block())) else {
        return;
    };
    let stack = stack.init();
    assert_eq!(stack.folder.push_errored_state().unwrap(), Recovered::Nothing);
    let plan = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    server.served.lock().unwrap().refuse_writes = true;
    let outcome = stack.folder.apply_silently(&plan.plan_file).unwrap();
    assert!(!outcome.is_complete() && outcome.touched());
    let found = recover_errored_state(stack.place.path()).unwrap().unwrap();
    assert_eq!(outcome.errored_state.as_deref(), Some(found.path.as_path()));
    assert!(String::from_utf8_lossy(&found.bytes).contains("terraform_data"));
    assert!(!format!("{found:?}").contains("terraform_data"));
    assert!(server.served.lock().unwrap().state.is_none());

    assert!(stack.folder.push_errored_state().is_err(), "the server still refuses");
    assert!(found.path.exists());
    server.served.lock().unwrap().refuse_writes = false;
    assert!(matches!(
        stack.folder.push_errored_state().unwrap(),
        Recovered::Pushed { .. }
    ));
    assert!(!found.path.exists());
    assert!(!stack.folder.plan_silently(&PlanOptions::default()).unwrap().has_changes);
    assert_eq!(stack.folder.push_errored_state().unwrap(), Recovered::Nothing);

    // Died between pushing and renaming: the next look finds the same content there.
    std::fs::write(&found.path, &found.bytes).unwrap();
    let again = stack.folder.push_errored_state().unwrap();
    assert!(
        matches!(again, Recovered::Superseded { same_content: true, .. }),
        "{again:?}"
    );
    assert!(!found.path.exists());
}

#[test]
fn a_foreign_or_older_one_is_not_pushed() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" { input = 1 }\n") else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    let before = stack.read("terraform.tfstate");
    let mut state = stack.state();
    state["outputs"] = serde_json::json!({"o": {"value": 1, "type": "number"}});
    stack.write("errored.tfstate", &state.to_string());
    let kept = stack.folder.push_errored_state().unwrap();
    assert!(
        matches!(
            kept,
            Recovered::Superseded {
                same_content: false,
                ..
            }
        ),
        "{kept:?}"
    );
    assert!(stack.path("errored.tfstate").exists());
    state["lineage"] = "other".into();
    stack.write("errored.tfstate", &state.to_string());
    assert!(matches!(
        stack.folder.push_errored_state(),
        Err(TerraformError::LineageMismatch { .. })
    ));
    state["serial"] = 99.into();
    stack.write("errored.tfstate", &state.to_string());
    assert!(matches!(
        stack.folder.push_errored_state(),
        Err(TerraformError::LineageMismatch { .. })
    ));
    assert_eq!(stack.read("terraform.tfstate"), before);
    stack.write("errored.tfstate", "{ cut off");
    assert!(
        recover_errored_state(stack.place.path()).is_err(),
        "an unreadable one must not be passed over"
    );
    assert!(recover_errored_state(Path::new("/nonexistent")).unwrap().is_none());
}
