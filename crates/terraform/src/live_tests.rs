use super::*;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn local(folder: &Path, config: Value, workspace: Option<&str>) -> PathBuf {
    match Backend::detect(folder, Some(("local", &map(config))), workspace)
        .unwrap()
        .location()
    {
        Location::File(path) => path,
        other => panic!("{other}"),
    }
}

#[test]
fn local_paths_as_terraform_has_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    assert_eq!(local(folder, json!({}), None), folder.join("terraform.tfstate"));
    assert_eq!(
        local(folder, json!({"path":"./state/x.tfstate"}), None),
        folder.join("state/x.tfstate")
    );
    assert_eq!(local(folder, json!({"path":"/abs/x"}), None), Path::new("/abs/x"));
    assert_eq!(
        local(folder, json!({"path":"x"}), Some("prod")),
        folder.join("terraform.tfstate.d/prod/terraform.tfstate")
    );
    assert_eq!(
        local(folder, json!({"workspace_dir":"ws"}), Some("prod")),
        folder.join("ws/prod/terraform.tfstate")
    );
    fs::create_dir(folder.join(".terraform")).unwrap();
    fs::write(folder.join(".terraform/environment"), "stage\n").unwrap();
    assert_eq!(
        local(folder, json!({}), None),
        folder.join("terraform.tfstate.d/stage/terraform.tfstate")
    );
    assert_eq!(
        local(folder, json!({}), Some("default")),
        folder.join("terraform.tfstate")
    );
}

#[test]
fn the_record_wins_and_says_what_differs() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join(".terraform")).unwrap();
    let record =
        json!({"version":3,"backend":{"type":"s3","config":{"bucket":"b","key":"old","token":"hunter2"},"hash":1}});
    fs::write(place.path().join(".terraform/terraform.tfstate"), record.to_string()).unwrap();
    let backend = Backend::detect(place.path(), Some(("s3", &map(json!({"key":"new"})))), Some("prod")).unwrap();
    assert_eq!(backend.source(), Source::Record);
    assert_eq!(backend.location().to_string(), "s3://b/env:/prod/old");
    assert!(backend.disagreement().unwrap().ends_with("key"));
    assert!(!format!("{backend:?}").contains("hunter2"));
    let backend = Backend::detect(place.path(), Some(("s3", &map(json!({"key":"old"})))), None).unwrap();
    assert_eq!(backend.disagreement(), None);
    assert!(
        Backend::detect(place.path(), Some(("gcs", &Map::new())), None)
            .unwrap()
            .disagreement()
            .unwrap()
            .contains("gcs")
    );
    assert!(
        Backend::detect(place.path(), None, None)
            .unwrap()
            .disagreement()
            .is_some()
    );
}

#[test]
fn places_show_no_credentials() {
    let backend = |kind: &str, config: Value| describe(&BackendConfig::new(kind, map(config)), "default");
    assert_eq!(
        backend("http", json!({"address":"https://user:pass@host:1/state?token=x#y"})),
        "https://host:1/state"
    );
    assert_eq!(backend("pg", json!({"conn_str":"postgres://u:p@h/db"})), "pg");
}

#[test]
fn a_named_cloud_workspace_needs_no_variable() {
    let place = tempfile::tempdir().unwrap();
    let detect = |config: Value| {
        Backend::detect(place.path(), Some(("cloud", &map(config))), Some("prod"))
            .unwrap()
            .workspace_variable()
    };
    assert_eq!(detect(json!({"workspaces":{"name":"prod"}})), None);
    assert_eq!(detect(json!({"workspaces":[{"name":"prod"}]})), None);
    assert_eq!(detect(json!({"workspaces":{"tags":["x"]}})), Some("prod".into()));
}

#[test]
fn a_state_in_the_middle_of_being_written_is_read_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("terraform.tfstate");
    assert_eq!(read_settled(&path).unwrap(), None);
    fs::write(&path, "").unwrap();
    assert_eq!(read_settled(&path).unwrap(), None);
    fs::write(&path, "{ cut off").unwrap();
    assert_eq!(
        read_settled(&path).unwrap().unwrap(),
        b"{ cut off",
        "nobody writes it: it is what it is"
    );
    let lock = local_state::LocalState::lock(&path, "write").unwrap();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        lock.write_in_place(b"{\"half\":1}").unwrap();
    });
    assert_eq!(read_settled(&path).unwrap().unwrap(), b"{\"half\":1}");
    writer.join().unwrap();
}
