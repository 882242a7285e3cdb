//! The account and region that a step works in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rollback_aws::Access;
use rollback_runbook::step::StepError;
use tokio::runtime::Runtime;

/// How often something is looked at that takes its time: first after `first`, then more and more seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
        }
    }
}

/// Where and as whom AWS is asked. Nothing is looked up before the first call, so making one costs nothing; its clones
/// share connections and credentials.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    access: Access,
    http: Option<SharedHttpClient>,
    pace: Pace,
    connected: Mutex<Option<Arc<Connected>>>,
}

struct Connected {
    /// Always there; taken when it ends.
    runtime: Option<Runtime>,
    config: SdkConfig,
}

impl Drop for Connected {
    /// A runtime that is dropped waits for its threads, which no asynchronous caller may do. Nothing is under way any more.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Default for Account {
    /// Whatever the environment says.
    fn default() -> Account {
        Account::new(Access::default())
    }
}

impl Account {
    pub fn new(access: Access) -> Account {
        Account(Arc::new(Inner {
            access,
            http: None,
            pace: Pace::default(),
            connected: Mutex::default(),
        }))
    }

    /// As [`Account::new`], with another way to the network and another pace: tests put faults there.
    pub fn through(access: Access, http: SharedHttpClient, pace: Pace) -> Account {
        Account(Arc::new(Inner {
            access,
            http: Some(http),
            pace,
            connected: Mutex::default(),
        }))
    }

    /// The same way to the network with what a table says besides; the same account where it says nothing.
    pub(crate) fn with(&self, access: Access) -> Account {
        if access == Access::default() {
            return self.clone();
        }
        let mine = self.0.access.clone();
        // A profile or a role names another account: what was to be assumed in this one has no place there.
        let elsewhere = access.profile.is_some() || access.role_arn.is_some();
        Account(Arc::new(Inner {
            access: Access {
                region: access.region.or(mine.region),
                endpoint: access.endpoint.or(mine.endpoint),
                profile: access.profile.or(mine.profile),
                role_arn: access.role_arn.or(mine.role_arn.filter(|_| !elsewhere)),
                external_id: access.external_id.or(mine.external_id.filter(|_| !elsewhere)),
                ..Access::default()
            },
            http: self.0.http.clone(),
            pace: self.0.pace,
            connected: Mutex::default(),
        }))
    }

    pub(crate) fn pace(&self) -> Pace {
        self.0.pace
    }

    /// Waits for a call. From within an asynchronous runtime only on a thread that may block.
    pub(crate) fn wait<F: Future>(&self, call: impl FnOnce(&SdkConfig) -> F) -> Result<F::Output, StepError> {
        let connected = self.connected()?;
        match &connected.runtime {
            Some(runtime) => Ok(runtime.block_on(call(&connected.config))),
            None => Err(StepError::untouched("the connection to AWS has been closed")),
        }
    }

    /// As [`Account::wait`], in another region where one is given.
    pub(crate) fn wait_in<F: Future>(
        &self,
        region: Option<&str>,
        call: impl FnOnce(&SdkConfig) -> F,
    ) -> Result<F::Output, StepError> {
        self.wait(|config| match region {
            Some(region) => call(&config.to_builder().region(Region::new(region.to_owned())).build()),
            None => call(config),
        })
    }

    /// Where calls go that do not go to AWS.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.0.access.endpoint.as_deref()
    }

    fn connected(&self) -> Result<Arc<Connected>, StepError> {
        let mut connected = self.0.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &*connected {
            return Ok(connected.clone());
        }
        let access = &self.0.access;
        let runtime = rollback_aws::runtime()
            .map_err(|error| StepError::untouched(format!("cannot start the threads that speak to AWS: {error}")))?;
        let http = self.0.http.clone().unwrap_or_else(rollback_aws::http_client);
        let config = runtime.block_on(rollback_aws::configuration(access, http));
        if config.region().is_none() {
            return Err(StepError::untouched("no AWS region is known")
                .hint("say region = \"…\" in the step's table, set AWS_REGION, or give the profile a region"));
        }
        // What failed for the moment is asked again at the same pace.
        let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let mut config = config
            .into_builder()
            .retry_config(retry.with_initial_backoff(self.0.pace.first));
        if let Some(endpoint) = &access.endpoint {
            config.set_endpoint_url(Some(endpoint.clone()));
        }
        let config = config.build();
        let made = Arc::new(Connected {
            runtime: Some(runtime),
            config,
        });
        *connected = Some(made.clone());
        Ok(made)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Account").field(&self.0.access).finish()
    }
}
