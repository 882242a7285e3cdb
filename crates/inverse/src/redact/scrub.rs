//! Finds known secrets inside longer texts, in the forms in which programs print them.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::SENSITIVE;

/// Shorter strings stand by chance in too many texts.
const SHORTEST: usize = 4;

pub(super) struct Scrubber {
    finder: Option<AhoCorasick>,
}

impl Scrubber {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets.filter(|secret| secret.len() >= SHORTEST) {
            add_forms(secret, &mut forms);
        }
        if forms.is_empty() {
            return Scrubber { finder: None };
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&forms);
        // Building fails only beyond two billion states; then nothing may be shown at all.
        Scrubber {
            finder: Some(finder.expect("fewer secrets than fit into memory")),
        }
    }

    /// The text without secrets, or none where it holds none.
    pub(super) fn scrub(&self, text: &str) -> Option<String> {
        let finder = self.finder.as_ref()?;
        let mut clean: Option<String> = None;
        let mut last = 0;
        for found in finder.find_iter(text) {
            let clean = clean.get_or_insert_with(|| String::with_capacity(text.len()));
            clean.push_str(&text[last..found.start()]);
            clean.push_str(SENSITIVE);
            last = found.end();
        }
        clean.map(|mut clean| {
            clean.push_str(&text[last..]);
            clean
        })
    }
}

fn add_forms(secret: &str, forms: &mut BTreeSet<String>) {
    forms.insert(secret.to_string());
    let escaped = json_escaped(secret);
    // Terraform's own JSON (Go's encoder) writes `<`, `>` and `&` as `\u003c`, `\u003e` and `\u0026`.
    let go = escaped
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    // Once more for a document inside a string.
    forms.insert(json_escaped(&escaped));
    forms.insert(escaped);
    forms.insert(go);
    forms.insert(url_encoded(secret, false, false));
    forms.insert(url_encoded(secret, true, false));
    forms.insert(url_encoded(secret, false, true));
    let bytes = secret.as_bytes();
    for encoder in [STANDARD, URL_SAFE] {
        forms.insert(encoder.encode(bytes).trim_end_matches('=').to_string());
        // Inside a longer text (`user:password`) the three alignments differ; what they have for
        // certain is without the first and last characters, which the neighbours colour.
        for shift in 1..3 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(bytes);
            let text = encoder.encode(&shifted);
            let whole = shifted.len() / 3 * 4;
            let inner = &text[4.min(whole)..whole];
            if inner.len() >= 8 {
                forms.insert(inner.to_string());
            }
        }
    }
    let whole = bytes.len() / 3 * 4;
    for encoder in [STANDARD, URL_SAFE] {
        let text = encoder.encode(bytes);
        if whole >= 8 {
            forms.insert(text[..whole].to_string());
        }
    }
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.insert(hexadecimal.to_uppercase());
    forms.insert(hexadecimal);
    forms.retain(|form| form.len() >= SHORTEST);
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

fn url_encoded(text: &str, lower: bool, form: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' if form => encoded.push('+'),
            _ if lower => encoded.push_str(&format!("%{byte:02x}")),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
