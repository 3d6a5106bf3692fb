//! CRC-32 as in zlib, which `.gnu_debuglink` holds (GDB manual, "Separate Debug Files"): of files that are nearly the same
//! bytes, with one look at them on all cores.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crc32fast::Hasher;

use crate::elf::Elf;
use crate::slim::Layout;
use crate::{fs, parallel};

/// Bytes that one thread takes at a time.
const CHUNK: usize = 4 << 20;
/// A stretch that is worth remembering, in bytes.
const LONG: usize = 1 << 16;

/// The checksum of a debug file, or any other: that of its final bytes. Compress a debug file afterwards and gdb refuses it.
pub fn checksum(bytes: &[u8]) -> u32 {
    Checksums::default().of([bytes].into_iter())
}

/// The checksum of what a file loads, behind the ELF header, in which a slim file differs.
pub(super) fn loaded(elf: &Elf<'_>) -> u32 {
    let header = elf.header_size();
    let ranges = elf.loaded_ranges().into_iter();
    let ranges = ranges.map(|range| range.start.max(header)..range.end.max(header));
    Checksums::default().of(ranges.map(|range| elf.bytes(range)))
}

/// The checksums of long stretches that were looked at, by where they begin in memory and their length.
#[derive(Default)]
pub(super) struct Checksums {
    known: BTreeMap<(usize, usize), Hasher>,
}

impl Checksums {
    /// Looks at stretches of the input that are to be copied; not at short ones, which are not worth remembering.
    pub(super) fn look_at<'data>(stretches: impl Iterator<Item = &'data [u8]>) -> Self {
        let long: Vec<&[u8]> = stretches.filter(|bytes| bytes.len() >= LONG).collect();
        let keys = long.iter().map(|bytes| (address(bytes), bytes.len()));
        Self { known: keys.zip(sum_each(&long)).collect() }
    }

    /// The checksum of bytes of which stretches may be known.
    pub(super) fn of_input(&self, input: &[u8]) -> u32 {
        let mut pieces = Vec::new();
        let (start, mut rest) = (address(input), input);
        for &(at, len) in self.known.keys() {
            let done = input.len() - rest.len();
            let before = at.checked_sub(start).and_then(|offset| offset.checked_sub(done));
            let cut = before.and_then(|before| {
                let (unknown, more) = rest.split_at_checked(before)?;
                let (known, more) = more.split_at_checked(len)?;
                Some((unknown, known, more))
            });
            if let Some((unknown, known, more)) = cut {
                pieces.extend([unknown, known]);
                rest = more;
            }
        }
        pieces.push(rest);
        self.of(pieces.into_iter())
    }

    /// The checksum of a layout.
    pub(super) fn of_layout(&self, layout: &Layout<'_>) -> u32 {
        self.of(layout.slices())
    }

    fn of<'data>(&self, pieces: impl Iterator<Item = &'data [u8]>) -> u32 {
        let pieces: Vec<&[u8]> = pieces.collect();
        let known = |piece: &[u8]| self.known.get(&(address(piece), piece.len()));
        let new: Vec<&[u8]> =
            pieces.iter().filter(|piece| known(piece).is_none()).copied().collect();
        let mut new = sum_each(&new).into_iter();
        let mut all = Hasher::new();
        for piece in pieces {
            match known(piece) {
                Some(hasher) => all.combine(hasher),
                None => all.combine(&new.next().unwrap_or_default()),
            }
        }
        all.finalize()
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

/// The checksum of each.
fn sum_each(pieces: &[&[u8]]) -> Vec<Hasher> {
    let chunks: Vec<&[u8]> = pieces.iter().flat_map(|piece| piece.chunks(CHUNK)).collect();
    let sum = |(): &mut (), chunk: &&[u8]| -> Result<Hasher, Infallible> {
        fs::expect(chunk);
        let mut hasher = Hasher::new();
        hasher.update(chunk);
        fs::release(chunk);
        Ok(hasher)
    };
    let Ok(sums) = parallel::each(parallel::cores(), &chunks, || (), sum);
    let mut sums = sums.into_iter();
    let of_piece = |piece: &&[u8]| {
        let mut all = Hasher::new();
        let count = piece.len().div_ceil(CHUNK);
        sums.by_ref().take(count).for_each(|hasher| all.combine(&hasher));
        all
    };
    pieces.iter().map(of_piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slim::{Holds, Piece};

    #[test]
    fn what_is_known_makes_no_difference() {
        let input: Vec<u8> =
            (0..5_000_000_u32).map(|at| (at.wrapping_mul(at) >> 5) as u8).collect();
        let mut layout = Layout::default();
        let stretches = [&input[4_500_000..4_900_000], &input[..100], &input[100..4_400_000]];
        for stretch in stretches {
            layout.push(Piece::Copied(stretch), Holds::Loaded);
            layout.align(4096);
        }
        layout.push(Piece::Made(b"end".to_vec()), Holds::Origin);
        let sums = Checksums::look_at(stretches.into_iter());
        assert_eq!(sums.known.len(), 2);
        assert_eq!(sums.of_layout(&layout), crc32fast::hash(&layout.to_vec()));
        assert_eq!(sums.of_input(&input), crc32fast::hash(&input));
        assert_eq!(sums.of_input(&input[1..]), crc32fast::hash(&input[1..]));
        assert_eq!(checksum(&input), crc32fast::hash(&input));
        assert_eq!(checksum(b""), 0);
    }
}
