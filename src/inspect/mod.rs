//! Elf → facts: for which platform it is, how it is linked, what debug information it holds.

pub mod go;
mod payload;
mod platform;
mod split;

use object::elf;
use sha2::{Digest as _, Sha256};

pub use payload::{Payload, PayloadKind, payload};
pub use platform::{Libc, Machine, Platform, UnknownPlatform, machine};
pub(crate) use split::byte_order;
pub use split::{NoIndex, SplitUnits};

use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::elf::Elf;

/// The GNU build-id of a file, from its note; the first where there are several.
pub fn build_id(elf: &Elf<'_>) -> Option<BuildId> {
    let note =
        elf.notes().find(|note| note.owner == b"GNU" && note.kind == elf::NT_GNU_BUILD_ID.0)?;
    BuildId::from_bytes(note.contents)
}

/// What the Go linker wrote about the build; `None` where the file is not Go's or the record is damaged.
pub fn go_build(elf: &Elf<'_>) -> Option<go::BuildInfo> {
    let section = elf.section_named(b".go.buildinfo")?;
    let read = |address, len| elf.bytes_at(crate::elf::Address(address), len);
    go::parse(section.data, &read).ok()
}

/// Whether there is DWARF in the file: contents, not headers alone.
pub fn has_debug_info(elf: &Elf<'_>) -> bool {
    let found = [b".debug_info", b".debug_line"].map(|name| elf.debug_section(name));
    found.into_iter().flatten().any(|section| section.has_contents() && !section.is_loaded())
}

/// The SHA-256 over the bytes under the segments, in the order of the program headers, with the fields of the
/// ELF header that locate the section header table as zeros: equal before and after slimming, and different for
/// two programs even where they share a build-id.
pub fn load_digest(elf: &Elf<'_>) -> Digest {
    let masked = elf.masked_header_fields();
    let header_size = elf.header_size() as usize;
    let mut hasher = Sha256::new();
    for segment in elf.segments() {
        let range = segment.range();
        let bytes = elf.bytes(range.clone());
        if range.start >= header_size as u64 {
            hasher.update(bytes);
            continue;
        }
        let (head, rest) = bytes.split_at(bytes.len().min(header_size - range.start as usize));
        let offsets = range.start..;
        let head: Vec<u8> = (offsets.zip(head))
            .map(
                |(offset, &byte)| {
                    if masked.iter().any(|field| field.contains(&offset)) { 0 } else { byte }
                },
            )
            .collect();
        hasher.update(head);
        hasher.update(rest);
    }
    Digest::from_bytes(hasher.finalize().into())
}
