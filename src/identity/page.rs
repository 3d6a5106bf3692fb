//! The first page of a file, where its headers are as they are expected to be.

use std::ops::Range;

use object::elf;

use super::{FIRST_PAGE, NewNote, Obstacle, Write, mapped_head};
use crate::elf::{Address, Elf, Section, Segment};

/// The first page: the ELF header and the program headers are in it, mapped from the start of the file, and nothing
/// else claims their bytes.
pub(super) struct Page<'elf, 'data> {
    pub(super) elf: &'elf Elf<'data>,
    /// The segment that maps it, and its index.
    load: (usize, &'elf Segment),
    /// The end of what is in the page and mapped, as an offset.
    pub(super) end: u64,
    /// Stretches of zeros that nothing uses, sorted.
    free: Vec<Range<u64>>,
    /// The same where the section header table counts as free, because it can be elsewhere.
    free_of_table: Vec<Range<u64>>,
}

impl<'elf, 'data> Page<'elf, 'data> {
    /// Looks at the headers.
    pub(super) fn open(elf: &'elf Elf<'data>) -> Result<Self, Obstacle> {
        let headers = [0..elf.header_size(), elf.segments_range()];
        if elf.segments().is_empty() || elf.segments_range().end > FIRST_PAGE {
            return Err(Obstacle::HeadersElsewhere);
        }
        let load = mapped_head(elf).ok_or(Obstacle::NotMapped)?;
        if load.1.file_size < elf.segments_range().end {
            return Err(Obstacle::NotMapped);
        }
        let over = |range: Range<u64>| {
            headers.iter().any(|header| header.start < range.end && range.start < header.end)
        };
        // A PT_LOAD maps them, and PT_PHDR is their own.
        let may = |segment: &&Segment| !matches!(segment.kind, elf::PT_LOAD | elf::PT_PHDR);
        if elf.sections().iter().any(|section| over(section.range()))
            || elf.segments().iter().filter(may).any(|segment| over(segment.range()))
            || over(elf.sections_range())
        {
            return Err(Obstacle::HeadersCovered);
        }
        let end = load.1.file_size.min(FIRST_PAGE);
        let free = free(elf, false);
        Ok(Self { elf, load, end, free, free_of_table: free_of_table(elf) })
    }

    /// The segments of notes in this page, with their indices.
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

    /// The size of a program header in bytes.
    pub(super) fn segment_header_size(&self) -> u64 {
        let table = self.elf.segments_range();
        (table.end - table.start) / self.elf.segments().len() as u64
    }

    /// Another program header in the place of one.
    pub(super) fn replace(&self, index: usize, segment: &Segment) -> Write {
        let bytes = self.elf.program_header(segment);
        Write { offset: self.elf.segments_range().start + (index * bytes.len()) as u64, bytes }
    }

    /// Another section header in the place of a section's, with this offset, address and size.
    pub(super) fn section_at(&self, section: &Section<'_>, place: (u64, u64, u64)) -> Write {
        let mut header = section.header();
        (header.sh_offset, header.sh_addr, header.sh_size) = place;
        let mut bytes = Vec::new();
        self.elf.encoder().section_header(&mut bytes, &header);
        let index = u64::from(section.id.0);
        let offset = self.elf.sections_range().start + index * self.elf.section_header_size();
        Write { offset, bytes }
    }

    /// Whether the file was stripped before: nothing leaves it that would make room for a section header, so a new note has
    /// to be under one that is there.
    pub(super) fn is_stripped(&self) -> bool {
        !self.elf.sections().iter().any(|section| section.kind == elf::SHT_SYMTAB)
    }

    /// Whether nothing uses these bytes.
    pub(super) fn is_free(&self, range: &Range<u64>, table_moves: bool) -> bool {
        let free = if table_moves { &self.free_of_table } else { &self.free };
        free.iter().any(|free| free.start <= range.start && range.end <= free.end)
    }

