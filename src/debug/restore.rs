//! A slim file and its debug file → the input that they were made of, to show that nothing was lost.
//!
//! Bit for bit where the debug file says how the input was laid out and has its sections as they were, or
//! compressed when they were not. Otherwise (another tool's debug file, recompressed sections, names that were
//! merged) the sections are laid out anew: equal by contents.

use std::borrow::Cow;
use std::ops::Range;

use object::elf;
use object::write::elf::SectionHeader;

use super::checksum::{self, Checksums};
use super::origin::{Moved, Origin};
use crate::build_id::BuildId;
use crate::elf::{Elf, Error, Framing, Section, SectionTable, overlaps};
use crate::identity::FIRST_PAGE;
use crate::inspect;
use crate::slim::{DebugLink, Holds, Layout, Piece};

/// What came of two halves.
#[derive(Debug, Clone)]
pub struct Restored<'data> {
    /// The file.
    pub layout: Layout<'data>,
    /// Whether it is the input bit for bit: the length and the checksum that the debug file states.
    pub exact: bool,
}

/// Why two files do not make an input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unrestorable {
    /// One of them is damaged.
    #[error(transparent)]
    Elf(#[from] Error),
    /// The first file is a debug file, or the second is none.
    #[error("{0}")]
    Kind(&'static str),
    /// The two come from different builds.
    #[error(
        "the two do not belong together: their {what} differ (build-ids {} and {})",
        show(slim),
        show(debug)
    )]
    Strangers {
        /// In what they differ.
        what: &'static str,
        /// The slim file's.
        slim: Option<BuildId>,
        /// The debug file's.
        debug: Option<BuildId>,
    },
    /// The contents of a section are in neither file.
    #[error("the section {section} is in neither file: it was dropped")]
    Dropped {
        /// Its name.
        section: String,
    },
    /// The record in the debug file asks for what cannot be.
    #[error("the debug file's record of its input contradicts itself at {offset:#x}")]
    Record {
        /// Where in the input.
        offset: u64,
    },
    /// The slim file loads other bytes than the one that the debug file was made with.
    #[error(
        "what the slim file loads has the checksum {found:08x}, and had {expected:08x} when it was made"
    )]
    Loaded {
        /// That of the slim file.
        found: u32,
        /// As the debug file states it.
        expected: u32,
    },
    /// What was put together is not what the debug file's checksum is of.
    #[error("the result has the checksum {found:08x}, and the input had {expected:08x}")]
    Checksum {
        /// That of the result.
        found: u32,
        /// That of the input, as the debug file states it.
        expected: u32,
    },
}

fn show(id: &Option<BuildId>) -> String {
    id.as_ref().map_or("none".to_owned(), ToString::to_string)
}

/// A section of the input: its header, and the contents where a file has them.
struct Part<'data> {
    header: SectionHeader,
    data: Option<Cow<'data, [u8]>>,
    /// Whether the contents have the form and length that the input had.
    as_it_was: bool,
}

/// Puts the input together again.
pub fn restore<'data>(
    slim: &Elf<'data>,
    debug: &Elf<'data>,
) -> Result<Restored<'data>, Unrestorable> {
    belong_together(slim, debug)?;
    let origin = Origin::read(debug.data());
    if let Some(expected) = origin.as_ref().map(|origin| origin.loaded) {
        let found = checksum::loaded(slim);
        if found != expected {
            return Err(Unrestorable::Loaded { found, expected });
        }
    }
    let parts = parts(slim, debug, origin.as_ref())?;
    // From here every section of the input has its header and its contents.
    let complete = parts.iter().all(|part| part.as_it_was);
    let Some(origin) = origin.as_ref().filter(|_| complete) else {
        let layout = anew(slim, debug, origin.as_ref(), parts)?;
        return Ok(Restored { layout, exact: false });
    };
    let layout = as_it_was(slim, origin, parts)?;
    let found = Checksums::default().of_layout(&layout);
    if found != origin.crc {
        return Err(Unrestorable::Checksum { found, expected: origin.crc });
    }
    Ok(Restored { layout, exact: true })
}

