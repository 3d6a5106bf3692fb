//! A builder of ELF files as no linker here makes them: malformed and odd layouts are written down in tests, never kept as
//! blobs.
//!
//! Sections lie in the file in the order in which they are added, packed by their alignment unless they say where; links are
//! given by name. The section names, the symbol table and its names come last, then the section headers, then a payload.

use object::elf::{self, SectionFlags, SectionType};
use object::write::StringTable;
use object::write::elf::{
    Encoder, FileHeader, FileHeaderLayout, ProgramHeader, SectionHeader, Sym,
};
use object::{Endianness, SectionIndex};

/// One section to be.
#[derive(Debug, Clone)]
pub struct Section {
    pub name: String,
    pub kind: SectionType,
    pub flags: SectionFlags,
    pub address: u64,
    pub align: u64,
    /// The name of the section that `sh_link` points to.
    pub link: Option<&'static str>,
    /// The name of the section that `sh_info` points to.
    pub info: Option<&'static str>,
    pub entry_size: u64,
    pub bytes: Vec<u8>,
    /// `sh_size`, where it is not the number of bytes: SHT_NOBITS, and lies.
    pub size: Option<u64>,
    /// Where it lies, where it does not follow the one before.
    pub at: Option<u64>,
    /// Bytes of no section in front of it.
    pub before: Vec<u8>,
    /// `sh_offset`, where the header lies.
    pub offset: Option<u64>,
}

/// A section that is not loaded.
pub fn section(name: &str, bytes: impl Into<Vec<u8>>) -> Section {
    Section {
        name: name.to_owned(),
        kind: elf::SHT_PROGBITS,
        flags: SectionFlags(0),
        address: 0,
        align: 1,
        link: None,
        info: None,
        entry_size: 0,
        bytes: bytes.into(),
        size: None,
        at: None,
        before: Vec::new(),
        offset: None,
    }
}

impl Section {
    pub fn kind(mut self, kind: SectionType) -> Self {
        self.kind = kind;
        self
    }

    pub fn flag(mut self, flag: SectionFlags) -> Self {
        self.flags.0 |= flag.0;
        self
    }

    /// Loaded, at the address that [`Builder::build`] gives: the base plus its offset.
    pub fn loaded(self) -> Self {
        self.flag(elf::SHF_ALLOC)
    }

    pub fn code(self) -> Self {
        self.loaded().flag(elf::SHF_EXECINSTR)
    }

    pub fn align(mut self, align: u64) -> Self {
        self.align = align;
        self
    }

    pub fn link(mut self, to: &'static str) -> Self {
        self.link = Some(to);
        self
    }

    pub fn info(mut self, to: &'static str) -> Self {
        self.info = Some(to);
        self
    }

    pub fn at(mut self, offset: u64) -> Self {
        self.at = Some(offset);
        self
    }

    pub fn after(mut self, bytes: &[u8]) -> Self {
        self.before = bytes.to_vec();
        self
    }

    /// No bytes in the file, so many in memory.
    pub fn nobits(mut self, size: u64) -> Self {
        self.kind = elf::SHT_NOBITS;
        self.size = Some(size);
        self
    }
}

