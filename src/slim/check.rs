//! Holds a finished layout of the slim file against the laws, before a byte is written.
//!
//! It shares nothing with the code that made the layout but the input: what is wrong there shows here.

use std::ops::Range;

use super::references::References;
use super::{Error, Layout, Piece, Plan};
use crate::elf::{Elf, Segment};

/// A law that a layout breaks: by headers that contradict each other in a way nobody thought of, or by a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A loaded byte moved or changed.
    #[error("the loaded bytes {start:#x}..{end:#x} differ")]
    LoadedBytes {
        /// Where the range begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// The file that would be written does not parse.
    #[error("the output does not parse: {0}")]
    Unreadable(crate::elf::Error),
    /// Something that left the slim file is not in the debug file, or not as it was.
    #[error("the debug file lacks {0}")]
    DebugFile(String),
    /// A section that stays is not there, or not as it was.
    #[error("section {0} is not as it was")]
    Section(String),
}

/// Compares the layout with the input: every loaded byte, every section that stays, and that it parses.
pub(super) fn layout(elf: &Elf<'_>, plan: &Plan<'_>, layout: &Layout<'_>) -> Result<(), Error> {
    loaded_bytes(elf, layout).map_err(Error::Broken)?;
    let bytes = layout.to_vec();
    let slim = Elf::parse(&bytes).map_err(|error| Error::Broken(Broken::Unreadable(error)))?;
    sections(elf, plan, &slim).map_err(Error::Broken)
}

fn loaded_bytes(elf: &Elf<'_>, layout: &Layout<'_>) -> Result<(), Broken> {
    let mask = elf.masked_header_fields();
    let mut ranges = elf.loaded_ranges();
    // The header is compared around the masked fields.
    if let Some(first) = ranges.first_mut() {
        let [table, counts] = mask;
        let rest = counts.end..first.end;
        *first = rest;
        ranges.extend([0..table.start, table.end..counts.start]);
    }
    ranges.sort_by_key(|range| range.start);
    for (range, piece, _) in layout.stretches() {
        let first = ranges.partition_point(|loaded| loaded.end <= range.start);
        let touching = ranges.get(first..).unwrap_or_default();
        for loaded in touching.iter().take_while(|loaded| loaded.start < range.end) {
            let both = range.start.max(loaded.start)..range.end.min(loaded.end);
            if !both.is_empty() && !same(elf, &range, piece, &both) {
                return Err(Broken::LoadedBytes { start: both.start, end: both.end });
            }
        }
    }
    let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    if layout.len() < end {
        return Err(Broken::LoadedBytes { start: layout.len(), end });
    }
    Ok(())
}

/// Whether the part `both` of a piece that fills `range` equals the input's bytes there.
fn same(elf: &Elf<'_>, range: &Range<u64>, piece: &Piece<'_>, both: &Range<u64>) -> bool {
    let expected = elf.bytes(both.clone());
    let inside = (both.start - range.start) as usize..(both.end - range.start) as usize;
    match piece {
        Piece::Copied(bytes) => bytes.get(inside) == Some(expected),
        Piece::Made(bytes) => bytes.get(inside) == Some(expected),
        Piece::Padding(_) => expected.iter().all(|&byte| byte == 0),
    }
}

fn sections(elf: &Elf<'_>, plan: &Plan<'_>, slim: &Elf<'_>) -> Result<(), Broken> {
    let mut found = slim.sections().iter();
    let references = elf.is_object().then(|| References::new(elf, slim));
    let references = references.transpose().map_err(Broken::Unreadable)?;
    for old in plan.in_slim().filter_map(|id| elf.section(id)) {
        let broken = || Broken::Section(old.display_name());
        let new = found.next().ok_or_else(broken)?;
        let made_anew = elf.header().section_names == Some(old.id) || plan.rebuilds(old.id);
        let same_header = (new.name, new.kind, new.flags, new.address, new.align, new.entry_size)
            == (old.name, old.kind, old.flags, old.address, old.align, old.entry_size);
        let same_place =
            elf.is_object() || !old.is_loaded() || !old.has_contents() || new.offset == old.offset;
        let same_references = references.as_ref().and_then(|both| both.same(plan, old, new));
        let same_bytes = same_references.unwrap_or_else(|| {
            made_anew || new.data == old.data && (new.size == old.size || old.id.0 == 0)
        });
        if !same_header || !same_place || !same_bytes {
            return Err(broken());
        }
    }
    let same_segments =
        slim.segments().iter().map(Segment::range).eq(elf.segments().iter().map(Segment::range));
    if !same_segments {
        return Err(Broken::Section("program header table".to_owned()));
    }
    Ok(())
}
