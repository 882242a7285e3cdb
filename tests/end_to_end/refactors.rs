//! Objects that were renamed, moved, counted and swapped since come back to their old addresses as themselves.
//!
//! `INFRA_ROLLBACK_TEST_STORE=shared` runs them with a shared store and with the state in a bucket.

use rollback_tests::{data, forgotten, moved, scenario_in_either_store as scenario};

#[test]
fn rename() {
    scenario(|world| {
        let first = world.release_of(&data("before", "one"));
        world.release_of(&(data("after", "one") + &moved("terraform_data.before", "terraform_data.after")));
        world.back_to(&first).says("back at");
    });
}

#[test]
fn rename_over_three_releases_back_to_each() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        let third = world.release_of(
            &(data("c", "one")
                + &moved("terraform_data.a", "terraform_data.b")
                + &moved("terraform_data.b", "terraform_data.c")),
        );
        world.back_to(&second);
        world.back_to(&first);
        world.back_to(&third);
        world.back_to(&first);
    });
}

#[test]
fn rename_whose_moved_blocks_were_tidied_up() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        world.release_of(&(data("c", "two") + &moved("terraform_data.b", "terraform_data.c")));
        world.release_of(&data("c", "three"));
        world.back_to(&first);
    });
}

#[test]
fn module_rename() {
    scenario(|world| {
        let module = data("x", "one") + &data("y", "two");
        let call = |name: &str| format!("module \"{name}\" {{\n  source = \"./m\"\n}}\n");
        let first = world.release(&[("main.tf", &call("old")), ("m/main.tf", &module)]);
        world.release(&[
            ("main.tf", &(call("new") + &moved("module.old", "module.new"))),
            ("m/main.tf", &module),
        ]);
        world.back_to(&first);
    });
}

#[test]
fn out_of_a_nested_keyed_module() {
    scenario(|world| {
        let first = world.release_of(&data("x", "one"));
        world.release(&[
            (
                "main.tf",
                &("module \"c\" {\n  source = \"./c\"\n  for_each = toset([\"k.1\", \"other\"])\n}\n".to_owned()
                    + &moved("terraform_data.x", "module.c[\"k.1\"].module.d.terraform_data.x")),
            ),
            ("c/main.tf", "module \"d\" {\n  source = \"../d\"\n}\n"),
            ("d/main.tf", &data("x", "one")),
        ]);
        world.back_to(&first);
    });
}

#[test]
fn into_a_nested_keyed_module_and_out_again() {
    scenario(|world| {
        let inner = data("x", "one");
        let first = world.release(&[
            (
                "main.tf",
                "module \"c\" {\n  source = \"./c\"\n  for_each = toset([\"a\", \"b\"])\n}\n",
            ),
            ("c/main.tf", "module \"d\" {\n  source = \"../d\"\n  count = 2\n}\n"),
            ("d/main.tf", &inner),
        ]);
        let second = world.release_of(
            &(data("x", "one")
                + &data("y", "one")
                + &moved("module.c[\"a\"].module.d[1].terraform_data.x", "terraform_data.x")
                + &moved("module.c[\"b\"].module.d[0].terraform_data.x", "terraform_data.y")),
        );
        assert_eq!(
            second.objects["terraform_data.x"],
            first.objects["module.c[\"a\"].module.d[1].terraform_data.x"]
        );
        world.back_to_but(
            &first,
            &[
                "module.c[\"a\"].module.d[0].terraform_data.x",
                "module.c[\"b\"].module.d[1].terraform_data.x",
            ],
            &[],
        );
    });
}

const COUNTED: &str = "resource \"terraform_data\" \"n\" {\n  count = 3\n  input = \"same\"\n}\n";
const KEYED: &str =
    "resource \"terraform_data\" \"n\" {\n  for_each = toset([\"a\", \"b\", \"c\"])\n  input = \"same\"\n}\n";

fn renumbered(pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .map(|(from, to)| moved(&format!("terraform_data.n[{from}]"), &format!("terraform_data.n[{to}]")))
        .collect()
}

#[test]
fn count_to_for_each() {
    scenario(|world| {
        let first = world.release_of(COUNTED);
        let pairs = [("0", "\"c\""), ("1", "\"a\""), ("2", "\"b\"")];
        world.release_of(&(KEYED.to_owned() + &renumbered(&pairs)));
        world.back_to(&first);
    });
}

