//! Values that came from outside of Git, and objects that are not at rest.

use rollback_tests::{World, data, moved, scenario};

use crate::damage::edit;

const ASKED: &str =
    "variable \"size\" {\n  default = \"small\"\n}\nresource \"terraform_data\" \"a\" {\n  input = var.size\n}\n";
const REQUIRED: &str =
    "variable \"size\" {\n  type = string\n}\nresource \"terraform_data\" \"a\" {\n  input = var.size\n}\n";

#[test]
fn a_value_of_the_command_line_is_missed_and_named() {
    scenario(|world| {
        let first = world.release_with(&[("main.tf", ASKED)], &["-var", "size=huge"]);
        world.release_of(&data("a", "fixed"));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused
                .exits(3)
                .says("terraform_data.a")
                .says("input")
                .says("size")
                .says("--var");
        });
        world.is_tidy();
        // The last word counts, as with terraform.
        world
            .tool(&[
                "to",
                &first.commit,
                "--auto-approve",
                "--var",
                "size=tiny",
                "--var",
                "size=huge",
            ])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_clean_at(&first.commit, &["-var", "size=huge"]);
        world.is_tidy();
    });
}

#[test]
fn a_wrong_value_is_refused_too() {
    scenario(|world| {
        let first = world.release_with(&[("main.tf", ASKED)], &["-var", "size=huge"]);
        world.release_of(&data("a", "fixed"));
        world.unchanged(|world| {
            let arguments = ["to", &first.commit, "--auto-approve", "--var", "size=tiny"];
            world.tool(&arguments).exits(3).says("input");
        });
    });
}

/// An object that moves explains what is made of the part of it that moves, and no more.
#[test]
fn a_wrong_value_beside_an_object_that_stays_is_refused() {
    scenario(|world| {
        let text = |input: &str| {
            format!(
                "variable \"v\" {{\n  type = string\n}}\n{}resource \"terraform_data\" \"beside\" {{\n  input = \
                 \"${{terraform_data.x.id}}-${{var.v}}\"\n}}\n",
                data("x", input)
            )
        };
        let first = world.release_with(&[("main.tf", &text("one"))], &["-var", "v=one"]);
        world.release_with(&[("main.tf", &text("two"))], &["-var", "v=two"]);
        world.unchanged(|world| {
            let wrong = ["to", &first.commit, "--auto-approve", "--var", "v=wrong"];
            world.tool(&wrong).exits(3).says("variable `v`");
        });
        world
            .tool(&["to", &first.commit, "--auto-approve", "--var", "v=one"])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
    });
}

/// The value takes a way through a local, a module's input, `for_each` and an object that is as it was.
#[test]
fn a_value_that_takes_a_long_way_is_missed_and_named() {
    scenario(|world| {
        let module = |text: &str| {
            format!(
                "variable \"x\" {{}}\nresource \"terraform_data\" \"base\" {{\n  input = \"same\"\n}}\n\
                 resource \"terraform_data\" \"a\" {{\n  for_each = var.x\n  input    = \"{text}-${{each.value}}-${{terraform_data.base.output}}\"\n}}\n"
            )
        };
        let root = "variable \"v\" {\n  default = \"d\"\n}\nlocals {\n  w = \"w-${var.v}\"\n}\nmodule \"m\" {\n  source = \"./m\"\n  x      = { k = local.w }\n}\n";
        let deploy = |text: &str| {
            let files = [("main.tf", root), ("m/main.tf", &module(text))];
            world.release_with(&files, &["-var", "v=given"])
        };
        let first = deploy("one");
        deploy("two");
        let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
        refused.exits(3).says("variable `v`").says("--var");
        world
            .tool(&["to", &first.commit, "--auto-approve", "--var", "v=given"])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_clean_at(&first.commit, &["-var", "v=given"]);
    });
}

