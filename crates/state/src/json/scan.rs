//! A validating JSON scanner: one pass over the bytes, no tree, no copies, no recursion.
//!
//! That the input is UTF-8 was checked once for the whole document. Whitespace and strings, which are most of a
//! state, are read sixteen bytes at a time.

use std::borrow::Cow;

use super::block::{BLOCK, block, first_special, leading_spaces};
use super::decode_string;

/// How deep arrays and objects may nest in a state, counted from the document's own braces.
///
/// Real states stay below twenty. One hundred and twenty-seven is the deepest that `serde_json` reads, so whatever
/// this crate accepts, others can parse too.
pub(crate) const MAXIMUM_DEPTH: u32 = 127;

/// A range of bytes of a document. Documents are at most 4 GiB long, so that an instance's spans stay small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // State::parse refuses longer documents before the first span is made.
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One `"key": value` of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// The key with its quotes.
    pub(crate) key: Span,
    /// The value.
    pub(crate) value: Span,
}

impl Member {
    /// The key, decoded where it has escapes.
    pub(crate) fn name<'b>(&self, text: &'b str) -> Cow<'b, str> {
        let quoted = self.key.of(text);
        Quoted {
            span: self.key,
            escaped: quoted.contains('\\'),
        }
        .decode(text)
    }
}

/// A string of the document: where it stands with its quotes, and whether it has escapes.
#[derive(Clone, Copy)]
pub(crate) struct Quoted {
    pub(crate) span: Span,
    escaped: bool,
}

impl Quoted {
    /// Whether the content is this text, which must need no escapes.
    #[inline(always)]
    pub(crate) fn is(self, text: &str, content: &str) -> bool {
        if self.escaped {
            return *self.decode(text) == *content;
        }
        text.as_bytes()[self.span.start() + 1..self.span.end() - 1] == *content.as_bytes()
    }

    /// The content.
    #[inline(always)]
    pub(crate) fn decode(self, text: &str) -> Cow<'_, str> {
        if self.escaped {
            Cow::Owned(decode_string(self.span.of(text)))
        } else {
            Cow::Borrowed(&text[self.span.start() + 1..self.span.end() - 1])
        }
    }
}

/// Why scanning stopped. One word, so that the results of the scanner's functions stay in registers.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Box<FaultKind>);

/// What a [`Fault`] is about.
#[derive(Debug)]
pub(crate) enum FaultKind {
    /// Not JSON at this offset.
    Syntax { offset: usize, message: &'static str },
    /// The document ends too early.
    Truncated,
    /// Nested deeper than [`MAXIMUM_DEPTH`].
    TooDeep { offset: usize },
    /// Valid JSON, but not what a state has there.
    Structure {
        offset: usize,
        error: crate::parse::Structure,
    },
}

impl Fault {
    #[cold]
    fn too_deep(offset: usize) -> Self {
        Fault(Box::new(FaultKind::TooDeep { offset }))
    }

    /// The fault for a byte that cannot stand at this position.
    #[cold]
    fn unexpected(bytes: &[u8], position: usize, message: &'static str) -> Self {
        Fault(Box::new(if position >= bytes.len() {
            FaultKind::Truncated
        } else {
            FaultKind::Syntax {
                offset: position,
                message,
            }
        }))
    }
}

/// The byte at the position; zero at the end.
#[inline(always)]
fn byte_at(bytes: &[u8], position: usize) -> u8 {
    bytes.get(position).copied().unwrap_or(0)
}

/// The position of the next byte that is not whitespace, and that byte; zero at the end.
#[inline(always)]
fn token_at(bytes: &[u8], position: usize) -> (usize, u8) {
    let byte = byte_at(bytes, position);
    if byte > b' ' {
        return (position, byte);
    }
    let next = byte_at(bytes, position + 1);
    if next > b' ' {
        // One space after a colon; the end of the document is no whitespace and is found out below.
        if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            return (position + 1, next);
        }
        return (position, byte);
    }
    if byte == b'\n' {
        // What follows a line break is indentation.
        if let Some(block) = block(bytes, position + 1) {
            let spaces = leading_spaces(block).min(BLOCK);
            let position = position + 1 + spaces;
            let byte = byte_at(bytes, position);
            if byte > b' ' {
                return (position, byte);
            }
            return skip_whitespace(bytes, position);
        }
    }
    skip_whitespace(bytes, position)
}