#[test]
fn for_each_to_count() {
    scenario(|world| {
        let first = world.release_of(KEYED);
        let pairs = [("\"a\"", "2"), ("\"b\"", "0"), ("\"c\"", "1")];
        world.release_of(&(COUNTED.to_owned() + &renumbered(&pairs)));
        world.back_to(&first);
    });
}

#[test]
fn single_to_count_and_back() {
    scenario(|world| {
        let single = world.release_of(&data("n", "same"));
        let counted = world.release_of(COUNTED);
        assert_eq!(
            counted.objects["terraform_data.n[0]"],
            single.objects["terraform_data.n"]
        );
        world.back_to(&single);
        world.undo_to(&counted, &["terraform_data.n[1]", "terraform_data.n[2]"]);
    });
}

#[test]
fn count_to_single() {
    scenario(|world| {
        let counted = world.release_of("resource \"terraform_data\" \"n\" {\n  count = 1\n  input = \"same\"\n}\n");
        world.release_of(&data("n", "same"));
        world.back_to(&counted);
    });
}

#[test]
fn module_from_single_to_for_each() {
    scenario(|world| {
        let module = data("x", "one");
        let first = world.release(&[
            ("main.tf", "module \"m\" {\n  source = \"./m\"\n}\n"),
            ("m/main.tf", &module),
        ]);
        world.release(&[
            (
                "main.tf",
                &("module \"m\" {\n  source = \"./m\"\n  for_each = toset([\"eu\", \"us\"])\n}\n".to_owned()
                    + &moved("module.m", "module.m[\"eu\"]")),
            ),
            ("m/main.tf", &module),
        ]);
        world.back_to(&first);
    });
}

#[test]
fn swap_by_state_mv() {
    scenario(|world| {
        let both = data("a", "same") + &data("b", "same");
        let first = world.release_of(&both);
        for (from, to) in [("a", "kept"), ("b", "a"), ("kept", "b")] {
            let (from, to) = (format!("terraform_data.{from}"), format!("terraform_data.{to}"));
            world.terraform(&["state", "mv", &from, &to]).exits(0);
        }
        let second = world.release_of(&(both + "# swapped\n"));
        assert_eq!(first.objects["terraform_data.a"], second.objects["terraform_data.b"]);
        world.back_to(&first);
        world.undo_to(&second, &[]);
    });
}

#[test]
fn rotation_by_state_mv() {
    scenario(|world| {
        let first = world.release_of(KEYED);
        for (from, to) in [
            ("n[\"a\"]", "kept"),
            ("n[\"b\"]", "n[\"a\"]"),
            ("n[\"c\"]", "n[\"b\"]"),
            ("kept", "n[\"c\"]"),
        ] {
            let (from, to) = (format!("terraform_data.{from}"), format!("terraform_data.{to}"));
            world.terraform(&["state", "mv", &from, &to]).exits(0);
        }
        let second = world.release_of(&(KEYED.to_owned() + "# rotated\n"));
        assert_eq!(
            first.objects["terraform_data.n[\"a\"]"],
            second.objects["terraform_data.n[\"c\"]"]
        );
        world.back_to(&first);
    });
}

#[test]
fn moved_and_updated() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        world.back_to(&first).says("one");
        assert_eq!(world.state().attributes("terraform_data.a")["input"]["value"], "one");
        world.undo_to(&second, &[]);
    });
}

#[test]
fn stale_moved_block_in_the_target() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        world.release_of(&(data("c", "one") + &moved("terraform_data.b", "terraform_data.c")));
        world.back_to(&second);
    });
}

#[test]
fn stale_moved_block_in_the_target_and_another_object_at_its_source() {
    scenario(|world| {
        world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        let third = world.release_of(&data("a", "one"));
        assert_ne!(
            third.objects["terraform_data.a"], second.objects["terraform_data.b"],
            "b was destroyed, and a made"
        );
        world.back_to_but(&second, &["terraform_data.b"], &[]);
        assert!(
            !world
                .state()
                .objects()
                .values()
                .any(|id| *id == third.objects["terraform_data.a"])
        );
        world.undo_to(&third, &["terraform_data.a"]);
    });
}

#[test]
fn renamed_back_by_hand_over_stale_blocks() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        let second = world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        let third = world.release_of(&(data("a", "one") + &moved("terraform_data.b", "terraform_data.a")));
        assert_eq!(first.objects, third.objects);
        world.back_to(&second);
        world.back_to(&first);
    });
}

