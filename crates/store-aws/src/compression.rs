//! What a compressed value holds, read without believing what it claims.

use std::io::Read;

use rollback_release::difference::LARGEST_BLOB;

/// What compressed bytes hold, or why they are none.
pub(crate) fn decompress(compressed: &[u8]) -> Result<Vec<u8>, String> {
    // What the frame claims is a hint for the allocation and no more.
    let claimed = zstd::zstd_safe::get_frame_content_size(compressed)
        .ok()
        .flatten()
        .unwrap_or(0);
    let mut bytes = Vec::with_capacity(usize::try_from(claimed.min(LARGEST_BLOB)).unwrap_or(0));
    let decoder = zstd::Decoder::with_buffer(compressed);
    decoder
        .and_then(|decoder| decoder.take(LARGEST_BLOB + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be decompressed: {error}"))?;
    if bytes.len() as u64 > LARGEST_BLOB {
        return Err(format!("decompresses to more than {LARGEST_BLOB} bytes"));
    }
    Ok(bytes)
}
