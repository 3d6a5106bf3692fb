//! Relocations and groups: what in an object file names symbols and sections by their indices.

use object::{Endian, Endianness, elf};

use super::{Elf, Section, SectionId};

/// The relocations of a section (gABI, "Relocation"), of which only the symbols are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Relocations<'data> {
    data: &'data [u8],
    entry: usize,
    /// Where in an entry the word with the symbol begins.
    word: usize,
    /// By how many bits the symbol is shifted in it.
    shift: u32,
    endian: Endianness,
}

impl<'data> Relocations<'data> {
    /// Those of a section; `None` where it holds none (or none in the form of SHT_REL and SHT_RELA).
    pub fn of(elf: &Elf<'data>, section: &Section<'data>) -> Option<Self> {
        let with_addend = match section.kind {
            elf::SHT_RELA => 1,
            elf::SHT_REL => 0,
            _ => return None,
        };
        let endian = elf.header().endian;
        let little = endian == Endianness::Little;
        // MIPS64 splits r_info into fields of its own, of which the symbol is the first.
        let first = !little || elf.header().machine == elf::EM_MIPS;
        let (entry, word, shift) = match (elf.is_64(), first) {
            // r_info: the symbol is the upper half.
            (true, true) => (16 + 8 * with_addend, 8, 0),
            (true, false) => (16 + 8 * with_addend, 12, 0),
            // r_info: the symbol is all but the lowest byte.
            (false, _) => (8 + 4 * with_addend, 4, 8),
        };
        Some(Self { data: section.data, entry, word, shift, endian })
    }

    /// Whether the section holds whole entries.
    pub fn is_whole(&self) -> bool {
        self.data.len().is_multiple_of(self.entry)
    }

    /// The index of the symbol of each relocation, in order; 0 where it has none.
    pub fn symbols(&self) -> impl Iterator<Item = u32> + '_ {
        self.data.chunks_exact(self.entry).map(|entry| self.word_of(entry) >> self.shift)
    }

    /// The same relocations with other indices.
    pub fn renumbered(&self, new: impl Fn(u32) -> u32) -> Vec<u8> {
        let mut bytes = self.data.to_vec();
        for entry in bytes.chunks_exact_mut(self.entry) {
            let word = self.word_of(entry);
            let kept = if self.shift == 0 { 0 } else { word & ((1 << self.shift) - 1) };
            let word = new(word >> self.shift) << self.shift | kept;
            if let Some(place) = entry.get_mut(self.word..self.word + 4) {
                place.copy_from_slice(&encode(self.endian, word));
            }
        }
        bytes
    }

    /// The same relocations without their symbols: what does not change when symbols get other indices.
    pub fn without_symbols(&self) -> Vec<u8> {
        self.renumbered(|_| 0)
    }

    fn word_of(&self, entry: &[u8]) -> u32 {
        entry.get(self.word..).map_or(0, |rest| decode(self.endian, rest))
    }
}

impl<'data> Elf<'data> {
    /// Whether it is an object file, which a linker reads: nothing in it is loaded from where it lies.
    pub fn is_object(&self) -> bool {
        self.header.kind == elf::ET_REL
    }

    /// The flags of a group and its members (gABI, "Section Groups"); none where the section is no group.
    pub fn group(&self, section: &Section<'data>) -> Option<(u32, Vec<SectionId>)> {
        if section.kind != elf::SHT_GROUP {
            return None;
        }
        let mut words = section.data.chunks_exact(4).map(|word| decode(self.header.endian, word));
        let flags = words.next().unwrap_or(0);
        Some((flags, words.map(SectionId).collect()))
    }
}

fn decode(endian: Endianness, bytes: &[u8]) -> u32 {
    let word = bytes.first_chunk().copied().unwrap_or_default();
    endian.read_u32(word)
}

fn encode(endian: Endianness, word: u32) -> [u8; 4] {
    endian.write_u32(word)
}
