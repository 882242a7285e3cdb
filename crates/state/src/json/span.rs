//! Places in a document, and what can be wrong there.

use std::borrow::Cow;

use super::decode_string;

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
    pub(super) escaped: bool,
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
    /// Nested deeper than [`MAXIMUM_DEPTH`](super::MAXIMUM_DEPTH).
    TooDeep { offset: usize },
    /// Valid JSON, but not what a state has there.
    Structure {
        offset: usize,
        error: crate::parse::Structure,
    },
}

impl Fault {
    #[cold]
    pub(super) fn too_deep(offset: usize) -> Self {
        Fault(Box::new(FaultKind::TooDeep { offset }))
    }

    /// The fault for a byte that cannot stand at this position.
    #[cold]
    pub(super) fn unexpected(bytes: &[u8], position: usize, message: &'static str) -> Self {
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
