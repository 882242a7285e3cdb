//! People and pipelines that prove who they are with an identity token (OpenID Connect), instead of a secret that somebody
//! has to keep: GitHub Actions, GitLab CI/CD, a company's own sign-on.
//!
//! A token is a JWT (RFC 7519), taken under the rules of RFC 8725: issuers, audiences and algorithms are pinned by the
//! configuration, keys come from the issuer alone. Signatures are verified by ring; what is here is the form around them,
//! which leaves no choice to whoever sends the token.

mod algorithm;
mod cache;
mod claims;
mod envelope;
mod following;
mod issuer;
mod keys;
mod pattern;
mod rules;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::header;
use rollback_config::project::IdentitySection;
use rollback_engine::error::EngineError;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::{Identity, Principal};
use crate::problem::{self, Problem, Result};
pub use envelope::is_one;
pub use following::{Following, follow};
use issuer::{Issuer, Refusal};
pub use rules::Project;

/// The issuers whose tokens are taken; others from one request to the next when the settings change.
#[derive(Default)]
pub struct Identities(RwLock<Arc<Vec<Issuer>>>);

impl Identities {
    /// # Errors
    /// What of the settings cannot be meant, with its place.
    pub fn new(sections: &[IdentitySection]) -> Result<Identities, EngineError> {
        Ok(Identities(RwLock::new(Arc::new(Identities::read(sections)?))))
    }

    /// Takes these from now on. An issuer whose keys were known is asked for them anew.
    ///
    /// # Errors
    /// As [`Identities::new`]; then those of before stay.
    pub fn replace(&self, sections: &[IdentitySection]) -> Result<(), EngineError> {
        let issuers = Arc::new(Identities::read(sections)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = issuers;
        Ok(())
    }

    fn current(&self) -> Arc<Vec<Issuer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(sections: &[IdentitySection]) -> Result<Vec<Issuer>, EngineError> {
        let mut issuers: Vec<Issuer> = Vec::new();
        for section in sections {
            let wrong = |why: String| EngineError::usage(format!("{}: [[identity]]: {why}", section.at));
            if issuers.iter().any(|other| other.name == section.issuer) {
                return Err(wrong(format!("{} comes twice", section.issuer))
                    .hint("`audience` takes a list, and [[identity.rule]] may come often"));
            }
            issuers.push(Issuer::new(section).map_err(wrong)?);
        }
        Ok(issuers)
    }

    /// The issuers' names.
    pub fn issuers(&self) -> Vec<String> {
        self.current().iter().map(|issuer| issuer.name.clone()).collect()
    }

    /// Whoever a token says that it is of, and what they may do in this project.
    ///
    /// # Errors
    /// The token proves nothing, its issuer's keys cannot be had, or no rule is for whoever it is.
    pub fn principal(&self, token: &str, project: Project<'_>) -> Result<Principal> {
        let issuers = self.current();
        let envelope = envelope::open(token).map_err(|why| unproven(&why))?;
        let issuer = envelope.claims["iss"]
            .as_str()
            .and_then(|name| issuers.iter().find(|issuer| issuer.name == name));
        let issuer = issuer.ok_or_else(|| unproven("its issuer (`iss`) is none that this service takes tokens of"))?;
        let claims = issuer.verify(envelope).map_err(|refusal| match refusal {
            Refusal::Unproven(why) => unproven(&why),
            Refusal::Unavailable => unavailable(&issuer.name),
        })?;
        let subject = claims["sub"]
            .as_str()
            .filter(|subject| (1..=1000).contains(&subject.len()));
        let subject = subject.ok_or_else(|| unproven("it does not say of whom it is (`sub`)"))?;
        let named = claims::named(&claims, subject, issuer.called.as_deref()).map_err(|why| unproven(&why))?;
        let id = id_of(&issuer.name, subject);
        let mut rules = issuer.rules.iter().zip(1..);
        let Some((rule, number, decided)) =
            rules.find_map(|(rule, number)| Some((rule, number, rule.decided_by(&claims, project)?)))
        else {
            return Err(without_rule(&issuer.name, &named.name, subject, &claims));
        };
        Ok(Principal {
            marks: [Some(id.clone()), named.mark].into_iter().flatten().collect(),
            id,
            name: named.name,
            role: rule.role,
            grants: rule.grants.clone(),
            stacks: rule.stacks.clone(),
            identity: Some(Box::new(Identity {
                issuer: issuer.name.clone(),
                subject: subject.to_owned(),
                rule: number,
                claims: decided,
            })),
        })
    }
}

/// The same for every token of one subject. 80 bits: nobody finds another subject of the same id.
fn id_of(issuer: &str, subject: &str) -> String {
    format!(
        "oidc-{:.20}",
        hex::encode(Sha256::digest(format!("{issuer}\n{subject}")))
    )
}

fn unproven(why: &str) -> Box<Problem> {
    Problem::new(
        &problem::IDENTITY_REFUSED,
        format!("the identity token is not taken: {why}"),
    )
    .header(
        header::WWW_AUTHENTICATE,
        "Bearer realm=\"infra-rollback\", error=\"invalid_token\"",
    )
}

fn unavailable(issuer: &str) -> Box<Problem> {
    Problem::new(
        &problem::ISSUER_UNAVAILABLE,
        format!("the keys of {issuer} cannot be had now, and without them its tokens prove nothing"),
    )
    .header(header::RETRY_AFTER, "30")
    .hint("the service's log says why; a token of the service's own needs no issuer")
}

/// What the rules want is not said to whoever is none of ours: anybody can have a token of GitHub. The log has it.
fn without_rule(issuer: &str, name: &str, subject: &str, claims: &Value) -> Box<Problem> {
    let names: Vec<&str> = claims
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    tracing::warn!(
        issuer,
        subject,
        claims = names.join(", "),
        "no [[identity.rule]] fits a good identity token"
    );
    Problem::new(
        &problem::IDENTITY_WITHOUT_RULE,
        format!("{name} is known ({issuer}), and no rule of this service says what they may do here"),
    )
    .hint("an administrator adds an [[identity.rule]] whose `claims` fit this token; the service takes it up by itself")
    .hint("a rule for one branch or environment does not fit tokens of another: look at the token's own claims")
}
