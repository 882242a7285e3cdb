//! Ed25519 keys for checkpoints, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::error::{EngineError, Result};

/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, 4).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that signs. It cannot be printed.
pub struct SigningKey(Ed25519KeyPair);

/// The other half of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| EngineError::failed(format!("the key {} cannot be read: {error}", path.display())))
}

/// The bytes between the lines that say what they are.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    BASE64.decode(body).ok()
}

impl SigningKey {
    /// # Errors
    /// The file cannot be read, or holds no such key; nothing of it is told.
    pub fn read(path: &Path) -> Result<SigningKey> {
        SigningKey::parse(&read(path)?).ok_or_else(|| {
            EngineError::usage(format!("{} holds no Ed25519 key in PKCS #8", path.display()))
                .hint("make one: openssl genpkey -algorithm ed25519 -out audit.pem; it belongs to the service alone")
        })
    }

    /// A key in PKCS #8, as PEM.
    pub fn parse(text: &str) -> Option<SigningKey> {
        let bytes = pem(text, "PRIVATE KEY")?;
        // OpenSSL leaves the public half out.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).ok().map(SigningKey)
    }

    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl PublicKey {
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub fn read(path: &Path) -> Result<PublicKey> {
        PublicKey::parse(&read(path)?).ok_or_else(|| {
            EngineError::usage(format!("{} holds no Ed25519 public key", path.display()))
                .hint("take it from the private one: openssl pkey -in audit.pem -pubout -out audit.pub.pem")
        })
    }

    /// A SubjectPublicKeyInfo, as PEM.
    pub fn parse(text: &str) -> Option<PublicKey> {
        let bytes = pem(text, "PUBLIC KEY")?;
        let key = bytes.strip_prefix(&PUBLIC_PREFIX)?;
        key.try_into().ok().map(PublicKey)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}
