//! A layout: the bytes of an output file as a rope of pieces in file order, with neither gap nor overlap.
//!
//! The slim file and its debug file are two layouts of one plan, and one writer serves both. It decides
//! nothing, and can fail only as its output fails.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use crate::elf::SectionId;
use crate::fs;

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

    /// Some of its bytes; `None` where they are padding.
    fn part(&self, range: Range<u64>) -> Option<&[u8]> {
        let range = range.start as usize..range.end as usize;
        match self {
            Self::Copied(bytes) => bytes.get(range),
            Self::Made(bytes) => bytes.get(range),
            Self::Padding(_) => None,
        }
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
    /// The note of the build-id, which the input does not have and nothing loads.
    BuildId,
    /// The link to the debug file, which the input does not have.
    DebugLink,
    /// The names of the functions that leave (`.gnu_debugdata`).
    MiniDebug,
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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch<'data> {
    start: u64,
    piece: Piece<'data>,
    holds: Holds,
}

impl Stretch<'_> {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.piece.len()
    }
}

/// The bytes of an output file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout<'data> {
    stretches: Vec<Stretch<'data>>,
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
        match self.stretches.first().map(|first| &first.piece) {
            Some(Piece::Copied(bytes)) => bytes,
            Some(Piece::Made(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Adds a piece at the end and says at which offset it begins.
    pub fn push(&mut self, piece: Piece<'data>, holds: Holds) -> u64 {
        let offset = self.len;
        if !piece.is_empty() {
            self.len += piece.len();
            self.stretches.push(Stretch { start: offset, piece, holds });
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

    /// Adds bytes where there is room for them in a hole, else at the end; in both cases aligned as with [`Self::align`].
    /// Says at which offset they begin.
    pub(crate) fn put(&mut self, bytes: Vec<u8>, align: u64, holds: Holds) -> u64 {
        let len = bytes.len() as u64;
        let start = |hole: &Stretch<'_>| hole.start.next_multiple_of(align.max(1));
        let has_room = |hole: &Stretch<'_>| {
            hole.holds == Holds::Hole && start(hole).saturating_add(len) <= hole.range().end
        };
        let Some(index) = self.stretches.iter().position(has_room) else {
            self.align(align);
            return self.push(Piece::Made(bytes), holds);
        };
        let hole = self.stretches.remove(index);
        let offset = start(&hole);
        let zeros = |range: Range<u64>| Stretch {
            start: range.start,
            piece: Piece::Padding(range.end - range.start),
            holds: Holds::Hole,
        };
        let parts = [
            zeros(hole.start..offset),
            Stretch { start: offset, piece: Piece::Made(bytes), holds },
            zeros(offset + len..hole.range().end),
        ];
        let parts = parts.into_iter().filter(|part| !part.piece.is_empty());
        self.stretches.splice(index..index, parts);
        offset
    }

    /// Changes the first piece, the ELF header: its table's place is known only when all else has one.
    pub(crate) fn set_header(&mut self, header: Vec<u8>) {
        if let Some(first) = self.stretches.first_mut() {
            debug_assert_eq!(first.piece.len(), header.len() as u64, "a header keeps its size");
            first.piece = Piece::Made(header);
        }
    }

    /// The pieces and what they hold, each with the range of the file that it fills.
    pub fn stretches(&self) -> impl Iterator<Item = (Range<u64>, &Piece<'data>, Holds)> {
        self.stretches.iter().map(|stretch| (stretch.range(), &stretch.piece, stretch.holds))
    }

    /// The pieces that lie in a range of the file at least in part, and which bytes of each.
    fn pieces_in(&self, range: Range<u64>) -> impl Iterator<Item = (&Piece<'data>, Range<u64>)> {
        let first = self.stretches.partition_point(|stretch| stretch.range().end <= range.start);
        let rest = self.stretches.get(first..).unwrap_or_default();
        let touching = rest.iter().take_while(move |stretch| stretch.start < range.end);
        touching.map(move |stretch| {
            let (start, end) = (stretch.start.max(range.start), stretch.range().end.min(range.end));
            (&stretch.piece, start - stretch.start..end.max(start) - stretch.start)
        })
    }

    /// Whether the bytes of the file in a range are these. What is copied from where `expected` lies is so without a
    /// look at it.
    pub fn is_at(&self, range: Range<u64>, mut expected: &[u8]) -> bool {
        for (piece, part) in self.pieces_in(range) {
            let len = (part.end - part.start) as usize;
            let Some((first, rest)) = expected.split_at_checked(len) else { return false };
            expected = rest;
            let same = match piece.part(part) {
                Some(bytes) => std::ptr::eq(bytes, first) || bytes == first,
                None => first.iter().all(|&byte| byte == 0),
            };
            if !same {
                return false;
            }
        }
        expected.is_empty()
    }

    /// The file as far as it takes to read its headers: with zeros in place of every long piece that is not one of them,
    /// or in the ranges given. What nobody writes to is no memory yet.
    pub(crate) fn outline(&self, ranges: &[Range<u64>]) -> Vec<u8> {
        const SHORT: u64 = 1 << 16;
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(0)];
        let mut fill = |range: Range<u64>| {
            let mut at = range.start as usize;
            for (piece, part) in self.pieces_in(range) {
                let len = (part.end - part.start) as usize;
                if let Some((to, from)) = bytes.get_mut(at..at + len).zip(piece.part(part)) {
                    to.copy_from_slice(from);
                }
                at += len;
            }
        };
        for stretch in &self.stretches {
            let is_header = matches!(stretch.holds, Holds::Headers | Holds::SectionHeaders);
            let range = stretch.range();
            // The beginning of a long piece may be a compression header.
            let end = if is_header { range.end } else { range.end.min(range.start + SHORT) };
            fill(range.start..end);
        }
        for range in ranges {
            fill(range.start..range.end.min(self.len));
        }
        bytes
    }

    /// Where a section of the input is.
    pub(crate) fn place(&self, section: SectionId) -> Option<Range<u64>> {
        let holds = Holds::Section(section);
        self.stretches.iter().find(|stretch| stretch.holds == holds).map(Stretch::range)
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

    /// The bytes of the file in their order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        const ZEROS: &[u8] = &[0; 1 << 12];
        self.stretches.iter().flat_map(|Stretch { piece, .. }| {
            let (bytes, zeros) = match piece {
                Piece::Copied(bytes) => (Some(*bytes), 0),
                Piece::Made(bytes) => (Some(bytes.as_slice()), 0),
                Piece::Padding(len) => (None, *len),
            };
            let blocks = (0..zeros.div_ceil(ZEROS.len() as u64)).map(move |block| {
                let left = zeros - block * ZEROS.len() as u64;
                ZEROS.get(..left as usize).unwrap_or(ZEROS)
            });
            bytes.into_iter().chain(blocks)
        })
    }

    /// Writes the file.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        const PART: usize = 4 << 20;
        for bytes in self.slices() {
            // A part at a time: what was written is no memory any more.
            for part in bytes.chunks(PART) {
                out.write_all(part)?;
                fs::release(part);
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

    #[test]
    fn what_fits_into_a_hole_goes_there() {
        let mut layout = Layout::default();
        layout.push(Piece::Copied(b"a"), Holds::Loaded);
        layout.push(Piece::Padding(20), Holds::Hole);
        layout.push(Piece::Copied(b"z"), Holds::Loaded);
        assert_eq!(layout.put(vec![1; 8], 8, Holds::SectionHeaders), 8);
        assert_eq!(layout.put(vec![2; 8], 8, Holds::SectionHeaders), 24);
        assert_eq!(layout.put(vec![3; 5], 1, Holds::SectionHeaders), 1);
        let expected = b"a\x03\x03\x03\x03\x03\0\0\x01\x01\x01\x01\x01\x01\x01\x01\0\0\0\0\0z";
        assert_eq!(layout.to_vec(), [&expected[..], b"\0\0", &[2; 8]].concat());
        let ends: Vec<_> = layout.stretches().map(|(range, ..)| range.end).collect();
        assert_eq!(ends, [1, 6, 8, 16, 21, 22, 24, 32]);
    }
}
