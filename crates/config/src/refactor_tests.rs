//! Every row of what was seen with terraform 1.11.4, and what lies between the rows.

use super::*;
use crate::{MemoryTree, load};

/// A root module's text, then other folders' texts.
fn configuration(root: &str, folders: &[(&str, &str)]) -> Configuration {
    let expand = |text: &str| {
        // `m a` is a module call, `r x` a resource, `a -> b` a moved block; what follows a bar is the body.
        text.lines()
            .map(|line| {
                let line = line.trim();
                let (head, body) = line.split_once('|').unwrap_or((line, ""));
                match head.trim().split_once(' ') {
                    _ if head.contains("->") => {
                        let (from, to) = head.split_once("->").unwrap();
                        format!("moved {{\n from = {}\n to = {}\n}}\n", from.trim(), to.trim())
                    }
                    Some(("m", name)) => format!("module \"{name}\" {{\n source = \"./m\"\n{body}\n}}\n"),
                    Some(("r", name)) => format!("resource \"t\" \"{name}\" {{\n{body}\n}}\n"),
                    _ => format!("{line}\n"),
                }
            })
            .collect::<String>()
    };
    let mut tree = MemoryTree::default().with("main.tf", &format!("# root\n{}", expand(root)));
    for (folder, text) in folders {
        tree = tree.with(&format!("{folder}/main.tf"), &format!("# module\n{}", expand(text)));
    }
    load(&tree, "", None).unwrap_or_else(|error| panic!("{error}"))
}

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Checks both directions: what is there in the newer configuration, and where it was in the older one.
fn follows(old: &Configuration, new: &Configuration, pairs: &[(&str, &str)]) {
    for (before, after) in pairs {
        let back = trace_back(new, Some(old), &address(after)).map(|it| it.to_string());
        assert_eq!(back.as_deref(), Some(*before), "back from {after}");
        let forward = trace_forward(Some(old), new, &address(before)).map(|it| it.to_string());
        assert_eq!(forward.as_deref(), Some(*after), "forward from {before}");
    }
}

fn is_new(old: &Configuration, new: &Configuration, added: &[&str]) {
    for text in added {
        assert_eq!(trace_back(new, Some(old), &address(text)), None, "{text} was not there");
    }
}

fn is_gone(old: &Configuration, new: &Configuration, gone: &[&str]) {
    for text in gone {
        assert_eq!(trace_forward(Some(old), new, &address(text)), None, "{text} is gone");
    }
}

#[test]
fn rename() {
    let old = configuration("r a\nr same", &[]);
    let new = configuration("r b\nr same\nr added\nt.a -> t.b", &[]);
    follows(&old, &new, &[("t.a", "t.b"), ("t.same", "t.same")]);
    is_new(&old, &new, &["t.added", "t.b[0]"]);
    let trace = Tracer::new(&new, Some(&old)).back(&address("t.b")).unwrap();
    assert_eq!(trace.steps.len(), 1);
    assert_eq!(trace.steps[0].at.as_ref().unwrap().to_string(), "main.tf:11:1");
}

#[test]
fn rename_without_a_block_is_another_object() {
    let (old, new) = (configuration("r a", &[]), configuration("r b", &[]));
    is_new(&old, &new, &["t.b"]);
    is_gone(&old, &new, &["t.a"]);
}

#[test]
fn rename_carries_every_instance() {
    let old = configuration("r a|count = 2\nr e|for_each = toset([\"x\"])", &[]);
    let new = configuration(
        "r b|count = 2\nr f|for_each = toset([\"x\"])\nt.a -> t.b\nt.e -> t.f",
        &[],
    );
    follows(
        &old,
        &new,
        &[("t.a[0]", "t.b[0]"), ("t.a[1]", "t.b[1]"), ("t.e[\"x\"]", "t.f[\"x\"]")],
    );
}

