//! Holds the relocations and groups of a slimmed object file against those of the input: behind other indices they name
//! the same symbols and sections.

use super::Plan;
use crate::elf::{Elf, Error, Place, Relocations, Section, SectionId, Symbol};

/// The two files, and their symbols in the order of their tables.
pub(super) struct References<'check, 'data> {
    old: &'check Elf<'data>,
    new: &'check Elf<'data>,
    old_symbols: Vec<Symbol<'data>>,
    new_symbols: Vec<Symbol<'data>>,
}

impl<'check, 'data> References<'check, 'data> {
    /// Reads the symbols of both.
    pub(super) fn new(old: &'check Elf<'data>, new: &'check Elf<'data>) -> Result<Self, Error> {
        let symbols = |elf: &Elf<'data>| {
            let table = elf.symbols(object::elf::SHT_SYMTAB)?;
            Ok::<_, Error>(table.iter().flat_map(|table| table.iter()).collect())
        };
        Ok(Self { old, new, old_symbols: symbols(old)?, new_symbols: symbols(new)? })
    }

    /// Whether the sections name the same; `None` where they name nothing by index.
    pub(super) fn same(
        &self,
        plan: &Plan<'_>,
        old: &Section<'_>,
        new: &Section<'_>,
    ) -> Option<bool> {
        if let (Some((old_flags, members)), Some((flags, new_members))) =
            (self.group(self.old, old), self.group(self.new, new))
        {
            let stay = members.iter().filter(|member| plan.fate(**member).is_in_slim());
            let same_members = stay.clone().count() == new_members.len()
                && stay.zip(&new_members).all(|(old, new)| self.same_section(*old, *new));
            return Some(
                flags == old_flags && same_members && self.same_symbol(old.info, new.info),
            );
        }
        let old = Relocations::of(self.old, old)?;
        let new = Relocations::of(self.new, new)?;
        let mut symbols = old.symbols().zip(new.symbols());
        Some(
            old.without_symbols() == new.without_symbols()
                && symbols.all(|(old, new)| self.same_symbol(old, new)),
        )
    }

    fn group(&self, elf: &Elf<'_>, section: &Section<'_>) -> Option<(u32, Vec<SectionId>)> {
        elf.section(section.id).and_then(|section| elf.group(section))
    }

    fn same_symbol(&self, old: u32, new: u32) -> bool {
        if old == 0 || new == 0 {
            return old == new;
        }
        let (old, new) =
            (self.old_symbols.get(old as usize - 1), self.new_symbols.get(new as usize - 1));
        old.zip(new).is_some_and(|(old, new)| {
            let same_place = match (old.place, new.place) {
                (Place::Section(old), Place::Section(new)) => self.same_section(old, new),
                (old, new) => old == new,
            };
            let facts = |symbol: &Symbol<'data>| {
                (symbol.name, symbol.value, symbol.size, symbol.info, symbol.other)
            };
            same_place && facts(old) == facts(new)
        })
    }

    /// Whether two sections have the same header, their place in the file and in the table aside.
    fn same_section(&self, old: SectionId, new: SectionId) -> bool {
        let facts =
            |section: &Section<'data>| (section.name, section.kind, section.flags, section.align);
        self.old.section(old).map(facts) == self.new.section(new).map(facts)
    }
}
