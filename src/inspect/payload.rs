//! What follows the image of a program: archives that it reads out of its own file.
//!
//! The ELF headers describe none of it. Programs find it by its distance from the end of the file or from the end of the
//! image, which slimming keeps; or from the start, which it cannot.

use std::ops::Range;

use crate::elf::{Elf, Owner};

/// Bytes behind everything that the headers describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Where they are: up to the end of the file.
    pub range: Range<u64>,
    /// What they are.
    pub kind: PayloadKind,
}

/// What a payload is, as far as its own marks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// A zip archive, whose directory is at the end (APPNOTE.TXT, 4.3.16).
    Zip,
    /// A zip archive whose offsets count from the start of the file; some readers work out by how much they are off.
    ZipFromStart,
    /// A squashfs file system; that of an AppImage follows its image.
    Squashfs,
    /// A program of Deno 2, found from the end.
    Deno,
    /// A program of Deno 1: its trailer counts from the start of the file.
    DenoFromStart,
    /// A program of Bun, found from the end.
    Bun,
    /// A program of PyInstaller, found from the end.
    PyInstaller,
    /// Anything else.
    Unknown,
}

impl PayloadKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip | Self::ZipFromStart => "zip archive",
            Self::Squashfs => "squashfs file system",
            Self::Deno | Self::DenoFromStart => "Deno program",
            Self::Bun => "Bun program",
            Self::PyInstaller => "PyInstaller program",
            Self::Unknown => "of no known kind",
        }
    }
}

/// The payload of a file; zeros alone are none.
pub fn payload(elf: &Elf<'_>) -> Option<Payload> {
    let map = elf.map();
    let range = map.spans.last().filter(|span| span.owner == Owner::Nobody)?.range.clone();
    let bytes = elf.bytes(range.clone());
    bytes.iter().any(|&byte| byte != 0).then(|| Payload { kind: kind(bytes, &range), range })
}

fn kind(bytes: &[u8], range: &Range<u64>) -> PayloadKind {
    /// A trailer is that near to the end.
    const TRAILER: usize = 96;
    let end = bytes.get(bytes.len().saturating_sub(TRAILER)..).unwrap_or(bytes);
    let after = |mark: &[u8]| {
        let at = end.windows(mark.len()).rposition(|window| window == mark)?;
        end.get(at + mark.len()..)
    };
    if let Some(rest) = after(b"d3n0l4nd") {
        // Deno 1 (cli/standalone): two or four big-endian offsets, of which the first is that of the bundle.
        let first = rest.first_chunk().map(|first| u64::from_be_bytes(*first));
        let from_start = first.is_some_and(|first| range.contains(&first));
        return if from_start { PayloadKind::DenoFromStart } else { PayloadKind::Deno };
    }
    if after(b"\n---- Bun! ----\n").is_some() {
        PayloadKind::Bun
    } else if after(b"MEI\x0c\x0b\x0a\x0b\x0e").is_some() {
        PayloadKind::PyInstaller
    } else if bytes.starts_with(b"hsqs") {
        PayloadKind::Squashfs
    } else {
        zip(bytes, range.start).unwrap_or(PayloadKind::Unknown)
    }
}

/// A zip archive ends with the end of central directory record: 22 bytes and a comment (APPNOTE.TXT, 4.3.16).
fn zip(bytes: &[u8], start: u64) -> Option<PayloadKind> {
    const RECORD: usize = 22;
    let first = bytes.len().saturating_sub(RECORD + usize::from(u16::MAX));
    let end = bytes.get(first..)?;
    let (at, record) = end.windows(RECORD).enumerate().find(|(at, record)| {
        let comment = record.last_chunk::<2>().map_or(0, |length| u16::from_le_bytes(*length));
        record.starts_with(b"PK\x05\x06") && at + RECORD + usize::from(comment) == end.len()
    })?;
    let word =
        |at: usize| record.get(at..)?.first_chunk::<4>().map(|word| u32::from_le_bytes(*word));
    let (size, offset) = (word(12)?, word(16)?);
    // The directory lies in front of the record.
    let in_file = start + (first + at) as u64;
    let from_start = u64::from(size) + u64::from(offset) == in_file;
    Some(if from_start { PayloadKind::ZipFromStart } else { PayloadKind::Zip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_known_by_its_own_marks() {
        let of = |bytes: &[u8]| kind(bytes, &(1000..1000 + bytes.len() as u64));
        let zip = |comment: &[u8]| {
            let length = (comment.len() as u16).to_le_bytes();
            [b"PK\x03\x04...PK\x05\x06".as_slice(), &[0; 16], &length, comment].concat()
        };
        assert_eq!(of(&zip(b"")), PayloadKind::Zip);
        assert_eq!(of(&zip(b"a comment")), PayloadKind::Zip);
        assert_eq!(of(&[zip(b""), b"more".to_vec()].concat()), PayloadKind::Unknown);
        assert_eq!(of(b"hsqs and so on"), PayloadKind::Squashfs);
        assert_eq!(of(b"graph\n---- Bun! ----\n\x05\0\0\0\0\0\0\0"), PayloadKind::Bun);
        assert_eq!(
            of(&[b"MEI\x0c\x0b\x0a\x0b\x0e".as_slice(), &[1; 80]].concat()),
            PayloadKind::PyInstaller
        );
        let deno =
            |first: u64| [b"bundle d3n0l4nd".as_slice(), &first.to_be_bytes(), &[0; 8]].concat();
        assert_eq!(of(&deno(1000)), PayloadKind::DenoFromStart);
        assert_eq!(of(&deno(999)), PayloadKind::Deno);
        assert_eq!(of(b"PK"), PayloadKind::Unknown);
    }
}
