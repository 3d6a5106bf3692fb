//! What an object file names by index: relocations and groups name symbols, groups name sections.
//!
//! A linker needs the symbols that they name, and when symbols or sections leave, all of them follow.

use object::elf;

use super::headers::Indices;
use super::{Decision, Error, Plan};
use crate::elf::{Elf, Relocations, Section, SectionId, SymbolTable};

/// A table of addresses that matter (LLVM, "Extensions": SHT_LLVM_ADDRSIG): a linker passes over it where its link is 0.
pub(super) const ADDRESSES: elf::SectionType = elf::SectionType(0x6fff_4c03);

/// For each symbol the section that needs it: relocations that stay, or a group that stays, whose name it is.
pub(super) fn needed(
    elf: &Elf<'_>,
    table: Option<&SymbolTable<'_>>,
    decisions: &[Decision<'_>],
) -> Result<Vec<Option<SectionId>>, Error> {
    let mut needed = vec![None; table.map_or(1, |table| table.len().max(1)) as usize];
    let stays = |section: &&Section<'_>| {
        decisions.get(section.id.index()).is_some_and(|decision| decision.fate.is_in_slim())
    };
    for section in elf.sections().iter().filter(stays) {
        let fixed = |reason| {
            let name = section.display_name();
            Error::SymbolsFixed { section: section.id.0, name, reason }
        };
        let mut need = |symbol: u32| {
            let place = needed.get_mut(symbol as usize);
            let place = place.ok_or(fixed("it names a symbol that there is not"))?;
            place.get_or_insert(section.id);
            Ok::<_, Error>(())
        };
        let relocations = Relocations::of(elf, section);
        if relocations.is_none() && section.kind != elf::SHT_GROUP {
            if section.kind == elf::SHT_CREL {
                return Err(fixed("its relocations are packed (SHT_CREL)"));
            }
            continue;
        }
        if table.is_some_and(|table| table.section.0 != section.link) {
            return Err(fixed("it belongs to another symbol table"));
        }
        match relocations {
            Some(relocations) if !relocations.is_whole() => {
                return Err(fixed("its size is not that of whole relocations"));
            }
            Some(relocations) => relocations.symbols().try_for_each(need)?,
            None => need(section.info)?,
        }
    }
    Ok(needed)
}

/// The index that a symbol has in the slim file; 0 where it left.
pub(super) fn symbol_index(plan: &Plan<'_>, old: u32) -> u32 {
    let kept = &plan.symbols.kept;
    if plan.symbols.keeps_all() {
        return old;
    }
    let found = kept.binary_search_by_key(&u64::from(old), |kept| kept.symbol.index);
    found.map_or(0, |position| position as u32 + 1)
}

/// The contents of relocations and groups with the indices of the slim file; `None` where they are as they were.
pub(super) fn renumbered(
    elf: &Elf<'_>,
    plan: &Plan<'_>,
    indices: &Indices,
    section: &Section<'_>,
) -> Option<Vec<u8>> {
    if !elf.is_object() {
        return None;
    }
    if let Some((flags, members)) = elf.group(section) {
        let members = members.iter().filter(|member| plan.fate(**member).is_in_slim());
        let words = std::iter::once(flags).chain(members.map(|member| indices.of(member.0)));
        return Some(words.flat_map(|word| elf.word(word)).collect());
    }
    let relocations = Relocations::of(elf, section).filter(|_| !plan.symbols.keeps_all())?;
    Some(relocations.renumbered(|old| symbol_index(plan, old)))
}
