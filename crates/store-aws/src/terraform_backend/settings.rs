//! Settings of Terraform's `s3` backend, from its block and from the environment (terraform 1.5 to 1.15, OpenTofu 1.6 to 1.11).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rollback_terraform::{BackendConfig, TerraformError};
use serde_json::{Map, Value};

/// Names that are honoured here, or that only matter to terraform's own start.
const KNOWN: &[&str] = &[
    "bucket",
    "key",
    "workspace_key_prefix",
    "region",
    "profile",
    "access_key",
    "secret_key",
    "token",
    "shared_config_files",
    "shared_credentials_file",
    "shared_credentials_files",
    "endpoint",
    "endpoints",
    "dynamodb_endpoint",
    "sts_endpoint",
    "sts_region",
    "iam_endpoint",
    "use_path_style",
    "force_path_style",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
    "max_retries",
    "retry_mode",
    "encrypt",
    "kms_key_id",
    "sse_customer_key",
    "acl",
    "use_lockfile",
    "dynamodb_table",
    "skip_s3_checksum",
    "skip_credentials_validation",
    "skip_region_validation",
    "skip_requesting_account_id",
    "skip_metadata_api_check",
    "assume_role",
    "role_arn",
    "session_name",
    "external_id",
    "assume_role_duration_seconds",
    "assume_role_policy",
    "assume_role_policy_arns",
    "assume_role_tags",
];

const KNOWN_OF_ROLE: &[&str] = &[
    "role_arn",
    "session_name",
    "external_id",
    "duration",
    "policy",
    "policy_arns",
    "tags",
];

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub session_name: Option<String>,
    pub external_id: Option<String>,
    pub seconds: Option<u64>,
    pub policy: Option<String>,
    pub policy_arns: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

/// How the objects and items are reached. It can hold keys: no `Debug`.
#[derive(Clone, Default)]
pub struct Reach {
    pub region: Option<String>,
    pub profile: Option<String>,
    /// Access key, secret key, session token.
    pub keys: Option<(String, String, Option<String>)>,
    pub config_files: Vec<String>,
    pub credentials_files: Vec<String>,
    pub s3_endpoint: Option<String>,
    pub dynamodb_endpoint: Option<String>,
    pub sts_endpoint: Option<String>,
    pub sts_region: Option<String>,
    pub path_style: bool,
    pub dual_stack: bool,
    pub fips: bool,
    /// Attempts beside the first one.
    pub retries: u32,
    pub roles: Vec<Role>,
}

/// What is written where, and how it is locked. It can hold an encryption key: no `Debug`.
#[derive(Clone, Default)]
pub struct Settings {
    pub bucket: String,
    /// Of the state's object, the workspace's prefix included.
    pub key: String,
    pub encrypt: bool,
    pub kms_key_id: Option<String>,
    /// 32 bytes (SSE-C).
    pub customer_key: Option<Vec<u8>>,
    pub acl: Option<String>,
    pub use_lockfile: bool,
    pub dynamodb_table: Option<String>,
    pub skip_checksum: bool,
    pub reach: Reach,
}

