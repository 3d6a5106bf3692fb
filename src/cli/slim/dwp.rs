//! The `.dwp` beside an input: what split DWARF leaves out of a debug file, carried along under the names that gdb and
//! lldb look for.
//!
//! gdb takes the program's name, not the debug file's, and looks in the debug file's directory. For a core alone the
//! program is the one in the `.build-id` tree, so there the `.dwp` has two names.

use std::io;
use std::path::{Path, PathBuf};

use super::place::Source;
use crate::elf::Elf;
use crate::fs::{self, Contents};
use crate::inspect::SplitUnits;
use crate::release::companion;
use crate::slim::{Holds, Layout, Piece};

/// The `.dwp` of an input.
pub(super) struct Dwp {
    pub(super) bytes: Contents,
    /// Where it goes: beside the debug file, under the program's name.
    pub(super) path: PathBuf,
    /// Whether it is there already.
    pub(super) is_there: bool,
    name: String,
}

/// What there is beside an input with split DWARF, and what the user should know of it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) dwp: Option<Dwp>,
    pub(super) warning: Option<String>,
}

/// Looks for the `.dwp` of an input that gets a debug file. `slim` is none where the program goes to standard output.
pub(super) fn find(
    source: &Source,
    elf: &Elf<'_>,
    slim: Option<&Path>,
    debug: &Path,
) -> fs::Result<Found> {
    let units = SplitUnits::of(elf).unwrap_or_default();
    if units.is_empty() {
        return Ok(Found::default());
    }
    let Some(path) = source.path() else {
        return Ok(lost(format!("{source} has split DWARF"), Path::new("PROGRAM"), &units));
    };
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let beside = name(path).map(|name| path.with_file_name(companion::dwp(&name)));
    let Some(beside) = beside.filter(|beside| fs::exists(beside)) else {
        return Ok(lost(format!("{source} has split DWARF"), path, &units));
    };
    let shown = beside.display();
    let Some(name) = slim.and_then(name) else {
        let text = format!(
            "{shown} stays where it is: gdb looks for it beside the debug file, under the program's name with .dwp"
        );
        return Ok(Found { dwp: None, warning: Some(text) });
    };
    let bytes = Contents::of(&beside)?;
    let missing = match Elf::parse(&bytes) {
        Ok(package) => units.missing_from(&package).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let warning = match missing {
        Ok(0) => None,
        Ok(missing) if missing < units.len() => Some(format!(
            "{shown} lacks {missing} of the {} units of {source} that are in .dwo files: it is older than they are",
            units.len()
        )),
        Ok(_) => {
            let what = format!("{shown} has none of the units of {source}");
            return Ok(lost(what, path, &units));
        }
        Err(reason) => return Ok(lost(format!("{shown} cannot be used ({reason})"), path, &units)),
    };
    let path = debug.with_file_name(companion::dwp(&name));
    let is_there = fs::same_file(&beside, &path);
    Ok(Found { dwp: Some(Dwp { bytes, path, is_there, name }), warning })
}

/// Nothing to carry along: what is lost by it, and how it would not be.
fn lost(what: String, path: &Path, units: &SplitUnits) -> Found {
    let path = path.display();
    // dwp of binutils 2.40 cannot index version 5.
    let command = match units.version {
        5.. => format!("llvm-dwp -e {path} -o {path}.dwp"),
        _ => format!("dwp -e {path}"),
    };
    let warning = format!(
        "{what}: arguments, locals and types are in .dwo files ({} unit{}), and so in no debug file; gather them with \
         {command}, and slim it again",
        units.len(),
        if units.len() == 1 { "" } else { "s" }
    );
    Found { dwp: None, warning: Some(warning) }
}

impl Dwp {
    /// Writes it, as far as it is still what it was.
    pub(super) fn write_to(&self, mut out: impl io::Write) -> io::Result<()> {
        let mut layout = Layout::default();
        layout.push(Piece::Copied(&self.bytes), Holds::Everything);
        layout.write_to(&mut out)?;
        self.bytes.unchanged().map_err(|error| error.source)
    }

    /// Its names beside a program below `.build-id`: for a debugger that was given the program by its name, and for one
    /// that found this one.
    pub(super) fn in_tree(&self, program: &Path) -> [PathBuf; 2] {
        [program.with_file_name(companion::dwp(&self.name)), program.with_extension("dwp")]
    }
}
