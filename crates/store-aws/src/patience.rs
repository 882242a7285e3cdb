//! Trying again: what may be repeated, how long to wait, and when the answer of an earlier attempt may have been lost.
//!
//! The SDK can do this by itself, but does not tell whether an attempt before the last may have been done. A conditional
//! write that is refused after such an attempt proves nothing about who wrote, so it has to be known.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

/// How long the store waits for AWS, how often it asks again, and how long it trusts that nothing was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts where the answer was lost or the service failed (5xx, resets, time-outs).
    pub attempts: u32,
    /// Attempts where the service said that nothing was done and to come again (throttling, conflicts with other writers).
    pub refusals: u32,
    /// The longest wait before the second attempt; it doubles with each one, and the wait is drawn from below it.
    pub first_wait: Duration,
    /// No wait is longer than this.
    pub longest_wait: Duration,
    /// The longest that making a connection may take.
    pub connect: Duration,
    /// The longest that one attempt to read or write records may take.
    pub record_attempt: Duration,
    /// The longest that one attempt to read or write an object may take. A 512 MB state at 10 MB/s is 52 s.
    pub object_attempt: Duration,
    /// The longest that a call with all its attempts may take.
    pub call: Duration,
    /// A put of bytes that were written longer ago than this writes them anew, so that a collection of garbage, which
    /// goes by age, leaves alone what a snapshot relies on.
    pub renewed_after: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            attempts: 5,
            refusals: 20,
            first_wait: Duration::from_millis(50),
            longest_wait: Duration::from_secs(3),
            connect: Duration::from_secs(5),
            record_attempt: Duration::from_secs(10),
            object_attempt: Duration::from_secs(60),
            call: Duration::from_secs(180),
            renewed_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What an error says about the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A condition of the write does not hold; nothing was done by this attempt.
    Condition,
    /// Nothing was done, and the same call may succeed at once or a little later.
    Refused,
    /// Nobody knows whether it was done: repeat it.
    Unknown,
    /// It was not done, and repeating it changes nothing.
    Final,
}

/// A call that did not succeed.
pub(crate) struct Failed<E> {
    pub error: SdkError<E, HttpResponse>,
    pub verdict: Verdict,
    /// Whether this or an earlier attempt may have been done all the same.
    pub maybe_done: bool,
    /// How many attempts there were.
    pub attempts: u32,
}

impl Patience {
    /// Repeats a call until it succeeds, fails for good, or patience ends.
    pub(crate) async fn persist<T, E: ProvideErrorMetadata + Error + 'static>(
        &self,
        attempt_takes: Duration,
        call: impl AsyncFnMut() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, Failed<E>> {
        self.persist_judging(attempt_takes, verdict, call).await
    }

    /// As [`Patience::persist`], for errors that only their caller can judge.
    pub(crate) async fn persist_judging<T, E>(
        &self,
        attempt_takes: Duration,
        judge: impl Fn(&SdkError<E, HttpResponse>) -> Verdict,
        mut call: impl AsyncFnMut() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, Failed<E>> {
        let started = Instant::now();
        let (mut unknown, mut refused) = (0, 0);
        loop {
            let attempt = tokio::time::timeout(attempt_takes, call()).await;
            let error = match attempt {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => SdkError::timeout_error(format!("no answer within {attempt_takes:?}")),
            };
            let verdict = judge(&error);
            let more = match verdict {
                Verdict::Condition | Verdict::Final => false,
                Verdict::Unknown => {
                    unknown += 1;
                    unknown < self.attempts
                }
                Verdict::Refused => {
                    refused += 1;
                    refused < self.refusals
                }
            };
            let wait = self.wait(unknown + refused);
            if !more || started.elapsed() + wait > self.call {
                return Err(Failed {
                    error,
                    verdict,
                    maybe_done: unknown > 0,
                    attempts: unknown + refused + u32::from(matches!(verdict, Verdict::Condition | Verdict::Final)),
                });
            }
            tracing::debug!(attempt = unknown + refused, ?wait, "AWS is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Anything from nothing to the doubled wait: writers that met once do not meet again.
    fn wait(&self, attempts: u32) -> Duration {
        let most = self
            .first_wait
            .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(self.longest_wait);
        most.mul_f64(fastrand::f64())
    }
}

/// What an error of S3 or DynamoDB says, by its code and status.
pub(crate) fn verdict<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> Verdict {
    let service = match error {
        // Made before anything was sent.
        SdkError::ConstructionFailure(_) => return Verdict::Final,
        SdkError::DispatchFailure(failure) if failure.is_user() => return Verdict::Final,
        SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() && !failure.is_other() => {
            return Verdict::Final;
        }
        SdkError::DispatchFailure(_) if rollback_aws::without_credentials(error) => return Verdict::Final,
        SdkError::ServiceError(service) => service,
        _ => return Verdict::Unknown,
    };
    match service.err().code().unwrap_or_default() {
        "PreconditionFailed" | "ConditionalCheckFailedException" => Verdict::Condition,
        "ConditionalRequestConflict"
        | "OperationAborted"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown"
        | "TooManyRequestsException" => Verdict::Refused,
        "RequestTimeout" | "InternalError" | "InternalServerError" | "ServiceUnavailable" => Verdict::Unknown,
        _ => match service.raw().status().as_u16() {
            // Said to be done, in words that cannot be read: an answer that was cut off.
            ..300 => Verdict::Unknown,
            412 => Verdict::Condition,
            409 | 429 => Verdict::Refused,
            500.. => Verdict::Unknown,
            _ => Verdict::Final,
        },
    }
}
