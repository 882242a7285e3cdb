//! The checks of logs and metrics, and messages to a topic.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_cbor::Encoder;
use jiff::{SignedDuration, Timestamp};
use rollback_runbook::notify::{Message, Phase};

use crate::bench::{Bench, check_table, said, unique};
use crate::faults::{At, Fault};

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now()
        .checked_sub(SignedDuration::from_secs(seconds))
        .unwrap()
}

#[test]
fn lines_of_a_log_are_counted_since_what_is_judged_began() {
    let Some(bench) = Bench::new() else { return };
    let logs = aws_sdk_cloudwatchlogs::Client::new(&bench.config);
    let group = unique("/ecs/backend");
    bench
        .wait(logs.create_log_group().log_group_name(&group).send())
        .unwrap();
    bench
        .wait(
            logs.create_log_stream()
                .log_group_name(&group)
                .log_stream_name("a")
                .send(),
        )
        .unwrap();
    let event = |seconds, text: &str| {
        InputLogEvent::builder()
            .timestamp(ago(seconds).as_millisecond())
            .message(text)
            .build()
            .unwrap()
    };
    let put = logs.put_log_events().log_group_name(&group).log_stream_name("a");
    let put = put
        .log_events(event(600, "ERROR before"))
        .log_events(event(60, "Server started"));
    bench
        .wait(
            put.log_events(event(30, "ERROR hunter2"))
                .log_events(event(20, "ERROR again"))
                .send(),
        )
        .unwrap();
    let ask = |more: &str, since| {
        bench
            .check(&format!("kind = \"logs\"\ngroup = \"{group}\"\n{more}"))
            .ask(since)
            .unwrap()
    };
    let verdict = ask("filter = \"ERROR\"", ago(10));
    assert!(
        verdict.passed && verdict.summary.starts_with("0 events of ERROR"),
        "{verdict:?}"
    );
    let verdict = ask("filter = \"ERROR\"", ago(120));
    assert!(
        !verdict.passed && verdict.summary.contains("2 events") && verdict.summary.contains("at most 0"),
        "{verdict:?}"
    );
    assert!(
        verdict.details.is_empty(),
        "lines are shown on demand alone: {verdict:?}"
    );
    assert_eq!(ask("filter = \"ERROR\"\nshow = 1", ago(120)).details.len(), 1);
    assert!(ask("filter = \"ERROR\"\nat_most = 2", ago(120)).passed);
    assert!(!ask("filter = \"ERROR\"\nat_most = 2", ago(1000)).passed);
    assert!(ask("filter = \"ERROR\"\nat_most = 2\nwindow = \"5m\"", ago(1000)).passed);
    assert!(ask("filter = \"started\"\nat_least = 1", ago(120)).passed);
    assert!(!ask("filter = \"started\"\nat_least = 1", ago(40)).passed);
    let error = bench
        .check("kind = \"logs\"\ngroup = \"nobody\"\nfilter = \"x\"")
        .ask(ago(1))
        .unwrap_err();
    assert!(said(&error).contains("no log group nobody"), "{}", said(&error));
    let table = check_table("kind = \"logs\"\ngroup = \"g\"");
    assert!(matches!(
        rollback_runtime_aws::check(&table, &bench.account),
        Some(Err(_))
    ));
}

