//! How a debug file is written: values that the command line makes and the passes read.

use std::ops::RangeInclusive;

use object::elf;

/// How a debug file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// How debug sections are compressed.
    pub compression: Compression,
    /// How hard to try, of [`Compression::levels`]; what lies outside counts as the nearest one. `None` is the speed
    /// level, and leaves a section that is in the form asked for as it is.
    pub level: Option<i32>,
    /// What becomes of the names of symbols.
    pub strings: Strings,
}

/// How the debug file's debug sections are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// The one form that every reader takes.
    #[default]
    Zlib,
    /// Smaller and faster, but refused by elfutils before 0.189, lldb before 16, valgrind and Rust's own backtraces.
    Zstd,
}

/// What becomes of the names of symbols in the debug file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strings {
    /// Each is there once, and a name that another one ends with is a part of that one.
    #[default]
    Merged,
    /// As the linker wrote them, to the byte.
    AsTheyAre,
}

impl Compression {
    pub(super) fn kind(self) -> Option<elf::CompressionType> {
        match self {
            Self::None => None,
            Self::Zlib => Some(elf::ELFCOMPRESS_ZLIB),
            Self::Zstd => Some(elf::ELFCOMPRESS_ZSTD),
        }
    }

    /// The levels there are: libdeflate's for zlib, and those of zstd whose window a reader in Go can take (8 MiB; those
    /// above 19 need more memory in every reader and gain a thousandth).
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None => None,
            Self::Zlib => Some(1..=12),
            Self::Zstd => Some(1..=19),
        }
    }

    /// The level where none is asked for. zlib: the size of zlib's own level 6 in a third of the time. zstd: its own
    /// default.
    pub(super) fn speed_level(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Zlib => 6,
            Self::Zstd => 3,
        }
    }
}

impl Form {
    pub(super) fn effort(&self) -> i32 {
        let asked = self.level.unwrap_or(self.compression.speed_level());
        self.compression.levels().map_or(0, |levels| asked.clamp(*levels.start(), *levels.end()))
    }
}

impl From<Compression> for Form {
    fn from(compression: Compression) -> Self {
        Self { compression, ..Self::default() }
    }
}