#[inline(never)]
fn skip_whitespace(bytes: &[u8], mut position: usize) -> (usize, u8) {
    loop {
        match byte_at(bytes, position) {
            b' ' => {
                position += 1;
                while let Some(block) = block(bytes, position) {
                    let spaces = leading_spaces(block).min(BLOCK);
                    position += spaces;
                    if spaces < BLOCK {
                        break;
                    }
                }
            }
            b'\n' | b'\t' | b'\r' => position += 1,
            byte => return (position, byte),
        }
    }
}

/// Reads a string whose opening quote is at the position: the position after its closing quote, and whether it
/// has escapes.
#[inline(always)]
fn string_at(bytes: &[u8], position: usize) -> Result<(usize, bool), Fault> {
    let mut position = position + 1;
    while let Some(block) = block(bytes, position) {
        let ordinary = first_special(block);
        if ordinary < BLOCK {
            position += ordinary;
            if byte_at(bytes, position) == b'"' {
                return Ok((position + 1, false));
            }
            break;
        }
        position += BLOCK;
    }
    string_rest(bytes, position)
}

/// The same for a string with escapes, or one that ends near the end of the document.
#[inline(never)]
fn string_rest(bytes: &[u8], mut position: usize) -> Result<(usize, bool), Fault> {
    let mut escaped = false;
    loop {
        if let Some(block) = block(bytes, position) {
            let ordinary = first_special(block);
            if ordinary >= BLOCK {
                position += BLOCK;
                continue;
            }
            position += ordinary;
        }
        match byte_at(bytes, position) {
            b'"' => return Ok((position + 1, escaped)),
            b'\\' => {
                escaped = true;
                position = escape_at(bytes, position)?;
            }
            byte if byte < b' ' => {
                let message = "a control character in a string must be escaped";
                return Err(Fault::unexpected(bytes, position, message));
            }
            _ => position += 1,
        }
    }
}

/// The position after an escape.
fn escape_at(bytes: &[u8], position: usize) -> Result<usize, Fault> {
    match byte_at(bytes, position + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(position + 2),
        b'u' => {
            for digit in position + 2..position + 6 {
                if !byte_at(bytes, digit).is_ascii_hexdigit() {
                    return Err(Fault::unexpected(bytes, digit, "\\u needs four hexadecimal digits"));
                }
            }
            Ok(position + 6)
        }
        _ => Err(Fault::unexpected(
            bytes,
            position + 1,
            "this is not an escape that JSON knows",
        )),
    }
}

/// The position after at least one digit.
#[inline]
fn digits_at(bytes: &[u8], mut position: usize) -> Result<usize, Fault> {
    if !byte_at(bytes, position).is_ascii_digit() {
        return Err(Fault::unexpected(bytes, position, "expected a digit"));
    }
    while byte_at(bytes, position).is_ascii_digit() {
        position += 1;
    }
    Ok(position)
}

/// The position after a number.
#[inline]
fn number_at(bytes: &[u8], mut position: usize) -> Result<usize, Fault> {
    if byte_at(bytes, position) == b'-' {
        position += 1;
    }
    if byte_at(bytes, position) == b'0' {
        position += 1;
        if byte_at(bytes, position).is_ascii_digit() {
            return Err(Fault::unexpected(
                bytes,
                position,
                "a number does not begin with a zero",
            ));
        }
    } else {
        position = digits_at(bytes, position)?;
    }
    if byte_at(bytes, position) == b'.' {
        position = digits_at(bytes, position + 1)?;
    }
    if matches!(byte_at(bytes, position), b'e' | b'E') {
        position += 1;
        if matches!(byte_at(bytes, position), b'+' | b'-') {
            position += 1;
        }
        position = digits_at(bytes, position)?;
    }
    Ok(position)
}

