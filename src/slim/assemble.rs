//! Plan → the layout of the slim file.
//!
//! First everything that is loaded, where it was; then the sections that stay, in the input's order; then the
//! link to the debug file, the section names and the section header table; last a payload that followed the
//! image. Stretches between segments that held sections which leave become holes of zeros, where the link, the names and
//! the table go if they fit.

use std::ops::Range;

use object::elf;
use object::write::elf::SectionHeader;

use super::fate::Row;
use super::headers::{Indices, KeptSymbols, Names};
use super::relocatable::{self, symbol_index};
use super::{DebugLink, Error, Holds, Layout, Piece, Plan, minidebug};
use crate::elf::{Elf, Owner, Section, SectionId, SectionTable, Span};
use crate::identity::NewNote;

const LINK_NAME: &[u8] = b".gnu_debuglink";

/// What the passes share: the input, the plan, and where the contents of each section went.
struct Assembly<'plan, 'data> {
    elf: &'plan Elf<'data>,
    plan: &'plan Plan<'data>,
    layout: Layout<'data>,
    /// New offset and size of each section that has contents in the output.
    places: Vec<Option<(u64, u64)>>,
    /// The last loaded byte's end.
    loaded_end: u64,
}

/// A section that the input does not have.
struct Added {
    name: &'static [u8],
    bytes: Vec<u8>,
    holds: Holds,
    align: u64,
}

/// The sections behind those of the input, in order.
fn added(elf: &Elf<'_>, plan: &Plan<'_>, link: Option<&DebugLink>) -> Result<Vec<Added>, Error> {
    let link = link.map(|link| Added {
        name: LINK_NAME,
        bytes: link.section(elf),
        holds: Holds::DebugLink,
        align: 4,
    });
    let functions = Some(plan.functions.as_slice()).filter(|functions| !functions.is_empty());
    let functions = functions.map(|functions| minidebug::section(elf, functions)).transpose()?;
    let functions = functions.map(|bytes| Added {
        name: minidebug::NAME,
        bytes,
        holds: Holds::MiniDebug,
        align: 1,
    });
    Ok(link.into_iter().chain(functions).collect())
}

/// Lays out the slim file. An input from which nothing leaves stays as it is, to the byte.
pub(super) fn assemble<'data>(
    elf: &Elf<'data>,
    plan: &Plan<'data>,
    link: Option<&DebugLink>,
) -> Result<Layout<'data>, Error> {
    let mut layout = Layout::default();
    if !plan.changes() {
        layout.push(Piece::Copied(elf.data()), Holds::Everything);
        return Ok(layout);
    }
    let loaded_end = plan.loaded.last().map_or(0, |range| range.end);
    let places = vec![None; plan.decisions.len()];
    let mut assembly = Assembly { elf, plan, layout, places, loaded_end };
    let map = elf.map();
    let indices = Indices::new(plan.decisions.len(), &plan.rows);
    let symbols = if plan.rebuilds_symbols() {
        plan.symbols.symbols().copied().collect()
    } else {
        Vec::new()
    };
    let shared = plan.symbols.table.map(|table| table.names_section) == elf.header().section_names;
    let names = plan.rows.iter().map(|row| match row {
        Row::Section(id) => elf.section(*id).map_or(&b""[..], |section| section.name),
        Row::Note => NewNote::NAME,
    });
    let added = added(elf, plan, link)?;
    let names = names.chain(added.iter().map(|added| added.name));
    let names = Names::new(elf, names, &symbols, shared)?;
    let kept = KeptSymbols::new(elf, &symbols, &indices, &names);

    assembly.loaded_part(&map.spans);
    // From here every loaded byte has its place.
    assembly.sections_that_stay(&indices, &kept, &names);
    let note_at = plan.note.as_ref().map(|note| match note.place {
        Some((offset, _)) => offset,
        None => {
            assembly.layout.align(4);
            assembly.layout.push(Piece::Made(note.contents.clone()), Holds::BuildId)
        }
    });
    let added: Vec<_> = added.into_iter().map(|added| assembly.add(added)).collect();
    assembly.section_names(&names);
    // From here every byte but the section headers has its place.
    let rows = assembly.rows(&indices, &kept, &names, note_at, added);
    assembly.section_headers(&rows, &indices);
    assembly.payload();
    let layout = assembly.layout;
    if !elf.is_64() && layout.len() > u32::MAX.into() {
        return Err(Error::TooLarge { len: layout.len() });
    }
    Ok(layout)
}

