//! Bytes → [`Elf`]: an immutable, fully checked view of an ELF file (gABI 4.3).
//!
//! 32 and 64 bits, both byte orders, any machine. [`Elf::parse`] checks every range once; after it
//! accessors cannot fail and nobody checks again. It reads the headers with `object`'s zero-copy types,
//! which know the byte order, and holds them in native form; contents stay in the borrowed bytes.
//!
//! Hostile bytes cost an error: no panic, and no memory beyond a few times the header tables, which
//! lie in the file.

mod contents;
mod encode;
mod error;
mod map;
mod note;
mod relocation;
mod section;
mod segment;
mod symbol;

use std::ops::Range;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef, pod};

pub use contents::{Compressed, Framing};
pub use encode::SectionTable;
pub use error::Error;
pub use map::{ByteMap, Owner, Span};
pub use note::{Note, Notes};
pub use relocation::Relocations;
pub use section::{Address, Section, SectionId};
pub use segment::{Segment, overlaps};
pub use symbol::{Place, Symbol, SymbolTable};

/// 32 or 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// ELFCLASS32
    Elf32,
    /// ELFCLASS64
    Elf64,
}

/// The ELF header (gABI, "ELF Header"), with section 0's extended numbers resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 32 or 64 bits.
    pub class: Class,
    /// The byte order.
    pub endian: Endianness,
    /// `EI_OSABI`
    pub os_abi: elf::OsAbi,
    /// `e_type`
    pub kind: elf::FileType,
    /// `e_machine`
    pub machine: elf::Machine,
    /// `e_flags`
    pub flags: u32,
    /// `e_entry`
    pub entry: Address,
    /// `e_phoff`
    pub segments_offset: u64,
    /// The number of program headers.
    pub segment_count: u32,
    /// `e_shoff`
    pub sections_offset: u64,
    /// The section of section names, if any.
    pub section_names: Option<SectionId>,
}

/// An immutable view of an ELF file.
#[derive(Debug, Clone)]
pub struct Elf<'data> {
    data: &'data [u8],
    header: Header,
    segments: Vec<Segment>,
    sections: Vec<Section<'data>>,
}

impl<'data> Elf<'data> {
    /// Reads and checks a file.
    ///
    /// A debug file parses too: its loaded sections have no contents, and its segments are addresses
    /// rather than ranges of the file.
    pub fn parse(data: &'data [u8]) -> Result<Self, Error> {
        let Some(first) = data.get(..4) else {
            return Err(match data {
                [] => Error::Empty,
                _ => Error::NotElf { found: data.to_vec(), looks_like: error::looks_like(data) },
            });
        };
        if first != elf::ELFMAG {
            return Err(Error::NotElf {
                found: first.to_vec(),
                looks_like: error::looks_like(data),
            });
        }
        let ident = |index: usize| data.get(index).copied().unwrap_or(0);
        let (class, encoding, version) = (ident(4), ident(5), ident(6));
        match (class, encoding, version) {
            (1, 1 | 2, 1) => parse_as::<FileHeader32<Endianness>>(data, Class::Elf32),
            (2, 1 | 2, 1) => parse_as::<FileHeader64<Endianness>>(data, Class::Elf64),
            _ if data.len() < 7 => {
                Err(Error::HeaderTruncated { needed: 52, len: data.len() as u64 })
            }
            _ => Err(Error::Ident { class, data: encoding, version }),
        }
    }

    /// The whole file.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }

