//! Section headers and names for the sections that stay, and a symbol table of the symbols that stay.
//!
//! Sections lose neighbours, so their indices change; every field that names a section follows
//! (gABI, "sh_link and sh_info Interpretation"): `sh_link`, `sh_info` where it is an index, `st_shndx` and
//! SHT_SYMTAB_SHNDX. A link to a section that leaves becomes 0, as GNU strip does for the `.rela.plt`
//! of static glibc programs. `.dynsym` is loaded, so its `st_shndx` stay as they are.

use object::elf;
use object::write::elf::Sym;
use object::write::{StringId, StringTable};

use super::Error;
use super::fate::Row;
use crate::elf::{Elf, Place, SectionId, Symbol};

/// The new indices of the sections that stay.
pub(super) struct Indices(Vec<u32>);

impl Indices {
    /// Numbers the sections of the slim file, of so many that the input has.
    pub(super) fn new(count: usize, rows: &[Row]) -> Self {
        let mut indices = vec![0; count];
        for (index, row) in (0..).zip(rows) {
            if let Row::Section(old) = row
                && let Some(place) = indices.get_mut(old.index())
            {
                *place = index;
            }
        }
        Self(indices)
    }

    /// The new index of a section; 0 where it left.
    pub(super) fn of(&self, old: u32) -> u32 {
        self.0.get(old as usize).copied().unwrap_or(0)
    }
}

/// The string tables of the slim file, and where each name stands in them.
pub(super) struct Names {
    /// The contents of the section names.
    pub(super) sections: Vec<u8>,
    /// The contents of the symbol names; empty where the symbols' names stand among the sections'.
    pub(super) symbols: Vec<u8>,
    /// One for each name given, in order.
    pub(super) section_offsets: Vec<u32>,
    symbol_offsets: Vec<u32>,
}

impl Names {
    /// Lays out the names of sections and of the symbols that stay; `shared` where one table holds both.
    pub(super) fn new<'data>(
        elf: &Elf<'data>,
        section_names: impl Iterator<Item = &'data [u8]>,
        symbols: &[Symbol<'data>],
        shared: bool,
    ) -> Result<Self, Error> {
        let (mut of_sections, mut of_symbols) = (StringTable::new(), StringTable::new());
        let sections: Vec<_> = section_names.map(|name| of_sections.add(name)).collect();
        let target = if shared { &mut of_sections } else { &mut of_symbols };
        let symbols: Vec<_> = symbols.iter().map(|symbol| target.add(symbol.name)).collect();
        let encode = |table: &mut StringTable<'_>| {
            let mut bytes = Vec::new();
            elf.encoder().strtab(&mut bytes, table).map_err(|_| Error::TooManyNames)?;
            Ok::<_, Error>(bytes)
        };
        let section_bytes = encode(&mut of_sections)?;
        let symbol_bytes = if shared { Vec::new() } else { encode(&mut of_symbols)? };
        // The empty name is at 0, where every string table begins with one.
        let offset = |table: &StringTable<'_>, id| match table.get_string(id) {
            b"" => 0,
            _ => table.get_offset(id),
        };
        let offsets = |table: &StringTable<'_>, ids: &[StringId]| {
            ids.iter().map(|&id| offset(table, id)).collect()
        };
        let target = if shared { &of_sections } else { &of_symbols };
        Ok(Self {
            section_offsets: offsets(&of_sections, &sections),
            symbol_offsets: offsets(target, &symbols),
            sections: section_bytes,
            symbols: symbol_bytes,
        })
    }
}

/// A symbol table of the symbols that stay.
pub(super) struct KeptSymbols {
    /// The contents of the symbol table.
    pub(super) entries: Vec<u8>,
    /// The contents of the SHT_SYMTAB_SHNDX section beside it.
    pub(super) extended: Vec<u8>,
    /// `sh_info`: one more than the index of the last local symbol (gABI, "Symbol Table").
    pub(super) first_global: u32,
}

impl KeptSymbols {
    /// Encodes the symbols that stay, the null symbol first.
    pub(super) fn new(
        elf: &Elf<'_>,
        symbols: &[Symbol<'_>],
        indices: &Indices,
        names: &Names,
    ) -> Self {
        let encoder = elf.encoder();
        let mut kept =
            Self { entries: Vec::new(), extended: elf.word(0).to_vec(), first_global: 1 };
        encoder.null_symbol(&mut kept.entries);
        for (index, (symbol, &st_name)) in (1..).zip(symbols.iter().zip(&names.symbol_offsets)) {
            let (section, st_shndx) = match symbol.place {
                Place::Section(SectionId(old)) => (Some(indices.of(old)), elf::SHN_UNDEF),
                Place::Reserved(index) => (None, elf::SymbolSection(index)),
            };
            let raw = Sym {
                section,
                st_name,
                st_info: symbol.info,
                st_other: symbol.other,
                st_shndx,
                st_value: symbol.value,
                st_size: symbol.size,
            };
            let extended = encoder.symbol(&mut kept.entries, &raw).unwrap_or(0);
            kept.extended.extend(elf.word(extended));
            if symbol.is_local() {
                kept.first_global = index + 1;
            }
        }
        kept
    }
}
