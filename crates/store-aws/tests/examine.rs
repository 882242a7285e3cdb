//! What `doctor` finds: nothing where servers are honest, each lie where they are not, each permission that is missing.

mod common;

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use common::{Servers, store};
use rollback_release::Store;
use rollback_release::conformance::scale;
use rollback_store_aws::connect::{Clients, http_client};
use rollback_store_aws::{AwsStore, Finding, Found, Patience, Thoroughness};
use serde_json::{Value, json};

fn examine(store: &AwsStore) -> Vec<Finding> {
    examine_with(store, 64)
}

fn examine_with(store: &AwsStore, writers: usize) -> Vec<Finding> {
    let thoroughness = Thoroughness {
        writers,
        rounds: scale(2),
        time: None,
    };
    store.examine(&thoroughness, &|_| ())
}

/// The same store through another network.
fn through(store: &AwsStore, client: SharedHttpClient) -> AwsStore {
    let clients = Clients::connect_through(&store.location().access, client).unwrap();
    let patience = Patience {
        first_wait: Duration::from_millis(1),
        ..Patience::default()
    };
    AwsStore::with(store.location(), clients, patience).unwrap()
}

/// L0: 64 writers, exactly one winner each, for If-None-Match, If-Match, DynamoDB conditions and transactions.
#[test]
fn the_test_servers_are_honest_and_nothing_is_left_behind() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let findings = examine(&store);
    for finding in &findings {
        assert!(matches!(finding.verdict, Found::Good(_)), "{finding:?}");
    }
    assert_eq!(findings.len(), 9, "{findings:?}");
    assert_eq!(store.list("", None, 10).unwrap(), Vec::<String>::new());
    let list = store
        .clients()
        .s3
        .list_objects_v2()
        .bucket(&store.location().bucket)
        .send();
    assert_eq!(store.clients().wait(list).unwrap().key_count, Some(0));
}

#[test]
fn a_store_that_is_not_there_is_said_to_be_missing() {
    let Some(servers) = Servers::best() else { return };
    let store = AwsStore::open(&servers.location()).unwrap();
    let findings = examine(&store);
    assert!(
        findings
            .iter()
            .any(|finding| matches!(&finding.verdict, Found::Bad { text, hints }
        if text.contains("does not exist") && hints[0].contains("store create"))),
        "{findings:?}"
    );
}

#[test]
fn versioning_that_is_off_is_bad() {
    let Some(servers) = Servers::moto() else { return };
    let store = store(&servers);
    let configuration = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status("Suspended".into())
        .build();
    let put = store
        .clients()
        .s3
        .put_bucket_versioning()
        .bucket(&store.location().bucket);
    store
        .clients()
        .wait(put.versioning_configuration(configuration).send())
        .unwrap();
    let findings = examine_with(&store, 2);
    let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.is_bad()).collect();
    assert!(bad.len() == 1 && bad[0].what == "versioning", "{findings:?}");
}

type Twist = fn(SharedHttpConnector, HttpRequest) -> HttpConnectorFuture;

#[derive(Debug)]
struct Twisted {
    inner: SharedHttpConnector,
    twist: Twist,
}

impl HttpConnector for Twisted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        (self.twist)(self.inner.clone(), request)
    }
}

fn twisted(twist: Twist) -> SharedHttpClient {
    let inner = http_client();
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Twisted {
            inner: inner.http_connector(settings, components),
            twist,
        })
    })
}

/// S3 as many servers do it: look whether the object is there, then write.
fn looks_then_writes(inner: SharedHttpConnector, mut request: HttpRequest) -> HttpConnectorFuture {
    if request.headers().get("if-none-match").is_none() {
        return inner.call(request);
    }
    HttpConnectorFuture::new(async move {
        let mut look = HttpRequest::get(request.uri()).unwrap();
        look.headers_mut().append(
            "authorization",
            request.headers().get("authorization").unwrap().to_owned(),
        );
        let there = inner.call(look).await?;
        if there.status().is_success() {
            let body = "<Error><Code>PreconditionFailed</Code></Error>";
            return Ok(HttpResponse::new(412_u16.try_into().unwrap(), SdkBody::from(body)));
        }
        request.headers_mut().remove("if-none-match");
        inner.call(request).await
    })
}

/// S3 as older servers do it: If-Match on a write is not known.
fn ignores_if_match(inner: SharedHttpConnector, mut request: HttpRequest) -> HttpConnectorFuture {
    if request.method() == "PUT" {
        request.headers_mut().remove("if-match");
    }
    inner.call(request)
}

/// A table that forgets the condition of writes of some operation.
fn forgets(
    inner: SharedHttpConnector,
    mut request: HttpRequest,
    operation: &str,
    edit: fn(&mut Value),
) -> HttpConnectorFuture {
    let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
    if target.ends_with(&format!(".{operation}")) {
        let mut body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        edit(&mut body);
        let text = body.to_string();
        request.headers_mut().insert("content-length", text.len().to_string());
        *request.body_mut() = SdkBody::from(text);
    }
    inner.call(request)
}

