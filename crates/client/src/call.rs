//! One call, and how often it may be made.

use serde_json::Value;

/// Whether a call may be made again when nobody knows whether it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It only looks, or does the same however often it is done (RFC 9110, 9.2.2).
    Safe,
    /// The service knows it again by this Idempotency-Key.
    Keyed(String),
    /// Only where it certainly did nothing.
    Once,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    Json(Value),
    /// Bytes with their media type.
    Bytes(Vec<u8>, &'static str),
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    /// Below the project's prefix, such as `/v1/runs`; segments and values are encoded already.
    pub path: String,
    pub body: Body,
    pub repeat: Repeat,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Call {
        Call {
            method: "GET",
            path: path.into(),
            body: Body::None,
            repeat: Repeat::Safe,
        }
    }

    /// A POST that the service does not know again.
    pub fn post(path: impl Into<String>, body: Value) -> Call {
        Call {
            method: "POST",
            path: path.into(),
            body: Body::Json(body),
            repeat: Repeat::Once,
        }
    }

    /// The same with an Idempotency-Key of its own.
    pub fn keyed(self) -> Call {
        Call {
            repeat: Repeat::Keyed(uuid::Uuid::now_v7().to_string()),
            ..self
        }
    }
}

/// What came back: a success.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// A segment of a path: everything but letters, digits and `-._~` is written as `%XX` (RFC 3986, 2.1 and 2.3).
pub fn segment(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    // Alone they would be taken for steps in the path.
    match written.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(segment("v1.4.2"), "v1.4.2");
        assert_eq!(segment("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ä"), "%C3%A4");
    }
}
