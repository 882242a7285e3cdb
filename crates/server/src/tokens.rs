//! API tokens: 256 random bits, shown once, kept as their SHA-256.
//!
//! A fast hash is right for them: nobody can try 2²⁵⁶ of them, so there is nothing that a slow one would slow down. The
//! token names its record, so that finding it tells nothing of the secret; the secret is compared in constant time.

use jiff::{Span, Timestamp};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::person::Person;
use rollback_release::{Created, Replaced, Store, StoreError, all_entries, keys};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::access::{Permission, Principal, Role};

/// What every token begins with, so that scanners for leaked secrets know it.
pub const PREFIX: &str = "irt_";

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub format: u32,
    pub id: String,
    pub name: String,
    pub role: Role,
    /// What it may do beside what the role allows.
    #[serde(default)]
    pub grants: Vec<Permission>,
    /// Empty for all stacks.
    pub stacks: Vec<String>,
    /// Of the secret, hexadecimal.
    pub sha256: String,
    pub created_at: Timestamp,
    pub created_by: String,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it opens anything now.
    pub fn is_valid(&self) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > Timestamp::now())
    }

    /// What may be shown of it: everything but the hash.
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id, "name": self.name, "role": self.role, "grants": self.grants, "stacks": self.stacks,
            "created_at": self.created_at, "created_by": self.created_by,
            "expires_at": self.expires_at, "revoked_at": self.revoked_at, "valid": self.is_valid(),
        })
    }
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    pub grants: Vec<Permission>,
    pub stacks: Vec<String>,
    /// How long it is good for.
    pub lifetime: Option<Span>,
    pub created_by: String,
}

/// The tokens of a project.
pub struct Tokens<'s> {
    store: &'s dyn Store,
    project: &'s str,
}

impl<'s> Tokens<'s> {
    pub fn new(store: &'s dyn Store, project: &'s str) -> Self {
        Tokens { store, project }
    }

    /// Makes a token. The text is given here and never again.
    ///
    /// # Errors
    /// The name is none, the lifetime is over already, or the store cannot be written.
    pub fn create(&self, new: &NewToken) -> Result<(Token, String)> {
        // Names stand in lists, and before an id in parentheses: nobody may look like somebody else there.
        let is_odd = |c: char| c.is_control() || matches!(c, ',' | '(' | ')');
        if new.name.trim().is_empty() || new.name.len() > 100 || new.name.chars().any(is_odd) {
            return Err(EngineError::usage(
                "a token needs a name of at most 100 bytes, without commas and parentheses",
            )
            .hint("name whom it is for, such as github-actions"));
        }
        let created_at = Timestamp::now();
        let expires_at = new
            .lifetime
            .map(|span| jiff::Zoned::now().checked_add(span).map(|end| end.timestamp()))
            .transpose()
            .map_err(|error| EngineError::usage(format!("the lifetime is too long: {error}")))?;
        if expires_at.is_some_and(|end| end <= created_at) {
            return Err(EngineError::usage("the token would have expired already"));
        }
        let (id, secret) = (random::<6>()?, random::<32>()?);
        let token = Token {
            format: 1,
            sha256: digest(&secret),
            id,
            name: new.name.clone(),
            role: new.role,
            grants: new.grants.clone(),
            stacks: new.stacks.clone(),
            created_at,
            created_by: new.created_by.clone(),
            expires_at,
            revoked_at: None,
        };
        match self
            .store
            .create(&keys::token(self.project, &token.id), &encode(&token)?)?
        {
            Created::Yes(_) => {
                let text = format!("{PREFIX}{}_{secret}", token.id);
                Ok((token, text))
            }
            Created::Exists => Err(EngineError::failed("the new token's id is taken").hint("try again")),
        }
    }

    /// All of them, revoked ones too, oldest first.
    ///
    /// # Errors
    /// The store cannot be read, or one is damaged.
    pub fn all(&self) -> Result<Vec<Token>> {
        let mut tokens = all_entries(self.store, &keys::tokens(self.project))?
            .iter()
            .map(|entry| decode(&entry.key, &entry.value))
            .collect::<Result<Vec<Token>>>()?;
        tokens.sort_by_key(|token| token.created_at);
        Ok(tokens)
    }

