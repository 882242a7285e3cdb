//! From what AWS says to what a person understands. Nothing of a request or a response's body gets into it; the service's
//! own message does, cut short.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The longest that a service's own words may be in an error.
const LONGEST_MESSAGE: usize = 300;

/// What to do where there are no credentials.
pub const NO_CREDENTIALS: &str =
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`";

/// The code and message of the service, or what kept us from it.
pub fn reason<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>, attempts: u32) -> String {
    let mut text = match error {
        SdkError::ServiceError(service) => {
            let (code, status) = (service.err().code(), service.raw().status().as_u16());
            let mut text = match code {
                Some(code) => format!("{code} (HTTP status {status})"),
                None => format!("HTTP status {status}"),
            };
            if let Some(message) = service.err().message().filter(|message| !message.is_empty()) {
                text.push_str(": ");
                text.extend(message.chars().filter(|char| !char.is_control()).take(LONGEST_MESSAGE));
            }
            text
        }
        SdkError::TimeoutError(_) => "no answer came in time".to_owned(),
        SdkError::ResponseError(_) => "the answer cannot be understood, or was cut off".to_owned(),
        _ if without_credentials(error) => "there are no credentials for AWS, or they cannot be loaded".to_owned(),
        other => chain(other),
    };
    if attempts > 1 {
        text.push_str(&format!("; tried {attempts} times"));
    }
    text
}

/// Whether no credentials were found or they could not be loaded (SSO session over, profile missing, role refused).
pub fn without_credentials<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = match error {
        SdkError::DispatchFailure(failure) => failure.as_connector_error().and_then(|error| error.source()),
        SdkError::ConstructionFailure(_) => error.source(),
        _ => None,
    };
    while let Some(error) = next {
        if error.is::<aws_credential_types::provider::error::CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.ends_with(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text.chars().take(2 * LONGEST_MESSAGE).collect()
}

/// What to do about an error whose code is about credentials or the clock.
pub fn about_credentials(code: &str) -> Option<&'static str> {
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            "the credentials have expired: log in again (`aws sso login`, or new session credentials)"
        }
        "InvalidAccessKeyId" | "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidToken" => {
            "AWS does not know these credentials: look at AWS_PROFILE and AWS_ACCESS_KEY_ID, and whether they belong to \
             this endpoint"
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "the secret key does not fit the access key, or this machine's clock is wrong"
        }
        "RequestTimeTooSkewed" => "this machine's clock is wrong: set it by NTP (`timedatectl set-ntp true`)",
        _ => return None,
    })
}

/// The action that AWS itself names in a refusal: "… is not authorized to perform: dynamodb:ConditionCheckItem on …".
pub fn named(message: Option<&str>) -> Option<&str> {
    let (_, rest) = message?.split_once("not authorized to perform: ")?;
    let action = rest.split_whitespace().next()?;
    let of_action = |char: char| char.is_ascii_alphanumeric() || char == ':';
    action.chars().all(of_action).then_some(action)
}

/// The first part of ARNs in a region.
pub fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
