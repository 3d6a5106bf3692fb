//! A build-id that is there, and that no core shows: its program header is put right, and no note moves.

use object::elf;

use super::page::Page;
use super::{Change, Write, id_among, note_among};
use crate::build_id::BuildId;
use crate::elf::{Address, Elf, Notes, Section, Segment};

/// Makes a segment of notes cover the note of the build-id that lies directly behind or in front of it.
pub(super) fn extend(page: &Page<'_, '_>) -> Option<Change> {
    let endian = page.elf.header().endian;
    let mut notes = page.elf.sections().iter().filter(|section| {
        let is_note =
            section.kind == elf::SHT_NOTE && section.is_loaded() && section.has_contents();
        is_note
            && section.range().end <= page.end
            && id_among(Notes::new(endian, 4, section.data)).is_some()
    });
    notes.find_map(|note| {
        let (index, segment) = page.notes().find_map(|(index, segment)| {
            let whole = are_notes(page.elf, page.elf.bytes(segment.range()));
            Some((index, covering(segment, note).filter(|_| whole && segment.align <= 4)?))
        })?;
        Some(Change::of(page.replace(index, &segment)))
    })
}

/// A segment that covers what it covers and a note that touches it, where their addresses touch as well.
fn covering(segment: &Segment, note: &Section<'_>) -> Option<Segment> {
    let sizes = |segment: &Segment| Segment {
        file_size: segment.file_size.saturating_add(note.size),
        memory_size: segment.memory_size.saturating_add(note.size),
        ..segment.clone()
    };
    let behind = segment.range().end == note.offset
        && segment.address.0.checked_add(segment.file_size) == Some(note.address.0);
    let in_front = note.range().end == segment.offset
        && note.address.0.checked_add(note.size) == Some(segment.address.0)
        && note.size.is_multiple_of(4);
    if behind {
        Some(sizes(segment))
    } else if in_front {
        let physical = Address(segment.physical.0.wrapping_sub(note.size));
        Some(Segment { offset: note.offset, address: note.address, physical, ..sizes(segment) })
    } else {
        None
    }
}

/// Makes the alignment of a segment of notes 4, where all its notes read the same either way.
pub(super) fn align(page: &Page<'_, '_>) -> Option<Change> {
    let endian = page.elf.header().endian;
    page.notes().filter(|(_, segment)| segment.align == 8).find_map(|(index, segment)| {
        let bytes = page.elf.bytes(segment.range());
        // Read with 8, what follows the first note that is no multiple of 8 is lost, so this list decides.
        id_among(Notes::new(endian, 4, bytes))?;
        are_notes(page.elf, bytes)
            .then(|| Change::of(page.replace(index, &Segment { align: 4, ..segment.clone() })))
    })
}

/// Whether some bytes are notes to their end where they are read as aligned to 4 bytes, so that another can follow.
pub(super) fn are_notes(elf: &Elf<'_>, bytes: &[u8]) -> bool {
    let mut notes = Notes::new(elf.header().endian, 4, bytes);
    notes.by_ref().for_each(drop);
    bytes.len().is_multiple_of(4) && notes.rest().is_empty()
}

/// Another id in the place of one, as long as it was; `None` where its note is not as it should be.
pub(super) fn rewrite(elf: &Elf<'_>, digest: &[u8]) -> Option<(BuildId, Write)> {
    let (section, note) = elf.sections().iter().find_map(|section| {
        let is_note = section.kind == elf::SHT_NOTE && section.has_contents();
        let notes = Notes::new(elf.header().endian, section.align, section.data);
        Some((section, note_among(notes).filter(|_| is_note)?))
    })?;
    let inside = note.contents.as_ptr().addr().checked_sub(section.data.as_ptr().addr())?;
    let bytes = digest.get(..note.contents.len())?.to_vec();
    let write = Write { offset: section.offset + inside as u64, bytes: bytes.clone() };
    Some((BuildId::from_bytes(&bytes)?, write))
}
