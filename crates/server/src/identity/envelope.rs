//! A token as it comes: three parts of base64 (RFC 7515, 7.1), nothing of which is believed yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;

/// Longer tokens are not looked at. Those of GitHub and GitLab have some 2 KB.
pub const LONGEST: usize = 16 << 10;

/// What a token says of itself.
#[derive(Debug, Deserialize)]
pub struct Header {
    pub alg: String,
    pub kid: Option<String>,
    typ: Option<String>,
    #[serde(default)]
    crit: Present,
}

/// Whether a member is there, whatever it holds.
#[derive(Debug, Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Present, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Present(true))
    }
}

/// A token, taken apart.
#[derive(Debug)]
pub struct Envelope<'t> {
    pub header: Header,
    /// An object.
    pub claims: Value,
    /// What the signature is of.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
}

/// Whether a text is a token of this form; those that the service makes have no dots.
pub fn is_one(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Takes a token apart.
///
/// # Errors
/// What is wrong with it, in words that hold nothing of it.
pub fn open(token: &str) -> Result<Envelope<'_>, String> {
    if token.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let odd = || "it is not three parts of base64 (RFC 7515)".to_owned();
    let (signed, signature) = token.rsplit_once('.').ok_or_else(odd)?;
    let (header, claims) = signed.split_once('.').ok_or_else(odd)?;
    let decode = |text: &str| BASE64.decode(text).map_err(|_| odd());
    let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
    // The words of a parser may hold a piece of what it parsed.
    let header: Header = serde_json::from_slice(&header).map_err(|_| "its header is not that of a JWT".to_owned())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| "its claims are no JSON".to_owned())?;
    // Whoever does not understand what is critical has to refuse (RFC 7515, 4.1.11), and nothing is understood here.
    if header.crit.0 {
        return Err("its header asks for extensions (`crit`), and this service has none".to_owned());
    }
    // Tokens of one kind are not for another (RFC 8725, 3.11): a logout token has an issuer and an audience, too.
    let kind = header.typ.as_deref().map(str::to_lowercase);
    if !matches!(kind.as_deref(), None | Some("jwt" | "at+jwt" | "application/at+jwt")) {
        return Err("it is a token of another kind than JWT".to_owned());
    }
    if !claims.is_object() {
        return Err("its claims are no object".to_owned());
    }
    Ok(Envelope {
        header,
        claims,
        signed: signed.as_bytes(),
        signature,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!(
            "{}.{}.{}",
            BASE64.encode(header),
            BASE64.encode(claims),
            BASE64.encode("signature")
        )
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(
            r#"{"alg":"RS256","kid":"a","jku":"https://evil.example"}"#,
            r#"{"iss":"i"}"#,
        );
        let open = open(&text).unwrap();
        assert_eq!(
            (open.header.alg.as_str(), open.header.kid.as_deref()),
            ("RS256", Some("a"))
        );
        assert_eq!(open.claims["iss"], "i");
        assert_eq!(open.signature, b"signature");
        assert!(text.as_bytes().starts_with(open.signed));
    }

    #[test]
    fn what_is_odd_is_refused_without_a_word_of_it() {
        let good = r#"{"alg":"RS256"}"#;
        for text in [
            "a.b.c".to_owned(),
            "..".to_owned(),
            format!("{}=", token(good, "{}")),
            token("hunter2", "{}"),
            token(good, "hunter2"),
            token(good, "[]"),
            token("{}", "{}"),
            token(r#"{"alg":"RS256","alg":"none"}"#, "{}"),
            token(r#"{"alg":"RS256","crit":["b64"]}"#, "{}"),
            token(r#"{"alg":"RS256","crit":null}"#, "{}"),
            token(r#"{"alg":"RS256","typ":"logout+jwt"}"#, "{}"),
            token(good, &format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST))),
        ] {
            let why = open(&text).map(|_| ()).expect_err(&text);
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert!(!is_one("irt_0123_4567") && is_one("a.b.c") && !is_one("a.b.c.d.e"));
    }
}