    /// Revokes one, by its id or its name. One that is revoked already stays so.
    ///
    /// # Errors
    /// There is none, or several valid ones of this name.
    pub fn revoke(&self, text: &str) -> Result<Token> {
        let all = self.all()?;
        let by_name = |valid: bool| -> Vec<&Token> {
            all.iter()
                .filter(|token| token.name == text && (!valid || token.revoked_at.is_none()))
                .collect()
        };
        let mut found: Vec<&Token> = all.iter().filter(|token| token.id == text).collect();
        if found.is_empty() {
            found = by_name(true);
        }
        if found.is_empty() {
            found = by_name(false);
        }
        let id = match found.as_slice() {
            [] => {
                return Err(EngineError::failed(format!("there is no token {text}"))
                    .hint("`infra-rollback tokens list` lists them"));
            }
            [one] => one.id.clone(),
            several => {
                let ids: Vec<&str> = several.iter().map(|token| token.id.as_str()).collect();
                return Err(
                    EngineError::usage(format!("{} tokens are called {text}", several.len()))
                        .hint(format!("name one by its id: {}", ids.join(", "))),
                );
            }
        };
        loop {
            let key = keys::token(self.project, &id);
            let (bytes, version) = self
                .store
                .get(&key)?
                .ok_or_else(|| EngineError::failed(format!("token {id} is gone")))?;
            let mut token: Token = decode(&key, &bytes)?;
            if token.revoked_at.is_some() {
                return Ok(token);
            }
            token.revoked_at = Some(Timestamp::now());
            if let Replaced::Yes(_) = self.store.replace(&key, &version, &encode(&token)?)? {
                return Ok(token);
            }
        }
    }

    /// Whoever this token stands for; none where it is no valid token.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn principal(&self, text: &str) -> std::result::Result<Option<Principal>, StoreError> {
        let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return Ok(None);
        };
        let is_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if id.len() != 12 || secret.len() != 64 || !is_hexadecimal(id) || !is_hexadecimal(secret) {
            return Ok(None);
        }
        let key = keys::token(self.project, id);
        let Some((bytes, _)) = self.store.get(&key)? else {
            return Ok(None);
        };
        // A record that cannot be read opens nothing.
        let Ok(token) = decode(&key, &bytes) else {
            tracing::error!(id, "the record of a token is damaged");
            return Ok(None);
        };
        let same = bool::from(digest(secret).as_bytes().ct_eq(token.sha256.as_bytes()));
        Ok((same && token.is_valid()).then_some(Principal {
            id: token.id,
            // Tokens of one name are taken for one person's.
            marks: vec![Person::named(&token.name)],
            name: token.name,
            role: token.role,
            grants: token.grants,
            stacks: token.stacks,
            identity: None,
        }))
    }
}

fn random<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| EngineError::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(hex::encode(bytes))
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn encode(token: &Token) -> Result<Vec<u8>> {
    serde_json::to_vec(token).map_err(|error| EngineError::failed(error.to_string()))
}

fn decode(key: &str, bytes: &[u8]) -> Result<Token> {
    serde_json::from_slice(bytes)
        .map_err(|error| EngineError::failed(format!("the token's record {key} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use rollback_release::MemoryStore;

    fn new(lifetime: Option<Span>) -> NewToken {
        NewToken {
            name: "ci".to_owned(),
            role: Role::Operator,
            grants: vec![Permission::Override],
            stacks: vec!["app".to_owned()],
            lifetime,
            created_by: "ann".to_owned(),
        }
    }

    #[test]
    fn a_token_opens_until_it_is_revoked_or_expires() {
        let store = MemoryStore::default();
        let tokens = Tokens::new(&store, "p");
        let (token, text) = tokens.create(&new(None)).unwrap();
        let principal = tokens.principal(&text).unwrap().expect("it is valid");
        assert_eq!((principal.name.as_str(), principal.role), ("ci", Role::Operator));
        assert!(principal.allows(Permission::Override) && !principal.allows(Permission::BreakGlass));
        assert!(principal.sees("app") && !principal.sees("network") && !principal.sees_all());
        tokens.revoke(&token.id).unwrap();
        tokens.revoke("ci").expect("twice is once");
        assert_eq!(tokens.principal(&text).unwrap(), None);

        let (_, text) = tokens.create(&new(Some(2.seconds()))).unwrap();
        assert!(tokens.principal(&text).unwrap().is_some());
        std::thread::sleep(std::time::Duration::from_millis(2100));
        assert_eq!(tokens.principal(&text).unwrap(), None);
        assert!(tokens.create(&new(Some((-1).hours()))).is_err());
        for name in ["", " ", "ann, bob", "ann (0123)", "ann\n"] {
            let odd = NewToken {
                name: name.to_owned(),
                ..new(None)
            };
            assert!(tokens.create(&odd).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_nearly_a_token_is_none() {
        let store = MemoryStore::default();
        let tokens = Tokens::new(&store, "p");
        let (token, text) = tokens.create(&new(None)).unwrap();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(tokens.principal(&changed).unwrap(), None, "{changed}");
        }
        let odd = [
            String::new(),
            PREFIX.to_owned(),
            format!("{PREFIX}_"),
            format!("{PREFIX}{}_{}", token.id, token.sha256),
            format!("{PREFIX}../../{}_x", token.id),
            text[..text.len() - 1].to_owned(),
            format!("{text}0"),
            text.to_uppercase(),
        ];
        for text in odd {
            assert_eq!(tokens.principal(&text).unwrap(), None, "{text}");
        }
        let (there, _) = store.get(&keys::token("p", &token.id)).unwrap().unwrap();
        let secret = text.rsplit('_').next().unwrap();
        assert!(
            !String::from_utf8_lossy(&there).contains(secret),
            "the secret is not kept"
        );
    }
}
