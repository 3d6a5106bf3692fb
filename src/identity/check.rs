//! Holds the patches against law 1, before any is applied: they lie in the first page, over program headers or bytes that
//! nothing uses, and no program header changes but those that lead to the note.
//!
//! It shares nothing with the methods but the input.

use std::ops::Range;

use object::elf;

use super::{FIRST_PAGE, Identity, Method, in_core, mapped_head};
use crate::elf::{Elf, Place, Section, SectionId, Segment, Symbol, SymbolTable};

/// A patch that is not what it may be: a bug, or headers that contradict each other in a way nobody thought of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stray {
    /// It changes bytes that are not there.
    #[error("a patch lies behind the end")]
    Outside,
    /// It changes bytes that something uses.
    #[error("the bytes {start:#x}..{end:#x} are in use")]
    InUse {
        /// Where they begin.
        start: u64,
        /// Where they end.
        end: u64,
    },
    /// A program header is not what it was.
    #[error("program header {index} would change")]
    Segment {
        /// Which.
        index: usize,
    },
    /// A section is not what it was, or not where.
    #[error("section {section} would change")]
    Section {
        /// Which.
        section: u32,
    },
    /// The patched file does not parse.
    #[error("the patched file does not parse: {0}")]
    Unreadable(crate::elf::Error),
    /// The build-id is not where a core would show it.
    #[error("no core would show it")]
    NotSeen,
}

/// Compares the patched file with the input.
pub(super) fn patched(old: &Elf<'_>, bytes: &[u8], identity: &Identity) -> Result<(), Stray> {
    let moved = match identity.moved {
        Some(id) => old.symbols(elf::SHT_SYMTAB).map_err(Stray::Unreadable)?.map(|all| (id, all)),
        None => None,
    };
    let of_symbol =
        |range: &Range<u64>| moved.is_some_and(|(id, table)| is_value_in(old, &table, id, range));
    for patch in &identity.patches {
        let (start, end) = (patch.offset, patch.range().end);
        let allowed = of_symbol(&patch.range()) || may_change(old, identity, &patch.range());
        if old.bytes(start..end) != patch.before || !allowed {
            return Err(Stray::InUse { start, end });
        }
    }
    let new = Elf::parse(bytes).map_err(Stray::Unreadable)?;
    segments(old, &new)?;
    sections(old, &new, identity)?;
    let seen = in_core(&new);
    if identity.in_cores && (seen != identity.id || seen.is_none()) {
        return Err(Stray::NotSeen);
    }
    Ok(())
}

/// Whether these bytes may: the program headers, their number and, where they move, their place; what nothing uses; the
/// header of the section that moves; the id itself, and the note that it is written over.
fn may_change(old: &Elf<'_>, identity: &Identity, range: &Range<u64>) -> bool {
    let within = |other: Range<u64>| other.start <= range.start && range.end <= other.end;
    let touches = |other: Range<u64>| other.start < range.end && range.start < other.end;
    let row = identity.moved.map(|id| {
        let start = old.sections_range().start + u64::from(id.0) * old.section_header_size();
        start..start + old.section_header_size()
    });
    if row.is_some_and(within) {
        return true;
    }
    if rewrites(identity) {
        let mut notes = old.sections().iter().filter(|section| section.kind == elf::SHT_NOTE);
        if notes.any(|section| within(section.range()) && within_note(section, range)) {
            return true;
        }
    }
    if range.end > FIRST_PAGE {
        return false;
    }
    let moves = identity.methods.contains(&Method::MovePhdrs);
    if within(old.segment_count_field())
        || within(old.segments_range())
        || moves && within(old.segments_offset_field())
    {
        return true;
    }
    // The table of sections is read elsewhere then.
    let table = identity.table_moves && touches(old.sections_range());
    let zeros = old.bytes(range.clone()).iter().all(|&byte| byte == 0);
    let in_section = old.sections().iter().any(|section| touches(section.range()));
    let mut claims = old.segments().iter().filter(|segment| !segment.is_load());
    let claimed = claims.any(|segment| touches(segment.range()))
        || touches(0..old.header_size())
        || !identity.table_moves && touches(old.sections_range());
    (zeros || table) && !in_section && !claimed
}

/// Whether the bytes are of the value of a symbol of that section.
fn is_value_in(
    old: &Elf<'_>,
    table: &SymbolTable<'_>,
    section: SectionId,
    range: &Range<u64>,
) -> bool {
    let start = old.section(table.section).map(|table| table.offset);
    let Some(inside) = start.and_then(|start| range.start.checked_sub(start)) else { return false };
    let index = inside / table.entry_size();
    let (field, end) = (table.value_field(index), inside + (range.end - range.start));
    field.start <= inside
        && end <= field.end
        && table.get(index).is_some_and(|symbol| symbol.place == Place::Section(section))
}

/// Whether a note has other contents.
fn rewrites(identity: &Identity) -> bool {
    let rewrites = |method: &Method| matches!(method, Method::Rewrite | Method::AbitagOverwrite);
    identity.methods.iter().any(rewrites)
}