fn without_condition(operation: &mut Value) {
    if let Some(operation) = operation.as_object_mut() {
        for name in [
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "ReturnValuesOnConditionCheckFailure",
        ] {
            operation.remove(name);
        }
    }
}

fn forgets_conditions(inner: SharedHttpConnector, request: HttpRequest) -> HttpConnectorFuture {
    forgets(inner, request, "PutItem", without_condition)
}

fn forgets_checks_of_transactions(inner: SharedHttpConnector, request: HttpRequest) -> HttpConnectorFuture {
    forgets(inner, request, "TransactWriteItems", |body| {
        let items = body["TransactItems"].as_array_mut().unwrap();
        items.retain(|item| item.get("ConditionCheck").is_none());
    })
}

fn forgets_conditions_of_transactions(inner: SharedHttpConnector, request: HttpRequest) -> HttpConnectorFuture {
    forgets(inner, request, "TransactWriteItems", |body| {
        for item in body["TransactItems"].as_array_mut().unwrap() {
            if let Some(put) = item.get_mut("Put") {
                without_condition(put);
            }
        }
    })
}

#[test]
fn every_lie_is_found() {
    let Some(servers) = Servers::best() else { return };
    let honest = store(&servers);
    for (twist, expected) in [
        (looks_then_writes as Twist, &["S3 If-None-Match"][..]),
        (ignores_if_match, &["S3 If-Match"]),
        (forgets_conditions, &["DynamoDB creation", "DynamoDB condition"]),
        (forgets_checks_of_transactions, &["DynamoDB fence"]),
        (forgets_conditions_of_transactions, &["DynamoDB transaction"]),
    ] {
        let findings = examine_with(&through(&honest, twisted(twist)), 16);
        let bad: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.is_bad())
            .map(|finding| finding.what.as_str())
            .collect();
        for expected in expected {
            assert!(bad.contains(expected), "{expected}: {findings:?}");
        }
    }
}

/// Which action of IAM a request needs.
fn action(request: &HttpRequest) -> &'static str {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default();
    match (operation, request.method()) {
        ("PutItem", _) => "dynamodb:PutItem",
        ("GetItem", _) => "dynamodb:GetItem",
        ("Query", _) => "dynamodb:Query",
        ("Scan", _) => "dynamodb:Scan",
        ("DeleteItem", _) => "dynamodb:DeleteItem",
        ("TransactWriteItems", _) if String::from_utf8_lossy(body).contains("ConditionCheck") => {
            "dynamodb:ConditionCheckItem"
        }
        ("", "PUT") => "s3:PutObject",
        ("", "DELETE") => "s3:DeleteObject",
        ("", _) if request.uri().contains("versioning") => "s3:GetBucketVersioning",
        ("", _) if request.uri().contains("list-type") => "s3:ListBucket",
        ("", _) => "s3:GetObject",
        _ => "",
    }
}

#[derive(Debug)]
struct Denying {
    inner: SharedHttpConnector,
    denied: &'static str,
}

impl HttpConnector for Denying {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if action(&request) != self.denied {
            return self.inner.call(request);
        }
        let message = format!(
            "User: arn:aws:iam::123456789012:user/me is not authorized to perform: {} on it",
            self.denied
        );
        let (status, body) = match self.denied.starts_with("s3:") {
            true => (
                403_u16,
                format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"),
            ),
            false => (
                400,
                json!({"__type": "x#AccessDeniedException", "Message": message}).to_string(),
            ),
        };
        let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::new(async { Ok::<_, ConnectorError>(answer) })
    }
}

#[test]
fn every_missing_permission_is_named_with_its_statement() {
    let Some(servers) = Servers::best() else { return };
    let honest = store(&servers);
    for denied in [
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:DeleteObject",
        "s3:GetBucketVersioning",
        "dynamodb:PutItem",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    ] {
        let inner = http_client();
        let client = http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Denying {
                inner: inner.http_connector(settings, components),
                denied,
            })
        });
        let findings = examine_with(&through(&honest, client), 2);
        let Some(finding) = findings.iter().find(|finding| finding.what == denied) else {
            panic!("{denied} is not missed: {findings:?}");
        };
        let Found::Bad { text, hints } = &finding.verdict else {
            panic!("{finding:?}")
        };
        assert!(text.contains("AccessDenied"), "{text}");
        let (_, statement) = hints[0].split_once(": {").unwrap();
        let statement: Value = serde_json::from_str(&format!("{{{statement}")).unwrap();
        assert_eq!(statement["Action"], json!([denied]));
        let location = honest.location();
        let resource = statement["Resource"][0].as_str().unwrap();
        let expected = match denied {
            "s3:ListBucket" | "s3:GetBucketVersioning" => format!("arn:aws:s3:::{}", location.bucket),
            s3 if s3.starts_with("s3:") => format!("arn:aws:s3:::{}/some/where/*", location.bucket),
            _ => format!("arn:aws:dynamodb:us-east-1:*:table/{}", location.table),
        };
        assert_eq!(resource, expected, "{denied}");
    }
}
