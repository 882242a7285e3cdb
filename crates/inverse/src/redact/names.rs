//! Which names of attributes and map keys hold secrets, whatever the state says.
//!
//! Terraform's own flags (`sensitive_attributes`, `before_sensitive`) miss what a provider marks
//! sensitive only in its schema, so names are the second line.

/// Parts of names that say that the value is a secret.
const TELLING: [&str; 28] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "private_key",
    "privatekey",
    "access_key",
    "accesskey",
    "api_key",
    "apikey",
    "connection_string",
    "connectionstring",
    "connection_url",
    "database_url",
    "credential",
    "account_key",
    "shared_key",
    "signing_key",
    "master_key",
    "auth_key",
    "webhook_url",
    "kube_config",
    "kubeconfig",
    "kube_admin_config",
    "pre_shared_key",
    "preshared_key",
    "sas_url",
    "license_key",
];

/// Ends of names that speak about a secret instead of holding it.
const HARMLESS_ENDS: [&str; 50] = [
    "_arn",
    "_metadata",
    "_arns",
    "_id",
    "_ids",
    "_name",
    "_names",
    "_version",
    "_versions",
    "_versioning",
    "_path",
    "_paths",
    "_ref",
    "_enabled",
    "_required",
    "_policy",
    "_policies",
    "_length",
    "_type",
    "_types",
    "_ttl",
    "_expiry",
    "_expiration",
    "_expires_at",
    "_date",
    "_status",
    "_count",
    "_file",
    "_source",
    "_algorithm",
    "_kms_key",
    "_mode",
    "_days",
    "_period",
    "_seconds",
    "_minutes",
    "_validity",
    "_used",
    "_at",
    "_by",
    "_set",
    "_age",
    "_rotation",
    "_rotation_rules",
    "_enforced",
    "_disabled",
    "_location",
    "_region",
    "_prefix",
    "_suffix",
];

/// Whether an attribute or a map key of this name holds a secret.
///
/// Case and `-` do not matter, so that `DB_PASSWORD` among environment variables counts too.
pub(crate) fn is_secret_name(name: &str) -> bool {
    if name.len() < 5 || name.len() > 256 {
        return false;
    }
    let mut buffer = [0u8; 256];
    let lower = &mut buffer[..name.len()];
    for (to, from) in lower.iter_mut().zip(name.bytes()) {
        *to = if from == b'-' || from == b'.' {
            b'_'
        } else {
            from.to_ascii_lowercase()
        };
    }
    let Ok(lower) = std::str::from_utf8(lower) else {
        return false;
    };
    // A token is one only at the end: `auth_token`, but not `token_validity_units`.
    let telling =
        lower.ends_with("token") || lower.ends_with("token_value") || TELLING.iter().any(|part| lower.contains(part));
    telling && !is_about(lower)
}

fn is_about(lower: &str) -> bool {
    HARMLESS_ENDS.iter().any(|end| lower.ends_with(end))
        || lower.starts_with("has_")
        || lower.starts_with("is_")
        || lower.starts_with("manage_")
        || lower.starts_with("require")
        || lower.starts_with("allow_")
        || lower.starts_with("disable_")
        || lower.starts_with("enable_")
        || lower.starts_with("generate_")
        || lower.starts_with("get_")
}

/// What to look for in raw JSON to find candidates; every name above contains one of these.
pub(super) const FRAGMENTS: [&str; 39] = [
    "passw",
    "PASSW",
    "Passw",
    "passphrase",
    "PASSPHRASE",
    "Passphrase",
    "secret",
    "SECRET",
    "Secret",
    "token\"",
    "TOKEN\"",
    "Token\"",
    "oken_value",
    "OKEN_VALUE",
    "_key",
    "_KEY",
    "Key\"",
    "-key",
    "-KEY",
    "ivatekey",
    "IVATEKEY",
    "pikey",
    "APIKEY",
    "ccesskey",
    "ACCESSKEY",
    "connection_",
    "onnectionS",
    "onnectionstring",
    "CONNECTION",
    "DATABASE_URL",
    "database_url",
    "webhook_url",
    "WEBHOOK_URL",
    "redential",
    "REDENTIAL",
    "kube",
    "KUBE",
    "sas_url",
    "SAS_URL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hold_secrets_and_names_about_them() {
        for name in [
            "password",
            "master_password",
            "password_wo",
            "secret_string",
            "client_secret",
            "secret",
            "auth_token",
            "token",
            "private_key_pem",
            "private_key",
            "primary_access_key",
            "DB_PASSWORD",
            "dbPassword",
            "API-KEY",
            "primary_connection_string",
            "kube_config_raw",
            "service_account_credentials",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "secret_arn",
            "secret_id",
            "password_length",
            "password_policy",
            "token_validity_units",
            "password_wo_version",
            "manage_master_user_password",
            "key",
            "name",
            "kms_key_id",
            "master_user_secret_kms_key_id",
            "tokenizer",
            "http_tokens_required",
            "require_password_change",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn fragments_find_every_telling_name() {
        for part in TELLING.iter().chain(&["token"]) {
            for shape in [part.to_string(), part.to_uppercase()] {
                let key = format!("\"{shape}\"");
                assert!(FRAGMENTS.iter().any(|fragment| key.contains(fragment)), "{key}");
            }
        }
    }
}
