//! An identity provider of a test's own: it serves its discovery document and its keys, as well or as badly as it is told
//! to, and signs whatever it is given with real keys.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// How it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// With this status.
    Status(u16),
    /// Its keys lie elsewhere, it says.
    Redirect(String),
    /// Its discovery document names keys elsewhere.
    KeysAt(String),
    /// Its discovery document is of another issuer.
    AnotherIssuer,
    /// With more bytes than anybody should read.
    Endlessly,
    /// Not at all.
    Never,
}

struct State {
    keys: Vec<Value>,
    manner: Manner,
    asked: Vec<String>,
}

/// An identity provider, until the test ends.
#[derive(Clone)]
pub struct Issuer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Issuer {
    /// It has these keys.
    pub fn start(keys: &[&Signer]) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let issuer = Issuer {
            port: listener.local_addr().expect("it listens").port(),
            state: Arc::new(Mutex::new(State {
                keys: keys.iter().map(|key| key.public()).collect(),
                manner: Manner::Well,
                asked: Vec::new(),
            })),
        };
        let own = issuer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.answer(stream));
            }
        });
        issuer
    }

    /// Its name, as `iss` has it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it has these keys, as its document has them.
    pub fn publishes(&self, keys: Vec<Value>) {
        self.state.lock().expect("no test panics here").keys = keys;
    }

    pub fn answers(&self, manner: Manner) {
        self.state.lock().expect("no test panics here").manner = manner;
    }

    /// The paths that it was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().expect("no test panics here").asked.clone()
    }

    /// Claims of its own that are good for five minutes, and more.
    pub fn claims(&self, more: Value) -> Value {
        let now = Timestamp::now().as_second();
        let mut claims =
            json!({ "iss": self.url(), "aud": "infra-rollback", "iat": now, "nbf": now, "exp": now + 300 });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
        while !lines.next()?.ok()?.is_empty() {}
        let (manner, keys) = {
            let mut state = self.state.lock().expect("no test panics here");
            state.asked.push(path.clone());
            (state.manner.clone(), state.keys.clone())
        };
        let is_discovery = path == "/.well-known/openid-configuration";
        let (mut status, mut body, mut location) = (200, json!({ "keys": keys }), String::new());
        if is_discovery {
            body = json!({ "issuer": self.url(), "jwks_uri": format!("{}/keys", self.url()) });
        }
        match manner {
            Manner::Well => {}
            Manner::Status(other) => status = other,
            Manner::Redirect(url) if !is_discovery => (status, location) = (302, format!("Location: {url}\r\n")),
            Manner::KeysAt(url) if is_discovery => body["jwks_uri"] = json!(url),
            Manner::AnotherIssuer if is_discovery => body["issuer"] = json!("https://another.example"),
            Manner::Endlessly if !is_discovery => body["padding"] = json!("x".repeat(1 << 20)),
            Manner::Never => std::thread::sleep(Duration::from_secs(60)),
            _ => {}
        }
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{location}content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .ok()
    }
}

/// Which kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa,
    P256,
    Ed25519,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key with an id.
pub struct Signer {
    pub id: String,
    pair: Pair,
}

impl Signer {
    /// A new key.
    ///
    /// # Panics
    /// There is no openssl, which makes RSA keys.
    pub fn new(id: &str, kind: KeyKind) -> Signer {
        let random = SystemRandom::new();
        let pair = match kind {
            KeyKind::Rsa => {
                let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
                let made = Command::new("openssl")
                    .args(arguments)
                    .output()
                    .expect("openssl is there");
                let key = PrivatePkcs8KeyDer::from_pem_slice(&made.stdout).expect("it makes keys");
                Pair::Rsa(Box::new(
                    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("ring takes its keys"),
                ))
            }
            KeyKind::P256 => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let bytes = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key can be made");
                Pair::P256(EcdsaKeyPair::from_pkcs8(algorithm, bytes.as_ref(), &random).expect("it is a key"))
            }
            KeyKind::Ed25519 => {
                let bytes = Ed25519KeyPair::generate_pkcs8(&random).expect("a key can be made");
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).expect("it is a key"))
            }
        };
        Signer {
            id: id.to_owned(),
            pair,
        }
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// Its public half, as a document of keys has it (RFC 7517).
    pub fn public(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let parts: PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "n": BASE64.encode(parts.n), "e": BASE64.encode(parts.e) })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key().as_ref()) })
            }
        };
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key["alg"] = json!(self.algorithm());
        key
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(
            &json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.id }),
            claims,
        )
    }

    /// A token with this header, whatever it says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let signature = self.sign(signed.as_bytes(), header["alg"] == "PS256");
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn sign(&self, message: &[u8], pss: bool) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &'static dyn ring::signature::RsaEncoding =
                    if pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, message, &mut signature).expect("it signs");
                signature
            }
            Pair::P256(pair) => pair.sign(&random, message).expect("it signs").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token whose "signature" is an HMAC under the public key's document, as whoever takes one for the other would
    /// check it.
    pub fn confused(&self, claims: &Value) -> Vec<String> {
        let public = self.public();
        let secrets = [
            public.to_string().into_bytes(),
            BASE64
                .decode(public["n"].as_str().or(public["x"].as_str()).unwrap_or_default())
                .unwrap_or_default(),
        ];
        let signed = signed_part(&json!({ "alg": "HS256", "typ": "JWT", "kid": self.id }), claims);
        let sign = |secret: &Vec<u8>| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
            format!("{signed}.{}", BASE64.encode(ring::hmac::sign(&key, signed.as_bytes())))
        };
        secrets.iter().map(sign).collect()
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    )
}
