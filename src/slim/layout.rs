//! A layout: the bytes of an output file as a rope of pieces in file order, with neither gap nor overlap.
//!
//! The slim file and its debug file are two layouts of one plan, and one writer serves both. It decides
//! nothing, and can fail only as its output fails.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use crate::elf::SectionId;

/// One stretch of an output file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'data> {
    /// Bytes of the input.
    Copied(&'data [u8]),
    /// Bytes that the input does not have.
    Made(Vec<u8>),
    /// So many zeros.
    Padding(u64),
}

impl Piece<'_> {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Copied(bytes) => bytes.len() as u64,
            Self::Made(bytes) => bytes.len() as u64,
            Self::Padding(len) => *len,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a piece holds; sizes in a report are sums over these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// The ELF header and the program headers.
    Headers,
    /// What is under a segment or in a loaded section.
    Loaded,
    /// The contents of a section of the input that is not loaded.
    Section(SectionId),
    /// The link to the debug file, which the input does not have.
    DebugLink,
    /// The section header table.
    SectionHeaders,
    /// How the input was laid out, behind everything else in a debug file.
    Origin,
    /// Bytes of the input that nothing describes.
    Unowned,
    /// What follows the image.
    Payload,
    /// Zeros where bytes left that lie before a segment.
    Hole,
    /// Zeros that align what follows.
    Alignment,
    /// The whole input, from which nothing leaves.
    Everything,
}

/// The bytes of an output file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout<'data> {
    stretches: Vec<(Piece<'data>, Holds)>,
    len: u64,
}

impl<'data> Layout<'data> {
    /// The length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of the first piece: the ELF header, and more where that was copied with it.
    pub fn header(&self) -> &[u8] {
        match self.stretches.first() {
            Some((Piece::Copied(bytes), _)) => bytes,
            Some((Piece::Made(bytes), _)) => bytes,
            _ => &[],
        }
    }

    /// Adds a piece at the end and says at which offset it begins.
    pub fn push(&mut self, piece: Piece<'data>, holds: Holds) -> u64 {
        let offset = self.len;
        if !piece.is_empty() {
            self.len += piece.len();
            self.stretches.push((piece, holds));
        }
        offset
    }

    /// Adds zeros until the length is a multiple of `align` bytes; 0 counts as 1.
    pub fn align(&mut self, align: u64) {
        self.pad_to(self.len.next_multiple_of(align.max(1)));
    }

    /// Adds zeros until the length is `len`; longer stays as it is.
    pub fn pad_to(&mut self, len: u64) {
        self.push(Piece::Padding(len.saturating_sub(self.len)), Holds::Alignment);
    }

    /// Changes the first piece, the ELF header: its table's place is known only when all else has one.
    pub(crate) fn set_header(&mut self, header: Vec<u8>) {
        if let Some((first, _)) = self.stretches.first_mut() {
            debug_assert_eq!(first.len(), header.len() as u64, "a header keeps its size");
            *first = Piece::Made(header);
        }
    }

    /// The pieces and what they hold, each with the range of the file that it fills.
    pub fn stretches(&self) -> impl Iterator<Item = (Range<u64>, &Piece<'data>, Holds)> {
        self.stretches.iter().scan(0, |offset, (piece, holds)| {
            let start = *offset;
            *offset += piece.len();
            Some((start..*offset, piece, *holds))
        })
    }

    /// How many bytes hold what, in file order of the first of each kind; adds up to the file's length.
    pub fn sizes(&self) -> Vec<(Holds, u64)> {
        let mut sizes: Vec<(Holds, u64)> = Vec::new();
        let mut rows: BTreeMap<Holds, usize> = BTreeMap::new();
        for (range, _, holds) in self.stretches() {
            let row = *rows.entry(holds).or_insert(sizes.len());
            match sizes.get_mut(row) {
                Some((_, size)) => *size += range.end - range.start,
                None => sizes.push((holds, range.end - range.start)),
            }
        }
        sizes
    }

    /// Writes the file.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        for (piece, _) in &self.stretches {
            match piece {
                Piece::Copied(bytes) => out.write_all(bytes)?,
                Piece::Made(bytes) => out.write_all(bytes)?,
                Piece::Padding(len) => {
                    io::copy(&mut io::Read::take(io::repeat(0), *len), out)?;
                }
            }
        }
        Ok(())
    }

    /// The file as one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        self.write_to(&mut bytes).expect("a vector takes all");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other_without_gap() {
        let mut layout = Layout::default();
        layout.push(Piece::Copied(b"abc"), Holds::Headers);
        layout.align(8);
        assert_eq!(layout.push(Piece::Made(vec![1]), Holds::Loaded), 8);
        assert_eq!(layout.to_vec(), b"abc\0\0\0\0\0\x01");
        assert_eq!(
            layout.sizes(),
            [(Holds::Headers, 3), (Holds::Alignment, 5), (Holds::Loaded, 1)]
        );
        let ends: Vec<_> = layout.stretches().map(|(range, ..)| range.end).collect();
        assert_eq!(ends, [3, 8, 9]);
    }
}