#[test]
fn another_value_can_be_accepted_by_name() {
    scenario(|world| {
        let first = world.release_with(&[("main.tf", ASKED)], &["-var", "size=huge"]);
        world.release_of(&data("a", "fixed"));
        let arguments = [
            "to",
            &first.commit,
            "--auto-approve",
            "--accept-change",
            "terraform_data.a",
        ];
        world.tool(&arguments).exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_clean_at(&first.commit, &[]);
    });
}

#[test]
fn a_value_of_a_file_outside_of_git() {
    scenario(|world| {
        let file = world.out.join("sizes.tfvars");
        std::fs::write(&file, "size = \"huge\"\n").unwrap();
        let file = file.to_string_lossy().into_owned();
        let option = format!("-var-file={file}");
        let first = world.release_with(&[("main.tf", ASKED)], &[&option]);
        world.release_of(&data("a", "fixed"));
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says("size");
        });
        world
            .tool(&["to", &first.commit, "--auto-approve", "--var-file", &file])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_clean_at(&first.commit, &[&option]);
    });
}

#[test]
fn a_required_variable_is_asked_for() {
    scenario(|mut world| {
        world.set("TF_VAR_size", "huge");
        let first = world.release_of(REQUIRED);
        world.unset("TF_VAR_size");
        world.release_of(&data("a", "fixed"));
        world.unchanged(|world| {
            let failed = world.tool(&["to", &first.commit, "--auto-approve"]);
            failed.fails().says("size").says("TF_VAR_size");
        });
        world.is_tidy();
        world.set("TF_VAR_size", "huge");
        world.back_to(&first);
    });
}

#[test]
fn values_of_tracked_files_come_back_by_themselves() {
    scenario(|world| {
        let first = world.release(&[
            ("main.tf", REQUIRED),
            ("terraform.tfvars", "size = \"one\"\n"),
            ("more.auto.tfvars", "# nothing\n"),
        ]);
        let second = world.release(&[("main.tf", REQUIRED), ("terraform.tfvars", "size = \"two\"\n")]);
        world.back_to(&first).says("one");
        world.undo_to(&second, &[]);
    });
}

#[test]
fn a_variable_file_that_the_settings_name() {
    scenario(|world| {
        let settings = "[[stack]]\nname = \"app\"\ndir = \".\"\nvar_files = [\"production.tfvars\"]\n";
        let files = |size: &str| format!("size = \"{size}\"\n");
        let option = ["-var-file=production.tfvars"];
        let first = world.release_with(
            &[
                ("infra-rollback.toml", settings),
                ("main.tf", REQUIRED),
                ("production.tfvars", &files("one")),
            ],
            &option,
        );
        world.release_with(
            &[
                ("infra-rollback.toml", settings),
                ("main.tf", REQUIRED),
                ("production.tfvars", &files("two")),
            ],
            &option,
        );
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), first.objects);
        world.is_clean_at(&first.commit, &option);
        world.is_tidy();
    });
}

#[test]
fn tainted_since() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        world.release_of(&(data("a", "two") + &data("b", "two")));
        world.terraform(&["taint", "terraform_data.a"]).exits(0);
        let before = world.objects();
        let ran = world.tool(&["to", &first.commit, "--auto-approve"]);
        if ran.code == 3 {
            // What is tainted now would be replaced: that needs a yes of its own.
            ran.says("terraform_data.a");
            assert_eq!(world.objects(), before);
            let arguments = [
                "to",
                &first.commit,
                "--auto-approve",
                "--accept-change",
                "terraform_data.a",
            ];
            world.tool(&arguments).exits(0);
            world.is_at_but(&first, &["terraform_data.a"]);
        } else {
            ran.exits(0);
            world.is_at(&first);
        }
    });
}

#[test]
fn tainted_then_and_healed_since() {
    scenario(|world| {
        let first = world.release_without_snapshot(&[("main.tf", &data("a", "one"))], &[]);
        world.terraform(&["taint", "terraform_data.a"]).exits(0);
        world.snapshot();
        world.terraform(&["untaint", "terraform_data.a"]).exits(0);
        world.release_of(&data("a", "two"));
        // Its being damaged is no value to go back to.
        world.back_to(&first);
    });
}

