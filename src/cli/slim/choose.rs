//! The flags of `xpost slim` that choose symbols, judged.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::failure::{Exit, Failure};
use crate::fs;
use crate::slim::{Absent, NameRegex, Preset, Rest, Sense, Symbols, Wish};

/// A list of symbols is written by people or by `nm`, of which the largest programs' is a few hundred megabytes.
const LONGEST_LIST: u64 = 1 << 30;

#[derive(clap::Args)]
pub(super) struct SymbolArgs {
    /// Keep this symbol in the slim file; it must exist
    ///
    /// By its name in the file or its demangled one (Rust with or without the hash, C++ with or without parameters). A
    /// name that exists is taken as it is, brackets and all; any other may be a pattern: *, ?, [a-z], [!a-z], and \ before
    /// what is none. =NAME is never a pattern. !NAME spares what other -K would keep, wherever it stands among them.
    #[arg(help_heading = "Symbols", short = 'K', long = "keep-symbol", value_name = "NAME")]
    keep: Vec<String>,
    /// Keep the symbols that FILE lists, one a line as for -K; # begins a comment
    #[arg(help_heading = "Symbols", long = "keep-symbols", value_name = "FILE")]
    keep_lists: Vec<PathBuf>,
    /// Keep the symbols that RE matches, by their name in the file or the demangled one
    ///
    /// It matches anywhere in a name (^ and $ are its ends) and byte by byte; it must match something.
    #[arg(help_heading = "Symbols", long = "keep-symbol-regex", value_name = "RE")]
    keep_regexes: Vec<String>,
    /// Keep what programs of a kind or tools look up by name
    #[arg(help_heading = "Symbols", long = "keep-preset", value_name = "KIND", value_enum)]
    keep_presets: Vec<Kind>,
    /// Keep all symbols; only debug information leaves
    #[arg(help_heading = "Symbols", short = 'g', long, conflicts_with = "strip_all")]
    strip_debug: bool,
    /// Keep the whole symbol table. On a program this is -g by another name: -g says what leaves, this what stays
    #[arg(help_heading = "Symbols", long, conflicts_with = "strip_all")]
    keep_symtab: bool,
    /// Let this symbol leave where all others stay (-g, --keep-symtab); it must exist. -K is stronger
    #[arg(help_heading = "Symbols", short = 'N', long = "strip-symbol", value_name = "NAME")]
    strip: Vec<String>,
    /// Remove all symbols but those kept (the default); not from object files, which cannot be linked without
    #[arg(help_heading = "Symbols", short = 's', long)]
    strip_all: bool,
    /// The same, but in object files keep those that linking needs
    #[arg(help_heading = "Symbols", long, conflicts_with_all = ["strip_debug", "keep_symtab", "strip_all"])]
    strip_unneeded: bool,
    /// Accepted for scripts: patterns need no flag
    #[arg(help_heading = "Symbols", short = 'w', long)]
    wildcard: bool,
    /// Warn where a symbol that was asked for does not exist, instead of failing
    #[arg(help_heading = "Symbols", long)]
    allow_missing: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// The marks of std's backtraces, without which RUST_BACKTRACE=1 prints an empty list; frames are named by the
    /// symbols kept beside them (-K 'app::*') or by the debug file
    Rust,
    /// go:func.*; where others are kept without it, govulncheck cannot tell which functions are called
    Go,
    /// glibc's thread symbols and the allocator; without them (or the debug file) gdb shows no threads of a static
    /// program by their library's names, and valgrind sees no allocations
    C,
    /// Every function; without them bpftrace and perf attach to addresses alone, and profilers name no frames
    Bpf,
}

impl Kind {
    fn wish(self) -> Wish {
        let (name, preset) = match self {
            Self::Rust => ("rust", Preset::Rust),
            Self::Go => ("go", Preset::Go),
            Self::C => ("c", Preset::C),
            Self::Bpf => ("bpf", Preset::Bpf),
        };
        Wish::needed("--keep-preset", name, preset)
    }
}