/// The position after `true`, `false` or `null`.
#[inline]
fn literal_at(bytes: &[u8], position: usize, word: &'static [u8]) -> Result<usize, Fault> {
    if bytes[position..].starts_with(word) {
        return Ok(position + word.len());
    }
    let same = word
        .iter()
        .zip(&bytes[position..])
        .take_while(|(expected, found)| expected == found)
        .count();
    Err(Fault::unexpected(bytes, position + same, "expected a value"))
}

/// Reads a key and its colon, whitespace before it included: the position after the colon, and the key.
#[inline(always)]
fn key_at(bytes: &[u8], position: usize) -> Result<(usize, Quoted), Fault> {
    let (start, byte) = token_at(bytes, position);
    if byte != b'"' {
        return Err(Fault::unexpected(bytes, start, "expected a key in quotes"));
    }
    let (end, escaped) = string_at(bytes, start)?;
    let (position, byte) = token_at(bytes, end);
    if byte != b':' {
        return Err(Fault::unexpected(bytes, position, "expected `:` after a key"));
    }
    Ok((
        position + 1,
        Quoted {
            span: Span::new(start, end),
            escaped,
        },
    ))
}

/// The scanner: a position in the bytes.
pub(crate) struct Scanner<'b> {
    text: &'b str,
    bytes: &'b [u8],
    position: usize,
    depth: u32,
}