    /// The length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.data.len() as u64
    }

    /// Whether the file has no bytes; never true of what parsed.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The ELF header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The program headers, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The section headers in order, section 0 included; empty where there is no section header table.
    pub fn sections(&self) -> &[Section<'data>] {
        &self.sections
    }

    /// A section by its index.
    pub fn section(&self, id: SectionId) -> Option<&Section<'data>> {
        self.sections.get(id.index())
    }

    /// The first section of a name.
    pub fn section_named(&self, name: &[u8]) -> Option<&Section<'data>> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The name at an offset in the table of section names.
    pub fn section_name_at(&self, offset: u32) -> Option<&'data [u8]> {
        let names = self.header.section_names.and_then(|id| self.section(id))?;
        symbol::name_at(names.data, offset)
    }

    /// The first section that debuggers take for the one of this name (see [`Section::debug_name`]).
    pub fn debug_section(&self, name: &[u8]) -> Option<&Section<'data>> {
        self.sections.iter().find(|section| section.debug_name() == name)
    }

    /// Bytes of the file; empty where the range is not inside it.
    pub fn bytes(&self, range: Range<u64>) -> &'data [u8] {
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        bounds.and_then(|(start, end)| self.data.get(start..end)).unwrap_or_default()
    }

    /// The file's bytes that will stand at `address` when the program runs, where all `len` of them are
    /// in the file.
    pub fn bytes_at(&self, address: Address, len: u64) -> Option<&'data [u8]> {
        self.segments.iter().filter(|segment| segment.is_load()).find_map(|segment| {
            let skipped = address.0.checked_sub(segment.address.0)?;
            let rest = segment.file_size.checked_sub(skipped)?;
            let start = segment.offset.checked_add(skipped)?;
            (len <= rest).then(|| self.bytes(start..start + len))
        })
    }

    /// Whether the class is ELFCLASS64.
    pub fn is_64(&self) -> bool {
        self.header.class == Class::Elf64
    }

    /// The size of the ELF header in bytes.
    pub fn header_size(&self) -> u64 {
        match self.header.class {
            Class::Elf32 => 52,
            Class::Elf64 => 64,
        }
    }

    /// Where the program header table lies.
    pub fn segments_range(&self) -> Range<u64> {
        let entry = match self.header.class {
            Class::Elf32 => 32,
            Class::Elf64 => 56,
        };
        let start = self.header.segments_offset;
        start..start + u64::from(self.header.segment_count) * entry
    }

    /// Where the section header table lies.
    pub fn sections_range(&self) -> Range<u64> {
        let start = self.header.sections_offset;
        start..start + self.sections.len() as u64 * self.section_header_size()
    }

    /// The size of a section header in bytes.
    pub fn section_header_size(&self) -> u64 {
        match self.header.class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        }
    }

    /// Whether this is a debug file: of what the program loads nothing but notes is in it, though the headers say
    /// where it was.
    pub fn is_debug_file(&self) -> bool {
        let mut loaded = self.loaded_sections().peekable();
        !self.is_object()
            && loaded.peek().is_some()
            && loaded.all(|section| section.kind == elf::SHT_NOBITS)
    }

    /// The sections that are loaded and not empty, without the notes, which a debug file has as well.
    pub fn loaded_sections(&self) -> impl Iterator<Item = &Section<'data>> {
        // The first header is of no section, whatever it says.
        self.sections.iter().skip(1).filter(|section| {
            let counts = !matches!(section.kind, elf::SHT_NOTE | elf::SHT_NULL);
            section.is_loaded() && section.size != 0 && counts
        })
    }

    /// The notes of the file: those of its sections, or of its segments where it has no sections.
    ///
    /// Notes that share no bytes fit into the file. Headers can name the same bytes thousands of times; what is
    /// more than the file is passed over.
    pub fn notes(&self) -> impl Iterator<Item = Note<'data>> {
        let endian = self.header.endian;
        let room = |mut left: u64| {
            move |notes: &[u8]| {
                let rest = left.checked_sub(notes.len() as u64);
                left = rest.unwrap_or(left);
                rest.is_some()
            }
        };
        let (mut of_section_fits, mut of_segment_fits) = (room(self.len()), room(self.len()));
        let of_sections = self
            .sections
            .iter()
            .filter(move |section| section.kind == elf::SHT_NOTE && of_section_fits(section.data))
            .flat_map(move |section| Notes::new(endian, section.align, section.data));
        let of_segments = self
            .segments
            .iter()
            .filter(|segment| segment.kind == elf::PT_NOTE && self.sections.is_empty())
            .map(|segment| (segment.align, self.bytes(segment.range())))
            .filter(move |(_, notes)| of_segment_fits(notes))
            .flat_map(move |(align, notes)| Notes::new(endian, align, notes));
        of_sections.chain(of_segments)
    }

    /// The symbol table of a kind (SHT_SYMTAB or SHT_DYNSYM), checked; `None` where there is none.
    pub fn symbols(&self, kind: elf::SectionType) -> Result<Option<SymbolTable<'data>>, Error> {
        match self.sections.iter().find(|section| section.kind == kind) {
            Some(section) => SymbolTable::new(self, section).map(Some),
            None => Ok(None),
        }
    }

    /// Who owns each byte of the file.
    pub fn map(&self) -> ByteMap {
        ByteMap::new(self)
    }
}

