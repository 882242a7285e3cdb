//! Where objects live: another region, another provider configuration, another stack. What is looked for in the wrong place
//! is not found, and what is not found is left behind.

use rollback_tests::{Emulator, World, scenario};
use serde_json::json;

/// The real AWS provider on the emulator.
fn provider(name: &str, arguments: &str) -> String {
    format!(
        "provider \"aws\" {{\n{name}  {arguments}\n  skip_metadata_api_check = true\n  skip_credentials_validation = true\n  \
         skip_requesting_account_id = true\n}}\n"
    )
}

const REQUIRED: &str =
    "terraform {\n  required_providers {\n    aws = {\n      source = \"hashicorp/aws\"\n    }\n  }\n}\n";

fn parameter(name: &str, path: &str, value: &str, more: &str) -> String {
    format!(
        "resource \"aws_ssm_parameter\" \"{name}\" {{\n  name  = \"{path}\"\n  type  = \"String\"\n  value = \"{value}\"\n{more}}}\n"
    )
}

struct Cloud {
    emulator: Emulator,
    /// Names are shared with every other test of the emulator.
    prefix: String,
}

impl Cloud {
    fn new(world: &mut World) -> Option<Cloud> {
        let emulator = world.use_cloud()?;
        let prefix = format!("/{}", uuid(world));
        Some(Cloud { emulator, prefix })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn value(&self, region: &str, name: &str) -> Option<String> {
        let body = json!({ "Name": self.path(name) });
        let emulator = self.emulator.in_region(region);
        let (_, answer) = emulator.try_json("ssm", "AmazonSSM.GetParameter", &body);
        answer["Parameter"]["Value"].as_str().map(str::to_owned)
    }
}

fn uuid(world: &World) -> String {
    let path = world.path();
    path.file_name().unwrap_or_default().to_string_lossy().replace('.', "")
}

#[test]
fn a_region_that_changed_is_noticed_however_it_is_written() {
    scenario(|mut world| {
        let Some(cloud) = Cloud::new(&mut world) else { return };
        let object = |value: &str| parameter("a", &cloud.path("a"), value, "");
        let by_map = REQUIRED.to_owned()
            + "variable \"e\" {}\nlocals {\n  regions = { x = \"us-east-1\", y = \"us-west-2\" }\n}\n"
            + &provider("", "region = local.regions[var.e]");
        let first = world.release(&[
            ("main.tf", &(by_map.clone() + &object("1"))),
            ("terraform.tfvars", "e = \"x\"\n"),
        ]);
        world.release(&[
            ("main.tf", &(by_map.clone() + &object("2"))),
            ("terraform.tfvars", "e = \"y\"\n"),
        ]);
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused
                .exits(3)
                .says("changed its region")
                .says("--accept-change 'provider.aws'");
        });
        assert_eq!(
            cloud.value("us-west-2", "a").as_deref(),
            Some("2"),
            "today's is where it was"
        );
    });
}

#[test]
fn a_carried_provider_block_keeps_the_values_that_it_had() {
    scenario(|mut world| {
        let Some(cloud) = Cloud::new(&mut world) else { return };
        let root = REQUIRED.to_owned()
            + "variable \"r\" {\n  default = \"us-east-1\"\n}\nlocals {\n  l = var.r\n}\n"
            + &provider("", "region = \"us-east-1\"");
        let kept = parameter("kept", &cloud.path("kept"), "1", "");
        let first = world.release(&[
            ("main.tf", &(root.clone() + &kept)),
            ("terraform.tfvars", "r = \"us-east-1\"\n"),
        ]);
        let added = parameter("added", &cloud.path("added"), "1", "  provider = aws.w\n");
        // The bracket in the comment is part of what is tried.
        let other = provider("  alias = \"w\" # {\n", "region = local.l");
        world.release(&[
            ("main.tf", &(root.clone() + &kept + &other + &added)),
            ("terraform.tfvars", "r = \"us-west-2\"\n"),
        ]);
        assert_eq!(cloud.value("us-west-2", "added").as_deref(), Some("1"));
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        assert_eq!(
            cloud.value("us-west-2", "added"),
            None,
            "it is destroyed where it lived"
        );
        assert_eq!(cloud.value("us-east-1", "kept").as_deref(), Some("1"));
    });
}

