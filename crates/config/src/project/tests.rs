use super::*;

const DESIGN: &str = r#"
[store]
url = "s3://acme-rollback/prod?table=acme-rollback"     # default: the embedded store

[[stack]]
name = "network"
dir  = "infrastructure/network"

[[stack]]
name       = "app"
dir        = "infrastructure/terraform/"
var_files  = ["terraform.tfvars"]
depends_on = ["network"]          # rolled back before what it depends on
variables  = { size = 3 }

[[step]]
name    = "backend"
kind    = "ecs-service"
cluster = "dubai-real-estate-prod"
service = "backend-service"

[[step]]
name = "migrations"
kind = "migration"
show = "npm run migration:show"
revert = "npm run migration:revert"

[[check]]
kind = "http"
url  = "https://api.example.com/health"

[terraform]
binary = "tofu"
environment = ["AWS_PROFILE"]
parallelism = 20
plugin_cache = "/var/cache/terraform"

[policy]
bundles = ["policies"]
data = { freeze = true }

[knowledge]
files = ["knowledge/acme.toml"]
"#;

fn read(text: &str) -> Project {
    parse(text, "infra-rollback.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> ProjectError {
    parse(text, "infra-rollback.toml").unwrap_err()
}

#[test]
fn the_whole_example() {
    let project = read(DESIGN);
    assert_eq!(
        project.store.as_ref().unwrap().url,
        "s3://acme-rollback/prod?table=acme-rollback"
    );
    let app = project.stack("app").unwrap();
    assert_eq!(app.dir, "infrastructure/terraform");
    assert_eq!(app.var_files, ["terraform.tfvars"]);
    assert_eq!(app.depends_on, ["network"]);
    assert_eq!(app.variables["size"], toml::Value::Integer(3));
    assert_eq!(app.at.line, 9);
    assert_eq!(project.stack_order().unwrap(), [1, 0]);
    assert_eq!(project.steps.len(), 2);
    assert_eq!(
        project.steps[0].table["cluster"].as_str(),
        Some("dubai-real-estate-prod")
    );
    assert!(project.steps[1].known && project.checks[0].known);
    assert_eq!(project.terraform.binary.as_deref(), Some("tofu"));
    assert_eq!(project.terraform.environment, ["AWS_PROFILE"]);
    assert_eq!(project.terraform.parallelism, Some(20));
    assert_eq!(project.policy.bundles, ["policies"]);
    assert_eq!(project.policy.data["freeze"].as_bool(), Some(true));
    assert_eq!(project.knowledge.files, ["knowledge/acme.toml"]);
}

#[test]
fn nothing_is_needed() {
    assert_eq!(read(""), Project::default());
    let stack = &read("[[stack]]\nname = \"a\"\n").stacks[0];
    assert_eq!((stack.dir.as_str(), stack.workspace.as_deref()), ("", None));
    assert_eq!(Project::of_folder("my stack", "infra").stacks[0].name, "my-stack");
    assert_eq!(Project::of_folder("..", "").stacks[0].name, "default");
}

#[test]
fn unknown_keys_name_the_nearest() {
    for (text, at, key, expected) in [
        ("[[stacks]]\nname = \"a\"\n", "1:3", "stacks", Some("stack")),
        ("\n[store]\nulr = \"x\"\n", "3:1", "ulr", Some("url")),
        (
            "[[stack]]\nname = \"a\"\nvarfiles = []\n",
            "3:1",
            "varfiles",
            Some("var_files"),
        ),
        (
            "[[stack]]\nname = \"a\"\ndepends-on = []\n",
            "3:1",
            "depends-on",
            Some("depends_on"),
        ),
        ("[terraform]\n  parallel = 3\n", "2:3", "parallel", Some("parallelism")),
        ("quite_another_thing = 1\n", "1:1", "quite_another_thing", None),
    ] {
        let error = error(text);
        let hint = error.hint();
        let ProjectError::UnknownKey {
            at: place,
            key: found,
            nearest,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(place.to_string(), format!("infra-rollback.toml:{at}"));
        assert_eq!((found.as_str(), nearest.as_deref()), (key, expected));
        assert_eq!(hint, expected.map(|word| format!("did you mean `{word}`?")));
    }
}

#[test]
fn what_cannot_be_is_an_error_with_a_place() {
    for (text, expected) in [
        ("[store]\n", "1:1: [store] has no `url`"),
        ("[store]\nurl = 3\n", "2:7: `url` in [store] must be a text"),
        ("[stack]\nname = \"a\"\n", "1:1: `stack` must be a list of tables"),
        ("[[stack]]\ndir = \"a\"\n", "1:1: [[stack]] has no `name`"),
        ("[[stack]]\nname = \"a/b\"\n", "1:1: \"a/b\" cannot be a stack's name"),
        ("[[stack]]\nname = \"-a\"\n", "1:1: \"-a\" cannot be a stack's name"),
        (
            "[[stack]]\nname = \"a\"\ndir = \"/etc\"\n",
            "3:7: `dir` is no relative path",
        ),
        (
            "[[stack]]\nname = \"a\"\n[[stack]]\nname = \"a\"\ndir = \"x\"\n",
            "3:1: there are two stacks called `a`",
        ),
        (
            "[[stack]]\nname = \"a\"\ndir = \"x\"\n[[stack]]\nname = \"b\"\ndir = \"./x/\"\n",
            "4:1: stack `b` has the folder",
        ),
        (
            "[[stack]]\nname = \"a\"\nvar_files = \"x\"\n",
            "3:13: `var_files` in [[stack]] must be a list of texts",
        ),
        ("[[step]]\nname = \"a\"\n", "1:1: [[step]] has no `kind`"),
        (
            "[terraform]\nparallelism = 0\n",
            "2:15: `parallelism` in [terraform] must be a whole number",
        ),
        ("[store\n", "1:7: "),
        ("a = 1\na = 2\n", "2:1: "),
    ] {
        let error = error(text).to_string();
        assert!(
            error.starts_with(&format!("infra-rollback.toml:{expected}")),
            "{text:?}: {error}"
        );
    }
    assert!(matches!(
        error(&"#".repeat((1 << 20) + 1)),
        ProjectError::TooLarge { .. }
    ));
}

fn stacks(edges: &[(&str, &[&str])]) -> Project {
    let template = &Project::of_folder("x", "").stacks[0];
    let stack = |(name, depends_on): &(&str, &[&str])| StackSection {
        name: (*name).to_owned(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..template.clone()
    };
    Project {
        stacks: edges.iter().map(stack).collect(),
        ..Project::default()
    }
}

#[test]
fn dependents_come_first() {
    let order = |edges: &[(&str, &[&str])]| stacks(edges).stack_order().unwrap();
    assert_eq!(order(&[("a", &[]), ("b", &[]), ("c", &[])]), [0, 1, 2]);
    assert_eq!(
        order(&[
            ("network", &[]),
            ("database", &["network"]),
            ("app", &["database", "network"])
        ]),
        [2, 1, 0]
    );
    assert_eq!(order(&[("app", &["base"]), ("other", &[]), ("base", &[])]), [0, 1, 2]);
    let circle = stacks(&[
        ("x", &["a"]),
        ("a", &["b"]),
        ("b", &["c"]),
        ("c", &["a"]),
        ("d", &["a"]),
    ])
    .stack_order();
    let Err(ProjectError::Cycle { cycle }) = circle else {
        panic!("{circle:?}")
    };
    assert_eq!(cycle.len(), 4, "{cycle:?}");
    assert_eq!(cycle.first(), cycle.last());
    assert!(["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"].contains(&cycle.join(" -> ").as_str()));
    assert!(matches!(
        stacks(&[("a", &["a"])]).stack_order(),
        Err(ProjectError::Cycle { .. })
    ));
    let unknown =
        error("[[stack]]\nname = \"network\"\n[[stack]]\nname = \"b\"\ndir = \"b\"\ndepends_on = [\"netwerk\"]\n");
    assert!(
        unknown.to_string().contains("stack `b` depends on `netwerk`"),
        "{unknown}"
    );
    assert_eq!(unknown.hint().as_deref(), Some("did you mean `network`?"));
}

#[test]
fn every_truncation_is_survived() {
    for end in 0..DESIGN.len() {
        let _ = parse(&DESIGN[..end], "x");
    }
    assert!(parse(&"[".repeat(100_000), "x").is_err());
    assert!(parse(&format!("a = {}", "[".repeat(100_000)), "x").is_err());
}

#[test]
fn a_policy_says_how_binding_its_rules_are() {
    let text = "[policy]\nbundle = \"own\"\nbundles = [\"a.tar.gz\"]\ndefault = false\nlevel = \"soft-mandatory\"\nfour_eyes = [\"production\"]\nblast_radius = 7\n[policy.levels]\n\"a.deny\" = \"advisory\"\n[[policy.freeze]]\nname = \"n\"\nfrom = \"22:00\"\nuntil = \"06:00\"\n[[policy.known_bad]]\nrevision = \"v1\"\nreason = \"r\"\n";
    let policy = read(text).policy;
    assert_eq!(policy.bundles, ["a.tar.gz", "own"]);
    assert!(!policy.default && read("").policy.default);
    assert_eq!(policy.blast_radius, Some(7));
    assert_eq!(policy.levels["a.deny"], "advisory");
    assert_eq!(policy.freeze[0].until, "06:00");
    assert_eq!(policy.known_bad[0].reason, "r");
    for wrong in [
        "blast_radius = -1",
        "blast_radius = \"many\"",
        "default = 1",
        "frezee = []",
        "[[policy.freeze]]\nname = \"n\"",
        "[[policy.known_bad]]\nrevision = \"v1\"",
        "[policy.levels]\na = 1",
    ] {
        assert!(
            parse(&format!("[policy]\n{wrong}\n"), "infra-rollback.toml").is_err(),
            "{wrong}"
        );
    }
}