#[test]
fn module_rename() {
    let inside = [
        ("m", "r x\nr n|count = var.n\nmodule \"d\" { source = \"../d\" }"),
        ("d", "r deep"),
    ];
    let old = configuration("m web", &inside);
    let new = configuration("m frontend\nmodule.web -> module.frontend", &inside);
    follows(
        &old,
        &new,
        &[
            ("module.web.t.x", "module.frontend.t.x"),
            ("module.web.t.n[3]", "module.frontend.t.n[3]"),
            ("module.web.module.d.t.deep", "module.frontend.module.d.t.deep"),
        ],
    );
}

#[test]
fn module_rename_carries_every_key() {
    let keys = "for_each = toset([\"k\", \"l\"])";
    let old = configuration(&format!("m web|{keys}"), &[("m", "r x")]);
    let new = configuration(&format!("m front|{keys}\nmodule.web -> module.front"), &[("m", "r x")]);
    follows(
        &old,
        &new,
        &[
            ("module.web[\"k\"].t.x", "module.front[\"k\"].t.x"),
            ("module.web[\"l\"].t.x", "module.front[\"l\"].t.x"),
        ],
    );
}

#[test]
fn count_to_for_each_key_by_key() {
    let old = configuration("r n|count = 3", &[]);
    let new = configuration(
        "r n|for_each = { a = 0, b = 1, c = 2, d = 3 }\nt.n[0] -> t.n[\"a\"]\nt.n[1] -> t.n[\"b\"]\nt.n[2] -> t.n[\"c\"]",
        &[],
    );
    follows(
        &old,
        &new,
        &[
            ("t.n[0]", "t.n[\"a\"]"),
            ("t.n[1]", "t.n[\"b\"]"),
            ("t.n[2]", "t.n[\"c\"]"),
        ],
    );
    is_new(&old, &new, &["t.n[\"d\"]"]);
    let shorter = configuration("r n|for_each = { a = 0 }\nt.n[0] -> t.n[\"a\"]", &[]);
    is_gone(&old, &shorter, &["t.n[1]"]);
    // With keys that nobody can know the blocks still say where each came from.
    let unknown = configuration("r n|for_each = var.x\nt.n[0] -> t.n[\"a\"]", &[]);
    follows(&old, &unknown, &[("t.n[0]", "t.n[\"a\"]")]);
}

#[test]
fn single_and_count_need_no_block() {
    let (single, counted) = (configuration("r a", &[]), configuration("r a|count = 2", &[]));
    follows(&single, &counted, &[("t.a", "t.a[0]")]);
    is_new(&single, &counted, &["t.a[1]"]);
    follows(&counted, &single, &[("t.a[0]", "t.a")]);
    is_gone(&counted, &single, &["t.a[1]"]);
    let step = &Tracer::new(&counted, Some(&single))
        .back(&address("t.a[0]"))
        .unwrap()
        .steps[0];
    assert_eq!(step.at, None);
    let unknown = configuration("r a|count = var.n", &[]);
    follows(&single, &unknown, &[("t.a", "t.a[0]")]);
    // Inside a module with keys just as well.
    let keys = "m c|for_each = toset([\"k\"])";
    let (single, counted) = (
        configuration(keys, &[("m", "r x")]),
        configuration(keys, &[("m", "r x|count = 1")]),
    );
    follows(&single, &counted, &[("module.c[\"k\"].t.x", "module.c[\"k\"].t.x[0]")]);
    // Never to or from for_each.
    let each = configuration("r a|for_each = toset([\"0\"])", &[]);
    is_new(&configuration("r a", &[]), &each, &["t.a[\"0\"]"]);
}

/// `rename and count`, `stale rename then count`, `module rename + implied count inside`: destroy and create.
#[test]
fn a_block_about_the_resource_ends_what_is_implied() {
    let counted = configuration("r b|count = 1\nt.a -> t.b", &[]);
    is_new(&configuration("r a", &[]), &counted, &["t.b[0]"]);
    is_gone(&configuration("r a", &[]), &counted, &["t.a"]);
    let stale = configuration("r b\nt.a -> t.b", &[]);
    is_new(&stale, &counted, &["t.b[0]"]);
    is_gone(&stale, &counted, &["t.b"]);
    let web = configuration("m web", &[("m", "r x")]);
    let front = configuration("m front\nmodule.web -> module.front", &[("m", "r x|count = 1")]);
    is_new(&web, &front, &["module.front.t.x[0]"]);
    is_gone(&web, &front, &["module.web.t.x"]);
    // And one that chooses another instance is obeyed.
    let second = configuration("r a|count = 2\nt.a -> t.a[1]", &[]);
    follows(&configuration("r a", &[]), &second, &[("t.a", "t.a[1]")]);
    is_new(&configuration("r a", &[]), &second, &["t.a[0]"]);
}

