//! What can be wrong with an ELF file.

/// Why some bytes are no ELF file that xpost can work on. Offsets and sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The first bytes are not those of ELF.
    #[error("not an ELF file: {looks_like} (it begins with {})", crate::digest::hex(found))]
    NotElf {
        /// Up to four bytes.
        found: Vec<u8>,
        /// What the bytes are likely to be instead.
        looks_like: &'static str,
    },
    /// The file ends inside its own header.
    #[error("the ELF header needs {needed} bytes, the file has {len}")]
    HeaderTruncated {
        /// The size of the header of this class.
        needed: u64,
        /// The size of the file.
        len: u64,
    },
    /// The identification names a class, data encoding or version that does not exist.
    #[error("the ELF identification is not valid (class {class}, data {data}, version {version})")]
    Ident {
        /// `EI_CLASS`
        class: u8,
        /// `EI_DATA`
        data: u8,
        /// `EI_VERSION`
        version: u8,
    },
    /// A header table's entries have a size that is not the class's.
    #[error("the entries of the {table} are {found} bytes each, not {expected}")]
    EntrySize {
        /// Which table.
        table: &'static str,
        /// What the file says.
        found: u16,
        /// What the class demands.
        expected: u16,
    },
    /// A header table lies outside the file.
    #[error("the {table} ({count} entries at {offset:#x}) lies outside the file ({len:#x} bytes)")]
    TableOutOfFile {
        /// Which table.
        table: &'static str,
        /// Where it begins.
        offset: u64,
        /// How many entries it should have.
        count: u64,
        /// The size of the file.
        len: u64,
    },
    /// The program headers share bytes with the ELF header, so no field of either can change alone.
    #[error("the program header table begins at {offset:#x}, inside the ELF header")]
    TableInHeader {
        /// `e_phoff`
        offset: u64,
    },
    /// A segment's bytes lie outside the file.
    #[error(
        "segment {segment}: contents {start:#x}..{end:#x} lie outside the file ({len:#x} bytes)"
    )]
    SegmentOutOfFile {
        /// The index in the program header table.
        segment: usize,
        /// Where it begins.
        start: u64,
        /// Where it should end.
        end: u64,
        /// The size of the file.
        len: u64,
    },
    /// Segments that share their bytes are too long together.
    #[error("the segments are not believable: they cover the file more than 16 times over")]
    ManyTimesOver,
    /// A section's bytes lie outside the file.
    #[error(
        "section {section}: contents {start:#x}..{end:#x} lie outside the file ({len:#x} bytes)"
    )]
    SectionOutOfFile {
        /// The index in the section header table.
        section: u32,
        /// Where it begins.
        start: u64,
        /// Where it should end.
        end: u64,
        /// The size of the file.
        len: u64,
    },
    /// An index points to a section that there is not.
    #[error("{what} names section {section}, but there are {count}")]
    NoSuchSection {
        /// Who points.
        what: &'static str,
        /// Where to.
        section: u32,
        /// How many sections there are.
        count: u32,
    },
    /// A name begins outside its string table, or does not end in it.
    #[error("{what} {index}: the name at {offset:#x} of its string table is not there")]
    Name {
        /// `section` or `symbol`.
        what: &'static str,
        /// Which one.
        index: u64,
        /// Where the name should begin.
        offset: u32,
    },
    /// Names that share their bytes are too long together.
    #[error("the names of the {what} are not believable: more than 4096 bytes each on average")]
    LongNames {
        /// `sections` or `symbols`.
        what: &'static str,
    },
    /// The names of symbols are in a section that is no string table.
    #[error(
        "the symbol table's names (sh_link) are in section {section}, which is no string table"
    )]
    NoStringTable {
        /// The section.
        section: u32,
    },
    /// A table's size is not a multiple of its entries'.
    #[error(
        "section {section}: a table of {size} bytes cannot hold whole entries of {entry} bytes"
    )]
    TableSize {
        /// The table's section.
        section: u32,
        /// Its size.
        size: u64,
        /// The size of an entry.
        entry: u64,
    },
    /// A compressed section has no whole compression header, or one that cannot be true.
    #[error("section {section}: the compression header is not valid: {reason}")]
    CompressionHeader {
        /// The section.
        section: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What the first bytes of something that is not ELF most likely are.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'#', b'!', ..] => "it looks like a script",
        [b'M', b'Z', ..] => "it looks like a Windows program (PE)",
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
        | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
        | [0xca, 0xfe, 0xba, 0xbe, ..] => "it looks like a macOS program (Mach-O)",
        [0, b'a', b's', b'm', ..] => "it looks like WebAssembly",
        [b'!', b'<', b'a', b'r', ..] => "it looks like a static library (ar archive)",
        [0x1f, 0x8b, ..] => "it looks like gzip data",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it looks like zstd data",
        [0x7f, b'E', ..] | [0x7f] => "the file looks truncated",
        _ => "xpost works on ELF programs and shared libraries",
    }
}
