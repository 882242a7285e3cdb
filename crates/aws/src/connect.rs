//! What the SDK finds by itself (environment, profiles, SSO, instance roles), and what is said besides.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::runtime::Runtime;

/// What is said besides the SDK's usual configuration. `None` leaves it to the SDK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub region: Option<String>,
    /// For S3 (and for DynamoDB and STS, unless they have their own).
    pub endpoint: Option<String>,
    pub dynamodb_endpoint: Option<String>,
    pub sts_endpoint: Option<String>,
    /// `https://endpoint/bucket/key` instead of `https://bucket.endpoint/key`. By default on where an endpoint is given.
    pub path_style: Option<bool>,
    pub profile: Option<String>,
    /// A role to assume with the credentials that were found.
    pub role_arn: Option<String>,
    pub external_id: Option<String>,
}

/// The longest that one attempt of a call may take before it is tried again. A 512 MB state at 10 MB/s is 52 s.
const ATTEMPT: Duration = Duration::from_secs(60);
/// The longest that a call with all its attempts may take.
const OPERATION: Duration = Duration::from_secs(180);
/// The SDK waits between attempts by itself: exponentially, with jitter, at most 20 s.
const ATTEMPTS: u32 = 5;

/// The threads on which blocking callers wait for their calls.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("aws")
        .enable_all()
        .build()
}

/// The one way to the network: rustls with ring.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The configuration of every service's client. Credentials are fetched with the first call, a role's too.
pub async fn configuration(access: &Access, http: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        );
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let config = loader.load().await;
    let Some(role) = &access.role_arn else { return config };
    let mut provider = AssumeRoleProvider::builder(role)
        .configure(&config)
        .session_name("infra-rollback");
    if let Some(external_id) = &access.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = provider.build().await;
    config
        .into_builder()
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(provider))
        .build()
}
