//! Names that follow from what they are for: the same for the same, and for nothing else.

use sha2::{Digest, Sha256};

/// Sixteen hexadecimal digits of the parts, told apart by their lengths.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
