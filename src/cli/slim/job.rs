//! The flags of `xpost slim`, judged: what they ask for as values.

use std::path::PathBuf;

use clap::ValueEnum;

use super::choose::{self, wishes};
use super::place::{Place, PlaceArgs};
use crate::cli::Global;
use crate::cli::failure::{Exit, Failure};
use crate::debug::{Compression, Form, Strings};
use crate::identity;
use crate::slim::{Leaving, MiniDebug, Options, Sections};

/// Slim binaries: strip what is not needed, move the rest into debug files
///
/// The inputs stay as they are (but for --in-place). Each goes to xpost-out/<os>-<arch>/ as NAME (slim) and NAME.debug (everything that
/// left, under the same build-id); the platform is read from the ELF file itself. No loaded byte moves or changes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost slim --keep-symbol main target/release/app
  xpost slim build/amd64/app build/arm64/app       # two platforms, one release
  xpost slim -o app.slim app                       # like strip, with app.slim.debug beside it
  xpost slim --in-place bin/app lib/libapp.so      # the same where they are")]
pub(in crate::cli) struct Args {
    /// Linked ELF programs and shared libraries, or (with --output or --in-place) object files and static libraries; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    symbols: choose::SymbolArgs,
    /// Remove this section from both files; never a loaded one
    ///
    /// A name, or a pattern where no section has that name; =NAME and !NAME as for -K. It must exist.
    #[arg(help_heading = "Sections", short = 'R', long = "remove-section", value_name = "NAME")]
    remove_sections: Vec<String>,
    /// Keep this section in the slim file, names and patterns as for -R; debug information is in the debug file as well
    /// (symbol tables: --keep-symtab)
    #[arg(help_heading = "Sections", long = "keep-section", value_name = "NAME")]
    keep_sections: Vec<String>,
    /// Add .gnu_debugdata: the names of the functions that leave, for backtraces without the debug file
    ///
    /// An xz-compressed symbol table (MiniDebugInfo) that gdb, elfutils and systemd-coredump read, and lldb where it was built
    /// with lzma. It costs a few percent of the file.
    #[arg(help_heading = "Symbols", long)]
    minidebug: bool,
    /// What becomes of the build-id: keep, inject, require, rewrite, or inject=METHOD
    ///
    /// inject keeps an id that a core of the program shows, puts one right that only the file shows, and gives one to a
    /// program that has none (20 bytes of a SHA-256 over its loaded sections); it says by which method. keep changes
    /// nothing; require fails where no core would show an id; rewrite gives a new one in place of what is there. METHOD is
    /// one of repair-extend, repair-align, extend-front, extend-behind, append, reloc-note, unloaded; or, at a price,
    /// abitag-overwrite (the ABI tag is lost) or move-phdrs (GNU strip and objcopy break the file).
    #[arg(long, value_name = "WISH", default_value = "inject")]
    build_id: identity::Wish,
    /// How debug sections are compressed in the debug file
    #[arg(help_heading = "Debug file", long, value_name = "FORM", value_enum, default_value_t = Codec::Zlib)]
    compress_debug_sections: Codec,
    /// How hard to compress: zlib 1 to 12 (6 where none is given), zstd 1 to 19 (3), or best, the highest
    ///
    /// With a level, sections that are compressed in this form already are compressed anew. The smallest form wins.
    #[arg(help_heading = "Debug file", long, value_name = "N|best")]
    compression_level: Option<Level>,
    /// Leave the names of symbols in the debug file as the linker wrote them, instead of writing each once
    #[arg(help_heading = "Debug file", long)]
    no_merge_strings: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Show what would be done; write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Show the rule behind the fate of each section and symbol, and where the bytes went
    ///
    /// Symbols that leave are counted by their rules; with --json each is listed.
    #[arg(long)]
    explain: bool,
}

/// `--compression-level`
#[derive(Clone, Copy)]
enum Level {
    Number(i32),
    Best,
}

impl std::str::FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "best" => Ok(Self::Best),
            _ => text.parse().map(Self::Number).map_err(|_| "neither a number nor best"),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Codec {
    /// Read by every debugger
    Zlib,
    /// Smaller and faster; not read by elfutils < 0.189, lldb < 16, valgrind, Rust's backtraces
    Zstd,
    /// As large as it is
    None,
}

/// What the flags ask for, judged.
pub(super) struct Job {
    pub(super) options: Options,
    pub(super) build_id: identity::Wish,
    pub(super) form: Form,
    pub(super) place: Place,
    pub(super) explain: bool,
}

impl Args {
    /// What the flags ask for together.
    pub(super) fn judge(&self, global: &Global) -> Result<Job, Failure> {
        let leaving =
            if self.place.no_debug_file { Leaving::Dropped } else { Leaving::ToDebugFile };
        Ok(Job {
            options: Options {
                symbols: self.symbols.judge()?,
                sections: Sections {
                    keep: wishes("--keep-section", &self.keep_sections)?,
                    remove: wishes("-R", &self.remove_sections)?,
                },
                absent: self.symbols.absent(),
                leaving,
                minidebug: if self.minidebug { MiniDebug::Functions } else { MiniDebug::Absent },
            },
            build_id: self.build_id,
            form: self.form()?,
            place: self.place.judge(&self.files, global)?,
            explain: self.explain,
        })
    }

    /// How the debug file is written.
    fn form(&self) -> Result<Form, Failure> {
        let compression = match self.compress_debug_sections {
            Codec::Zlib => Compression::Zlib,
            Codec::Zstd => Compression::Zstd,
            Codec::None => Compression::None,
        };
        let usage = |text: String| Err(Failure::plain(Exit::Usage, text));
        let level = match (self.compression_level, compression.levels()) {
            (None, _) => None,
            (Some(_), None) => {
                return usage("--compression-level has no meaning without compression".to_owned());
            }
            (Some(Level::Best), Some(levels)) => Some(*levels.end()),
            (Some(Level::Number(level)), Some(levels)) if levels.contains(&level) => Some(level),
            (Some(Level::Number(level)), Some(levels)) => {
                let (first, last) = (levels.start(), levels.end());
                return usage(format!(
                    "--compression-level {level} is not within {first} to {last}"
                ));
            }
        };
        let strings = if self.no_merge_strings { Strings::AsTheyAre } else { Strings::Merged };
        Ok(Form { compression, level, strings })
    }
}
