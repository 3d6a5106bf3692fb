//! The plan: a fate and a rule for each section, and which symbols stay.

use std::ops::Range;

use object::elf;

use super::fate::{Decision, Fate, Row};
use super::headers::Indices;
use super::symbols::Choice;
use super::wished::Wished;
use super::{Error, Leaving, MiniDebug, Options, minidebug, relocatable, rules};
use crate::elf::{Elf, Place, Section, SectionId, Symbol, overlaps};
use crate::identity::{Identity, NewNote};
use crate::inspect::{self, Payload, PayloadKind};

/// Everything that is decided about one input.
#[derive(Debug, Clone)]
pub struct Plan<'data> {
    /// One for each section, in the order of the section headers.
    pub decisions: Vec<Decision<'data>>,
    /// Which symbols stay.
    pub symbols: Choice<'data>,
    /// Stretches of the input with contents that no section and no segment owns; they stay. A payload is none of them.
    pub unowned: Vec<Range<u64>>,
    /// What follows the image; it stays at the end.
    pub payload: Option<Payload>,
    /// Sections that were asked for and are not there, where that is allowed.
    pub missing_sections: Vec<String>,
    /// The functions whose symbols leave and which `.gnu_debugdata` names.
    pub functions: Vec<Symbol<'data>>,
    /// The note of the build-id that the input does not have and both files get.
    pub note: Option<NewNote>,
    /// The sections of the slim file, in the order of its section headers.
    pub(super) rows: Vec<Row>,
    /// The bytes of the input that must not move, sorted.
    pub(super) loaded: Vec<Range<u64>>,
    /// Where that goes which leaves.
    leaving: Leaving,
    /// Whether the slim file's symbol table is not the input's.
    rebuilds_symbols: bool,
}

impl<'data> Plan<'data> {
    /// Decides. Nothing after this decides anything.
    pub fn new(elf: &Elf<'data>, identity: &Identity, options: &Options) -> Result<Self, Error> {
        refuse(elf)?;
        let loaded = elf.loaded_ranges();
        let mut symbols = Choice::new(elf, options)?;
        let wished = Wished::new(elf, options, &loaded)?;
        let mut decisions = rules::decide(elf, &symbols, &loaded, &wished)?;
        let mut changes = symbols.leave_with(&decisions);
        if elf.is_object() {
            let needed = relocatable::needed(elf, symbols.table.as_ref(), &decisions)?;
            changes |= symbols.need(elf, options.symbols.rest, &needed)?;
        }
        if changes {
            decisions = rules::decide(elf, &symbols, &loaded, &wished)?;
        }
        // A debugger reads a program, and the debug information of an object file is in that if it was there.
        let leaving = if elf.is_object() { Leaving::Dropped } else { options.leaving };
        if leaving == Leaving::Dropped {
            for decision in &mut decisions {
                decision.fate = if decision.fate.is_in_slim() { Fate::Keep } else { Fate::Drop };
            }
        }
        let payload = inspect::payload(elf);
        let is_payload = |range: &Range<u64>| payload.as_ref().is_some_and(|p| p.range == *range);
        let mut unowned: Vec<_> = elf.map().unowned(elf).map(|span| span.range.clone()).collect();
        unowned.retain(|range| !is_payload(range));
        let rows = rows(elf, &decisions, identity);
        let rebuilds_symbols = rebuilds_symbols(elf, &decisions, &symbols, &rows);
        let missing_sections = wished.missing;
        let functions = match options.minidebug {
            MiniDebug::Functions => minidebug::functions(elf, &symbols)?,
            MiniDebug::Absent => Vec::new(),
        };
        let plan = Self {
            decisions,
            symbols,
            unowned,
            payload,
            missing_sections,
            functions,
            note: identity.note.clone(),
            rows,
            loaded,
            leaving,
            rebuilds_symbols,
        };
        plan.check_places(elf)?;
        plan.check_overlaps(elf)?;
        plan.check_names(elf)?;
        plan.check_payload()?;
        Ok(plan)
    }

    /// Whether anything leaves the slim file; otherwise the input is slim already.
    pub fn leaves(&self) -> bool {
        self.decisions.iter().any(|decision| matches!(decision.fate, Fate::Debug | Fate::Drop))
            || self.rebuilds_symbols()
    }

