//! A validating JSON scanner: one pass over the bytes, no tree, no copies, no recursion.
//!
//! That the input is UTF-8 was checked once for the whole document. Whitespace and strings, which are most of a
//! state, are read sixteen bytes at a time.

use super::span::{Fault, Member, Quoted, Span};
use super::token::{byte_at, key_at, literal_at, number_at, string_at, token_at};

/// How deep arrays and objects may nest in a state, counted from the document's own braces.
///
/// Real states stay below twenty. One hundred and twenty-seven is the deepest that `serde_json` reads, so whatever
/// this crate accepts, others can parse too.
pub(crate) const MAXIMUM_DEPTH: u32 = 127;

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
