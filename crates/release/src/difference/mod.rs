//! Blobs that are like others, kept as differences: a thousand states of one stack in the space of a few.
//!
//! What a store keeps of a blob is its *representation*: a bare zstd frame of the whole content, or a *difference* —
//! copies out of the content of another blob, its base, and the bytes between them ([`frame`]). A difference names
//! everything that is needed to read it, so that a reader fetches the whole chain at once, and a chain is never applied
//! link by link: its copies are traced down to the blob that is whole, and the content is built once ([`pieces`]).
//!
//! Which base a blob gets is told by its position in the chain (a skip scheme in base [`RADIX`]): the position with its
//! lowest digit that is not zero lowered by one. Of `N` blobs with changes of size `D` between neighbours the chain has
//! at most `(RADIX - 1) · log(N)` links, and all differences together about `N · log(N) · D`. Where the differences that
//! a blob would be read by take more than a quarter of a whole copy in sum ([`pays`]), the blob is kept whole and begins a
//! chain of its own. So a read decompresses little more than a whole copy, however many versions there are: the
//! ten-thousandth version is read as fast as the hundredth.
//!
//! Nothing in a representation is believed: what is read is compared with its address, lengths and counts are bounded
//! before anything is allocated, and a difference is written only after it was read back.

mod frame;
mod matcher;
mod pieces;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{BlobId, StoreError};

use frame::{Difference, Link};
use pieces::Layer;

pub use frame::LONGEST_HEADER;

/// The most that one blob may have, in bytes before compression: far above any state, far below what takes a machine
/// down when a damaged or hostile representation claims to be larger.
pub const LARGEST_BLOB: u64 = 512 << 20;

/// Contents above this many bytes are kept whole: a chain in memory stays below what one largest blob takes.
const LARGEST_LIKE: usize = 128 << 20;

/// Contents below this many bytes are kept whole: a chain would save less than it costs to fetch.
const SMALLEST_LIKE: usize = 8 << 10;

/// The base of the skip scheme.
const RADIX: u32 = 4;

/// Measured with `cargo bench -p rollback-store-local` on a real state of 21 MB: level 3 takes as long as level 1 and
/// leaves 1.4 % of it instead of 2.5 %; level 5 takes four times as long for the same size.
const LEVEL: i32 = 3;

/// Where representations lie. The codec never asks for more than it was told to by what it verifies.
pub trait RawBlobs {
    /// The representation of a blob as it was put; [`StoreError::BlobMissing`] where there is none.
    fn get_raw(&self, id: &BlobId) -> Result<Vec<u8>, StoreError>;

    /// At least the first `length` bytes of it, or all where it is shorter: a store that can fetch a part does.
    fn get_raw_start(&self, id: &BlobId, length: usize) -> Result<Vec<u8>, StoreError> {
        let _ = length;
        self.get_raw(id)
    }

    /// Many at once, in the order given: a store may fetch them in parallel.
    fn get_raw_many(&self, ids: &[BlobId]) -> Vec<Result<Vec<u8>, StoreError>> {
        ids.iter().map(|id| self.get_raw(id)).collect()
    }
}

/// The representation of bytes by themselves: one zstd frame.
pub fn encode_whole(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL)
}

/// The representation of bytes as a difference to a blob of the chain that ends with `like`; `None` where they are
/// better kept whole: because little is alike, because `like` cannot be read, or because they are small or very large.
///
/// What it refers to ([`bases_of`]) must stay in the store: the caller makes it young before it writes the difference.
///
/// Errors: those of [`RawBlobs`] other than a blob that is missing or damaged.
pub fn encode_like(raw: &dyn RawBlobs, bytes: &[u8], like: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
    let id = BlobId::of(bytes);
    if id == *like || !(SMALLEST_LIKE..=LARGEST_LIKE).contains(&bytes.len()) {
        return Ok(None);
    }
    match difference_to(raw, &id, bytes, like, pays) {
        Err(StoreError::BlobMissing { .. } | StoreError::BlobCorrupt { .. }) => Ok(None),
        other => other,
    }
}

