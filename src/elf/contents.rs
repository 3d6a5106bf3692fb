//! The contents of a section as its readers see them: decompressed where the section is compressed.

use std::borrow::Cow;
use std::io::Read;

use object::elf::{self, CompressionHeader32, CompressionHeader64};
use object::read::elf::CompressionHeader;
use object::{Endianness, pod};

use super::{Class, Elf, Error, Section};

/// What a compressed section says of itself, and what follows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed<'data> {
    /// How it says so.
    pub framing: Framing,
    /// `ch_type`
    pub kind: elf::CompressionType,
    /// `ch_size`: the size before compression in bytes.
    pub size: u64,
    /// `ch_addralign`: the alignment before compression.
    pub align: u64,
    /// The compressed stream.
    pub stream: &'data [u8],
}

/// How a compressed section says that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By SHF_COMPRESSED and a header (gABI, "Section Compression").
    Standard,
    /// By its name `.zdebug_*`, the letters `ZLIB` and 8 bytes of the size, the highest first: how GNU tools wrote it before
    /// there was a standard (`-gz=zlib-gnu`).
    Gnu,
}

impl Framing {
    /// What begins the contents of a section of GNU's form.
    pub(super) const GNU_MARK: &'static [u8] = b"ZLIB";

    /// The header of GNU's form for a section of so many bytes.
    pub fn gnu_header(size: u64) -> Vec<u8> {
        [Self::GNU_MARK, &size.to_be_bytes()].concat()
    }
}

/// A stream cannot blow up further than this once it is large: deflate's own limit is 1032 to 1, and what zstd can do
/// beyond that is no debug information. Keeps memory within bounds for hostile input.
const MOST_EXPANSION: u64 = 2048;
/// Up to this size in bytes anything may expand: a section of zeros does.
const SMALL: u64 = 64 << 20;

impl<'data> Elf<'data> {
    /// The compression header of a section, checked; `None` where the section is not compressed.
    pub fn compressed(&self, section: &Section<'data>) -> Result<Option<Compressed<'data>>, Error> {
        let endian = self.header.endian;
        let compressed = match self.header.class {
            _ if !section.has_contents() => return Ok(None),
            _ if section.is_gnu_compressed() => read_gnu(section)?,
            _ if !section.is_compressed() => return Ok(None),
            Class::Elf32 => read::<CompressionHeader32<Endianness>>(section, endian)?,
            Class::Elf64 => read::<CompressionHeader64<Endianness>>(section, endian)?,
        };
        let most = (compressed.stream.len() as u64).saturating_mul(MOST_EXPANSION).max(SMALL);
        if compressed.size > most || usize::try_from(compressed.size).is_err() {
            return Err(invalid(section, "the size before compression is not believable"));
        }
        Ok(Some(compressed))
    }

    /// The contents of a section, decompressed.
    pub fn contents(&self, section: &Section<'data>) -> Result<Cow<'data, [u8]>, Error> {
        let Some(compressed) = self.compressed(section)? else {
            return Ok(Cow::Borrowed(section.data));
        };
        let bytes = match compressed.kind {
            elf::ELFCOMPRESS_ZLIB => inflate(&compressed),
            elf::ELFCOMPRESS_ZSTD => unzstd(&compressed),
            _ => return Err(invalid(section, "the algorithm is neither zlib nor zstd")),
        };
        bytes.map(Cow::Owned).ok_or(invalid(section, "the stream is damaged or has another length"))
    }
}

fn read<'data, H: CompressionHeader<Endian = Endianness>>(
    section: &Section<'data>,
    endian: Endianness,
) -> Result<Compressed<'data>, Error> {
    let (header, stream) = pod::from_bytes::<H>(section.data)
        .map_err(|()| invalid(section, "the section is too short for one"))?;
    Ok(Compressed {
        framing: Framing::Standard,
        kind: header.ch_type(endian),
        size: header.ch_size(endian).into(),
        align: header.ch_addralign(endian).into(),
        stream,
    })
}

fn read_gnu<'data>(section: &Section<'data>) -> Result<Compressed<'data>, Error> {
    let rest = section.data.strip_prefix(Framing::GNU_MARK);
    let (size, stream) = rest
        .and_then(|rest| rest.split_first_chunk())
        .ok_or(invalid(section, "the section is too short for one"))?;
    Ok(Compressed {
        framing: Framing::Gnu,
        kind: elf::ELFCOMPRESS_ZLIB,
        size: u64::from_be_bytes(*size),
        align: section.align,
        stream,
    })
}

fn invalid(section: &Section<'_>, reason: &'static str) -> Error {
    Error::CompressionHeader { section: section.id.0, reason }
}

fn inflate(compressed: &Compressed<'_>) -> Option<Vec<u8>> {
    let size = compressed.size as usize;
    // Asked for first: memory that is not there ends the process where a vector needs it.
    Vec::<u8>::new().try_reserve_exact(size).ok()?;
    let mut bytes = vec![0; size];
    let size =
        libdeflater::Decompressor::new().zlib_decompress(compressed.stream, &mut bytes).ok()?;
    (size == bytes.len()).then_some(bytes)
}

/// Readers take any number of concatenated frames, and so does this.
fn unzstd(compressed: &Compressed<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::new(compressed.stream).ok()?;
    decoder.take(compressed.size + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == compressed.size).then_some(bytes)
}
