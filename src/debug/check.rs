//! Holds a finished layout of the debug file against the law that nothing is lost, before a byte is written.
//!
//! It reads the file as a debugger would and compares it with the input: every section that left, every header, the
//! program headers, the build-id, and symbol by symbol where their names were merged. What was compressed has been
//! unpacked and compared part by part, right after it was made (see [`super::codec`]); here its header and place count.

use std::borrow::Cow;
use std::collections::BTreeSet;

use object::elf;

use super::in_debug;
use crate::elf::{Elf, Section, SectionId, SymbolTable};
use crate::inspect;
use crate::parallel;
use crate::slim::{Broken, Error, Layout, Plan};

/// What stands in the debug file in another form than in the input.
#[derive(Default)]
pub(super) struct Made {
    /// Sections whose contents were compressed or decompressed.
    pub(super) recoded: BTreeSet<SectionId>,
    /// Whether the symbols' names were merged.
    pub(super) merged: bool,
}

/// Compares the layout of a debug file with the input.
pub(super) fn layout(
    elf: &Elf<'_>,
    plan: &Plan<'_>,
    layout: &Layout<'_>,
    made: &Made,
) -> Result<(), Error> {
    let tables = plan.symbols.table.filter(|_| made.merged);
    let tables = tables
        .iter()
        .flat_map(|table| [Some(table.section), Some(table.names_section), table.extended_section]);
    let names = [elf.header().section_names].into_iter().chain(tables).flatten();
    let ranges: Vec<_> = names.filter_map(|id| layout.place(id)).collect();
    let bytes = layout.outline(&ranges);
    let debug = Elf::parse(&bytes).map_err(|error| Error::Broken(Broken::Unreadable(error)))?;
    let lost = |what: &str| Error::Broken(Broken::DebugFile(what.to_owned()));
    if debug.segments() != elf.segments() {
        return Err(lost("the program headers"));
    }
    // A new note is the last section.
    let (count, added) = (elf.sections().len(), debug.sections().get(elf.sections().len()..));
    let added = added.unwrap_or_default();
    let mut notes = added.iter().zip(&plan.note);
    if added.len() != usize::from(plan.note.is_some())
        || !notes.all(|(section, note)| layout.is_at(section.range(), &note.contents))
    {
        return Err(lost("the build-id"));
    }
    if plan.note.is_none() && inspect::build_id(&debug) != inspect::build_id(elf) {
        return Err(lost("the build-id"));
    }
    if debug.sections().len() < count {
        return Err(lost("the section headers"));
    }
    for (old, new) in elf.sections().iter().zip(debug.sections()) {
        let is_renamed = made.recoded.contains(&old.id);
        let name = if is_renamed { old.debug_name() } else { Cow::Borrowed(old.name) };
        let same_header = (new.name, new.address, new.link, new.info, new.entry_size)
            == (&*name, old.address, old.link, old.info, old.entry_size);
        let is_names = elf.header().section_names == Some(old.id);
        let same = !in_debug(plan, old)
            || new.kind == old.kind
                && if made.recoded.contains(&old.id) {
                    layout.place(old.id) == Some(new.range())
                        && plain_form(elf, old)? == plain_form(&debug, new)?
                } else {
                    layout.is_at(new.range(), old.data)
                        || is_names && new.data.starts_with(old.data)
                        || made.merged
                            && plan.symbols.table.is_some_and(|table| table.holds(old.id))
                };
        if !same_header || !same {
            return Err(lost(&old.display_name()));
        }
    }
    if let Some(table) = plan.symbols.table.filter(|_| made.merged) {
        let symbols = debug.symbols(elf::SHT_SYMTAB);
        let symbols = symbols.map_err(|error| Error::Broken(Broken::Unreadable(error)))?;
        if !symbols.is_some_and(|symbols| same_symbols(&symbols, &table)) {
            return Err(lost("the symbols"));
        }
    }
    Ok(())
}

/// Whether two tables have the same symbols under the same names, wherever those stand.
fn same_symbols(one: &SymbolTable<'_>, other: &SymbolTable<'_>) -> bool {
    const PART: u64 = 1 << 13;
    let starts: Vec<u64> = (1..one.len()).step_by(PART as usize).collect();
    let compare = |(): &mut (), start: &u64| {
        let same = (*start..start + PART).all(|index| one.get(index) == other.get(index));
        if same { Ok(()) } else { Err(()) }
    };
    one.len() == other.len() && parallel::each(parallel::cores(), &starts, || (), compare).is_ok()
}

/// Size and alignment of a section as its readers see it.
fn plain_form(elf: &Elf<'_>, section: &Section<'_>) -> Result<(u64, u64), Error> {
    Ok(match elf.compressed(section)? {
        Some(compressed) => (compressed.size, compressed.align),
        None => (section.size, section.align),
    })
}