/// Whether a difference is worth it: what it and all that it is read through take, and what the whole copy at the end of
/// its chain takes, in bytes where they lie. What it takes itself is part of the chain.
///
/// Measured with the benchmark `storage` on states of 21 MB of which 0.5 % changes, the slowest read in processor time of a
/// plain copy's, and the size as a multiple of one state with the changes: a whole copy 2.8 and 1.2, a half of it 2.1 and
/// 1.7, a third 2.0 and 1.7, a fifth 1.7 and 2.4. Building the content while the whole copy is decompressed bit by bit was
/// tried and is slower.
fn pays(_: usize, chain: usize, whole: usize) -> bool {
    chain <= whole / 4
}

fn difference_to(
    raw: &dyn RawBlobs,
    id: &BlobId,
    bytes: &[u8],
    like: &BlobId,
    pays: fn(usize, usize, usize) -> bool,
) -> Result<Option<Vec<u8>>, StoreError> {
    let chain = Chain::fetch(raw, like)?;
    // The chain as the links of the new blob would have it: `like` first.
    let position = chain.position + 1;
    let wanted = base_position(position);
    let Some(at) = chain.links.iter().position(|link| link.position == wanted) else {
        return Ok(None);
    };
    let links: Vec<Link> = chain.links[at..].to_vec();
    if links.iter().any(|link| link.id == *id) {
        // Its own base: what is there under its address cannot be what it stands on.
        return Ok(None);
    }
    let base = chain.content(at)?;
    if base.len() > LARGEST_LIKE {
        return Ok(None);
    }
    let difference = Difference {
        position,
        links,
        layer: matcher::layer(&base, bytes),
    };
    let Some(stored) = frame::encode(&difference).map_err(|error| StoreError::Unavailable {
        action: "compress".to_owned(),
        place: format!("blob {id}"),
        source: Box::new(error),
        hint: None,
    })?
    else {
        return Ok(None);
    };
    let below: usize = chain.stored[at..].iter().sum();
    if !pays(stored.len(), below + stored.len(), chain.whole_stored) {
        return Ok(None);
    }
    // Read back as any reader would, with the bases that were just fetched: what cannot be read is not written.
    let layers: Vec<&Layer> = std::iter::once(&difference.layer).chain(&chain.layers[at..]).collect();
    Ok(pieces::build(&layers, &chain.whole)
        .is_ok_and(|built| built == bytes)
        .then_some(stored))
}

/// The bytes of a blob, whatever it is kept as, verified against the address.
///
/// Errors: [`StoreError::BlobMissing`] and [`StoreError::BlobCorrupt`] name the very blob that is, which can be one
/// that the asked one stands on.
pub fn decode(raw: &dyn RawBlobs, id: &BlobId) -> Result<Vec<u8>, StoreError> {
    decode_at_most(raw, id, LARGEST_BLOB)
}

/// As [`decode`], for a store with a lower limit than [`LARGEST_BLOB`], in bytes.
pub fn decode_at_most(raw: &dyn RawBlobs, id: &BlobId, largest: u64) -> Result<Vec<u8>, StoreError> {
    let stored = raw.get_raw(id)?;
    if !frame::is_difference(&stored) {
        let bytes = frame::decompress(&stored, largest).map_err(|reason| corrupt(id, reason))?;
        return verified(id, bytes);
    }
    Chain::of(raw, id, stored)?.content(0)
}

/// The blobs without which a representation cannot be read, nearest first; empty for one that is whole. The beginning
/// of the representation suffices ([`LONGEST_HEADER`] bytes).
pub fn bases_of(id: &BlobId, start: &[u8]) -> Result<Vec<BlobId>, StoreError> {
    if !frame::is_difference(start) {
        return Ok(Vec::new());
    }
    let header = frame::header(start).map_err(|reason| corrupt(id, reason))?;
    Ok(header.links.iter().map(|link| link.id).collect())
}

fn corrupt(id: &BlobId, reason: impl Into<String>) -> StoreError {
    StoreError::BlobCorrupt {
        id: *id,
        reason: reason.into(),
    }
}

fn verified(id: &BlobId, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if BlobId::of(&bytes) == *id {
        Ok(bytes)
    } else {
        Err(corrupt(id, "its content has another hash"))
    }
}

/// The position of the base of a position above 0.
fn base_position(position: u32) -> u32 {
    let mut step = 1;
    while position.is_multiple_of(step * RADIX) {
        step *= RADIX;
    }
    position - step
}