/// Writes a deposed twin of an object into the live state, as a replacement that failed halfway leaves it.
fn depose(world: &World, name: &str, id: &str) {
    edit(world, |state| {
        for resource in state["resources"].as_array_mut().unwrap() {
            if resource["name"] == name {
                let instances = resource["instances"].as_array_mut().unwrap();
                let mut twin = instances[0].clone();
                twin["deposed"] = "0badcafe".into();
                twin["attributes"]["id"] = id.into();
                instances.push(twin);
            }
        }
    });
}

#[test]
fn deposed_objects_are_cleared_away() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "x")));
        world.release_of(&(data("a", "two") + &data("b", "x")));
        depose(&world, "a", "11111111-2222-3333-4444-555555555555");
        assert_eq!(world.state().deposed().len(), 1);
        world.snapshot();
        world.back_to(&first);
    });
}

#[test]
fn deposed_objects_of_a_resource_that_moved() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        depose(&world, "b", "11111111-2222-3333-4444-555555555555");
        world.back_to(&first);
    });
}

#[test]
fn changed_by_hand_after_the_snapshot() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "one")));
        world.release_of(&(data("a", "two") + &data("b", "two")));
        // Somebody applies what is in no commit, and nobody takes a snapshot.
        world.put(
            "main.tf",
            &(data("a", "by hand") + &data("b", "two") + &data("c", "by hand")),
        );
        world.apply(&[]);
        world.git(&["checkout", "--quiet", "main.tf"]);
        world
            .terraform(&["state", "mv", "terraform_data.b", "terraform_data.elsewhere"])
            .exits(0);
        world.back_to(&first);
    });
}

#[test]
fn a_snapshot_of_uncommitted_files_says_so() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        world.put("main.tf", &data("a", "two"));
        world.apply(&[]);
        world.tool(&["snapshot"]).exits(0).says("main.tf");
    });
}

/// What terraform only knows after the apply, what an object gets when it is made anew, what only an output or a provisioner
/// takes: there is nothing in the plan that could be compared, and the variable's own value tells.
#[test]
fn a_value_that_no_planned_attribute_shows_is_missed_and_named() {
    let v = "variable \"v\" {\n  default = \"default\"\n}\n";
    let partly = "resource \"terraform_data\" \"a\" {\n  input = { x = var.v, y = terraform_data.r.id }\n}\n";
    let ignored =
        "resource \"terraform_data\" \"a\" {\n  input = var.v\n  lifecycle {\n    ignore_changes = [input]\n  }\n}\n";
    let told = "resource \"terraform_data\" \"a\" {\n  input = 1\n  provisioner \"local-exec\" {\n    command = \"echo ${var.v} > /dev/null\"\n  }\n}\n";
    let output = "output \"o\" {\n  value = var.v\n}\n";
    let mixed = "resource \"terraform_data\" \"a\" {\n  input = \"${var.v}-${terraform_data.r.input}\"\n}\n";
    for (what, text, then, now) in [
        ("partly unknown", partly, data("r", "1"), String::new()),
        ("ignored", ignored, data("k", "1"), data("k", "2")),
        ("provisioner", told, data("k", "1"), data("k", "2")),
        ("output", output, data("k", "1"), data("k", "2")),
        ("another object in it", mixed, data("r", "1"), data("r", "2")),
    ] {
        scenario(|mut world| {
            let old = format!("{v}{then}{text}");
            let new = match what {
                "partly unknown" => {
                    format!("{v}resource \"terraform_data\" \"a\" {{\n  input = {{ x = var.v, y = \"\" }}\n}}\n")
                }
                "another object in it" | "output" => format!("{v}{now}{text}"),
                _ => format!("{v}{now}"),
            };
            // One that the state tells of needs no snapshot that was told of it.
            let in_state = matches!(what, "partly unknown" | "ignored");
            if !in_state {
                world.set("TF_VAR_v", "cli");
            }
            let first = world.release_with(&[("main.tf", &old)], &["-var", "v=cli"]);
            world.release_with(&[("main.tf", &new)], &["-var", "v=cli"]);
            world.unset("TF_VAR_v");
            world.unchanged(|world| {
                let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
                refused.exits(3).says("variable `v`");
            });
            world
                .tool(&["to", &first.commit, "--auto-approve", "--var", "v=cli"])
                .exits(0);
            world.is_clean_at(&first.commit, &["-var", "v=cli"]);
        });
    }
}