    /// The first place for so many bytes behind an offset, aligned.
    pub(super) fn room(
        &self,
        behind: u64,
        align: u64,
        size: u64,
        table_moves: bool,
    ) -> Option<u64> {
        let free = if table_moves { &self.free_of_table } else { &self.free };
        free.iter().find_map(|free| {
            let start = free.start.max(behind).next_multiple_of(align);
            (start + size <= free.end).then_some(start)
        })
    }

    /// A note at an offset of this page, which is mapped there.
    pub(super) fn note(&self, offset: u64, contents: Vec<u8>) -> Option<NewNote> {
        Some(NewNote { contents, place: Some((offset, self.address(offset)?)) })
    }

    /// The address at which an offset of this page is mapped.
    pub(super) fn address(&self, offset: u64) -> Option<Address> {
        self.load.1.address.0.checked_add(offset).map(Address)
    }

    /// The same in physical memory, which nobody minds.
    pub(super) fn physical(&self, offset: u64) -> Address {
        Address(self.load.1.physical.0.wrapping_add(offset))
    }

    /// Makes the page mapped up to `end`.
    pub(super) fn map_up_to(&self, end: u64) -> Option<Write> {
        let (index, load) = self.mapping_up_to(end)?;
        Some(self.replace(index, &load))
    }

    /// The segment that maps the page, with its index, as it maps up to `end`: as it is, or longer where nothing else is at
    /// these addresses.
    pub(super) fn mapping_up_to(&self, end: u64) -> Option<(usize, Segment)> {
        let (index, load) = self.load;
        if end <= load.file_size {
            return Some((index, load.clone()));
        }
        // Behind the bytes of the file would be .bss.
        let plain = load.file_size == load.memory_size && end <= FIRST_PAGE;
        let grown = self.address(load.file_size)?.0..self.address(end)?.0;
        let over =
            |start: u64, size: u64| start < grown.end && grown.start < start.saturating_add(size);
        let taken = self.elf.segments().iter().any(|segment| {
            segment.kind != elf::PT_NULL && over(segment.address.0, segment.memory_size)
        }) || self
            .elf
            .sections()
            .iter()
            .any(|section| section.is_loaded() && over(section.address.0, section.size));
        // What is to leave would have to stay.
        let mapped = load.file_size..end;
        let leaves = self.elf.sections().iter().any(|section| {
            let (range, is_there) = (section.range(), section.has_contents());
            is_there && range.start < mapped.end && mapped.start < range.end
        });
        let longer = Segment { file_size: end, memory_size: end, ..load.clone() };
        (plain && !taken && !leaves).then_some((index, longer))
    }
}

/// The zeros of the first page that no section, no header and no segment but a PT_LOAD claims; with the section header
/// table where it can be elsewhere.
fn free(elf: &Elf<'_>, table_moves: bool) -> Vec<Range<u64>> {
    let mut used: Vec<bool> =
        elf.bytes(0..FIRST_PAGE.min(elf.len())).iter().map(|&byte| byte != 0).collect();
    let mut mark = |range: Range<u64>, value: bool| {
        let len = used.len();
        let within = |offset: u64| usize::try_from(offset).unwrap_or(len).min(len);
        used.get_mut(within(range.start)..within(range.end)).unwrap_or_default().fill(value);
    };
    mark(elf.sections_range(), !table_moves);
    mark(0..elf.header_size(), true);
    mark(elf.segments_range(), true);
    elf.sections().iter().for_each(|section| mark(section.range(), true));
    let claims = elf.segments().iter().filter(|segment| !segment.is_load());
    claims.for_each(|segment| mark(segment.range(), true));
    let mut free: Vec<Range<u64>> = Vec::new();
    for (offset, _) in (0..).zip(&used).filter(|(_, used)| !**used) {
        match free.last_mut().filter(|last| last.end == offset) {
            Some(last) => last.end += 1,
            None => free.push(offset..offset + 1),
        }
    }
    free
}

/// The same with the section header table gone, where nothing follows the image that a table at the end would follow.
fn free_of_table(elf: &Elf<'_>) -> Vec<Range<u64>> {
    let followed = elf.map().unowned(elf).next().is_some();
    if elf.sections_range().start < FIRST_PAGE && !followed { free(elf, true) } else { Vec::new() }
}