impl Settings {
    /// `None` where something is set that is not honoured here (a proxy, a certificate bundle, web identity, allowed accounts):
    /// terraform itself then reads and writes.
    ///
    /// # Errors
    /// [`TerraformError::Backend`]: settings that terraform would refuse, too.
    pub fn read(config: &BackendConfig, workspace: &str) -> Result<Option<Settings>, TerraformError> {
        let map = &config.config;
        let unknown = map
            .iter()
            .filter(|(_, value)| is_set(value))
            .map(|(name, _)| name.as_str())
            .find(|name| !KNOWN.contains(name));
        if let Some(name) = unknown {
            tracing::debug!(
                name,
                "terraform itself reads and writes the state, for this setting of its backend"
            );
            return Ok(None);
        }
        let Some(roles) = roles(map) else { return Ok(None) };
        let (Some(bucket), Some(key)) = (text(map, "bucket"), text(map, "key")) else {
            return Err(wrong("it has no bucket or no key"));
        };
        let customer_key = match text(map, "sse_customer_key").or_else(|| variable("AWS_SSE_CUSTOMER_KEY")) {
            None => None,
            Some(encoded) => match STANDARD.decode(encoded) {
                Ok(bytes) if bytes.len() == 32 => Some(bytes),
                _ => return Err(wrong("sse_customer_key is not the base64 of 32 bytes")),
            },
        };
        let prefix = text(map, "workspace_key_prefix").unwrap_or_else(|| "env:".to_owned());
        let endpoints = map.get("endpoints").map(one).and_then(Value::as_object);
        let endpoint = |name: &str, legacy: &str, old_variable: &str| {
            endpoints
                .and_then(|endpoints| text(endpoints, name))
                .or_else(|| text(map, legacy))
                // What the SDK does not know; it knows AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 and their like.
                .or_else(|| variable(old_variable))
        };
        Ok(Some(Settings {
            key: if workspace == "default" {
                key
            } else {
                joined(&[&prefix, workspace, &key])
            },
            bucket,
            encrypt: flag(map, "encrypt"),
            kms_key_id: text(map, "kms_key_id"),
            customer_key,
            acl: text(map, "acl"),
            use_lockfile: flag(map, "use_lockfile"),
            dynamodb_table: text(map, "dynamodb_table"),
            skip_checksum: flag(map, "skip_s3_checksum"),
            reach: Reach {
                region: text(map, "region"),
                profile: text(map, "profile"),
                keys: text(map, "access_key")
                    .zip(text(map, "secret_key"))
                    .map(|(access, secret)| (access, secret, text(map, "token"))),
                config_files: texts(map, "shared_config_files"),
                credentials_files: texts(map, "shared_credentials_files")
                    .into_iter()
                    .chain(text(map, "shared_credentials_file"))
                    .collect(),
                s3_endpoint: endpoint("s3", "endpoint", "AWS_S3_ENDPOINT"),
                dynamodb_endpoint: endpoint("dynamodb", "dynamodb_endpoint", "AWS_DYNAMODB_ENDPOINT"),
                sts_endpoint: endpoint("sts", "sts_endpoint", "AWS_STS_ENDPOINT"),
                sts_region: text(map, "sts_region"),
                path_style: flag(map, "use_path_style") || flag(map, "force_path_style"),
                dual_stack: flag(map, "use_dualstack_endpoint"),
                fips: flag(map, "use_fips_endpoint"),
                retries: text(map, "max_retries").and_then(|text| text.parse().ok()).unwrap_or(5),
                roles,
            },
        }))
    }

    /// `bucket/key`: what terraform names locks and digests by.
    pub fn path(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

/// As Go's `path.Join` has it: no empty parts.
fn joined(parts: &[&str]) -> String {
    parts
        .iter()
        .flat_map(|part| part.split('/'))
        .filter(|part| !part.is_empty() && *part != ".")
        .collect::<Vec<_>>()
        .join("/")
}

/// The block `assume_role` (an object, or a list of one), or its legacy settings. `None`: something in it is not known here.
fn roles(map: &Map<String, Value>) -> Option<Vec<Role>> {
    let mut found = Vec::new();
    let blocks = match map.get("assume_role") {
        Some(Value::Array(blocks)) => blocks.iter().collect(),
        Some(block) => vec![block],
        None => Vec::new(),
    };
    for block in blocks.into_iter().filter_map(Value::as_object) {
        if block
            .iter()
            .any(|(name, value)| is_set(value) && !KNOWN_OF_ROLE.contains(&name.as_str()))
        {
            return None;
        }
        let duration = match text(block, "duration") {
            Some(text) => Some(seconds(&text)?),
            None => None,
        };
        found.push(Role {
            arn: text(block, "role_arn")?,
            session_name: text(block, "session_name"),
            external_id: text(block, "external_id"),
            seconds: duration,
            policy: text(block, "policy"),
            policy_arns: texts(block, "policy_arns"),
            tags: tags(block, "tags"),
        });
    }
    if found.is_empty()
        && let Some(arn) = text(map, "role_arn")
    {
        found.push(Role {
            arn,
            session_name: text(map, "session_name"),
            external_id: text(map, "external_id"),
            seconds: text(map, "assume_role_duration_seconds").and_then(|text| text.parse().ok()),
            policy: text(map, "assume_role_policy"),
            policy_arns: texts(map, "assume_role_policy_arns"),
            tags: tags(map, "assume_role_tags"),
        });
    }
    Some(found)
}

/// A duration as Go writes it: `1h30m`, `900s`.
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total += std::mem::take(&mut number).parse::<u64>().ok()? * unit;
    }
    number.is_empty().then_some(total)
}