fn parse_as<H: FileHeader<Endian = Endianness>>(
    data: &[u8],
    class: Class,
) -> Result<Elf<'_>, Error> {
    let len = data.len() as u64;
    let needed = size_of::<H>() as u64;
    let (raw, _) =
        pod::from_bytes::<H>(data).map_err(|()| Error::HeaderTruncated { needed, len })?;
    let endian = if raw.is_big_endian() { Endianness::Big } else { Endianness::Little };
    let raw_sections = section_headers(raw, endian, data)?;
    let raw_segments = program_headers(raw, endian, data, raw_sections.first())?;

    let mut sections = Vec::with_capacity(raw_sections.len());
    for (index, header) in (0u32..).zip(raw_sections) {
        sections.push(section(header, endian, data, SectionId(index))?);
    }
    let section_names = section_names(raw, endian, &sections)?;
    if let Some(names) =
        section_names.and_then(|id| sections.get(id.index())).map(|names| names.data)
    {
        let mut room = symbol::room_for_names(sections.len() as u64);
        for section in sections.iter_mut().filter(|section| section.kind != elf::SHT_NULL) {
            section.name = symbol::name_at(names, section.name_offset).ok_or(Error::Name {
                what: "section",
                index: section.id.0.into(),
                offset: section.name_offset,
            })?;
            room = room
                .checked_sub(section.name.len() as u64)
                .ok_or(Error::LongNames { what: "sections" })?;
        }
    }

    let header = Header {
        class,
        endian,
        os_abi: raw.e_ident().os_abi,
        kind: raw.e_type(endian),
        machine: raw.e_machine(endian),
        flags: raw.e_flags(endian).0,
        entry: Address(raw.e_entry(endian).into()),
        segments_offset: if raw_segments.is_empty() { 0 } else { raw.e_phoff(endian).into() },
        // A table that lies in the file has fewer entries than that.
        segment_count: u32::try_from(raw_segments.len()).unwrap_or(u32::MAX),
        sections_offset: if sections.is_empty() { 0 } else { raw.e_shoff(endian).into() },
        section_names,
    };
    let segments = raw_segments.iter().map(|raw| segment(raw, endian)).collect();
    let elf = Elf { data, header, segments, sections };
    check_segments(&elf)?;
    Ok(elf)
}

fn section_headers<'data, H: FileHeader<Endian = Endianness>>(
    raw: &H,
    endian: Endianness,
    data: &'data [u8],
) -> Result<&'data [H::SectionHeader], Error> {
    let table = "section header table";
    let offset: u64 = raw.e_shoff(endian).into();
    if offset == 0 {
        return Ok(&[]);
    }
    let expected = size_of::<H::SectionHeader>() as u16;
    let found = raw.e_shentsize(endian);
    if found != expected {
        return Err(Error::EntrySize { table, found, expected });
    }
    let len = data.len() as u64;
    let outside = |count| Error::TableOutOfFile { table, offset, count, len };
    let first = data.read_at::<H::SectionHeader>(offset).map_err(|()| outside(1))?;
    // gABI, "e_shnum": zero means that section 0's sh_size holds the number.
    let count = match raw.e_shnum(endian) {
        0 => first.sh_size(endian).into(),
        count => count.into(),
    };
    let fits = usize::try_from(count).map_err(|_| outside(count))?;
    data.read_slice_at(offset, fits).map_err(|()| outside(count))
}