/// As with terraform, where `-var` is the last word.
#[test]
fn a_given_value_wins_over_a_file_of_assignments() {
    scenario(|world| {
        let files = [("main.tf", ASKED), ("terraform.tfvars", "size = \"filed\"\n")];
        let first = world.release_with(&files, &["-var", "size=hu\"ge ${x}"]);
        world.release_of(&data("a", "fixed"));
        world
            .tool(&["to", &first.commit, "--auto-approve", "--var", "size=hu\"ge ${x}"])
            .exits(0);
        assert_eq!(world.objects(), first.objects);
        assert_eq!(
            world.state().attributes("terraform_data.a")["input"]["value"],
            "hu\"ge ${x}"
        );
    });
}

/// An argument that only the newer release has goes back to nothing, and an undo brings it again.
#[test]
fn an_argument_that_was_not_there_then() {
    scenario(|world| {
        let first = world.release_of("resource \"terraform_data\" \"a\" {\n}\n");
        let second = world.release_of(&data("a", "one"));
        world.back_to(&first);
        world.undo_to(&second, &[]);
    });
}

/// `file()` reads what a checkout has, which is not what the blob has.
#[test]
fn files_that_a_checkout_converts() {
    scenario(|world| {
        world.git(&["config", "filter.rot.smudge", "tr a-z n-za-m"]);
        world.git(&["config", "filter.rot.clean", "tr a-z n-za-m"]);
        let text = "resource \"terraform_data\" \"a\" {\n  input = file(\"secret\")\n}\n";
        let files = |content| {
            [
                ("main.tf", text),
                (".gitattributes", "secret filter=rot\n"),
                ("secret", content),
            ]
        };
        let first = world.release(&files("hello"));
        world.release(&files("other"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(world.state().attributes("terraform_data.a")["input"]["value"], "hello");
        world.git(&["config", "--unset", "filter.rot.smudge"]);
        world.git(&["config", "filter.rot.process", "false"]);
        world.git(&["config", "filter.rot.required", "true"]);
        world.tool(&["plan", "HEAD"]).exits(1).says("git checkout");
    });
}

/// `abspath()` and `path.cwd` are of the folder in which terraform runs: for us that is one of our own.
#[test]
fn a_value_that_names_the_folder_terraform_runs_in() {
    scenario(|world| {
        let text = |name: &str| {
            format!("resource \"terraform_data\" \"{name}\" {{\n  input = [abspath(path.module), \"{name}\"]\n}}\n")
        };
        let first = world.release_of(&text("a"));
        world.release_of(&(text("b") + &moved("terraform_data.a", "terraform_data.b")));
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve"])
                .exits(3)
                .says("the private folder in which terraform runs");
        });
    });
}

