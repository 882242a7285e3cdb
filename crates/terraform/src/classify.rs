//! From terraform's diagnostics to a kind of error. The texts are those of terraform 1.5 to 1.15 and OpenTofu 1.6 to 1.11.

use crate::diagnostic::Diagnostic;
use crate::error::TerraformError;
use crate::local_state::LockInfo;

/// Names the kind of a failure.
///
/// Several errors can come at once; the kind is that of the one which must be mended first (an unreadable state before a lock,
/// a lock before what is wrong with the configuration), and all diagnostics stay with it.
pub fn classify(diagnostics: Vec<Diagnostic>) -> TerraformError {
    let errors: Vec<(String, &Diagnostic)> = diagnostics
        .iter()
        .filter(|one| one.is_error())
        .map(|one| (one.flat(), one))
        .collect();
    let any = |needles: &[&str]| {
        errors
            .iter()
            .any(|(flat, _)| needles.iter().any(|needle| flat.contains(needle)))
    };

    if any(&UNSUPPORTED_STATE) {
        return TerraformError::UnsupportedState { diagnostics };
    }
    if let Some(holder) = errors.iter().find_map(|(flat, one)| locked(flat, one)) {
        return TerraformError::Locked { holder, diagnostics };
    }
    if any(&["Saved plan is stale"]) {
        return TerraformError::StalePlan { diagnostics };
    }
    if any(&[
        "Saved plan does not match the given state",
        "cannot import state with lineage",
    ]) {
        return TerraformError::LineageMismatch { diagnostics };
    }
    if any(&[
        "cannot import state with serial",
        "cannot overwrite existing state with serial",
    ]) {
        return TerraformError::SerialTooLow { diagnostics };
    }
    if any(&BACKEND_CHANGED) {
        return TerraformError::BackendChanged { diagnostics };
    }
    if any(&AUTHENTICATION) {
        return TerraformError::Authentication { diagnostics };
    }
    let names = collect(&errors, "No value for required variable", |flat| {
        between(flat, "variable \"", "\"")
    });
    if !names.is_empty() {
        return TerraformError::NoVariable { names, diagnostics };
    }
    let addresses = collect(&errors, "Resource instance managed by newer provider version", |flat| {
        between(flat, "The current state of ", " was created by")
    });
    if !addresses.is_empty() {
        return TerraformError::SchemaTooNew { addresses, diagnostics };
    }
    let addresses = collect(&errors, "Provider configuration not present", |flat| {
        between(flat, "To work with ", " its original provider configuration")
            .map(|name| name.trim_end_matches(" (orphan)").to_owned())
    });
    if !addresses.is_empty() {
        return TerraformError::ProviderConfigurationMissing { addresses, diagnostics };
    }
    let addresses = collect(&errors, "Instance cannot be destroyed", |flat| {
        between(flat, "Resource ", " has lifecycle.prevent_destroy")
    });
    if !addresses.is_empty() {
        return TerraformError::PreventDestroy { addresses, diagnostics };
    }
    let addresses = collect(&errors, "Cannot import non-existent remote object", |flat| {
        between(flat, "existing object to \"", "\", the provider")
    });
    if !addresses.is_empty() {
        return TerraformError::NothingToImport { addresses, diagnostics };
    }
    if any(&LOCK_FILE) {
        return TerraformError::LockFileIncomplete { diagnostics };
    }
    if any(&MODULE_MISSING) {
        return TerraformError::ModuleMissing { diagnostics };
    }
    if any(&NEEDS_INIT) {
        return TerraformError::NeedsInit { diagnostics };
    }
    if let Some(provider) = errors
        .iter()
        .filter(|(flat, _)| PROVIDER_MISSING.iter().any(|needle| flat.contains(needle)))
        .map(|(flat, _)| provider(flat))
        .next()
    {
        return TerraformError::ProviderMissing { provider, diagnostics };
    }
    TerraformError::Other(diagnostics)
}

const UNSUPPORTED_STATE: [&str; 4] = [
    "Unsupported state file format",
    "state snapshot was created by ",
    "state format that is not supported",
    "encountered unencrypted payload without unencrypted method configured",
];

const BACKEND_CHANGED: [&str; 6] = [
    "Backend configuration changed",
    "Backend configuration block has changed",
    "Backend type changed",
    "Unsetting the previously set backend",
    "A change in the backend configuration has been detected",
    "Backend configuration for migrated state changed",
];

const AUTHENTICATION: [&str; 19] = [
    "No valid credential sources found",
    "no EC2 IMDS role found",
    "ExpiredToken",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "AuthFailure",
    "HTTP remote state endpoint requires auth",
    "HTTP remote state endpoint invalid auth",
    "could not find default credentials",
    "invalid_grant",
    "Please run 'az login'",
    "unable to build authorizer",
    "Required token could not be found",
    "Invalid or missing API token",
    "The security token included in the request is",
    "the server has asked for the client to provide credentials",
    "password authentication failed",
];

const LOCK_FILE: [&str; 1] = ["Provider dependency changes detected"];

const MODULE_MISSING: [&str; 9] = [
    "Failed to download module",
    "Could not download module",
    "Unreadable module directory",
    "Unreadable module subdirectory",
    "Module not found",
    "Error accessing remote module registry",
    "Unresolvable module version constraint",
    "Local module not found",
    "Failed to install module",
];

const NEEDS_INIT: [&str; 8] = [
    "Backend initialization required",
    "Initialization required",
    "Required plugins are not installed",
    "Module not installed",
    "Module source has changed",
    "Module version requirements have changed",
    "Inconsistent dependency lock file",
    "Initial configuration of the requested backend",
];

