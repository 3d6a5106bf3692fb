//! Elf + wish → [`Identity`]: the build-id that a program goes by, and the few bytes that put it where a core shows it.
//!
//! A core holds the first page of a program's file, and of that the kernel, perf and debuggers read the notes under a
//! PT_NOTE. A build-id elsewhere is found by whoever has the file, and by nobody who has the core alone. What is wrong
//! is put right by a named method, with bytes of the first page that nothing uses, and never silently.
//!
//! This comes before anything is slimmed: [`Identity::apply`] gives the input as it would be had its linker done so, and
//! slim file and debug file are both made from that. `check` holds the patches against law 1 first.

mod check;
mod derive;
mod inject;
mod page;
mod repair;
mod wish;

use std::ops::Range;

use object::elf;
use object::write::elf::SectionHeader;

pub use check::Stray;
pub use wish::{Method, ParseWishError, Wish};

use crate::build_id::BuildId;
use crate::elf::{Address, Elf, Note, Notes, Section, SectionId, SectionTable, Segment};
use crate::fs::Contents;
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
    /// The note that the input does not have.
    pub note: Option<NewNote>,
    /// The section of notes that the patches move, or make longer.
    pub moved: Option<SectionId>,
    /// Whether the section header table has to be elsewhere, because its bytes are needed.
    table_moves: bool,
    /// Whether a core of the program shows the id.
    pub in_cores: bool,
    /// Why a method that was wanted did nothing.
    pub obstacle: Option<Obstacle>,
}

/// A section that the input does not have: the note of the build-id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNote {
    /// Its contents, one note.
    pub contents: Vec<u8>,
    /// Where the patches put it, and where it is loaded; `None` where it is not loaded.
    pub place: Option<(u64, Address)>,
}

impl NewNote {
    /// Its name.
    pub const NAME: &[u8] = b".note.gnu.build-id";

    /// Its section header, without name and offset.
    pub fn header(&self) -> SectionHeader {
        SectionHeader {
            sh_type: elf::SHT_NOTE,
            sh_flags: self.place.map_or(elf::SectionFlags(0), |_| elf::SHF_ALLOC),
            sh_addr: self.place.map_or(0, |(_, address)| address.0),
            sh_size: self.contents.len() as u64,
            sh_addralign: 4,
            ..SectionHeader::default()
        }
    }
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
    /// A repair where there is no build-id, or a new one where there is one.
    #[error(
        "a build-id that is there can be repaired alone, and one that is not can be injected alone"
    )]
    OtherCase,
    /// There is no section of section names, or it is loaded.
    #[error("it has no section names that could change")]
    NoNames,
    /// The note of the build-id is not as it should be.
    #[error("its build-id is in no section, or longer than a digest")]
    OddNote,
    /// A new id would be derived from nothing, or sections claim the bytes of one another.
    #[error("it has no loaded sections to derive one from, or they overlap")]
    NothingLoaded,
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
    #[error("the build-id would not be right")]
    Stray(#[from] Stray),
}

impl Identity {
    /// Decides. Nothing after this decides anything.
    ///
    /// # Errors
    /// A wish that the input cannot be given.
    pub fn new(elf: &Elf<'_>, wish: Wish) -> Result<Self, Error> {
        let id = inspect::build_id(elf);
        if !matches!(elf.header().kind, elf::ET_EXEC | elf::ET_DYN) || elf.is_debug_file() {
            // It is not loaded, so no core shows anything of it.
            return Ok(Self { id, in_cores: true, ..Self::default() });
        }
        let in_cores = id.is_some() && in_core(elf) == id;
        let as_it_is = Self { id, in_cores, ..Self::default() };
        match wish {
            Wish::Require if !in_cores => Err(Error::Required { id: as_it_is.id }),
            Wish::Keep | Wish::Require => Ok(as_it_is),
            Wish::Inject(_) if in_cores => Ok(as_it_is),
            Wish::Inject(method) if as_it_is.id.is_some() => as_it_is.repaired(elf, method),
            Wish::Inject(method) => as_it_is.injected(elf, method),
            Wish::Rewrite => as_it_is.rewritten(elf),
        }
    }