impl<'data> Assembly<'_, 'data> {
    /// Whether the output has a section's contents as they are in the input.
    fn copies(&self, id: SectionId) -> bool {
        let made_anew = self.elf.header().section_names == Some(id) || self.plan.rebuilds(id);
        self.plan.fate(id).is_in_slim() && !made_anew
    }

    /// Copies everything up to the last loaded byte, with zeros where something between segments left.
    fn loaded_part(&mut self, spans: &[Span]) {
        let header = self.elf.header_size();
        self.layout.push(Piece::Copied(self.elf.bytes(0..header)), Holds::Headers);
        let mut at = header;
        for loaded in &self.plan.loaded {
            for span in within(spans, at..loaded.start) {
                self.between_segments(span);
            }
            let rest = at.max(loaded.start)..loaded.end.max(at);
            self.layout.push(Piece::Copied(self.elf.bytes(rest)), Holds::Loaded);
            at = at.max(loaded.end);
        }
        for section in self.elf.sections().iter().filter(|section| section.has_contents()) {
            if section.range().end <= self.loaded_end && self.copies(section.id) {
                self.place(section.id, section.offset, section.size);
            }
        }
    }

    fn between_segments(&mut self, span: Span) {
        let bytes = self.elf.bytes(span.range.clone());
        let (piece, holds) = match span.owner {
            Owner::Section(id) if self.copies(id) => (Piece::Copied(bytes), Holds::Section(id)),
            Owner::Section(_) | Owner::SectionHeaders => {
                (Piece::Padding(bytes.len() as u64), Holds::Hole)
            }
            _ => (Piece::Copied(bytes), Holds::Unowned),
        };
        self.layout.push(piece, holds);
    }

    /// Appends the sections that stay and are not loaded, and what lies unowned between them.
    fn sections_that_stay(&mut self, indices: &Indices, kept: &KeptSymbols, names: &Names) {
        enum Item<'a, 'data> {
            Section(&'a Section<'data>),
            Unowned(Range<u64>),
        }
        let unplaced = self.elf.sections().iter().filter(|section| {
            section.has_contents()
                && self.plan.fate(section.id).is_in_slim()
                && self.places.get(section.id.index()).is_some_and(Option::is_none)
                && self.elf.header().section_names != Some(section.id)
        });
        let mut items: Vec<(u64, Item<'_, 'data>)> =
            unplaced.map(|section| (section.offset, Item::Section(section))).collect();
        let unowned = self.plan.unowned.iter().filter(|range| range.start >= self.loaded_end);
        items.extend(unowned.map(|range| (range.start, Item::Unowned(range.clone()))));
        items.sort_by_key(|(offset, _)| *offset);
        for (_, item) in items {
            match item {
                Item::Unowned(range) => {
                    self.layout.push(Piece::Copied(self.elf.bytes(range)), Holds::Unowned);
                }
                Item::Section(section) => {
                    let piece = self.contents(section, indices, kept, names);
                    self.layout.align(sane_align(section.align));
                    let size = piece.len();
                    let offset = self.layout.push(piece, Holds::Section(section.id));
                    self.place(section.id, offset, size);
                }
            }
        }
    }

    fn contents(
        &self,
        section: &Section<'data>,
        indices: &Indices,
        kept: &KeptSymbols,
        names: &Names,
    ) -> Piece<'data> {
        let id = Some(section.id);
        match &self.plan.symbols.table {
            Some(table) if self.plan.rebuilds(section.id) => {
                Piece::Made(if id == Some(table.section) {
                    kept.entries.clone()
                } else if id == table.extended_section {
                    kept.extended.clone()
                } else {
                    names.symbols.clone()
                })
            }
            _ => relocatable::renumbered(self.elf, self.plan, indices, section)
                .map_or(Piece::Copied(section.data), Piece::Made),
        }
    }

    /// Adds a section that the input does not have. Its header has no name yet.
    fn add(&mut self, added: Added) -> SectionHeader {
        let Added { bytes, holds, align, .. } = added;
        let sh_size = bytes.len() as u64;
        SectionHeader {
            sh_type: elf::SHT_PROGBITS,
            sh_offset: self.layout.put(bytes, align, holds),
            sh_size,
            sh_addralign: align,
            ..SectionHeader::default()
        }
    }

    fn section_names(&mut self, names: &Names) {
        if let Some(id) = self.elf.header().section_names {
            let bytes = names.sections.clone();
            let size = bytes.len() as u64;
            let offset = self.layout.put(bytes, 1, Holds::Section(id));
            self.place(id, offset, size);
        }
    }

    fn place(&mut self, id: SectionId, offset: u64, size: u64) {
        if let Some(place) = self.places.get_mut(id.index()) {
            *place = Some((offset, size));
        }
    }

    /// The section headers of the output, in order.
    fn rows(
        &self,
        indices: &Indices,
        kept: &KeptSymbols,
        names: &Names,
        note_at: Option<u64>,
        added: Vec<SectionHeader>,
    ) -> Vec<SectionHeader> {
        let mut name_offsets = names.section_offsets.iter().copied();
        let mut rows = Vec::with_capacity(self.plan.rows.len() + 1);
        for row in &self.plan.rows {
            let name_offset = name_offsets.next().unwrap_or(0);
            let section = match row {
                Row::Section(id) => self.elf.section(*id),
                Row::Note => {
                    let header = self.plan.note.as_ref().map(NewNote::header).unwrap_or_default();
                    let sh_offset = note_at.unwrap_or(0);
                    rows.push(SectionHeader { sh_name: name_offset, sh_offset, ..header });
                    None
                }
            };
            let Some(section) = section else { continue };
            let mut row = section.header();
            row.sh_name = name_offset;
            row.sh_link = indices.of(section.link);
            if section.info_is_section() {
                row.sh_info = indices.of(section.info);
            }
            match section.kind {
                elf::SHT_GROUP => row.sh_info = symbol_index(self.plan, section.info),
                relocatable::ADDRESSES if !self.plan.symbols.keeps_all() => row.sh_link = 0,
                _ => {}
            }
            match self.places.get(section.id.index()).copied().flatten() {
                Some((offset, size)) => (row.sh_offset, row.sh_size) = (offset, size),
                // Readers check offsets even of sections without contents. An empty one that is loaded keeps its place.
                None if section.is_loaded() && section.kind != elf::SHT_NOBITS => {
                    row.sh_offset = section.offset.min(self.layout.len());
                }
                None => row.sh_offset = section.offset.min(self.loaded_end),
            }
            if self.plan.rebuilds(section.id) && section.kind == elf::SHT_SYMTAB {
                row.sh_info = kept.first_global;
            }
            rows.push(row);
        }
        let named = |(row, sh_name)| SectionHeader { sh_name, ..row };
        rows.extend(added.into_iter().zip(name_offsets).map(named));
        rows
    }

    /// Adds the section header table and puts its place into the ELF header.
    fn section_headers(&mut self, rows: &[SectionHeader], indices: &Indices) {
        let encoder = self.elf.encoder();
        let mut table = SectionTable {
            offset: 0,
            count: rows.len() as u32,
            names: self.elf.header().section_names.map_or(0, |id| indices.of(id.0)),
        };
        let mut bytes = Vec::with_capacity(rows.len() * self.elf.section_header_size() as usize);
        for (index, row) in rows.iter().enumerate() {
            let mut row = row.clone();
            if index == 0 {
                table.numbers_in(&mut row);
            }
            encoder.section_header(&mut bytes, &row);
        }
        let align = encoder.address_size();
        table.offset = if self.plan.payload.is_some() {
            // The runtime of an AppImage looks for its payload behind them.
            self.layout.align(align);
            self.layout.push(Piece::Made(bytes), Holds::SectionHeaders)
        } else {
            self.layout.put(bytes, align, Holds::SectionHeaders)
        };
        self.layout.set_header(self.elf.header_with(table));
    }

    /// Appends what followed the image: programs look for it at the end of the file, AppImages behind the section headers.
    fn payload(&mut self) {
        if let Some(payload) = &self.plan.payload {
            self.layout.push(Piece::Copied(self.elf.bytes(payload.range.clone())), Holds::Payload);
        }
    }
}

/// The parts of spans that lie in a range.
fn within(spans: &[Span], range: Range<u64>) -> impl Iterator<Item = Span> + '_ {
    let first = spans.partition_point(|span| span.range.end <= range.start);
    let rest = spans.get(first..).unwrap_or_default();
    let end = range.end.max(range.start);
    rest.iter().take_while(move |span| span.range.start < end).map(move |span| Span {
        range: span.range.start.max(range.start)..span.range.end.min(end),
        owner: span.owner,
    })
}

/// The alignment of a section that is not loaded. More than a page is no alignment but a lie.
fn sane_align(align: u64) -> u64 {
    if align.is_power_of_two() && align <= 4096 { align } else { 1 }
}
