//! Symbol tables, decoded one symbol at a time.

use std::ops::Range;

use object::elf::{self, Sym32, Sym64};
use object::read::elf::Sym;
use object::{Endian, Endianness, pod};

use super::{Class, Elf, Error, Section, SectionId};

/// A symbol (gABI, "Symbol Table").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Its index in the table.
    pub index: u64,
    /// Its name, as it stands in the string table: mangled.
    pub name: &'data [u8],
    /// `st_value`
    pub value: u64,
    /// `st_size` in bytes.
    pub size: u64,
    /// `st_info`: binding and type.
    pub info: elf::SymbolInfo,
    /// `st_other`: visibility.
    pub other: elf::SymbolOther,
    /// Where it is defined.
    pub place: Place,
}

/// Where a symbol is defined (gABI, `st_shndx`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a section, SHT_SYMTAB_SHNDX resolved.
    Section(SectionId),
    /// SHN_UNDEF, SHN_ABS, SHN_COMMON or another reserved index.
    Reserved(u16),
}

impl Symbol<'_> {
    /// Whether the binding is local; local symbols come first in a table.
    pub fn is_local(&self) -> bool {
        self.info.0 >> 4 == elf::STB_LOCAL.0
    }

    /// Whether other files may be linked to it by its name, or it asks for one that may be absent.
    pub fn is_linked_to(&self) -> bool {
        let is_weak = self.info.0 >> 4 == elf::STB_WEAK.0;
        !self.is_local() && (is_weak || !self.is_undefined())
    }

    /// Whether it marks where code or data begins, which linkers for Arm and RISC-V read (AAELF64, "Mapping symbols").
    pub fn is_mapping(&self) -> bool {
        let named = matches!(
            self.name,
            // RISC-V ELF psABI, "Mapping Symbol": the instruction set may follow.
            [b'$', b'a' | b'd' | b't' | b'x']
                | [b'$', b'a' | b'd' | b't' | b'x', b'.', ..]
                | [b'$', b'x', b'r', b'v', ..]
        );
        named && self.info == elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_NOTYPE)
    }

    /// Whether it is defined somewhere else.
    pub fn is_undefined(&self) -> bool {
        self.place == Place::Reserved(elf::SHN_UNDEF.0)
    }

    /// Whether it is code that is called: STT_FUNC, or STT_GNU_IFUNC, whose code chooses the function.
    pub fn is_function(&self) -> bool {
        matches!(self.info.0 & 0xf, kind if kind == elf::STT_FUNC.0 || kind == elf::STT_GNU_IFUNC.0)
    }

    /// The name for people.
    pub fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

/// A symbol table whose every name and section index was checked.
#[derive(Debug, Clone, Copy)]
pub struct SymbolTable<'data> {
    class: Class,
    endian: Endianness,
    entries: &'data [u8],
    names: &'data [u8],
    /// The contents of the SHT_SYMTAB_SHNDX section that belongs to this table.
    extended: &'data [u8],
    /// The section of the symbols.
    pub section: SectionId,
    /// The section of their names.
    pub names_section: SectionId,
    /// The SHT_SYMTAB_SHNDX section that belongs to this table.
    pub extended_section: Option<SectionId>,
}

impl<'data> SymbolTable<'data> {
    /// Checks the table in `section`: sizes, every name, every section index.
    pub(super) fn new(elf: &Elf<'data>, section: &Section<'data>) -> Result<Self, Error> {
        let count = elf.sections().len() as u32;
        let missing = |what, section| Error::NoSuchSection { what, section, count };
        let names = elf
            .section(SectionId(section.link))
            .ok_or(missing("the symbol table (sh_link)", section.link))?;
        if names.kind != elf::SHT_STRTAB {
            return Err(Error::NoStringTable { section: names.id.0 });
        }
        let extended = elf
            .sections()
            .iter()
            .find(|other| other.kind == elf::SHT_SYMTAB_SHNDX && other.link == section.id.0);
        let table = Self {
            class: elf.header().class,
            endian: elf.header().endian,
            entries: section.data,
            names: names.data,
            extended: extended.map(|section| section.data).unwrap_or_default(),
            section: section.id,
            names_section: names.id,
            extended_section: extended.map(|section| section.id),
        };
        let entry = table.entry_size();
        if !(section.data.len() as u64).is_multiple_of(entry) {
            let size = section.data.len() as u64;
            return Err(Error::TableSize { section: section.id.0, size, entry });
        }
        let mut room = room_for_names(table.len());
        for index in 0..table.len() {
            let symbol = table.decode(index)?;
            room = room
                .checked_sub(symbol.name.len() as u64)
                .ok_or(Error::LongNames { what: "symbols" })?;
            if let Place::Section(id) = symbol.place
                && id.0 >= count
            {
                return Err(missing("a symbol (st_shndx)", id.0));
            }
        }
        Ok(table)
    }

