//! What every token has to say, whoever it is of (RFC 7519, 4.1), and what somebody is called.

use rollback_engine::person::Person;
use serde_json::Value;

/// Clocks differ by this much, in seconds.
const LEEWAY: f64 = 60.0;
/// A name on record is no longer, in characters.
const LONGEST_NAME: usize = 200;

/// Whether the token is for this service, and good now (in seconds since 1970).
///
/// # Errors
/// Why not.
pub fn check(claims: &Value, audience: &[String], now: f64) -> Result<(), String> {
    let is_ours = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| audience.iter().any(|ours| ours == text))
    };
    let is_for_us = match &claims["aud"] {
        Value::Array(items) => items.iter().any(is_ours),
        value => is_ours(value),
    };
    if !is_for_us {
        return Err("it is for another audience (`aud`) than this service".to_owned());
    }
    match time(claims, "exp")? {
        None => return Err("it says not until when it is good (`exp`)".to_owned()),
        Some(end) if end + LEEWAY <= now => return Err("it has expired: get a new one".to_owned()),
        Some(_) => {}
    }
    match time(claims, "nbf")? {
        Some(begin) if begin - LEEWAY > now => Err("it is not good yet (`nbf`): compare the clocks".to_owned()),
        _ => Ok(()),
    }
}

fn time(claims: &Value, name: &str) -> Result<Option<f64>, String> {
    let odd = || format!("its `{name}` is no time");
    match &claims[name] {
        Value::Null => Ok(None),
        Value::Number(number) => number
            .as_f64()
            .filter(|time| time.is_finite())
            .ok_or_else(odd)
            .map(Some),
        _ => Err(odd()),
    }
}

/// As who somebody goes on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Beside the subject, whom another token may be of: a login, an address.
    pub mark: Option<String>,
}

/// What somebody is called: by the claim that is configured; else by the subject, and, where a pipeline's token says who
/// started it, by that login.
///
/// # Errors
/// The configured claim is not there.
pub fn named(claims: &Value, subject: &str, claim: Option<&str>) -> Result<Named, String> {
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty());
    let (name, login) = match claim {
        Some(claim) => {
            let name = text(claim).ok_or_else(|| format!("it has no `{claim}`, and that is to be the name"))?;
            (name.to_owned(), Some(name))
        }
        None => match (
            text("repository"),
            text("actor"),
            text("project_path"),
            text("user_login"),
        ) {
            // GitHub Actions: the subject names the repository and the branch or environment.
            (Some(_), Some(login), _, _) => (format!("{subject} by {login}"), Some(login)),
            // GitLab CI/CD.
            (_, _, Some(project), Some(login)) => (format!("{project} by {login}"), Some(login)),
            _ => (subject.to_owned(), None),
        },
    };
    Ok(Named {
        name: plain(&name),
        mark: login.map(|login| Person::named(&plain(login))),
    })
}

/// Names stand in lists, and before an id in parentheses: nobody may look like somebody else there.
fn plain(text: &str) -> String {
    let odd = |letter: char| letter.is_control() || matches!(letter, ',' | '(' | ')');
    text.chars()
        .take(LONGEST_NAME)
        .map(|letter| if odd(letter) { '_' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: f64 = 1_800_000_000.0;

    fn refused(claims: Value) -> String {
        check(&claims, &["us".to_owned(), "us-too".to_owned()], NOW)
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn a_token_is_for_this_service_and_good_now() {
        for aud in [json!("us"), json!("us-too"), json!(["them", "us"])] {
            assert_eq!(refused(json!({ "aud": aud, "exp": NOW + 1.0 })), "");
        }
        for aud in [
            json!("them"),
            json!("us "),
            json!(["them"]),
            json!([]),
            json!([["us"]]),
            Value::Null,
            json!({ "us": 1 }),
        ] {
            assert!(
                refused(json!({ "aud": aud, "exp": NOW + 1.0 })).contains("aud"),
                "{aud}"
            );
        }
        assert!(refused(json!({ "aud": "us" })).contains("exp"));
        for exp in [json!("1900000000"), json!(true), json!([1_900_000_000]), json!({})] {
            assert!(refused(json!({ "aud": "us", "exp": exp })).contains("no time"), "{exp}");
        }
        let at = |exp: f64, nbf: f64| refused(json!({ "aud": "us", "exp": exp, "nbf": nbf }));
        assert_eq!(at(NOW - 59.0, NOW + 59.0), "", "clocks differ");
        assert!(at(NOW - 60.0, NOW).contains("expired"));
        assert!(at(NOW + 100.0, NOW + 61.0).contains("not good yet"));
        assert!(refused(json!({ "aud": "us", "exp": NOW + 1.0, "nbf": "soon" })).contains("no time"));
    }

    #[test]
    fn names_come_from_what_is_configured_or_what_the_pipeline_says() {
        let github = json!({ "repository": "acme/infra", "actor": "Ann" });
        let subject = "repo:acme/infra:ref:refs/heads/main";
        let named_by = |claims: &Value, claim: Option<&str>| named(claims, subject, claim).unwrap();
        assert_eq!(named_by(&github, None).name, format!("{subject} by Ann"));
        assert_eq!(named_by(&github, None).mark.as_deref(), Some("name:ann"));
        let gitlab = json!({ "project_path": "acme/infra", "user_login": "bob" });
        assert_eq!(named_by(&gitlab, None).name, "acme/infra by bob");
        assert_eq!(named_by(&json!({}), None).mark, None);
        let mail = json!({ "email": "eve@acme.example, admin (0123)\n" });
        assert_eq!(named_by(&mail, Some("email")).name, "eve@acme.example_ admin _0123__");
        named(&json!({}), subject, Some("email")).unwrap_err();
    }
}