#[test]
fn what_is_in_the_way_of_an_object_is_foretold_and_not_taken_over() {
    scenario(|mut world| {
        let Some(cloud) = Cloud::new(&mut world) else { return };
        let root = REQUIRED.to_owned() + &provider("", "region = \"us-east-1\"");
        let a = parameter("a", &cloud.path("a"), "1", "");
        let b = parameter("b", &cloud.path("b"), "1", "");
        let first = world.release_of(&(root.clone() + &a + &b));
        world.terraform(&["state", "rm", "aws_ssm_parameter.b"]).exits(0);
        world.release_of(&(root + &a));
        world
            .tool(&["plan", &first.commit])
            .exits(0)
            .says("aws_ssm_parameter.b: something with its id is there already")
            .says("terraform import");
        assert_eq!(cloud.value("us-east-1", "b").as_deref(), Some("1"));
    });
}

/// Terraform plans nothing at all with an `import` block whose object does not exist.
#[test]
fn an_import_block_that_stayed_in_the_target_imports_nothing_that_was_destroyed() {
    scenario(|mut world| {
        let Some(cloud) = Cloud::new(&mut world) else { return };
        let root = REQUIRED.to_owned() + &provider("", "region = \"us-east-1\"");
        let found = parameter("found", &cloud.path("found"), "1", "");
        world.release_of(&(root.clone() + &found));
        world.terraform(&["state", "rm", "aws_ssm_parameter.found"]).exits(0);
        let block = format!(
            "import {{\n  to = aws_ssm_parameter.found\n  id = \"{}\"\n}}\n",
            cloud.path("found")
        );
        let second = world.release_of(&(root.clone() + &block + &found));
        world.release_of(&root);
        assert_eq!(cloud.value("us-east-1", "found"), None, "it was destroyed");
        world
            .tool(&["to", &second.commit, "--auto-approve"])
            .exits(0)
            .says("does not exist any more: it is made anew, without that block");
        assert_eq!(cloud.value("us-east-1", "found").as_deref(), Some("1"));
        world.is_clean_at(&second.commit, &[]);
    });
}

/// A write-only argument is in no state and in no plan: only the variable's own value tells.
#[test]
fn a_write_only_secret_that_is_another_one_now_is_refused_by_name() {
    scenario(|mut world| {
        let Some(cloud) = Cloud::new(&mut world) else { return };
        let secret = |version: &str| {
            format!(
                "{REQUIRED}{}variable \"pw\" {{\n  ephemeral = true\n}}\nresource \"aws_ssm_parameter\" \"a\" {{\n  name = \
                 \"{}\"\n  type = \"SecureString\"\n  value_wo = var.pw\n  value_wo_version = {version}\n}}\n",
                provider("", "region = \"us-east-1\""),
                cloud.path("secret"),
            )
        };
        world.set("TF_VAR_pw", "the-first-one");
        let first = world.release_of(&secret("1"));
        world.set("TF_VAR_pw", "the-second-one");
        world.release_of(&secret("2"));
        world.unchanged(|world| {
            let refused = world.tool(&["to", &first.commit, "--auto-approve"]);
            refused.exits(3).says("`value_wo`").says("variable `pw`");
            assert!(!refused.words().contains("the-second-one"));
        });
        world.set("TF_VAR_pw", "the-first-one");
        world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
    });
}

#[test]
fn an_object_that_the_state_lost_is_taken_in_again_where_its_id_is_its_own() {
    scenario(|mut world| {
        let Some(_) = Cloud::new(&mut world) else { return };
        let root = REQUIRED.to_owned() + &provider("", "region = \"us-east-1\"");
        let network = "resource \"aws_vpc\" \"n\" {\n  cidr_block = \"10.7.0.0/16\"\n}\n";
        let first = world.release_of(&(root.clone() + network));
        let id = world.state().attributes("aws_vpc.n")["id"].clone();
        world.terraform(&["state", "rm", "aws_vpc.n"]).exits(0);
        world.release_of(&root);
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(0)
            .says("It still exists, though the state lost it");
        assert_eq!(world.state().attributes("aws_vpc.n")["id"], id, "no second one is made");
        world.is_clean_at(&first.commit, &[]);
        // One that is really gone is made anew.
        world.terraform(&["destroy", "-auto-approve"]).exits(0);
        world.release_of(&root);
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(0)
            .says("comes back, empty");
        assert_ne!(world.state().attributes("aws_vpc.n")["id"], id);
    });
}
