//! Several DEFLATE streams as parts of one (RFC 1951), so that one section can be compressed on several cores.
//!
//! libdeflate makes whole streams only: the last block says that it is the last. Where that block begins stands
//! nowhere, so the blocks are walked over, without unpacking them. Then the block's mark is cleared, and an empty
//! stored block ends the part at a whole byte, as zlib's Z_SYNC_FLUSH does; what follows may be any other part.

/// Makes a stream that ends into a part that another follows. `None` where it is no stream that ends.
pub(super) fn open_end(stream: &mut Vec<u8>) -> Option<()> {
    let Walk { last_block, end } = walk(stream)?;
    *stream.get_mut(last_block / 8)? &= !(1 << (last_block % 8));
    stream.truncate(end.div_ceil(8));
    // RFC 1951, 3.2.4: three bits of zeros (not the last, stored), zeros up to a byte, LEN 0 and its complement.
    let used = end % 8;
    if used == 0 || used > 5 {
        stream.push(0);
    }
    stream.extend([0, 0, 0xff, 0xff]);
    Some(())
}

/// The bits of an empty last block: what makes a part a stream of its own again.
pub(super) const END: [u8; 2] = [3, 0];

/// Bit positions in a stream.
struct Walk {
    /// The first bit of the last block, its mark.
    last_block: usize,
    /// Behind the last block.
    end: usize,
}

fn walk(stream: &[u8]) -> Option<Walk> {
    let mut bits = Bits { bytes: stream, next: 0, buffer: 0, count: 0 };
    loop {
        let block = bits.position();
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => bits.skip_stored()?,
            1 => {
                bits.skip_coded(&Code::literals(&fixed_lengths())?, &Code::distances(&[5; 30])?)?
            }
            2 => {
                let (literals, distances) = bits.codes()?;
                bits.skip_coded(&literals, &distances)?;
            }
            _ => return None,
        }
        if last {
            let end = bits.position();
            return (end <= stream.len() * 8).then_some(Walk { last_block: block, end });
        }
    }
}

/// RFC 1951, 3.2.6.
fn fixed_lengths() -> [u8; 288] {
    std::array::from_fn(|symbol| match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    })
}

struct Bits<'data> {
    bytes: &'data [u8],
    next: usize,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    fn position(&self) -> usize {
        self.next * 8 - self.count as usize
    }

    /// At least 56 bits; behind the end zeros, which the walk notices by its position.
    fn refill(&mut self) {
        if let Some(word) = self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<8>()) {
            self.buffer |= u64::from_le_bytes(*word) << self.count;
            let whole = (63 - self.count) / 8;
            self.next += whole as usize;
            self.count += whole * 8;
            return;
        }
        while self.count <= 56 {
            let byte = self.bytes.get(self.next).copied().unwrap_or(0);
            self.buffer |= u64::from(byte) << self.count;
            self.next += 1;
            self.count += 8;
        }
    }

    fn skip(&mut self, count: u32) {
        self.buffer >>= count;
        self.count = self.count.saturating_sub(count);
    }

    /// Up to 16 bits; `None` behind the end.
    fn take(&mut self, count: u32) -> Option<usize> {
        self.refill();
        let value = self.buffer & ((1 << count) - 1);
        self.skip(count);
        (self.position() <= self.bytes.len() * 8).then_some(value as usize)
    }

    fn skip_stored(&mut self) -> Option<()> {
        let start = self.position().div_ceil(8);
        let length = self.bytes.get(start..)?.first_chunk::<2>()?;
        self.next = start + 4 + usize::from(u16::from_le_bytes(*length));
        (self.buffer, self.count) = (0, 0);
        (self.next <= self.bytes.len()).then_some(())
    }

    /// RFC 1951, 3.2.7.
    fn codes(&mut self) -> Option<(Code, Code)> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.take(5)? + 257, self.take(5)? + 1);
        let count = self.take(4)? + 4;
        let mut lengths = [0; 19];
        for &symbol in ORDER.iter().take(count) {
            *lengths.get_mut(symbol)? = self.take(3)? as u8;
        }
        let of_lengths = Code::new(&lengths, |symbol| (0, symbol as u8))?;
        let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
        while lengths.len() < literals + distances {
            self.refill();
            let Step { bits, what } = of_lengths.step(self.buffer)?;
            self.skip(bits.into());
            let (length, times) = match what {
                16 => (*lengths.last()?, self.take(2)? + 3),
                17 => (0, self.take(3)? + 3),
                18 => (0, self.take(7)? + 11),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        let (of_literals, of_distances) = lengths.split_at_checked(literals)?;
        Some((Code::literals(of_literals)?, Code::distances(of_distances)?))
    }

    fn skip_coded(&mut self, literals: &Code, distances: &Code) -> Option<()> {
        loop {
            self.refill();
            let Step { bits, what } = literals.step(self.buffer)?;
            self.skip(bits.into());
            match what {
                LITERAL => {}
                BLOCK_END => return Some(()),
                _ => {
                    let Step { bits, .. } = distances.step(self.buffer)?;
                    self.skip(bits.into());
                }
            }
            if self.next > self.bytes.len() + 8 {
                return None;
            }
        }
    }
}

