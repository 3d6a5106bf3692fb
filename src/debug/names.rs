//! Names of sections that the debug file has and its input has not: they stand behind the input's, so that those keep their
//! offsets.

use crate::elf::{Elf, SectionId};

/// The section names of a debug file.
pub(super) struct SectionNames<'data> {
    section: Option<SectionId>,
    of_input: &'data [u8],
    added: Vec<u8>,
}

impl<'data> SectionNames<'data> {
    /// Those of the input.
    pub(super) fn of(elf: &Elf<'data>) -> Self {
        let section = elf.header().section_names;
        let of_input = section.and_then(|id| elf.section(id)).map_or(&b""[..], |found| found.data);
        Self { section, of_input, added: Vec::new() }
    }

    /// Adds one, and says where it stands.
    pub(super) fn add(&mut self, name: &[u8]) -> u32 {
        // What is before it may have no end.
        self.added.push(0);
        let offset = self.of_input.len() + self.added.len();
        self.added.extend_from_slice(name);
        offset as u32
    }

    /// The section of the names with its new contents; nothing where none was added.
    pub(super) fn finish(mut self) -> Option<(SectionId, Vec<u8>)> {
        self.section.filter(|_| !self.added.is_empty()).map(|section| {
            self.added.push(0);
            (section, [self.of_input, &self.added].concat())
        })
    }
}
