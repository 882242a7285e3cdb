//! Configurations as people write them, and as nobody should.

use crate::*;
use rollback_state::{Address, Mode};
use serde_json::json;

pub(crate) fn tree(files: &[(&str, &str)]) -> MemoryTree {
    files
        .iter()
        .fold(MemoryTree::default(), |tree, (path, text)| tree.with(path, text))
}

pub(crate) fn read(files: &[(&str, &str)]) -> Configuration {
    load(&tree(files), "", None).unwrap_or_else(|error| panic!("{error}"))
}

fn one(text: &str) -> Module {
    read(&[("main.tf", text)]).root().unwrap().clone()
}

pub(crate) fn fails(files: &[(&str, &str)]) -> String {
    load(&tree(files), "", None).unwrap_err().to_string()
}

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn managed(kind: &str, name: &str) -> (Mode, String, String) {
    (Mode::Managed, kind.into(), name.into())
}

pub(crate) const KITCHEN: &str = include_str!("../fixtures/kitchen.tf");
pub(crate) const KITCHEN_JSON: &str = include_str!("../fixtures/kitchen.tf.json");

#[test]
fn a_resource_with_everything() {
    let module = one(KITCHEN);
    let resource = &module.resources[&managed("aws_instance", "web")];
    assert_eq!(resource.repetition, Repetition::Count(Some(2)));
    assert_eq!(resource.repetition_expression.as_ref().unwrap().text, "2");
    assert!(resource.prevent_destroy && resource.create_before_destroy);
    assert_eq!(resource.ignore_changes, ["tags[\"x\"]", "ami"]);
    assert_eq!(resource.provider.as_deref(), Some("aws.west"));
    assert_eq!(resource.provisioners, ["local-exec", "file"]);
    assert_eq!(resource.depends_on, ["aws_vpc.main", "module.net"]);
    assert_eq!(resource.at.to_string(), "main.tf:34:1");
    let names: Vec<_> = resource.attributes.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["ami", "ebs_block_device", "setting", "subnet", "tags", "user_data"]
    );
    assert_eq!(resource.attributes["ami"].literal, Some(json!("ami-1")));
    assert_eq!(
        resource.attributes["subnet"].references,
        [
            "var.subnets",
            "count.index",
            "local.names",
            "aws_vpc.main.id",
            "data.aws_region.here",
            "data.aws_region.here.name",
            "module.net.zone"
        ]
    );
    assert_eq!(resource.attributes["subnet"].literal, None);
    assert_eq!(
        resource.attributes["user_data"].literal,
        Some(json!("#!/bin/sh\n  echo ${x}\n"))
    );
    assert_eq!(
        resource.attributes["ebs_block_device"].literal,
        Some(json!([{"size": 1}, {"size": 2}]))
    );
    assert!(
        resource.attributes["ebs_block_device"]
            .text
            .starts_with("ebs_block_device {")
    );
    assert_eq!(resource.attributes["setting"].references, ["var.settings", "var.other"]);
    let numbers = resource.attributes["tags"].literal.as_ref().unwrap();
    assert_eq!(numbers["n"].to_string(), "12345678901234567890123", "no digit is lost");
}

