//! What is approved is what is applied, though somebody who may write into the run's folder puts another plan there: at each of
//! terraform's commands, by its name and through the open file that terraform is handed.

use std::os::unix::fs::PermissionsExt;

use rollback_tests::{Release, StateServer, World, scenario};

/// A terraform that has been tampered with: at one command (`$AT`) it makes another plan and puts it wherever the real one can be
/// found, then goes on as if nothing were.
const TAMPERING: &str = r#"#!/bin/sh
if [ "$1" = "$(cat $OUT/at 2>/dev/null)" ]; then
    for last in "$@"; do :; done
    $REAL plan -input=false -lock=false -var word=exchanged -out=$OUT/other.tfplan >/dev/null 2>&1 || exit 97
    test -s $OUT/other.tfplan || exit 98
    cp $OUT/other.tfplan infra-rollback.tfplan
    case "$last" in
    /proc/* | /dev/*) cat $OUT/other.tfplan >"$last" ;;
    *.tfplan) cp $OUT/other.tfplan "$last" ;;
    esac 2>/dev/null
    echo "$1" >>$OUT/tampered
fi
exec $REAL "$@"
"#;

fn real_terraform() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("terraform"));
    let found = found
        .into_iter()
        .find(|path| path.is_file())
        .expect("terraform is there");
    found.to_string_lossy().into_owned()
}

fn tampering(world: &mut World, at: &str) {
    let out = world.out.to_string_lossy().into_owned();
    let folder = world.path().join("tampering");
    std::fs::create_dir_all(&folder).unwrap();
    let script = TAMPERING.replace("$REAL", &real_terraform()).replace("$OUT", &out);
    std::fs::write(folder.join("terraform"), script).unwrap();
    std::fs::set_permissions(folder.join("terraform"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(world.out.join("at"), at).unwrap();
    let path = world.variable("PATH").unwrap_or_default().to_owned();
    world.set("PATH", &format!("{}:{path}", folder.display()));
}

fn configuration(backend: &str, names: [&str; 2], word: &str) -> String {
    let [moved, other] = names;
    format!(
        "{backend}variable \"word\" {{ default = \"{word}\" }}\n\
         resource \"terraform_data\" \"{moved}\" {{ input = \"m\" }}\n\
         resource \"terraform_data\" \"{other}\" {{ input = var.word }}\n"
    )
}

/// Two releases; with `rearranged` the state has to be edited on the way back.
fn story(world: &World, backend: &str, rearranged: bool) -> Release {
    let first = world.release_of(&configuration(backend, ["before", "word"], "approved"));
    let now = if rearranged { "after" } else { "before" };
    let moved = match rearranged {
        true => "moved {\n  from = terraform_data.before\n  to = terraform_data.after\n}\n",
        false => "",
    };
    world.release_of(&(configuration(backend, [now, "word"], "now") + moved));
    first
}

#[track_caller]
fn approved_is_applied(world: &World, first: &Release, at: &str) {
    world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
    let tampered = std::fs::read_to_string(world.out.join("tampered")).unwrap_or_default();
    assert!(tampered.contains(at), "nothing was tampered with at {at}");
    let state = world.state();
    let text = String::from_utf8_lossy(&state.bytes).into_owned();
    assert!(
        text.contains("\"approved\"") && !text.contains("exchanged"),
        "{at}: another plan was applied"
    );
    world.is_at(first);
}

#[test]
fn a_plan_file_that_is_exchanged_before_it_is_applied() {
    for at in ["apply", "show"] {
        for rearranged in [false, true] {
            scenario(|mut world| {
                let first = story(&world, "", rearranged);
                tampering(&mut world, at);
                approved_is_applied(&world, &first, at);
            });
        }
    }
}

#[test]
fn the_same_on_a_remote_backend() {
    for at in ["apply", "show"] {
        for rearranged in [false, true] {
            scenario(|mut world| {
                let server = StateServer::start();
                world.server = Some(server.clone());
                let first = story(&world, &server.backend(), rearranged);
                tampering(&mut world, at);
                approved_is_applied(&world, &first, at);
            });
        }
    }
}
