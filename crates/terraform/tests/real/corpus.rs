//! A folder of public plans, where INFRA_ROLLBACK_PLAN_CORPUS names one: each is read or refused with one clear error.

use std::path::{Path, PathBuf};

use rollback_terraform::{Plan, TerraformError};

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if !path.file_name().unwrap().to_string_lossy().starts_with('_') {
            into.push(path);
        }
    }
}

#[test]
fn every_public_plan_is_read_or_refused() {
    let Some(folder) = std::env::var_os("INFRA_ROLLBACK_PLAN_CORPUS") else {
        return;
    };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    assert!(!paths.is_empty());
    let mut read = 0;
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let valid: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let is_plan = valid
            .as_ref()
            .is_some_and(|value| value.get("format_version").is_some() && value.get("planned_values").is_some());
        match Plan::parse(bytes.clone()) {
            Ok(plan) => {
                read += 1;
                assert_eq!(plan.bytes(), bytes);
                let rows = plan
                    .raw()
                    .get("resource_changes")
                    .and_then(|rows| rows.as_array())
                    .map_or(0, Vec::len);
                assert_eq!(plan.resource_changes.len(), rows, "{}", path.display());
                assert_eq!(plan.digest().len(), 64);
                assert_eq!(plan.digest(), Plan::parse(bytes).unwrap().digest());
                let unknown = plan
                    .resource_changes
                    .iter()
                    .filter(|change| change.has_unknown_action())
                    .count();
                if unknown > 0 {
                    println!("{}: {unknown} rows with an unknown action", path.display());
                }
            }
            Err(TerraformError::Plan { message }) => {
                assert!(!message.is_empty());
                println!("{}: {message}", path.display());
                assert!(!is_plan, "a plan was refused: {}: {message}", path.display());
            }
            Err(other) => panic!("{}: {other}", path.display()),
        }
    }
    println!("{read} of {} files are plans", paths.len());
}
