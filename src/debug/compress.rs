//! Debug sections in the form asked for: plain, or compressed with zlib or zstd (gABI, "Section Compression").
//!
//! A section that is in that form already is copied as it is, and the smaller form wins: nothing grows but by
//! being decompressed on request.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use object::elf;

use super::in_debug;
use crate::elf::{Elf, Error, Section, SectionId};
use crate::slim::Plan;

/// How the debug file's debug sections are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// The one form that every reader takes.
    #[default]
    Zlib,
    /// Smaller and faster, but refused by elfutils before 0.189, lldb before 16, valgrind and Rust's own backtraces.
    Zstd,
}

impl Compression {
    fn kind(self) -> Option<elf::CompressionType> {
        match self {
            Self::None => None,
            Self::Zlib => Some(elf::ELFCOMPRESS_ZLIB),
            Self::Zstd => Some(elf::ELFCOMPRESS_ZSTD),
        }
    }
}

/// libdeflate's default: the size of zlib's level 6 in a third of the time.
const ZLIB_LEVEL: i32 = 6;
/// zstd's default. Its window (2 MiB) is below the 8 MiB that Go's reader can take.
const ZSTD_LEVEL: i32 = 3;

/// A section's new contents and the header fields that change with them.
pub(super) struct Recoded {
    pub(super) bytes: Vec<u8>,
    pub(super) flags: elf::SectionFlags,
    pub(super) align: u64,
}

/// New contents for the debug sections whose form is to change, on as many threads as there are cores.
pub(super) fn recode(
    elf: &Elf<'_>,
    plan: &Plan<'_>,
    compression: Compression,
) -> Result<BTreeMap<SectionId, Recoded>, Error> {
    let candidate = |section: &&Section<'_>| {
        in_debug(plan, section) && !section.is_loaded() && section.name.starts_with(b".debug_")
    };
    let mut sections: Vec<_> = elf.sections().iter().filter(candidate).collect();
    // The longest first, so that no core is left with it at the end.
    sections.sort_by_key(|section| std::cmp::Reverse(section.size));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(BTreeMap::new()));
    let work = || {
        while let Some(section) = sections.get(next.fetch_add(1, Ordering::Relaxed)) {
            let recoded = recode_one(elf, section, compression);
            let mut done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match (&mut *done, recoded) {
                (Ok(map), Ok(Some(recoded))) => drop(map.insert(section.id, recoded)),
                (Ok(_), Err(error)) => *done = Err(error),
                _ => {}
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(sections.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A section in the form asked for; `None` where it is to be copied as it is.
fn recode_one(
    elf: &Elf<'_>,
    section: &Section<'_>,
    compression: Compression,
) -> Result<Option<Recoded>, Error> {
    let present = elf.compressed(section)?;
    if present.map(|compressed| compressed.kind) == compression.kind() {
        return Ok(None);
    }
    let plain = elf.contents(section)?;
    let align = present.map_or(section.align, |compressed| compressed.align);
    let plain_flags = elf::SectionFlags(section.flags.0 & !elf::SHF_COMPRESSED.0);
    let Some(kind) = compression.kind() else {
        return Ok(Some(Recoded { bytes: plain.into_owned(), flags: plain_flags, align }));
    };
    let mut bytes = elf.compression_header(kind, plain.len() as u64, align);
    if compression == Compression::Zlib {
        zlib(&plain, &mut bytes)
    } else {
        zstd(&plain, &mut bytes)
    }
    if bytes.len() as u64 >= section.size {
        return Ok(None);
    }
    let flags = elf::SectionFlags(plain_flags.0 | elf::SHF_COMPRESSED.0);
    Ok(Some(Recoded { bytes, flags, align: elf.encoder().address_size() }))
}

fn zlib(plain: &[u8], out: &mut Vec<u8>) {
    let level = libdeflater::CompressionLvl::new(ZLIB_LEVEL).unwrap_or_default();
    let mut compressor = libdeflater::Compressor::new(level);
    let start = out.len();
    out.resize(start + compressor.zlib_compress_bound(plain.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let size = compressor.zlib_compress(plain, room).expect("the bound leaves enough room");
    out.truncate(start + size);
}

fn zstd(plain: &[u8], out: &mut Vec<u8>) {
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL).expect("the level exists");
    encoder.set_pledged_src_size(Some(plain.len() as u64)).expect("set before the first byte");
    encoder.write_all(plain).expect("a vector takes all");
    encoder.finish().expect("a vector takes all");
}
