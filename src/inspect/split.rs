//! Split DWARF: a program's debug information that lies, for the most part, in `.dwo` files or in one `.dwp` of them all.
//!
//! What the linker saw of a unit, its skeleton, names its other half by a number. So a `.dwp` belongs to a program if
//! its index has the numbers of the program's units, and a debugger looks for nothing else.

use std::borrow::Cow;
use std::collections::HashSet;

use gimli::{AttributeValue, DwAt, DwForm, EndianSlice, Reader, RunTimeEndian, UnitType};
use object::{Endian, Endianness};

use crate::elf::{Elf, Error};

/// The units of a program that have their contents elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitUnits {
    /// The number of each (DWARF 5, section 7.5.1.3; `DW_AT_GNU_dwo_id` before).
    ids: Vec<u64>,
    /// The highest version of DWARF among them.
    pub version: u16,
}

/// Why a `.dwp` cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoIndex {
    /// Its headers are damaged.
    #[error(transparent)]
    Elf(#[from] Error),
    /// There is no index of units, or not a whole one.
    #[error("its index of units (.debug_cu_index) is not there or damaged")]
    Damaged,
}

impl SplitUnits {
    /// Those of a program or its debug file (DWARF 5, section 7.3.1, and GCC's and LLVM's form of it for DWARF 4). Units
    /// behind one that cannot be read are not among them.
    pub fn of(elf: &Elf<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        // A unit that was split names addresses by their index there.
        if elf.debug_section(b".debug_addr").is_none() {
            return Ok(found);
        }
        let (endian, abbreviations) = (byte_order(elf), contents(elf, b".debug_abbrev")?);
        // To look at the units of a large program costs as much as to strip it.
        if names_dwo(EndianSlice::new(&abbreviations, endian)).is_ok_and(|found| !found) {
            return Ok(found);
        }
        let info = contents(elf, b".debug_info")?;
        let info = gimli::DebugInfo::from(EndianSlice::new(&info, endian));
        let abbreviations = gimli::DebugAbbrev::from(EndianSlice::new(&abbreviations, endian));
        let mut units = info.units();
        while let Ok(Some(unit)) = units.next() {
            if let Some(id) = id(&unit, &abbreviations) {
                found.ids.push(id);
                found.version = found.version.max(unit.version());
            }
        }
        Ok(found)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many of them a `.dwp` does not have.
    pub fn missing_from(&self, dwp: &Elf<'_>) -> Result<usize, NoIndex> {
        let index = contents(dwp, b".debug_cu_index")?;
        let there = ids_in_index(&index, dwp.header().endian).ok_or(NoIndex::Damaged)?;
        Ok(self.ids.iter().filter(|id| !there.contains(id)).count())
    }
}

/// The byte order of a file, as gimli wants it.
pub(crate) fn byte_order(elf: &Elf<'_>) -> RunTimeEndian {
    match elf.header().endian {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    }
}

fn contents<'data>(elf: &Elf<'data>, name: &[u8]) -> Result<Cow<'data, [u8]>, Error> {
    elf.debug_section(name).map_or(Ok(Cow::default()), |section| elf.contents(section))
}

/// The number by which a unit names its other half, where it has one.
fn id<'data>(
    unit: &gimli::UnitHeader<EndianSlice<'data, RunTimeEndian>>,
    abbreviations: &gimli::DebugAbbrev<EndianSlice<'data, RunTimeEndian>>,
) -> Option<u64> {
    if let UnitType::Skeleton(id) = unit.type_() {
        return Some(id.0);
    }
    let abbreviations = unit.abbreviations(abbreviations).ok()?;
    let mut root = unit.entries_tree(&abbreviations, None).ok()?;
    let root = root.root().ok()?;
    let value = |name: DwAt| {
        let mut attributes = root.entry().attrs().iter();
        attributes.find(|attribute| attribute.name() == name).map(gimli::Attribute::value)
    };
    value(gimli::DW_AT_GNU_dwo_name)?;
    match value(gimli::DW_AT_GNU_dwo_id)? {
        AttributeValue::DwoId(id) => Some(id.0),
        _ => None,
    }
}

/// Whether any abbreviation has the name of another half among its attributes (DWARF 5, section 7.5.3). Few programs' do.
fn names_dwo(mut tables: EndianSlice<'_, RunTimeEndian>) -> gimli::Result<bool> {
    while !tables.is_empty() {
        // A code of 0 ends a table.
        if tables.read_uleb128()? == 0 {
            continue;
        }
        let (_tag, _has_children) = (tables.read_uleb128()?, tables.read_u8()?);
        loop {
            let (name, form) = (tables.read_uleb128_u16()?, tables.read_uleb128_u16()?);
            match (DwAt(name), DwForm(form)) {
                (DwAt(0), DwForm(0)) => break,
                (gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name, _) => return Ok(true),
                (_, gimli::DW_FORM_implicit_const) => drop(tables.read_sleb128()?),
                _ => {}
            }
        }
    }
    Ok(false)
}

/// The numbers in an index of units (DWARF 5, section 7.3.5.3: a header, a table of numbers, a table of rows). Of an unused
/// place the row is 0.
fn ids_in_index(index: &[u8], endian: Endianness) -> Option<HashSet<u64>> {
    const HEADER: usize = 16;
    let slots = endian.read_u32(*index.get(12..)?.first_chunk()?);
    let (ids, rest) = index.get(HEADER..)?.split_at_checked((slots as usize).checked_mul(8)?)?;
    let rows = rest.get(..(slots as usize).checked_mul(4)?)?;
    let used = ids.as_chunks::<8>().0.iter().zip(rows.as_chunks::<4>().0);
    let used = used.filter(|(_, row)| **row != [0; 4]);
    Some(used.map(|(id, _)| endian.read_u64(*id)).collect())
}