const PROVIDER_MISSING: [&str; 9] = [
    "Failed to query available provider packages",
    "Failed to install provider",
    "Incompatible provider version",
    "Invalid provider registry host",
    "Could not retrieve the list of available versions for provider",
    "Failed to load plugin schemas",
    "Failed to instantiate provider",
    "failed to instantiate provider",
    "Could not load plugin",
];

fn collect(errors: &[(String, &Diagnostic)], summary: &str, name: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (flat, one) in errors.iter().filter(|(flat, _)| flat.starts_with(summary)) {
        let name = name(flat)
            .or_else(|| one.address.clone())
            .unwrap_or_else(|| "an object that terraform does not name".into());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // Terraform's own order changes from run to run.
    names.sort();
    names
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    let (inner, _) = rest.split_once(end)?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

/// `Some(holder)` when the text says that another one has the lock; a lock that failed for another reason (no permission, no
/// network) is not that.
fn locked(flat: &str, diagnostic: &Diagnostic) -> Option<Option<Box<LockInfo>>> {
    let about_locks = [
        "acquiring the state lock",
        "locking state",
        "Failed to lock state",
        "Failed to lock",
        "already locked",
    ]
    .iter()
    .any(|needle| flat.contains(needle));
    if !about_locks {
        return None;
    }
    // The http backend prints the refused one's own lock as `Lock Info`; of the holder it only gives the id.
    let holder = match flat.split_once("HTTP remote state already locked: ID=") {
        Some((_, rest)) => Some(LockInfo {
            id: rest.split_whitespace().next().unwrap_or_default().to_owned(),
            ..LockInfo::default()
        }),
        None => LockInfo::from_text(&diagnostic.detail),
    };
    let holder = holder
        .filter(|holder| !holder.id.is_empty() || !holder.who.is_empty())
        .map(Box::new);
    const HELD: [&str; 10] = [
        "resource temporarily unavailable",
        "already locked",
        "ConditionalCheckFailedException",
        "PreconditionFailed",
        "At least one of the pre-conditions",
        "state blob is already locked",
        "lock is already held",
        "Lock is held",
        "workspace is locked",
        "the state is already locked",
    ];
    (holder.is_some() || HELD.iter().any(|needle| flat.contains(needle))).then_some(holder)
}

/// The provider a text is about: `registry.terraform.io/hashicorp/aws` or `hashicorp/aws`.
fn provider(flat: &str) -> String {
    flat.split(|character: char| {
        character.is_whitespace() || matches!(character, '"' | ',' | '(' | ')' | '\'' | '[' | ']')
    })
    .map(|word| word.trim_end_matches([':', '.', ';']))
    .find(|word| {
        let parts: Vec<&str> = word.split('/').collect();
        (2..=3).contains(&parts.len())
            && parts.iter().all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
            })
            && !word.starts_with("http")
            && !word.starts_with('.')
    })
    .unwrap_or("(not named)")
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(summary: &str, detail: &str) -> TerraformError {
        classify(vec![Diagnostic::error(summary, detail)])
    }

    #[test]
    fn locks_of_remote_backends() {
        let list = "\nLock Info:\n  ID:        abc\n  Path:      bucket/key\n  Operation: OperationTypeApply\n  Who:       eve@build\n";
        for reason in [
            "operation error S3: PutObject, https response error StatusCode: 412, api error PreconditionFailed: At least one of the pre-conditions you specified did not hold",
            "operation error DynamoDB: PutItem, ConditionalCheckFailedException: The conditional request failed",
        ] {
            let TerraformError::Locked {
                holder: Some(holder), ..
            } = of(
                "Error acquiring the state lock",
                &format!("Error message: {reason}{list}"),
            )
            else {
                panic!("{reason}")
            };
            assert_eq!((holder.id.as_str(), holder.who.as_str()), ("abc", "eve@build"));
        }
        let unnamed = of(
            "Error acquiring the state lock",
            "Error message: resource temporarily unavailable\nopen .x.lock.info: no such file",
        );
        assert!(matches!(unnamed, TerraformError::Locked { holder: None, .. }));
    }

    #[test]
    fn a_lock_that_failed_otherwise_is_what_it_is() {
        let denied = of(
            "Error acquiring the state lock",
            "Error message: open terraform.tfstate: permission denied",
        );
        assert!(matches!(denied, TerraformError::Other(_)));
        let expired = of(
            "Error acquiring the state lock",
            "Error message: operation error S3: PutObject, api error ExpiredToken: The provided token has expired.",
        );
        assert!(matches!(expired, TerraformError::Authentication { .. }));
        let newer = of(
            "Error acquiring the state lock",
            "Error message: Unsupported state file format: version 5",
        );
        assert!(matches!(newer, TerraformError::UnsupportedState { .. }));
    }

    #[test]
    fn wrapped_text_is_read_like_any_other() {
        let found = of(
            "Failed to query available provider packages",
            "Could not retrieve the list of available versions for provider\nhashicorp/aws: could not connect to registry.terraform.io",
        );
        assert!(matches!(found, TerraformError::ProviderMissing { provider, .. } if provider == "hashicorp/aws"));
    }

    #[test]
    fn warnings_decide_nothing() {
        let mut warning = Diagnostic::error("Saved plan is stale", "");
        warning.severity = crate::diagnostic::Severity::Warning;
        assert!(matches!(classify(vec![warning]), TerraformError::Other(_)));
        assert!(matches!(classify(Vec::new()), TerraformError::Other(_)));
    }

    #[test]
    fn every_kind_shows_one_line_or_more_and_no_panic() {
        for error in [of("x", ""), classify(Vec::new()), of("Saved plan is stale", "")] {
            assert!(!error.to_string().is_empty());
        }
    }
}
