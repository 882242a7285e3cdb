//! The keys of an issuer, from its document (RFC 7517).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, PublicKey};

/// More keys than that no issuer has.
const MOST: usize = 100;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The only algorithm that it is for, where its document says so.
    algorithm: Option<String>,
    public: PublicKey,
}

impl Key {
    /// Whether this is its signature.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let is_for_it = self.algorithm.as_ref().is_none_or(|name| *name == algorithm.name());
        is_for_it && algorithm.verifies(&self.public, message, signature)
    }
}

/// An issuer's keys by their ids.
#[derive(Clone, Debug, Default)]
pub struct KeySet(BTreeMap<String, Key>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn signs(&self) -> bool {
        let operations = self.key_ops.as_deref();
        self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && operations.is_none_or(|operations| operations.iter().any(|one| one == "verify"))
    }

    /// None for a kind that no signature here is made with, symmetric keys among them.
    fn public(&self) -> Option<PublicKey> {
        let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?).ok().filter(|bytes| !bytes.is_empty());
        let point = |length: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let number = |text: &Option<String>| {
                    let bytes = bytes(text)?;
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    Some(bytes[zeros..].to_vec())
                };
                Some(PublicKey::Rsa {
                    modulus: number(&self.n)?,
                    exponent: number(&self.e)?,
                })
            }
            ("EC", Some("P-256")) => Some(PublicKey::P256(point(32)?)),
            ("EC", Some("P-384")) => Some(PublicKey::P384(point(48)?)),
            ("OKP", Some("Ed25519")) => Some(PublicKey::Ed25519(bytes(&self.x).filter(|key| key.len() == 32)?)),
            _ => None,
        }
    }
}

impl KeySet {
    /// Reads an issuer's document. Keys of other kinds, for other purposes and without an id are left out; so are all
    /// of one id, where it is not clear which of them is meant.
    ///
    /// # Errors
    /// It is no such document, or has no key that can be used.
    pub fn read(bytes: &[u8]) -> Result<KeySet, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|_| "its keys are no JWK set (RFC 7517)".to_owned())?;
        if document.keys.len() > MOST {
            return Err(format!("it has more than {MOST} keys"));
        }
        let mut found: BTreeMap<String, Option<Key>> = BTreeMap::new();
        for value in document.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            let (Some(id), true) = (jwk.kid.clone(), jwk.signs()) else {
                continue;
            };
            let key = jwk.public().map(|public| Key {
                algorithm: jwk.alg,
                public,
            });
            let same = found.get(&id).is_none_or(|other| *other == key);
            if !same {
                tracing::warn!("two keys of an issuer have one id: neither is used");
            }
            found.insert(id, key.filter(|_| same));
        }
        let keys: BTreeMap<String, Key> = found.into_iter().filter_map(|(id, key)| Some((id, key?))).collect();
        match keys.is_empty() {
            true => Err("none of its keys can be used for signatures".to_owned()),
            false => Ok(KeySet(keys)),
        }
    }

    pub fn get(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ed(kid: &str, byte: u8) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64.encode([byte; 32]) })
    }

    fn read(keys: Vec<Value>) -> Result<Vec<String>, String> {
        let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes())?;
        Ok(set.0.into_keys().collect())
    }

    #[test]
    fn only_public_keys_for_signatures_that_have_an_id_of_their_own_count() {
        let with = |name: &str, value: Value| {
            let mut key = ed("b", 2);
            key[name] = value;
            key
        };
        assert_eq!(read(vec![ed("a", 1), ed("b", 2)]).unwrap(), ["a", "b"]);
        assert_eq!(read(vec![ed("a", 1), with("use", json!("enc"))]).unwrap(), ["a"]);
        assert_eq!(read(vec![ed("a", 1), with("key_ops", json!(["sign"]))]).unwrap(), ["a"]);
        assert_eq!(read(vec![ed("a", 1), with("kid", Value::Null)]).unwrap(), ["a"]);
        assert_eq!(read(vec![ed("a", 1), with("x", json!("AAAA"))]).unwrap(), ["a"]);
        let symmetric = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256" });
        assert_eq!(read(vec![ed("a", 1), symmetric.clone(), json!(7)]).unwrap(), ["a"]);
        assert!(read(vec![symmetric]).is_err());
        // One key twice is one key; two keys of one id are none, whatever comes after them.
        assert_eq!(read(vec![ed("a", 1), ed("a", 1), ed("b", 2)]).unwrap(), ["a", "b"]);
        assert_eq!(read(vec![ed("a", 1), ed("a", 2), ed("b", 2)]).unwrap(), ["b"]);
        assert_eq!(
            read(vec![ed("a", 1), ed("a", 2), ed("a", 2), ed("b", 2)]).unwrap(),
            ["b"]
        );
        assert!(read((0..=MOST).map(|number| ed(&number.to_string(), 1)).collect()).is_err());
        assert!(KeySet::read(b"<html>").is_err() && KeySet::read(b"{}").is_err());
    }

    #[test]
    fn a_key_for_one_algorithm_is_for_no_other() {
        let mut key = ed("a", 1);
        key["alg"] = json!("RS256");
        let set = KeySet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        assert_eq!(set.get("a").unwrap().algorithm.as_deref(), Some("RS256"));
        assert!(!set.get("a").unwrap().verifies(Algorithm::EdDsa, b"", b""));
    }
}
