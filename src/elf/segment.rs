//! Segments: the program headers, and which bytes of the file they cover.

use std::ops::Range;

use object::elf;

use super::{Address, Elf};

/// A program header (gABI, "Program Header").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`
    pub kind: elf::ProgramType,
    /// `p_flags`
    pub flags: elf::ProgramFlags,
    /// `p_offset`
    pub offset: u64,
    /// `p_vaddr`
    pub address: Address,
    /// `p_paddr`, which only firmware minds.
    pub physical: Address,
    /// `p_filesz` in bytes.
    pub file_size: u64,
    /// `p_memsz` in bytes.
    pub memory_size: u64,
    /// `p_align`
    pub align: u64,
}

impl Segment {
    /// The bytes of the file that it covers; empty for PT_NULL, which means nothing.
    pub fn range(&self) -> Range<u64> {
        if self.kind == elf::PT_NULL {
            return self.offset..self.offset;
        }
        // Cannot overflow: parsing refused what does.
        self.offset..self.offset + self.file_size
    }

    /// Whether it is mapped into memory.
    pub fn is_load(&self) -> bool {
        self.kind == elf::PT_LOAD
    }
}

impl Elf<'_> {
    /// The bytes of the ELF header that may differ between an input and its slim file: those that locate
    /// the section header table.
    pub fn masked_header_fields(&self) -> [Range<u64>; 2] {
        // gABI, "ELF Header": e_shoff; e_shnum and e_shstrndx.
        if self.is_64() { [40..48, 60..64] } else { [32..36, 48..52] }
    }

    /// The bytes of the ELF header that say where the program headers are (gABI, "ELF Header": e_phoff).
    pub fn segments_offset_field(&self) -> Range<u64> {
        if self.is_64() { 32..40 } else { 28..32 }
    }

    /// The bytes of the ELF header that hold the number of program headers (gABI, "ELF Header": e_phnum).
    pub fn segment_count_field(&self) -> Range<u64> {
        if self.is_64() { 56..58 } else { 44..46 }
    }

    /// The bytes of the file that must not move or change, as sorted ranges that do not touch: the ELF
    /// header, the program header table, everything under a segment, every loaded section. A linker reads the
    /// sections of an object file wherever they lie.
    pub fn loaded_ranges(&self) -> Vec<Range<u64>> {
        let mut ranges = vec![0..self.header_size(), self.segments_range()];
        ranges.extend(self.segments().iter().map(Segment::range));
        ranges.extend(
            self.sections()
                .iter()
                .filter(|section| section.is_loaded() && !self.is_object())
                .map(|section| section.range()),
        );
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// How a range lies to sorted ranges that do not touch: `None` where it is partly inside one.
pub fn overlaps(range: &Range<u64>, ranges: &[Range<u64>]) -> Option<bool> {
    let after = ranges.partition_point(|other| other.end <= range.start);
    match ranges.get(after) {
        Some(other) if other.start <= range.start && range.end <= other.end => Some(true),
        Some(other) if other.start < range.end => None,
        _ => Some(false),
    }
}
