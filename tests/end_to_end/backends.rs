//! Where the live state lies: workspaces, paths, folders that were renamed, backends that moved.

use rollback_tests::{World, data, moved, scenario};

fn local(path: &str) -> String {
    format!("terraform {{\n  backend \"local\" {{\n    path = \"{path}\"\n  }}\n}}\n")
}

#[test]
fn a_local_backend_with_a_path() {
    scenario(|mut world| {
        world.state_file = Some(world.out.join("live.tfstate"));
        let backend = local("$OUT/live.tfstate");
        let first = world.release_of(&(backend.clone() + &data("a", "one")));
        world.release_of(&(backend + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.back_to(&first);
        assert!(!world.repo.join("terraform.tfstate").exists());
    });
}

#[test]
fn a_local_backend_with_a_relative_path() {
    scenario(|mut world| {
        world.stack = "deep/stack".to_owned();
        world.state_file = Some(world.repo.join("deep/states.tfstate"));
        let settings = "[[stack]]\nname = \"app\"\ndir = \"deep/stack\"\n";
        let release = |text: &str| {
            let text = local("../states.tfstate") + text;
            world.release(&[("infra-rollback.toml", settings), ("deep/stack/main.tf", &text)])
        };
        let first = release(&data("a", "one"));
        release(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        let back = world.tool_in(&world.stack_folder(), &["to", &first.commit, "--auto-approve"]);
        back.exits(0);
        assert_eq!(world.objects(), first.objects);
        assert!(!world.stack_folder().join("terraform.tfstate").exists());
    });
}

#[test]
fn a_backend_that_moved_since() {
    scenario(|mut world| {
        let first = world.release_of(&data("a", "one"));
        let stale = world.state();
        world.write(&[(
            "main.tf",
            &(local("$OUT/new.tfstate") + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")),
        )]);
        world
            .terraform(&["init", "-input=false", "-no-color", "-migrate-state", "-force-copy"])
            .exits(0);
        world.commit("the state moves");
        world.apply(&[]);
        let old = world.state_path();
        world.state_file = Some(world.out.join("new.tfstate"));
        world.snapshot();
        std::fs::write(&old, &stale.bytes).unwrap();
        let back = world.tool(&["to", &first.commit, "--auto-approve"]);
        back.exits(0);
        assert_eq!(
            world.objects(),
            first.objects,
            "the live state is where the backend lies now"
        );
        assert_eq!(
            std::fs::read(&old).unwrap(),
            stale.bytes,
            "the stale state is not touched"
        );
        world.is_tidy();
    });
}

#[test]
fn the_root_folder_was_renamed() {
    scenario(|mut world| {
        world.stack = "infrastructure/old".to_owned();
        let settings = |dir: &str| format!("[[stack]]\nname = \"app\"\ndir = \"{dir}\"\n");
        let first = world.release(&[
            ("infra-rollback.toml", &settings("infrastructure/old")),
            ("infrastructure/old/main.tf", &data("a", "one")),
        ]);
        let state = world.state();
        let old = world.state_path();
        world.stack = "terraform".to_owned();
        std::fs::create_dir_all(world.stack_folder()).unwrap();
        std::fs::write(world.state_path(), &state.bytes).unwrap();
        std::fs::remove_file(old).unwrap();
        world.release(&[
            ("infra-rollback.toml", &settings("terraform")),
            (
                "terraform/main.tf",
                &(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")),
            ),
        ]);
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        assert!(!world.repo.join("infrastructure/old/terraform.tfstate").exists());
        world.is_tidy();
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(world.objects().keys().collect::<Vec<_>>(), ["terraform_data.b"]);
    });
}

#[test]
fn a_workspace_that_is_selected() {
    scenario(|mut world| {
        world.write(&[("main.tf", &data("a", "one"))]);
        world.init();
        world.apply(&[]);
        let default = world.state();
        world.terraform(&["workspace", "new", "staging"]).exits(0);
        world.state_file = Some(world.repo.join("terraform.tfstate.d/staging/terraform.tfstate"));
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.back_to(&first);
        assert_eq!(
            std::fs::read(world.repo.join("terraform.tfstate")).unwrap(),
            default.bytes
        );
    });
}

#[test]
fn a_workspace_of_the_environment() {
    scenario(|mut world| {
        world.write(&[("main.tf", &data("a", "one"))]);
        world.init();
        world.apply(&[]);
        let default = world.state();
        world.terraform(&["workspace", "new", "staging"]).exits(0);
        world.terraform(&["workspace", "select", "default"]).exits(0);
        world.set("TF_WORKSPACE", "staging");
        world.state_file = Some(world.repo.join("terraform.tfstate.d/staging/terraform.tfstate"));
        let text = "resource \"terraform_data\" \"NAME\" {\n  input = terraform.workspace\n}\n";
        let first = world.release_of(&text.replace("NAME", "a"));
        world.release_of(&(text.replace("NAME", "b") + &moved("terraform_data.a", "terraform_data.b")));
        world.back_to(&first);
        assert_eq!(
            std::fs::read(world.repo.join("terraform.tfstate")).unwrap(),
            default.bytes
        );
    });
}

#[test]
fn a_workspace_that_the_settings_name() {
    scenario(|mut world| {
        let settings = "[[stack]]\nname = \"app\"\ndir = \".\"\nworkspace = \"staging\"\n";
        world.write(&[("main.tf", &data("a", "one"))]);
        world.init();
        world.apply(&[]);
        let default = world.state();
        world.terraform(&["workspace", "new", "staging"]).exits(0);
        world.state_file = Some(world.repo.join("terraform.tfstate.d/staging/terraform.tfstate"));
        let first = world.release(&[("infra-rollback.toml", settings), ("main.tf", &data("a", "one"))]);
        world.release(&[
            ("infra-rollback.toml", settings),
            (
                "main.tf",
                &(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")),
            ),
        ]);
        world.terraform(&["workspace", "select", "default"]).exits(0);
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        assert_eq!(
            std::fs::read(world.repo.join("terraform.tfstate")).unwrap(),
            default.bytes
        );
        world.is_tidy();
    });
}

#[test]
fn a_release_of_another_workspace_is_not_gone_back_to() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.terraform(&["workspace", "new", "other"]).exits(0);
        world.apply(&[]);
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says("of workspace default alone")
                .says("--accept-change 'workspace.other'");
        });
        let releases = world.tool(&["releases", "--json"]).json();
        let id = releases["releases"][0]["id"].as_str().unwrap();
        world
            .tool(&["to", id, "--auto-approve"])
            .exits(3)
            .says("is of workspace default, and workspace other is selected");
    });
}

#[test]
fn a_workspace_without_a_snapshot_of_its_own_goes_by_the_configuration() {
    scenario(|mut world| {
        let renamed = data("b", "one") + &moved("terraform_data.a", "terraform_data.b");
        let first = world.release_of(&data("a", "one"));
        let default = world.state();
        world.terraform(&["workspace", "new", "other"]).exits(0);
        world.state_file = Some(world.repo.join("terraform.tfstate.d/other/terraform.tfstate"));
        world.apply(&[]);
        let then = world.objects();
        world.release_of(&renamed);
        let yes = ["--auto-approve", "--accept-change", "workspace.other"];
        world
            .tool(&[&["to", &first.commit][..], &yes].concat())
            .exits(0)
            .says("there is no snapshot of commit");
        assert_eq!(world.objects(), then);
        // Its backup is of that workspace, and goes back nowhere else.
        world.terraform(&["workspace", "select", "default"]).exits(0);
        world
            .tool(&["undo", "--auto-approve"])
            .exits(3)
            .says("terraform workspace select other");
        assert_eq!(
            std::fs::read(world.repo.join("terraform.tfstate")).unwrap(),
            default.bytes
        );
    });
}

// --- modules from elsewhere ----------------------------------------------------------------------------------------------

/// A repository outside, with a module.
fn module_repository(world: &World, text: &str) {
    let folder = world.out.join("module");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.tf"), text).unwrap();
    if !folder.join(".git").exists() {
        world.git_in(&folder, &["init", "--quiet", "--initial-branch=main"]);
    }
    world.git_in(&folder, &["add", "--all"]);
    world.git_in(&folder, &["commit", "--quiet", "--message", "a version"]);
}

const CALL: &str = "module \"m\" {\n  source = \"git::file://$OUT/module\"\n}\n";

#[test]
fn a_module_source_that_is_gone() {
    scenario(|world| {
        module_repository(&world, &data("x", "one"));
        let first = world.release_of(CALL);
        world.release_of(&(data("x", "two") + &moved("module.m.terraform_data.x", "terraform_data.x")));
        let away = world.out.join("away");
        std::fs::rename(world.out.join("module"), &away).unwrap();
        // What `init` had downloaded is gone, too: the release alone has it.
        let _ = std::fs::remove_dir_all(world.repo.join(".terraform"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        std::fs::rename(away, world.out.join("module")).unwrap();
        world.is_clean_at(&first.commit, &[]);
        world.is_tidy();
    });
}

/// No commit has it, and its folder goes on changing: the release's copy is used.
#[test]
fn a_local_module_outside_of_the_repository() {
    scenario(|world| {
        let module = world.repo.parent().unwrap().join("shared/m");
        let write = |text: &str| {
            std::fs::create_dir_all(module.join("nested")).unwrap();
            std::fs::write(module.join("main.tf"), text).unwrap();
            std::fs::write(module.join("nested/main.tf"), data("n", "one")).unwrap();
        };
        let call = "module \"m\" {\n  source = \"../shared/m\"\n}\n";
        let nested = "module \"nested\" {\n  source = \"./nested\"\n}\n";
        write(&(data("x", "one") + nested));
        let first = world.release_of(call);
        write(&(data("y", "two") + nested + &moved("terraform_data.x", "terraform_data.y")));
        let second = world.release_of(&(call.to_owned() + &data("app", "two")));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        assert_eq!(
            world.state().attributes("module.m.terraform_data.x")["input"]["value"],
            "one"
        );
        world.is_tidy();
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(
            world.objects()["module.m.terraform_data.y"],
            second.objects["module.m.terraform_data.y"]
        );
    });
}

#[test]
fn a_module_source_that_moved_on() {
    scenario(|world| {
        module_repository(&world, &data("x", "one"));
        let first = world.release_of(CALL);
        let moved_on = data("y", "two") + &data("more", "m") + &moved("terraform_data.x", "terraform_data.y");
        module_repository(&world, &moved_on);
        let _ = std::fs::remove_dir_all(world.repo.join(".terraform"));
        let second = world.release_of(&(CALL.to_owned() + &data("app", "two")));
        assert_eq!(
            first.objects["module.m.terraform_data.x"],
            second.objects["module.m.terraform_data.y"]
        );
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_tidy();
        // And forward again, with the newer module.
        world.tool(&["undo", "--auto-approve"]).exits(0);
        let now = world.objects();
        assert_eq!(
            now.keys().collect::<Vec<_>>(),
            second.objects.keys().collect::<Vec<_>>()
        );
        assert_eq!(
            now["module.m.terraform_data.y"],
            second.objects["module.m.terraform_data.y"]
        );
    });
}

/// `TF_DATA_DIR` holds workspace, modules and providers in the place of `.terraform`.
#[test]
fn a_data_folder_of_another_name() {
    scenario(|mut world| {
        world.set("TF_DATA_DIR", "data/.terraform");
        module_repository(&world, &data("x", "one"));
        world.write(&[("main.tf", CALL)]);
        world.init();
        world.apply(&[]);
        let default = world.state();
        world.terraform(&["workspace", "new", "staging"]).exits(0);
        assert!(!world.repo.join(".terraform").exists());
        world.state_file = Some(world.repo.join("terraform.tfstate.d/staging/terraform.tfstate"));
        let first = world.release_of(CALL);
        world.release_of(&(data("x", "two") + &moved("module.m.terraform_data.x", "terraform_data.x")));
        std::fs::remove_dir_all(world.out.join("module")).unwrap();
        let _ = std::fs::remove_dir_all(world.repo.join("data/.terraform/modules"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        let untouched = std::fs::read(world.repo.join("terraform.tfstate")).unwrap();
        assert_eq!(untouched, default.bytes, "the default workspace is another state");
        assert!(!world.repo.join(".terraform").exists());
    });
}

/// One commit, deployed in two workspaces: each goes back to what it had itself.
#[test]
fn a_commit_that_is_deployed_in_two_workspaces() {
    scenario(|mut world| {
        let main = world.repo.join("terraform.tfstate");
        let dev = world.repo.join("terraform.tfstate.d/dev/terraform.tfstate");
        let mut deploy = |text: &str| {
            world.write(&[("main.tf", text)]);
            world.init();
            let commit = world.commit("both");
            let mut objects = Vec::new();
            for (workspace, state) in [("dev", &dev), ("default", &main)] {
                world
                    .terraform(&["workspace", "select", "-or-create", workspace])
                    .exits(0);
                world.state_file = Some(state.clone());
                world.apply(&[]);
                world.snapshot();
                objects.push(world.objects());
            }
            (commit, objects)
        };
        let (first, then) = deploy(&data("a", "one"));
        let (_, now) = deploy(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.terraform(&["workspace", "select", "dev"]).exits(0);
        world.state_file = Some(dev);
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), then[0]);
        world.state_file = Some(main);
        assert_eq!(world.objects(), now[1], "the other one is left alone");
        world.terraform(&["workspace", "select", "default"]).exits(0);
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), then[1]);
    });
}
