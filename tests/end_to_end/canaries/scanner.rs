//! Secrets that are looked for, in every form in which they could leave.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Ends that are written differently by JSON, by URLs and by both kinds of base64.
const TAILS: &[&str] = &["", "/+=", "\"q\"", "a\\b", "<&>", " é ", "'$x'", "ÿÿ??>>", "%41", "#;,"];

/// The `number`th secret, like no other text there is.
pub fn canary(number: usize) -> String {
    let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    format!("Kn{mixed:016x}{}z", TAILS[number % TAILS.len()])
}

/// As JSON writes it inside its quotes.
pub fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn go_escaped(text: &str) -> String {
    let text = json_escaped(text);
    (text.replace('<', "\\u003c").replace('>', "\\u003e")).replace('&', "\\u0026")
}

fn url_encoded(text: &str, all: bool) -> String {
    let plain = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The middle of the base64 of a text with something before it: what is certain whatever stands around.
fn inner_base64(text: &str, shift: usize) -> String {
    let encoded = STANDARD.encode([vec![0; shift], text.as_bytes().to_vec()].concat());
    let whole = (shift + text.len()) / 3 * 4;
    encoded[if shift == 0 { 0 } else { 4 }..whole].to_owned()
}

type Form = fn(&str) -> String;

/// By name; what a secret looks like in it.
pub const FORMS: &[(&str, Form)] = &[
    ("raw", |text| text.to_owned()),
    ("JSON", json_escaped),
    ("JSON in JSON", |text| json_escaped(&json_escaped(text))),
    ("JSON of Go", go_escaped),
    ("URL", |text| url_encoded(text, false)),
    ("URL, all of it", |text| url_encoded(text, true)),
    ("base64", |text| STANDARD.encode(text)),
    ("base64 for URLs", |text| URL_SAFE.encode(text)),
    ("base64 of more, by one", |text| inner_base64(text, 1)),
    ("base64 of more, by two", |text| inner_base64(text, 2)),
    ("base64 of more", |text| inner_base64(text, 0)),
    ("hexadecimal", |text| {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }),
    ("HEXADECIMAL", |text| {
        text.bytes().map(|byte| format!("{byte:02X}")).collect()
    }),
];

/// Finds secrets.
pub struct Scanner {
    finder: AhoCorasick,
    secrets: usize,
    looked: std::cell::Cell<(usize, usize)>,
}

impl Scanner {
    pub fn new(secrets: &[String]) -> Scanner {
        let forms = secrets
            .iter()
            .flat_map(|secret| FORMS.iter().map(|(_, form)| form(secret)));
        Scanner {
            finder: AhoCorasick::new(forms).unwrap(),
            secrets: secrets.len(),
            looked: Default::default(),
        }
    }

    /// The secrets that are in it, by number, with the form.
    pub fn found(&self, bytes: &[u8]) -> BTreeSet<(usize, &'static str)> {
        let (texts, size) = self.looked.get();
        self.looked.set((texts + 1, size + bytes.len()));
        let number = |pattern: usize| (pattern / FORMS.len(), FORMS[pattern % FORMS.len()].0);
        let hits = self.finder.find_overlapping_iter(bytes);
        hits.map(|hit| number(hit.pattern().as_usize())).collect()
    }

    /// The numbers alone.
    pub fn numbers(&self, bytes: &[u8]) -> BTreeSet<usize> {
        self.found(bytes).into_iter().map(|(number, _)| number).collect()
    }

    #[track_caller]
    pub fn silent(&self, place: &str, bytes: &[u8]) {
        let found = self.found(bytes);
        assert!(
            found.is_empty(),
            "{place} shows {} secrets, such as {:?}: {}",
            found.len(),
            found.iter().take(5).collect::<Vec<_>>(),
            String::from_utf8_lossy(&bytes[..bytes.len().min(4000)])
        );
    }

    /// How many texts were looked through, and their bytes.
    pub fn looked(&self) -> (usize, usize) {
        self.looked.get()
    }

    /// Each secret is found in each form: a scanner that is blind proves nothing.
    pub fn sees(&self, secrets: &[String]) {
        for (name, form) in FORMS {
            let text: Vec<String> = secrets.iter().map(|secret| format!("<<{}>>", form(secret))).collect();
            let found = self.numbers(text.join("\n").as_bytes());
            assert_eq!(found.len(), self.secrets, "as {name}");
        }
    }
}