#[test]
fn everything_else_that_a_module_has() {
    let module = one(KITCHEN);
    assert_eq!(module.required_version, [">= 1.5"]);
    let aws = &module.required_providers["aws"];
    assert_eq!(
        (aws.source.as_deref(), aws.version.as_deref()),
        (Some("hashicorp/aws"), Some("~> 5.0"))
    );
    assert_eq!(aws.configuration_aliases, ["aws.west"]);
    assert_eq!(module.required_providers["old"].version.as_deref(), Some("1.0"));
    let backend = module.backend.as_ref().unwrap();
    assert_eq!(backend.kind, "s3");
    assert_eq!(
        serde_json::Value::Object(backend.attributes.clone()),
        json!({"bucket": "b", "use_lockfile": true, "assume_role": {"role_arn": "arn"}})
    );
    let secret = &module.variables["secret"];
    assert!(secret.sensitive && secret.ephemeral && !secret.nullable);
    assert_eq!(secret.kind, "map(string)");
    assert_eq!(secret.default.as_ref().unwrap().literal, Some(json!({"a": "b"})));
    assert!(secret.text.starts_with("variable \"secret\" {") && secret.text.ends_with('}'));
    assert!(module.variables["plain"].nullable && module.variables["plain"].default.is_none());
    assert!(module.outputs["id"].sensitive);
    assert_eq!(
        module.outputs["id"].value.as_ref().unwrap().references,
        ["aws_instance.web.id"]
    );
    assert_eq!(module.locals["names"].literal, Some(json!(["a", "b"])));
    let west = module
        .providers
        .iter()
        .find(|provider| provider.alias.as_deref() == Some("west"))
        .unwrap();
    assert_eq!(west.attributes["region"].literal, Some(json!("us-west-2")));
    assert_eq!(west.attributes["assume_role.role_arn"].references, ["var.role"]);
    assert!(!west.attributes.contains_key("alias"));
    let again = one(&format!("{}\n", west.text));
    assert_eq!(
        again.providers[0].alias.as_deref(),
        Some("west"),
        "the text is a file of its own"
    );
    assert!(
        module
            .resources
            .contains_key(&(Mode::Data, "aws_region".into(), "here".into()))
    );
}

#[test]
fn addresses_in_blocks() {
    let module = one(KITCHEN);
    let shown: Vec<_> = module
        .moved
        .iter()
        .map(|block| format!("{} -> {}", block.from, block.to))
        .collect();
    assert_eq!(
        shown,
        [
            "aws_instance.old -> aws_instance.web",
            "module.a[\"k.x\"].module.b.aws_x.y[3] -> module.c.aws_x.y[\"$${h}\\\"\"]",
            "module.web[0] -> module.frontend[\"only\"]",
        ]
    );
    assert_eq!(module.moved[2].from.key, Some(rollback_state::Key::Int(0)));
    assert_eq!(module.removed[0].from.to_string(), "aws_s3_bucket.gone");
    assert_eq!(module.removed[0].destroy, Some(false));
    assert_eq!(module.removed[1].destroy, None);
    assert_eq!(module.removed[1].from.to_string(), "module.gone");
    let [keyed, computed] = module.imports.as_slice() else {
        panic!("{:?}", module.imports)
    };
    assert_eq!(keyed.to.to_string(), "module.m.aws_s3_bucket.b[\"k\"]");
    assert!(!keyed.to_has_expression);
    assert_eq!(keyed.id.as_ref().unwrap().literal, Some(json!("bucket")));
    assert!(computed.to_has_expression && computed.to.key.is_none());
    assert_eq!(computed.for_each.as_ref().unwrap().literal, Some(json!({"a": "b"})));
    assert_eq!(computed.id.as_ref().unwrap().references, ["each.value"]);
}

