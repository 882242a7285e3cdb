//! What two contents have in common.
//!
//! Blocks of the base are indexed by a rolling hash; the target is scanned with the same hash, and each hit is extended
//! in both directions. States repeat themselves (ten thousand instances of thirty types), so of several candidates the
//! one that goes on where the last copy ended is taken first, and then the one that reaches furthest.

use super::pieces::{Layer, Step};

/// Size of a block in bytes: what two contents have in common is found if it has twice as many.
const BLOCK: usize = 48;

/// A resumption at the same distance as the last copy is taken from so many equal bytes on.
const SHORTEST: usize = 16;

/// How many candidates on either side of the expected place are compared.
const CANDIDATES: usize = 3;

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15 | 1;
const FILTER_BITS: u32 = 23;

/// The target in terms of the base.
pub(super) fn layer(base: &[u8], target: &[u8]) -> Layer {
    let mut writer = Writer {
        target,
        done: 0,
        layer: Layer {
            length: target.len(),
            ..Layer::default()
        },
    };
    let prefix = common_prefix(base, target);
    writer.copy(0, 0, prefix);
    if prefix < target.len() && base.len() >= BLOCK && target.len() - prefix >= BLOCK {
        scan(&mut writer, base, target, prefix);
    }
    writer.finish()
}

struct Writer<'t> {
    target: &'t [u8],
    /// So much of the target is said.
    done: usize,
    layer: Layer,
}

impl Writer<'_> {
    /// `length` bytes of the target from `at` on are those of the base from `from` on; what is before is inserted.
    fn copy(&mut self, at: usize, from: usize, length: usize) {
        if length == 0 {
            return;
        }
        self.step(at, from, length);
    }

    fn step(&mut self, at: usize, from: usize, length: usize) {
        self.layer.inserted.extend_from_slice(&self.target[self.done..at]);
        self.layer.steps.push(Step {
            insert: (at - self.done) as u32,
            copy: length as u32,
            from: from as u32,
        });
        self.done = at + length;
    }

    fn finish(mut self) -> Layer {
        if self.done < self.target.len() {
            let from = self.layer.steps.last().map_or(0, |step| step.from + step.copy);
            self.step(self.target.len(), from as usize, 0);
        }
        self.layer
    }
}

fn scan(writer: &mut Writer<'_>, base: &[u8], target: &[u8], mut at: usize) {
    let index = Index::new(base);
    let leaving = (0..BLOCK).fold(1_u64, |power, _| power.wrapping_mul(FACTOR));
    // Where in the base the place `at` of the target would be if nothing had changed.
    let mut shift = 0_isize;
    'copies: while at + BLOCK <= target.len() {
        let mut hash = hash_of(&target[at..at + BLOCK]);
        loop {
            let straight = at.checked_add_signed(shift).filter(|from| *from < base.len());
            let found = match straight {
                Some(from) if starts_alike(&base[from..], &target[at..]) => Some(from),
                _ => index.find(hash, base, &target[at..], straight.unwrap_or(base.len())),
            };
            if let Some(mut from) = found {
                let length = common_prefix(&base[from..], &target[at..]);
                let mut start = at;
                while start > writer.done && from > 0 && base[from - 1] == target[start - 1] {
                    (start, from) = (start - 1, from - 1);
                }
                let end = at + length;
                writer.copy(start, from, end - start);
                shift = from.cast_signed() - start.cast_signed();
                at = end;
                continue 'copies;
            }
            if at + BLOCK >= target.len() {
                return;
            }
            hash = hash
                .wrapping_mul(FACTOR)
                .wrapping_add(u64::from(target[at + BLOCK]) + 1)
                .wrapping_sub(leaving.wrapping_mul(u64::from(target[at]) + 1));
            at += 1;
        }
    }
}

fn starts_alike(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk::<SHORTEST>(), other.first_chunk::<SHORTEST>()) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn hash_of(block: &[u8]) -> u64 {
    block.iter().fold(0, |hash: u64, byte| {
        hash.wrapping_mul(FACTOR).wrapping_add(u64::from(*byte) + 1)
    })
}

/// Of a hash the bits that depend on all bytes of the block.
fn folded(hash: u64) -> u32 {
    ((hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const STRIDE: usize = 256;
    let length = one.len().min(other.len());
    let mut same = 0;
    while same + STRIDE <= length && one[same..same + STRIDE] == other[same..same + STRIDE] {
        same += STRIDE;
    }
    let rest = one[same..length].iter().zip(&other[same..length]);
    same + rest.take_while(|(one, other)| one == other).count()
}

/// The blocks of a base by their hash.
struct Index {
    /// Folded hash and number of the block, ascending: blocks of one hash lie side by side in their order.
    blocks: Vec<u64>,
    /// Whether any block has these lowest bits of the folded hash: most places of the target have none.
    filter: Vec<u64>,
}

impl Index {
    fn new(base: &[u8]) -> Index {
        let mut filter = vec![0_u64; 1 << (FILTER_BITS - 6)];
        let mut blocks: Vec<u64> = base
            .chunks_exact(BLOCK)
            .enumerate()
            .map(|(number, block)| {
                let folded = folded(hash_of(block));
                let bit = folded & ((1 << FILTER_BITS) - 1);
                filter[(bit >> 6) as usize] |= 1 << (bit & 63);
                u64::from(folded) << 32 | number as u64
            })
            .collect();
        blocks.sort_unstable();
        Index { blocks, filter }
    }

    /// Where in the base the beginning of `rest` (at least a block) is found, nearest to `expected` or with most in
    /// common.
    fn find(&self, hash: u64, base: &[u8], rest: &[u8], expected: usize) -> Option<usize> {
        let folded = folded(hash);
        let bit = folded & ((1 << FILTER_BITS) - 1);
        if self.filter[(bit >> 6) as usize] & 1 << (bit & 63) == 0 {
            return None;
        }
        let first = u64::from(folded) << 32;
        let wanted = first | (expected / BLOCK) as u64;
        let middle = self.blocks.partition_point(|block| *block < wanted);
        let near = &self.blocks[middle.saturating_sub(CANDIDATES)..(middle + CANDIDATES).min(self.blocks.len())];
        near.iter()
            .filter(|block| *block >> 32 == u64::from(folded))
            .map(|block| (block & u64::from(u32::MAX)) as usize * BLOCK)
            .filter(|from| base[*from..*from + BLOCK] == rest[..BLOCK])
            .max_by_key(|from| {
                (
                    common_prefix(&base[*from..], rest),
                    std::cmp::Reverse(from.abs_diff(expected)),
                )
            })
    }
}
