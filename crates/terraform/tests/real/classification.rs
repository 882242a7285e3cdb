//! Each kind of error, provoked.

use std::path::Path;

use rollback_terraform::{Event, FolderOptions, InitOptions, PlanOptions, SealedPlan, TerraformError, Version};

use crate::support::{Stack, StateServer, terraform};

const DATA: &str = "resource \"terraform_data\" \"a\" { input = 1 }\n";

fn plan_error(stack: &Stack) -> TerraformError {
    let error = stack.plan().unwrap_err();
    assert!(!error.diagnostics().is_empty(), "{error:?}");
    assert!(
        !stack.path("rollback.tfplan").exists(),
        "a failed plan leaves no plan file"
    );
    error
}

fn init_error(stack: &Stack, options: &InitOptions) -> TerraformError {
    stack.folder.init(options).unwrap_err()
}

macro_rules! assert_kind {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {
        match $error {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn no_variable() {
    let Some(stack) = Stack::new("variable \"one\" {}\nvariable \"two\" {}\n") else {
        return;
    };
    let error = plan_error(&stack.init());
    assert!(error.hint().unwrap().contains("TF_VAR_one"));
    assert_kind!(error, TerraformError::NoVariable { names, .. } if names == ["one", "two"]);
}

#[test]
fn needs_init() {
    let Some(stack) = Stack::new(&format!("terraform {{\n  backend \"local\" {{}}\n}}\n{DATA}")) else {
        return;
    };
    assert_kind!(plan_error(&stack), TerraformError::NeedsInit { .. });
    let stack = Stack::new("module \"m\" { source = \"./m\" }\n").unwrap();
    stack.write("m/main.tf", DATA);
    assert_kind!(plan_error(&stack), TerraformError::NeedsInit { .. });
    let stack = Stack::new("terraform {\n  required_providers {\n    none = { source = \"example.invalid/none/none\" }\n  }\n}\nresource \"none_x\" \"a\" {}\n").unwrap();
    assert_kind!(plan_error(&stack), TerraformError::NeedsInit { .. });
}

#[test]
fn backend_changed() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!(
        "terraform {{\n  backend \"local\" {{\n    path = \"a\"\n  }}\n}}\n{DATA}"
    )) else {
        return;
    };
    let stack = stack.init();
    stack.write(
        "main.tf",
        &format!("terraform {{\n  backend \"local\" {{\n    path = \"b\"\n  }}\n}}\n{DATA}"),
    );
    assert_kind!(plan_error(&stack), TerraformError::BackendChanged { .. });
    assert_kind!(
        init_error(&stack, &InitOptions::default()),
        TerraformError::BackendChanged { .. }
    );
    stack.write("main.tf", &format!("{}{DATA}", server.block()));
    assert_kind!(plan_error(&stack), TerraformError::BackendChanged { .. });
    stack.write("main.tf", DATA);
    assert_kind!(plan_error(&stack), TerraformError::BackendChanged { .. });
    stack
        .folder
        .init(&InitOptions {
            reconfigure: true,
            ..InitOptions::default()
        })
        .unwrap();
    stack.plan().unwrap();
}

#[test]
fn stale_plan_and_foreign_lineage() {
    let Some(stack) = Stack::new(DATA) else { return };
    let stack = stack.init();
    stack.apply();
    stack.write("main.tf", &DATA.replace('1', "2"));
    let plan = stack
        .folder
        .plan_silently(&PlanOptions {
            out: "first".into(),
            ..PlanOptions::default()
        })
        .unwrap();
    let mut state = stack.state();
    let serial = state["serial"].as_u64().unwrap();
    state["lineage"] = "another".into();
    stack.write("terraform.tfstate", &state.to_string());
    let foreign = stack
        .folder
        .apply_silently(&plan.plan_file)
        .unwrap()
        .into_result()
        .unwrap_err();
    assert_kind!(foreign, TerraformError::LineageMismatch { .. });
    state["lineage"] = "".into();
    stack.write("push.json", &state.to_string());

    let stack = Stack::new(DATA).unwrap().init();
    stack.apply();
    let first = PlanOptions {
        out: "first".into(),
        destroy: true,
        ..PlanOptions::default()
    };
    let plan = stack.folder.plan_silently(&first).unwrap();
    stack.write("main.tf", &DATA.replace('1', "2"));
    stack.apply();
    assert!(stack.state()["serial"].as_u64().unwrap() > serial);
    let stale = stack.folder.apply_silently(&plan.plan_file).unwrap();
    assert!(!stale.touched());
    assert_kind!(stale.into_result().unwrap_err(), TerraformError::StalePlan { .. });
}

#[test]
fn pushes_that_are_refused() {
    let Some(stack) = Stack::new(DATA) else { return };
    let stack = stack.init();
    stack.apply();
    let push = |state: &serde_json::Value| {
        stack.write("push.json", &state.to_string());
        stack.folder.state_push(Path::new("push.json"), false).unwrap_err()
    };
    let mut state = stack.state();
    state["outputs"] = serde_json::json!({"o": {"value": 1, "type": "number"}});
    assert_kind!(push(&state), TerraformError::SerialTooLow { .. });
    state["serial"] = 0.into();
    assert_kind!(push(&state), TerraformError::SerialTooLow { .. });
    state["serial"] = 50.into();
    state["lineage"] = "another".into();
    assert_kind!(push(&state), TerraformError::LineageMismatch { .. });
    state["version"] = 5.into();
    assert_kind!(push(&state), TerraformError::UnsupportedState { .. });
}

#[test]
fn newer_schema() {
    let Some(stack) = Stack::new(&format!("{DATA}resource \"terraform_data\" \"b\" {{ count = 1 }}\n")) else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    let mut state = stack.state();
    for resource in state["resources"].as_array_mut().unwrap() {
        resource["instances"][0]["schema_version"] = 9.into();
    }
    stack.write("terraform.tfstate", &state.to_string());
    let error = plan_error(&stack);
    assert_kind!(error, TerraformError::SchemaTooNew { addresses, .. } if addresses.len() == 2 && addresses.contains(&"terraform_data.b[0]".to_owned()));
}

#[test]
fn unsupported_state() {
    let Some(stack) = Stack::new(DATA) else { return };
    let stack = stack.init();
    stack.apply();
    let mut state = stack.state();
    state["version"] = 5.into();
    stack.write("terraform.tfstate", &state.to_string());
    assert_kind!(plan_error(&stack), TerraformError::UnsupportedState { .. });
}

#[test]
fn prevent_destroy() {
    let Some(stack) = Stack::new(
        "resource \"terraform_data\" \"a\" {\n  triggers_replace = 1\n  lifecycle { prevent_destroy = true }\n}\n",
    ) else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    let main = stack.read("main.tf");
    stack.write("main.tf", &main.replace("= 1", "= 2"));
    assert_kind!(plan_error(&stack), TerraformError::PreventDestroy { addresses, .. } if addresses == ["terraform_data.a"]);
}

#[test]
fn module_missing() {
    let Some(stack) = Stack::new("module \"m\" { source = \"./gone\" }\n") else {
        return;
    };
    assert_kind!(
        init_error(&stack, &InitOptions::default()),
        TerraformError::ModuleMissing { .. }
    );
    let stack = Stack::new("module \"m\" { source = \"git::file:///nonexistent/repository\" }\n").unwrap();
    assert_kind!(
        init_error(&stack, &InitOptions::default()),
        TerraformError::ModuleMissing { .. }
    );
}

const NONE: &str = "terraform {\n  required_providers {\n    none = { source = \"example.invalid/acme/none\" }\n  }\n}\nresource \"none_x\" \"a\" {}\n";

#[test]
fn provider_missing() {
    let Some(stack) = Stack::new(NONE) else { return };
    let error = init_error(&stack, &InitOptions::default());
    assert_kind!(error, TerraformError::ProviderMissing { provider, .. } if provider == "example.invalid/acme/none" || provider == "acme/none");
}

#[test]
fn provider_configuration_missing() {
    let Some(stack) = Stack::new(DATA) else { return };
    let stack = stack.init();
    stack.apply();
    // An orphan made through an aliased configuration that is not there.
    let mut state = stack.state();
    state["resources"][0]["provider"] = "provider[\"terraform.io/builtin/terraform\"].west".into();
    stack.write("terraform.tfstate", &state.to_string());
    stack.write("main.tf", "");
    assert_kind!(plan_error(&stack), TerraformError::ProviderConfigurationMissing { addresses, .. } if addresses == ["terraform_data.a"]);
}

#[test]
fn locked_remotely_with_its_holder() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!("{}{DATA}", server.block())) else {
        return;
    };
    let stack = stack.init();
    server.served.lock().unwrap().lock = Some(
        br#"{"ID":"lock-7","Operation":"OperationTypeApply","Who":"eve@build","Created":"2026-01-01T00:00:00Z"}"#
            .into(),
    );
    let error = plan_error(&stack);
    assert!(error.hint().unwrap().contains("lock-7"), "{error}");
    assert_kind!(error, TerraformError::Locked { holder: Some(holder), .. } if holder.id == "lock-7");
    stack.write(
        "push.json",
        r#"{"version":4,"terraform_version":"1.5.0","serial":9,"lineage":"x","outputs":{},"resources":[]}"#,
    );
    let error = stack.folder.state_push(Path::new("push.json"), false).unwrap_err();
    assert_kind!(error, TerraformError::Locked { holder: Some(holder), .. } if holder.id == "lock-7");
}

