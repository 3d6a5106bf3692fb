//! Split DWARF: whether a program's debug information is, for the most part, in `.dwo` files or a `.dwp`.

use gimli::{DwAt, EndianSlice, RunTimeEndian};
use object::Endianness;

use crate::elf::{Elf, Error};

/// How many compilation units left their contents in `.dwo` files (DWARF 5, section 7.3.1, and GCC's and LLVM's form of it
/// for DWARF 4). Units behind one that cannot be read are not counted.
pub fn split_units(elf: &Elf<'_>) -> Result<usize, Error> {
    // A unit that was split names addresses by their index there.
    if elf.debug_section(b".debug_addr").is_none() {
        return Ok(0);
    }
    let endian = match elf.header().endian {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    };
    let contents = |name: &[u8]| match elf.debug_section(name) {
        Some(section) => elf.contents(section),
        None => Ok(Default::default()),
    };
    let (info, abbreviations) = (contents(b".debug_info")?, contents(b".debug_abbrev")?);
    let info = gimli::DebugInfo::from(EndianSlice::new(&info, endian));
    let abbreviations = gimli::DebugAbbrev::from(EndianSlice::new(&abbreviations, endian));
    let names_dwo = |unit: &gimli::UnitHeader<_>| -> Option<bool> {
        let abbreviations = unit.abbreviations(&abbreviations).ok()?;
        let mut root = unit.entries_tree(&abbreviations, None).ok()?;
        let root = root.root().ok()?;
        let is_name =
            |name: DwAt| matches!(name, gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name);
        Some(root.entry().attrs().iter().any(|attribute| is_name(attribute.name())))
    };
    let mut units = info.units();
    let mut count = 0;
    while let Ok(Some(unit)) = units.next() {
        count += usize::from(names_dwo(&unit).unwrap_or(false));
    }
    Ok(count)
}
