//! A build-id that is missing: a note of its own, in bytes of the first page that nothing uses.

use object::elf;

use super::page::Page;
use super::repair::are_notes;
use super::{Change, NewNote, Write, abi_tag, note_bytes};
use crate::build_id::BuildId;
use crate::elf::{Address, Elf, Notes, Place, Section, Segment};

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
        let whole = are_notes(page.elf, page.elf.bytes(segment.range()));
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
        let mut writes = vec![
            page.map_up_to(offset + size)?,
            page.replace(index, &longer),
            Write { offset, bytes: note.to_vec() },
        ];
        let shares = |section: &&Section<'_>| {
            section.kind == elf::SHT_NOTE
                && (section.offset, section.address) == (segment.offset, segment.address)
                && section.size == segment.file_size
        };
        if let Some(shared) = page.elf.sections().iter().find(shares).filter(|_| page.is_stripped())
        {
            let place = (start, longer.address.0, longer.file_size);
            writes.push(page.section_at(shared, place));
            return Some(Change { writes, moved: Some(shared.id), ..Change::default() });
        }
        Some(Change { writes, note: page.note(offset, note.to_vec()), ..Change::default() })
    })
}

/// Adds a program header behind the last, and the note behind that: musl.
pub(super) fn append(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let note = note_bytes(page.elf, id);
    let headers = page.elf.segments_range();
    let behind = headers.end..headers.end + page.segment_header_size();
    let (table_moves, offset) = [false, true].into_iter().find_map(|moves| {
        let room = || page.room(behind.end, 4, note.len() as u64, moves);
        Some((moves, page.is_free(&behind, moves).then(room)??))
    })?;
    let change = with_one_more(page, headers.start, offset, note)?;
    Some(Change { table_moves, ..change })
}

/// Moves the program headers to where there is room for one more, and for the note behind that.
pub(super) fn move_headers(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let elf = page.elf;
    let note = note_bytes(elf, id);
    let headers = elf.segments_range();
    let longer = headers.end - headers.start + page.segment_header_size();
    let table = page.room(0, elf.encoder().address_size(), longer + note.len() as u64, false)?;
    let change = with_one_more(page, table, table + longer, note)?;
    let header = elf.with_segments_at(elf.bytes(0..elf.header_size()).to_vec(), table);
    let mut writes = change.writes;
    writes.push(Write { offset: 0, bytes: header });
    Some(Change { writes, ..change })
}

/// The program headers at an offset, and one more for a note at another.
fn with_one_more(page: &Page<'_, '_>, table: u64, offset: u64, note: Vec<u8>) -> Option<Change> {
    let elf = page.elf;
    let size = note.len() as u64;
    let count = elf.segments().len() + 1;
    // gABI, "e_phnum": the number PN_XNUM would mean another.
    let number = u16::try_from(count).ok().filter(|number| *number < elf::PN_XNUM)?;
    let (index, load) = page.mapping_up_to(offset + size)?;
    let mut segments = elf.segments().to_vec();
    *segments.get_mut(index)? = load;
    let covering = |kind, offset: u64, size: u64| {
        let address = page.address(offset)?;
        let physical = page.physical(offset);
        let (file_size, memory_size) = (size, size);
        let (flags, align) = (elf::PF_R, 4);
        Some(Segment { kind, flags, offset, address, physical, file_size, memory_size, align })
    };
    for own in segments.iter_mut().filter(|segment| segment.kind == elf::PT_PHDR) {
        let (flags, align) = (own.flags, own.align);
        let size = page.segment_header_size() * count as u64;
        *own = Segment { flags, align, ..covering(own.kind, table, size)? };
    }
    segments.push(covering(elf::PT_NOTE, offset, size)?);
    let headers = segments.iter().flat_map(|segment| elf.program_header(segment)).collect();
    let writes = vec![
        Write { offset: table, bytes: headers },
        Write { offset: elf.segment_count_field().start, bytes: elf.half(number).to_vec() },
        Write { offset, bytes: note.clone() },
    ];
    Some(Change { writes, note: page.note(offset, note), ..Change::default() })
}

/// Writes the note over the one that says for which system the program is, `.note.ABI-tag`, which is as long.
pub(super) fn overwrite(page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
    let elf = page.elf;
    let new = note_bytes(elf, id);
    page.notes().find_map(|(index, segment)| {
        let bytes = elf.bytes(segment.range());
        let notes = Notes::new(elf.header().endian, segment.align, bytes);
        let tag = abi_tag(notes)?;
        let inside = tag.contents.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        // gABI, "Note Section": three words and the owner are in front of the contents.
        let start = inside.checked_sub(new.len() - id.as_bytes().len())?;
        let offset = segment.offset + start as u64;
        let mut writes = vec![Write { offset, bytes: new.clone() }];
        if segment.align > 4 {
            let aligned = Segment { align: 4, ..segment.clone() };
            writes.push(page.replace(index, &aligned));
        }
        let fits = tag.contents.len() == id.as_bytes().len()
            && (segment.align <= 4 || are_notes(elf, bytes));
        fits.then(|| Change { writes, ..Change::default() })
    })
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
            && are_notes(page.elf, only.data);
        if !moves {
            return None;
        }
        let size = only.size + note.len() as u64;
        let offset = page.room(0, 4, size, false)?;
        let moved = Segment {
            offset,
            address: page.address(offset)?,
            physical: page.physical(offset),
            file_size: size,
            memory_size: size,
            ..segment.clone()
        };
        let mut writes = vec![
            page.map_up_to(offset + size)?,
            page.replace(index, &moved),
            Write { offset, bytes: [only.data, &note].concat() },
        ];
        writes.extend(symbols_at(page.elf, only, moved.address)?);
        if page.is_stripped() {
            writes.push(page.section_at(only, (offset, moved.address.0, size)));
            return Some(Change { writes, moved: Some(only.id), ..Change::default() });
        }
        writes.push(page.section_at(only, (offset, moved.address.0, only.size)));
        let note = page.note(offset + only.size, note.clone());
        Some(Change { writes, note, moved: Some(only.id), ..Change::default() })
    })
}

/// The symbols of a section that moves to an address, such as glibc's `__abi_tag`; `None` where they cannot be read.
fn symbols_at(elf: &Elf<'_>, section: &Section<'_>, address: Address) -> Option<Vec<Write>> {
    let Some(table) = elf.symbols(elf::SHT_SYMTAB).ok()? else { return Some(Vec::new()) };
    let start = elf.section(table.section)?.offset;
    let its = table.iter().filter(|symbol| symbol.place == Place::Section(section.id));
    let writes = its.map(|symbol| {
        let value = symbol.value.wrapping_sub(section.address.0).wrapping_add(address.0);
        let offset = start + table.value_field(symbol.index).start;
        Write { offset, bytes: Address(value).encode(elf) }
    });
    Some(writes.collect())
}

/// A note that nothing loads: whoever has the file finds it.
pub(super) fn unloaded(elf: &Elf<'_>, id: &BuildId) -> Change {
    let note = NewNote { contents: note_bytes(elf, id), place: None };
    Change { note: Some(note), ..Change::default() }
}