fn belong_together(slim: &Elf<'_>, debug: &Elf<'_>) -> Result<(), Unrestorable> {
    if slim.is_debug_file() {
        return Err(Unrestorable::Kind("the first file is a debug file; give the slim file first"));
    }
    if !debug.is_debug_file() {
        return Err(Unrestorable::Kind("the second file is no debug file"));
    }
    let ids = (inspect::build_id(slim), inspect::build_id(debug));
    let link = DebugLink::of(slim);
    let linked = link.is_none_or(|link| link.crc == checksum::checksum(debug.data()));
    let what = if ids.0 != ids.1 {
        "build-ids"
    } else if slim.segments().len() != debug.segments().len() {
        "program headers"
    } else if !linked {
        "debuglink and debug file"
    } else {
        return Ok(());
    };
    Err(Unrestorable::Strangers { what, slim: ids.0, debug: ids.1 })
}

/// The sections of the input: those of the debug file, with the slim file's contents where it has none.
fn parts<'data>(
    slim: &Elf<'data>,
    debug: &Elf<'data>,
    origin: Option<&Origin>,
) -> Result<Vec<Part<'data>>, Unrestorable> {
    let count = origin.map_or(debug.sections().len(), |origin| origin.section_count as usize);
    let mut moved = origin.iter().flat_map(|origin| &origin.sections).peekable();
    // The slim file has the input's sections in their order, without those that left.
    let mut kept = slim.sections().iter().skip(1).peekable();
    let mut parts = Vec::new();
    for section in debug.sections().iter().take(count) {
        let mut header = section.header();
        let original = moved.next_if(|moved| moved.section == section.id);
        if let Some(Moved { name, flags, offset, size, align, .. }) = original {
            header.sh_name = *name;
            header.sh_flags = elf::SectionFlags(*flags);
            (header.sh_offset, header.sh_size, header.sh_addralign) = (*offset, *size, *align);
        }
        let same = |kept: &&Section<'data>| {
            (kept.debug_name(), kept.address) == (section.debug_name(), section.address)
                && section.id.0 != 0
        };
        // A note that was put somewhere for a build-id is elsewhere in that order, and the debug file has all notes.
        let passed = |kept: &&Section<'data>| {
            kept.kind == elf::SHT_NOTE && section.kind != elf::SHT_NOTE && !same(kept)
        };
        while kept.next_if(passed).is_some() {}
        let kept = kept.next_if(same);
        if let Some(kept) = kept.filter(|kept| kept.is_loaded() && origin.is_none()) {
            header.sh_offset = kept.offset;
        }
        let mut data = if section.has_contents() {
            let gnu = was_gnu_compressed(debug, section, header.sh_name);
            Some(contents(debug, section, &header, gnu)?)
        } else if let Some(kept) = kept {
            header.sh_type = kept.kind;
            kept.has_contents().then_some(Cow::Borrowed(kept.data))
        } else if section.size != 0 && section.kind == elf::SHT_NOBITS && !section.is_loaded() {
            return Err(Unrestorable::Dropped { section: section.display_name() });
        } else {
            None
        };
        // Behind the names of the input's sections may be some of the debug file's own.
        let is_names = debug.header().section_names == Some(section.id);
        let len = data.as_ref().map_or(header.sh_size, |data| data.len() as u64);
        let as_it_was = (len == header.sh_size || is_names && len > header.sh_size)
            && (!was_compressed(&header) || section.is_compressed());
        if !as_it_was {
            // It stays as the debug file has it.
            if section.has_contents() {
                data = Some(Cow::Borrowed(section.data));
            }
            header.sh_name = section.name_offset;
            (header.sh_flags, header.sh_addralign) = (section.flags, section.align);
        }
        parts.push(Part { header, data, as_it_was });
    }
    Ok(parts)
}

/// The contents of a section of the debug file, decompressed or in GNU's form where the input had them so.
fn contents<'data>(
    debug: &Elf<'data>,
    section: &Section<'data>,
    original: &SectionHeader,
    gnu: bool,
) -> Result<Cow<'data, [u8]>, Error> {
    if was_compressed(original) {
        return Ok(Cow::Borrowed(section.data));
    }
    match debug.compressed(section)?.filter(|_| gnu) {
        Some(now) => Ok(Cow::Owned([&Framing::gnu_header(now.size), now.stream].concat())),
        None => debug.contents(section),
    }
}

