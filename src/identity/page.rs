//! The first page of a file, where its headers are as they are expected to be.

use object::elf;

use super::{FIRST_PAGE, Obstacle, Write, mapped_head};
use crate::elf::{Elf, Segment};

/// The first page: the ELF header and the program headers are in it, mapped from the start of the file, and nothing
/// else claims their bytes.
pub(super) struct Page<'elf, 'data> {
    pub(super) elf: &'elf Elf<'data>,
    /// The end of what is in the page and mapped, as an offset.
    pub(super) end: u64,
}

impl<'elf, 'data> Page<'elf, 'data> {
    /// Looks at the headers.
    pub(super) fn open(elf: &'elf Elf<'data>) -> Result<Self, Obstacle> {
        let headers = [0..elf.header_size(), elf.segments_range()];
        if elf.segments().is_empty() || elf.segments_range().end > FIRST_PAGE {
            return Err(Obstacle::HeadersElsewhere);
        }
        let load = mapped_head(elf).ok_or(Obstacle::NotMapped)?;
        if load.file_size < elf.segments_range().end {
            return Err(Obstacle::NotMapped);
        }
        let over = |range: std::ops::Range<u64>| {
            headers.iter().any(|header| header.start < range.end && range.start < header.end)
        };
        // A PT_LOAD maps them, and PT_PHDR is their own.
        let may = |segment: &&Segment| !matches!(segment.kind, elf::PT_LOAD | elf::PT_PHDR);
        if elf.sections().iter().any(|section| over(section.range()))
            || elf.segments().iter().filter(may).any(|segment| over(segment.range()))
        {
            return Err(Obstacle::HeadersCovered);
        }
        Ok(Self { elf, end: load.file_size.min(FIRST_PAGE) })
    }

    /// The segments of notes aligned to 4 bytes or claimed to be, in this page, with their indices.
    pub(super) fn notes(&self) -> impl Iterator<Item = (usize, &'elf Segment)> {
        let end = self.end;
        let in_page = move |segment: &Segment| {
            segment.kind == elf::PT_NOTE
                && segment.file_size != 0
                && segment.offset.is_multiple_of(4)
                && segment.file_size == segment.memory_size
                && segment.range().end <= end
        };
        self.elf.segments().iter().enumerate().filter(move |(_, segment)| in_page(segment))
    }

    /// Another program header in the place of one.
    pub(super) fn replace(&self, index: usize, segment: &Segment) -> Write {
        let bytes = self.elf.program_header(segment);
        Write { offset: self.elf.segments_range().start + (index * bytes.len()) as u64, bytes }
    }
}