#[test]
fn authentication() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!("{}{DATA}", server.block())) else {
        return;
    };
    let stack = stack.init();
    server.served.lock().unwrap().refuse_all = true;
    assert_kind!(plan_error(&stack), TerraformError::Authentication { .. });
}

#[test]
fn a_lock_that_fails_for_another_reason_is_not_held() {
    let Some(stack) = Stack::new(&format!(
        "terraform {{\n  backend \"local\" {{\n    path = \"main.tf/x\"\n  }}\n}}\n{DATA}"
    )) else {
        return;
    };
    assert_kind!(
        stack
            .folder
            .init(&InitOptions::default())
            .and_then(|()| stack.plan().map(drop))
            .unwrap_err(),
        TerraformError::Other(_)
    );
}

#[test]
fn anything_else_keeps_its_place() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {\n  input = local.nowhere\n}\n") else {
        return;
    };
    let stack = stack.init();
    let error = plan_error(&stack);
    let range = error.diagnostics()[0].range.clone().unwrap();
    assert_eq!((range.filename.as_str(), range.start.line), ("main.tf", 2));
    assert_kind!(error, TerraformError::Other(_));
}

#[test]
fn an_errored_plan_is_an_error_and_a_failed_apply_says_what_was_done() {
    let Some(stack) = Stack::new(
        "resource \"terraform_data\" \"good\" {}\nresource \"terraform_data\" \"bad\" {\n  depends_on = [terraform_data.good]\n  provisioner \"local-exec\" { command = \"exit 3\" }\n}\n",
    ) else {
        return;
    };
    let stack = stack.init();
    let plan = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    let mut diagnostics = 0;
    let outcome = stack
        .folder
        .apply(
            &SealedPlan::take(&plan.plan_file).unwrap(),
            &mut |_| Ok(()),
            &mut |event| diagnostics += u32::from(matches!(event, Event::Diagnostic(_))),
        )
        .unwrap();
    assert_eq!(
        (outcome.summary.completed(), outcome.summary.errored(), diagnostics),
        (1, 1, 1)
    );
    assert!(outcome.touched() && !outcome.is_complete() && !outcome.summary.apply_complete());
    assert_eq!(outcome.record.outcome_from_log().unwrap().summary, outcome.summary);
    assert_kind!(outcome.into_result().unwrap_err(), TerraformError::Other(_));
}