    /// Puts the id right that is there, where that can be done.
    fn repaired(self, elf: &Elf<'_>, wanted: Option<Method>) -> Result<Self, Error> {
        let found = match &self.id {
            Some(id) => first_of(Method::REPAIRS, wanted, &Page::open(elf), id),
            None => Err(Obstacle::NoRoom),
        };
        match (found, wanted) {
            (Ok((method, change)), _) => Ok(self.with(elf, method, change, true)),
            (Err(obstacle), Some(method)) => Err(Error::Unfit { method, obstacle }),
            (Err(obstacle), None) => Ok(Self { obstacle: Some(obstacle), ..self }),
        }
    }

    /// Gives it an id.
    fn injected(self, elf: &Elf<'_>, wanted: Option<Method>) -> Result<Self, Error> {
        let names = elf.header().section_names.and_then(|id| elf.section(id));
        let size = wanted.unwrap_or(Method::Unloaded).id_size();
        let id = derive::derive(elf).and_then(|digest| BuildId::from_bytes(digest.get(..size)?));
        let id = match id.ok_or(Obstacle::NothingLoaded) {
            Ok(_) if names.is_none_or(Section::is_loaded) => Err(Obstacle::NoNames),
            id => id,
        };
        let id = match (id, wanted) {
            (Ok(id), _) => id,
            (Err(obstacle), Some(method)) => return Err(Error::Unfit { method, obstacle }),
            (Err(obstacle), None) => return Ok(Self { obstacle: Some(obstacle), ..self }),
        };
        let methods = if wanted.is_some() { Method::BY_NAME } else { &[] };
        let methods = [Method::INJECTIONS, methods].concat();
        let found = first_of(&methods, wanted, &Page::open(elf), &id);
        let named = Self { id: Some(id.clone()), ..self };
        match (found, wanted) {
            (Ok((method, change)), _) => Ok(named.with(elf, method, change, true)),
            (Err(obstacle), None | Some(Method::Unloaded)) => {
                let change = inject::unloaded(elf, &id);
                let named = Self { obstacle: Some(obstacle), ..named };
                Ok(named.with(elf, Method::Unloaded, change, false))
            }
            (Err(obstacle), Some(method)) => Err(Error::Unfit { method, obstacle }),
        }
    }

    /// Gives it a new id in the note that is there, or in a new one.
    fn rewritten(self, elf: &Elf<'_>) -> Result<Self, Error> {
        if self.id.is_none() {
            return self.injected(elf, None);
        }
        let unfit = |obstacle| Error::Unfit { method: Method::Rewrite, obstacle };
        let digest = derive::derive(elf).ok_or(unfit(Obstacle::NothingLoaded))?;
        let (id, write) = repair::rewrite(elf, &digest).ok_or(unfit(Obstacle::OddNote))?;
        let in_cores = self.in_cores;
        let new = if self.id.as_ref() == Some(&id) {
            self
        } else {
            let new = Self { id: Some(id), ..self };
            new.with(elf, Method::Rewrite, Change::of(write), in_cores)
        };
        if in_cores { Ok(new) } else { new.repaired(elf, None) }
    }

    fn with(mut self, elf: &Elf<'_>, method: Method, change: Change, in_cores: bool) -> Self {
        self.methods.push(method);
        self.patches.extend(change.writes.iter().flat_map(|write| write.patches(elf)));
        self.patches.sort_by_key(|patch| patch.offset);
        self.note = change.note.or(self.note);
        self.moved = change.moved.or(self.moved);
        Self { table_moves: self.table_moves || change.table_moves, in_cores, ..self }
    }

    /// Whether anything is to be changed.
    pub fn changes(&self) -> bool {
        !self.methods.is_empty()
    }

    /// Whether the input is known from the patched one and its first page: no section is new, no byte changes elsewhere.
    pub fn can_be_undone(&self) -> bool {
        self.note.is_none() && self.patches.iter().all(|patch| patch.range().end <= FIRST_PAGE)
    }

