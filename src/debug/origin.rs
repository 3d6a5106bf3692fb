//! What a debug file says about its input beyond sections: a few lines of text behind the last header.
//!
//! With them the input can be put together again, bit for bit ([`super::restore`]). They stand behind everything that
//! the ELF headers describe, because a section would need a name, and a debug file has the section headers and
//! names of its input. No debugger looks there. The lines, with numbers in hexadecimal:
//!
//! ```text
//! xpost-origin 1
//! file SIZE CRC32 E_SHOFF E_SHNUM           of the input; how many sections it had
//! loaded CRC32                              of what the slim file loads, behind its ELF header
//! section INDEX sh_name sh_flags sh_offset sh_size sh_addralign    where the debug file has other values
//! loose OFFSET SIZE                         bytes of no section, which the slim file has
//! bytes OFFSET CONTENTS                     loaded bytes for which the slim file has others
//! origin LENGTH                             of all lines, in ten decimal digits: how a reader finds the first
//! ```

use std::fmt::Write as _;
use std::ops::Range;

use object::write::elf::SectionHeader;

use super::checksum;
use crate::elf::{Elf, SectionId};
use crate::identity::FIRST_PAGE;

const FIRST_LINE: &str = "xpost-origin 1\n";
/// `origin 0000000312` and its line feed.
const LAST_LINE: usize = 18;

/// How the input was laid out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// Its length in bytes.
    pub(super) size: u64,
    /// Its CRC-32. A cryptographic digest would cost as much as copying the file.
    pub(super) crc: u32,
    /// The CRC-32 of what the slim file loads, behind its ELF header.
    pub(super) loaded: u32,
    /// Its `e_shoff`.
    pub(super) sections_offset: u64,
    /// How many section headers it had.
    pub(super) section_count: u32,
    /// Sections that the debug file has with other values.
    pub(super) sections: Vec<Moved>,
    /// Bytes that no section and no segment owns.
    pub(super) loose: Vec<Range<u64>>,
    /// Loaded bytes that are not the input's in the slim file, at their offsets.
    pub(super) bytes: Vec<(u64, Vec<u8>)>,
}

/// Fields of a section header of the input that differ in the debug file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) section: SectionId,
    pub(super) name: u32,
    pub(super) flags: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) align: u64,
}

impl Origin {
    /// What has to be said about an input, and its CRC-32, beside a debug file with these section headers.
    pub(super) fn new(
        elf: &Elf<'_>,
        original: &[u8],
        crc: u32,
        loose: Vec<Range<u64>>,
        headers: &[SectionHeader],
    ) -> Self {
        let fields =
            |h: &SectionHeader| (h.sh_name, h.sh_flags, h.sh_offset, h.sh_size, h.sh_addralign);
        let sections = elf.sections().iter().zip(headers).filter_map(|(section, new)| {
            let old = section.header();
            (fields(&old) != fields(new)).then_some(Moved {
                section: section.id,
                name: old.sh_name,
                flags: old.sh_flags.0,
                offset: old.sh_offset,
                size: old.sh_size,
                align: old.sh_addralign,
            })
        });
        let mut bytes: Vec<_> =
            elf.masked_header_fields().map(|range| (range.start, elf.bytes(range).to_vec())).into();
        bytes.extend(differences(original, elf.data()));
        bytes.sort();
        Self {
            size: original.len() as u64,
            crc,
            loaded: checksum::loaded(elf),
            sections_offset: elf.header().sections_offset,
            section_count: elf.sections().len() as u32,
            sections: sections.collect(),
            loose,
            bytes,
        }
    }

    /// The lines.
    pub(super) fn to_text(&self) -> String {
        let mut text = FIRST_LINE.to_owned();
        let Self { size, crc, loaded, sections_offset, section_count, .. } = self;
        let _ = writeln!(text, "file {size:x} {crc:08x} {sections_offset:x} {section_count:x}");
        let _ = writeln!(text, "loaded {loaded:08x}");
        for Moved { section, name, flags, offset, size, align } in &self.sections {
            let _ = writeln!(
                text,
                "section {:x} {name:x} {flags:x} {offset:x} {size:x} {align:x}",
                section.0
            );
        }
        for range in &self.loose {
            let _ = writeln!(text, "loose {:x} {:x}", range.start, range.end - range.start);
        }
        for (offset, contents) in &self.bytes {
            let _ = write!(text, "bytes {offset:x} ");
            for byte in contents {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        let len = text.len() + LAST_LINE;
        let _ = writeln!(text, "origin {len:010}");
        text
    }

    /// Reads the lines at the end of a debug file; `None` where there are none that can be read.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let last = file.len().checked_sub(LAST_LINE)?;
        let last = std::str::from_utf8(file.get(last..)?).ok()?;
        let len: usize = last.strip_prefix("origin ")?.trim_end().parse().ok()?;
        let text = std::str::from_utf8(file.get(file.len().checked_sub(len)?..)?).ok()?;
        let mut origin = Self::default();
        for line in text.strip_prefix(FIRST_LINE)?.strip_suffix(last)?.lines() {
            origin.take(line)?;
        }
        (origin.size != 0).then_some(origin)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        if word == "bytes" {
            let (offset, hex) = rest.split_once(' ')?;
            self.bytes.push((number(offset)?, from_hex(hex)?));
            return Some(());
        }
        let numbers: Option<Vec<u64>> = rest.split(' ').map(number).collect();
        match (word, numbers?.as_slice()) {
            ("file", &[size, crc, sections_offset, count]) => {
                self.size = size;
                self.crc = crc.try_into().ok()?;
                self.sections_offset = sections_offset;
                self.section_count = count.try_into().ok()?;
            }
            ("loaded", &[crc]) => self.loaded = crc.try_into().ok()?,
            ("section", &[index, name, flags, offset, size, align]) => {
                let (section, name) = (SectionId(index.try_into().ok()?), name.try_into().ok()?);
                offset.checked_add(size)?;
                self.sections.push(Moved { section, name, flags, offset, size, align });
            }
            ("loose", &[offset, size]) => self.loose.push(offset..offset.checked_add(size)?),
            _ => return None,
        }
        Some(())
    }
}

/// Where the first pages differ, and what the first has there: a build-id is put right nowhere else.
fn differences(before: &[u8], after: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let pairs = (0u64..).zip(before.iter().zip(after)).take(FIRST_PAGE as usize);
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (offset, (&before, _)) in pairs.filter(|(_, (before, after))| before != after) {
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() as u64 == offset => run.push(before),
            _ => runs.push((offset, vec![before])),
        }
    }
    runs
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let moved = Moved {
            section: SectionId(7),
            name: 1,
            flags: 0x800,
            offset: 0x1234,
            size: 9,
            align: 1,
        };
        let origin = Origin {
            size: 0x5000,
            crc: 0x0102_0304,
            loaded: 0xffff_ffff,
            sections_offset: 0x4000,
            section_count: 30,
            sections: vec![moved],
            loose: std::iter::once(0x10..0x20).collect(),
            bytes: vec![(40, vec![0, 0xff])],
        };
        let file = format!("anything{}", origin.to_text());
        assert_eq!(Origin::read(file.as_bytes()), Some(origin));
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let text = Origin { size: 1, ..Origin::default() }.to_text();
        assert!(Origin::read(text.as_bytes()).is_some());
        for damage in [
            text.replace("file", "fire"),
            text.replace(" 1\n", " 2\n"),
            "origin 9999999999\n".into(),
        ] {
            assert_eq!(Origin::read(damage.as_bytes()), None, "{damage}");
        }
        assert_eq!(Origin::read(b""), None);
    }
}
