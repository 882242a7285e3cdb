//! Telling whether a variable has the same value, without keeping the value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Created, Store, StoreError, keys};

/// A keyed hash of a variable's name and value: 64 hexadecimal digits. Comparable within one project only.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({}…)", self.0.get(..8).unwrap_or_default())
    }
}

/// The key of a project's fingerprints: 32 random bytes, made once and kept in the store.
///
/// It keeps fingerprints from being looked up in tables or compared between projects. It does not keep someone who can
/// read the store from trying out short values; the state, which lies beside it, has most of them in the clear anyway.
#[derive(Clone)]
pub struct Salt([u8; 32]);

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(…)")
    }
}

/// The format of the record that holds the salt.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    salt: String,
}

impl Salt {
    /// The project's salt. Made where there is none yet; of many that make one at once all get the same.
    pub fn of_project(store: &dyn Store, project: &str) -> Result<Salt, StoreError> {
        let key = keys::salt(project);
        if let Some((bytes, _)) = store.get(&key)? {
            return Salt::parse(&key, &bytes);
        }
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let salt = Salt(blake3::derive_key("infra-rollback 1 salt of a project", &random));
        let kept = serde_json::json!({ "format": FORMAT, "salt": hex::encode(salt.0) });
        match store.create(&key, kept.to_string().as_bytes())? {
            Created::Yes(_) => Ok(salt),
            Created::Exists => match store.get(&key)? {
                Some((bytes, _)) => Salt::parse(&key, &bytes),
                None => Err(StoreError::Damaged {
                    place: key,
                    reason: "it exists and cannot be read".to_owned(),
                }),
            },
        }
    }

    /// A salt for tests.
    pub fn from_bytes(bytes: [u8; 32]) -> Salt {
        Salt(bytes)
    }

    fn parse(key: &str, bytes: &[u8]) -> Result<Salt, StoreError> {
        let damaged = |reason: &str| StoreError::Damaged {
            place: key.to_owned(),
            reason: reason.to_owned(),
        };
        let kept: Kept = serde_json::from_slice(bytes).map_err(|_| damaged("it is no salt"))?;
        if kept.format > FORMAT {
            let (found, supported) = (u64::from(kept.format), u64::from(FORMAT));
            return Err(StoreError::NewerFormat {
                place: key.to_owned(),
                found,
                supported,
            });
        }
        let mut salt = [0; 32];
        hex::decode_to_slice(&kept.salt, &mut salt).map_err(|_| damaged("its salt has not 64 hexadecimal digits"))?;
        Ok(Salt(salt))
    }

    /// The fingerprint of a variable with a value.
    ///
    /// Values that are equal for Terraform get the same one: the order of an object's keys does not count, nor how a
    /// number is written (`1`, `1.0` and `1e0`). Text and number differ: give a value from the environment as the type
    /// that the variable declares.
    pub fn fingerprint(&self, name: &str, value: &Value) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        let mut text = String::new();
        canonical(value, &mut text);
        hasher.update(text.as_bytes());
        Fingerprint(hasher.finalize().to_hex().to_string())
    }
}

/// JSON with sorted keys, no spaces and one way of writing each number.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&canonical_number(&number.to_string())),
        Value::String(string) => text.push_str(&Value::from(string.as_str()).to_string()),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            text.push('{');
            for (name, member) in members {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(member, text);
                text.push(',');
            }
            text.push('}');
        }
    }
}

/// `<digits>e<exponent>` without zeros at either end of the digits, exactly, however long the number is.
fn canonical_number(written: &str) -> String {
    let (sign, unsigned) = written.strip_prefix('-').map_or(("", written), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = i64::from_str(exponent.trim_start_matches('+')) else {
        return written.to_owned();
    };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0e0".to_owned();
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let exponent = i128::from(exponent) - fraction.len() as i128 + trailing as i128;
    format!("{sign}{significant}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn one_salt_a_project_whoever_comes_first() {
        let store = MemoryStore::new();
        let salts: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| Salt::of_project(&store, "p").unwrap().0))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(salts.iter().all(|salt| *salt == salts[0]));
        assert_ne!(Salt::of_project(&store, "q").unwrap().0, salts[0]);
    }

    #[test]
    fn a_damaged_or_newer_salt_is_not_replaced() {
        let store = MemoryStore::new();
        store.damage_record(&keys::salt("p"), b"{}");
        assert!(matches!(Salt::of_project(&store, "p"), Err(StoreError::Damaged { .. })));
        store.damage_record(&keys::salt("p"), br#"{"format":2,"salt":""}"#);
        assert!(matches!(
            Salt::of_project(&store, "p"),
            Err(StoreError::NewerFormat { found: 2, .. })
        ));
    }

    #[test]
    fn equal_values_have_equal_fingerprints() {
        let salt = Salt::from_bytes([7; 32]);
        let of = |text: &str| salt.fingerprint("v", &serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"a":1,"b":[true,null]}"#), of(r#"{"b":[true,null],"a":1.0}"#));
        for same in ["1e3", "1000", "1000.0", "1E+3", "0.1e4", "10000e-1"] {
            assert_eq!(of("1000"), of(same), "{same}");
        }
        assert_eq!(of("0"), of("-0.0"));
        assert_ne!(
            of("123456789012345678901234567890"),
            of("123456789012345678901234567891")
        );
        assert_ne!(of("1"), of("-1"));
        assert_ne!(of("1"), of("\"1\""));
        assert_ne!(of("[[1],2]"), of("[[1,2]]"));
        assert_ne!(of("10"), of("1"));
        assert_ne!(salt.fingerprint("v", &Value::Null), salt.fingerprint("w", &Value::Null));
        assert_ne!(of("1"), Salt::from_bytes([8; 32]).fingerprint("v", &Value::from(1)));
    }

    #[test]
    fn nothing_of_a_salt_is_shown() {
        assert_eq!(format!("{:?}", Salt::from_bytes([0xab; 32])), "Salt(…)");
    }
}
