//! Clients with the settings of a backend, and the runtime on which blocking callers wait for them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::settings::{Reach, Settings};

/// The longest that one attempt may take: a state of 512 MB at 10 MB/s is 52 s.
const ATTEMPT: Duration = Duration::from_secs(60);

pub struct Clients {
    /// Always there until dropped.
    runtime: Option<Runtime>,
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
}

impl Clients {
    pub fn connect(settings: &Settings, http: SharedHttpClient) -> std::io::Result<Clients> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("terraform-backend")
            .enable_all()
            .build()?;
        let reach = &settings.reach;
        let config = runtime.block_on(configuration(reach, http));
        let mut s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(reach.path_style);
        if let Some(endpoint) = &reach.s3_endpoint {
            s3 = s3.endpoint_url(endpoint);
        }
        if settings.skip_checksum {
            s3 = s3
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
        if let Some(endpoint) = &reach.dynamodb_endpoint {
            dynamodb = dynamodb.endpoint_url(endpoint);
        }
        Ok(Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            runtime: Some(runtime),
        })
    }

    /// Starts a call that goes on while the caller does something else; [`Clients::wait`] takes what it gives.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(future),
            None => unreachable!("it is taken when dropped"),
        }
    }

    /// Waits for a call. From within an asynchronous runtime only on a thread that may block.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("it is taken when dropped"),
        }
    }
}

/// A runtime must not be dropped where blocking is forbidden, which is where a service may drop this.
impl Drop for Clients {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn configuration(reach: &Reach, http: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(reach.retries.saturating_add(1)))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(ATTEMPT)
                .build(),
        )
        .use_fips(reach.fips)
        .use_dual_stack(reach.dual_stack);
    if let Some(profile) = &reach.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &reach.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some((access, secret, token)) = &reach.keys {
        loader = loader.credentials_provider(Credentials::new(
            access,
            secret,
            token.clone(),
            None,
            "terraform backend",
        ));
    }
    if !reach.config_files.is_empty() || !reach.credentials_files.is_empty() {
        loader = loader.profile_files(profile_files(reach));
    }
    let mut config = loader.load().await;
    for role in &reach.roles {
        let mut base = config.clone().into_builder();
        if let Some(endpoint) = &reach.sts_endpoint {
            base = base.endpoint_url(endpoint);
        }
        let mut provider = AssumeRoleProvider::builder(&role.arn)
            .configure(&base.build())
            .session_name(role.session_name.as_deref().unwrap_or("infra-rollback"));
        if let Some(region) = &reach.sts_region {
            provider = provider.region(Region::new(region.clone()));
        }
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        if let Some(seconds) = role.seconds {
            provider = provider.session_length(Duration::from_secs(seconds));
        }
        if let Some(policy) = &role.policy {
            provider = provider.policy(policy);
        }
        if !role.policy_arns.is_empty() {
            provider = provider.policy_arns(role.policy_arns.clone());
        }
        if !role.tags.is_empty() {
            provider = provider.tags(role.tags.clone());
        }
        let provider = SharedCredentialsProvider::new(provider.build().await);
        config = config.into_builder().credentials_provider(provider).build();
    }
    config
}

fn profile_files(reach: &Reach) -> EnvConfigFiles {
    let mut files = EnvConfigFiles::builder()
        .include_default_config_file(reach.config_files.is_empty())
        .include_default_credentials_file(reach.credentials_files.is_empty());
    for file in &reach.config_files {
        files = files.with_file(EnvConfigFileKind::Config, file);
    }
    for file in &reach.credentials_files {
        files = files.with_file(EnvConfigFileKind::Credentials, file);
    }
    files.build()
}
