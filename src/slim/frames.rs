//! Whether `.debug_frame` describes code that `.eh_frame` does not.
//!
//! musl's and Go's call frame information stands in `.debug_frame` alone: without it a backtrace ends after a few
//! frames when the debug file is not at hand. It costs one or two percent, so there it stays in both files.

use std::collections::HashMap;
use std::ops::Range;

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EndianSlice,
    RunTimeEndian, UnwindOffset, UnwindSection,
};

use crate::elf::{Elf, Error, SectionId};
use crate::inspect::byte_order;

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The section `.debug_frame`, where an entry of it covers code that `.eh_frame` does not.
///
/// Frame information that cannot be read covers nothing, and is no error: nothing depends on it here.
pub(super) fn unwinds_alone(elf: &Elf<'_>) -> Result<Option<SectionId>, Error> {
    let Some(section) = elf.debug_section(b".debug_frame").filter(|section| !section.is_loaded())
    else {
        return Ok(None);
    };
    let endian = byte_order(elf);
    let address_size = if elf.is_64() { 8 } else { 4 };
    let contents = elf.contents(section)?;
    let mut debug = DebugFrame::new(&contents, endian);
    debug.set_address_size(address_size);
    let mut bases = BaseAddresses::default();
    let mut covered = Vec::new();
    if let Some(eh_frame) = elf.section_named(b".eh_frame") {
        bases = bases.set_eh_frame(eh_frame.address.0);
        if let Some(text) = elf.section_named(b".text") {
            bases = bases.set_text(text.address.0);
        }
        let mut frames = EhFrame::new(eh_frame.data, endian);
        frames.set_address_size(address_size);
        covered = ranges(&frames, &bases);
    }
    covered.sort_by_key(|range| range.start);
    let alone = ranges(&debug, &bases).into_iter().any(|range| {
        let after = covered.partition_point(|other| other.start <= range.start);
        let before = after.checked_sub(1).and_then(|index| covered.get(index));
        before.is_none_or(|before| before.end <= range.start)
    });
    Ok(alone.then_some(section.id))
}

/// The addresses that the entries cover, up to the first that cannot be read. An entry at address 0 is
/// what a linker leaves of code it removed.
fn ranges<'a, S>(frames: &S, bases: &BaseAddresses) -> Vec<Range<u64>>
where
    S: UnwindSection<Reader<'a>>,
    S::Offset: UnwindOffset<usize>,
{
    let mut entries = frames.entries(bases);
    let mut ranges = Vec::new();
    // Each is read once, however long it is and however many entries share it.
    let mut common = HashMap::new();
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let entry = partial.parse(|frames, bases, offset| {
            let at: usize = UnwindOffset::into(offset);
            if let Some(known) = common.get(&at) {
                return Ok(CommonInformationEntry::clone(known));
            }
            let read = frames.cie_from_offset(bases, offset)?;
            common.insert(at, read.clone());
            Ok(read)
        });
        let Ok(entry) = entry else { break };
        if entry.initial_address() != 0 && entry.len() != 0 {
            ranges
                .push(entry.initial_address()..entry.initial_address().saturating_add(entry.len()));
        }
    }
    ranges
}