/// A blob with everything that it stands on, fetched and parsed.
struct Chain {
    /// Of the blob itself.
    position: u32,
    /// The blob itself, then what it stands on down to the one that is whole.
    links: Vec<Link>,
    /// Of all links but the last.
    layers: Vec<Layer>,
    /// How many bytes each of these takes where it lies.
    stored: Vec<usize>,
    /// The content of the last link, not yet compared with its address.
    whole: Vec<u8>,
    /// How many bytes the last link takes where it lies.
    whole_stored: usize,
}

impl Chain {
    fn fetch(raw: &dyn RawBlobs, id: &BlobId) -> Result<Chain, StoreError> {
        Chain::of(raw, id, raw.get_raw(id)?)
    }

    fn of(raw: &dyn RawBlobs, id: &BlobId, stored: Vec<u8>) -> Result<Chain, StoreError> {
        let mut chain = Chain {
            position: 0,
            links: Vec::new(),
            layers: Vec::new(),
            stored: Vec::new(),
            whole: Vec::new(),
            whole_stored: 0,
        };
        let mut budget = LARGEST_LIKE;
        let mut fetched: BTreeMap<BlobId, Vec<u8>> = BTreeMap::from([(*id, stored)]);
        let mut next = *id;
        loop {
            let bytes = match fetched.remove(&next) {
                Some(bytes) => bytes,
                None => raw.get_raw(&next)?,
            };
            if !frame::is_difference(&bytes) {
                // Also where it was a difference once and has been put again: the rest of the chain is not needed.
                let largest = if chain.layers.is_empty() {
                    LARGEST_BLOB
                } else {
                    LARGEST_LIKE as u64
                };
                chain.whole = frame::decompress(&bytes, largest).map_err(|reason| corrupt(&next, reason))?;
                chain.whole_stored = bytes.len();
                chain.links.push(Link { id: next, position: 0 });
                return Ok(chain);
            }
            let difference = frame::decode(&bytes, &mut budget).map_err(|reason| corrupt(&next, reason))?;
            let position = difference.position;
            if chain.links.is_empty() {
                chain.position = position;
            }
            chain.links.push(Link { id: next, position });
            chain.layers.push(difference.layer);
            chain.stored.push(bytes.len());
            let named: Vec<BlobId> = difference.links.iter().map(|link| link.id).collect();
            // The first one names all the others, as a rule; one that was put again meanwhile goes its own way.
            let unknown: Vec<BlobId> = named.iter().copied().filter(|id| !fetched.contains_key(id)).collect();
            let answers = if unknown.is_empty() {
                Vec::new()
            } else {
                raw.get_raw_many(&unknown)
            };
            for (id, answer) in unknown.iter().zip(answers) {
                match answer {
                    Ok(bytes) => drop(fetched.insert(*id, bytes)),
                    // Maybe it is not needed, where one before it is whole by now: asked for again if it is.
                    Err(StoreError::BlobMissing { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if chain.links.len() > frame::LONGEST_CHAIN || chain.links.iter().any(|link| link.id == named[0]) {
                return Err(corrupt(&next, "what it stands on has no end"));
            }
            next = named[0];
        }
    }

    /// The content of the link at `index`, verified; the error names the first blob from the whole one upwards whose
    /// content is not what its address says.
    fn content(&self, index: usize) -> Result<Vec<u8>, StoreError> {
        let id = &self.links[index].id;
        match self.build(index) {
            Ok(bytes) if BlobId::of(&bytes) == *id => Ok(bytes),
            wrong => {
                for below in (index + 1..self.links.len()).rev() {
                    let base = &self.links[below].id;
                    if self.build(below).map_or(true, |bytes| BlobId::of(&bytes) != *base) {
                        let reason = format!("its content has another hash; blob {id} stands on it");
                        return Err(corrupt(base, reason));
                    }
                }
                Err(corrupt(id, wrong.err().unwrap_or("its content has another hash")))
            }
        }
    }

    fn build(&self, index: usize) -> Result<Vec<u8>, &'static str> {
        if index == self.layers.len() {
            return Ok(self.whole.clone());
        }
        let layers: Vec<&Layer> = self.layers[index..].iter().collect();
        pieces::build(&layers, &self.whole)
    }
}
