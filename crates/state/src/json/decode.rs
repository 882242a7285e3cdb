//! Decoding of what was validated before: strings, and whole values on demand; and writing strings.

use serde_json::{Map, Number, Value};

use super::Scanner;

/// The text of a JSON string given with its quotes.
///
/// Half of a surrogate pair becomes U+FFFD, as in Go's `encoding/json`, which Terraform reads with.
pub(crate) fn decode_string(quoted: &str) -> String {
    let mut rest = &quoted.as_bytes()[1..quoted.len().max(2) - 1];
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..backslash]);
        let escape = rest.get(backslash + 1).copied().unwrap_or(b'\\');
        rest = rest.get(backslash + 2..).unwrap_or_default();
        let character = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => decode_unicode(&mut rest),
            other => char::from(other),
        };
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    bytes.extend_from_slice(rest);
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The character of a `\u` escape whose digits stand at the front of `rest`; takes a second escape with it
/// where the two are a surrogate pair.
fn decode_unicode(rest: &mut &[u8]) -> char {
    let first = hexadecimal(rest);
    *rest = rest.get(4..).unwrap_or_default();
    if let Some(character) = char::from_u32(first) {
        return character;
    }
    if first < 0xdc00 && rest.starts_with(b"\\u") {
        let second = hexadecimal(&rest[2..]);
        if (0xdc00..0xe000).contains(&second) {
            *rest = rest.get(6..).unwrap_or_default();
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::REPLACEMENT_CHARACTER
}

fn hexadecimal(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |value, &digit| {
        value << 4 | char::from(digit).to_digit(16).unwrap_or(0)
    })
}

/// The value that a validated piece of a document is. Of repeated keys the last one counts, as in Go.
///
/// Not `serde_json::from_slice`: that fails on halves of surrogate pairs, which are valid JSON, and with
/// `arbitrary_precision` takes an object with one magic key for a number.
pub(crate) fn decode_value(text: &str) -> Value {
    let mut scanner = Scanner::new(text);
    read_value(&mut scanner)
}

fn read_value(scanner: &mut Scanner<'_>) -> Value {
    match scanner.token() {
        b'{' => {
            let mut map = Map::new();
            let outcome = scanner.object(|scanner, key| {
                let key = key.decode(scanner.text()).into_owned();
                let value = read_value(scanner);
                map.insert(key, value);
                Ok(())
            });
            debug_assert!(outcome.is_ok());
            Value::Object(map)
        }
        b'[' => {
            let mut elements = Vec::new();
            let outcome = scanner.array(|scanner, _| {
                elements.push(read_value(scanner));
                Ok(())
            });
            debug_assert!(outcome.is_ok());
            Value::Array(elements)
        }
        first => {
            let Ok(span) = scanner.value() else {
                return Value::Null;
            };
            let raw = span.of(scanner.text());
            match first {
                b'"' => Value::String(decode_string(raw)),
                b't' => Value::Bool(true),
                b'f' => Value::Bool(false),
                b'n' => Value::Null,
                _ => serde_json::from_str::<Number>(raw).map_or(Value::Null, Value::Number),
            }
        }
    }
}

/// A JSON string with its quotes, written as Go's `encoding/json` does: `<`, `>`, `&` and the two line separators of
/// Unicode are escaped too.
pub(crate) fn encode_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", character as u32));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