fn program_headers<'data, H: FileHeader<Endian = Endianness>>(
    raw: &H,
    endian: Endianness,
    data: &'data [u8],
    section_0: Option<&H::SectionHeader>,
) -> Result<&'data [H::ProgramHeader], Error> {
    let table = "program header table";
    let offset: u64 = raw.e_phoff(endian).into();
    // gABI, "e_phnum": PN_XNUM means that section 0's sh_info holds the number.
    let count = match (raw.e_phnum(endian), section_0) {
        (elf::PN_XNUM, Some(section_0)) => section_0.sh_info(endian),
        (count, _) => count.into(),
    };
    if offset == 0 || count == 0 {
        return Ok(&[]);
    }
    let expected = size_of::<H::ProgramHeader>() as u16;
    let found = raw.e_phentsize(endian);
    if found != expected {
        return Err(Error::EntrySize { table, found, expected });
    }
    if offset < size_of::<H>() as u64 {
        return Err(Error::TableInHeader { offset });
    }
    data.read_slice_at(offset, count as usize).map_err(|()| Error::TableOutOfFile {
        table,
        offset,
        count: count.into(),
        len: data.len() as u64,
    })
}

fn section<'data, S: SectionHeader<Endian = Endianness>>(
    raw: &S,
    endian: Endianness,
    data: &'data [u8],
    id: SectionId,
) -> Result<Section<'data>, Error> {
    let mut section = Section {
        id,
        name: b"",
        name_offset: raw.sh_name(endian),
        kind: raw.sh_type(endian),
        flags: raw.sh_flags(endian),
        address: Address(raw.sh_addr(endian).into()),
        offset: raw.sh_offset(endian).into(),
        size: raw.sh_size(endian).into(),
        link: raw.sh_link(endian),
        info: raw.sh_info(endian),
        align: raw.sh_addralign(endian).into(),
        entry_size: raw.sh_entsize(endian).into(),
        data: &[],
    };
    if section.has_contents() {
        let len = data.len() as u64;
        let (start, end) = (section.offset, section.offset.saturating_add(section.size));
        section.data = data
            .read_bytes_at(section.offset, section.size)
            .map_err(|()| Error::SectionOutOfFile { section: id.0, start, end, len })?;
    }
    Ok(section)
}

fn section_names<H: FileHeader<Endian = Endianness>>(
    raw: &H,
    endian: Endianness,
    sections: &[Section<'_>],
) -> Result<Option<SectionId>, Error> {
    let Some(first) = sections.first() else { return Ok(None) };
    // gABI, "e_shstrndx": SHN_XINDEX means that section 0's sh_link holds the index.
    let index = match raw.e_shstrndx(endian) {
        elf::SHN_UNDEF => return Ok(None),
        elf::SHN_XINDEX => first.link,
        index => index.0.into(),
    };
    let count = sections.len() as u32;
    if index >= count {
        return Err(Error::NoSuchSection {
            what: "the ELF header (e_shstrndx)",
            section: index,
            count,
        });
    }
    Ok(Some(SectionId(index)))
}

fn segment<P: ProgramHeader<Endian = Endianness>>(raw: &P, endian: Endianness) -> Segment {
    Segment {
        kind: raw.p_type(endian),
        flags: raw.p_flags(endian),
        offset: raw.p_offset(endian).into(),
        address: Address(raw.p_vaddr(endian).into()),
        physical: Address(raw.p_paddr(endian).into()),
        file_size: raw.p_filesz(endian).into(),
        memory_size: raw.p_memsz(endian).into(),
        align: raw.p_align(endian).into(),
    }
}

/// How many times over segments may cover the file. A linker's cover most of it once and parts of it twice.
const MOST_COVER: u64 = 16;

fn check_segments(elf: &Elf<'_>) -> Result<(), Error> {
    let debug_file = elf.is_debug_file();
    let mut room = elf.len().saturating_mul(MOST_COVER);
    for (index, segment) in elf.segments.iter().enumerate() {
        let (start, end) = (segment.offset, segment.offset.checked_add(segment.file_size));
        let inside = end.is_some_and(|end| end <= elf.len() || debug_file);
        if segment.kind != elf::PT_NULL && segment.file_size != 0 && !inside {
            let end = end.unwrap_or(u64::MAX);
            return Err(Error::SegmentOutOfFile { segment: index, start, end, len: elf.len() });
        }
        if segment.kind != elf::PT_NULL && !debug_file {
            room = room.checked_sub(segment.file_size).ok_or(Error::ManyTimesOver)?;
        }
    }
    Ok(())
}