/// Other stacks and programs read outputs: that they change is something to do.
#[test]
fn outputs_that_change_alone_are_shown_and_are_a_change() {
    scenario(|world| {
        let text = |value: &str, secret: &str| {
            data("a", "one")
                + &format!(
                    "output \"o\" {{\n  value = \"{value}\"\n}}\noutput \"s\" {{\n  value = \"{secret}\"\n  sensitive = true\n}}\n"
                )
        };
        let first = world.release_of(&text("first", "hidden-one"));
        world.release_of(&text("second", "hidden-two"));
        let plan = world.tool(&["plan", &first.commit, "--detailed-exitcode"]);
        plan.exits(2)
            .says("2 outputs change")
            .says("o: \"second\" → \"first\"")
            .says("In all: 2 outputs.");
        assert!(!plan.words().contains("hidden"), "{plan}");
        let plan = world.tool(&["plan", &first.commit, "--json"]).exits(0).json();
        assert_eq!(plan["output_changes"]["o"]["after"], "first");
        assert!(!plan.to_string().contains("hidden"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        world.terraform(&["output", "-raw", "o"]).exits(0).says("first");
        world
            .tool(&["plan", &first.commit, "--detailed-exitcode"])
            .exits(0)
            .says("Nothing to do");
    });
}

#[test]
fn a_variable_that_nobody_declares_is_no_value() {
    scenario(|world| {
        let text = |value: &str| format!("variable \"size\" {{\n  default = 1\n}}\n{}", data("a", value));
        let first = world.release_of(&text("one"));
        world.release_of(&text("two"));
        world.unchanged(|world| {
            world
                .tool(&["to", &first.commit, "--auto-approve", "--var", "sise=1"])
                .exits(2)
                .says("--var sise")
                .says("the variables are: size");
        });
    });
}

/// A data source that tells what it told then explains nothing.
#[test]
fn a_data_source_beside_a_variable_does_not_hide_it() {
    scenario(|world| {
        let outside = world.out.join("other.tfstate");
        let tells = |value: &str| {
            format!(
                "{{\"version\":4,\"terraform_version\":\"1.5.0\",\"serial\":1,\"lineage\":\"l\",\"outputs\":{{\"zone\":{{\"value\":\"{value}\",\
                 \"type\":\"string\"}}}},\"resources\":[]}}"
            )
        };
        std::fs::write(&outside, tells("z1")).unwrap();
        let text = |name: &str| {
            format!(
                "variable \"v\" {{\n  default = \"default\"\n}}\ndata \"terraform_remote_state\" \"other\" {{\n  backend = \"local\"\n  config = \
                 {{ path = \"{}\" }}\n}}\nresource \"terraform_data\" \"{name}\" {{\n  input = \
                 \"${{data.terraform_remote_state.other.outputs.zone}}-${{var.v}}\"\n}}\n",
                outside.display()
            )
        };
        // No snapshot is told of the value: the state alone has it.
        let first = world.release_with(&[("main.tf", &text("a"))], &["-var", "v=cli"]);
        world.release_of(&data("a", "two"));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused.exits(3).says("variable `v`");
        });
        // One that tells another thing now may be the reason.
        std::fs::write(&outside, tells("z2")).unwrap();
        world
            .tool(&["to", &first.commit, "--auto-approve", "--var", "v=cli"])
            .exits(0)
            .says("by way of other objects");
    });
}

/// What only the apply tells is looked at then.
#[test]
fn a_value_that_came_out_otherwise_is_said() {
    scenario(|world| {
        let text = |value: &str| {
            format!(
                "variable \"v\" {{\n  default = \"default\"\n}}\n{}resource \"terraform_data\" \"b\" {{\n  input = \
                 \"${{terraform_data.a.output}}-${{var.v}}\"\n}}\n",
                data("a", value)
            )
        };
        // No snapshot is told of the value.
        let first = world.release_with(&[("main.tf", &text("one"))], &["-var", "v=cli"]);
        world.release_with(&[("main.tf", &text("two"))], &["-var", "v=cli"]);
        let to = |more: &[&str]| world.tool(&[&["to", &first.commit, "--auto-approve"], more].concat());
        to(&[])
            .exits(0)
            .says("it came out otherwise than at the target: terraform_data.b: `input`")
            .says("it had \"one-cli\", it has \"one-default\"; it comes from variable `v`");
        world.tool(&["undo", "--auto-approve", "--var", "v=cli"]).exits(0);
        let again = to(&["--var", "v=cli"]);
        again.exits(0);
        assert!(!again.words().contains("otherwise"), "{again}");
    });
}