#[test]
fn single_and_repeated_modules() {
    let inside = [("m", "r x")];
    let single = configuration("m w", &inside);
    let each = configuration("m w|for_each = toset([\"k\"])\nmodule.w -> module.w[\"k\"]", &inside);
    follows(&single, &each, &[("module.w.t.x", "module.w[\"k\"].t.x")]);
    let back = configuration("m w\nmodule.w[\"k\"] -> module.w", &inside);
    follows(
        &configuration("m w|for_each = toset([\"k\"])", &inside),
        &back,
        &[("module.w[\"k\"].t.x", "module.w.t.x")],
    );
    // Modules have no implied moves.
    let counted = configuration("m w|count = 1", &inside);
    is_new(&single, &counted, &["module.w[0].t.x"]);
    is_gone(&single, &counted, &["module.w.t.x"]);
    let counted = configuration("m w|count = 1\nmodule.w -> module.w[0]", &inside);
    follows(&single, &counted, &[("module.w.t.x", "module.w[0].t.x")]);
}

#[test]
fn into_a_child_module_and_out_of_a_nested_one() {
    let old = configuration("r a\nr b", &[]);
    let new = configuration(
        "m c\nt.a -> module.c.t.a\nt.b -> module.c.t.b",
        &[("m", "r a\nr b\nr own")],
    );
    follows(&old, &new, &[("t.a", "module.c.t.a"), ("t.b", "module.c.t.b")]);
    is_new(&old, &new, &["module.c.t.own"]);
    let nested = configuration(
        "m c|for_each = toset([\"k\"])",
        &[("m", "module \"d\" { source = \"../d\" }"), ("d", "r x")],
    );
    let root = configuration("r x\nmodule.c[\"k\"].module.d.t.x -> t.x", &[]);
    follows(&nested, &root, &[("module.c[\"k\"].module.d.t.x", "t.x")]);
}

#[test]
fn chains_in_one_configuration() {
    let old = configuration("r a", &[]);
    let new = configuration("r c\nt.a -> t.b\nt.b -> t.c", &[]);
    follows(&old, &new, &[("t.a", "t.c")]);
    let steps = Tracer::new(&new, Some(&old)).back(&address("t.c")).unwrap().steps;
    assert_eq!(
        steps.iter().map(|step| step.address.to_string()).collect::<Vec<_>>(),
        ["t.b", "t.a"]
    );
    // From where only the middle was known.
    follows(&configuration("r b", &[]), &new, &[("t.b", "t.c")]);
}

#[test]
fn chains_over_several_configurations() {
    let history = [
        configuration("r a", &[]),
        configuration("r b\nt.a -> t.b", &[]),
        configuration("r c\nt.b -> t.c", &[]),
        configuration("m m\nt.c -> module.m.t.d", &[("m", "r d")]),
    ];
    let oldest_first: Vec<&Configuration> = history.iter().collect();
    let newest_first: Vec<&Configuration> = history.iter().rev().collect();
    let end = address("module.m.t.d");
    assert_eq!(trace_back_through(&newest_first, &end), Some(address("t.a")));
    assert_eq!(trace_forward_through(&oldest_first, &address("t.a")), Some(end));
    // What one step does not know, no step knows.
    is_new(&history[0], &history[3], &["module.m.t.d"]);
}

