//! `infrastructure/`: the real Terraform with the real AWS provider, on an emulator.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rollback_tests::{data, moved, scale, scenario};

const PROVIDER: &str = r#"
provider "aws" {
  region                      = "us-east-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"#;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure")
}

fn terraform(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("terraform")
        .args(arguments)
        .current_dir(folder)
        .env("TF_IN_AUTOMATION", "1")
        .stdin(Stdio::null())
        .output()
        .expect("terraform can be started")
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = terraform(folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "terraform {arguments:?}: {said}{complained}");
    said
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let (path, name_text) = (entry.path(), name.to_string_lossy());
        if path.is_dir() && !name_text.starts_with('.') {
            copy(&path, &to.join(&name));
        } else if name_text.ends_with(".tf") {
            std::fs::copy(&path, to.join(&name)).unwrap();
        }
    }
}

/// A copy that is initialised, with a provider that finds the emulator; none where there is no emulator.
fn prepared() -> Option<tempfile::TempDir> {
    if std::env::var_os("AWS_ENDPOINT_URL").is_none() {
        eprintln!("skipped: there is no AWS emulator (tests/run starts one)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&sources(), folder.path());
    std::fs::write(folder.path().join("provider.tf"), PROVIDER).unwrap();
    succeeds(folder.path(), &["init", "-input=false", "-no-color"]);
    Some(folder)
}

#[test]
fn is_formatted() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("skipped: terraform is missing");
        return;
    }
    let unformatted = terraform(&sources(), &["fmt", "-recursive", "-check"]);
    let names = String::from_utf8_lossy(&unformatted.stdout);
    assert!(unformatted.status.success(), "terraform fmt would change {names}");
}

/// The store and the policies: made, used and at rest. Two things come last and only in the long form: lifecycle rules,
/// which take a minute to settle, and the bucket's policy, whose condition (no TLS) the emulator takes for always true.
#[test]
fn makes_a_store_that_can_be_used_and_is_at_rest() {
    let Some(folder) = prepared() else { return };
    let folder = folder.path();
    succeeds(folder, &["validate", "-no-color"]);
    let bucket = format!("bucket_name=infra-rollback-{}", std::process::id());
    let name = format!("name=infra-rollback-{}", std::process::id());
    let states = "terraform_state_arns=[\"arn:aws:s3:::acme-states/production/*\"]";
    let whole = [
        "-input=false",
        "-no-color",
        "-var",
        &bucket,
        "-var",
        &name,
        "-var",
        "prefix=production",
        "-var",
        states,
    ];
    let mut part = whole.to_vec();
    for target in [
        "data.aws_region.current",
        "module.access",
        "module.store.aws_dynamodb_table.this",
        "module.store.aws_s3_bucket_public_access_block.this",
        "module.store.aws_s3_bucket_server_side_encryption_configuration.this",
        "module.store.aws_s3_bucket_versioning.this",
    ] {
        part.extend(["-target", target]);
    }
    make(folder, &part);
    let url = succeeds(folder, &["output", "-raw", "store_url"]);
    use_store(&format!("{url}&path_style=true"));
    if scale() > 1 {
        make(folder, &whole);
    }
}

/// Applies, and plans again: nothing may be left.
#[track_caller]
fn make(folder: &Path, arguments: &[&str]) {
    let with = |first: &[&'static str]| {
        first
            .iter()
            .copied()
            .chain(arguments.iter().copied())
            .collect::<Vec<_>>()
    };
    succeeds(folder, &with(&["apply", "-auto-approve"]));
    let again = terraform(folder, &with(&["plan", "-detailed-exitcode"]));
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(again.status.code(), Some(0), "it is not at rest: {said}");
}

fn use_store(url: &str) {
    scenario(|mut world| {
        for name in [
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
        ] {
            world.set(name, &std::env::var(name).unwrap_or_default());
        }
        let release = |text: &str| {
            let release = world.release_without_snapshot(&[("main.tf", text)], &[]);
            world.tool(&["--store", url, "snapshot"]).exits(0);
            release
        };
        let first = release(&data("a", "one"));
        release(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world
            .tool(&["--store", url, "to", &first.commit, "--auto-approve"])
            .exits(0);
        world.is_at(&first);
        world.tool(&["--store", url, "undo", "--auto-approve"]).exits(0);
    });
}
