//! Notes (gABI, "Note Section"): build-id, ABI tag, what toolchains leave behind.

use object::{Endian, Endianness};

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'data> {
    /// The owner, without the zero byte that ends it: `GNU`, `Go`, `FreeBSD`, …
    pub owner: &'data [u8],
    /// The type, whose meaning is the owner's.
    pub kind: u32,
    /// The contents.
    pub contents: &'data [u8],
}

/// The notes in some bytes, in order; ends at the first that does not fit.
#[derive(Debug, Clone)]
pub struct Notes<'data> {
    endian: Endianness,
    align: usize,
    rest: &'data [u8],
}

impl<'data> Notes<'data> {
    /// Notes of a section or segment with that alignment.
    pub fn new(endian: Endianness, align: u64, data: &'data [u8]) -> Self {
        // Only 8 means something else than 4 here (.note.gnu.property); 0 and 1 are written and mean 4.
        Self { endian, align: if align == 8 { 8 } else { 4 }, rest: data }
    }

    /// What has not been read: after the last note nothing, or what does not fit.
    pub fn rest(&self) -> &'data [u8] {
        self.rest
    }

    fn word(&self, at: usize) -> Option<u32> {
        let word = *self.rest.get(at..)?.first_chunk::<4>()?;
        Some(self.endian.read_u32(word))
    }
}

impl<'data> Iterator for Notes<'data> {
    type Item = Note<'data>;

    fn next(&mut self) -> Option<Note<'data>> {
        let owner_len = self.word(0)? as usize;
        let contents_len = self.word(4)? as usize;
        let kind = self.word(8)?;
        let owner = self.rest.get(12..12usize.checked_add(owner_len)?)?;
        let start = (12 + owner_len).checked_next_multiple_of(self.align)?;
        let end = start.checked_add(contents_len)?;
        let contents = self.rest.get(start..end)?;
        // The last note need not be padded.
        self.rest = self.rest.get(end.checked_next_multiple_of(self.align)?..).unwrap_or_default();
        Some(Note { owner: owner.strip_suffix(b"\0").unwrap_or(owner), kind, contents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_follow_each_other_and_stop_at_a_lie() {
        let mut bytes = Vec::new();
        for (kind, contents) in [(3u32, b"abcd".as_slice()), (1, b"xy\0\0")] {
            bytes.extend(4u32.to_le_bytes());
            bytes.extend((contents.len() as u32).to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(b"GNU\0");
            bytes.extend(contents);
        }
        bytes.extend([0xff; 12]);
        let notes: Vec<_> = Notes::new(Endianness::Little, 4, &bytes).collect();
        assert_eq!(notes.len(), 2);
        assert_eq!(
            notes.first().map(|note| (note.owner, note.kind, note.contents)),
            Some((b"GNU".as_slice(), 3, b"abcd".as_slice()))
        );
    }
}
