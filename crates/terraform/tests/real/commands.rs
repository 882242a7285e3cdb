use std::path::Path;

use rollback_terraform::{
    Action, Event, FolderOptions, InitOptions, PlanOptions, Product, SealedPlan, Terraform, TerraformError, Version,
};

use crate::support::{Stack, mode, terraform};

const SIMPLE: &str = r#"
variable "word" {
  sensitive = true
}
resource "terraform_data" "a" { input = var.word }
resource "terraform_data" "b" {
  for_each = toset(["x", "y"])
  input    = each.key
}
output "word" {
  value     = terraform_data.a.output
  sensitive = true
}
"#;

fn simple(word: &str) -> Option<Stack> {
    let options = FolderOptions {
        variables: vec![("word".into(), word.into())],
        ..FolderOptions::default()
    };
    Stack::with(SIMPLE, options)
}

#[test]
fn the_binary_and_its_version() {
    let Some(terraform) = terraform() else { return };
    assert!(terraform.version().unwrap() >= &Version::new(1, 5, 0));
    if terraform.binary().ends_with("terraform") {
        assert_eq!(terraform.product().unwrap(), Product::Terraform);
    }
}

#[test]
fn init_plan_show_apply_pull() {
    let Some(stack) = simple("hunter2-canary") else { return };
    assert!(stack.folder.needs_init());
    let stack = stack.init();
    assert!(!stack.folder.needs_init());

    let mut events = Vec::new();
    let outcome = stack
        .folder
        .plan(&PlanOptions::default(), &mut |event| events.push(event))
        .unwrap();
    assert!(outcome.has_changes);
    assert_eq!(outcome.summary.changes.as_ref().unwrap().add, 3);
    assert!(matches!(&events[0], Event::Started { .. }), "{events:?}");
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Planned { .. }))
            .count(),
        3
    );
    for secret in [&outcome.plan_file, &outcome.stream] {
        assert_eq!(mode(secret), 0o600, "{}", secret.display());
    }
    assert_eq!(mode(&stack.folder.log_dir()), 0o700);

    let plan = stack.folder.show_plan(&outcome.plan_file).unwrap();
    assert_eq!(plan.resource_changes.len(), 3);
    let change = plan.change("terraform_data.b[\"x\"]").unwrap();
    assert_eq!(change.change.actions, [Action::Create]);
    assert_eq!(change.index, "x");
    assert_eq!(
        plan.change("terraform_data.a").unwrap().change.after["input"],
        "hunter2-canary"
    );
    assert!(
        !format!("{plan:?} {outcome:?} {:?}", stack.folder).contains("hunter2"),
        "Debug shows a secret"
    );
    assert!(!plan.is_empty());

    let mut journal = Vec::new();
    let mut events = Vec::new();
    let done = stack
        .folder
        .apply(
            &SealedPlan::take(&outcome.plan_file).unwrap(),
            &mut |record| {
                assert!(record.is_alive(), "the record is written while the child waits");
                assert!(
                    !stack.path("terraform.tfstate").exists(),
                    "terraform started before the journal was written"
                );
                journal.push(record.clone());
                Ok(())
            },
            &mut |event| events.push(event),
        )
        .unwrap();
    assert!(done.is_complete() && done.touched());
    assert_eq!(done.summary.completed(), 3);
    assert!(done.summary.apply_complete());
    assert_eq!(journal, std::slice::from_ref(&done.record));
    assert!(!journal[0].is_alive());
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::ApplyComplete { address, .. } if address == "terraform_data.a"))
    );
    assert!(!format!("{events:?}").contains("hunter2"));

    let pulled = stack.folder.state_pull().unwrap().unwrap();
    let pulled: serde_json::Value = serde_json::from_slice(&pulled).unwrap();
    assert_eq!(pulled["lineage"], stack.state()["lineage"]);
    assert!(!stack.folder.plan_silently(&PlanOptions::default()).unwrap().has_changes);
    let plan = stack.plan().unwrap();
    assert!(plan.is_empty());
    assert!(plan.resource_changes.iter().all(|change| change.is_noop()));
    // Documents that were read leave nothing behind.
    let left: Vec<_> = std::fs::read_dir(stack.folder.log_dir())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("show") && !name.to_string_lossy().contains("pull")),
        "{left:?}"
    );
}

#[test]
fn a_journal_that_fails_stops_everything() {
    let Some(stack) = simple("x") else { return };
    let stack = stack.init();
    let outcome = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    let plan = SealedPlan::take(&outcome.plan_file).unwrap();
    let refused = stack
        .folder
        .apply(&plan, &mut |_| Err("disk full".into()), &mut |_: Event| {});
    assert!(matches!(refused, Err(TerraformError::Journal { .. })));
    assert!(!stack.path("terraform.tfstate").exists());
    assert!(!stack.folder.is_busy());
}