/// Whether the bytes are of the type or the contents of a note of GNU's.
fn within_note(section: &Section<'_>, range: &Range<u64>) -> bool {
    // gABI, "Note Section": the type is in front of the owner, "GNU" with its zero, and the contents are behind it.
    section.data.windows(4).enumerate().any(|(at, window)| {
        let owner = section.offset + at as u64;
        let (kind, contents) = (owner.saturating_sub(4)..owner, owner + 4..owner + 36);
        let inside = |part: Range<u64>| part.start <= range.start && range.end <= part.end;
        window == b"GNU\0" && (inside(kind) || inside(contents))
    })
}

/// Program headers stay, but for those that lead to the note.
fn segments(old: &Elf<'_>, new: &Elf<'_>) -> Result<(), Stray> {
    let added = new.segments().len().wrapping_sub(old.segments().len());
    let mapped = mapped_head(new).map(|(_, load)| load.address.0);
    for (index, (was, is)) in old.segments().iter().zip(new.segments()).enumerate() {
        let sizes = |segment: &Segment| (segment.file_size, segment.memory_size);
        let resized = |by: u64| {
            let bigger = (was.file_size.saturating_add(by), was.memory_size.saturating_add(by));
            let same =
                Segment { file_size: is.file_size, memory_size: is.memory_size, ..was.clone() };
            same == *is && sizes(is) == bigger
        };
        let by = is.file_size.wrapping_sub(was.file_size);
        let fine = was == is
            || is_of_notes(was, is)
            || was.kind == elf::PT_PHDR && added == 1 && is_of_headers(is, new, mapped)
            || was.is_load() && was.offset == 0 && resized(by) && is.file_size <= FIRST_PAGE;
        if !fine {
            return Err(Stray::Segment { index });
        }
    }
    let last = new.segments().last().map(|last| last.kind);
    if added > 1 || added == 1 && last != Some(elf::PT_NOTE) {
        return Err(Stray::Segment { index: old.segments().len() });
    }
    Ok(())
}

/// Whether a segment covers the program headers where they are.
fn is_of_headers(is: &Segment, new: &Elf<'_>, mapped: Option<u64>) -> bool {
    let address = mapped.and_then(|start| start.checked_add(is.offset));
    is.kind == elf::PT_PHDR
        && is.range() == new.segments_range()
        && is.file_size == is.memory_size
        && address == Some(is.address.0)
}

/// Whether a segment of notes is one still, in the first page, and as many of them or more.
fn is_of_notes(was: &Segment, is: &Segment) -> bool {
    was.kind == elf::PT_NOTE
        && is.kind == elf::PT_NOTE
        && is.flags == was.flags
        && is.file_size >= was.file_size
        && is.file_size == is.memory_size
        && is.range().end <= FIRST_PAGE
        && (is.align == was.align || is.align == 4)
}

/// Whether symbols are what they were, and those of a section that moved moved with it.
fn follow(old: &Elf<'_>, new: &Elf<'_>, moved: SectionId) -> bool {
    let (Ok(Some(olds)), Ok(Some(news))) =
        (old.symbols(elf::SHT_SYMTAB), new.symbols(elf::SHT_SYMTAB))
    else {
        return false;
    };
    let address = |elf: &Elf<'_>| elf.section(moved).map_or(0, |section| section.address.0);
    let by = address(new).wrapping_sub(address(old));
    let expected = olds.iter().map(|symbol| match symbol.place {
        Place::Section(id) if id == moved => {
            Symbol { value: symbol.value.wrapping_add(by), ..symbol }
        }
        _ => symbol,
    });
    olds.len() == news.len() && expected.eq(news.iter())
}

/// Sections stay where and what they are, but for the one that moves and the id that changes.
fn sections(old: &Elf<'_>, new: &Elf<'_>, identity: &Identity) -> Result<(), Stray> {
    let rewrites = rewrites(identity);
    for (was, is) in old.sections().iter().zip(new.sections()) {
        let moves = identity.moved == Some(was.id);
        let place = |s: &Section<'_>| (s.offset, s.address, s.size);
        let rest = |s: &Section<'_>| {
            (s.name_offset, s.kind, s.flags, s.align, s.entry_size, s.link, s.info)
        };
        let same_place = rest(was) == rest(is) && (moves || place(was) == place(is));
        // One that moves may have a new note in front or behind.
        let same_bytes = was.data == is.data
            || moves && (is.data.starts_with(was.data) || is.data.ends_with(was.data))
            || rewrites && was.kind == elf::SHT_NOTE
            || was.kind == elf::SHT_SYMTAB && identity.moved.is_some_and(|id| follow(old, new, id));
        if !same_place || !same_bytes {
            return Err(Stray::Section { section: was.id.0 });
        }
    }
    if old.sections().len() != new.sections().len() {
        return Err(Stray::Section { section: old.sections().len() as u32 });
    }
    Ok(())
}
