//! HCL's quoted strings as Terraform writes instance keys (`toHCLQuotedString` in `internal/addrs/instance_key.go`).

use std::fmt::{self, Write};

use super::newer::NEWER;

/// Writes `text` as a quoted HCL template without interpolations.
pub(super) fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '$' | '%' => {
                out.write_char(character)?;
                if rest.as_str().starts_with('{') {
                    // The introducer of a template is doubled: HCL has no backslash escape for it.
                    out.write_char(character)?;
                }
            }
            _ if is_print(character) => out.write_char(character)?,
            _ if (character as u32) < 0x1_0000 => write!(out, "\\u{:04x}", character as u32)?,
            _ => write!(out, "\\U{:08x}", character as u32)?,
        }
    }
    out.write_char('"')
}

/// What is wrong with a quoted string; `offset` is in bytes from the opening quote.
pub(super) struct QuoteError {
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

/// Reads a quoted string at the start of `text`, which begins with its opening quote.
///
/// Returns the content and how many bytes it took, quotes included.
pub(super) fn read_quoted(text: &str) -> Result<(String, usize), QuoteError> {
    let fail = |offset: usize, reason: &'static str| Err(QuoteError { offset, reason });
    let mut content = String::new();
    let mut position = 1;
    loop {
        let rest = &text[position.min(text.len())..];
        let Some(character) = rest.chars().next() else {
            return fail(position, "the quote is not closed");
        };
        match character {
            '"' => return Ok((content, position + 1)),
            '\n' | '\r' => return fail(position, "a line break must be written \\n or \\r"),
            '\\' => {
                let (decoded, length) = match read_escape(rest) {
                    Ok(found) => found,
                    Err(reason) => return fail(position, reason),
                };
                content.push(decoded);
                position += length;
            }
            '$' | '%' => {
                let after = &rest[1..];
                if after.starts_with('{') {
                    return fail(
                        position,
                        "a template is not allowed in a key; double the $ or % before {",
                    );
                }
                content.push(character);
                position += 1;
                if after.starts_with(character) && after[1..].starts_with('{') {
                    content.push('{');
                    position += 2;
                }
            }
            _ => {
                content.push(character);
                position += character.len_utf8();
            }
        }
    }
}

/// Reads one escape sequence at the start of `rest`: the character, and the length in bytes.
fn read_escape(rest: &str) -> Result<(char, usize), &'static str> {
    let digits = match rest.as_bytes().get(1) {
        Some(b'n') => return Ok(('\n', 2)),
        Some(b'r') => return Ok(('\r', 2)),
        Some(b't') => return Ok(('\t', 2)),
        Some(b'"') => return Ok(('"', 2)),
        Some(b'\\') => return Ok(('\\', 2)),
        Some(b'u') => 4,
        Some(b'U') => 8,
        _ => return Err("an escape is one of \\n \\r \\t \\\" \\\\ \\uXXXX \\UXXXXXXXX"),
    };
    rest.get(2..2 + digits)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|text| u32::from_str_radix(text, 16).ok())
        .and_then(char::from_u32)
        .map(|character| (character, 2 + digits))
        .ok_or("an escape with \\u or \\U needs four or eight hexadecimal digits that name a character")
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and of the spaces only U+0020.
///
/// The standard library has the same table behind `str::escape_debug` (after the first character, where
/// combining marks are let through), only of a newer Unicode; what came after the version that Terraform's
/// Go knows is taken out again.
pub(super) fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    if newer_than_go(character) {
        return false;
    }
    let mut pair = [0_u8; 5];
    pair[0] = b'a';
    let length = character.encode_utf8(&mut pair[1..]).len();
    let Ok(text) = std::str::from_utf8(&pair[..=length]) else {
        return false;
    };
    text.escape_debug().nth(1) != Some('\\')
}

/// Characters assigned after Unicode 15.0.
fn newer_than_go(character: char) -> bool {
    let code = character as u32;
    let position = NEWER.partition_point(|&(_, last)| last < code);
    NEWER.get(position).is_some_and(|&(first, _)| first <= code)
}
