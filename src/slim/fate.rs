//! A decision about a section, with its reason, and what the slim file has of it.

use crate::elf::SectionId;

/// Where a section goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Into the slim file; the debug file has its header alone.
    Keep,
    /// Into the debug file.
    Debug,
    /// Into both files.
    Both,
    /// Nowhere, because the user said so.
    Drop,
}

impl Fate {
    /// Whether the slim file has the section.
    pub fn is_in_slim(self) -> bool {
        matches!(self, Self::Keep | Self::Both)
    }

    /// Whether the debug file has its contents.
    pub fn is_in_debug(self) -> bool {
        matches!(self, Self::Debug | Self::Both)
    }

    /// One word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Debug => "debug",
            Self::Both => "both",
            Self::Drop => "drop",
        }
    }
}

/// One section's fate, and the name of the rule that settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'data> {
    /// Which section.
    pub section: SectionId,
    /// Its name.
    pub name: &'data [u8],
    /// Where it goes.
    pub fate: Fate,
    /// Why.
    pub rule: &'static str,
}

/// A section of the slim file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// One of the input.
    Section(SectionId),
    /// The note of the build-id that the input does not have.
    Note,
}
