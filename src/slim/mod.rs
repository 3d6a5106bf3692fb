//! Elf + Options → [`Plan`] → [`Layout`] of the slim file.
//!
//! The plan decides, the layout counts, the writer copies; nothing flows back. The debug file is another layout of the
//! same plan (see [`crate::debug`]); its checksum is needed here for the link, so it is laid out first.

mod assemble;
mod check;
mod fate;
mod find;
mod frames;
mod headers;
mod layout;
mod minidebug;
mod near;
mod options;
mod pattern;
mod plan;
mod preset;
mod references;
mod relocatable;
mod rules;
mod spell;
mod symbols;
mod wished;

pub use check::Broken;
pub use fate::{Decision, Fate};
pub use layout::{Holds, Layout, Piece};
pub use options::{
    Absent, Leaving, Meant, MiniDebug, NameRegex, Options, Rest, Sections, Sense, Symbols, Wish,
};
pub use plan::Plan;
pub use preset::Preset;
pub use symbols::{Choice, Kept};

use object::Endian as _;

use crate::elf::{self, Elf};

/// How the slim file names its debug file (the section `.gnu_debuglink`; GDB manual, "Separate Debug Files").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugLink {
    /// The debug file's name, without a directory.
    pub name: String,
    /// The CRC-32 of the debug file's bytes.
    pub crc: u32,
}

impl DebugLink {
    /// The contents of the section: the name, zeros up to a multiple of 4 bytes, the CRC.
    fn section(&self, elf: &Elf<'_>) -> Vec<u8> {
        let mut bytes = self.name.clone().into_bytes();
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(elf.word(self.crc));
        bytes
    }

    /// The link of a file, where it has one that can be read.
    pub fn of(elf: &Elf<'_>) -> Option<Self> {
        let data = elf.section_named(b".gnu_debuglink")?.data;
        let end = data.iter().position(|&byte| byte == 0)?;
        let name = String::from_utf8(data.get(..end)?.to_vec()).ok()?;
        let crc = *data.get((end + 1).next_multiple_of(4)..)?.first_chunk::<4>()?;
        Some(Self { name, crc: elf.header().endian.read_u32(crc) })
    }
}

/// Lays out the slim file of a plan, and holds the layout against the laws.
///
/// `link` names the debug file; without one the slim file gets no link. An input from which nothing leaves comes
/// out as it went in.
pub fn layout<'data>(
    elf: &Elf<'data>,
    plan: &Plan<'data>,
    link: Option<&DebugLink>,
) -> Result<Layout<'data>, Error> {
    let layout = assemble::assemble(elf, plan, link)?;
    // From here every offset in the output is fixed.
    check::layout(elf, plan, &layout)?;
    Ok(layout)
}

/// A symbol that was asked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// As it was asked for.
    pub name: String,
    /// Names that are there and may have been meant, the nearest first.
    pub near: Vec<String>,
}

