//! A validating JSON scanner: one pass over the bytes, no tree, no copies, no recursion.
//!
//! The input has to be UTF-8 (checked beforehand, once for the whole document). Whitespace and strings, which
//! are most of a state, are read eight bytes at a time.

use std::borrow::Cow;

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
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
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
    pub(crate) fn name<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        key_text(self.key.of(bytes))
    }
}

/// What the text of a key is, given with its quotes.
fn key_text(quoted: &[u8]) -> Cow<'_, [u8]> {
    let inner = &quoted[1..quoted.len() - 1];
    if memchr::memchr(b'\\', inner).is_none() {
        Cow::Borrowed(inner)
    } else {
        Cow::Owned(decode_string(quoted).into_bytes())
    }
}

/// Why scanning stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Not JSON at this offset.
    Syntax { offset: usize, message: &'static str },
    /// The document ends too early.
    Truncated,
    /// Nested deeper than [`MAXIMUM_DEPTH`].
    TooDeep { offset: usize },
    /// Valid JSON, but not what a state has there.
    Structure { offset: usize, error: Box<crate::parse::Structure> },
}

/// The scanner: a position in the bytes.
pub(crate) struct Scanner<'b> {
    bytes: &'b [u8],
    position: usize,
    depth: u32,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Eight bytes at `position`, the first in the lowest bits.
#[inline(always)]
fn word(bytes: &[u8], position: usize) -> Option<u64> {
    let chunk = bytes.get(position..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// The high bit set in the first byte that is a quote, a backslash or a control character (and maybe in later ones).
#[inline(always)]
fn special_in_string(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & HIGH
}

impl<'b> Scanner<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, position: 0, depth: 0 }
    }

    /// A scanner that begins at an offset, within `depth` open arrays and objects.
    pub(crate) fn at(bytes: &'b [u8], position: usize, depth: u32) -> Self {
        Self { bytes, position, depth }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Skips whitespace and gives the byte that follows, without taking it; zero at the end.
    #[inline(always)]
    pub(crate) fn token(&mut self) -> u8 {
        let byte = self.byte();
        if byte > b' ' { byte } else { self.skip_whitespace() }
    }

    #[inline(always)]
    fn byte(&self) -> u8 {
        self.bytes.get(self.position).copied().unwrap_or(0)
    }

    #[inline]
    fn skip_whitespace(&mut self) -> u8 {
        loop {
            match self.byte() {
                b' ' | b'\t' | b'\r' => self.position += 1,
                b'\n' => {
                    self.position += 1;
                    // What follows a line break is indentation.
                    while let Some(word) = word(self.bytes, self.position) {
                        let other = word ^ (ONES * b' ' as u64);
                        if other == 0 {
                            self.position += 8;
                            continue;
                        }
                        self.position += (other.trailing_zeros() / 8) as usize;
                        break;
                    }
                }
                byte => return byte,
            }
        }
    }

    /// The fault for a byte that cannot stand here.
    #[cold]
    pub(crate) fn unexpected(&self, message: &'static str) -> Fault {
        if self.position >= self.bytes.len() {
            Fault::Truncated
        } else {
            Fault::Syntax { offset: self.position, message }
        }
    }

    /// Reads a string; the position is at its opening quote. The span includes the quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Span, Fault> {
        let start = self.position;
        self.position += 1;
        loop {
            if let Some(word) = word(self.bytes, self.position) {
                let special = special_in_string(word);
                if special == 0 {
                    self.position += 8;
                    continue;
                }
                self.position += (special.trailing_zeros() / 8) as usize;
            }
            match self.byte() {
                b'"' => {
                    self.position += 1;
                    return Ok(Span::new(start, self.position));
                }
                b'\\' => self.escape()?,
                byte if byte < b' ' => {
                    return Err(self.unexpected("a control character in a string must be escaped"));
                }
                _ => self.position += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.position += 1;
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.position += 1,
            b'u' => {
                self.position += 1;
                for _ in 0..4 {
                    if !self.byte().is_ascii_hexdigit() {
                        return Err(self.unexpected("\\u needs four hexadecimal digits"));
                    }
                    self.position += 1;
                }
            }
            _ => return Err(self.unexpected("this is not an escape that JSON knows")),
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        if !self.byte().is_ascii_digit() {
            return Err(self.unexpected("expected a digit"));
        }
        while self.byte().is_ascii_digit() {
            self.position += 1;
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.byte() == b'-' {
            self.position += 1;
        }
        if self.byte() == b'0' {
            self.position += 1;
            if self.byte().is_ascii_digit() {
                return Err(self.unexpected("a number does not begin with a zero"));
            }
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.position += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        for &expected in word {
            if self.byte() != expected {
                return Err(self.unexpected("expected a value"));
            }
            self.position += 1;
        }
        Ok(())
    }

    /// Reads a key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Span, Fault> {
        if self.token() != b'"' {
            return Err(self.unexpected("expected a key in quotes"));
        }
        let key = self.string()?;
        if self.token() != b':' {
            return Err(self.unexpected("expected `:` after a key"));
        }
        self.position += 1;
        Ok(key)
    }

    fn check_depth(&self, open: u32) -> Result<(), Fault> {
        if self.depth + open >= MAXIMUM_DEPTH {
            return Err(Fault::TooDeep { offset: self.position });
        }
        Ok(())
    }

    /// Reads one value of any kind and validates it whole.
    pub(crate) fn value(&mut self) -> Result<Span, Fault> {
        self.token();
        let start = self.position;
        // Which of the open containers are objects, the innermost in the lowest bit.
        let mut objects: u128 = 0;
        let mut open: u32 = 0;
        'value: loop {
            match self.token() {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.check_depth(open)?;
                    self.position += 1;
                    if self.token() == b'}' {
                        self.position += 1;
                    } else {
                        open += 1;
                        objects = objects << 1 | 1;
                        self.key()?;
                        continue 'value;
                    }
                }
                b'[' => {
                    self.check_depth(open)?;
                    self.position += 1;
                    if self.token() == b']' {
                        self.position += 1;
                    } else {
                        open += 1;
                        objects <<= 1;
                        continue 'value;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.unexpected("expected a value")),
            }
            loop {
                if open == 0 {
                    return Ok(Span::new(start, self.position));
                }
                let in_object = objects & 1 == 1;
                match self.token() {
                    b',' => {
                        self.position += 1;
                        if in_object {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ if in_object => return Err(self.unexpected("expected `,` or `}`")),
                    _ => return Err(self.unexpected("expected `,` or `]`")),
                }
                self.position += 1;
                open -= 1;
                objects >>= 1;
            }
        }
    }

    /// Reads an object, member by member: `each` gets the key and has to read the value.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Span, Cow<'b, [u8]>) -> Result<(), Fault>,
    ) -> Result<Span, Fault> {
        let start = self.position;
        debug_assert_eq!(self.byte(), b'{');
        self.check_depth(0)?;
        self.depth += 1;
        self.position += 1;
        if self.token() == b'}' {
            self.position += 1;
        } else {
            loop {
                let key = self.key()?;
                self.token();
                each(self, key, key_text(key.of(self.bytes)))?;
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
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<Span, Fault> {
        let start = self.position;
        debug_assert_eq!(self.byte(), b'[');
        self.check_depth(0)?;
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
pub(crate) fn members(bytes: &[u8], object: Span) -> Vec<Member> {
    let mut found = Vec::new();
    let mut scanner = Scanner::at(bytes, object.start(), 0);
    if scanner.token() == b'{' {
        let outcome = scanner.object(|scanner, key, _| {
            let value = scanner.value()?;
            found.push(Member { key, value });
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