impl SymbolArgs {
    /// What is to be done about a name that an input does not have.
    pub(super) fn absent(&self) -> Absent {
        if self.allow_missing { Absent::Allowed } else { Absent::Refused }
    }

    /// Which symbols stay. Reads the lists.
    pub(super) fn judge(&self) -> Result<Symbols, Failure> {
        let rest = match (self.strip_debug, self.keep_symtab) {
            (true, _) => Rest::Stays("-g"),
            (false, true) => Rest::Stays("--keep-symtab"),
            (false, false) if self.strip_all => Rest::Leaves,
            (false, false) if self.strip_unneeded => Rest::Unneeded,
            (false, false) => Rest::Fitting,
        };
        let mut keep: Vec<_> = self.keep.iter().map(|text| Wish::named("-K", text)).collect();
        for path in &self.keep_lists {
            keep.extend(list(path)?);
        }
        for text in &self.keep_regexes {
            let option = "--keep-symbol-regex";
            let regex = NameRegex::new(text).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read {option} {text}"), &error)
            })?;
            keep.push(Wish::matching(option, regex));
        }
        keep.extend(self.keep_presets.iter().map(|kind| kind.wish()));
        let strip: Vec<_> = self.strip.iter().map(|text| Wish::named("-N", text)).collect();
        // Patterns are always read as such.
        let _ = self.wildcard;
        refuse_spares_alone(&keep)?;
        refuse_spares_alone(&strip)?;
        match rest {
            Rest::Fitting | Rest::Leaves | Rest::Unneeded if !strip.is_empty() => {
                let failure = Failure::plain(
                    Exit::Usage,
                    format!("{} takes away nothing where all symbols leave", show(&strip)),
                );
                Err(failure.hint("say which stay: -g or --keep-symtab for all others"))
            }
            _ => Ok(Symbols { rest, keep, strip }),
        }
    }
}

/// The wishes that one option was given.
pub(super) fn wishes(option: &str, texts: &[String]) -> Result<Vec<Wish>, Failure> {
    let wishes: Vec<_> = texts.iter().map(|text| Wish::named(option, text)).collect();
    refuse_spares_alone(&wishes)?;
    Ok(wishes)
}

fn refuse_spares_alone(wishes: &[Wish]) -> Result<(), Failure> {
    if !wishes.is_empty() && wishes.iter().all(|wish| wish.sense == Sense::Spares) {
        let text = format!("{} spares nothing: nothing is chosen", show(wishes));
        return Err(Failure::plain(Exit::Usage, text));
    }
    Ok(())
}

fn show(wishes: &[Wish]) -> String {
    wishes.first().map(ToString::to_string).unwrap_or_default()
}

/// The wishes of a list: a name a line. A comment begins with `#` at the line's start or after a blank, because
/// names hold blanks (Go) and `#` (Rust's closures).
fn list(path: &Path) -> Result<Vec<Wish>, Failure> {
    let text = String::from_utf8(fs::read_small(path, LONGEST_LIST)?).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", path.display()), &error)
    })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line)));
    let lines = lines.filter(|(_, name)| !name.is_empty());
    Ok(lines
        .map(|(number, name)| {
            Wish::named(format!("--keep-symbols {}:{number}", path.display()), name)
        })
        .collect())
}

fn without_comment(line: &str) -> &str {
    let comment = line.char_indices().find(|&(at, char)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        char == '#' && before.is_none_or(char::is_whitespace)
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_begins_where_no_name_can_hold_it() {
        assert_eq!(without_comment("# all of it"), "");
        assert_eq!(without_comment("  main\t # the entry \r"), "main");
        assert_eq!(without_comment("app::run::{closure#0}"), "app::run::{closure#0}");
        assert_eq!(without_comment("go:struct { F uintptr }"), "go:struct { F uintptr }");
        assert_eq!(without_comment(""), "");
    }
}
