//! Holds a finished layout of the debug file against the law that nothing is lost, before a byte is written.
//!
//! It reads the file as a debugger would and compares it with the input: every section that left, decompressed where
//! it was compressed, every header, the program headers, the build-id.

use super::in_debug;
use crate::elf::{Elf, Section};
use crate::inspect;
use crate::slim::{Broken, Error, Layout, Plan};

/// Compares the layout of a debug file with the input.
pub(super) fn layout(elf: &Elf<'_>, plan: &Plan<'_>, layout: &Layout<'_>) -> Result<(), Error> {
    let bytes = layout.to_vec();
    let debug = Elf::parse(&bytes).map_err(|error| Error::Broken(Broken::Unreadable(error)))?;
    let lost = |what: &str| Error::Broken(Broken::DebugFile(what.to_owned()));
    if debug.segments() != elf.segments() {
        return Err(lost("the program headers"));
    }
    if inspect::build_id(&debug) != inspect::build_id(elf) {
        return Err(lost("the build-id"));
    }
    if debug.sections().len() != elf.sections().len() {
        return Err(lost("the section headers"));
    }
    for (old, new) in elf.sections().iter().zip(debug.sections()) {
        let same_header = (new.name, new.address, new.link, new.info, new.entry_size)
            == (old.name, old.address, old.link, old.info, old.entry_size);
        if !same_header || in_debug(plan, old) && !same_contents(elf, old, &debug, new)? {
            return Err(lost(&old.display_name()));
        }
    }
    Ok(())
}

fn same_contents(
    elf: &Elf<'_>,
    old: &Section<'_>,
    debug: &Elf<'_>,
    new: &Section<'_>,
) -> Result<bool, Error> {
    Ok(new.kind == old.kind
        && (new.data == old.data || elf.contents(old)? == debug.contents(new)?))
}
