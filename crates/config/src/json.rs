//! JSON that remembers where everything stands, and keeps every number and every repeated key.

use std::ops::Range;

/// Deeper nesting is refused, as in native syntax.
const DEEPEST: usize = 64;

/// A JSON value with its place in the text.
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) span: Range<usize>,
}

pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// A key, where it stands, and its value.
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) offset: usize,
    pub(crate) value: Node,
}

/// Not JSON, and where it stops being JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Node {
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.span.clone()).unwrap_or_default()
    }

    /// The value without its places; of a repeated key the last.
    pub(crate) fn plain(&self) -> serde_json::Value {
        match &self.content {
            Content::Null => serde_json::Value::Null,
            Content::Bool(value) => (*value).into(),
            Content::Number(number) => serde_json::Value::Number(number.clone()),
            Content::String(text) => text.as_str().into(),
            Content::Array(items) => items.iter().map(Node::plain).collect(),
            Content::Object(members) => members
                .iter()
                .map(|member| (member.key.clone(), member.value.plain()))
                .collect(),
        }
    }
}

/// Reads one JSON value that is the whole text.
pub(crate) fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let node = reader.value()?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error("expected the end of the file")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, message: &str) -> JsonError {
        let message = if self.at >= self.text.len() {
            format!("{message}, found the end of the file")
        } else {
            message.into()
        };
        JsonError {
            offset: self.at,
            message,
        }
    }

    fn value(&mut self) -> Result<Node, JsonError> {
        self.space();
        let start = self.at;
        let content = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Content::String(self.string()?),
            Some(b't') => self.word("true", Content::Bool(true))?,
            Some(b'f') => self.word("false", Content::Bool(false))?,
            Some(b'n') => self.word("null", Content::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.error("expected a JSON value")),
        };
        Ok(Node {
            content,
            span: start..self.at,
        })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Content, JsonError>) -> Result<Content, JsonError> {
        if self.depth >= DEEPEST {
            return Err(self.error(&format!("values are nested more than {DEEPEST} deep")));
        }
        self.depth += 1;
        self.at += 1;
        let content = read(self)?;
        self.depth -= 1;
        Ok(content)
    }

    fn word(&mut self, word: &str, content: Content) -> Result<Content, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error("expected a JSON value"));
        }
        self.at += word.len();
        Ok(content)
    }

    fn number(&mut self) -> Result<Content, JsonError> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let number = serde_json::from_str(&rest[..end]).map_err(|_| self.error("expected a number"))?;
        self.at += end;
        Ok(Content::Number(number))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => {
                    let literal = &self.text[self.at..=end];
                    let string =
                        serde_json::from_str(literal).map_err(|_| self.error("this string is not valid JSON"))?;
                    self.at = end + 1;
                    return Ok(string);
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = self.text.len();
        Err(self.error("expected `\"`"))
    }

    fn array(&mut self) -> Result<Content, JsonError> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Content::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Content::Array(items));
                }
                _ => return Err(self.error("expected `,` or `]`")),
            }
        }
    }

    fn object(&mut self) -> Result<Content, JsonError> {
        let mut members = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Content::Object(members));
        }
        loop {
            self.space();
            let offset = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a key in quotes"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            let value = self.value()?;
            members.push(Member { key, offset, value });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Content::Object(members));
                }
                _ => return Err(self.error("expected `,` or `}`")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {"a": [1, -2.50, 1e400, "\u00e9\"", true], "b": {"c": null}, "b": false} "#;

    #[test]
    fn reads_what_serde_reads_and_knows_where() {
        let node = parse(TEXT).unwrap();
        assert_eq!(node.plain(), serde_json::from_str::<serde_json::Value>(TEXT).unwrap());
        let Content::Object(members) = &node.content else {
            panic!()
        };
        assert_eq!(members.len(), 3, "the repeated key is kept");
        assert_eq!(&TEXT[members[1].offset..][..3], "\"b\"");
        assert_eq!(members[0].value.text(TEXT), r#"[1, -2.50, 1e400, "\u00e9\"", true]"#);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let text = TEXT.trim();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn deep_nesting_is_an_error_with_a_place() {
        let error = parse(&"[".repeat(1 << 20)).err().unwrap();
        assert_eq!(error.offset, DEEPEST);
        assert!(error.message.contains("nested"), "{}", error.message);
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for text in [
            "",
            "{a:1}",
            "[1,]",
            "{\"a\":1,}",
            "1 2",
            "nul",
            "\"\\x\"",
            "01",
            "\"\n\"",
            "-",
            "{\"a\" 1}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
