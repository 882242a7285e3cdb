//! Which terraform (or OpenTofu) is driven.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::TerraformError;
use crate::version::Version;

/// Whose tool it is: they differ in defaults (`removed` without lifecycle) and in versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    Terraform,
    OpenTofu,
}

impl Product {
    /// The oldest version whose output this crate reads.
    pub fn required(self) -> Version {
        match self {
            Product::Terraform => Version::new(1, 5, 0),
            Product::OpenTofu => Version::new(1, 6, 0),
        }
    }

    /// `terraform` or `opentofu`.
    pub fn as_str(self) -> &'static str {
        match self {
            Product::Terraform => "terraform",
            Product::OpenTofu => "opentofu",
        }
    }
}

impl std::fmt::Display for Product {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A binary that is there. Its version is asked for when first needed, since that costs a process (40 to 60 ms).
#[derive(Clone, Debug)]
pub struct Terraform {
    binary: PathBuf,
    known: OnceLock<(Product, Version)>,
}

impl Terraform {
    /// The configured path or name; else `terraform`, else `tofu` on PATH. Starts no process.
    ///
    /// # Errors
    /// [`TerraformError::Missing`].
    pub fn discover(configured: Option<&str>) -> Result<Terraform, TerraformError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names: Vec<&str> = match configured {
            Some(name) => vec![name],
            None => vec!["terraform", "tofu"],
        };
        for name in &names {
            let found = if name.contains('/') {
                Some(PathBuf::from(name)).filter(|path| is_executable(path))
            } else {
                std::env::split_paths(&path)
                    .filter(|folder| folder.is_absolute())
                    .map(|folder| folder.join(name))
                    .find(|path| is_executable(path))
            };
            if let Some(found) = found {
                // Children run in other folders, so that a relative path would mean another file there.
                let binary = std::path::absolute(&found).unwrap_or(found);
                return Ok(Terraform {
                    binary,
                    known: OnceLock::new(),
                });
            }
        }
        Err(TerraformError::Missing {
            looked_for: names.join(", "),
        })
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub fn product(&self) -> Result<Product, TerraformError> {
        self.identity().map(|(product, _)| *product)
    }

    /// # Errors
    /// [`TerraformError::TooOld`], [`TerraformError::NoVersion`], [`TerraformError::Spawn`].
    pub fn version(&self) -> Result<&Version, TerraformError> {
        self.identity().map(|(_, version)| version)
    }

    fn identity(&self) -> Result<&(Product, Version), TerraformError> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let (product, version) = cached(&self.binary)?;
        if version < product.required() {
            return Err(TerraformError::TooOld {
                binary: self.binary.clone(),
                version,
                required: product.required(),
            });
        }
        Ok(self.known.get_or_init(|| (product, version)))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

type Stamp = (PathBuf, Option<SystemTime>, u64);

/// Versions by file, for this process only: a file that was replaced (an upgrade meanwhile) is asked again.
static VERSIONS: Mutex<Option<HashMap<Stamp, (Product, Version)>>> = Mutex::new(None);

fn cached(binary: &Path) -> Result<(Product, Version), TerraformError> {
    let metadata = fs::metadata(binary).map_err(TerraformError::io("look at", binary))?;
    let stamp = (binary.to_owned(), metadata.modified().ok(), metadata.len());
    let mut versions = VERSIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let versions = versions.get_or_insert_default();
    if let Some(known) = versions.get(&stamp) {
        return Ok(known.clone());
    }
    let asked = ask(binary)?;
    versions.insert(stamp, asked.clone());
    Ok(asked)
}

/// `version` for people and not `version -json`: both products call their version `terraform_version` in the JSON, and only the
/// text says which one it is.
fn ask(binary: &Path) -> Result<(Product, Version), TerraformError> {
    let output = Command::new(binary)
        .arg("version")
        .env_clear()
        .envs(environment::filtered(std::env::vars_os(), &[]))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| TerraformError::Spawn {
            binary: binary.to_owned(),
            source,
        })?;
    read_version(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| TerraformError::NoVersion {
        binary: binary.to_owned(),
    })
}

fn read_version(text: &str) -> Option<(Product, Version)> {
    text.lines().find_map(|line| {
        let line = line.trim();
        let (product, rest) = match line.strip_prefix("OpenTofu v") {
            Some(rest) => (Product::OpenTofu, rest),
            None => (Product::Terraform, line.strip_prefix("Terraform v")?),
        };
        Version::parse(rest.split_whitespace().next()?).map(|version| (product, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(folder: &Path, name: &str, prints: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{prints}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn reads_both_products() {
        assert_eq!(
            read_version("Terraform v1.11.4\non linux_amd64\n"),
            Some((Product::Terraform, Version::new(1, 11, 4)))
        );
        assert_eq!(
            read_version("wrapper says hello\nOpenTofu v1.8.0\n"),
            Some((Product::OpenTofu, Version::new(1, 8, 0)))
        );
        assert_eq!(read_version("nothing"), None);
    }

    #[test]
    fn missing_too_old_and_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Terraform::discover(Some("/nonexistent/terraform")).unwrap_err();
        assert!(matches!(missing, TerraformError::Missing { .. }) && missing.hint().is_some());
        let old = Terraform::discover(Some(&fake(folder.path(), "old", "echo Terraform v1.4.6"))).unwrap();
        assert!(matches!(old.version(), Err(TerraformError::TooOld { .. })));
        let old = Terraform::discover(Some(&fake(folder.path(), "tofu", "echo OpenTofu v1.5.9"))).unwrap();
        assert!(matches!(old.version(), Err(TerraformError::TooOld { .. })));
        let nonsense = Terraform::discover(Some(&fake(folder.path(), "non", "echo hello"))).unwrap();
        assert!(matches!(nonsense.version(), Err(TerraformError::NoVersion { .. })));
    }

    #[test]
    fn asked_once_and_again_after_an_upgrade() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = |version: &str| format!("echo x >> {}; echo Terraform v{version}", count.display());
        let path = fake(folder.path(), "tf", &script("1.5.0"));
        let calls = || fs::read_to_string(&count).unwrap_or_default().lines().count();
        let first = Terraform::discover(Some(&path)).unwrap();
        assert_eq!(calls(), 0, "discovering starts no process");
        first.version().unwrap();
        Terraform::discover(Some(&path)).unwrap().version().unwrap();
        assert_eq!(calls(), 1);
        fake(folder.path(), "tf", &script("1.10.12"));
        assert_eq!(
            Terraform::discover(Some(&path)).unwrap().version().unwrap(),
            &Version::new(1, 10, 12)
        );
    }
}
