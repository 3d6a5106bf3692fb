//! Holds the patches against law 1, before any is applied: they lie in the first page, over program headers or bytes that
//! nothing uses, and no program header changes but those that lead to the note.
//!
//! It shares nothing with the methods but the input.

use object::elf;

use super::{FIRST_PAGE, Identity, in_core};
use crate::elf::{Elf, Segment};

/// A patch that is not what it may be: a bug, or headers that contradict each other in a way nobody thought of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stray {
    /// It changes bytes that something uses.
    #[error("the bytes {start:#x}..{end:#x} are in use")]
    InUse {
        /// Where they begin.
        start: u64,
        /// Where they end.
        end: u64,
    },
    /// A program header is not what it was.
    #[error("program header {index} would change")]
    Segment {
        /// Which.
        index: usize,
    },
    /// The patched file does not parse.
    #[error("the patched file does not parse: {0}")]
    Unreadable(crate::elf::Error),
    /// The build-id is not where a core would show it.
    #[error("no core would show it")]
    NotSeen,
}

/// Compares the patched file with the input.
pub(super) fn patches(old: &Elf<'_>, identity: &Identity) -> Result<(), Stray> {
    for patch in &identity.patches {
        let (start, end) = (patch.offset, patch.range().end);
        let headers = old.segments_range();
        let allowed = headers.start <= start && end <= headers.end;
        if end > FIRST_PAGE || !allowed || old.bytes(start..end) != patch.before {
            return Err(Stray::InUse { start, end });
        }
    }
    // The headers alone: what lies behind them is the input's.
    let bytes = identity.apply(old.data());
    let new = Elf::parse(&bytes).map_err(Stray::Unreadable)?;
    for (index, (was, is)) in old.segments().iter().zip(new.segments()).enumerate() {
        if was != is && !leads_to_notes(was, is) {
            return Err(Stray::Segment { index });
        }
    }
    if old.segments().len() != new.segments().len() {
        return Err(Stray::Segment { index: old.segments().len() });
    }
    if in_core(&new) != identity.id {
        return Err(Stray::NotSeen);
    }
    Ok(())
}

/// Whether a segment of notes became one of the same notes and more.
fn leads_to_notes(was: &Segment, is: &Segment) -> bool {
    was.kind == elf::PT_NOTE
        && is.kind == elf::PT_NOTE
        && is.flags == was.flags
        && is.offset <= was.offset
        && was.range().end <= is.range().end
        && was.offset - is.offset == was.address.0.wrapping_sub(is.address.0)
        && is.file_size == is.memory_size
        && (is.align == was.align || is.align == 4)
}
