//! The plan: a fate and a rule for each section, and which symbols stay.

use std::ops::Range;

use object::elf;

use super::symbols::Choice;
use super::{Error, Leaving, Options, rules};
use crate::elf::{Elf, Place, Section, SectionId, overlaps};

/// Where a section goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Into the slim file; the debug file has its header alone.
    Keep,
    /// Into the debug file.
    Debug,
    /// Into both files.
    Both,
    /// Nowhere, because the user said so.
    Drop,
}

impl Fate {
    /// Whether the slim file has the section.
    pub fn is_in_slim(self) -> bool {
        matches!(self, Self::Keep | Self::Both)
    }

    /// Whether the debug file has its contents.
    pub fn is_in_debug(self) -> bool {
        matches!(self, Self::Debug | Self::Both)
    }

    /// One word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Debug => "debug",
            Self::Both => "both",
            Self::Drop => "drop",
        }
    }
}

/// One section's fate, and the name of the rule that settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'data> {
    /// Which section.
    pub section: SectionId,
    /// Its name.
    pub name: &'data [u8],
    /// Where it goes.
    pub fate: Fate,
    /// Why.
    pub rule: &'static str,
}

/// Everything that is decided about one input.
#[derive(Debug, Clone)]
pub struct Plan<'data> {
    /// One for each section, in the order of the section headers.
    pub decisions: Vec<Decision<'data>>,
    /// Which symbols stay.
    pub symbols: Choice<'data>,
    /// Stretches of the input with contents that no section and no segment owns; they stay.
    pub unowned: Vec<Range<u64>>,
    /// The bytes of the input that must not move, sorted.
    pub(super) loaded: Vec<Range<u64>>,
}

impl<'data> Plan<'data> {
    /// Decides. Nothing after this decides anything.
    pub fn new(elf: &Elf<'data>, options: &Options) -> Result<Self, Error> {
        refuse(elf)?;
        let loaded = elf.loaded_ranges();
        let symbols = Choice::new(elf, &options.symbols)?;
        let mut decisions = rules::decide(elf, &symbols, &loaded)?;
        if options.leaving == Leaving::Dropped {
            for decision in decisions.iter_mut().filter(|decision| decision.fate == Fate::Debug) {
                decision.fate = Fate::Drop;
            }
        }
        let unowned = elf.map().unowned(elf).map(|span| span.range.clone()).collect();
        let plan = Self { decisions, symbols, unowned, loaded };
        plan.check_places(elf)?;
        Ok(plan)
    }

    /// Whether anything leaves the slim file; otherwise the input is slim already.
    pub fn leaves(&self) -> bool {
        self.decisions.iter().any(|decision| matches!(decision.fate, Fate::Debug | Fate::Drop))
            || self.rebuilds_symbols()
    }

    /// The fate of a section; sections that do not exist are kept nowhere.
    pub fn fate(&self, section: SectionId) -> Fate {
        self.decisions.get(section.index()).map_or(Fate::Drop, |decision| decision.fate)
    }

    /// Whether the slim file gets a symbol table with only some of the input's symbols.
    pub fn rebuilds_symbols(&self) -> bool {
        self.symbols.keeps_any()
            && !self.symbols.keeps_all()
            && self.symbols.table.is_some_and(|table| {
                self.decisions
                    .get(table.section.index())
                    .is_some_and(|decision| decision.rule == "kept-symbols")
            })
    }

    /// The sections of the slim file, in the order of its section headers.
    pub fn in_slim(&self) -> impl Iterator<Item = SectionId> + '_ {
        self.decisions
            .iter()
            .filter(|decision| decision.fate.is_in_slim())
            .map(|decision| decision.section)
    }

    /// A section is either loaded or not, and a kept symbol's section stays.
    fn check_places(&self, elf: &Elf<'_>) -> Result<(), Error> {
        for section in elf.sections().iter().filter(|section| section.has_contents()) {
            if overlaps(&section.range(), &self.loaded).is_none() {
                let range = section.range();
                return Err(Error::Straddles {
                    section: section.id.0,
                    start: range.start,
                    end: range.end,
                });
            }
        }
        for symbol in &self.symbols.kept {
            if let Place::Section(id) = symbol.place
                && !self.fate(id).is_in_slim()
            {
                let section = elf.section(id).map(Section::display_name).unwrap_or_default();
                return Err(Error::SymbolLeaves { symbol: symbol.display_name(), section });
            }
        }
        Ok(())
    }
}

/// What cannot be slimmed.
fn refuse(elf: &Elf<'_>) -> Result<(), Error> {
    match elf.header().kind {
        elf::ET_REL => return Err(Error::Object),
        elf::ET_CORE => return Err(Error::Core),
        elf::ET_EXEC | elf::ET_DYN => {}
        other => return Err(Error::UnknownType { kind: other.0 }),
    }
    if elf.sections().len() <= 1 {
        return Err(Error::NoSections);
    }
    if elf.is_debug_file() {
        return Err(Error::DebugFile);
    }
    Ok(())
}
