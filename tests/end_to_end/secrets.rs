//! What is secret appears nowhere: not on a stream, not in a document, not in a record, not in a file of the home that
//! is no state.

use std::path::{Path, PathBuf};

use rollback_tests::{Ran, World, scenario};

const IN_INPUT: &str = "swordfish-7f3a-in-input";
const IN_LATER: &str = "marmalade-9c1d-in-later";
const IN_OUTPUT: &str = "periwinkle-2b8e-in-output";
const GIVEN: &str = "quicksilver-5d4f-given";

const SECRETS: &[&str] = &[IN_INPUT, IN_LATER, IN_OUTPUT, GIVEN];

fn configuration(password: &str) -> String {
    format!(
        r#"
variable "password" {{
  sensitive = true
  default   = "{password}"
}}
variable "token" {{
  sensitive = true
}}
resource "terraform_data" "user" {{
  input = var.password
}}
resource "terraform_data" "nested" {{
  input = {{ deep = [{{ token = var.token, plain = "visible" }}] }}
}}
resource "terraform_data" "replaced" {{
  triggers_replace = var.password
}}
output "secret" {{
  sensitive = true
  value     = "{IN_OUTPUT}"
}}
"#
    )
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[track_caller]
fn silent(ran: &Ran) -> &Ran {
    for secret in SECRETS {
        assert!(!contains(&ran.bytes, secret), "stdout has {secret}: {ran}");
        assert!(!ran.stderr.contains(secret), "stderr has {secret}: {ran}");
    }
    ran
}

/// Files under a folder that hold a secret.
fn holding(folder: &Path, but: &[&Path]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if but.contains(&path.as_path()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && SECRETS.iter().any(|secret| contains(&bytes, secret))
            {
                found.push(path);
            }
        }
    }
    found
}

#[track_caller]
fn nothing_in_the_home(world: &World) {
    let blobs = world.home.join("store/blobs");
    let found = holding(&world.home, &[&blobs]);
    assert!(found.is_empty(), "secrets lie in {found:?}");
}

#[test]
fn secrets_are_never_shown_and_never_recorded() {
    scenario(|mut world| {
        world.set("TF_VAR_token", GIVEN);
        let first = world.release_of(&configuration(IN_INPUT));
        silent(&world.tool(&["snapshot", "--json"])).exits(0);
        let second = world.release_of(&configuration(IN_LATER));
        // The controls: what is looked for is there to be found.
        let state = world.state();
        assert!(contains(&state.bytes, IN_LATER) && contains(&state.bytes, GIVEN) && contains(&state.bytes, IN_OUTPUT));
        std::fs::write(world.home.join("control"), &state.bytes).unwrap();
        assert_eq!(holding(&world.home, &[]), [world.home.join("control")]);
        std::fs::remove_file(world.home.join("control")).unwrap();

        let to = first.commit.as_str();
        for more in [&[][..], &["--json"], &["-v"], &["-vv"], &["-vvv", "--json"]] {
            for command in [&["plan", to][..], &["plan", to, "--offline"], &["to", to, "--dry-run"]] {
                let arguments: Vec<&str> = command.iter().chain(more).copied().collect();
                silent(&world.tool(&arguments)).exits(0);
            }
        }
        silent(&world.tool(&["-vv", "to", to, "--auto-approve"])).exits(0);
        world.is_at_but(&first, &["terraform_data.replaced"]);
        let run = world.last_run();
        silent(&world.tool(&["-vv", "undo", "--auto-approve", "--json"])).exits(0);
        world.is_at_but(&second, &["terraform_data.replaced"]);
        for command in [
            &["runs"][..],
            &["runs", "show", &run],
            &["releases"],
            &["show", to],
            &["diff", to, &second.commit, "--state", "--patch"],
            &["state", "versions"],
            &["state", "blame", "terraform_data.user.input"],
            &["state", "inspect", "terraform.tfstate"],
            &["locks"],
        ] {
            silent(&world.tool(command)).exits(0);
            let json: Vec<&str> = command.iter().copied().chain(["--json", "-vv"]).collect();
            silent(&world.tool(&json)).exits(0);
        }
        nothing_in_the_home(&world);
    });
}

