//! Holds a finished layout of the slim file against the laws, before a byte is written.
//!
//! It shares nothing with the code that made the layout but the input: what is wrong there shows here.

use object::elf;

use super::fate::Row;
use super::references::References;
use super::{Error, Layout, Plan};
use crate::elf::{Elf, Section};

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
    if layout.len() == elf.len() && layout.is_at(0..elf.len(), elf.data()) {
        return Ok(());
    }
    loaded_bytes(elf, layout).map_err(Error::Broken)?;
    // The program headers were just found where they were, and the names of the sections are made anew or short.
    let names = elf.header().section_names.and_then(|id| layout.place(id));
    let bytes = if elf.is_object() {
        // Its symbols and relocations are read, and it is small.
        layout.to_vec()
    } else {
        layout.outline(&[&[elf.segments_range()], names.as_slice()].concat())
    };
    let slim = Elf::parse(&bytes).map_err(|error| Error::Broken(Broken::Unreadable(error)))?;
    sections(elf, plan, layout, &slim).map_err(Error::Broken)
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
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        if !layout.is_at(range.clone(), elf.bytes(range.clone())) {
            return Err(Broken::LoadedBytes { start: range.start, end: range.end });
        }
    }
    Ok(())
}

fn sections(
    elf: &Elf<'_>,
    plan: &Plan<'_>,
    layout: &Layout<'_>,
    slim: &Elf<'_>,
) -> Result<(), Broken> {
    let mut found = slim.sections().iter();
    let references = elf.is_object().then(|| References::new(elf, slim));
    let references = references.transpose().map_err(Broken::Unreadable)?;
    for row in &plan.rows {
        let old = match row {
            Row::Section(id) => elf.section(*id),
            Row::Note => {
                let is_note = |new: &Section<'_>| {
                    let note = plan.note.as_ref();
                    new.kind == elf::SHT_NOTE
                        && note.is_some_and(|note| layout.is_at(new.range(), &note.contents))
                };
                let broken = || Broken::Section("the note of the build-id".to_owned());
                found.next().filter(|new| is_note(new)).ok_or_else(broken)?;
                None
            }
        };
        let Some(old) = old else { continue };
        let broken = || Broken::Section(old.display_name());
        let new = found.next().ok_or_else(broken)?;
        let made_anew = elf.header().section_names == Some(old.id) || plan.rebuilds(old.id);
        let same_header = (new.name, new.kind, new.flags, new.address, new.align, new.entry_size)
            == (old.name, old.kind, old.flags, old.address, old.align, old.entry_size);
        let same_place =
            elf.is_object() || !old.is_loaded() || !old.has_contents() || new.offset == old.offset;
        let same_references = references.as_ref().and_then(|both| both.same(plan, old, new));
        let same_bytes = same_references.unwrap_or_else(|| {
            made_anew
                || layout.is_at(new.range(), old.data) && (new.size == old.size || old.id.0 == 0)
        });
        if !same_header || !same_place || !same_bytes {
            return Err(broken());
        }
    }
    if slim.segments() != elf.segments() {
        return Err(Broken::Section("program header table".to_owned()));
    }
    Ok(())
}
