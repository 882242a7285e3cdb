//! Where the emulators of S3 and DynamoDB listen, as `tests/run` started them.

/// The URL of a shared store that is nobody else's; nothing is made yet. `None`, said on stderr, where the tests run
/// offline.
///
/// # Panics
/// There is no emulator and the tests do not run offline.
pub fn shared_store() -> Option<String> {
    let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL") else {
        let offline = std::env::var("INFRA_ROLLBACK_TESTS").is_ok_and(|value| value == "offline");
        assert!(offline, "AWS_ENDPOINT_URL is not set: run the tests by tests/run");
        eprintln!("skipped: the tests run offline");
        return None;
    };
    let dynamodb = std::env::var("INFRA_ROLLBACK_TEST_DYNAMODB").unwrap_or_else(|_| endpoint.clone());
    let unique = uuid::Uuid::new_v4();
    Some(format!(
        "s3://test-{unique}/team?region=us-east-1&endpoint={endpoint}&dynamodb_endpoint={dynamodb}"
    ))
}
