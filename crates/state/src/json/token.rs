//! The parts that JSON is made of: each function takes the bytes and a position, and gives the position after.

use super::block::{BLOCK, block, first_special, leading_spaces};
use super::span::{Fault, Quoted, Span};

/// The byte at the position; zero at the end.
#[inline(always)]
pub(super) fn byte_at(bytes: &[u8], position: usize) -> u8 {
    bytes.get(position).copied().unwrap_or(0)
}

/// The position of the next byte that is not whitespace, and that byte; zero at the end.
#[inline(always)]
pub(super) fn token_at(bytes: &[u8], position: usize) -> (usize, u8) {
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
pub(super) fn string_at(bytes: &[u8], position: usize) -> Result<(usize, bool), Fault> {
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
pub(super) fn number_at(bytes: &[u8], mut position: usize) -> Result<usize, Fault> {
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
pub(super) fn literal_at(bytes: &[u8], position: usize, word: &'static [u8]) -> Result<usize, Fault> {
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
pub(super) fn key_at(bytes: &[u8], position: usize) -> Result<(usize, Quoted), Fault> {
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
