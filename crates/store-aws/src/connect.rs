//! Clients for S3, DynamoDB and STS.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
pub use rollback_aws::{Access, http_client};
use tokio::runtime::Runtime;

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
        let runtime = rollback_aws::runtime()?;
        let config = runtime.block_on(rollback_aws::configuration(access, http));
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
