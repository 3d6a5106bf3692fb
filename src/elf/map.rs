//! Who owns each byte of a file.
//!
//! Every byte gets exactly one label, so sizes in a report add up to the file, and bytes that nothing
//! describes (payloads behind the image, padding) come to light. Where ranges overlap the first of the
//! order below wins: the ELF header, the program headers, sections by index, the section headers, segments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::{Elf, SectionId};

/// Whose bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The ELF header.
    Header,
    /// The program header table.
    ProgramHeaders,
    /// The contents of a section.
    Section(SectionId),
    /// The section header table.
    SectionHeaders,
    /// Under a segment, but in no section.
    Segment(usize),
    /// In no section and under no segment.
    Nobody,
}

/// A stretch of the file with one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The bytes, as offsets in the file.
    pub range: Range<u64>,
    /// Whose they are.
    pub owner: Owner,
}

/// The spans of a file in order, without gap or overlap.
#[derive(Debug, Clone)]
pub struct ByteMap {
    /// From offset 0 to the end of the file.
    pub spans: Vec<Span>,
}

impl ByteMap {
    /// Labels every byte of `elf`, in `O(n log n)` of its headers.
    pub fn new(elf: &Elf<'_>) -> Self {
        let mut claims = vec![
            (0..elf.header_size(), Owner::Header),
            (elf.segments_range(), Owner::ProgramHeaders),
            (elf.sections_range(), Owner::SectionHeaders),
        ];
        claims.extend(
            elf.sections().iter().map(|section| (section.range(), Owner::Section(section.id))),
        );
        if !elf.is_debug_file() {
            let segments = elf.segments().iter().enumerate();
            claims
                .extend(segments.map(|(index, segment)| (segment.range(), Owner::Segment(index))));
        }
        claims.retain(|(range, _)| !range.is_empty());
        claims.sort_by_key(|(range, owner)| (range.start, *owner));
        Self { spans: sweep(claims, elf.len()) }
    }

    /// The spans that nobody owns and that hold more than zeros.
    pub fn unowned<'map>(&'map self, elf: &'map Elf<'_>) -> impl Iterator<Item = &'map Span> {
        self.spans.iter().filter(|span| {
            span.owner == Owner::Nobody
                && elf.bytes(span.range.clone()).iter().any(|&byte| byte != 0)
        })
    }
}

/// Walks over the claims, sorted by their start, and gives each byte to the strongest that covers it.
fn sweep(claims: Vec<(Range<u64>, Owner)>, len: u64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut open: BinaryHeap<Reverse<(Owner, u64)>> = BinaryHeap::new();
    let mut waiting = claims.into_iter().peekable();
    let mut at = 0;
    while at < len {
        while let Some((range, owner)) = waiting.next_if(|(range, _)| range.start <= at) {
            open.push(Reverse((owner, range.end)));
        }
        while open.peek().is_some_and(|Reverse((_, end))| *end <= at) {
            open.pop();
        }
        let (owner, end) = match open.peek() {
            Some(Reverse((owner, end))) => (*owner, *end),
            None => (Owner::Nobody, len),
        };
        // A claim that begins earlier may be stronger.
        let next = waiting.peek().map_or(len, |(range, _)| range.start);
        let end = end.min(next).min(len);
        match spans.last_mut() {
            Some(last) if last.owner == owner => last.range.end = end,
            _ => spans.push(Span { range: at..end, owner }),
        }
        at = end;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_owner() {
        let section = |id| Owner::Section(SectionId(id));
        let claims = vec![
            (0..64, Owner::Header),
            (0..200, Owner::Segment(0)),
            (64..120, Owner::ProgramHeaders),
            (150..180, section(2)),
            (160..260, section(1)),
        ];
        let spans = sweep(claims, 300);
        let rows: Vec<_> = spans.iter().map(|span| (span.range.start, span.owner)).collect();
        assert_eq!(
            rows,
            [
                (0, Owner::Header),
                (64, Owner::ProgramHeaders),
                (120, Owner::Segment(0)),
                (150, section(2)),
                (160, section(1)),
                (260, Owner::Nobody),
            ]
        );
    }
}
