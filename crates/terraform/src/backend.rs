//! Which backend a folder was initialised with, and a backend block for it in another folder.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::TerraformError;
use crate::private;

/// The override file's name. Terraform merges `*_override.tf.json` over the rest in the order of names: `zz` comes last.
pub const OVERRIDE_FILE: &str = "zz_infra_rollback_override.tf.json";

/// A backend and its settings. They can hold credentials: `Debug` elides them.
#[derive(Clone, PartialEq)]
pub struct BackendConfig {
    /// `local`, `s3`, `http`, …, `cloud`.
    pub kind: String,
    /// Without nulls; nested blocks as objects or lists of objects.
    pub config: Map<String, Value>,
}

impl fmt::Debug for BackendConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.config.keys().collect();
        formatter
            .debug_struct("BackendConfig")
            .field("kind", &self.kind)
            .field("attributes", &names)
            .finish()
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    backend: Option<RecordedBackend>,
}

#[derive(Deserialize)]
struct RecordedBackend {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Option<Map<String, Value>>,
}

impl BackendConfig {
    /// Drops nulls and empty lists (an absent nested block), at every depth.
    pub fn new(kind: impl Into<String>, config: Map<String, Value>) -> BackendConfig {
        let config = match without_nulls(Value::Object(config)) {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        BackendConfig {
            kind: kind.into(),
            config,
        }
    }

    /// A local backend. Without a path: `terraform.tfstate` in the folder.
    pub fn local(path: Option<&Path>) -> BackendConfig {
        let mut config = Map::new();
        if let Some(path) = path {
            config.insert("path".into(), Value::String(path.to_string_lossy().into_owned()));
        }
        BackendConfig {
            kind: "local".into(),
            config,
        }
    }

    /// Reads the record that `init` leaves in the data folder (`.terraform/terraform.tfstate`): the backend block merged with
    /// what `-backend-config` gave. `None` when there is no record or it names no backend.
    pub fn from_data_folder(data_folder: &Path) -> Result<Option<BackendConfig>, TerraformError> {
        let path = data_folder.join("terraform.tfstate");
        match fs::read(&path) {
            Ok(bytes) => BackendConfig::parse_record(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TerraformError::io("read", path)(error)),
        }
    }

    /// Reads the bytes of such a record.
    pub fn parse_record(bytes: &[u8]) -> Result<Option<BackendConfig>, TerraformError> {
        let record: Record = serde_json::from_slice(bytes).map_err(|error| TerraformError::Document {
            what: "the backend record .terraform/terraform.tfstate".into(),
            message: format!("line {} column {}", error.line(), error.column()),
        })?;
        Ok(record
            .backend
            .filter(|backend| !backend.kind.is_empty())
            .map(|backend| BackendConfig::new(backend.kind, backend.config.unwrap_or_default())))
    }

    pub fn string(&self, name: &str) -> Option<&str> {
        self.config
            .get(name)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `{"terraform":{"backend":{KIND:{…}}}}`, for `cloud` `{"terraform":{"cloud":{…}}}`. In an override file it takes the place
    /// of a backend or cloud block of the configuration, whichever there is.
    ///
    /// Strings stand as they are: terraform reads backend settings in JSON literally, `${` included (seen with 1.11).
    pub fn to_json(&self) -> Value {
        let config = Value::Object(self.config.clone());
        if self.kind == "cloud" {
            json!({"terraform": {"cloud": config}})
        } else {
            json!({"terraform": {"backend": {self.kind.as_str(): config}}})
        }
    }

    /// Writes it as [`OVERRIDE_FILE`] into a folder.
    pub fn write_override(&self, folder: &Path) -> Result<(), TerraformError> {
        private::write_file(
            &folder.join(OVERRIDE_FILE),
            format!("{:#}\n", self.to_json()).as_bytes(),
        )
    }

    /// Makes relative paths of files that lie in the stack's folder absolute, so that the block means the same in another one.
    pub fn anchor(&mut self, stack_folder: &Path) {
        anchor(&mut self.config, stack_folder);
    }
}

/// Settings of backends that name files (s3, gcs, kubernetes, oss, pg, consul, cos).
const FILE_SETTINGS: [&str; 13] = [
    "credentials",
    "shared_credentials_file",
    "shared_credentials_files",
    "shared_config_files",
    "custom_ca_bundle",
    "web_identity_token_file",
    "config_path",
    "config_paths",
    "ca_file",
    "cert_file",
    "key_file",
    "client_certificate_path",
    "oidc_token_file_path",
];

fn anchor(config: &mut Map<String, Value>, folder: &Path) {
    let absolute = |value: &mut Value| {
        if let Some(text) = value.as_str() {
            let path = folder.join(text);
            if !text.is_empty() && text.len() < 4096 && Path::new(text).is_relative() && path.is_file() {
                *value = Value::String(path.to_string_lossy().into_owned());
            }
        }
    };
    for (name, value) in config.iter_mut() {
        if FILE_SETTINGS.contains(&name.as_str()) {
            match value {
                Value::Array(items) => items.iter_mut().for_each(absolute),
                other => absolute(other),
            }
        } else if let Value::Object(inner) = value {
            anchor(inner, folder);
        } else if let Value::Array(items) = value {
            items
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|inner| anchor(inner, folder));
        }
    }
}

fn without_nulls(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => {
            let kept: Vec<Value> = items.into_iter().filter_map(without_nulls).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter_map(|(name, value)| without_nulls(value).map(|value| (name, value)))
                .collect(),
        )),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"version":3,"terraform_version":"1.11.4","backend":{"type":"s3","config":{"bucket":"b","key":"k","region":null,
      "endpoints":{"s3":"http://localhost:1","iam":null},"assume_role":null,"workspaces":[{"name":"x","prefix":null}],"tags":[],"max_retries":5},"hash":123}}"#;

    #[test]
    fn a_record_becomes_an_override() {
        let backend = BackendConfig::parse_record(RECORD.as_bytes()).unwrap().unwrap();
        assert_eq!(
            backend.to_json(),
            json!({"terraform":{"backend":{"s3":{"bucket":"b","key":"k","endpoints":{"s3":"http://localhost:1"},"workspaces":[{"name":"x"}],"max_retries":5}}}})
        );
        assert!(!format!("{backend:?}").contains("localhost"));
        assert_eq!(BackendConfig::parse_record(b"{\"version\":3}").unwrap(), None);
        assert!(BackendConfig::parse_record(b"{").is_err());
    }

    #[test]
    fn cloud_is_no_backend_block() {
        let mut config = Map::new();
        config.insert("organization".into(), "acme".into());
        assert_eq!(
            BackendConfig::new("cloud", config).to_json(),
            json!({"terraform":{"cloud":{"organization":"acme"}}})
        );
    }

    #[test]
    fn files_beside_the_stack_are_found_from_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key.json"), "{}").unwrap();
        let config = json!({"credentials":"key.json","prefix":"key.json","shared_config_files":["key.json","none"],"assume_role_with_web_identity":{"web_identity_token_file":"key.json"}});
        let mut backend = BackendConfig::new("gcs", config.as_object().unwrap().clone());
        backend.anchor(folder.path());
        let full = folder.path().join("key.json").to_string_lossy().into_owned();
        assert_eq!(
            Value::Object(backend.config),
            json!({"credentials":full,"prefix":"key.json","shared_config_files":[full,"none"],"assume_role_with_web_identity":{"web_identity_token_file":full}})
        );
    }
}
