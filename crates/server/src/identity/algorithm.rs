//! Which signatures there are, and which key is for which: a token's header chooses among what is configured, and cannot
//! make a key one of another kind (RFC 8725, 3.1). There is neither `none` nor a symmetric one.

use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// A public key, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A signature's algorithm (RFC 7518, 3.1; RFC 8037, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// Those that are taken where nothing is configured.
pub const DEFAULT: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::Es256];

const ALL: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    pub fn named(name: &str) -> Option<Algorithm> {
        ALL.into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, algorithm)| algorithm)
    }

    pub fn name(self) -> &'static str {
        ALL.into_iter()
            .find(|(_, known)| *known == self)
            .map_or("", |(name, _)| name)
    }

    /// The names of all of them.
    pub fn names() -> String {
        ALL.map(|(name, _)| name).join(", ")
    }

    /// Whether this is the key's signature of the message; never so where the key is of another kind.
    pub fn verifies(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let plain = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(message, signature)
                .is_ok()
        };
        match (self, key) {
            (Algorithm::Es256, PublicKey::P256(point)) => plain(&ECDSA_P256_SHA256_FIXED, point),
            (Algorithm::Es384, PublicKey::P384(point)) => plain(&ECDSA_P384_SHA384_FIXED, point),
            (Algorithm::EdDsa, PublicKey::Ed25519(key)) => plain(&ED25519, key),
            (_, PublicKey::Rsa { modulus, exponent }) => self.rsa().is_some_and(|parameters| {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, message, signature).is_ok()
            }),
            _ => false,
        }
    }

    /// Keys of less than 2048 bits are none.
    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    #[test]
    fn a_key_is_good_for_its_own_kind_of_signature_alone() {
        let random = SystemRandom::new();
        let bytes = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes.as_ref(), &random).unwrap();
        let elliptic = PublicKey::P256(pair.public_key().as_ref().to_vec());
        let signed = pair.sign(&random, b"message").unwrap();
        let bytes = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
        let edwards = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
        for (_, algorithm) in ALL {
            let is_own = algorithm == Algorithm::Es256;
            assert_eq!(
                algorithm.verifies(&elliptic, b"message", signed.as_ref()),
                is_own,
                "{algorithm:?}"
            );
            assert!(!algorithm.verifies(&elliptic, b"massage", signed.as_ref()));
            assert!(!algorithm.verifies(&elliptic, b"message", b""));
            let is_own = algorithm == Algorithm::EdDsa;
            assert_eq!(
                algorithm.verifies(&edwards, b"message", pair.sign(b"message").as_ref()),
                is_own
            );
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
        for name in ["none", "None", "HS256", "HS384", "HS512", "rs256", ""] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }
}
