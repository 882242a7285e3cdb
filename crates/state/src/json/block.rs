//! Sixteen bytes at a time: where the first byte is that ends a run.

use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 16;

/// The block at `position`, if the document has so many bytes left.
#[inline(always)]
pub(super) fn block(bytes: &[u8], position: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(position..)?.first_chunk::<BLOCK>()
}

/// The position of the first quote, backslash or control character; 16 or more where there is none.
#[inline(always)]
pub(super) fn first_special(block: &[u8; BLOCK]) -> usize {
    let block = u8x16::new(*block);
    let ends = block.simd_eq(QUOTE) | block.simd_eq(BACKSLASH) | block.min(CONTROL).simd_eq(block);
    ends.to_bitmask().trailing_zeros() as usize
}

/// How many spaces the block begins with; 16 or more where there is nothing else.
#[inline(always)]
pub(super) fn leading_spaces(block: &[u8; BLOCK]) -> usize {
    u8x16::new(*block).simd_eq(SPACE).to_bitmask().trailing_ones() as usize
}

const QUOTE: u8x16 = u8x16::new([b'"'; BLOCK]);
const BACKSLASH: u8x16 = u8x16::new([b'\\'; BLOCK]);
const CONTROL: u8x16 = u8x16::new([0x1f; BLOCK]);
const SPACE: u8x16 = u8x16::new([b' '; BLOCK]);

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
                    assert_eq!(first_special(&block).min(BLOCK), expected, "{block:?}");
                    let expected = block.iter().position(|&byte| byte != b' ').unwrap_or(BLOCK);
                    assert_eq!(leading_spaces(&block).min(BLOCK), expected, "{block:?}");
                }
            }
        }
    }
}