#[test]
fn a_lock_file_that_may_not_grow() {
    // A folder with the AWS provider, laid out as a `filesystem_mirror`.
    let Some(mirror) = std::env::var_os("INFRA_ROLLBACK_PROVIDER_MIRROR").filter(|_| terraform().is_some()) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let rc = place.path().join("rc");
    let mirror = Path::new(&mirror).display();
    std::fs::write(
        &rc,
        format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{mirror}\"\n  }}\n}}\n"),
    )
    .unwrap();
    if std::env::var_os("ROLLBACK_MIRROR_CHILD").is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "classification::a_lock_file_that_may_not_grow"])
            .env("ROLLBACK_MIRROR_CHILD", "1")
            .env("TF_CLI_CONFIG_FILE", &rc)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let stack = Stack::with("provider \"aws\" {}\n", FolderOptions::default()).unwrap();
    stack.write(".terraform.lock.hcl", "");
    let options = InitOptions {
        lockfile_readonly: true,
        ..InitOptions::default()
    };
    assert_kind!(init_error(&stack, &options), TerraformError::LockFileIncomplete { .. });
    let stack = stack.init();
    let started = std::time::Instant::now();
    let schema = stack.folder.providers_schema().unwrap();
    println!("the schema of a large provider: {:?}", started.elapsed());
    let bucket = schema
        .resource("registry.terraform.io/hashicorp/aws", "aws_db_instance")
        .unwrap();
    assert!(bucket.version > 0 && bucket.sensitive().contains(&"password"));
    assert!(schema.versions().len() > 1000);
    // The lock file asks for a version that is not to be had.
    let lock = stack.read(".terraform.lock.hcl");
    let version = lock
        .lines()
        .find_map(|line| line.trim().strip_prefix("version"))
        .unwrap()
        .split('"')
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(Version::parse(&version).is_some());
    stack.write(".terraform.lock.hcl", &lock.replace(&version, "4.0.0"));
    assert_kind!(
        init_error(&stack, &InitOptions::default()),
        TerraformError::ProviderMissing { .. }
    );
}