    /// Whether a debug file gets anything that the slim file has not.
    pub fn sets_aside(&self) -> bool {
        if self.leaving == Leaving::Dropped {
            return false;
        }
        let debug = |decision: &Decision<'_>| match decision.fate {
            Fate::Debug => true,
            Fate::Both => decision.rule == "kept-symbols" && !self.symbols.keeps_all(),
            Fate::Keep | Fate::Drop => false,
        };
        self.decisions.iter().any(debug)
    }

    /// The fate of a section; sections that do not exist are kept nowhere.
    pub fn fate(&self, section: SectionId) -> Fate {
        self.decisions.get(section.index()).map_or(Fate::Drop, |decision| decision.fate)
    }

    /// Whether the slim file gets a symbol table of its own: some symbols leave, a section that symbols name
    /// has another index, or their names stand among those of the sections.
    pub fn rebuilds_symbols(&self) -> bool {
        self.rebuilds_symbols
    }

    /// Whether a section belongs to a symbol table that the slim file gets anew.
    pub(super) fn rebuilds(&self, section: SectionId) -> bool {
        self.rebuilds_symbols && self.symbols.table.is_some_and(|table| table.holds(section))
    }

    /// Whether the slim file has other sections than the input, which is copied otherwise.
    pub fn changes(&self) -> bool {
        self.leaves() || self.note.is_some()
    }

    /// A section is either loaded or not, and a kept symbol's section stays.
    fn check_places(&self, elf: &Elf<'_>) -> Result<(), Error> {
        for section in elf.sections().iter().filter(|section| section.has_contents()) {
            // The header changes, so nothing else can be there.
            let over_header = section.offset < elf.header_size();
            if over_header || overlaps(&section.range(), &self.loaded).is_none() {
                let range = section.range();
                return Err(Error::Straddles {
                    section: section.id.0,
                    start: range.start,
                    end: range.end,
                });
            }
        }
        for symbol in self.symbols.symbols() {
            if let Place::Section(id) = symbol.place
                && !self.fate(id).is_in_slim()
            {
                let section = elf.section(id).map(Section::display_name).unwrap_or_default();
                return Err(Error::SymbolLeaves { symbol: symbol.display_name(), section });
            }
        }
        Ok(())
    }

    /// Contents that are copied stand in no two sections: a few headers over the same bytes would make an
    /// output of any size.
    fn check_overlaps(&self, elf: &Elf<'_>) -> Result<(), Error> {
        let copied = |section: &&Section<'_>| {
            section.has_contents()
                && (self.fate(section.id).is_in_debug()
                    || overlaps(&section.range(), &self.loaded) != Some(true))
        };
        let mut sections: Vec<_> = elf.sections().iter().filter(copied).collect();
        sections.sort_by_key(|section| section.offset);
        let mut last: Option<&Section<'_>> = None;
        for section in sections {
            if let Some(last) = last.filter(|last| section.offset < last.range().end) {
                return Err(Error::Overlap { first: last.id.0, second: section.id.0 });
            }
            last = Some(section);
        }
        Ok(())
    }

    /// What is looked for at a distance from the start of the file would not be found.
    fn check_payload(&self) -> Result<(), Error> {
        match &self.payload {
            Some(payload) if self.changes() && payload.kind == PayloadKind::DenoFromStart => {
                Err(Error::PayloadMoves { kind: payload.kind.name(), start: payload.range.start })
            }
            _ => Ok(()),
        }
    }

    /// String tables that are made anew must be free to move.
    fn check_names(&self, elf: &Elf<'_>) -> Result<(), Error> {
        let of_sections = elf.header().section_names.filter(|_| self.changes());
        let is_fixed = |id: &SectionId| elf.section(*id).is_some_and(Section::is_loaded);
        let of_symbols = self.symbols.table.filter(|_| self.rebuilds_symbols);
        let of_symbols = of_symbols.map(|table| table.names_section);
        let moves = |id: &SectionId| {
            self.decisions
                .get(id.index())
                .is_some_and(|decision| matches!(decision.rule, "kept-symbols" | "section-names"))
        };
        let fixed = of_sections.filter(is_fixed).or(of_symbols.filter(|id| !moves(id)));
        match fixed {
            Some(id) => Err(Error::NamesLoaded { section: id.0 }),
            None => Ok(()),
        }
    }
}