const LITERAL: u8 = 0;
const BLOCK_END: u8 = 1;
const MATCH: u8 = 2;

/// What the next bits are: how many with those that follow the code, and what they stand for. No bits: no code.
#[derive(Clone, Copy, Default)]
struct Step {
    bits: u8,
    what: u8,
}

/// A prefix code (RFC 1951, 3.2.2) as a table over the longest code's bits.
struct Code {
    steps: Vec<Step>,
    mask: u64,
}

impl Code {
    fn new(lengths: &[u8], of_symbol: impl Fn(usize) -> (u8, u8)) -> Option<Self> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest > 15 {
            return None;
        }
        let size = 1_usize << longest;
        let mut steps = vec![Step::default(); size];
        let mut code = 0_usize;
        for length in 1..=longest {
            code <<= 1;
            let symbols = lengths.iter().enumerate().filter(|(_, other)| **other == length);
            for (symbol, _) in symbols {
                let (extra, what) = of_symbol(symbol);
                // Codes stand in the stream with their first bit lowest.
                let first = code.reverse_bits() >> (usize::BITS - u32::from(length));
                let places = steps.get_mut(first..)?.iter_mut().step_by(1 << length);
                places.for_each(|place| *place = Step { bits: length + extra, what });
                code += 1;
                if code > 1 << length {
                    return None;
                }
            }
        }
        Some(Self { steps, mask: size as u64 - 1 })
    }

    /// RFC 1951, 3.2.5: lengths.
    fn literals(lengths: &[u8]) -> Option<Self> {
        Self::new(lengths, |symbol| match symbol {
            0..256 => (0, LITERAL),
            256 => (0, BLOCK_END),
            257..265 | 285.. => (0, MATCH),
            _ => ((symbol as u8).wrapping_sub(5) / 4, MATCH),
        })
    }

    /// RFC 1951, 3.2.5: distances.
    fn distances(lengths: &[u8]) -> Option<Self> {
        Self::new(lengths, |symbol| (symbol.saturating_sub(2) as u8 / 2, MATCH))
    }

    fn step(&self, bits: u64) -> Option<Step> {
        self.steps.get((bits & self.mask) as usize).copied().filter(|step| step.bits != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(plain: &[u8], level: i32) -> Vec<u8> {
        let level = libdeflater::CompressionLvl::new(level).expect("it exists");
        let mut compressor = libdeflater::Compressor::new(level);
        let mut bytes = vec![0; compressor.deflate_compress_bound(plain.len())];
        let size = compressor.deflate_compress(plain, &mut bytes).expect("room enough");
        bytes.truncate(size);
        bytes
    }

    #[test]
    fn parts_make_one_stream_whatever_blocks_they_are_of() {
        let text = std::iter::repeat_n("the quick brown fox and others like it ", 9000);
        let text: Vec<u8> = text
            .enumerate()
            .flat_map(|(at, text)| format!("{text}{}", at * at).into_bytes())
            .collect();
        let noise: Vec<u8> = (0..70_000_u64)
            .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8)
            .collect();
        for level in [0, 1, 6, 9, 12] {
            let plains: [&[u8]; 6] = [&text, b"", b"a", &noise, &[7; 300_000], b"the end"];
            let mut joined = Vec::new();
            for plain in plains {
                let mut part = compressed(plain, level);
                open_end(&mut part).expect("a stream");
                joined.extend(part);
            }
            joined.extend(END);
            let mut found = vec![0; plains.concat().len()];
            let size = libdeflater::Decompressor::new().deflate_decompress(&joined, &mut found);
            assert_eq!(size, Ok(found.len()), "level {level}");
            assert!(found == plains.concat(), "level {level}");
        }
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let whole = compressed(&b"some text, some more text".repeat(100), 6);
        for end in 0..whole.len() {
            let mut cut = whole.get(..end).expect("shorter").to_vec();
            assert!(open_end(&mut cut).is_none(), "{end}");
        }
        assert!(open_end(&mut vec![0xff; 100]).is_none());
    }
}
