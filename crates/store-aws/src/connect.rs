//! Clients for S3, DynamoDB and STS: from what the SDK finds by itself (environment, profiles, SSO, instance roles) and
//! from what a store's URL or a Terraform backend says besides.

use std::sync::Arc;
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

/// Clients that share one connection pool, and the runtime on which blocking callers wait for them.
#[derive(Clone)]
pub struct Clients {
    runtime: Arc<Runtime>,
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sts: aws_sdk_sts::Client,
    region: Option<String>,
}

impl Clients {
    /// Makes the clients. Nothing is asked of AWS yet, except where credentials have to be fetched for a role.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn connect(access: &Access) -> std::io::Result<Clients> {
        Clients::connect_through(access, http_client())
    }

    /// As [`Clients::connect`], with another way to the network: tests put faults there.
    pub fn connect_through(access: &Access, http: SharedHttpClient) -> std::io::Result<Clients> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("aws")
            .enable_all()
            .build()?;
        let config = runtime.block_on(configuration(access, http));
        let path_style = access.path_style.unwrap_or_else(|| {
            access.endpoint.is_some()
                || ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
                    .iter()
                    .any(|name| std::env::var_os(name).is_some())
        });
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(path_style);
        let s3 = match &access.endpoint {
            Some(endpoint) => s3.endpoint_url(endpoint),
            None => s3,
        };
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
        let dynamodb = match access.dynamodb_endpoint.as_ref().or(access.endpoint.as_ref()) {
            Some(endpoint) => dynamodb.endpoint_url(endpoint),
            None => dynamodb,
        };
        let sts = aws_sdk_sts::config::Builder::from(&config);
        let sts = match access.sts_endpoint.as_ref().or(access.endpoint.as_ref()) {
            Some(endpoint) => sts.endpoint_url(endpoint),
            None => sts,
        };
        Ok(Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
            region: config.region().map(ToString::to_string),
            runtime: Arc::new(runtime),
        })
    }

    /// Waits for a call. From within an asynchronous runtime only on a thread that may block (`spawn_blocking`).
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The region that calls go to, where one is known.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}

/// The one way to the network: rustls with ring.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

async fn configuration(access: &Access, http: SharedHttpClient) -> SdkConfig {
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
