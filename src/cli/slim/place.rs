//! Where the bytes of `xpost slim` come from and go to, judged: the release directory, a file, the input's own place,
//! standard output.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::cli::failure::{Exit, Failure};
use crate::fs::{self, Contents, Dates};
use crate::release;

/// More than the largest programs with all their debug information; what comes from a pipe has no size beforehand.
const LARGEST_STDIN: u64 = 8 << 30;

#[derive(clap::Args)]
pub(super) struct PlaceArgs {
    /// Call the output NAME instead of the input's file name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["output", "in_place"])]
    name: Option<String>,
    /// Write the slim file to FILE instead of the release directory; - is standard output
    ///
    /// FILE gets the input's permissions and extended attributes (file capabilities), as far as the file system allows.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace each input by its slim file, with FILE.debug beside it
    ///
    /// The file appears whole or not at all, with the input's owner, permissions and extended attributes. What a symbolic
    /// link leads to is replaced, and the link stays.
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// Give the slim file the dates of the input; a static library keeps those of its members, with owners and permissions
    #[arg(short, long)]
    preserve_dates: bool,
    /// Write the debug file to FILE instead of OUTPUT.debug, as eu-strip -f does; with --output or --in-place (object files
    /// get none)
    #[arg(short = 'f', long, value_name = "FILE")]
    debug_out: Option<PathBuf>,
    /// Drop what leaves instead of writing a debug file
    #[arg(long, conflicts_with = "debug_out")]
    pub(super) no_debug_file: bool,
    /// Also write both files below DIR/.build-id, where debuggers look
    #[arg(long, value_name = "DIR", conflicts_with = "no_debug_file")]
    build_id_tree: Option<PathBuf>,
}

/// An input: a file, or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Stdin,
}

impl Source {
    pub(super) fn new(path: &Path) -> Self {
        if is_dash(path) { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin => None,
        }
    }

    /// All of it.
    pub(super) fn contents(&self) -> fs::Result<Contents> {
        match self {
            Self::File(path) => Contents::of(path),
            Self::Stdin => fs::read_stdin(LARGEST_STDIN).map(Contents::from),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// Where outputs go.
pub(super) enum To {
    /// Into the release directory, under a name of its own where one was given.
    Release { root: PathBuf, name: Option<String> },
    /// To a file.
    File { slim: PathBuf, debug: PathBuf },
    /// Where the input was; the debug file beside it, unless it was said where.
    InPlace { debug: Option<PathBuf> },
    /// To standard output, and the debug file to a file.
    Stdout { debug: PathBuf },
}

/// Where outputs go, and what else is done with them there.
pub(super) struct Place {
    pub(super) to: To,
    pub(super) dates: Dates,
    pub(super) tree: Option<PathBuf>,
}

impl Place {
    /// Where the slim file goes, outside of a release; nowhere is standard output. Links are followed in place.
    pub(super) fn slim_path(&self, source: &Source) -> Result<Option<PathBuf>, Failure> {
        match (&self.to, source.path()) {
            (To::File { slim, .. }, _) => Ok(Some(slim.clone())),
            (To::InPlace { .. }, Some(path)) if fs::is_link(path) => Ok(Some(fs::resolve(path))),
            (To::InPlace { .. }, Some(path)) => Ok(Some(path.to_owned())),
            (To::InPlace { .. }, None) => {
                Err(Failure::plain(Exit::Usage, format!("cannot slim {source}"))
                    .because("there is no file to put the slim one in place of"))
            }
            (To::Stdout { .. } | To::Release { .. }, _) => Ok(None),
        }
    }
}

impl PlaceArgs {
    /// What the flags ask for together.
    pub(super) fn judge(&self, files: &[PathBuf], global: &Global) -> Result<Place, Failure> {
        let usage = |text: &str| Err(Failure::plain(Exit::Usage, text));
        let to_files = self.output.is_some() || self.in_place;
        let from_stdin = files.iter().any(|file| is_dash(file));
        let to_stdout = self.output.as_deref().is_some_and(is_dash);
        if files.len() > 1 && (self.output.is_some() || self.name.is_some()) {
            return usage("--output and --name take one input file");
        }
        if files.len() > 1 && self.debug_out.is_some() {
            return usage("--debug-out takes one input file");
        }
        if self.debug_out.is_some() && !to_files {
            let text = "--debug-out (-f) needs --output or --in-place";
            return Err(Failure::plain(Exit::Usage, text).hint(
                "eu-strip works in place where it is not told otherwise: --in-place does that",
            ));
        }
        if from_stdin && self.output.is_none() && self.name.is_none() {
            return usage("standard input has no name: give --output or --name");
        }
        if self.preserve_dates && (!to_files || from_stdin || to_stdout) {
            return usage(
                "--preserve-dates needs a file to take them from, and --output or --in-place",
            );
        }
        if to_stdout && self.debug_out.is_none() && !self.no_debug_file {
            return usage(
                "with --output - say where the debug file goes: --debug-out or --no-debug-file",
            );
        }
        if self.debug_out.as_deref().is_some_and(is_dash) {
            return usage("the debug file cannot go to standard output: --debug-out takes a file");
        }
        if to_stdout && global.json {
            return usage("with --output - the slim file takes the place of --json");
        }
        let root = global.release_dir.clone();
        if let Some(tree) = &self.build_id_tree
            && fs::resolve(tree).starts_with(fs::resolve(&root))
        {
            return usage("--build-id-tree cannot be inside the release directory");
        }
        let debug = self.debug_out.clone();
        let to = match &self.output {
            Some(_) if to_stdout => To::Stdout { debug: debug.unwrap_or_default() },
            Some(slim) => {
                To::File { slim: slim.clone(), debug: debug.unwrap_or_else(|| debug_beside(slim)) }
            }
            None if self.in_place => To::InPlace { debug },
            None => To::Release { root, name: self.name.clone() },
        };
        let dates = if self.preserve_dates { Dates::Same } else { Dates::Made };
        Ok(Place { to, dates, tree: self.build_id_tree.clone() })
    }
}

fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// `FILE.debug`
pub(super) fn debug_beside(slim: &Path) -> PathBuf {
    let mut debug = slim.to_owned().into_os_string();
    debug.push(".debug");
    debug.into()
}

/// The name under which an input enters a release.
pub(super) fn output_name(source: &Source, name: Option<&String>) -> Result<String, Failure> {
    let file_name = || source.path().and_then(Path::file_name).and_then(|name| name.to_str());
    let name = match name {
        Some(name) => name.clone(),
        None => file_name().unwrap_or_default().to_owned(),
    };
    match release::refuse_name(&name) {
        None => Ok(name),
        Some(reason) => Err(Failure::plain(
            Exit::Usage,
            format!("cannot put {source} into a release as {name:?}"),
        )
        .because(reason)
        .hint("choose another with --name, or write it elsewhere with --output")),
    }
}
