//! Elf + wish → [`Identity`]: the build-id that a program goes by, and the few bytes that put it where a core shows it.
//!
//! A core holds the first page of a program's file, and of that the kernel, perf and debuggers read the notes under a
//! PT_NOTE. A build-id elsewhere is found by whoever has the file, and by nobody who has the core alone. What is wrong
//! is put right by a named method, with bytes of the first page that nothing uses, and never silently.
//!
//! This comes before anything is slimmed: [`Identity::apply`] gives the input as it would be had its linker done so, and
//! slim file and debug file are both made from that. `check` holds the patches against law 1 first.

mod check;
mod page;
mod repair;
mod wish;

use std::borrow::Cow;
use std::ops::Range;

use object::elf;

pub use check::Stray;
pub use wish::{Method, ParseWishError, Wish};

use crate::build_id::BuildId;
use crate::elf::{Elf, Notes, Segment};
use crate::inspect;
use page::Page;

/// What the kernel writes into every core of a mapped ELF file, and reads for perf: its first page, of which no machine
/// has smaller ones.
pub const FIRST_PAGE: u64 = 4096;

/// Under which build-id a program goes, and what has to change for that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The build-id; `None` where there is none.
    pub id: Option<BuildId>,
    /// How it came to be there, in order; empty where nothing changed.
    pub methods: Vec<Method>,
    /// The bytes that change.
    pub patches: Vec<Patch>,
    /// Whether a core of the program shows the id.
    pub in_cores: bool,
    /// Why a method that was wanted did nothing.
    pub obstacle: Option<Obstacle>,
}

/// Bytes that change, nowhere else than at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where in the file.
    pub offset: u64,
    /// What stands there in the input.
    pub before: Vec<u8>,
    /// What will stand there.
    pub after: Vec<u8>,
}

impl Patch {
    /// The bytes of the file that change.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.after.len() as u64
    }
}

/// Why a build-id cannot be put where a core shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The program headers are not in the first page.
    #[error("its program headers are not in the first page")]
    HeadersElsewhere,
    /// Nothing maps the first page.
    #[error("no PT_LOAD maps its headers from the start of the file")]
    NotMapped,
    /// Headers that claim bytes of one another.
    #[error("a section or segment lies over its headers")]
    HeadersCovered,
    /// No method's condition is met.
    #[error("its layout leaves no room for it")]
    NoRoom,
}

/// Why an input does not get the identity that was wished for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `require`, and no core would show a build-id.
    #[error("{}", match id {
        Some(id) => format!("its build-id {id} is not where a core shows it"),
        None => "it has no build-id".to_owned(),
    })]
    Required {
        /// The build-id that only the file shows.
        id: Option<BuildId>,
    },
    /// The method that was named cannot do it.
    #[error("{method} cannot be done: {obstacle}")]
    Unfit {
        /// Which.
        method: Method,
        /// Why.
        obstacle: Obstacle,
    },
    /// The patches are not what they may be; nothing was changed.
    #[error("the build-id would not be right: {0}")]
    Stray(#[from] Stray),
}

impl Identity {
    /// Decides. Nothing after this decides anything.
    ///
    /// # Errors
    /// A wish that the input cannot be given.
    pub fn new(elf: &Elf<'_>, wish: Wish) -> Result<Self, Error> {
        if !matches!(elf.header().kind, elf::ET_EXEC | elf::ET_DYN) || elf.is_debug_file() {
            // It is not loaded, so no core shows anything of it.
            return Ok(Self { id: inspect::build_id(elf), in_cores: true, ..Self::default() });
        }
        let id = inspect::build_id(elf);
        let in_cores = id.is_some() && in_core(elf) == id;
        let as_it_is = Self { id: id.clone(), in_cores, ..Self::default() };
        let wanted = match wish {
            Wish::Require if !in_cores => return Err(Error::Required { id }),
            Wish::Keep | Wish::Require => return Ok(as_it_is),
            Wish::Inject(_) if in_cores => return Ok(as_it_is),
            Wish::Inject(wanted) => wanted,
        };
        let found = Page::open(elf).and_then(|page| {
            let methods = Method::ALL.iter().filter(|method| wanted.is_none_or(|w| w == **method));
            let tried = methods.filter_map(|method| Some((*method, method.try_on(&page)?)));
            tried.into_iter().next().ok_or(Obstacle::NoRoom)
        });
        match (found, wanted) {
            (Ok((method, writes)), _) => {
                let patches = writes.into_iter().flat_map(|write| write.patches(elf)).collect();
                let identity = Self { methods: vec![method], patches, in_cores: true, ..as_it_is };
                // From here every byte that will differ is known.
                check::patches(elf, &identity)?;
                Ok(identity)
            }
            (Err(obstacle), Some(method)) => Err(Error::Unfit { method, obstacle }),
            (Err(obstacle), None) => Ok(Self { obstacle: Some(obstacle), ..as_it_is }),
        }
    }

    /// The input with the patches: what is slimmed.
    pub fn apply<'data>(&self, input: &'data [u8]) -> Cow<'data, [u8]> {
        let mut bytes = Cow::Borrowed(input);
        for patch in &self.patches {
            let range = patch.offset as usize..patch.range().end as usize;
            if let Some(place) = bytes.to_mut().get_mut(range) {
                place.copy_from_slice(&patch.after);
            }
        }
        bytes
    }
}

/// New bytes at an offset, of which some may be what is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
}

impl Write {
    /// The runs of bytes that are really new.
    fn patches(&self, elf: &Elf<'_>) -> Vec<Patch> {
        let old = elf.bytes(self.offset..self.offset + self.bytes.len() as u64);
        let mut patches: Vec<Patch> = Vec::new();
        let pairs = (self.offset..).zip(old.iter().zip(&self.bytes));
        for (offset, (&before, &after)) in pairs.filter(|(_, (before, after))| before != after) {
            match patches.last_mut().filter(|last| last.range().end == offset) {
                Some(last) => {
                    last.before.push(before);
                    last.after.push(after);
                }
                None => patches.push(Patch { offset, before: vec![before], after: vec![after] }),
            }
        }
        patches
    }
}

/// The build-id that the kernel and debuggers see in a core: from a PT_NOTE in the part of the first page that is mapped
/// from the start of the file.
pub fn in_core(elf: &Elf<'_>) -> Option<BuildId> {
    let end = mapped_head(elf)?.file_size.min(FIRST_PAGE);
    if elf.segments_range().end > end {
        return None;
    }
    let notes = elf.segments().iter().filter(|segment| segment.kind == elf::PT_NOTE);
    notes.filter(|segment| segment.range().end <= end).find_map(|segment| {
        // The kernel takes every note for aligned to 4 bytes, elfutils takes p_align's word.
        let seen =
            |align| id_among(Notes::new(elf.header().endian, align, elf.bytes(segment.range())));
        seen(4).filter(|id| seen(segment.align).as_ref() == Some(id))
    })
}

/// The build-id among notes, the first.
fn id_among<'data>(mut notes: impl Iterator<Item = crate::elf::Note<'data>>) -> Option<BuildId> {
    let note = notes.find(|note| note.owner == b"GNU" && note.kind == elf::NT_GNU_BUILD_ID.0)?;
    BuildId::from_bytes(note.contents)
}

/// The segment that maps the file from its start.
fn mapped_head<'elf>(elf: &'elf Elf<'_>) -> Option<&'elf Segment> {
    elf.segments().iter().find(|segment| segment.is_load() && segment.offset == 0)
}