/// The same configuration in both syntaxes is the same model, apart from texts and places.
#[test]
fn json_is_the_same() {
    let json = read(&[("main.tf.json", KITCHEN_JSON)]).root().unwrap().clone();
    let native = one(KITCHEN);
    assert_eq!(
        json.resources.keys().collect::<Vec<_>>(),
        native.resources.keys().collect::<Vec<_>>()
    );
    let key = managed("aws_instance", "web");
    let (a, b) = (&json.resources[&key], &native.resources[&key]);
    assert_eq!(a.repetition, b.repetition);
    assert_eq!(a.prevent_destroy, b.prevent_destroy);
    assert_eq!(a.ignore_changes, b.ignore_changes);
    assert_eq!(a.provider, b.provider);
    assert_eq!(a.provisioners, b.provisioners);
    assert_eq!(a.depends_on, b.depends_on);
    assert_eq!(a.attributes["subnet"].references, b.attributes["subnet"].references);
    assert_eq!(a.attributes["tags"].literal, b.attributes["tags"].literal);
    assert_eq!(a.attributes["user_data"].literal, b.attributes["user_data"].literal);
    let endpoints = |module: &Module| -> Vec<String> {
        module
            .moved
            .iter()
            .map(|block| format!("{} -> {}", block.from, block.to))
            .collect()
    };
    assert_eq!(endpoints(&json), endpoints(&native));
    assert_eq!(
        json.removed.iter().map(|it| it.destroy).collect::<Vec<_>>(),
        [Some(false), None]
    );
    assert_eq!(json.imports[0].to, native.imports[0].to);
    assert!(json.imports[1].to_has_expression);
    assert_eq!(json.required_version, native.required_version);
    assert_eq!(json.required_providers, native.required_providers);
    assert_eq!(
        json.backend.as_ref().unwrap().attributes,
        native.backend.as_ref().unwrap().attributes
    );
    assert_eq!(json.variables["secret"].kind, "map(string)");
    assert!(json.variables["secret"].sensitive);
    assert_eq!(json.calls["net"].providers, native.calls["net"].providers);
    assert_eq!(json.calls["net"].repetition, native.calls["net"].repetition);
    let west = json.providers.iter().find(|provider| provider.alias.is_some()).unwrap();
    assert_eq!(west.attributes["assume_role.role_arn"].references, ["var.role"]);
    let again = read(&[("p.tf.json", &west.text)]);
    assert_eq!(again.root().unwrap().providers[0].alias.as_deref(), Some("west"));
    assert_eq!(a.at.to_string(), "main.tf.json:36:7");
}

#[test]
fn repetition_is_known_where_it_is_written_out() {
    let keys = |keys: &[&str]| Repetition::ForEach(Some(keys.iter().map(|key| (*key).to_owned()).collect()));
    for (text, expected) in [
        ("", Repetition::None),
        ("count = 3", Repetition::Count(Some(3))),
        ("count = (3)", Repetition::Count(Some(3))),
        ("count = \"3\"", Repetition::Count(Some(3))),
        ("count = var.n", Repetition::Count(None)),
        ("count = local.n", Repetition::Count(Some(2))),
        ("count = local.n + 1", Repetition::Count(None)),
        ("count = local.missing", Repetition::Count(None)),
        ("for_each = toset([\"a\", \"b\", \"a\"])", keys(&["a", "b"])),
        ("for_each = { a = var.x, \"b c\" = 1, 3 = 4 }", keys(&["3", "a", "b c"])),
        ("for_each = tomap({ a = var.x })", keys(&["a"])),
        ("for_each = { (var.k) = 1 }", Repetition::ForEach(None)),
        ("for_each = { \"${var.k}\" = 1 }", Repetition::ForEach(None)),
        ("for_each = toset(var.x)", Repetition::ForEach(None)),
        ("for_each = toset([var.x])", Repetition::ForEach(None)),
        ("for_each = local.zones", keys(&["x", "y"])),
        ("for_each = toset(local.names)", keys(&["p", "q"])),
        ("for_each = local.names", Repetition::ForEach(None)),
        ("for_each = local.set", keys(&["s"])),
        ("for_each = merge({}, local.zones)", Repetition::ForEach(None)),
        ("for_each = {}", keys(&[])),
    ] {
        let locals = "locals {\n n = 2\n zones = { x = 1, y = 2 }\n names = [\"p\", \"q\"]\n set = toset([\"s\"])\n}";
        let module = one(&format!("resource \"t\" \"r\" {{\n{text}\n}}\n{locals}\n"));
        assert_eq!(module.resources[&managed("t", "r")].repetition, expected, "{text}");
    }
}

