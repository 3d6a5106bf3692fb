//! Native values → the bytes of an ELF file of the same class and byte order.
//!
//! `object`'s encoder does it; here stands what it cannot: change the three fields of an existing
//! header that locate the section header table, and write a compression header.

use object::elf::{self, CompressionHeader32, CompressionHeader64};
use object::write::elf::{Encoder, ProgramHeader, SectionHeader};
use object::{Endianness, U16, U32, U64, pod};

use super::{Address, Elf, Segment};

/// Where a section header table is, and the numbers that locate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionTable {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many headers it has.
    pub count: u32,
    /// The index of the section names.
    pub names: u32,
}

impl SectionTable {
    /// Puts the numbers that do not fit into the ELF header into section 0's; its `sh_info` is `e_phnum`'s (gABI, "ELF
    /// Header").
    pub fn numbers_in(&self, first: &mut SectionHeader) {
        let wide = |number: u32| if number >= elf::SHN_LORESERVE.into() { number } else { 0 };
        (first.sh_size, first.sh_link) = (wide(self.count).into(), wide(self.names));
    }
}

impl Elf<'_> {
    /// Writes structures of this file's class and byte order.
    pub fn encoder(&self) -> Encoder<Endianness> {
        Encoder::new(self.header.endian, self.is_64(), self.header.machine)
    }

    /// This file's ELF header with another section header table. No other byte differs.
    pub fn header_with(&self, table: SectionTable) -> Vec<u8> {
        let endian = self.header.endian;
        let mut bytes = self.bytes(0..self.header_size()).to_vec();
        // gABI, "ELF Header": e_shoff, e_shnum, e_shstrndx.
        let (count_at, names_at) = if self.is_64() {
            put(&mut bytes, 40, pod::bytes_of(&U64::new(endian, table.offset)));
            (60, 62)
        } else {
            put(&mut bytes, 32, pod::bytes_of(&U32::new(endian, table.offset as u32)));
            (48, 50)
        };
        // gABI, "e_shnum": zero means that section 0's sh_size holds the number.
        let extended = table.count >= u32::from(elf::SHN_LORESERVE);
        let count = if extended { 0 } else { table.count as u16 };
        put(&mut bytes, count_at, pod::bytes_of(&U16::new(endian, count)));
        let names = elf::SymbolSection::new(table.names);
        put(&mut bytes, names_at, pod::bytes_of(&U16::new(endian, names)));
        bytes
    }

    /// An ELF header of this file with its program headers elsewhere; without any, nothing changes.
    pub fn with_segments_at(&self, mut header: Vec<u8>, offset: u64) -> Vec<u8> {
        let endian = self.header.endian;
        // gABI, "ELF Header": e_phoff.
        match (self.header.segment_count, self.is_64()) {
            (0, _) => {}
            (_, true) => put(&mut header, 32, pod::bytes_of(&U64::new(endian, offset))),
            (_, false) => put(&mut header, 28, pod::bytes_of(&U32::new(endian, offset as u32))),
        }
        header
    }

    /// A program header.
    pub fn program_header(&self, segment: &Segment) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = ProgramHeader {
            p_type: segment.kind,
            p_flags: segment.flags,
            p_offset: segment.offset,
            p_vaddr: segment.address.0,
            p_paddr: segment.physical.0,
            p_filesz: segment.file_size,
            p_memsz: segment.memory_size,
            p_align: segment.align,
        };
        self.encoder().program_header(&mut bytes, &header);
        bytes
    }

    /// A compression header (gABI, "Section Compression"); `size` and `align` are those of the
    /// section before compression, in bytes.
    pub fn compression_header(&self, kind: elf::CompressionType, size: u64, align: u64) -> Vec<u8> {
        let endian = self.header.endian;
        if self.is_64() {
            let header = CompressionHeader64 {
                ch_type: U32::new(endian, kind),
                ch_reserved: U32::new(endian, 0),
                ch_size: U64::new(endian, size),
                ch_addralign: U64::new(endian, align),
            };
            pod::bytes_of(&header).to_vec()
        } else {
            let header = CompressionHeader32 {
                ch_type: U32::new(endian, kind),
                ch_size: U32::new(endian, size as u32),
                ch_addralign: U32::new(endian, align as u32),
            };
            pod::bytes_of(&header).to_vec()
        }
    }

    /// A 16-bit half in this file's byte order.
    pub fn half(&self, value: u16) -> [u8; 2] {
        match self.header.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        }
    }

    /// A 32-bit word in this file's byte order.
    pub fn word(&self, value: u32) -> [u8; 4] {
        match self.header.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        }
    }
}

impl Address {
    /// As it stands in a file of that class and byte order.
    pub fn encode(self, elf: &Elf<'_>) -> Vec<u8> {
        let endian = elf.header.endian;
        if elf.is_64() {
            pod::bytes_of(&U64::new(endian, self.0)).to_vec()
        } else {
            pod::bytes_of(&U32::new(endian, self.0 as u32)).to_vec()
        }
    }
}

/// The caller's offsets lie inside an ELF header, whose size was checked when the file parsed.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
