//! Against the real Terraform: addresses of hostile keys, and what it makes of edited states.
//!
//! Skips where there is no terraform, unless INFRA_ROLLBACK_REQUIRE_TERRAFORM is set.

use std::path::Path;
use std::process::{Command, Output};

use rollback_state::{Address, InstanceId, State};

fn terraform(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let outcome = Command::new("terraform")
        .args(arguments)
        .current_dir(folder)
        .env("CHECKPOINT_DISABLE", "1")
        .env("TF_IN_AUTOMATION", "1")
        .env("NO_COLOR", "1")
        .env_remove("TF_CLI_CONFIG_FILE")
        .env_remove("TF_LOG")
        .output();
    match outcome {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("INFRA_ROLLBACK_REQUIRE_TERRAFORM").is_some() => {
            panic!("terraform is required: {error}")
        }
        Err(_) => None,
    }
}

/// What `terraform state list` prints for a state; none where there is no terraform.
fn listed(state: &[u8]) -> Option<Result<Vec<String>, String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("terraform.tfstate"), state).unwrap();
    let output = terraform(folder.path(), &["state", "list", "-state=terraform.tfstate"])?;
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(Ok(text.lines().map(str::to_owned).collect()))
}

/// A state with instances of all these keys, and modules of the first so many.
fn with_keys(keys: &[String], modules: usize) -> Vec<u8> {
    let instances: Vec<_> = keys
        .iter()
        .map(|key| serde_json::json!({"index_key": key, "schema_version": 0, "attributes": {"id": "1"}}))
        .collect();
    let modules: Vec<_> = keys
        .iter()
        .take(modules)
        .filter(|key| !key.is_empty())
        .map(|key| {
            let module: Address = format!("module.m{}.t.n", rollback_state::Key::Str(key.clone()))
                .parse()
                .unwrap();
            serde_json::json!({
                "module": module.resource.module.to_string(), "mode": "data", "type": "terraform_remote_state",
                "name": "m", "provider": "provider[\"terraform.io/builtin/terraform\"]",
                "instances": [{"schema_version": 0, "attributes": {"id": "1"}}]
            })
        })
        .collect();
    let mut resources = vec![serde_json::json!({
        "mode": "managed", "type": "terraform_data", "name": "a",
        "provider": "provider[\"terraform.io/builtin/terraform\"]", "instances": instances
    })];
    resources.extend(modules);
    let state = serde_json::json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": {}, "resources": resources
    });
    serde_json::to_vec(&state).unwrap()
}

#[test]
fn addresses_of_hostile_keys_are_those_that_terraform_prints() {
    let mut keys: Vec<String> = [
        "plain",
        "",
        "a.b",
        "quote\"d",
        "back\\slash",
        "new\nline",
        "tab\tr\rcr",
        "[0]",
        "${x}",
        "%{if}",
        "$${x}",
        "$$${x}",
        "%%{",
        "$%{",
        "%${",
        "100%",
        "$5",
        "${",
        "$",
        "{",
        "é中",
        "😀",
        "\u{200b}",
        "\u{ad}",
        "\u{a0}",
        "\u{feff}",
        "\u{1b}[0m",
        "\u{7f}",
        "<&>",
        "\u{2028}",
        "a/b:c",
        " (deposed 0123abcd)",
        "\u{e0001}",
        "'",
        "module.x",
        "\u{1c89}",
        "\u{85}",
        "\u{e000}",
        "\u{fdd0}",
        "\u{10ffff}",
        "\u{323af}",
        "\u{2ebf0}",
    ]
    .map(str::to_owned)
    .to_vec();
    // Characters from everywhere, a few to a key. Not in modules, whose keys Terraform normalises as it reads a state
    // (NFC, like every string in HCL); keys that come from a configuration are normalised already.
    let modules = keys.len();
    let mut everywhere = (0x21_u32..0x3_0000).step_by(41).filter_map(char::from_u32).peekable();
    while everywhere.peek().is_some() {
        keys.push(
            everywhere
                .by_ref()
                .take(50)
                .map(|character| format!("{character}."))
                .collect(),
        );
    }
    let bytes = with_keys(&keys, modules);
    let Some(listed) = listed(&bytes) else { return };
    let mut listed = listed.expect("terraform reads the state");
    let state = State::parse(bytes).unwrap();
    let mut ours: Vec<String> = state.instances().map(|instance| instance.id().to_string()).collect();
    for text in &listed {
        let id: InstanceId = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(id.to_string(), *text);
    }
    listed.sort();
    ours.sort();
    for (ours, theirs) in ours.iter().zip(&listed) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), listed.len());
}

#[test]
fn what_is_refused_terraform_refuses_too() {
    let valid = String::from_utf8(with_keys(&["x".to_owned()], 1)).unwrap();
    let twice = valid.replace("\"instances\":[{", "\"instances\":[{\"index_key\":\"x\"},{");
    let marked = format!("\u{feff}{valid}");
    let short = valid.replace("{\"index_key\"", "{\"deposed\":\"abc\",\"index_key\"");
    let future = valid.replace("\"version\":4", "\"version\":5");
    let status = valid.replace("{\"index_key\"", "{\"status\":\"odd\",\"index_key\"");
    let trailing = format!("{valid}{valid}");
    for text in [&twice, &marked, &short, &future, &status, &trailing] {
        assert!(State::parse(text.as_str()).is_err());
        let Some(listed) = listed(text.as_bytes()) else { return };
        assert!(listed.is_err(), "terraform takes {text}");
    }
}

#[test]
fn terraform_finds_nothing_to_do_after_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "main.tf",
        br#"
resource "terraform_data" "a" {
  for_each = toset(["x", "y", "$${z}"])
  input    = each.key
}
resource "terraform_data" "b" {
  input      = "b"
  depends_on = [terraform_data.a]
}
"#,
    );
    let Some(output) = terraform(folder.path(), &["init", "-input=false"]) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = |arguments: &[&str]| {
        let output = terraform(folder.path(), arguments).unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, text) = run(&["apply", "-input=false", "-auto-approve"]);
    assert_eq!(code, Some(0), "{text}");
    let before = State::parse(std::fs::read(folder.path().join("terraform.tfstate")).unwrap()).unwrap();

    // The other configuration names everything otherwise; the edited state fits it.
    write(
        "main.tf",
        br#"
resource "terraform_data" "c" {
  count = 3
  input = ["x", "y", "$${z}"][count.index]
}
resource "terraform_data" "d" {
  input      = "b"
  depends_on = [terraform_data.c]
}
"#,
    );
    let mut editor = before.edit();
    for (from, to) in [
        ("terraform_data.a[\"x\"]", "terraform_data.c[0]"),
        ("terraform_data.a[\"y\"]", "terraform_data.c[1]"),
        ("terraform_data.a[\"$${z}\"]", "terraform_data.c[2]"),
        ("terraform_data.b", "terraform_data.d"),
    ] {
        editor.move_to(&from.parse().unwrap(), &to.parse().unwrap()).unwrap();
    }
    editor.set_serial(before.serial() + 1);
    let edited = editor.finish().unwrap();
    let depends = edited
        .instance(&"terraform_data.d".parse().unwrap())
        .unwrap()
        .dependencies(&edited);
    assert_eq!(depends, ["terraform_data.c"]);
    write("edited.json", edited.bytes());
    let (code, text) = run(&["state", "push", "edited.json"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["plan", "-input=false", "-detailed-exitcode"]);
    assert_eq!(code, Some(0), "{text}");
}
