//! One issuer: what is pinned of it, and whether a token is its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rollback_config::project::IdentitySection;
use serde_json::Value;

use super::algorithm::{Algorithm, DEFAULT};
use super::cache::{Keys, Missing, Pace};
use super::claims;
use super::envelope::Envelope;
use super::rules::Rule;
use super::source::Source;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It proves nothing; why, in words that hold nothing of it.
    Unproven(String),
    /// Nobody can say now whether it does.
    Unavailable,
}

/// An issuer of identity tokens.
pub struct Issuer {
    /// As its tokens name it.
    pub name: String,
    pub rules: Vec<Rule>,
    /// The claim that names whoever it is.
    pub called: Option<String>,
    audience: Vec<String>,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

impl Issuer {
    /// # Errors
    /// What of the settings cannot be meant, in words. Nothing is asked of the issuer yet.
    pub fn new(section: &IdentitySection) -> Result<Issuer, String> {
        let algorithms = (section.algorithms.iter())
            .map(|name| {
                Algorithm::named(name)
                    .ok_or_else(|| format!("{name:?} is no algorithm of a public key: {} are", Algorithm::names()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let source = Source::new(
            &section.issuer,
            section.jwks_url.as_deref(),
            section.allow_private,
            section.proxy,
        )?;
        let default = Pace::default();
        let pace = Pace {
            refresh: period(section.refresh.as_deref(), default.refresh),
            pause: period(section.pause.as_deref(), default.pause),
        };
        let rules = (section.rules.iter())
            .map(|rule| Rule::new(rule).map_err(|why| format!("the rule at {}: {why}", rule.at)))
            .collect::<Result<_, _>>()?;
        Ok(Issuer {
            name: section.issuer.clone(),
            rules,
            called: section.name.clone(),
            audience: section.audience.clone(),
            algorithms: match algorithms.is_empty() {
                true => DEFAULT.to_vec(),
                false => algorithms,
            },
            keys: Keys::new(pace, move || source.ask()),
        })
    }

    /// The claims of a token that says that it is this issuer's.
    ///
    /// # Errors
    /// It is not, or not for this service, or not good now; or the issuer's keys cannot be had.
    pub fn verify(&self, envelope: Envelope<'_>) -> Result<Value, Refusal> {
        let unproven = |why: &str| Refusal::Unproven(why.to_owned());
        let algorithm = Algorithm::named(&envelope.header.alg).filter(|found| self.algorithms.contains(found));
        let algorithm =
            algorithm.ok_or_else(|| unproven("its signature's algorithm is none that is taken from there"))?;
        let id = envelope.header.kid.as_deref();
        let id = id.ok_or_else(|| unproven("it does not say which key signed it (`kid`)"))?;
        let key = self.keys.get(id).map_err(|missing| match missing {
            Missing::Unknown => unproven("its issuer has no such key (`kid`), or had none a moment ago"),
            Missing::Unavailable => Refusal::Unavailable,
        })?;
        if !key.verifies(algorithm, envelope.signed, &envelope.signature) {
            return Err(unproven("its signature is not its issuer's"));
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut claims = envelope.claims;
        claims::check(&claims, &self.audience, now).map_err(Refusal::Unproven)?;
        // An address that nobody has verified is whatever somebody typed.
        if claims["email_verified"] == false
            && let Some(claims) = claims.as_object_mut()
        {
            claims.remove("email");
        }
        Ok(claims)
    }
}

/// What a length of time is that the settings have checked.
fn period(text: Option<&str>, default: Duration) -> Duration {
    let period = text.and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    period
        .and_then(|period| Duration::try_from(period).ok())
        .unwrap_or(default)
}