#[test]
fn variables_stay_off_the_command_line_and_odd_names_pass() {
    let options = FolderOptions {
        variables: vec![("odd-name".into(), "canary-7".into())],
        ..FolderOptions::default()
    };
    let Some(stack) = Stack::with(
        "variable \"odd-name\" {}\nresource \"terraform_data\" \"a\" {\n  input = var.odd-name\n  provisioner \"local-exec\" { command = \"tr '\\\\0' ' ' < /proc/$PPID/cmdline > cmdline; env > env\" }\n}\n",
        options,
    ) else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    assert_eq!(
        stack.state()["resources"][0]["instances"][0]["attributes"]["input"]["value"],
        "canary-7"
    );
    if Path::new("/proc/self").exists() {
        assert!(stack.read("cmdline").contains("apply"));
        assert!(!stack.read("cmdline").contains("canary-7"));
    }
    let environment = stack.read("env");
    assert!(environment.contains("TF_IN_AUTOMATION=1") && environment.contains("CHECKPOINT_DISABLE=1"));
}

#[test]
fn var_files_targets_destroy_and_data_dir() {
    let options = FolderOptions {
        var_files: vec!["my.tfvars".into()],
        data_dir: Some("data".into()),
        parallelism: Some(2),
        ..FolderOptions::default()
    };
    let Some(stack) = Stack::with(SIMPLE, options) else {
        return;
    };
    stack.write("my.tfvars", "word = \"from a file\"\n");
    let stack = stack.init();
    let options = PlanOptions {
        targets: vec!["terraform_data.b[\"x\"]".into()],
        ..PlanOptions::default()
    };
    let outcome = stack.folder.plan_silently(&options).unwrap();
    let plan = stack.folder.show_plan(&outcome.plan_file).unwrap();
    assert_eq!(plan.changes().count(), 1);
    assert_ne!(plan.complete, Some(true));
    stack.apply();
    assert_eq!(stack.state()["outputs"]["word"]["value"], "from a file");
    assert!(stack.path("data").exists() && !stack.path(".terraform").exists());
    let outcome = stack
        .folder
        .plan_silently(&PlanOptions {
            destroy: true,
            ..PlanOptions::default()
        })
        .unwrap();
    let plan = stack.folder.show_plan(&outcome.plan_file).unwrap();
    assert_eq!(plan.counts().delete, 3);
}

#[test]
fn workspaces_have_their_own_state() {
    let options = FolderOptions {
        workspace: Some("prod".into()),
        ..FolderOptions::default()
    };
    let Some(stack) = Stack::with(
        "resource \"terraform_data\" \"a\" { input = terraform.workspace }\n",
        options,
    ) else {
        return;
    };
    stack.write("terraform.tfstate.d/prod/terraform.tfstate", "");
    let stack = stack.init();
    stack.apply();
    assert!(
        stack
            .read("terraform.tfstate.d/prod/terraform.tfstate")
            .contains("\"prod\"")
    );
    assert!(!stack.path("terraform.tfstate").exists());
}

#[test]
fn pushing_and_pulling() {
    let Some(stack) = simple("x") else { return };
    let stack = stack.init();
    assert_eq!(stack.folder.state_pull().unwrap(), None);
    stack.apply();
    let mut state = stack.state();
    let serial = state["serial"].as_u64().unwrap();
    state["serial"] = (serial + 5).into();
    state["outputs"] = serde_json::json!({});
    stack.write("edited.json", &state.to_string());
    stack.folder.state_push(Path::new("edited.json"), false).unwrap();
    assert!(stack.state()["serial"].as_u64().unwrap() >= serial + 5);
    assert_eq!(stack.state()["outputs"], serde_json::json!({}));
}

#[test]
fn schemas_and_validation() {
    let Some(stack) = simple("x") else { return };
    let stack = stack.init();
    let schema = stack.folder.providers_schema().unwrap();
    let data = schema
        .resource("terraform.io/builtin/terraform", "terraform_data")
        .unwrap();
    assert_eq!(data.version, 0);
    assert_eq!(data.computed(), ["id", "output"]);
    assert_eq!(schema.versions()["terraform_data"], 0);
    assert!(stack.folder.validate().unwrap().is_empty());
    stack.write("bad.tf", "resource \"terraform_data\" \"a\" {}\n");
    assert!(stack.folder.validate().unwrap()[0].is_error());
}

#[test]
fn init_is_needed_again_when_what_it_looks_at_changes() {
    let Some(stack) = Stack::new("module \"m\" { source = \"./m\" }\n") else {
        return;
    };
    stack.write("m/main.tf", "resource \"terraform_data\" \"a\" {}\n");
    let stack = stack.init();
    assert!(!stack.folder.needs_init());
    stack.write("m/main.tf", "resource \"terraform_data\" \"b\" {}\n");
    assert!(stack.folder.needs_init());
    stack.folder.init(&InitOptions::default()).unwrap();
    assert!(!stack.folder.needs_init());
    stack.write("more.tf", "");
    assert!(stack.folder.needs_init());
    stack
        .folder
        .init(&InitOptions {
            backend: false,
            ..InitOptions::default()
        })
        .unwrap();
    assert!(stack.folder.needs_init(), "without the backend it is half an init");
    stack.folder.init(&InitOptions::default()).unwrap();
    std::fs::remove_dir_all(stack.path("m")).unwrap();
    assert!(stack.folder.needs_init());
}

