use std::path::Path;

use rollback_terraform::{Backend, BackendConfig, InitOptions, Location, TerraformError};

use crate::support::{Stack, StateServer, terraform};

#[test]
fn a_local_state_is_found_where_terraform_put_it() {
    for (block, place) in [
        ("", "terraform.tfstate"),
        ("path = \"deep/er/x.tfstate\"", "deep/er/x.tfstate"),
    ] {
        let main = format!(
            "terraform {{\n  backend \"local\" {{\n    {block}\n  }}\n}}\nresource \"terraform_data\" \"a\" {{}}\n"
        );
        let Some(stack) = Stack::new(&main) else { return };
        let stack = stack.init();
        let backend = Backend::detect(stack.place.path(), None, None).unwrap();
        assert_eq!(backend.pull(&terraform().unwrap()).unwrap(), None);
        stack.apply();
        assert_eq!(backend.location(), Location::File(stack.path(place)));
        assert_eq!(
            backend.pull(&terraform().unwrap()).unwrap().unwrap(),
            stack.read(place).as_bytes()
        );
    }
}

#[test]
fn a_chosen_workspace_is_found() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    let stack = stack.init();
    let made = std::process::Command::new(terraform().unwrap().binary())
        .args(["workspace", "new", "prod"])
        .current_dir(stack.place.path())
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .unwrap();
    assert!(made.status.success());
    stack.apply();
    let backend = Backend::detect(stack.place.path(), None, None).unwrap();
    assert_eq!(backend.workspace(), "prod");
    assert!(backend.pull(&terraform().unwrap()).unwrap().is_some());
    let default = Backend::detect(stack.place.path(), None, Some("default")).unwrap();
    assert_eq!(default.pull(&terraform().unwrap()).unwrap(), None);
}

#[test]
fn a_remote_state_is_pulled_without_the_configuration() {
    let server = StateServer::start();
    // Partial configuration: the address comes with `init` and is only in the record.
    let Some(stack) =
        Stack::new("terraform {\n  backend \"http\" {}\n}\nresource \"terraform_data\" \"a\" { input = \"canary\" }\n")
    else {
        return;
    };
    let init = std::process::Command::new(terraform().unwrap().binary())
        .args(["init", &format!("-backend-config=address={}", server.address)])
        .current_dir(stack.place.path())
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let backend = Backend::detect(stack.place.path(), Some(("http", &serde_json::Map::new())), None).unwrap();
    assert_eq!(backend.location().to_string(), server.address);
    assert_eq!(backend.disagreement(), None);
    assert_eq!(backend.pull(&terraform().unwrap()).unwrap(), None);
    stack.apply();
    let pulled = backend.pull(&terraform().unwrap()).unwrap().unwrap();
    assert!(String::from_utf8_lossy(&pulled).contains("canary"));
    server.served.lock().unwrap().refuse_all = true;
    let refused = backend.pull(&terraform().unwrap()).unwrap_err();
    assert!(matches!(refused, TerraformError::Authentication { .. }), "{refused}");
}

/// What the engine does for remote backends: an override names the live backend in the private folder.
#[test]
fn an_override_leads_to_the_live_backend_and_a_local_one_away_from_it() {
    let server = StateServer::start();
    let Some(stack) = Stack::new(&format!("{}resource \"terraform_data\" \"a\" {{}}\n", server.block())) else {
        return;
    };
    let live = BackendConfig::from_data_folder(&stack.init().folder.data_dir())
        .unwrap()
        .unwrap();
    let private = Stack::new("terraform {\n  backend \"s3\" {\n    bucket = \"gone\"\n    key = \"gone\"\n  }\n}\nresource \"terraform_data\" \"a\" {}\n").unwrap();
    BackendConfig::local(None).write_override(private.place.path()).unwrap();
    let private = private.init();
    private.apply();
    assert!(server.served.lock().unwrap().state.is_none());
    let copy = private.path("terraform.tfstate");
    assert!(Path::new(&copy).exists());

    live.write_override(private.place.path()).unwrap();
    assert!(private.folder.needs_init());
    private
        .folder
        .init(&InitOptions {
            reconfigure: true,
            ..InitOptions::default()
        })
        .unwrap();
    private.folder.state_push(&copy, false).unwrap();
    assert!(server.served.lock().unwrap().state.is_some());
    assert!(private.plan().unwrap().is_empty());
    assert!(server.served.lock().unwrap().lock.is_none());
}

#[test]
fn a_template_sign_in_a_setting_is_no_template() {
    let Some(stack) = Stack::new("resource \"terraform_data\" \"a\" {}\n") else {
        return;
    };
    BackendConfig::local(Some(Path::new("odd ${x} %{y}.tfstate")))
        .write_override(stack.place.path())
        .unwrap();
    let stack = stack.init();
    stack.apply();
    assert!(stack.path("odd ${x} %{y}.tfstate").exists());
}
