//! `.terraform/modules/modules.json`: where `terraform init` put the modules.

use serde::{Deserialize, Serialize};

/// The modules that `terraform init` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub modules: Vec<ManifestEntry>,
}

/// One module of the manifest. The root module is the entry with an empty key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The names of the calls joined by dots: `a.b`.
    #[serde(rename = "Key")]
    pub key: String,
    #[serde(rename = "Source", default)]
    pub source: String,
    #[serde(rename = "Version", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The folder, seen from the folder in which Terraform ran (the root module's).
    #[serde(rename = "Dir")]
    pub dir: String,
}

/// The manifest is not what Terraform writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("modules.json:{line}:{column}: {message}")]
pub struct ManifestError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl ManifestError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        Some("run `terraform init` again: it writes .terraform/modules/modules.json anew".into())
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(rename = "Modules", default)]
    modules: Option<Vec<ManifestEntry>>,
}

impl Manifest {
    /// Reads the file as Terraform wrote it.
    ///
    /// # Errors
    /// Where it is not JSON of that shape.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| ManifestError {
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        Ok(Manifest {
            modules: document.modules.unwrap_or_default(),
        })
    }

    /// The file as Terraform would write it, with the same keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = Document {
            modules: Some(self.modules.clone()),
        };
        // Strings in a struct cannot fail to become JSON.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The entry of a module path.
    pub fn entry(&self, path: &[String]) -> Option<&ManifestEntry> {
        let key = path.join(".");
        self.modules.iter().find(|module| module.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &[u8] = br#"{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"m","Source":"registry.terraform.io/a/b/c","Version":"1.2.3","Dir":".terraform/modules/m"},{"Key":"m.n","Source":"./n","Dir":".terraform/modules/m/n"}]}"#;

    #[test]
    fn reads_and_writes_what_terraform_does() {
        let manifest = Manifest::parse(REAL).unwrap();
        assert_eq!(manifest.modules.len(), 3);
        assert_eq!(
            manifest.entry(&["m".into(), "n".into()]).unwrap().dir,
            ".terraform/modules/m/n"
        );
        assert_eq!(manifest.entry(&["m".into()]).unwrap().version.as_deref(), Some("1.2.3"));
        assert_eq!(manifest.to_bytes(), REAL);
    }

    #[test]
    fn broken_manifests_say_where() {
        for end in 0..REAL.len() {
            let error = Manifest::parse(&REAL[..end]).unwrap_err();
            assert!(error.to_string().starts_with("modules.json:1:"), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(Manifest::parse(b"{}").unwrap().modules.is_empty());
    }
}
