//! A build-id that is missing: a note of its own, in bytes of the first page that nothing uses.

use object::elf;

use super::page::Page;
use super::{Change, NewNote, Write, note_bytes};
use crate::build_id::BuildId;
use crate::elf::{Elf, Segment};

/// Puts the note directly in front of a segment of notes that it then belongs to: Go before 1.24.
pub(super) fn extend_front(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let note = note_bytes(page.elf, id);
    extend(page, &note, |segment| segment.offset.checked_sub(note.len() as u64))
}

/// The same, directly behind one.
pub(super) fn extend_behind(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    extend(page, &note_bytes(page.elf, id), |segment| Some(segment.range().end))
}

fn extend(
    page: &Page<'_, '_>,
    note: &[u8],
    at: impl Fn(&Segment) -> Option<u64>,
) -> Option<Change> {
    let size = note.len() as u64;
    page.notes().filter(|(_, segment)| segment.align <= 4).find_map(|(index, segment)| {
        let offset = at(segment)?;
        let whole = segment.file_size.is_multiple_of(4);
        let mapped = page.address(segment.offset) == Some(segment.address);
        if !whole || !mapped || !page.is_free(&(offset..offset + size), false) {
            return None;
        }
        let start = offset.min(segment.offset);
        let longer = Segment {
            offset: start,
            address: page.address(start)?,
            physical: page.physical(start),
            file_size: segment.file_size + size,
            memory_size: segment.memory_size + size,
            ..segment.clone()
        };
        let mut writes = page.map_up_to(offset + size)?;
        writes.push(page.replace(index, &longer));
        writes.push(Write { offset, bytes: note.to_vec() });
        Some(Change { writes, note: page.note(offset, note.to_vec()), ..Change::default() })
    })
}

/// Adds a program header behind the last, and the note behind that: musl.
pub(super) fn append(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let elf = page.elf;
    let note = note_bytes(elf, id);
    let (headers, size) = (elf.segments_range(), note.len() as u64);
    let count = elf.segments().len();
    let entry = (headers.end - headers.start) / count as u64;
    let behind = headers.end..headers.end + entry;
    // gABI, "e_phnum": the number PN_XNUM would mean another.
    let number = u16::try_from(count + 1).ok().filter(|number| *number < elf::PN_XNUM)?;
    let table_moves = [false, true].into_iter().find(|&moves| {
        page.is_free(&behind, moves) && page.room(behind.end, size, moves).is_some()
    })?;
    let offset = page.room(behind.end, size, table_moves)?;
    let mut writes = page.map_up_to(offset + size)?;
    let segment = Segment {
        kind: elf::PT_NOTE,
        flags: elf::PF_R,
        offset,
        address: page.address(offset)?,
        physical: page.physical(offset),
        file_size: size,
        memory_size: size,
        align: 4,
    };
    writes.push(page.replace(count, &segment));
    for (index, own) in elf.segments().iter().enumerate() {
        if own.kind == elf::PT_PHDR {
            let sizes = (own.file_size + entry, own.memory_size.checked_add(entry)?);
            let own = Segment { file_size: sizes.0, memory_size: sizes.1, ..own.clone() };
            writes.push(page.replace(index, &own));
        }
    }
    writes
        .push(Write { offset: elf.segment_count_field().start, bytes: elf.half(number).to_vec() });
    writes.push(Write { offset, bytes: note.clone() });
    Some(Change { writes, note: page.note(offset, note), table_moves, ..Change::default() })
}

/// Moves a segment that is one note, `.note.ABI-tag`, to where there is room behind it: static glibc.
pub(super) fn relocate(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let note = note_bytes(page.elf, id);
    page.notes().filter(|(_, segment)| segment.align <= 4).find_map(|(index, segment)| {
        let mut inside = page.elf.sections().iter().filter(|section| {
            let range = section.range();
            !range.is_empty() && range.start < segment.range().end && segment.offset < range.end
        });
        let (only, None) = (inside.next()?, inside.next()) else { return None };
        let moves = only.kind == elf::SHT_NOTE
            && only.range() == segment.range()
            && only.address == segment.address
            && only.size.is_multiple_of(4);
        if !moves {
            return None;
        }
        let size = only.size + note.len() as u64;
        let offset = page.room(0, size, false)?;
        let moved = Segment {
            offset,
            address: page.address(offset)?,
            physical: page.physical(offset),
            file_size: size,
            memory_size: size,
            ..segment.clone()
        };
        let mut header = only.header();
        (header.sh_offset, header.sh_addr) = (offset, moved.address.0);
        let mut row = Vec::new();
        page.elf.encoder().section_header(&mut row, &header);
        let row_at =
            page.elf.sections_range().start + u64::from(only.id.0) * page.elf.section_header_size();
        let mut writes = page.map_up_to(offset + size)?;
        writes.push(page.replace(index, &moved));
        writes.push(Write { offset, bytes: [only.data, &note].concat() });
        writes.push(Write { offset: row_at, bytes: row });
        let note = page.note(offset + only.size, note.clone());
        Some(Change { writes, note, moved: Some(only.id), ..Change::default() })
    })
}

/// A note that nothing loads: whoever has the file finds it.
pub(super) fn unloaded(elf: &Elf<'_>, id: &BuildId) -> Change {
    let note = NewNote { contents: note_bytes(elf, id), place: None };
    Change { note: Some(note), ..Change::default() }
}
