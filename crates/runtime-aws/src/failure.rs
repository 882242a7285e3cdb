//! A call that failed, for a person: what, to what, and what to do next.

use std::error::Error;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rollback_aws::{about_credentials, named, reason, without_credentials};
use rollback_runbook::step::StepError;

use crate::account::Account;

/// A call as a person knows it.
pub(crate) struct Call<'a> {
    /// Completes "cannot …": `look at service backend of cluster prod`.
    pub what: &'a str,
    /// The IAM action that allows it: `ecs:DescribeServices`.
    pub permission: &'static str,
    /// Whether it changes something, so that a lost answer leaves that open.
    pub changes: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn looks(what: &'a str, permission: &'static str) -> Call<'a> {
        Call {
            what,
            permission,
            changes: false,
        }
    }

    pub(crate) fn changes(what: &'a str, permission: &'static str) -> Call<'a> {
        Call {
            what,
            permission,
            changes: true,
        }
    }
}

/// A call that was not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The service's own word for it, where it gave one.
    pub code: Option<String>,
    pub error: StepError,
}

impl Refusal {
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// One may not ask this. (That is not an answer to what was asked.)
    pub(crate) fn is_denied(&self) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| code.starts_with("AccessDenied") || code == "UnauthorizedOperation")
    }
}

impl From<Refusal> for StepError {
    fn from(refusal: Refusal) -> StepError {
        refusal.error
    }
}

impl From<StepError> for Refusal {
    fn from(error: StepError) -> Refusal {
        Refusal { code: None, error }
    }
}

impl Account {
    /// Makes a call and waits for it. The SDK repeats what was throttled or got no answer.
    pub(crate) fn call<T, E, F>(&self, call: &Call<'_>, make: impl FnOnce(&SdkConfig) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.call_in(None, call, make)
    }

    /// As [`Account::call`], in another region where one is given.
    pub(crate) fn call_in<T, E, F>(
        &self,
        region: Option<&str>,
        call: &Call<'_>,
        make: impl FnOnce(&SdkConfig) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.wait_in(region, make)?.map_err(|error| {
            let code = match &error {
                SdkError::ServiceError(service) => service.err().code().map(str::to_owned),
                _ => None,
            };
            Refusal {
                error: StepError {
                    message: format!("cannot {}: {}", call.what, reason(&error, 1)),
                    hint: hint(self, call, &error),
                    untouched: !call.changes || is_refused(&error),
                },
                code,
            }
        })
    }
}

/// The service said no, so nothing was done. (A failure of its own, or none of its words, leaves that open.)
fn is_refused<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            (400..500).contains(&status) && service.err().code().is_some()
        }
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    }
}

fn hint<E: ProvideErrorMetadata + Error + 'static>(
    account: &Account,
    call: &Call<'_>,
    error: &SdkError<E, HttpResponse>,
) -> Option<String> {
    if without_credentials(error) {
        return Some(format!(
            "{}; profile = \"…\" in the table names a profile",
            rollback_aws::NO_CREDENTIALS
        ));
    }
    let SdkError::ServiceError(service) = error else {
        return Some(match account.endpoint() {
            Some(endpoint) => format!("is {endpoint} reachable from here, and is it the right endpoint?"),
            None => "is the network up, and are the region and a proxy (HTTPS_PROXY) right?".to_owned(),
        });
    };
    let code = service.err().code().unwrap_or_default();
    if let Some(hint) = about_credentials(code) {
        return Some(hint.to_owned());
    }
    let status = service.raw().status().as_u16();
    if code.starts_with("AccessDenied") || status == 403 {
        let needed = named(service.err().message()).unwrap_or(call.permission);
        return Some(format!("this needs {needed}"));
    }
    if status == 429
        || code.starts_with("Throttl")
        || code == "TooManyRequestsException"
        || code == "RequestLimitExceeded"
    {
        return Some("AWS is asked too often at the moment: wait a little and repeat the command".to_owned());
    }
    (status >= 500).then(|| {
        "the service has a failure: see https://health.aws.amazon.com/health/status and repeat the command".to_owned()
    })
}

/// For what comes after something was changed: whatever fails now leaves a change behind.
pub(crate) trait AfterChange<T> {
    fn after_change(self) -> Result<T, StepError>;
}

impl<T, E: Into<StepError>> AfterChange<T> for Result<T, E> {
    fn after_change(self) -> Result<T, StepError> {
        self.map_err(|error| StepError {
            untouched: false,
            ..error.into()
        })
    }
}