/// Whether a section of the debug file was compressed in GNU's form in the input: it had a name of its own for that.
fn was_gnu_compressed(debug: &Elf<'_>, section: &Section<'_>, original_name: u32) -> bool {
    let rest = section.name.strip_prefix(b".debug_");
    let name = rest.map(|rest| [b".zdebug_", rest].concat());
    name.is_some() && name.as_deref() == debug.section_name_at(original_name)
}

fn was_compressed(original: &SectionHeader) -> bool {
    original.sh_flags.0 & elf::SHF_COMPRESSED.0 != 0
}

/// Every byte where it was.
fn as_it_was<'data>(
    slim: &Elf<'data>,
    origin: &Origin,
    parts: Vec<Part<'data>>,
) -> Result<Layout<'data>, Unrestorable> {
    let loaded = slim.loaded_ranges();
    let loaded_end = loaded.last().map_or(0, |range| range.end);
    let free = |range: &Range<u64>| overlaps(range, &loaded) != Some(true);
    let mut pieces: Vec<(u64, Piece<'data>)> = Vec::new();
    let mut headers = Vec::new();
    let encoder = slim.encoder();
    for part in parts {
        encoder.section_header(&mut headers, &part.header);
        let Some(data) = part.data else { continue };
        let data = first(data, part.header.sh_size);
        let offset = part.header.sh_offset;
        let range = offset..offset.saturating_add(data.len() as u64);
        // What is loaded is where it was.
        if free(&range) {
            pieces.push((offset, piece(data)));
        }
    }
    pieces.extend(loose(slim, loaded_end, origin)?);
    if free(&(origin.sections_offset..origin.sections_offset.saturating_add(headers.len() as u64)))
    {
        pieces.push((origin.sections_offset, Piece::Made(headers)));
    }
    let head = head(slim, &origin.bytes)?;
    for range in &loaded {
        let at = range.start.max(head.len() as u64);
        pieces.push((at, Piece::Copied(slim.bytes(at..range.end))));
    }
    pieces.push((0, Piece::Made(head)));
    pieces.retain(|(_, piece)| !piece.is_empty());
    pieces.sort_by_key(|(offset, _)| *offset);
    let held: u64 = pieces.iter().map(|(_, piece)| piece.len()).sum();
    // Zeros that a linker leaves between sections are few; a record could ask for any number.
    if origin.size > held.saturating_mul(2).saturating_add(GAPS) {
        return Err(Unrestorable::Record { offset: held });
    }
    let mut layout = Layout::default();
    for (offset, piece) in pieces {
        if layout.len() > offset || offset > origin.size {
            return Err(Unrestorable::Record { offset });
        }
        layout.pad_to(offset);
        layout.push(piece, Holds::Everything);
    }
    if layout.len() > origin.size {
        return Err(Unrestorable::Record { offset: origin.size });
    }
    layout.pad_to(origin.size);
    Ok(layout)
}

/// The beginning of the file, as far as the slim file differs from the input: the loaded bytes of the first page.
fn head(slim: &Elf<'_>, bytes: &[(u64, Vec<u8>)]) -> Result<Vec<u8>, Unrestorable> {
    let first = slim.loaded_ranges().first().map_or(0, |range| range.end);
    let mut head = slim.bytes(0..first.min(FIRST_PAGE)).to_vec();
    for (offset, contents) in bytes {
        let end = offset.saturating_add(contents.len() as u64);
        let place = usize::try_from(*offset).ok().zip(usize::try_from(end).ok());
        let place = place.and_then(|(start, end)| head.get_mut(start..end));
        place.ok_or(Unrestorable::Record { offset: *offset })?.copy_from_slice(contents);
    }
    Ok(head)
}

/// So many bytes of zeros may lie between sections beside the size of what there is.
const GAPS: u64 = 64 << 20;

