//! `import` blocks of the target whose objects were destroyed since.

use std::path::Path;

use rollback_config::{Configuration, without_block};
use rollback_inverse::import_of;

use crate::error::Result;

/// Takes the blocks of these addresses out of the files of a private folder, and gives for each its address and where it
/// stood. Terraform would not plan at all with a block that names nothing; without it the object is made anew, and where it
/// is managed the block says nothing. One that stands for several objects is left, as is one in a downloaded module.
///
/// # Errors
/// A file cannot be written.
pub(super) fn leave_out(tree: &Path, configuration: &Configuration, addresses: &[String]) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    for text in addresses {
        let Ok(address) = text.parse() else { continue };
        let Some(import) = import_of(configuration, &address).filter(|import| import.for_each.is_none()) else {
            continue;
        };
        let path = tree.join(&import.at.file);
        let Ok(file) = std::fs::read_to_string(&path) else {
            continue;
        };
        if let Some(without) = without_block(&file, &import.at) {
            super::write(&path, without.as_bytes())?;
            left_out.push(format!(
                "{text}: what the import block at {} names does not exist any more: it is made anew, without that block",
                import.at
            ));
        }
    }
    Ok(left_out)
}
