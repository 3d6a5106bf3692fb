//! A new build-id: from what a program is, so that the same program always gets the same.

use object::elf;
use sha2::{Digest as _, Sha256};

use crate::elf::{Elf, Section};

/// The SHA-256 over the loaded sections in their order, of each its address, its size (64 bits, little-endian) and its
/// contents; `None` where nothing is loaded, or more than the file has.
///
/// Notes are left out, because the id is in one, and so are headers, which change with it: the digest is the same before
/// and after the id is put in, and before and after anything is stripped.
pub(super) fn derive(elf: &Elf<'_>) -> Option<[u8; 32]> {
    let mut hasher = Sha256::new();
    // Headers can name the same bytes thousands of times.
    let mut left = elf.len();
    let counts = |section: &&Section<'_>| {
        section.is_loaded() && !matches!(section.kind, elf::SHT_NULL | elf::SHT_NOTE)
    };
    for section in elf.sections().iter().filter(counts) {
        left = left.checked_sub(section.file_size())?;
        hasher.update(section.address.0.to_le_bytes());
        hasher.update(section.size.to_le_bytes());
        hasher.update(section.data);
    }
    (left != elf.len()).then(|| hasher.finalize().into())
}