/// The bytes of no section. Below the last loaded byte they did not move; what followed the image still does; the
/// others follow the section that they stood behind.
fn loose<'data>(
    slim: &Elf<'data>,
    loaded_end: u64,
    origin: &Origin,
) -> Result<Vec<(u64, Piece<'data>)>, Unrestorable> {
    let spans = slim.map();
    let mut moved = spans.unowned(slim).map(|span| span.range.clone());
    // What is left of the stretch that the last ones were found in: the section between two may have left.
    // What is zeros there aligns the next section.
    let mut rest = 0..0;
    let holds = |rest: &Range<u64>, size: u64| {
        let first = rest.start..rest.start.saturating_add(size);
        first.end <= rest.end && slim.bytes(first).iter().any(|&byte| byte != 0)
    };
    let pieces = origin.loose.iter().map(|range| {
        let size = range.end - range.start;
        let from = if range.end <= loaded_end {
            Some(range.start)
        } else if range.end == origin.size {
            slim.len().checked_sub(size)
        } else {
            while rest.start < loaded_end || !holds(&rest, size) {
                rest = moved.next().ok_or(Unrestorable::Record { offset: range.start })?;
            }
            let from = rest.start;
            rest.start += size;
            Some(from)
        };
        let bytes = from.map(|from| slim.bytes(from..from.saturating_add(size)));
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == size);
        let bytes = bytes.ok_or(Unrestorable::Record { offset: range.start })?;
        Ok((range.start, Piece::Copied(bytes)))
    });
    pieces.collect()
}

/// The sections laid out anew behind the loaded bytes.
fn anew<'data>(
    slim: &Elf<'data>,
    debug: &Elf<'data>,
    origin: Option<&Origin>,
    parts: Vec<Part<'data>>,
) -> Result<Layout<'data>, Unrestorable> {
    let loaded = slim.loaded_ranges();
    let loaded_end = loaded.last().map_or(0, |range| range.end);
    let mut layout = Layout::default();
    let bytes = origin.map(|origin| origin.bytes.as_slice()).unwrap_or_default();
    let mut head = head(slim, bytes)?;
    let rest = head.split_off(head.len().min(slim.header_size() as usize));
    layout.push(Piece::Made(head), Holds::Headers);
    layout.push(Piece::Made(rest), Holds::Loaded);
    layout.push(Piece::Copied(slim.bytes(layout.len()..loaded_end)), Holds::Loaded);
    let mut headers = Vec::new();
    for part in parts {
        let mut header = part.header;
        let is_loaded = header.sh_flags.0 & elf::SHF_ALLOC.0 != 0;
        if let Some(data) = part.data.filter(|_| !is_loaded) {
            layout.align(if header.sh_addralign <= 4096 { header.sh_addralign } else { 1 });
            header.sh_size = data.len() as u64;
            header.sh_offset = layout.push(piece(data), Holds::Loaded);
        }
        headers.push(header);
    }
    let is_empty =
        |header: &&mut SectionHeader| header.sh_type == elf::SHT_NOBITS || header.sh_size == 0;
    for header in headers.iter_mut().filter(is_empty) {
        // Readers check offsets even of sections without contents.
        header.sh_offset = header.sh_offset.min(layout.len());
    }
    let encoder = slim.encoder();
    layout.align(encoder.address_size());
    let table = SectionTable {
        offset: layout.len(),
        count: headers.len() as u32,
        names: debug.header().section_names.map_or(0, |id| id.0),
    };
    let mut bytes = Vec::new();
    for header in &headers {
        encoder.section_header(&mut bytes, header);
    }
    layout.push(Piece::Made(bytes), Holds::SectionHeaders);
    for span in slim.map().unowned(slim).filter(|span| span.range.start >= loaded_end) {
        layout.push(Piece::Copied(slim.bytes(span.range.clone())), Holds::Unowned);
    }
    layout.set_header(slim.header_with(table));
    Ok(layout)
}

/// As many bytes of it as the input had.
fn first(data: Cow<'_, [u8]>, size: u64) -> Cow<'_, [u8]> {
    let size = usize::try_from(size).map_or(data.len(), |size| size.min(data.len()));
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..size).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            bytes.truncate(size);
            Cow::Owned(bytes)
        }
    }
}

fn piece(data: Cow<'_, [u8]>) -> Piece<'_> {
    match data {
        Cow::Borrowed(bytes) => Piece::Copied(bytes),
        Cow::Owned(bytes) => Piece::Made(bytes),
    }
}