/// The sections of the slim file in the order of their headers: the input's, but those that a build-id put somewhere
/// go by their address, because GNU strip takes loaded sections for sorted.
fn rows(elf: &Elf<'_>, decisions: &[Decision<'_>], identity: &Identity) -> Vec<Row> {
    let stays = |decision: &&Decision<'_>| {
        decision.fate.is_in_slim() && identity.moved != Some(decision.section)
    };
    let mut rows: Vec<Row> =
        decisions.iter().filter(stays).map(|decision| Row::Section(decision.section)).collect();
    let moved = identity.moved.and_then(|id| Some((Row::Section(id), elf.section(id)?.address)));
    let note = identity.note.as_ref().and_then(|note| Some((Row::Note, note.place?.1)));
    for (row, address) in moved.into_iter().chain(note) {
        let behind = |row: &Row| match row {
            Row::Section(id) => elf.section(*id).is_some_and(|section| {
                section.id.0 != 0 && section.is_loaded() && section.address > address
            }),
            Row::Note => false,
        };
        let loaded = |row: &Row| match row {
            Row::Section(id) => elf.section(*id).is_some_and(Section::is_loaded),
            Row::Note => true,
        };
        let at = rows.iter().position(behind);
        let at = at.or_else(|| rows.iter().rposition(loaded).map(|last| last + 1));
        rows.insert(at.unwrap_or(rows.len()), row);
    }
    if identity.note.as_ref().is_some_and(|note| note.place.is_none()) {
        rows.push(Row::Note);
    }
    rows
}

/// See [`Plan::rebuilds_symbols`].
fn rebuilds_symbols(
    elf: &Elf<'_>,
    decisions: &[Decision<'_>],
    symbols: &Choice<'_>,
    rows: &[Row],
) -> bool {
    let Some(table) = symbols.table else { return false };
    let stays = decisions.get(table.section.index());
    if stays.is_none_or(|decision| decision.rule != "kept-symbols") {
        return false;
    }
    let indices = Indices::new(decisions.len(), rows);
    let renumbered = |place: Place| matches!(place, Place::Section(id) if indices.of(id.0) != id.0);
    let changes = rows.len() != decisions.len() || rows.contains(&Row::Note);
    !symbols.keeps_all()
        || changes && elf.header().section_names == Some(table.names_section)
        || symbols.symbols().any(|symbol| renumbered(symbol.place))
}

/// What cannot be slimmed.
fn refuse(elf: &Elf<'_>) -> Result<(), Error> {
    match elf.header().kind {
        elf::ET_CORE => return Err(Error::Core),
        elf::ET_EXEC | elf::ET_DYN | elf::ET_REL => {}
        other => return Err(Error::UnknownType { kind: other.0 }),
    }
    if is_packed(elf) {
        return Err(Error::Packed);
    }
    let loads = elf.segments().iter().any(|segment| segment.file_size != 0);
    if elf.sections().len() <= 1 || loads && elf.loaded_sections().next().is_none() {
        return Err(Error::NoSections);
    }
    if elf.header().section_names.is_none() {
        return Err(Error::NoNames);
    }
    if elf.segments().is_empty() && !elf.is_object() {
        return Err(Error::NoSegments);
    }
    if elf.is_debug_file() {
        return Err(Error::DebugFile);
    }
    if is_split_dwarf(elf) {
        return Err(Error::SplitDwarf);
    }
    Ok(())
}

/// Whether it is a `.dwo` or `.dwp` file, which linkers take for an object and which holds debug information alone (DWARF 5,
/// 7.3.2). An object that has its own (`-gsplit-dwarf=single`) has code as well.
fn is_split_dwarf(elf: &Elf<'_>) -> bool {
    let mut sections = elf.sections().iter();
    elf.is_object()
        && !sections.clone().any(|section| section.is_loaded() && section.size != 0)
        && sections.any(|section| section.name.ends_with(b".dwo"))
}

/// Whether UPX packed it: its loader's header stands behind the program headers (UPX, src/p_unix.h: `l_info`, of which
/// the second word is the mark), and its pack header at the end. Newer versions leave section headers of their own.
fn is_packed(elf: &Elf<'_>) -> bool {
    const MARK: &[u8] = b"UPX!";
    const PACK_HEADER: u64 = 64;
    let has_no_sections = elf.sections().len() <= 1;
    let behind = elf.segments_range().end + 4;
    let ends_so = || {
        let end = elf.bytes(elf.len().saturating_sub(PACK_HEADER)..elf.len());
        end.windows(MARK.len()).any(|window| window == MARK)
    };
    elf.bytes(behind..behind + 4) == MARK || has_no_sections && ends_so()
}
