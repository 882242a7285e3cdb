use super::*;

#[test]
fn the_built_in_files_are_valid_and_know_the_stateful_types() {
    let knowledge = Knowledge::built_in();
    let stateful = |prefix: &str| {
        knowledge
            .types
            .iter()
            .filter(|(kind, known)| kind.starts_with(prefix) && known.destroy >= Reversibility::DataLoss)
            .inspect(|(kind, known)| assert!(!known.holds.is_empty(), "{kind} does not say what is lost"))
            .count()
    };
    assert!(stateful("aws_") >= 150, "{}", stateful("aws_"));
    assert!(stateful("google_") >= 30);
    assert!(stateful("azurerm_") >= 30);
    assert!(knowledge.kind("random_password").is_some() && knowledge.kind("tls_private_key").is_some());
    assert!(knowledge.kind("terraform_data").is_none());
    for kind in [
        "aws_db_instance",
        "aws_s3_bucket",
        "aws_dynamodb_table",
        "aws_ebs_volume",
        "aws_cloudwatch_log_group",
    ] {
        assert_eq!(
            knowledge.kind(kind).map(|known| known.destroy),
            Some(Reversibility::DataLoss),
            "{kind}"
        );
    }
    assert_eq!(
        knowledge.kind("aws_kms_key").map(|known| known.destroy),
        Some(Reversibility::Irreversible)
    );
    assert_eq!(
        knowledge.kind("aws_ssm_parameter").map(|known| known.destroy),
        Some(Reversibility::Lossless)
    );
}

#[test]
fn every_rule_that_stops_something_says_what_a_person_can_do() {
    let knowledge = Knowledge::built_in();
    for (kind, rule) in knowledge.all_rules() {
        let silent = matches!(
            rule.rule,
            Rule::ReplaceOnChange | Rule::InPlace | Rule::Sensitive | Rule::Computed | Rule::Volatile | Rule::Allow
        );
        assert!(
            silent || !rule.message.is_empty(),
            "{kind}.{} says nothing",
            rule.attribute
        );
    }
}

#[test]
fn a_projects_own_file_wins() {
    let mut knowledge = Knowledge::built_in();
    let own = "[types]\naws_db_instance = { destroy = \"lossless\" }\nacme_ledger = { holds = \"the ledger\", destroy = \"irreversible\", adopt = false }\n\
               [rules.aws_db_instance]\nengine_version = { rule = \"allow\" }\n[rules.acme_ledger]\nsize = { rule = \"no-decrease\", message = \"m\" }\n";
    knowledge.extend("own.toml", own).expect("valid");
    assert_eq!(
        knowledge.kind("aws_db_instance").map(|known| known.destroy),
        Some(Reversibility::Lossless)
    );
    assert!(!knowledge.has_rule("aws_db_instance", "engine_version", Rule::NoDowngrade));
    assert!(knowledge.has_rule("aws_db_instance", "allocated_storage", Rule::NoDecrease));
    assert!(knowledge.has_rule("acme_ledger", "size", Rule::NoDecrease));
    assert!(!knowledge.kind("acme_ledger").expect("known").adopt);
}

#[test]
fn allow_of_one_type_hides_the_rule_for_all() {
    let mut knowledge = Knowledge::built_in();
    assert!(knowledge.has_rule("acme_x", "deletion_protection", Rule::BlocksDestroyWhenTrue));
    knowledge
        .extend(
            "own.toml",
            "[rules.acme_x]\ndeletion_protection = { rule = \"allow\" }\n",
        )
        .expect("valid");
    assert!(!knowledge.has_rule("acme_x", "deletion_protection", Rule::BlocksDestroyWhenTrue));
    assert!(knowledge.has_rule("acme_y", "deletion_protection", Rule::BlocksDestroyWhenTrue));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, part, line) in [
        ("[types]\naws_x = { hold = \"y\" }\n", "hold", 2),
        ("[type]\n", "type", 1),
        ("[types]\naws_x = { destroy = \"gone\" }\n", "gone", 2),
        ("[rules.aws_x]\nsize = { rule = \"no-shrink\" }\n", "no-shrink", 2),
        (
            "[rules.aws_x]\n\nsize = { rule = \"no-decrease\", mesage = \"\" }\n",
            "mesage",
            3,
        ),
        (
            "[rules.aws_x]\nsize = [{ rule = \"no-decrease\", why = \"\" }]\n",
            "why",
            2,
        ),
        ("[types]\n\"aws x\" = { holds = \"y\" }\n", "aws x", 2),
        ("[types\n", "", 1),
    ] {
        let mut knowledge = Knowledge::empty();
        let error = knowledge.extend("own.toml", text).expect_err(text);
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("own.toml:{line}:")) && said.contains(part),
            "{said}"
        );
        assert!(error.hint().is_some());
        assert!(knowledge.is_empty());
    }
}