/// A note section's contents with one note.
pub fn note(endian: Endianness, owner: &str, kind: u32, contents: &[u8]) -> Vec<u8> {
    let word = |value: u32| match endian {
        Endianness::Little => value.to_le_bytes(),
        Endianness::Big => value.to_be_bytes(),
    };
    let mut bytes = Vec::new();
    bytes.extend(word(owner.len() as u32 + 1));
    bytes.extend(word(contents.len() as u32));
    bytes.extend(word(kind));
    for part in [owner.as_bytes(), &[0]] {
        bytes.extend(part);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What a segment covers.
#[derive(Debug, Clone)]
pub enum Cover {
    /// From the start of the file to the end of that section.
    UpTo(&'static str),
    /// Exactly that section.
    Section(&'static str),
    /// From the start of the first to the end of the second.
    Sections(&'static str, &'static str),
    /// These bytes of the file.
    Bytes(u64, u64),
}

/// Where a symbol is defined.
#[derive(Debug, Clone)]
pub enum At {
    Section(String),
    Reserved(elf::SymbolSection),
}

/// One symbol to be.
#[derive(Debug, Clone)]
pub struct Symbol {
    pub name: String,
    pub info: elf::SymbolInfo,
    pub at: At,
    pub value: u64,
    pub size: u64,
}

/// A global function in a section.
pub fn symbol(name: &str, section: &str) -> Symbol {
    Symbol {
        name: name.to_owned(),
        info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
        at: At::Section(section.to_owned()),
        value: 0x10,
        size: 4,
    }
}

impl Symbol {
    pub fn local(mut self) -> Self {
        self.info = elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_OBJECT);
        self
    }

    /// The nameless symbol that old linkers make for each section.
    pub fn of_section(section: &str) -> Self {
        Self { info: elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_SECTION), ..symbol("", section) }
    }
}

/// An ELF file to be.
#[derive(Debug, Clone)]
pub struct Builder {
    pub is_64: bool,
    pub endian: Endianness,
    pub kind: elf::FileType,
    pub machine: elf::Machine,
    pub base: u64,
    pub segments: Vec<(elf::ProgramType, Cover)>,
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
    /// The section that holds the section names; made where no section is called so.
    pub names: &'static str,
    /// Where the program headers lie, if not behind the ELF header.
    pub segments_at: Option<u64>,
    /// Where the section headers lie, if not behind the sections.
    pub table_at: Option<u64>,
    /// What follows everything.
    pub payload: Vec<u8>,
}

impl Builder {
    /// A file without anything but headers.
    pub fn new(is_64: bool, endian: Endianness, machine: elf::Machine) -> Self {
        Self {
            is_64,
            endian,
            kind: elf::ET_EXEC,
            machine,
            base: 0x40_0000,
            segments: Vec::new(),
            sections: Vec::new(),
            symbols: Vec::new(),
            names: ".shstrtab",
            segments_at: None,
            table_at: None,
            payload: Vec::new(),
        }
    }

    /// An amd64 program with code, data, a build-id, debug information, a compiler's name and two symbols.
    pub fn usual() -> Self {
        Self::usual_for(true, Endianness::Little, elf::EM_X86_64)
    }

    /// The same for another machine.
    pub fn usual_for(is_64: bool, endian: Endianness, machine: elf::Machine) -> Self {
        let mut builder = Self::new(is_64, endian, machine);
        let id = note(endian, "GNU", elf::NT_GNU_BUILD_ID.0, &[0xab; 20]);
        builder.sections = vec![
            section(".note.gnu.build-id", id).kind(elf::SHT_NOTE).loaded().align(4),
            section(".text", vec![0x90; 200]).code().align(16),
            section(".data", vec![7; 40]).loaded().flag(elf::SHF_WRITE).align(8),
            section(".bss", []).nobits(64).loaded().flag(elf::SHF_WRITE).align(8),
            section(".comment", *b"GCC: (made up) 1.0\0"),
            section(".debug_info", b"debug information ".repeat(40)),
            section(".debug_line", b"lines ".repeat(50)),
        ];
        builder.segments = vec![
            (elf::PT_LOAD, Cover::UpTo(".data")),
            (elf::PT_NOTE, Cover::Section(".note.gnu.build-id")),
            (elf::PT_GNU_STACK, Cover::Bytes(0, 0)),
        ];
        builder.symbols = vec![symbol("helper", ".text").local(), symbol("main", ".text")];
        builder
    }

    /// The section of that name, to be changed.
    pub fn change(&mut self, name: &str) -> &mut Section {
        let found = self.sections.iter_mut().find(|section| section.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Adds sections behind the one of that name.
    pub fn insert_after(&mut self, name: &str, added: impl IntoIterator<Item = Section>) {
        let at = self.sections.iter().position(|section| section.name == name);
        let at = at.unwrap_or_else(|| panic!("there is no {name}")) + 1;
        self.sections.splice(at..at, added);
    }

    /// The file's bytes.
    pub fn build(&self) -> Vec<u8> {
        let encoder = Encoder::new(self.endian, self.is_64, self.machine);
        let sections = self.with_tables(encoder);
        let index = |name: &str| {
            let at = sections.iter().position(|section| section.name == name);
            at.unwrap_or_else(|| panic!("there is no section {name}")) as u32 + 1
        };
        let mut names = StringTable::new();
        let ids: Vec<_> =
            sections.iter().map(|section| names.add(section.name.as_bytes())).collect();
        let mut unused = Vec::new();
        let shared = self.symbol_names(&mut names, self.names == ".strtab");
        encoder.strtab(&mut unused, &mut names).expect("the names fit");
        drop(shared);

        let header_size = encoder.file_header_size();
        let segments_at = self.segments_at.unwrap_or(header_size);
        let segments_size = encoder.program_header_size() * self.segments.len() as u64;
        let mut file = vec![0; header_size as usize];
        if self.segments_at.is_none() {
            file.resize((header_size + segments_size) as usize, 0);
        }
        let table_size = encoder.section_header_size() * (sections.len() as u64 + 1);
        let mut rows = Vec::new();
        let mut places = Vec::new();
        for (section, &id) in sections.iter().zip(&ids) {
            file.extend(&section.before);
            let offset = match section.at {
                Some(at) => at,
                None => (file.len() as u64).next_multiple_of(section.align.max(1)),
            };
            if !section.bytes.is_empty() {
                assert!(offset >= file.len() as u64, "{} would overlap", section.name);
                file.resize(offset as usize, 0);
                file.extend(&section.bytes);
            }
            places.push((offset, section.bytes.len() as u64));
            let loaded = section.flags.0 & elf::SHF_ALLOC.0 != 0;
            let info = match section.name.as_str() {
                ".symtab" => {
                    self.symbols.iter().filter(|symbol| symbol.info.0 >> 4 == 0).count() as u32 + 1
                }
                _ => section.info.map_or(0, index),
            };
            rows.push(SectionHeader {
                sh_name: if section.name.is_empty() { 0 } else { names.get_offset(id) },
                sh_type: section.kind,
                sh_flags: section.flags,
                sh_addr: if section.address != 0 {
                    section.address
                } else if loaded {
                    self.base + offset
                } else {
                    0
                },
                sh_offset: section.offset.unwrap_or(offset),
                sh_size: section.size.unwrap_or(section.bytes.len() as u64),
                sh_link: section.link.map_or(0, index),
                sh_info: info,
                sh_addralign: section.align,
                sh_entsize: section.entry_size,
            });
        }
        let table_at = self.table_at.unwrap_or_else(|| {
            let end = (file.len() as u64).next_multiple_of(encoder.address_size());
            file.resize((end + table_size) as usize, 0);
            end
        });
        let mut table = Vec::new();
        let layout = FileHeaderLayout {
            e_phoff: if self.segments.is_empty() { 0 } else { segments_at },
            segment_num: self.segments.len() as u32,
            e_shoff: table_at,
            section_num: sections.len() as u32 + 1,
            shstrtab_index: index(self.names),
        };
        encoder.null_section_header(&mut table, &layout);
        for row in &rows {
            encoder.section_header(&mut table, row);
        }
        let put = |file: &mut Vec<u8>, at: u64, bytes: &[u8]| {
            let end = at as usize + bytes.len();
            file.resize(file.len().max(end), 0);
            file[at as usize..end].copy_from_slice(bytes);
        };
        put(&mut file, table_at, &table);

        let mut headers = Vec::new();
        for (kind, cover) in &self.segments {
            let place = |name: &str| places[index(name) as usize - 1];
            let (start, end) = match *cover {
                Cover::UpTo(last) => (0, place(last).0 + place(last).1),
                Cover::Section(only) => (place(only).0, place(only).0 + place(only).1),
                Cover::Sections(first, last) => (place(first).0, place(last).0 + place(last).1),
                Cover::Bytes(start, end) => (start, end),
            };
            encoder.program_header(
                &mut headers,
                &ProgramHeader {
                    p_type: *kind,
                    p_flags: elf::PF_R | elf::PF_X,
                    p_offset: start,
                    p_vaddr: self.base + start,
                    p_paddr: self.base + start,
                    p_filesz: end - start,
                    p_memsz: end - start,
                    p_align: if *kind == elf::PT_LOAD { 0x1000 } else { 4 },
                },
            );
        }
        put(&mut file, segments_at, &headers);
        let mut header = Vec::new();
        let fields = FileHeader {
            e_type: self.kind,
            e_machine: self.machine,
            e_entry: self.base + 0x100,
            ..FileHeader::default()
        };
        encoder.file_header(&mut header, &fields, &layout).expect("the numbers fit");
        put(&mut file, 0, &header);
        file.extend(&self.payload);
        file
    }

    /// Adds the symbols' names to a table where they belong into it.
    fn symbol_names<'a>(
        &'a self,
        table: &mut StringTable<'a>,
        wanted: bool,
    ) -> Vec<object::write::StringId> {
        let symbols = self.symbols.iter().filter(|_| wanted);
        symbols.map(|symbol| table.add(symbol.name.as_bytes())).collect()
    }

    /// The sections with the tables that are made: symbols, their names and sections, section names.
    fn with_tables(&self, encoder: Encoder<Endianness>) -> Vec<Section> {
        let mut sections = self.sections.clone();
        let shared = self.names == ".strtab";
        let many = self.sections.len() >= 0xff00;
        let add = |sections: &mut Vec<Section>, new: Section| {
            if !sections.iter().any(|section| section.name == new.name) {
                sections.push(new);
            }
        };
        if !self.symbols.is_empty() {
            let table = section(".symtab", []).kind(elf::SHT_SYMTAB).link(".strtab").align(8);
            add(&mut sections, table);
            if many {
                let extended = section(".symtab_shndx", []).kind(elf::SHT_SYMTAB_SHNDX);
                add(&mut sections, extended.link(".symtab").align(4));
            }
            add(&mut sections, section(".strtab", []).kind(elf::SHT_STRTAB));
        }
        add(&mut sections, section(self.names, []).kind(elf::SHT_STRTAB));

        let section_names: Vec<String> =
            sections.iter().map(|section| section.name.clone()).collect();
        let mut names = StringTable::new();
        for name in &section_names {
            names.add(name.as_bytes());
        }
        let mut symbol_names = StringTable::new();
        let target = if shared { &mut names } else { &mut symbol_names };
        let ids: Vec<_> =
            self.symbols.iter().map(|symbol| target.add(symbol.name.as_bytes())).collect();
        let (mut name_bytes, mut symbol_bytes) = (Vec::new(), Vec::new());
        encoder.strtab(&mut name_bytes, &mut names).expect("the names fit");
        encoder.strtab(&mut symbol_bytes, &mut symbol_names).expect("the names fit");
        let target = if shared { &names } else { &symbol_names };
        let word = |value: u32| match self.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        };
        let (mut table, mut extended) = (Vec::new(), word(0).to_vec());
        encoder.null_symbol(&mut table);
        for (symbol, &id) in self.symbols.iter().zip(&ids) {
            let (section, st_shndx) = match &symbol.at {
                At::Section(name) => {
                    let at = section_names.iter().position(|other| other == name);
                    let at = at.unwrap_or_else(|| panic!("there is no {name}")) + 1;
                    (Some(SectionIndex(at).0 as u32), elf::SHN_UNDEF)
                }
                At::Reserved(index) => (None, *index),
            };
            let wide = encoder.symbol(
                &mut table,
                &Sym {
                    section,
                    st_name: if symbol.name.is_empty() { 0 } else { target.get_offset(id) },
                    st_info: symbol.info,
                    st_other: elf::SymbolOther(0),
                    st_shndx,
                    st_value: symbol.value,
                    st_size: symbol.size,
                },
            );
            extended.extend(word(wide.unwrap_or(0)));
        }
        for section in &mut sections {
            match section.name.as_str() {
                ".symtab" => {
                    section.entry_size = encoder.sym_size();
                    section.bytes = std::mem::take(&mut table);
                }
                ".symtab_shndx" => section.bytes = std::mem::take(&mut extended),
                name if name == self.names => section.bytes = std::mem::take(&mut name_bytes),
                ".strtab" => section.bytes = std::mem::take(&mut symbol_bytes),
                _ => {}
            }
        }
        sections
    }
}
