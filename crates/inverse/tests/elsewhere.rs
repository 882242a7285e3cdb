//! What other stacks and providers know of objects.

mod common;

use common::{object, plan_beside, state};
use rollback_inverse::{Change, Elsewhere, Fate, is_unique_id};
use rollback_state::State;
use serde_json::{Value, json};

fn only(current: &State, target: &State, elsewhere: &Elsewhere) -> Change {
    let plan = plan_beside(current, target, elsewhere);
    assert_eq!(plan.changes.len(), 1, "{:?}", plan.changes);
    plan.changes[0].clone()
}

fn parameter(arn: &str) -> Value {
    json!({ "arn": arn, "name": "/a" })
}

#[test]
fn an_object_goes_back_to_the_stack_that_had_it() {
    let with = state(&[object(
        "aws_ssm_parameter.a",
        "/a",
        parameter("arn:aws:ssm:us-east-1:1:parameter/a"),
    )]);
    let other = state(&[object(
        "aws_ssm_parameter.b",
        "/a",
        parameter("arn:aws:ssm:us-east-1:1:parameter/a"),
    )]);
    let elsewhere_now = state(&[object(
        "aws_ssm_parameter.b",
        "/a",
        parameter("arn:aws:ssm:eu-west-1:1:parameter/a"),
    )]);
    let none = state(&[]);
    let known = |now: &State, then: &State| {
        let mut elsewhere = Elsewhere::default();
        elsewhere.stack("net", now, then);
        elsewhere
    };
    assert_eq!(only(&none, &with, &Elsewhere::default()).fate, Fate::Create);
    assert_eq!(only(&none, &with, &known(&other, &none)).fate, Fate::Adopt);
    assert_eq!(only(&with, &none, &Elsewhere::default()).fate, Fate::Destroy);
    assert_eq!(only(&with, &none, &known(&none, &other)).fate, Fate::Forget);
    // One that the other stack has all the time is another one of the same name, and so is one in another region.
    assert_eq!(only(&with, &none, &known(&other, &other)).fate, Fate::Destroy);
    assert_eq!(only(&none, &with, &known(&elsewhere_now, &none)).fate, Fate::Create);
}

/// `default/app` is in every cluster.
#[test]
fn without_a_place_only_an_id_of_its_own_tells() {
    for (id, fate) in [
        ("default/app", Fate::Destroy),
        ("rtbassoc-0b5c8f2f7d1d9e6a3", Fate::Forget),
    ] {
        let with = state(&[object("aws_route_table_association.a", id, json!({}))]);
        let mut elsewhere = Elsewhere::default();
        elsewhere.stack("net", &state(&[]), &with);
        assert_eq!(only(&with, &state(&[]), &elsewhere).fate, fate, "{id}");
    }
}

#[test]
fn made_up_ids_are_told_from_names() {
    for id in [
        "vpc-0b5c8f2f7d1d9e6a3",
        "2d9c2ad9-cc4c-b335-a883-024e8a50c2ce",
        "5577006791947779410",
    ] {
        assert!(is_unique_id(id), "{id}");
    }
    for id in [
        "/app/a",
        "default/app",
        "my-bucket",
        "facade-of-deeds",
        "queue-2024",
        "",
    ] {
        assert!(!is_unique_id(id), "{id}");
    }
}