#[test]
fn the_old_address_is_taken_by_another_object() {
    scenario(|world| {
        let first = world.release_of(&data("a", "old"));
        world.release_of(&(data("b", "old") + &moved("terraform_data.a", "terraform_data.b")));
        let third = world.release_of(&(data("b", "old") + &data("a", "new")));
        assert_eq!(first.objects["terraform_data.a"], third.objects["terraform_data.b"]);
        world.back_to(&first);
        world.undo_to(&third, &["terraform_data.a"]);
    });
}

#[test]
fn the_old_address_is_taken_by_the_former_tenant_of_another() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "two")));
        // b was let go, a took its place, and a new object took a's.
        world.release_of(&(data("a", "one") + &forgotten("terraform_data.b")));
        world.release_of(&(data("b", "one") + &moved("terraform_data.a", "terraform_data.b")));
        let last = world.release_of(&(data("b", "one") + &data("a", "three")));
        assert_eq!(first.objects["terraform_data.a"], last.objects["terraform_data.b"]);
        world.back_to(&first);
    });
}

#[test]
fn added_since_is_destroyed() {
    scenario(|world| {
        let first = world.release_of(&data("a", "one"));
        world.release_of(&(data("a", "one") + &data("b", "two")));
        world.back_to(&first).says("terraform_data.b");
    });
}

#[test]
fn destroyed_since_comes_back_empty_and_says_so() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "two")));
        world.release_of(&data("a", "one"));
        world.back_to_but(&first, &["terraform_data.b"], &[]).says("empty");
    });
}

#[test]
fn replaced_since_is_replaced_again_and_the_rest_kept() {
    scenario(|world| {
        let text = |version: &str| {
            format!("resource \"terraform_data\" \"a\" {{\n  triggers_replace = \"{version}\"\n}}\n") + &data("b", "x")
        };
        let first = world.release_of(&text("one"));
        world.release_of(&text("two"));
        world.back_to_but(&first, &["terraform_data.a"], &[]);
    });
}

#[test]
fn what_triggers_a_replacement_explains_it() {
    scenario(|world| {
        let text = |value: &str| {
            data("a", value)
                + "resource \"terraform_data\" \"b\" {\n  lifecycle {\n    replace_triggered_by = [terraform_data.a]\n  }\n}\n"
        };
        let first = world.release_of(&text("one"));
        world.release_of(&text("two"));
        world
            .back_to_but(&first, &["terraform_data.b"], &[])
            .says("replace_triggered_by");
    });
}

#[test]
fn let_go_since_comes_back_as_itself() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "two")));
        let second = world.release_of(&(data("a", "one") + &forgotten("terraform_data.b")));
        world.back_to(&first).says("taken in again");
        world.undo_to(&second, &[]);
    });
}

#[test]
fn let_go_over_two_releases() {
    scenario(|world| {
        let first = world.release_of(&(data("a", "one") + &data("b", "two")));
        world.release_of(&(data("a", "two") + &forgotten("terraform_data.b")));
        world.release_of(&data("a", "three"));
        world.back_to(&first);
    });
}

#[test]
fn the_whole_story_there_and_back_and_there_again() {
    scenario(|world| {
        let first =
            world.release_of(&(data("app", "one") + &data("store", "s") + &data("cache", "c") + &data("letter", "l")));
        let second = world.release(&[
            (
                "main.tf",
                &("module \"storage\" {\n  source = \"./storage\"\n}\n".to_owned()
                    + &data("app", "two")
                    + &data("added", "x")
                    + &moved("terraform_data.store", "module.storage.terraform_data.it")
                    + &forgotten("terraform_data.letter")),
            ),
            ("storage/main.tf", &data("it", "s")),
        ]);
        world.back_to_but(&first, &["terraform_data.cache"], &[]);
        let back = world.objects();
        world.undo_to(&second, &["terraform_data.added"]);
        // A plain `undo` has nothing left; the undo itself is undone by its name.
        world.tool(&["undo", "--auto-approve"]).exits(1).says("undo");
        world.tool(&["undo", &world.last_run(), "--auto-approve"]).exits(0);
        let again = world.objects();
        for address in ["terraform_data.app", "terraform_data.store", "terraform_data.letter"] {
            assert_eq!(again[address], back[address], "{address}");
        }
        assert_eq!(again.len(), 4);
        world.is_clean_at(&first.commit, &[]);
    });
}
