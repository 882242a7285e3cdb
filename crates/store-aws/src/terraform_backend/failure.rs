//! What AWS answers, as a person can use it. No request, no key and no value is quoted.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rollback_terraform::TerraformError;

/// A call that failed.
pub struct Failure {
    pub status: Option<u16>,
    pub code: String,
    message: String,
}

impl Failure {
    pub fn of<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E, HttpResponse>) -> Failure {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (code, message) = match error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                (
                    meta.code().unwrap_or_default().to_owned(),
                    meta.message().unwrap_or_default().to_owned(),
                )
            }
            SdkError::TimeoutError(_) => ("Timeout".to_owned(), "no answer in time".to_owned()),
            SdkError::DispatchFailure(failure) => {
                let cause = failure
                    .as_connector_error()
                    .map(|error| chain(error))
                    .unwrap_or_default();
                ("NoConnection".to_owned(), cause)
            }
            other => ("Unreadable".to_owned(), chain(other)),
        };
        Failure { status, code, message }
    }

    /// An answer that broke off.
    pub fn of_body(error: &dyn std::error::Error) -> Failure {
        Failure {
            status: None,
            code: "NoConnection".to_owned(),
            message: chain(error),
        }
    }

    /// A condition of the request does not hold.
    pub fn is_condition(&self) -> bool {
        self.status == Some(412) || self.code == "PreconditionFailed" || self.code == "ConditionalCheckFailedException"
    }

    /// Another conditional request on the same object was under way: AWS says to try again.
    pub fn is_conflict(&self) -> bool {
        self.status == Some(409) && self.code != "BucketAlreadyExists"
    }

    /// The endpoint does not know conditions.
    pub fn is_not_implemented(&self) -> bool {
        self.status == Some(501) || self.code == "NotImplemented"
    }

    pub fn is_missing(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchKey" | "NotFound") || (self.status == Some(404) && self.code.is_empty())
    }

    /// As terraform's error: what was done to what, and what to do now. `permission` is the IAM action that the call needs.
    pub fn told(self, action: &'static str, place: String, permission: &str) -> TerraformError {
        let hint = match self.code.as_str() {
            "AccessDenied" | "AccessDeniedException" | "Forbidden" | "403" => {
                format!("these credentials lack {permission} there")
            }
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                "the credentials have expired: log in again".to_owned()
            }
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => {
                "the credentials are not valid there: check AWS_PROFILE and AWS_ACCESS_KEY_ID".to_owned()
            }
            "NoSuchBucket" => "there is no such bucket: check the backend block and the account".to_owned(),
            "ResourceNotFoundException" => {
                "there is no such table: check dynamodb_table, the region and the account".to_owned()
            }
            "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
                "the bucket lies in another region: check `region` in the backend block".to_owned()
            }
            "RequestTimeTooSkewed" => "this machine's clock is wrong: set it".to_owned(),
            "Timeout" | "NoConnection" => "check the network, the proxy and the endpoint, then try again".to_owned(),
            "Unreadable" => {
                "check the credentials and the region: AWS_PROFILE, AWS_REGION, `aws sts get-caller-identity`"
                    .to_owned()
            }
            _ if self.status.is_some_and(|status| status >= 500) => "AWS has failed; try again".to_owned(),
            _ => String::new(),
        };
        let message = match (self.code.is_empty(), self.message.is_empty()) {
            (true, true) => format!("HTTP status {}", self.status.unwrap_or_default()),
            (true, false) => self.message,
            (false, true) => self.code,
            (false, false) => format!("{}: {}", self.code, self.message),
        };
        TerraformError::Backend {
            action,
            place,
            message,
            hint: (!hint.is_empty()).then_some(hint),
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
