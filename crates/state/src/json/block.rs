//! Sixteen bytes at a time: where the first byte is that ends a run.

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 16;

/// The block at `position`, if the document has so many bytes left.
#[inline(always)]
pub(super) fn block(bytes: &[u8], position: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(position..)?.first_chunk::<BLOCK>()
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The two halves, each with its first byte in the lowest bits.
#[inline(always)]
fn halves(block: &[u8; BLOCK]) -> (u64, u64) {
    let number = u128::from_le_bytes(*block);
    (number as u64, (number >> 64) as u64)
}

/// The position of the first byte whose high bit `flag` sets, over both halves.
#[inline(always)]
fn first(block: &[u8; BLOCK], flag: impl Fn(u64) -> u64) -> usize {
    let (low, high) = halves(block);
    match (flag(low), flag(high)) {
        (0, 0) => BLOCK,
        (0, found) => 8 + (found.trailing_zeros() / 8) as usize,
        (found, _) => (found.trailing_zeros() / 8) as usize,
    }
}

/// The position of the first quote, backslash or control character; 16 or more where there is none.
#[inline(always)]
pub(super) fn first_special(block: &[u8; BLOCK]) -> usize {
    // A borrow can flag bytes after the first one that is meant, never before it.
    first(block, |word| {
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        (zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control) & HIGH
    })
}

/// How many spaces the block begins with; at least 16 where there is nothing else.
#[inline(always)]
pub(super) fn leading_spaces(block: &[u8; BLOCK]) -> usize {
    // Sets the high bit of each byte that is not zero, exactly.
    first(block, |word| {
        let other = word ^ (ONES * b' ' as u64);
        (((other & !HIGH) + !HIGH) | other) & HIGH
    })
}
#[cfg(test)]
mod tests {
    use super::{BLOCK, first_special, leading_spaces};

    #[test]
    fn finds_the_first_byte_of_every_value_at_every_position() {
        for filler in [b'a', b' ', 0xc3] {
            for position in 0..BLOCK {
                for value in 0..=255_u8 {
                    let mut block = [filler; BLOCK];
                    block[position] = value;
                    block[BLOCK - 1] = if position == BLOCK - 1 { value } else { b'"' };
                    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
                    let expected = block.iter().position(special).unwrap_or(BLOCK);
                    assert_eq!(first_special(&block), expected, "{block:?}");
                    let expected = block.iter().position(|&byte| byte != b' ').unwrap_or(BLOCK);
                    assert_eq!(leading_spaces(&block), expected, "{block:?}");
                }
            }
        }
    }
}