#[test]
fn a_log_is_read_page_by_page_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let page = |answer: &'static str| Fault::Instead(200, Arc::new(move |_| answer.as_bytes().to_vec()));
    let once = At::Operation {
        name: "FilterLogEvents",
        times: 1,
    };
    for answer in [
        r#"{"events": [], "nextToken": "1"}"#,
        r#"{"events": [{"message": "ERROR"}], "nextToken": "2"}"#,
        r#"{"events": [{"message": "ERROR"}]}"#,
    ] {
        bench.faults.plan(once.clone(), page(answer));
    }
    let verdict = bench
        .check("kind = \"logs\"\ngroup = \"g\"\nfilter = \"ERROR\"\nat_most = 1")
        .ask(ago(60))
        .unwrap();
    assert!(
        !verdict.passed && verdict.summary.starts_with("2 events"),
        "{verdict:?}"
    );
    bench.faults.rest();
    bench.faults.plan(once.clone(), Fault::Throttled);
    bench.faults.plan(once, page(r#"{"events": []}"#));
    assert!(
        bench
            .check("kind = \"logs\"\ngroup = \"g\"\nfilter = \"x\"")
            .ask(ago(60))
            .unwrap()
            .passed
    );
}

/// What CloudWatch says to GetMetricData in its protocol, which the emulator does not speak with this client.
fn values(values: &[f64]) -> Fault {
    let mut encoder = Encoder::new(Vec::new());
    encoder
        .map(1)
        .str("MetricDataResults")
        .array(1)
        .map(3)
        .str("Id")
        .str("asked")
        .str("Values")
        .array(values.len());
    for value in values {
        encoder.double(*value);
    }
    encoder.str("Timestamps").array(0);
    let bytes = encoder.into_writer();
    Fault::Instead(200, Arc::new(move |_| bytes.clone()))
}

fn alarm(state: &str) -> Fault {
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(1).str("MetricAlarms").array(1).map(3);
    encoder
        .str("AlarmName")
        .str("errors")
        .str("StateValue")
        .str(state)
        .str("StateReason")
        .str("5 datapoints were above");
    let bytes = encoder.into_writer();
    Fault::Instead(200, Arc::new(move |_| bytes.clone()))
}

const METRIC: &str = "kind = \"metrics\"\nnamespace = \"AWS/ApplicationELB\"\nmetric = \"HTTPCode_Target_5XX_Count\"\nstatistic = \"Sum\"\n\
                      dimensions = { LoadBalancer = \"app/x/1\" }";

#[test]
fn a_metric_is_held_against_bounds_and_the_time_before_in_a_recorded_protocol() {
    let Some(bench) = Bench::new() else { return };
    let once = At::Operation {
        name: "GetMetricData",
        times: 1,
    };
    let ask = |more: &str, answers: &[&[f64]]| {
        bench.faults.rest();
        for answer in answers {
            bench.faults.plan(once.clone(), values(answer));
        }
        bench.check(&format!("{METRIC}\n{more}")).ask(ago(300)).unwrap()
    };
    assert!(ask("at_most = 5", &[&[0.0, 5.0, 2.0]]).passed);
    let verdict = ask("at_most = 5", &[&[0.0, 7.5]]);
    assert!(
        !verdict.passed && verdict.summary.contains("up to 7.5, at most 5"),
        "{verdict:?}"
    );
    assert!(!ask("at_least = 1", &[&[3.0, 0.0]]).passed);
    assert!(ask("at_most_times_before = 1.5", &[&[3.0, 3.0], &[2.0]]).passed);
    let verdict = ask("at_most_times_before = 1.5", &[&[4.0], &[2.0]]);
    assert!(
        !verdict.passed && verdict.summary.contains("4.0000 on average and was 2.0000"),
        "{verdict:?}"
    );
    let verdict = ask("at_most = 5", &[&[]]);
    assert!(
        !verdict.passed && verdict.summary.contains("missing = \"pass\""),
        "{verdict:?}"
    );
    assert!(ask("at_most = 5\nmissing = \"pass\"", &[&[]]).passed);
    bench.faults.rest();
}

#[test]
fn an_alarm_says_whether_all_is_well_in_a_recorded_protocol() {
    let Some(bench) = Bench::new() else { return };
    let once = At::Operation {
        name: "DescribeAlarms",
        times: 1,
    };
    let ask = |answer: Fault, more: &str| {
        bench.faults.plan(once.clone(), answer);
        bench
            .check(&format!("kind = \"metrics\"\nalarm = \"errors\"\n{more}"))
            .ask(ago(60))
    };
    assert!(ask(alarm("OK"), "").unwrap().passed);
    let verdict = ask(alarm("ALARM"), "").unwrap();
    assert!(
        !verdict.passed && verdict.details == ["5 datapoints were above"],
        "{verdict:?}"
    );
    assert!(!ask(alarm("INSUFFICIENT_DATA"), "").unwrap().passed);
    assert!(ask(alarm("INSUFFICIENT_DATA"), "missing = \"pass\"").unwrap().passed);
    let mut none = Encoder::new(Vec::new());
    none.map(1).str("MetricAlarms").array(0);
    let none = none.into_writer();
    let error = ask(Fault::Instead(200, Arc::new(move |_| none.clone())), "").unwrap_err();
    assert!(said(&error).contains("no alarm errors"), "{}", said(&error));
    for wrong in [
        "",
        "alarm = \"a\"\nmetric = \"b\"",
        "namespace = \"n\"\nmetric = \"m\"\nstatistic = \"Sum\"",
    ] {
        let table = check_table(&format!("kind = \"metrics\"\n{wrong}"));
        assert!(
            matches!(rollback_runtime_aws::check(&table, &bench.account), Some(Err(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_message_reaches_a_topic() {
    let Some(bench) = Bench::new() else { return };
    let sns = aws_sdk_sns::Client::new(&bench.config);
    let made = bench.wait(sns.create_topic().name(unique("incidents")).send()).unwrap();
    let channel = |arn: &str| {
        let text = format!("[[notify]]\nkind = \"sns\"\ntopic = \"{arn}\"");
        let table = rollback_config::project::parse(&text, "infra-rollback.toml")
            .unwrap()
            .notifications
            .remove(0);
        rollback_runtime_aws::channel(&table, &bench.account)
            .unwrap()
            .unwrap()
            .1
    };
    let message = |text: &str| Message {
        id: "run-1/start".to_owned(),
        phase: Phase::Start,
        subject: "[INCIDENT] Rückgang\nnow".to_owned(),
        text: text.to_owned(),
        document: serde_json::Value::Null,
        invitation: None,
    };
    let topic = channel(&made.topic_arn.unwrap());
    topic.send(&message(&"ä".repeat(200_000))).unwrap();
    bench.faults.plan(
        At::Operation {
            name: "Publish",
            times: 1,
        },
        Fault::Throttled,
    );
    topic.send(&message("text")).unwrap();
    assert_eq!(bench.faults.rest().len(), 3);
    let nobody = channel("arn:aws:sns:us-east-1:123456789012:nobody");
    let error = nobody.send(&message("text")).unwrap_err();
    assert!(error.untouched && said(&error).contains("nobody"), "{}", said(&error));
}
