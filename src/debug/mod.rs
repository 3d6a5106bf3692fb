//! The other half of a plan: what the slim file set aside → the debug file.
//!
//! The debug file has all section headers of the input in their order, so indices, links and `st_shndx` stay
//! true; what is loaded is there as a header without contents (SHT_NOBITS), except notes, because a
//! debugger skips a debug file without the build-id. The program headers stay as they were, to the byte:
//! perf computes wrong function names from others. They stay where they were if that is in the first page.

mod check;
mod checksum;
mod codec;
mod compress;
mod deflate;
mod form;
mod load;
mod names;
mod origin;
mod restore;
mod strings;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::thread;

use object::elf;
use object::write::elf::SectionHeader;

pub use checksum::checksum;
pub use form::{Compression, Form, Strings};
pub use load::{Check, LoadIdentity, Masked, SegmentIdentity, compare};
pub use restore::{Restored, Unrestorable, restore};

use checksum::Checksums;
use names::SectionNames;
use origin::Origin;

use crate::elf::{Elf, Section, SectionId, SectionTable};
use crate::identity::{FIRST_PAGE, Identity, NewNote};
use crate::slim::{self, DebugLink, Fate, Holds, Layout, Options, Piece, Plan};

/// An input, split: its slim file and its debug file.
#[derive(Debug, Clone)]
pub struct Split<'data> {
    /// What was decided.
    pub plan: Plan<'data>,
    /// The slim file.
    pub slim: Layout<'data>,
    /// The debug file; `None` where nothing leaves, or where what leaves is dropped.
    pub debug: Option<Layout<'data>>,
}

/// Splits an input with its build-id where it belongs (see [`Identity::apply`]). `link_to` makes the link to the debug
/// file, whose checksum it is given. `original` is the input as it was before that, so that it can be restored.
///
/// # Errors
/// What cannot be slimmed, and a debug section that cannot be decompressed.
pub fn split<'data>(
    elf: &Elf<'data>,
    identity: &Identity,
    original: &[u8],
    options: &Options,
    form: &Form,
    link_to: impl FnOnce(u32) -> DebugLink,
) -> Result<Split<'data>, slim::Error> {
    let plan = Plan::new(elf, identity, options)?;
    // From here every section has exactly one fate; nothing below decides.
    let layout = || layout(elf, identity, original, &plan, form);
    let debug = if plan.sets_aside() { Some(layout()?) } else { None };
    let (debug, crc) = debug.unzip();
    let link = crc.map(link_to);
    let slim = slim::layout(elf, &plan, link.as_ref())?;
    Ok(Split { plan, slim, debug })
}