fn one(value: &Value) -> &Value {
    value.as_array().and_then(|values| values.first()).unwrap_or(value)
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_set),
        Value::Object(map) => map.values().any(is_set),
        _ => true,
    }
}

fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    match map.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    matches!(map.get(name), Some(Value::Bool(true))) || map.get(name).and_then(Value::as_str) == Some("true")
}

fn texts(map: &Map<String, Value>, name: &str) -> Vec<String> {
    map.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn tags(map: &Map<String, Value>, name: &str) -> BTreeMap<String, String> {
    map.get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn wrong(message: &str) -> TerraformError {
    TerraformError::Backend {
        action: "use",
        place: "the s3 backend".into(),
        message: message.into(),
        hint: Some(
            "look at the backend block, and at what `terraform init` recorded in .terraform/terraform.tfstate".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value, workspace: &str) -> Option<Settings> {
        let config = BackendConfig::new("s3", config.as_object().unwrap().clone());
        Settings::read(&config, workspace).unwrap()
    }

    #[test]
    fn keys_of_workspaces() {
        let key = |config: Value, workspace: &str| read(config, workspace).unwrap().path();
        assert_eq!(key(json!({"bucket":"b","key":"k/x"}), "default"), "b/k/x");
        assert_eq!(key(json!({"bucket":"b","key":"k/x"}), "prod"), "b/env:/prod/k/x");
        assert_eq!(
            key(json!({"bucket":"b","key":"k","workspace_key_prefix":"a/b/"}), "prod"),
            "b/a/b/prod/k"
        );
    }

    #[test]
    fn roles_in_both_spellings() {
        let block = json!({"bucket":"b","key":"k","assume_role":{"role_arn":"arn:x","session_name":"s","external_id":"e",
            "duration":"1h30m","policy":null,"tags":{"a":"b"}}});
        let legacy = json!({"bucket":"b","key":"k","role_arn":"arn:x","session_name":"s","external_id":"e",
            "assume_role_duration_seconds":5400,"assume_role_tags":{"a":"b"}});
        let [block, legacy] = [block, legacy].map(|config| read(config, "default").unwrap().reach.roles);
        assert_eq!(block, legacy);
        assert_eq!(
            (block[0].seconds, block[0].external_id.as_deref()),
            (Some(5400), Some("e"))
        );
    }

    #[test]
    fn what_is_not_honoured_is_left_to_terraform() {
        for (name, value) in [
            ("http_proxy", json!("http://proxy")),
            ("custom_ca_bundle", json!("/ca.pem")),
            ("allowed_account_ids", json!(["1"])),
            ("assume_role_with_web_identity", json!({"role_arn":"x"})),
            ("assume_role", json!({"role_arn":"x","source_identity":"y"})),
            ("a_setting_of_tomorrow", json!(true)),
        ] {
            let mut config = json!({"bucket":"b","key":"k"});
            config[name] = value;
            assert!(read(config, "default").is_none(), "{name}");
        }
        // Not set is not set.
        assert!(
            read(
                json!({"bucket":"b","key":"k","insecure":false,"http_proxy":""}),
                "default"
            )
            .is_some()
        );
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let config = json!({"bucket":"b","key":"k","sse_customer_key":"c2hvcnQ="});
        let config = BackendConfig::new("s3", config.as_object().unwrap().clone());
        assert!(Settings::read(&config, "default").is_err());
    }
}