    /// The input with the patches: what is slimmed. `None` where nothing changes.
    ///
    /// # Errors
    /// Patches that break law 1.
    pub fn apply(&self, elf: &Elf<'_>, input: &Contents) -> Result<Option<Contents>, Error> {
        if self.patches.is_empty() {
            return Ok(None);
        }
        let patches = self.patches.iter().map(|patch| (patch.offset, patch.after.as_slice()));
        let patched = if self.table_moves {
            let mut bytes = input.to_vec();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let header = elf.header_with(SectionTable {
                offset: bytes.len() as u64,
                count: elf.sections().len() as u32,
                names: elf.header().section_names.map_or(0, |id| id.0),
            });
            bytes.extend(elf.bytes(elf.sections_range()));
            Contents::from(bytes).patched([(0, header.as_slice())].into_iter().chain(patches))
        } else {
            input.patched(patches)
        };
        let patched = patched.ok_or(Stray::Outside)?;
        // From here the patched input is as it will be slimmed.
        check::patched(elf, &patched, self)?;
        Ok(Some(patched))
    }
}

/// The first of some methods that can be done, or the one that is wanted.
fn first_of(
    methods: &[Method],
    wanted: Option<Method>,
    page: &Result<Page<'_, '_>, Obstacle>,
    id: &BuildId,
) -> Result<(Method, Change), Obstacle> {
    if wanted.is_some_and(|wanted| !methods.contains(&wanted)) {
        return Err(Obstacle::OtherCase);
    }
    let page = page.as_ref().map_err(|obstacle| *obstacle)?;
    let mut methods = methods.iter().filter(|method| wanted.is_none_or(|w| w == **method));
    let found = methods.find_map(|method| Some((*method, method.try_on(page, id)?)));
    found.ok_or(Obstacle::NoRoom)
}

/// What a method changes.
#[derive(Debug, Clone, Default)]
struct Change {
    writes: Vec<Write>,
    note: Option<NewNote>,
    moved: Option<SectionId>,
    table_moves: bool,
}

impl Change {
    fn of(write: Write) -> Self {
        Self { writes: vec![write], ..Self::default() }
    }
}

/// A note of a build-id (gABI, "Note Section").
fn note_bytes(elf: &Elf<'_>, id: &BuildId) -> Vec<u8> {
    const OWNER: &[u8] = b"GNU\0";
    let id = id.as_bytes();
    let words = [OWNER.len() as u32, id.len() as u32, elf::NT_GNU_BUILD_ID.0];
    let words = words.map(|word| elf.word(word));
    let mut bytes = [words.as_flattened(), OWNER, id].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
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
    let end = mapped_head(elf)?.1.file_size.min(FIRST_PAGE);
    if elf.segments_range().end > end {
        return None;
    }
    let notes = elf.segments().iter().filter(|segment| segment.kind == elf::PT_NOTE);
    notes.filter(|segment| segment.range().end <= end).find_map(|segment| {
        // The kernel takes every note for aligned to 4 bytes. elfutils takes p_align's word, and finds no id where it is 8.
        let notes = Notes::new(elf.header().endian, 4, elf.bytes(segment.range()));
        id_among(notes).filter(|_| segment.align <= 4)
    })
}

/// The build-id among notes, the first.
fn id_among<'data>(notes: impl Iterator<Item = Note<'data>>) -> Option<BuildId> {
    BuildId::from_bytes(note_among(notes)?.contents)
}

/// The note of a build-id among notes, the first.
fn note_among<'data>(mut notes: impl Iterator<Item = Note<'data>>) -> Option<Note<'data>> {
    notes.find(|note| note.owner == b"GNU" && note.kind == elf::NT_GNU_BUILD_ID.0)
}

/// The note that says for which system a program is (LSB, "NT_GNU_ABI_TAG"), the first.
fn abi_tag<'data>(mut notes: impl Iterator<Item = Note<'data>>) -> Option<Note<'data>> {
    notes.find(|note| note.owner == b"GNU" && note.kind == elf::NT_GNU_ABI_TAG.0)
}

/// The segment that maps the file from its start.
fn mapped_head<'elf>(elf: &'elf Elf<'_>) -> Option<(usize, &'elf Segment)> {
    let mut segments = elf.segments().iter().enumerate();
    segments.find(|(_, segment)| segment.is_load() && segment.offset == 0)
}
