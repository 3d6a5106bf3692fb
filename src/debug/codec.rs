//! One part of a section → its compressed form, read back and compared before anybody gets it.
//!
//! A section is compressed in parts of a fixed size, so that several cores share a large one and memory stays bounded;
//! the size is fixed because the number of cores must not show in the output. zstd readers take any number of frames
//! in a row. zlib stays one stream: its parts end at whole bytes and refer to nothing before them. So a section reads
//! as it was if each of its parts does, and each is read back here.

use super::deflate;
use super::form::{Compression, Form};

/// A part of a section in bytes, before compression. What a part costs, for it cannot refer to the one before: less
/// than 0.3 %.
const PART: usize = 16 << 20;
/// With levels that look far back: as much as eight of their windows.
const LONG_PART: usize = 64 << 20;
/// The lowest of those levels.
const LOOKS_FAR: i32 = 10;

/// The size of the parts in bytes.
pub(super) fn part_size(form: &Form) -> usize {
    if form.compression == Compression::Zstd && form.effort() >= LOOKS_FAR {
        LONG_PART
    } else {
        PART
    }
}

/// A compressed part.
pub(super) struct Part {
    bytes: Vec<u8>,
    /// Adler-32 and length of the plain bytes (RFC 1950).
    adler: u32,
    len: usize,
}

/// What one thread compresses with.
pub(super) enum Coder {
    Zlib { deflater: libdeflater::Compressor, inflater: libdeflater::Decompressor, room: Vec<u8> },
    Zstd { compressor: zstd::bulk::Compressor<'static>, room: Vec<u8> },
}

impl Coder {
    /// For a form that compresses; `None` for one that does not.
    pub(super) fn new(form: &Form) -> Option<Self> {
        match form.compression {
            Compression::None => None,
            Compression::Zlib => {
                let level = libdeflater::CompressionLvl::new(form.effort()).unwrap_or_default();
                Some(Self::Zlib {
                    deflater: libdeflater::Compressor::new(level),
                    inflater: libdeflater::Decompressor::new(),
                    room: Vec::new(),
                })
            }
            Compression::Zstd => {
                let compressor = zstd::bulk::Compressor::new(form.effort()).ok()?;
                Some(Self::Zstd { compressor, room: Vec::new() })
            }
        }
    }

    /// Compresses a part; `is_last` where none follows. `None` where what came out does not read as what went in.
    pub(super) fn encode(&mut self, plain: &[u8], is_last: bool) -> Option<Part> {
        match self {
            Self::Zlib { deflater, inflater, room } => {
                grow(room, deflater.deflate_compress_bound(plain.len()).max(plain.len()));
                let size = deflater.deflate_compress(plain, room).ok()?;
                // Room for what is appended below.
                let mut bytes = Vec::with_capacity(size + 8);
                bytes.extend_from_slice(room.get(..size)?);
                if !is_last {
                    deflate::open_end(&mut bytes)?;
                    bytes.extend(deflate::END);
                }
                let room = room.get_mut(..plain.len())?;
                let size = inflater.deflate_decompress(&bytes, room).ok()?;
                if !is_last {
                    bytes.truncate(bytes.len() - deflate::END.len());
                }
                let adler = libdeflater::adler32(plain);
                (size == plain.len() && room == plain).then_some(Part {
                    bytes,
                    adler,
                    len: plain.len(),
                })
            }
            Self::Zstd { compressor, room } => {
                let bound = zstd::zstd_safe::compress_bound(plain.len());
                grow(room, bound.max(plain.len()));
                let room = room.as_mut_slice();
                let size = compressor.compress_to_buffer(plain, room).ok()?;
                let bytes = room.get(..size)?.to_vec();
                let room = room.get_mut(..plain.len())?;
                let size = zstd::bulk::decompress_to_buffer(&bytes, room).ok()?;
                let same = size == plain.len() && room == plain;
                same.then_some(Part { bytes, adler: 0, len: plain.len() })
            }
        }
    }

    /// Puts the parts of a section in a row behind `start`, and leaves them empty.
    pub(super) fn join(form: &Form, start: Vec<u8>, parts: Vec<Part>) -> Vec<u8> {
        let mut bytes = start;
        let zlib = form.compression == Compression::Zlib;
        bytes.reserve_exact(parts.iter().map(|part| part.bytes.len()).sum::<usize>() + 6);
        if zlib {
            bytes.extend(zlib_header(form.effort()));
        }
        let mut adler = 1;
        for part in parts {
            bytes.extend_from_slice(&part.bytes);
            adler = adler_of_both(adler, part.adler, part.len);
        }
        if zlib {
            bytes.extend(adler.to_be_bytes());
        }
        bytes
    }
}

fn grow(room: &mut Vec<u8>, size: usize) {
    if room.len() < size {
        // Fresh zeros are pages that nobody touched yet.
        *room = vec![0; size];
    }
}

/// CMF and FLG with the hint at the level that zlib itself would write (RFC 1950, 2.2).
fn zlib_header(level: i32) -> [u8; 2] {
    match level {
        ..2 => [0x78, 0x01],
        2..6 => [0x78, 0x5e],
        6..8 => [0x78, 0x9c],
        _ => [0x78, 0xda],
    }
}

/// The Adler-32 of two texts one after the other; `len` is the length of the second (RFC 1950, 8.2).
fn adler_of_both(first: u32, second: u32, len: usize) -> u32 {
    const BASE: u64 = 65521;
    let halves = |adler: u32| (u64::from(adler & 0xffff), u64::from(adler >> 16));
    let ((a1, b1), (a2, b2)) = (halves(first), halves(second));
    let len = len as u64 % BASE;
    // The second's sums begin with 1 and 0 instead of with the first's.
    let a = (a1 + a2 + BASE - 1) % BASE;
    let b = (b1 + b2 + len * ((a1 + BASE - 1) % BASE)) % BASE;
    (b << 16 | a) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_parts_make_that_of_the_whole() {
        let text: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for cut in [0, 1, 7, 65_520, 65_521, 65_522, 200_000] {
            let (left, right) = text.split_at(cut);
            let both =
                adler_of_both(libdeflater::adler32(left), libdeflater::adler32(right), right.len());
            assert_eq!(both, libdeflater::adler32(&text), "{cut}");
        }
    }
}