#[test]
fn differences_do_not_show_what_plans_mask() {
    scenario(|mut world| {
        world.set("TF_VAR_token", GIVEN);
        let first = world.release_of(&configuration(IN_INPUT));
        let second = world.release_of(&configuration(IN_LATER));
        for more in [&[][..], &["--config"], &["--patch"], &["--json"]] {
            let arguments: Vec<&str> = ["diff", &first.commit, &second.commit]
                .iter()
                .chain(more)
                .copied()
                .collect();
            silent(&world.tool(&arguments)).exits(0).says("main.tf");
        }
    });
}

#[test]
fn values_of_the_command_line_are_not_recorded() {
    scenario(|mut world| {
        world.set("TF_VAR_token", GIVEN);
        let first = world.release_of(&configuration(IN_INPUT));
        world.release_of(&configuration(IN_LATER));
        world.unset("TF_VAR_token");
        let to = first.commit.as_str();
        let given = format!("token={GIVEN}");
        for arguments in [
            &["to", to, "--var", &given][..],
            &["resume", "--var", &given, "--auto-approve", "-vv"],
        ] {
            silent(&world.tool(arguments));
        }
        assert_eq!(world.runs()[0]["status"], "completed");
        world.set("TF_VAR_token", GIVEN);
        world.is_at_but(&first, &["terraform_data.replaced"]);
        let run = world.last_run();
        silent(&world.tool(&["runs", "show", &run, "--json"]))
            .says("token")
            .exits(0);
        nothing_in_the_home(&world);
    });
}

#[test]
fn errors_of_terraform_are_scrubbed() {
    scenario(|mut world| {
        world.set("TF_VAR_token", GIVEN);
        let failing = configuration(IN_INPUT)
            + "resource \"terraform_data\" \"failing\" {\n  provisioner \"local-exec\" {\n    \
               command = \"echo ${nonsensitive(var.token)} ${nonsensitive(var.password)} >&2; test -e $OUT/fine\"\n  }\n}\n";
        world.put_out("fine");
        let first = world.release_of(&failing);
        world.release_of(&configuration(IN_LATER));
        world.remove_out("fine");
        silent(&world.tool(&["-vv", "to", &first.commit, "--auto-approve"])).exits(4);
        let run = world.last_run();
        silent(&world.tool(&["runs", "show", &run])).exits(0);
        silent(&world.tool(&["runs", "show", &run, "--json"])).exits(0);
        world.put_out("fine");
        silent(&world.tool(&["resume", "--auto-approve", "--json"])).exits(0);
        nothing_in_the_home(&world);
    });
}

#[cfg(unix)]
#[test]
fn what_a_waiting_run_keeps_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    scenario(|mut world| {
        world.set("TF_VAR_token", GIVEN);
        let first = world.release_of(&configuration(IN_INPUT));
        world.release_of(&configuration(IN_LATER));
        silent(&world.tool(&["to", &first.commit])).exits(6);
        let mut folders = vec![world.home.clone()];
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // The home itself was made by the test.
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().filter_map(Result::ok) {
                let path = entry.path();
                let closed_above = path
                    .ancestors()
                    .take_while(|above| *above != world.home)
                    .any(|above| above.is_dir() && !above.is_symlink() && mode(above) & 0o077 == 0);
                if path.is_symlink() {
                    continue;
                }
                assert!(
                    closed_above || mode(&path) & 0o077 == 0,
                    "{} can be read by others: {:o}",
                    path.display(),
                    mode(&path)
                );
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        world.tool(&["abort"]).exits(0);
        world.is_tidy();
        nothing_in_the_home(&world);
    });
}