#[test]
fn what_is_declared() {
    let configuration = read(&[
        (
            "main.tf",
            r#"
            resource "t" "one" {}
            resource "t" "two" { count = 2 }
            resource "t" "many" { for_each = toset(["a"]) }
            resource "t" "unknown" { for_each = var.x }
            module "m" {
              source   = "./m"
              for_each = { k = 1 }
            }
            module "gone" { source = "git::https://example.com/x" }
            "#,
        ),
        ("m/main.tf", "resource \"t\" \"in\" { count = var.n }\n"),
    ]);
    use Declaration::{Absent, Declared, Unknown};
    for (text, expected) in [
        ("t.one", Declared),
        ("t.one[0]", Absent),
        ("t.two[1]", Declared),
        ("t.two[2]", Absent),
        ("t.two", Absent),
        ("t.two[\"0\"]", Absent),
        ("t.many[\"a\"]", Declared),
        ("t.many[\"b\"]", Absent),
        ("t.unknown[\"b\"]", Unknown),
        ("t.unknown", Absent),
        ("t.missing", Absent),
        ("data.t.one", Absent),
        ("module.m[\"k\"].t.in[7]", Unknown),
        ("module.m[\"k\"].t.in[-1]", Absent),
        ("module.m[\"k\"].t.other", Absent),
        ("module.m[\"j\"].t.in[0]", Absent),
        ("module.m.t.in[0]", Absent),
        ("module.gone.t.x", Unknown),
        ("module.gone.module.deeper.t.x", Unknown),
        ("module.gone[0].t.x", Absent),
        ("module.missing.t.x", Absent),
    ] {
        let Ok(address) = text.parse::<Address>() else { continue };
        assert_eq!(configuration.declaration(&address), expected, "{text}");
    }
    assert!(configuration.declares(&address("t.unknown[\"b\"]")));
    assert!(!configuration.declares(&address("module.gone.t.x")));
    assert_eq!(configuration.unresolved[0].path, ["gone"]);
}

#[test]
fn modules_anywhere_in_the_repository() {
    let files = tree(&[
        (
            "infra/app/main.tf",
            "module \"a\" { source = \"../../modules/a\" }\nmodule \"r\" {\n source = \"org/x/aws\"\n version = \"~> 1\"\n}\n",
        ),
        ("modules/a/main.tf", "module \"b\" { source = \"./b/\" }\n"),
        ("modules/a/b/main.tf", "resource \"t\" \"deep\" {}\n"),
        (
            "infra/app/.terraform/modules/r/sub/main.tf",
            "module \"in\" { source = \"../other\" }\n",
        ),
        (
            "infra/app/.terraform/modules/r/other/main.tf",
            "resource \"t\" \"downloaded\" {}\n",
        ),
    ]);
    let configuration = load(&files, "infra/app/", None).unwrap();
    assert_eq!(configuration.root_dir, "infra/app");
    assert!(configuration.declares(&address("module.a.module.b.t.deep")));
    assert_eq!(configuration.unresolved.len(), 1);
    assert_eq!(configuration.unresolved[0].version.as_deref(), Some("~> 1"));
    assert_eq!(configuration.unresolved[0].reason, "it is not downloaded");
    let manifest = Manifest::parse(
        br#"{"Modules":[{"Key":"","Dir":"."},{"Key":"r","Source":"s","Dir":".terraform/modules/r/sub"}]}"#,
    )
    .unwrap();
    let configuration = load(&files, "infra/app", Some(&manifest)).unwrap();
    assert!(configuration.unresolved.is_empty());
    assert!(configuration.declares(&address("module.r.module.in.t.downloaded")));
    assert!(
        configuration
            .files
            .contains("infra/app/.terraform/modules/r/other/main.tf")
    );
    assert_eq!(
        configuration.modules[&vec!["a".to_owned(), "b".into()]].dir,
        "modules/a/b"
    );
}

#[test]
fn modules_that_cannot_be_followed_are_listed() {
    let configuration = read(&[(
        "main.tf",
        "module \"a\" { source = \"../../x\" }\nmodule \"b\" { source = \"./none\" }\nmodule \"c\" { source = var.x }\n",
    )]);
    let reasons: Vec<_> = configuration
        .unresolved
        .iter()
        .map(|module| module.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "its folder lies outside the repository",
            "there is no configuration in \"none\"",
            "its source is not a literal"
        ]
    );
    assert_eq!(configuration.unresolved[1].at.to_string(), "main.tf:2:1");
}

