//! Terraform's lock and ours are one.

use std::path::Path;

use rollback_terraform::{LocalState, PlanOptions, TerraformError, local_state};

use crate::support::{Stack, until};

fn slow(seconds: u32) -> String {
    format!(
        "resource \"terraform_data\" \"slow\" {{\n  provisioner \"local-exec\" {{ command = \"touch started; sleep {seconds}; touch ended\" }}\n}}\n"
    )
}

#[test]
fn while_we_hold_it_terraform_is_refused_and_names_us() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    let stack = stack.init();
    let plan = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    let lock = LocalState::lock(&stack.path("terraform.tfstate"), "restore").unwrap();

    let outcome = stack.folder.apply_silently(&plan.plan_file).unwrap();
    assert!(!outcome.touched());
    let Err(TerraformError::Locked {
        holder: Some(holder), ..
    }) = outcome.into_result()
    else {
        panic!("applied under our lock")
    };
    assert_eq!((&holder.id, holder.operation.as_str()), (&lock.info().id, "restore"));
    assert!(matches!(
        stack.folder.plan_silently(&PlanOptions::default()),
        Err(TerraformError::Locked { .. })
    ));

    // Reading through this module must not let go of it.
    local_state::read(&stack.path("terraform.tfstate")).unwrap();
    local_state::holder(&stack.path("terraform.tfstate")).unwrap();
    let _ = LocalState::lock(&stack.path("terraform.tfstate"), "again").unwrap_err();
    assert!(matches!(
        stack.folder.plan_silently(&PlanOptions::default()),
        Err(TerraformError::Locked { .. })
    ));

    drop(lock);
    let plan = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    assert!(stack.folder.apply_silently(&plan.plan_file).unwrap().is_complete());
}

#[test]
fn while_terraform_holds_it_we_are_refused_and_name_it() {
    let Some(stack) = Stack::new(&slow(2)) else { return };
    let stack = stack.init();
    let plan = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    let state = stack.path("terraform.tfstate");
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| stack.folder.apply_silently(&plan.plan_file).unwrap());
        assert!(until(|| stack.path("started").exists()));
        let Err(TerraformError::Locked {
            holder: Some(holder), ..
        }) = LocalState::lock(&state, "restore")
        else {
            panic!("two holders")
        };
        assert_eq!(holder.operation, "OperationTypeApply");
        assert_eq!(local_state::holder(&state).unwrap().id, holder.id);
        assert!(apply.join().unwrap().is_complete());
    });
    assert!(local_state::holder(&state).is_none());
    LocalState::lock(&state, "restore").unwrap();
}

#[test]
fn what_we_write_under_the_lock_terraform_reads() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" { input = 1 }\n") else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    let mut state = stack.state();
    state["serial"] = 77.into();
    state["resources"] = serde_json::json!([]);
    state["outputs"] = serde_json::json!({"o": {"value": 1, "type": "number"}});
    let lock = LocalState::lock(&stack.path("terraform.tfstate"), "restore").unwrap();
    lock.write_in_place(state.to_string().as_bytes()).unwrap();
    drop(lock);
    let plan = stack.plan().unwrap();
    assert!(plan.change("terraform_data.a").unwrap().creates());
    assert_eq!(stack.state()["serial"], 77);
}

/// What the engine does for local backends: the plan made on a private copy is applied through a link to the live file.
#[test]
fn a_link_to_the_live_state_carries_apply_and_lock() {
    let Some(live) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    let live = live.init();
    live.apply();
    let serial = live.state()["serial"].as_u64().unwrap();

    let private = Stack::new(&format!("resource \"terraform_data\" \"a\" {{}}\n{}", slow(2))).unwrap();
    std::fs::copy(live.path("terraform.tfstate"), private.path("terraform.tfstate")).unwrap();
    let private = private.init();
    let plan = private.folder.plan_silently(&PlanOptions::default()).unwrap();
    std::fs::remove_file(private.path("terraform.tfstate")).unwrap();
    std::os::unix::fs::symlink(live.path("terraform.tfstate"), private.path("terraform.tfstate")).unwrap();
    let state = live.path("terraform.tfstate");
    std::thread::scope(|scope| {
        let note = local_state::announce(&state, "rollback").unwrap();
        let apply = scope.spawn(|| private.folder.apply_silently(&plan.plan_file).unwrap());
        assert!(until(|| private.path("started").exists()));
        let Err(TerraformError::Locked {
            holder: Some(holder), ..
        }) = LocalState::lock(&state, "x")
        else {
            panic!("not locked")
        };
        assert_eq!(holder.operation, "rollback");
        assert!(apply.join().unwrap().is_complete());
        drop(note);
    });
    assert!(live.state()["serial"].as_u64().unwrap() > serial);
    assert!(
        std::fs::symlink_metadata(private.path("terraform.tfstate"))
            .unwrap()
            .is_symlink()
    );
    assert!(!Path::new(&local_state::lock_info_path(&state)).exists());
}

#[test]
fn an_empty_state_file_is_no_state() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    drop(LocalState::lock(&stack.path("terraform.tfstate"), "look").unwrap());
    assert_eq!(stack.read("terraform.tfstate"), "");
    let stack = stack.init();
    assert!(stack.plan().unwrap().change("terraform_data.a").unwrap().creates());
}
