//! Calls that leave something behind each time they are done: another revision, another version.
//!
//! The SDK repeats a call that got no answer, and whatever the first one did is done again. These are not repeated where it
//! is not known whether they were done: the step looks first, and asks again for what is not there. What was refused
//! (throttled, say) was not done, and is repeated as everywhere.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use rollback_runbook::step::StepError;

use crate::failure::AfterChange;

/// Forbids the SDK to repeat a call of which it is not known whether it was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotUnanswered;

impl ClassifyRetry for NotUnanswered {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let unanswered = match context.output_or_error() {
            Some(Err(error)) => error.is_connector_error() || error.is_timeout_error() || error.is_response_error(),
            _ => false,
        };
        // 503 is a refusal; what else fails at their end may have been done before.
        let failed = context.response().is_some_and(|response| {
            let status = response.status().as_u16();
            status >= 500 && status != 503
        });
        match unanswered || failed {
            true => RetryAction::RetryForbidden,
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "does not repeat what may have been done"
    }
}

/// Does what leaves something behind; where it is not known whether it was done, looks for what came of it, and does it once
/// more where there is nothing.
///
/// # Errors
/// It failed, twice where it was not known after the first time.
pub(crate) fn once<T>(
    mut done: impl FnMut() -> Result<T, StepError>,
    look: impl FnOnce() -> Result<Option<T>, StepError>,
) -> Result<T, StepError> {
    match done() {
        Err(error) if !error.untouched => match look() {
            Ok(Some(found)) => Ok(found),
            Ok(None) => done().after_change(),
            // What happened says more than that nobody can see what came of it.
            Err(_) => Err(error),
        },
        ended => ended,
    }
}