#[test]
fn a_move_and_a_forget_are_seen() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\nresource \"terraform_data\" \"gone\" {}\n")
    else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    stack.write(
        "main.tf",
        "resource \"terraform_data\" \"b\" {}\nmoved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\nremoved {\n  from = terraform_data.gone\n  lifecycle { destroy = false }\n}\n",
    );
    if terraform().unwrap().version().unwrap() < &Version::new(1, 7, 0) {
        return;
    }
    let outcome = stack.folder.plan_silently(&PlanOptions::default()).unwrap();
    assert!(outcome.has_changes);
    let plan = stack.folder.show_plan(&outcome.plan_file).unwrap();
    let moved = plan.change("terraform_data.b").unwrap();
    assert_eq!(moved.moved_from(), Some("terraform_data.a"));
    assert!(moved.is_noop() && !moved.is_untouched());
    assert!(plan.change("terraform_data.gone").unwrap().forgets());
    let counts = plan.counts();
    assert_eq!(
        (counts.moved, counts.forget, counts.create, counts.delete),
        (1, 1, 0, 0)
    );
    assert!(!plan.is_empty());
}

#[test]
fn what_leaks_into_runs_is_scrubbed() {
    // A child process of our own, since the environment of this one is everybody's.
    if std::env::var_os("ROLLBACK_SCRUB_CHILD").is_some() {
        let Some(stack) = simple("x") else { return };
        let stack = stack.init();
        stack.apply();
        assert!(stack.path("terraform.tfstate").exists());
        assert!(stack.path(".terraform").exists());
        return;
    }
    if terraform().is_none() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commands::what_leaks_into_runs_is_scrubbed"])
        .env("ROLLBACK_SCRUB_CHILD", "1")
        .env("TF_CLI_ARGS", "-bogus")
        .env("TF_CLI_ARGS_plan", "-destroy")
        .env("TF_WORKSPACE", "elsewhere")
        .env("TF_DATA_DIR", "/nonexistent/data")
        .env("TF_REATTACH_PROVIDERS", "{bad json")
        .env("TF_LOG", "trace")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_binary_that_cannot_start() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("terraform");
    std::fs::write(&path, "\u{7f}ELF nonsense").unwrap();
    std::process::Command::new("chmod")
        .arg("755")
        .arg(&path)
        .status()
        .unwrap();
    let broken = Terraform::discover(path.to_str()).unwrap();
    assert!(matches!(broken.version(), Err(TerraformError::Spawn { .. })));
}

#[test]
fn reconfiguring_moves_no_state() {
    let server = crate::support::StateServer::start();
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    let stack = stack.init();
    stack.apply();
    let before = stack.read("terraform.tfstate");
    stack.write("backend.tf", &server.block());
    let options = InitOptions {
        reconfigure: true,
        ..InitOptions::default()
    };
    stack.folder.init(&options).unwrap();
    assert_eq!(stack.read("terraform.tfstate"), before);
    assert_eq!(server.served.lock().unwrap().posts, 0);
    assert_eq!(stack.folder.state_pull().unwrap(), None);

    // A crash in the middle leaves it aside; the next `init` finds it.
    std::fs::create_dir_all(stack.path(".infra-rollback/aside")).unwrap();
    std::fs::rename(
        stack.path("terraform.tfstate"),
        stack.path(".infra-rollback/aside/terraform.tfstate"),
    )
    .unwrap();
    stack.folder.init(&options).unwrap();
    assert_eq!(stack.read("terraform.tfstate"), before);
}

/// What each command costs: for whoever runs it with its output shown.
#[test]
fn costs() {
    let Some(stack) = simple("x") else { return };
    let timed = |what: &str, run: &mut dyn FnMut()| {
        let begun = std::time::Instant::now();
        run();
        println!("{what}: {:?}", begun.elapsed());
    };
    let folder = &stack.folder;
    timed("version", &mut || drop(terraform().unwrap().version().unwrap().clone()));
    timed("init", &mut || folder.init(&InitOptions::default()).unwrap());
    timed("needs_init", &mut || assert!(!folder.needs_init()));
    timed("plan", &mut || {
        drop(folder.plan_silently(&PlanOptions::default()).unwrap())
    });
    timed("show_plan", &mut || {
        drop(folder.show_plan(Path::new("rollback.tfplan")).unwrap())
    });
    timed("apply", &mut || {
        assert!(
            folder
                .apply_silently(Path::new("rollback.tfplan"))
                .unwrap()
                .is_complete()
        )
    });
    timed("state_pull", &mut || assert!(folder.state_pull().unwrap().is_some()));
    timed("providers_schema", &mut || drop(folder.providers_schema().unwrap()));
}