/// Lays out the debug file of a plan. Loaded sections lose their contents, debug sections are compressed
/// as asked, names of symbols merged; everything else is copied. The layout is held against the laws, and comes with its
/// [checksum].
pub fn layout<'data>(
    elf: &Elf<'data>,
    identity: &Identity,
    original: &[u8],
    plan: &Plan<'data>,
    form: &Form,
) -> Result<(Layout<'data>, u32), slim::Error> {
    let table = plan.symbols.table.filter(|table| {
        let whole = |id| elf.section(id).is_some_and(|section| in_debug(plan, section));
        let loaded = |id| elf.section(id).is_some_and(Section::is_loaded);
        form.strings == Strings::Merged
            && whole(table.section)
            && whole(table.names_section)
            && !loaded(table.section)
            && !loaded(table.names_section)
    });
    let (mut recoded, merged, sums) = thread::scope(|scope| {
        let merged = scope.spawn(|| table.and_then(|table| strings::merge(elf, &table)));
        let recoded = compress::recode(elf, plan, form)?;
        let copied = elf.sections().iter().filter(|section| {
            in_debug(plan, section)
                && !recoded.contains_key(&section.id)
                && !table.is_some_and(|table| table.holds(section.id))
        });
        let sums = Checksums::look_at(copied.map(|section| section.data));
        Ok::<_, slim::Error>((recoded, merged.join().expect("merging names does not panic"), sums))
    })?;
    let made = check::Made { recoded: recoded.keys().copied().collect(), merged: merged.is_some() };
    let mut contents: BTreeMap<SectionId, Vec<u8>> = BTreeMap::new();
    if let Some((table, merged)) = table.zip(merged) {
        contents.insert(table.section, merged.symbols);
        contents.insert(table.names_section, merged.names);
    }
    // From here the contents of every section are settled.
    let mut layout = Layout::default();
    layout.push(Piece::Copied(elf.bytes(0..elf.header_size())), Holds::Headers);
    let mut segments = Some(elf.segments_range());
    let mut segments_at = 0;
    let mut push_segments = |layout: &mut Layout<'data>, before: u64| {
        let Some(range) = segments.take_if(|range| range.start < before) else { return };
        if range.end <= FIRST_PAGE && layout.len() <= range.start {
            layout.pad_to(range.start);
        }
        segments_at = layout.push(Piece::Copied(elf.bytes(range)), Holds::Headers);
    };
    let mut headers: Vec<SectionHeader> = elf.sections().iter().map(Section::header).collect();
    let mut names = SectionNames::of(elf);
    for (section, header) in elf.sections().iter().zip(&mut headers) {
        if recoded.contains_key(&section.id)
            && let Cow::Owned(name) = section.debug_name()
        {
            header.sh_name = names.add(&name);
        }
    }
    let note_name = plan.note.as_ref().map_or(0, |_| names.add(NewNote::NAME));
    contents.extend(names.finish());
    let mut waiting = Vec::new();
    for (section, header) in elf.sections().iter().zip(&mut headers) {
        if !in_debug(plan, section) {
            continue;
        }
        let piece = match recoded.remove(&section.id) {
            Some(new) => {
                (header.sh_flags, header.sh_addralign) = (new.flags, new.align);
                Piece::Made(new.bytes)
            }
            None => match contents.remove(&section.id) {
                Some(bytes) => Piece::Made(bytes),
                None => Piece::Copied(section.data),
            },
        };
        let fixed = Some(section.offset).filter(|_| in_first_page(section));
        let order = (fixed.is_none(), section.offset);
        waiting.push((order, section.id.index(), fixed, piece, Holds::Section(section.id)));
    }
    if let Some(note) = &plan.note {
        let fixed = note.place.map(|(offset, _)| offset);
        let order = (fixed.is_none(), fixed.unwrap_or(u64::MAX));
        let piece = Piece::Made(note.contents.clone());
        waiting.push((order, headers.len(), fixed, piece, Holds::BuildId));
        headers.push(SectionHeader { sh_name: note_name, ..note.header() });
    }
    waiting.sort_by_key(|(order, ..)| *order);
    for (_, index, fixed, piece, holds) in waiting {
        push_segments(&mut layout, fixed.unwrap_or(u64::MAX));
        let Some(header) = headers.get_mut(index) else { continue };
        match fixed {
            Some(offset) if layout.len() <= offset => layout.pad_to(offset),
            _ if header.sh_addralign.is_power_of_two() && header.sh_addralign <= FIRST_PAGE => {
                layout.align(header.sh_addralign);
            }
            _ => {}
        }
        header.sh_size = piece.len();
        header.sh_offset = layout.push(piece, holds);
    }
    push_segments(&mut layout, u64::MAX);
    // From here every section has its place, and so have the program headers.
    for (section, header) in elf.sections().iter().zip(&mut headers) {
        if !in_debug(plan, section) && section.has_contents() {
            header.sh_type = elf::SHT_NOBITS;
        }
        if header.sh_type != elf::SHT_NOBITS && header.sh_size == 0 {
            // BFD warns of a section behind the end even where it is empty, as .tm_clone_table often is.
            header.sh_offset = header.sh_offset.min(layout.len());
        }
    }
    let encoder = elf.encoder();
    layout.align(encoder.address_size());
    let count = headers.len() as u32;
    let table = SectionTable {
        offset: layout.len(),
        count,
        names: elf.header().section_names.map_or(0, |id| id.0),
    };
    if let Some(first) = headers.first_mut().filter(|_| count >= elf::SHN_LORESERVE.into()) {
        table.numbers_in(first);
    }
    let mut bytes = Vec::new();
    for header in &headers {
        encoder.section_header(&mut bytes, header);
    }
    layout.push(Piece::Made(bytes), Holds::SectionHeaders);
    // Else it comes back by its contents.
    if identity.can_be_undone() {
        let mut loose = plan.unowned.clone();
        loose.extend(plan.payload.as_ref().map(|payload| payload.range.clone()));
        let origin = Origin::new(elf, original, sums.of_input(original), loose, &headers);
        layout.push(Piece::Made(origin.to_text().into_bytes()), Holds::Origin);
    }
    layout.set_header(elf.with_segments_at(elf.header_with(table), segments_at));
    // Decompressed on request, a debug file may be larger than its input.
    if !elf.is_64() && layout.len() > u32::MAX.into() {
        return Err(slim::Error::TooLarge { len: layout.len() });
    }
    // From here every offset in the output is fixed.
    check::layout(elf, plan, &layout, &made)?;
    let crc = sums.of_layout(&layout);
    Ok((layout, crc))
}

fn in_debug(plan: &Plan<'_>, section: &Section<'_>) -> bool {
    section.has_contents() && matches!(plan.fate(section.id), Fate::Debug | Fate::Both)
}

/// Only the first page is in every core: a note there stays at its offset, so that whoever follows the program headers
/// finds it.
fn in_first_page(section: &Section<'_>) -> bool {
    section.is_loaded() && section.range().end <= FIRST_PAGE
}
