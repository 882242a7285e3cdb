//! Providers that the target's configuration does not configure, and rewriting their addresses.

mod common;

use common::*;
use rollback_inverse::{JoinError, ProviderRewrite, join};
use serde_json::json;

const BASE: &str = "terraform {\n  required_providers {\n    aws = { source = \"hashicorp/aws\" }\n  }\n}\nprovider \"aws\" {}\n\
                    resource \"aws_ssm_parameter\" \"a\" {\n  name = \"/a\"\n}\n";
const WEST: &str = "provider \"aws\" {\n  alias = \"west\"\n}\nresource \"aws_ssm_parameter\" \"w\" {\n  provider = aws.west\n  name = \"/w\"\n}\n";

#[test]
fn an_alias_that_is_gone_is_reported_and_can_be_rewritten() {
    let west = format!("{AWS}.west");
    let target = state(&[object("aws_ssm_parameter.a", "/a", json!({}))]);
    let current = state(&[
        object("aws_ssm_parameter.a", "/a", json!({})),
        object("aws_ssm_parameter.w", "/w", json!({})).provider(&west),
    ]);
    let (r1, r2) = (config(BASE), config(&format!("{BASE}{WEST}")));
    let plan = plan_back(&current, Some(&target), &[&r2, &r1]);
    assert_eq!(plan.orphaned_providers.len(), 1);
    assert_eq!(plan.orphaned_providers[0].instance, id("aws_ssm_parameter.w"));
    assert_eq!(plan.orphaned_providers[0].provider, west);

    let carried = format!("{AWS}.rolled_back");
    let rewrite = ProviderRewrite {
        instance: id("aws_ssm_parameter.w"),
        from: west.clone(),
        to: carried.clone(),
    };
    let joined = join(&current, Some(&target), &plan, 9, std::slice::from_ref(&rewrite)).expect("joined");
    assert_eq!(
        joined.state.instance(&id("aws_ssm_parameter.w")).unwrap().provider(),
        carried
    );
    assert_eq!(
        joined.state.instance(&id("aws_ssm_parameter.a")).unwrap().provider(),
        AWS
    );
    assert_eq!(joined.state.serial(), 9);

    let wrong = ProviderRewrite {
        from: AWS.to_string(),
        ..rewrite
    };
    assert!(matches!(
        join(&current, Some(&target), &plan, 9, &[wrong]),
        Err(JoinError::OtherProvider { .. })
    ));
}

#[test]
fn an_object_that_changed_its_provider_gets_the_targets_back() {
    let west = format!("{AWS}.west");
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let current = state(&[object("aws_vpc.a", "1", json!({})).provider(&west)]);
    let plan = plan_states(&current, &target);
    let joined = joined(&current, Some(&target), &plan);
    assert_eq!(joined.state.instance(&id("aws_vpc.a")).unwrap().provider(), AWS);
    assert!(plan.orphaned_providers.is_empty());
}

#[test]
fn a_plan_for_another_state_is_refused() {
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let current = state(&[object("aws_vpc.b", "1", json!({}))]);
    let plan = plan_states(&current, &target);
    let error = join(&state(&[]), Some(&target), &plan, 9, &[]).unwrap_err();
    assert!(matches!(error, JoinError::NotInState { .. }));
    assert!(error.hint().is_some());
}