/// Why an input cannot be slimmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is damaged.
    #[error(transparent)]
    Elf(#[from] elf::Error),
    /// An object file that is to lose its symbols.
    #[error("it is an object file: without symbols it cannot be linked any more")]
    ObjectSymbols,
    /// A symbol of an object file that is to leave, and is needed.
    #[error("the symbol {symbol:?} cannot leave: {user} needs it")]
    SymbolNeeded {
        /// The symbol.
        symbol: String,
        /// The section of relocations, or the group, that names it.
        user: String,
    },
    /// Something that names symbols by their indices in a form that cannot be made anew.
    #[error(
        "section {section} ({name}) names symbols in a form that xpost cannot change: {reason}"
    )]
    SymbolsFixed {
        /// Which.
        section: u32,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A core file.
    #[error("it is a core file, not a program")]
    Core,
    /// `e_type` is none that can be slimmed.
    #[error("its ELF type is {kind:#x}; xpost slims linked programs and shared libraries")]
    UnknownType {
        /// `e_type`
        kind: u16,
    },
    /// A debug file.
    #[error(
        "it is a debug file: its code is in the program that it belongs to, which is the one to slim"
    )]
    DebugFile,
    /// A `.dwo` or `.dwp` file.
    #[error("it is split DWARF (.dwo, .dwp): debug information of which nothing can leave")]
    SplitDwarf,
    /// No section header table, or one of nothing that is loaded.
    #[error(
        "it has no section headers of what it loads, so nothing in it can be told apart (was it packed, or stripped of them?)"
    )]
    NoSections,
    /// No section has a name.
    #[error("its sections have no names (e_shstrndx), so nothing in it can be told apart")]
    NoNames,
    /// A program that nothing could load.
    #[error("it has no program headers, so nothing in it is ever loaded")]
    NoSegments,
    /// UPX packed it.
    #[error("it is packed by UPX: what there is to strip is in its compressed part")]
    Packed,
    /// What follows the image would not be found any more.
    #[error(
        "the {kind} behind its image is found by its distance from the start of the file ({start:#x}), which would change"
    )]
    PayloadMoves {
        /// What it is.
        kind: &'static str,
        /// Where it begins.
        start: u64,
    },
    /// A section is loaded with one part and not with the other.
    #[error("section {section}: contents {start:#x}..{end:#x} are partly under a segment")]
    Straddles {
        /// Which.
        section: u32,
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// Two sections whose contents would be copied share bytes.
    #[error("sections {first} and {second} overlap")]
    Overlap {
        /// One of them.
        first: u32,
        /// The other.
        second: u32,
    },
    /// A string table has to change, and is loaded.
    #[error(
        "section {section} holds the names of sections or symbols and is loaded, so they cannot change"
    )]
    NamesLoaded {
        /// Which.
        section: u32,
    },
    /// Symbols that were asked for are not there.
    #[error(
        "no symbol {}{}", describe_missing(missing),
        if *has_table { "" } else { ": the input has no symbol table, it was stripped before" }
    )]
    SymbolsMissing {
        /// Which.
        missing: Vec<Missing>,
        /// Whether the input has any symbols.
        has_table: bool,
    },
    /// Sections that were asked for are not there.
    #[error("no section {}", quoted(names))]
    SectionsMissing {
        /// As they were asked for.
        names: Vec<String>,
    },
    /// A section that was to be removed cannot go.
    #[error("the section {section} cannot be removed: it {reason}")]
    SectionStays {
        /// Which.
        section: String,
        /// Why.
        reason: &'static str,
    },
    /// A symbol that was asked for is defined in a section that leaves.
    #[error("the symbol {symbol:?} is defined in {section}, which does not stay")]
    SymbolLeaves {
        /// The symbol.
        symbol: String,
        /// Its section.
        section: String,
    },
    /// More names than a string table can hold.
    #[error("the names need more than 4 GiB")]
    TooManyNames,
    /// Too large for its class.
    #[error("the output would have {len} bytes, more than a 32-bit ELF file can")]
    TooLarge {
        /// Its length in bytes.
        len: u64,
    },
    /// The layout breaks a law; nothing was written.
    #[error(
        "the output would not be right ({0}): the headers contradict each other, or this is a bug in xpost"
    )]
    Broken(Broken),
}

/// Names for people.
pub fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// As many as fit on a screen: a list of symbols for another program has thousands.
const NAMED_MISSING: usize = 20;

/// The names with their near misses, for people.
pub fn describe_missing(missing: &[Missing]) -> String {
    let names: Vec<_> = missing
        .iter()
        .take(NAMED_MISSING)
        .map(|Missing { name, near }| match near.as_slice() {
            [] => format!("{name:?}"),
            near => format!("{name:?} (did you mean {}?)", near.join(", ")),
        })
        .collect();
    let names = names.join(", ");
    match missing.len().saturating_sub(NAMED_MISSING) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}