    /// Whether a section is part of the table: the symbols, their names, or their extended section indices.
    pub fn holds(&self, section: SectionId) -> bool {
        section == self.section
            || section == self.names_section
            || Some(section) == self.extended_section
    }

    /// The number of symbols, the null symbol included.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64 / self.entry_size()
    }

    /// Whether there is no symbol but the null symbol.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The symbols in order, without the null symbol.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'data>> + '_ {
        (1..self.len()).filter_map(|index| self.get(index))
    }

    /// A symbol by its index.
    pub fn get(&self, index: u64) -> Option<Symbol<'data>> {
        // Every symbol decoded when the table was checked.
        (index < self.len()).then(|| self.decode(index).ok()).flatten()
    }

    /// The bytes that hold a symbol's `st_value` (gABI, "Symbol Table"), from the beginning of the table.
    pub fn value_field(&self, index: u64) -> Range<u64> {
        let entry = index * self.entry_size();
        match self.class {
            Class::Elf32 => entry + 4..entry + 8,
            Class::Elf64 => entry + 8..entry + 16,
        }
    }

    /// The size of an entry in bytes.
    pub fn entry_size(&self) -> u64 {
        match self.class {
            Class::Elf32 => size_of::<Sym32<Endianness>>() as u64,
            Class::Elf64 => size_of::<Sym64<Endianness>>() as u64,
        }
    }

    fn decode(&self, index: u64) -> Result<Symbol<'data>, Error> {
        match self.class {
            Class::Elf32 => self.decode_as::<Sym32<Endianness>>(index),
            Class::Elf64 => self.decode_as::<Sym64<Endianness>>(index),
        }
    }

    fn decode_as<S: Sym<Endian = Endianness>>(&self, index: u64) -> Result<Symbol<'data>, Error> {
        let truncated = || Error::TableSize {
            section: self.section.0,
            size: self.entries.len() as u64,
            entry: self.entry_size(),
        };
        let start = usize::try_from(index * self.entry_size()).map_err(|_| truncated())?;
        let (raw, _) = self
            .entries
            .get(start..)
            .and_then(|rest| pod::from_bytes::<S>(rest).ok())
            .ok_or_else(truncated)?;
        let offset = raw.st_name(self.endian);
        let place = match raw.st_shndx(self.endian) {
            elf::SHN_XINDEX => Place::Section(SectionId(self.extended_index(index)?)),
            special if special.is_special() => Place::Reserved(special.0),
            index => Place::Section(SectionId(index.0.into())),
        };
        Ok(Symbol {
            index,
            name: name_at(self.names, offset).ok_or(Error::Name {
                what: "symbol",
                index,
                offset,
            })?,
            value: raw.st_value(self.endian).into(),
            size: raw.st_size(self.endian).into(),
            info: raw.st_info(),
            other: raw.st_other(),
            place,
        })
    }

    /// The true section index of a symbol whose st_shndx is SHN_XINDEX (gABI, "SHT_SYMTAB_SHNDX").
    fn extended_index(&self, index: u64) -> Result<u32, Error> {
        let missing = Error::TableSize {
            section: self.extended_section.unwrap_or(self.section).0,
            size: self.extended.len() as u64,
            entry: 4,
        };
        let start = usize::try_from(index * 4).map_err(|_| missing.clone())?;
        let word = self.extended.get(start..).and_then(|rest| rest.first_chunk::<4>());
        let word = *word.ok_or(missing)?;
        Ok(self.endian.read_u32(word))
    }
}

/// How long so many names may be together. Names share bytes, so that a small table can give every symbol a name of
/// megabytes, and looking at each would take hours.
pub(super) fn room_for_names(count: u64) -> u64 {
    const MOST_ON_AVERAGE: u64 = 4096;
    (1 << 20) + count.saturating_mul(MOST_ON_AVERAGE)
}

/// The zero-terminated name at `offset` of a string table. Offset 0 of an absent table is the empty name.
pub(super) fn name_at(names: &[u8], offset: u32) -> Option<&[u8]> {
    if offset == 0 && names.is_empty() {
        return Some(&[]);
    }
    let rest = names.get(offset as usize..)?;
    rest.get(..memchr::memchr(0, rest)?)
}
