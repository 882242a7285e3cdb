//! `[[identity]]`: whose identity tokens the service takes, and what they may do. `[tls]`: what it proves its own with.

use std::collections::BTreeMap;

use super::ProjectError;
use super::read::Section;
use crate::error::Location;

/// `[[identity]]`: an issuer of OpenID Connect tokens. Texts are as written: what they mean is for the service to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySection {
    /// `https://token.actions.githubusercontent.com`
    pub issuer: String,
    /// Whom its tokens have to be for; one of these.
    pub audience: Vec<String>,
    /// Where its keys are; its discovery document says so where nothing is said.
    pub jwks_url: Option<String>,
    /// `RS256`; empty for the default.
    pub algorithms: Vec<String>,
    /// The claim whose value is the name of whoever it is: `email`.
    pub name: Option<String>,
    /// Whether it may lie in a private network.
    pub allow_private: bool,
    /// Whether it is asked through the proxy that the environment names.
    pub proxy: bool,
    /// How long its keys are good before they are asked for again: `1h`.
    pub refresh: Option<String>,
    /// How long after a request for its keys no other one is made: `30s`.
    pub pause: Option<String>,
    /// `[[identity.rule]]`, the first one that fits decides.
    pub rules: Vec<IdentityRule>,
    pub at: Location,
}

/// `[[identity.rule]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRule {
    /// `operator`
    pub role: String,
    /// Empty for all.
    pub stacks: Vec<String>,
    /// Empty for the service's own, and, where the rule is for all stacks, those that it takes in.
    pub projects: Vec<String>,
    /// Permissions beside the role's: `override`.
    pub grants: Vec<String>,
    /// What has to be said of whoever it is: each of these claims has one of its values.
    pub claims: BTreeMap<String, Vec<String>>,
    pub at: Location,
}

/// `[tls]`: files, relative to infra-rollback.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSection {
    pub certificate: String,
    pub key: String,
}

const KEYS: &[&str] = &[
    "algorithms",
    "allow_private",
    "audience",
    "issuer",
    "jwks_url",
    "name",
    "pause",
    "proxy",
    "refresh",
    "rule",
];

pub(super) fn read(identity: &Section<'_, '_>) -> Result<IdentitySection, ProjectError> {
    identity.only(KEYS)?;
    let mut section = IdentitySection {
        issuer: identity.required("issuer")?,
        audience: identity.texts("audience")?,
        jwks_url: identity.string("jwks_url")?,
        algorithms: identity.strings("algorithms")?,
        name: identity.string("name")?,
        allow_private: identity.switch("allow_private")?.unwrap_or(false),
        proxy: identity.switch("proxy")?.unwrap_or(false),
        refresh: identity.period("refresh")?,
        pause: identity.period("pause")?,
        rules: Vec::new(),
        at: identity.at(),
    };
    for rule in identity.tables("rule")? {
        rule.only(&["claims", "grants", "projects", "role", "stacks"])?;
        let mut claims = BTreeMap::new();
        if let Some(table) = rule.table("claims")? {
            for key in table.keys() {
                claims.insert(key.clone(), table.texts(&key)?);
            }
        }
        section.rules.push(IdentityRule {
            role: rule.required("role")?,
            stacks: rule.strings("stacks")?,
            projects: rule.strings("projects")?,
            grants: rule.strings("grants")?,
            claims,
            at: rule.at(),
        });
    }
    Ok(section)
}

pub(super) fn read_tls(tls: &Section<'_, '_>) -> Result<TlsSection, ProjectError> {
    tls.only(&["certificate", "key"])?;
    Ok(TlsSection {
        certificate: tls.required("certificate")?,
        key: tls.required("key")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ProjectError, parse};

    const TEXT: &str = r#"
[tls]
certificate = "tls/service.pem"
key = "tls/service.key"

[[identity]]
issuer = "https://token.actions.githubusercontent.com"
audience = "infra-rollback"

[[identity.rule]]
role = "operator"
stacks = ["app"]
claims = { repository = "acme/infra", ref = ["refs/heads/main", "refs/heads/release/*"] }

[[identity.rule]]
role = "viewer"
claims = { repository = "acme/infra" }
"#;

    #[test]
    fn rules_keep_their_order_and_one_text_is_a_list_of_one() {
        let project = parse(TEXT, "f").unwrap();
        assert_eq!(project.tls.unwrap().key, "tls/service.key");
        let [identity] = project.identities.as_slice() else {
            panic!()
        };
        assert_eq!(identity.audience, ["infra-rollback"]);
        let roles: Vec<&str> = identity.rules.iter().map(|rule| rule.role.as_str()).collect();
        assert_eq!(roles, ["operator", "viewer"]);
        assert_eq!(identity.rules[0].claims["ref"].len(), 2);
        assert_eq!(identity.rules[1].claims["repository"], ["acme/infra"]);
        assert_eq!(identity.rules[1].at.line, 15);
    }

    #[test]
    fn what_is_misspelt_is_named() {
        for (from, to) in [
            ("audience", "audiense"),
            ("[[identity.rule]]", "[[identity.rules]]"),
            ("certificate", "certficate"),
        ] {
            let error = parse(&TEXT.replace(from, to), "f").unwrap_err();
            assert!(
                matches!(&error, ProjectError::UnknownKey { nearest: Some(_), .. })
                    || error.to_string().contains("rule"),
                "{error}"
            );
        }
        assert!(parse(&TEXT.replace("\"acme/infra\" }", "7 }"), "f").is_err());
    }
}
