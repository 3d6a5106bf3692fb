//! The sections that were asked for by name: which stay although they would leave, and which are dropped.

use std::collections::HashMap;
use std::ops::Range;

use object::elf;

use super::pattern::glob;
use super::{Absent, Error, Meant, Options, Sense, Wish};
use crate::elf::{Elf, Section, SectionId, overlaps};

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Wished {
    verdicts: HashMap<SectionId, Verdict>,
    /// Wishes for what is not there, where that is allowed.
    pub(super) missing: Vec<String>,
}

/// What was asked for a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Kept,
    /// It is dropped.
    Removed,
}

impl Wished {
    /// Finds the sections. One that cannot go is an error, and so is a name that no section has.
    pub(super) fn new(
        elf: &Elf<'_>,
        options: &Options,
        loaded: &[Range<u64>],
    ) -> Result<Self, Error> {
        let mut wished = Self::default();
        // Where a section is asked for both ways, it stays, as a symbol does.
        wished.judge(elf, &options.sections.remove, Verdict::Removed);
        wished.judge(elf, &options.sections.keep, Verdict::Kept);
        if !wished.missing.is_empty() && options.absent == Absent::Refused {
            return Err(Error::SectionsMissing { names: wished.missing });
        }
        let removed = elf.sections().iter().filter(|s| wished.says(s.id, Verdict::Removed));
        for section in removed {
            if let Some(reason) = fixed(elf, section, loaded) {
                return Err(Error::SectionStays { section: section.display_name(), reason });
            }
        }
        Ok(wished)
    }

    /// Whether that was asked for a section.
    pub(super) fn says(&self, section: SectionId, verdict: Verdict) -> bool {
        self.verdicts.get(&section) == Some(&verdict)
    }

    fn judge(&mut self, elf: &Elf<'_>, wishes: &[Wish], verdict: Verdict) {
        let (spares, chooses): (Vec<_>, Vec<_>) =
            wishes.iter().partition(|wish| wish.sense == Sense::Spares);
        let mut of = |wish: &Wish| {
            let found = matching(elf, wish);
            if found.is_empty() {
                self.missing.push(wish.text.clone());
            }
            found
        };
        let spared: Vec<_> = spares.into_iter().flat_map(&mut of).collect();
        let chosen: Vec<_> = chooses.into_iter().flat_map(&mut of).collect();
        let chosen = chosen.into_iter().filter(|id| !spared.contains(id));
        self.verdicts.extend(chosen.map(|id| (id, verdict)));
    }
}

/// The sections of that name; where there is none, those that the pattern matches.
fn matching(elf: &Elf<'_>, wish: &Wish) -> Vec<SectionId> {
    let (Meant::Exactly(name) | Meant::Like(name)) = &wish.meant else { return Vec::new() };
    // Section 0 is no section.
    let which = |matches: &dyn Fn(&[u8]) -> bool| -> Vec<_> {
        let sections = elf.sections().iter().skip(1);
        sections.filter(|section| matches(section.name)).map(|section| section.id).collect()
    };
    let named = which(&|other| !name.is_empty() && other == name.as_bytes());
    match &wish.meant {
        Meant::Like(text) if named.is_empty() => {
            glob(text).map(|regex| which(&|other| regex.is_match(other))).unwrap_or_default()
        }
        _ => named,
    }
}

/// Why a section cannot go.
fn fixed(elf: &Elf<'_>, section: &Section<'_>, loaded: &[Range<u64>]) -> Option<&'static str> {
    let of_symbols = elf.sections().iter().any(|table| {
        table.kind == elf::SHT_SYMTAB && (table.id == section.id || table.link == section.id.0)
    });
    let under_segment = section.has_contents() && overlaps(&section.range(), loaded) == Some(true);
    if section.is_loaded() {
        Some("is loaded: the program reads it when it runs")
    } else if under_segment {
        Some("lies under a segment: its bytes are loaded")
    } else if elf.header().section_names == Some(section.id) {
        Some("holds the names of the sections")
    } else if of_symbols {
        Some("belongs to the symbols, which stay or leave by -K, -g and -s")
    } else {
        None
    }
}
