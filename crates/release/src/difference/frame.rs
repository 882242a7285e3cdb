//! A difference as bytes.
//!
//! ```text
//! magic        4   89 69 72 64 (no zstd frame begins so)
//! position     4   in its chain, little-endian as all numbers here
//! length       4   of the content
//! links        1   how many; then for each, nearest first:
//!   id        32
//!   position   4
//! payload          a zstd frame: how many steps there are, the steps, the inserted bytes
//! ```
//!
//! A step is three numbers of variable length (seven bits a byte, the lowest first): how many bytes are inserted, how
//! many are copied then, and from where in the base — as the signed distance to where the copy before ended.

use crate::BlobId;

use super::LARGEST_LIKE;
use super::pieces::{Layer, Step};

const MAGIC: [u8; 4] = [0x89, b'i', b'r', b'd'];
const FIXED: usize = 13;
const LINK: usize = 36;

/// The most blobs that one may stand on: with radix 4 enough for sixteen digits.
pub(super) const LONGEST_CHAIN: usize = 49;

/// So many bytes of a representation hold its whole header.
pub const LONGEST_HEADER: usize = FIXED + LONGEST_CHAIN * LINK;

/// The most steps of one difference: a state of 10,000 instances that all changed has some ten thousand.
const MOST_STEPS: u64 = 1 << 20;

/// A difference is small: a high level takes milliseconds and saves a tenth.
const LEVEL: i32 = 12;

/// A blob that another one stands on, with its position in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub id: BlobId,
    pub position: u32,
}

#[derive(Debug)]
pub(super) struct Header {
    pub position: u32,
    /// Of the content, in bytes.
    pub length: usize,
    /// Never empty; the first one is the base.
    pub links: Vec<Link>,
}

pub(super) struct Difference {
    pub position: u32,
    pub links: Vec<Link>,
    pub layer: Layer,
}

/// Whether a representation is a difference; otherwise it is one zstd frame.
pub(super) fn is_difference(stored: &[u8]) -> bool {
    stored.starts_with(&MAGIC)
}

/// `None` where it has too many steps or links to be read again.
pub(super) fn encode(difference: &Difference) -> std::io::Result<Option<Vec<u8>>> {
    let Layer {
        length,
        steps,
        inserted,
    } = &difference.layer;
    let (Ok(links), Ok(length)) = (u8::try_from(difference.links.len()), u32::try_from(*length)) else {
        return Ok(None);
    };
    if difference.links.len() > LONGEST_CHAIN || steps.len() as u64 > MOST_STEPS {
        return Ok(None);
    }
    let mut payload = Vec::with_capacity(steps.len() * 6 + inserted.len() + 8);
    put_number(&mut payload, steps.len() as u64);
    let mut expected = 0_i64;
    for step in steps {
        put_number(&mut payload, u64::from(step.insert));
        put_number(&mut payload, u64::from(step.copy));
        let distance = i64::from(step.from) - expected;
        put_number(&mut payload, ((distance << 1) ^ (distance >> 63)).cast_unsigned());
        expected = i64::from(step.from) + i64::from(step.copy);
    }
    payload.extend_from_slice(inserted);

    let mut stored = Vec::with_capacity(FIXED + difference.links.len() * LINK + payload.len() / 4);
    stored.extend_from_slice(&MAGIC);
    stored.extend_from_slice(&difference.position.to_le_bytes());
    stored.extend_from_slice(&length.to_le_bytes());
    stored.push(links);
    for link in &difference.links {
        stored.extend_from_slice(link.id.as_bytes());
        stored.extend_from_slice(&link.position.to_le_bytes());
    }
    stored.extend(zstd::bulk::compress(&payload, LEVEL)?);
    Ok(Some(stored))
}

/// What stands before the payload. The error says what is wrong with it.
pub(super) fn header(stored: &[u8]) -> Result<Header, &'static str> {
    let cut = "it ends within its header";
    let number = |at: usize| -> Result<u32, &'static str> {
        let bytes: [u8; 4] = stored
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(cut)?;
        Ok(u32::from_le_bytes(bytes))
    };
    let (position, length) = (number(4)?, number(8)? as usize);
    let count = usize::from(*stored.get(12).ok_or(cut)?);
    if length > LARGEST_LIKE {
        return Err("it claims to be larger than any difference");
    }
    if !(1..=LONGEST_CHAIN).contains(&count) {
        return Err("it claims to stand on no blob, or on too many");
    }
    let mut links = Vec::with_capacity(count);
    for index in 0..count {
        let at = FIXED + index * LINK;
        let id: [u8; 32] = stored
            .get(at..at + 32)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(cut)?;
        let id = BlobId::from_bytes(id);
        links.push(Link {
            id,
            position: number(at + 32)?,
        });
    }
    Ok(Header {
        position,
        length,
        links,
    })
}

/// The whole of a difference. `budget` bounds what the payloads of a chain decompress to together, in bytes, and is
/// lowered by what this one takes. The error says what is wrong with it.
pub(super) fn decode(stored: &[u8], budget: &mut usize) -> Result<Difference, String> {
    let Header {
        position,
        length,
        links,
    } = header(stored)?;
    let payload = decompress(&stored[FIXED + links.len() * LINK..], *budget as u64)?;
    *budget -= payload.len();
    let mut rest = payload.as_slice();
    let count = take_number(&mut rest)?;
    if count > MOST_STEPS || count > rest.len() as u64 {
        return Err("it claims more steps than it can have".to_owned());
    }
    let mut steps = Vec::with_capacity(count as usize);
    let (mut expected, mut inserts, mut total) = (0_i64, 0_u64, 0_u64);
    for _ in 0..count {
        let (insert, copy) = (take_number(&mut rest)?, take_number(&mut rest)?);
        let distance = take_number(&mut rest)?;
        let distance = (distance >> 1).cast_signed() ^ -(distance & 1).cast_signed();
        let from = expected
            .checked_add(distance)
            .ok_or("a copy begins outside of its base")?;
        inserts = inserts.saturating_add(insert);
        total = total.saturating_add(insert).saturating_add(copy);
        if total > length as u64 {
            return Err("its steps give more bytes than it claims to have".to_owned());
        }
        // Both are below the length by now; the end of the base is compared once that is known.
        let from = u32::try_from(from).map_err(|_| "a copy begins outside of its base")?;
        steps.push(Step {
            insert: insert as u32,
            copy: copy as u32,
            from,
        });
        expected = i64::from(from) + copy as i64;
    }
    if total != length as u64 || inserts != rest.len() as u64 {
        return Err("its steps do not give the bytes that it claims to have".to_owned());
    }
    let layer = Layer {
        length,
        steps,
        inserted: rest.to_vec(),
    };
    Ok(Difference { position, links, layer })
}

/// Decompresses to at most `largest` bytes. The error says what is wrong.
pub(super) fn decompress(compressed: &[u8], largest: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    // What the frame claims bounds the allocation; the pages of one that lies are never touched.
    if let Some(claimed) = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten() {
        if claimed > largest {
            return Err(format!("it claims to decompress to more than {largest} bytes"));
        }
        return zstd::bulk::decompress(compressed, claimed as usize)
            .map_err(|error| format!("it cannot be decompressed: {error}"));
    }
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::with_buffer(compressed);
    let read = decoder.and_then(|decoder| decoder.take(largest + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("it cannot be decompressed: {error}"))?;
    if bytes.len() as u64 > largest {
        return Err(format!("it decompresses to more than {largest} bytes"));
    }
    Ok(bytes)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, following) = rest.split_first().ok_or("it ends within its steps")?;
        *rest = following;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number in it is too large")
}
