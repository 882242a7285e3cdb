//! The environment of a child: cleared, then what is on a list.
//!
//! Configurations and providers run code, so that a child gets what it needs to reach its clouds and nothing by accident. Never
//! passed on: `TF_CLI_ARGS*` (would change every command), `TF_LOG*` (writes values in clear text), `TF_DATA_DIR`, `TF_WORKSPACE`
//! and `TF_REATTACH_PROVIDERS` (would point a rollback elsewhere); the first two of the last three are set from options.

use std::ffi::{OsStr, OsString};

/// Names, a trailing `*` stands for any rest.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_*",
    "TMPDIR",
    "TZ",
    "SHELL",
    "SSL_CERT_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSH_AUTH_SOCK",
    "GIT_SSH*",
    "GIT_ASKPASS",
    "KUBE*",
    "AWS_*",
    "GOOGLE_*",
    "GCLOUD_*",
    "CLOUDSDK_*",
    "ARM_*",
    "AZURE_*",
    "VAULT_*",
    "CONSUL_*",
    "NOMAD_*",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "CLOUDFLARE_*",
    "DD_*",
    "DATADOG_*",
    "DIGITALOCEAN_*",
    "HCLOUD_*",
    "OCI_*",
    "PG*",
    "TF_VAR_*",
    "TF_TOKEN_*",
    "TF_CLI_CONFIG_FILE",
    "TF_PLUGIN_CACHE_*",
    "TF_REGISTRY_*",
    "TF_HTTP_*",
    "TF_CLOUD_*",
    "GOGC",
    "GOMEMLIMIT",
    "GOMAXPROCS",
];

/// Not even a configured name brings these in.
const FORBIDDEN: &[&str] = &[
    "TF_CLI_ARGS*",
    "TF_LOG*",
    "TF_DATA_DIR",
    "TF_REATTACH_PROVIDERS",
    "TF_WORKSPACE",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
];

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Whether a variable reaches children. `extra` are the names a project configured (a trailing `*` is allowed).
pub fn is_passed(name: &OsStr, extra: &[String]) -> bool {
    let Some(name) = name.to_str() else { return false };
    let on = |list: &[&str]| list.iter().any(|pattern| matches(name, pattern));
    !on(FORBIDDEN) && (on(ALLOWED) || extra.iter().any(|pattern| matches(name, pattern)))
}

/// The environment for a child, from the one given (normally this process's own).
pub(crate) fn filtered(
    variables: impl Iterator<Item = (OsString, OsString)>,
    extra: &[String],
) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<_> = variables.filter(|(name, _)| is_passed(name, extra)).collect();
    for (name, value) in [
        ("TF_IN_AUTOMATION", "1"),
        ("TF_INPUT", "0"),
        ("CHECKPOINT_DISABLE", "1"),
    ] {
        kept.push((name.into(), value.into()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str) -> bool {
        is_passed(
            OsStr::new(name),
            &["MY_TOKEN".into(), "COMPANY_*".into(), "TF_LOG".into(), "TF_*".into()],
        )
    }

    #[test]
    fn what_passes_and_what_does_not() {
        for name in [
            "PATH",
            "AWS_PROFILE",
            "TF_VAR_x",
            "TF_TOKEN_app_terraform_io",
            "MY_TOKEN",
            "COMPANY_X",
            "PGPASSWORD",
            "KUBECONFIG",
            "no_proxy",
            "TF_HTTP_PASSWORD",
        ] {
            assert!(passed(name), "{name}");
        }
        for name in [
            "TF_CLI_ARGS",
            "TF_CLI_ARGS_plan",
            "TF_LOG",
            "TF_LOG_PATH",
            "TF_LOG_PROVIDER",
            "TF_DATA_DIR",
            "TF_REATTACH_PROVIDERS",
            "TF_WORKSPACE",
            "LD_PRELOAD",
            "PATHX",
            "SECRET",
            "GITHUB_TOKENS",
        ] {
            assert!(!passed(name), "{name}");
        }
    }

    #[test]
    fn automation_is_always_set() {
        let made = filtered(
            [("TF_INPUT", "1"), ("HOME", "/h")]
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
            &[],
        );
        assert_eq!(
            made.iter()
                .filter(|(name, _)| name == "TF_INPUT")
                .map(|(_, value)| value.to_str().unwrap())
                .collect::<Vec<_>>(),
            ["0"]
        );
        assert!(made.iter().any(|(name, _)| name == "CHECKPOINT_DISABLE"));
    }
}
