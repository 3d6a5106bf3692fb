//! `.gnu_debugdata`: the names of the functions that leave, for whoever has the slim file alone (GDB manual,
//! "MiniDebugInfo").
//!
//! It is a small ELF file, compressed with xz: the program headers, the headers of the loaded sections without contents, and a
//! symbol table of the functions. gdb, lldb and elfutils read it; lines, locals and types are in the debug file alone.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use lzma_rust2::{CheckType, XzOptions, XzReader, XzWriter};
use object::Endianness;
use object::elf::{self, Sym32, Sym64};
use object::write::elf::SectionHeader;

use super::fate::Row;
use super::headers::{Indices, KeptSymbols, Names};
use super::symbols::Choice;
use super::{Broken, Error, Holds, Layout, Piece};
use crate::elf::{Elf, Place, Section, SectionTable, Symbol};

/// The section's name.
pub(super) const NAME: &[u8] = b".gnu_debugdata";

/// What `xz` does without a level. Higher ones look further back than most of these files are long.
const LEVEL: u32 = 6;

/// The functions that a slim file without the debug file would have no names for: those whose symbols leave, and which
/// no dynamic symbol names either. None where the input has such a section already.
pub(super) fn functions<'data>(
    elf: &Elf<'data>,
    choice: &Choice<'data>,
) -> Result<Vec<Symbol<'data>>, Error> {
    let Some(table) = choice.table.filter(|_| elf.section_named(NAME).is_none()) else {
        return Ok(Vec::new());
    };
    let dynamic = elf.symbols(elf::SHT_DYNSYM)?;
    let dynamic = dynamic.iter().flat_map(|table| table.iter());
    let dynamic: HashSet<_> =
        dynamic.filter(|symbol| !symbol.is_undefined()).map(|symbol| symbol.name).collect();
    let mut kept = choice.symbols().map(|symbol| symbol.index).peekable();
    let leaves = |symbol: &Symbol<'data>| kept.next_if_eq(&symbol.index).is_none();
    let names_code = |symbol: &Symbol<'data>| {
        !symbol.is_undefined()
            && !symbol.name.is_empty()
            && !dynamic.contains(symbol.name)
            && (symbol.is_function() || is_label(elf, symbol))
    };
    Ok(table.iter().filter(leaves).filter(names_code).collect())
}

/// Whether it is a function of an assembler file that does not say so.
fn is_label(elf: &Elf<'_>, symbol: &Symbol<'_>) -> bool {
    let Place::Section(id) = symbol.place else { return false };
    let is_code =
        |section: &Section<'_>| section.flags.0 & elf::SHF_EXECINSTR.0 != 0 && section.is_loaded();
    symbol.info.0 & 0xf == elf::STT_NOTYPE.0
        && !symbol.is_mapping()
        && elf.section(id).is_some_and(is_code)
}

/// The contents of the section.
pub(super) fn section(elf: &Elf<'_>, functions: &[Symbol<'_>]) -> Result<Vec<u8>, Error> {
    let plain = file(elf, functions)?;
    let broken = || Error::Broken(Broken::Section(String::from_utf8_lossy(NAME).into_owned()));
    let packed = pack(&plain).map_err(|_| broken())?;
    // What is compressed is read back before anybody gets it.
    if unpack(&packed, plain.len()).is_ok_and(|again| again == plain) {
        Ok(packed)
    } else {
        Err(broken())
    }
}

fn pack(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut options = XzOptions::with_preset(LEVEL);
    options.set_check_sum_type(CheckType::Crc32);
    let mut writer = XzWriter::new(Vec::new(), options)?;
    writer.write_all(plain)?;
    writer.finish()
}

fn unpack(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(len + 1);
    XzReader::new(packed, false).take(len as u64 + 1).read_to_end(&mut plain)?;
    Ok(plain)
}

/// The small ELF file.
fn file(elf: &Elf<'_>, functions: &[Symbol<'_>]) -> Result<Vec<u8>, Error> {
    let loaded: Vec<&Section<'_>> =
        elf.sections().iter().filter(|section| section.id.0 == 0 || section.is_loaded()).collect();
    let rows: Vec<Row> = loaded.iter().map(|section| Row::Section(section.id)).collect();
    let indices = Indices::new(elf.sections().len(), &rows);
    let first = loaded.len() as u32;
    let has_wide_indices = first >= elf::SHN_LORESERVE.into();
    let tables = [&b".symtab"[..], b".strtab", b".shstrtab"];
    let wide = has_wide_indices.then_some(&b".symtab_shndx"[..]);
    let names = loaded.iter().map(|section| section.name).chain(tables).chain(wide);
    let names = Names::new(elf, names, functions, false)?;
    let symbols = KeptSymbols::new(elf, functions, &indices, &names);

    let encoder = elf.encoder();
    let mut layout = Layout::default();
    layout.push(Piece::Copied(elf.bytes(0..elf.header_size())), Holds::Headers);
    let segments = elf.bytes(elf.segments_range());
    let segments_at = layout.push(Piece::Copied(segments), Holds::Headers);
    let mut headers: Vec<SectionHeader> = loaded
        .iter()
        .map(|section| SectionHeader {
            sh_type: if section.id.0 == 0 { section.kind } else { elf::SHT_NOBITS },
            sh_link: indices.of(section.link),
            sh_info: if section.info_is_section() {
                indices.of(section.info)
            } else {
                section.info
            },
            ..section.header()
        })
        .collect();
    let entry_size =
        if elf.is_64() { size_of::<Sym64<Endianness>>() } else { size_of::<Sym32<Endianness>>() };
    let address_size = encoder.address_size();
    let mut tables = vec![
        (
            elf::SHT_SYMTAB,
            first + 1,
            symbols.first_global,
            entry_size as u64,
            address_size,
            symbols.entries,
        ),
        (elf::SHT_STRTAB, 0, 0, 0, 1, names.symbols),
        (elf::SHT_STRTAB, 0, 0, 0, 1, names.sections),
    ];
    if has_wide_indices {
        tables.push((elf::SHT_SYMTAB_SHNDX, first, 0, 4, 4, symbols.extended));
    }
    for (sh_type, sh_link, sh_info, sh_entsize, sh_addralign, contents) in tables {
        layout.align(sh_addralign);
        let sh_size = contents.len() as u64;
        let sh_offset = layout.push(Piece::Made(contents), Holds::Headers);
        headers.push(SectionHeader {
            sh_type,
            sh_link,
            sh_info,
            sh_entsize,
            sh_addralign,
            sh_size,
            sh_offset,
            ..SectionHeader::default()
        });
    }
    layout.align(address_size);
    let table =
        SectionTable { offset: layout.len(), count: headers.len() as u32, names: first + 2 };
    let mut bytes = Vec::new();
    for (index, (header, sh_name)) in headers.iter_mut().zip(&names.section_offsets).enumerate() {
        header.sh_name = *sh_name;
        if index == 0 {
            table.numbers_in(header);
        }
        encoder.section_header(&mut bytes, header);
    }
    layout.push(Piece::Made(bytes), Holds::SectionHeaders);
    layout.set_header(elf.with_segments_at(elf.header_with(table), segments_at));
    Ok(layout.to_vec())
}