impl<'b> Scanner<'b> {
    pub(crate) fn new(text: &'b str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            position: 0,
            depth: 0,
        }
    }

    /// A scanner that begins at an offset, within `depth` open arrays and objects.
    pub(crate) fn at(text: &'b str, position: usize, depth: u32) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            position,
            depth,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn text(&self) -> &'b str {
        self.text
    }

    /// Skips whitespace and gives the byte that follows, without taking it; zero at the end.
    #[inline(always)]
    pub(crate) fn token(&mut self) -> u8 {
        let (position, byte) = token_at(self.bytes, self.position);
        self.position = position;
        byte
    }

    fn unexpected(&self, message: &'static str) -> Fault {
        Fault::unexpected(self.bytes, self.position, message)
    }

    /// Reads a string; the position is at its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted, Fault> {
        let start = self.position;
        let (end, escaped) = string_at(self.bytes, start)?;
        self.position = end;
        Ok(Quoted {
            span: Span::new(start, end),
            escaped,
        })
    }

    /// Takes the same string again that stands at `earlier`, quotes included, if it is here.
    #[inline]
    pub(crate) fn repeats(&mut self, earlier: Span) -> bool {
        let earlier = &self.bytes[earlier.range()];
        // It ends with its closing quote, so that nothing longer can begin with it.
        let same = earlier.len() > 2 && self.bytes[self.position..].starts_with(earlier);
        if same {
            self.position += earlier.len();
        }
        same
    }

    fn check_depth(&self) -> Result<(), Fault> {
        if self.depth >= MAXIMUM_DEPTH {
            Err(Fault::too_deep(self.position))
        } else {
            Ok(())
        }
    }

    /// Reads one value of any kind and validates it whole.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Span, Fault> {
        let bytes = self.bytes;
        let (start, first) = token_at(bytes, self.position);
        // Most values are scalars.
        let end = match first {
            b'"' => Some(string_at(bytes, start)?.0),
            b'-' | b'0'..=b'9' => Some(number_at(bytes, start)?),
            b't' => Some(literal_at(bytes, start, b"true")?),
            b'f' => Some(literal_at(bytes, start, b"false")?),
            b'n' => Some(literal_at(bytes, start, b"null")?),
            _ => None,
        };
        self.position = match end {
            Some(end) => end,
            None => self.nested(start)?,
        };
        Ok(Span::new(start, self.position))
    }

    /// Reads a value that holds others; the position after it.
    fn nested(&self, start: usize) -> Result<usize, Fault> {
        let bytes = self.bytes;
        let mut position = start;
        // Which of the open containers are objects, the innermost in the lowest bit.
        let mut objects: u128 = 0;
        let mut open: u32 = 0;
        let allowed = MAXIMUM_DEPTH - self.depth;
        'value: loop {
            let (at, byte) = token_at(bytes, position);
            position = match byte {
                b'"' => string_at(bytes, at)?.0,
                b'{' | b'[' => {
                    if open >= allowed {
                        return Err(Fault::too_deep(at));
                    }
                    let (inside, byte) = token_at(bytes, at + 1);
                    let object = bytes[at] == b'{';
                    if byte == if object { b'}' } else { b']' } {
                        inside + 1
                    } else {
                        open += 1;
                        objects = objects << 1 | u128::from(object);
                        position = if object { key_at(bytes, inside)?.0 } else { inside };
                        continue 'value;
                    }
                }
                b'-' | b'0'..=b'9' => number_at(bytes, at)?,
                b't' => literal_at(bytes, at, b"true")?,
                b'f' => literal_at(bytes, at, b"false")?,
                b'n' => literal_at(bytes, at, b"null")?,
                _ => return Err(Fault::unexpected(bytes, at, "expected a value")),
            };
            loop {
                if open == 0 {
                    return Ok(position);
                }
                let in_object = objects & 1 == 1;
                let (at, byte) = token_at(bytes, position);
                match byte {
                    b',' => {
                        position = if in_object { key_at(bytes, at + 1)?.0 } else { at + 1 };
                        continue 'value;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ if in_object => return Err(Fault::unexpected(bytes, at, "expected `,` or `}`")),
                    _ => return Err(Fault::unexpected(bytes, at, "expected `,` or `]`")),
                }
                position = at + 1;
                open -= 1;
                objects >>= 1;
            }
        }
    }

    /// Reads an object, member by member: `each` gets the key and has to read the value.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Quoted) -> Result<(), Fault>,
    ) -> Result<Span, Fault> {
        let start = self.position;
        debug_assert_eq!(byte_at(self.bytes, start), b'{');
        self.check_depth()?;
        self.depth += 1;
        self.position += 1;
        if self.token() == b'}' {
            self.position += 1;
        } else {
            loop {
                let (after, key) = key_at(self.bytes, self.position)?;
                self.position = after;
                self.token();
                each(self, key)?;
                match self.token() {
                    b',' => self.position += 1,
                    b'}' => {
                        self.position += 1;
                        break;
                    }
                    _ => return Err(self.unexpected("expected `,` or `}`")),
                }
            }
        }
        self.depth -= 1;
        Ok(Span::new(start, self.position))
    }

    /// Reads an array, element by element: `each` has to read one value.
    #[inline]
    pub(crate) fn array(&mut self, mut each: impl FnMut(&mut Self, usize) -> Result<(), Fault>) -> Result<Span, Fault> {
        let start = self.position;
        debug_assert_eq!(byte_at(self.bytes, start), b'[');
        self.check_depth()?;
        self.depth += 1;
        self.position += 1;
        if self.token() == b']' {
            self.position += 1;
        } else {
            let mut index = 0;
            loop {
                self.token();
                each(self, index)?;
                index += 1;
                match self.token() {
                    b',' => self.position += 1,
                    b']' => {
                        self.position += 1;
                        break;
                    }
                    _ => return Err(self.unexpected("expected `,` or `]`")),
                }
            }
        }
        self.depth -= 1;
        Ok(Span::new(start, self.position))
    }
}

/// The members of an object that was validated before.
pub(crate) fn members(text: &str, object: Span) -> Vec<Member> {
    let mut found = Vec::new();
    let mut scanner = Scanner::at(text, object.start(), 0);
    if scanner.token() == b'{' {
        let outcome = scanner.object(|scanner, key| {
            let value = scanner.value()?;
            found.push(Member { key: key.span, value });
            Ok(())
        });
        debug_assert!(outcome.is_ok());
    }
    found
}

/// What JSON calls the kind of value that begins with this byte.
pub(crate) fn type_name(first: u8) -> &'static str {
    match first {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "an array",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}