#[test]
fn stale_blocks_stay_out_of_the_way() {
    let old = configuration("r b\nt.a -> t.b", &[]);
    let new = configuration("r c\nt.a -> t.b\nt.b -> t.c", &[]);
    follows(&old, &new, &[("t.b", "t.c")]);
    // Unchanged, with the block left in: nothing moves.
    follows(&old, &old, &[("t.b", "t.b")]);
    // Both have the block, and the older one never applied it: it declares the source.
    let odd = configuration("r a[0]".replace("[0]", "").as_str(), &[]);
    follows(&odd, &old, &[("t.a", "t.b")]);
    let mut both = configuration("r a", &[]);
    both.modules.get_mut(&Vec::new()).unwrap().moved = old.root().unwrap().moved.clone();
    follows(&both, &old, &[("t.a", "t.b")]);
    // Where nobody can know the keys, a block that was applied long ago is not applied again.
    let keyed = configuration("r n|for_each = var.x\nt.n[\"x\"] -> t.n[\"y\"]", &[]);
    let back = trace_back(&keyed, Some(&keyed), &address("t.n[\"y\"]"));
    assert_eq!(back, Some(address("t.n[\"y\"]")));
    // A stale block whose source was not declared either says nothing of a new resource.
    let mut neither = configuration("r other", &[]);
    neither.modules.get_mut(&Vec::new()).unwrap().moved = old.root().unwrap().moved.clone();
    is_new(&neither, &old, &["t.b"]);
}

/// The object that was at the destination already keeps its address: Terraform warns, and destroys the source.
#[test]
fn an_occupied_destination_is_not_moved_to() {
    let old = configuration("r a\nr b", &[]);
    let new = configuration("r b\nt.a -> t.b", &[]);
    follows(&old, &new, &[("t.b", "t.b")]);
    is_gone(&old, &new, &["t.a"]);
}

#[test]
fn a_rotation_by_a_temporary_name() {
    let history = [
        configuration("r a\nr b", &[]),
        configuration("r tmp\nr b\nt.a -> t.tmp", &[]),
        configuration("r tmp\nr a\nt.b -> t.a", &[]),
        configuration("r b\nr a\nt.tmp -> t.b", &[]),
    ];
    let newest_first: Vec<&Configuration> = history.iter().rev().collect();
    let oldest_first: Vec<&Configuration> = history.iter().collect();
    for (first, last) in [("t.a", "t.b"), ("t.b", "t.a")] {
        assert_eq!(trace_back_through(&newest_first, &address(last)), Some(address(first)));
        assert_eq!(
            trace_forward_through(&oldest_first, &address(first)),
            Some(address(last))
        );
    }
}

#[test]
fn moves_within_a_module_and_of_the_module() {
    let old = configuration("m web", &[("m", "r x")]);
    let new = configuration("m front\nmodule.web -> module.front", &[("m", "r y\nt.x -> t.y")]);
    follows(&old, &new, &[("module.web.t.x", "module.front.t.y")]);
    let root = "m front\nmodule.web -> module.front\nmodule.web.t.x -> module.web.t.y";
    let new = configuration(root, &[("m", "r y")]);
    follows(&old, &new, &[("module.web.t.x", "module.front.t.y")]);
    // The block within the module is old; with the module's new name it only looks new.
    let old = configuration("m web", &[("m", "r y\nt.x -> t.y")]);
    let new = configuration("m front\nmodule.web -> module.front", &[("m", "r y\nt.x -> t.y")]);
    follows(&old, &new, &[("module.web.t.y", "module.front.t.y")]);
    // Something else moved into the renamed module at the same time.
    let old = configuration("m web\nr z", &[("m", "r x")]);
    let new = configuration(
        "m front\nmodule.web -> module.front\nt.z -> module.front.t.z",
        &[("m", "r x\nr z")],
    );
    follows(
        &old,
        &new,
        &[("module.web.t.x", "module.front.t.x"), ("t.z", "module.front.t.z")],
    );
}

