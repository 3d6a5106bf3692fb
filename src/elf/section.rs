//! Sections: headers in native form, and what a section is for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use object::elf;
use object::write::elf::SectionHeader;

use super::Framing;

/// What names begin with of sections that GNU tools compressed before there was a standard.
const GNU_PREFIX: &[u8] = b".zdebug_";

/// An index in the section header table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId(pub u32);

impl SectionId {
    /// As an index of a slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An address in memory, as the linker assigned it. Never an offset in the file, though often equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

/// A section header (gABI, "Section Header") with its name and contents.
#[derive(Clone)]
pub struct Section<'data> {
    /// Its index.
    pub id: SectionId,
    /// Its name: bytes, since nothing promises UTF-8.
    pub name: &'data [u8],
    /// Where the name stands in the table of section names.
    pub name_offset: u32,
    /// `sh_type`
    pub kind: elf::SectionType,
    /// `sh_flags`
    pub flags: elf::SectionFlags,
    /// `sh_addr`
    pub address: Address,
    /// `sh_offset`; for a section without contents only a hint.
    pub offset: u64,
    /// `sh_size` in bytes.
    pub size: u64,
    /// `sh_link`
    pub link: u32,
    /// `sh_info`
    pub info: u32,
    /// `sh_addralign`
    pub align: u64,
    /// `sh_entsize`
    pub entry_size: u64,
    /// The contents in the file; empty for SHT_NOBITS and SHT_NULL.
    pub data: &'data [u8],
}

impl<'data> Section<'data> {
    /// Whether the section is loaded when the program runs: its flag decides, never its name.
    pub fn is_loaded(&self) -> bool {
        self.flags.0 & elf::SHF_ALLOC.0 != 0
    }

    /// Whether it takes room in the file. Section 0 never does: its fields are numbers of the file's own.
    pub fn has_contents(&self) -> bool {
        !matches!(self.kind, elf::SHT_NOBITS | elf::SHT_NULL) && self.size != 0 && self.id.0 != 0
    }

    /// The bytes of the file that hold its contents; empty where there are none.
    pub fn range(&self) -> Range<u64> {
        if self.has_contents() {
            self.offset..self.offset + self.size
        } else {
            self.offset..self.offset
        }
    }

    /// How many bytes of the file hold its contents.
    pub fn file_size(&self) -> u64 {
        self.data.len() as u64
    }

    /// Whether the contents begin with a compression header (gABI, "Section Compression").
    pub fn is_compressed(&self) -> bool {
        self.flags.0 & elf::SHF_COMPRESSED.0 != 0
    }

    /// Whether it is compressed as GNU tools did it before there was a standard (see [`Framing::Gnu`]). A section of such
    /// a name that does not begin so is plain.
    pub fn is_gnu_compressed(&self) -> bool {
        !self.is_loaded()
            && !self.is_compressed()
            && self.name.starts_with(GNU_PREFIX)
            && self.data.starts_with(Framing::GNU_MARK)
    }

    /// The name under which a debugger knows it: `.debug_info` for what stands in `.zdebug_info`.
    pub fn debug_name(&self) -> Cow<'data, [u8]> {
        match self.name.strip_prefix(GNU_PREFIX) {
            Some(rest) if self.is_gnu_compressed() => Cow::Owned([b".debug_", rest].concat()),
            _ => Cow::Borrowed(self.name),
        }
    }

    /// Whether `sh_info` is the index of a section (gABI, "sh_link and sh_info Interpretation").
    pub fn info_is_section(&self) -> bool {
        self.flags.0 & elf::SHF_INFO_LINK.0 != 0
            || matches!(self.kind, elf::SHT_REL | elf::SHT_RELA)
    }

    /// Whether it is read by debuggers alone. Only meaningful for a section that is not loaded.
    pub fn is_debug(&self) -> bool {
        const PREFIXES: [&[u8]; 5] =
            [b".debug_", b".zdebug_", b".gnu.debuglto_", b".gdb_index", b".stab"];
        PREFIXES.iter().any(|prefix| self.name.starts_with(prefix))
            || matches!(self.name, b".debug" | b".line" | b".gnu_debugaltlink")
    }

    /// Whether it only says how the file was built: compiler versions and linker warnings.
    pub fn is_leftover(&self) -> bool {
        self.name == b".comment" || self.name.starts_with(b".gnu.warning.")
    }

    /// The header alone, as the encoder takes it.
    pub fn header(&self) -> SectionHeader {
        SectionHeader {
            sh_name: self.name_offset,
            sh_type: self.kind,
            sh_flags: self.flags,
            sh_addr: self.address.0,
            sh_offset: self.offset,
            sh_size: self.size,
            sh_link: self.link,
            sh_info: self.info,
            sh_addralign: self.align,
            sh_entsize: self.entry_size,
        }
    }

    /// The name for people.
    pub fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    /// The name in a debug file, for people.
    pub fn display_debug_name(&self) -> String {
        String::from_utf8_lossy(&self.debug_name()).into_owned()
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}] {} {:#x}+{:#x}", self.id.0, self.display_name(), self.offset, self.size)
    }
}
