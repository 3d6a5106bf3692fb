//! The flags of `xpost slim`, judged: what they ask for as values.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::choose::{self, wishes};
use crate::cli::Global;
use crate::cli::failure::{Exit, Failure};
use crate::debug::Compression;
use crate::fs;
use crate::release;
use crate::slim::{Leaving, Options, Sections};

/// Slim binaries: strip what is not needed, move the rest into debug files
///
/// The inputs stay as they are. Each goes to xpost-out/<os>-<arch>/ as NAME (slim) and NAME.debug (everything that
/// left, under the same build-id); the platform is read from the ELF file itself. No loaded byte moves or changes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost slim --keep-symbol main target/release/app
  xpost slim build/amd64/app build/arm64/app       # two platforms, one release
  xpost slim -o app.slim app                       # like strip, with app.slim.debug beside it")]
pub(in crate::cli) struct Args {
    /// Linked ELF programs and shared libraries
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
    /// How debug sections are compressed in the debug file
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Zlib)]
    compress_debug_sections: Form,
    /// Call the output NAME instead of the input's file name
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    name: Option<String>,
    /// Write the slim file to FILE instead of the release directory
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the debug file to FILE; with --output, which defaults to OUTPUT.debug
    #[arg(long, value_name = "FILE", requires = "output")]
    debug_out: Option<PathBuf>,
    /// Drop what leaves instead of writing a debug file
    #[arg(long, conflicts_with = "debug_out")]
    no_debug_file: bool,
    /// Also write both files below DIR/.build-id, where debuggers look
    #[arg(long, value_name = "DIR", conflicts_with = "no_debug_file")]
    build_id_tree: Option<PathBuf>,
    /// Show what would be done; write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Show the rule behind each section's fate and each kept symbol, and where the bytes went
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
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
    pub(super) compression: Compression,
    pub(super) to: To,
    pub(super) tree: Option<PathBuf>,
    pub(super) explain: bool,
}

/// Where outputs go.
pub(super) enum To {
    /// Into the release directory, under a name of its own where one was given.
    Release { root: PathBuf, name: Option<String> },
    /// To a file.
    File { slim: PathBuf, debug: PathBuf },
}

impl Args {
    /// What the flags ask for together.
    pub(super) fn judge(&self, global: &Global) -> Result<Job, Failure> {
        let usage = |text: &str| Failure::plain(Exit::Usage, text);
        if self.files.len() > 1 && (self.output.is_some() || self.name.is_some()) {
            return Err(usage("--output and --name take one input file"));
        }
        let root = global.release_dir.clone();
        if let Some(tree) = &self.build_id_tree
            && fs::resolve(tree).starts_with(fs::resolve(&root))
        {
            return Err(usage("--build-id-tree cannot be inside the release directory"));
        }
        let leaving = if self.no_debug_file { Leaving::Dropped } else { Leaving::ToDebugFile };
        let to = match &self.output {
            Some(slim) => {
                let mut debug = slim.clone().into_os_string();
                debug.push(".debug");
                let debug = self.debug_out.clone().unwrap_or(debug.into());
                To::File { slim: slim.clone(), debug }
            }
            None => To::Release { root, name: self.name.clone() },
        };
        Ok(Job {
            options: Options {
                symbols: self.symbols.judge()?,
                sections: Sections {
                    keep: wishes("--keep-section", &self.keep_sections)?,
                    remove: wishes("-R", &self.remove_sections)?,
                },
                absent: self.symbols.absent(),
                leaving,
            },
            compression: match self.compress_debug_sections {
                Form::Zlib => Compression::Zlib,
                Form::Zstd => Compression::Zstd,
                Form::None => Compression::None,
            },
            to,
            tree: self.build_id_tree.clone(),
            explain: self.explain,
        })
    }
}

/// The name under which an input enters a release.
pub(super) fn output_name(path: &Path, name: Option<&String>) -> Result<String, Failure> {
    let name = match name {
        Some(name) => name.clone(),
        None => path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned(),
    };
    match release::refuse_name(&name) {
        None => Ok(name),
        Some(reason) => Err(Failure::plain(
            Exit::Usage,
            format!("cannot put {} into a release as {name:?}", path.display()),
        )
        .because(reason)
        .hint("choose another with --name, or write it elsewhere with --output")),
    }
}