#[test]
fn override_files_as_terraform_merges_them() {
    let base = r#"
        terraform {
          required_version = ">= 1"
          backend "s3" {}
        }
        resource "t" "r" {
          count = 1
          a     = 1
          b     = 2
          block { x = 1 }
          block { x = 2 }
          provisioner "file" {}
          lifecycle {
            create_before_destroy = true
            ignore_changes        = [a]
          }
        }
        module "m" {
          source = "./one"
          in     = 1
        }
        variable "v" {
          default   = 1
          sensitive = true
        }
        provider "p" { region = "a" }
        "#;
    let over = r#"
        terraform {
          required_version = ">= 2"
          cloud { organization = "o" }
        }
        resource "t" "r" {
          b = 3
          c = 4
          block { x = 3 }
          provisioner "local-exec" {}
          lifecycle { prevent_destroy = true }
        }
        module "m" { source = "./two" }
        variable "v" { default = 2 }
        provider "p" { region = "b" }
        provider "q" { region = "c" }
        removed { from = t.x }
        "#;
    // Overrides come last, whatever their names.
    let configuration = read(&[
        ("a_override.tf", over),
        ("main.tf", base),
        ("one/m.tf", ""),
        ("two/m.tf", "resource \"t\" \"two\" {}\n"),
        ("override.tf.json", r#"{"resource":{"t":{"r":{"c":5}}}}"#),
    ]);
    let module = configuration.root().unwrap();
    let resource = &module.resources[&managed("t", "r")];
    assert_eq!(resource.repetition, Repetition::Count(Some(1)));
    let literal = |name: &str| resource.attributes[name].literal.clone().unwrap();
    assert_eq!(
        (literal("a"), literal("b"), literal("c")),
        (json!(1), json!(3), json!(5))
    );
    assert_eq!(literal("block"), json!([{"x": 3}]));
    assert!(resource.prevent_destroy && resource.create_before_destroy);
    assert_eq!(resource.ignore_changes, ["a"]);
    assert_eq!(resource.provisioners, ["local-exec"]);
    assert_eq!(module.required_version, [">= 2"]);
    assert_eq!(module.backend.as_ref().unwrap().kind, "cloud");
    assert_eq!(module.calls["m"].source, "./two");
    assert_eq!(module.calls["m"].inputs["in"].literal, Some(json!(1)));
    assert_eq!(module.variables["v"].default.as_ref().unwrap().literal, Some(json!(2)));
    assert!(module.variables["v"].sensitive);
    assert_eq!(module.providers[0].attributes["region"].literal, Some(json!("b")));
    assert_eq!(module.providers.len(), 2);
    assert!(module.removed.is_empty(), "terraform ignores it there");
    assert!(configuration.declares(&address("module.m.t.two")));

    let error = fails(&[("main.tf", ""), ("override.tf", "moved {\n from = t.a\n to = t.b\n}\n")]);
    assert!(error.starts_with("override.tf:1:1: a `moved` block cannot"), "{error}");
    let error = fails(&[("main.tf", ""), ("x_override.tf", "resource \"t\" \"r\" {}\n")]);
    assert!(error.contains("no other file declares it"), "{error}");
}

#[test]
fn opentofu_files_hide_those_of_the_same_name() {
    let files = tree(&[
        ("a.tf", "resource \"t\" \"tf\" {}\n"),
        ("a.tofu", "resource \"t\" \"tofu\" {}\n"),
        ("b.tf.json", r#"{"resource":{"t":{"json":{}}}}"#),
        ("b.tofu", "resource \"t\" \"b\" {}\n"),
    ]);
    let names = |opentofu| -> Vec<String> {
        let configuration = load_with(&files, "", None, LoadOptions { opentofu }).unwrap();
        configuration
            .resources()
            .map(|(_, resource)| resource.name.clone())
            .collect()
    };
    assert_eq!(names(false), ["json", "tf"]);
    assert_eq!(names(true), ["b", "json", "tofu"]);
}

#[test]
fn what_editors_leave_behind_is_no_configuration() {
    let broken = "this is not hcl";
    read(&[
        ("main.tf", ""),
        (".hidden.tf", broken),
        ("main.tf~", broken),
        ("#main.tf", broken),
        ("x.tfvars", broken),
        ("t.tftest.hcl", broken),
    ]);
}