#[test]
fn a_block_in_a_child_module_is_for_each_instance() {
    let keys = "m c|for_each = toset([\"k\", \"l\"])";
    let old = configuration(keys, &[("m", "r x")]);
    let new = configuration(keys, &[("m", "r y\nt.x -> t.y")]);
    follows(
        &old,
        &new,
        &[
            ("module.c[\"k\"].t.x", "module.c[\"k\"].t.y"),
            ("module.c[\"l\"].t.x", "module.c[\"l\"].t.y"),
        ],
    );
    // From the root without a key it is for none of them.
    let new = configuration(&format!("{keys}\nmodule.c.t.x -> module.c.t.y"), &[("m", "r y")]);
    is_new(&old, &new, &["module.c[\"k\"].t.y"]);
    is_gone(&old, &new, &["module.c[\"k\"].t.x"]);
    // Out of the child into its own child.
    let inside = [
        ("m", "module \"d\" { source = \"../d\" }\nt.x -> module.d.t.x"),
        ("d", "r x"),
    ];
    let new = configuration(keys, &inside);
    follows(&old, &new, &[("module.c[\"k\"].t.x", "module.c[\"k\"].module.d.t.x")]);
}

#[test]
fn keys_are_exact_and_may_be_hostile() {
    let old = configuration("r a\nr z", &[]);
    let new = configuration(
        "r n|for_each = { \"0\" = 1, \"a.b\" = 1, \"q\\\"]\" = 1, \"$${x}\" = 1 }\nt.a -> t.n[\"q\\\"]\"]\nt.z -> t.n[\"$${x}\"]",
        &[],
    );
    let quoted = Address {
        resource: address("t.n").resource,
        key: Some(Key::Str("q\"]".into())),
    };
    assert_eq!(trace_back(&new, Some(&old), &quoted), Some(address("t.a")));
    let dollar = Address {
        key: Some(Key::Str("${x}".into())),
        ..quoted
    };
    assert_eq!(trace_back(&new, Some(&old), &dollar), Some(address("t.z")));
    is_new(&old, &new, &["t.n[\"0\"]"]);
    let counted = configuration("r n|count = 1\nt.a -> t.n[\"0\"]", &[]);
    is_new(&old, &counted, &["t.n[0]"]);
}

#[test]
fn another_type() {
    let old = configuration("resource \"null_resource\" \"a\" {}", &[]);
    let new = configuration(
        "resource \"terraform_data\" \"a\" {}\nnull_resource.a -> terraform_data.a",
        &[],
    );
    follows(&old, &new, &[("null_resource.a", "terraform_data.a")]);
}

#[test]
fn modules_that_are_not_at_hand_may_have_anything() {
    let old = configuration("module \"m\" { source = \"git::https://x\" }", &[]);
    let new = configuration("r x\nmodule.m.t.x -> t.x", &[]);
    follows(&old, &new, &[("module.m.t.x", "t.x")]);
    let still = configuration("module \"m\" { source = \"git::https://x\" }", &[]);
    follows(&old, &still, &[("module.m.t.x", "module.m.t.x")]);
}

#[test]
fn without_an_older_configuration_blocks_lead_as_far_as_they_go() {
    let new = configuration("r c\nr n\nt.a -> t.b\nt.b -> t.c", &[]);
    assert_eq!(trace_back(&new, None, &address("t.c")), Some(address("t.a")));
    assert_eq!(trace_back(&new, None, &address("t.n")), Some(address("t.n")));
    assert_eq!(trace_forward(None, &new, &address("t.a")), Some(address("t.c")));
}

#[test]
fn blocks_made_to_mislead_end() {
    let circle = configuration("t.a -> t.b\nt.b -> t.c\nt.c -> t.a", &[]);
    assert!(trace_back(&circle, None, &address("t.a")).is_some());
    assert_eq!(trace_forward(None, &circle, &address("t.a")), None);
    let mut text = String::new();
    for index in 0..12 {
        text += &format!("module.a.module.x{index} -> module.a\nmodule.a.module.y{index} -> module.a\n");
    }
    let growing = configuration(&text, &[]);
    let empty = configuration("", &[]);
    assert_eq!(trace_back(&growing, Some(&empty), &address("module.a.t.x")), None);
}
