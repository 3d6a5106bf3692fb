//! A slim file on its way to its place: the warnings before, the bytes, and what the place refuses of the attributes.

use std::io;
use std::path::{Path, PathBuf};

use super::place::{Place, Source, To};
use crate::cli::failure::{Exit, Failure};
use crate::cli::ui::Ui;
use crate::fs::{self, Attributes, Dates, Mode, Owner};
use crate::release::Staged;

/// What is known about a slim file before it is written.
pub(super) struct Delivery<'a> {
    pub(super) source: &'a Source,
    pub(super) place: &'a Place,
    /// None where it goes to standard output.
    pub(super) slim_path: Option<&'a Path>,
    /// Whether it is another than the input.
    pub(super) changes: bool,
}

impl Delivery<'_> {
    /// The file does not replace the input unless that was asked for.
    pub(super) fn refuse_replacing(&self) -> Result<(), Failure> {
        let in_place = matches!(self.place.to, To::InPlace { .. });
        let is_input = self.slim_path.is_some_and(|path| self.is_input(path));
        if self.changes && is_input && !in_place { Err(self.replaces()) } else { Ok(()) }
    }

    pub(super) fn is_input(&self, output: &Path) -> bool {
        self.source.path().is_some_and(|path| fs::same_file(path, output))
    }

    /// The failure of an output that would replace the input.
    pub(super) fn replaces(&self) -> Failure {
        Failure::plain(Exit::Usage, format!("cannot slim {}", self.source))
            .because("the output would replace the input")
            .hint("--in-place does that; or write elsewhere with --output")
    }

    /// Says where other names of the file (hard links) keep what it was.
    pub(super) fn other_names(&self) -> Result<Option<String>, Failure> {
        let (To::InPlace { .. }, Some(path)) = (&self.place.to, self.slim_path) else {
            return Ok(None);
        };
        let names = Attributes::of(path, Owner::Same, Dates::Made)?.names();
        let source = self.source;
        Ok((names > 1 && self.changes).then(|| {
            format!("{source} has {names} names (hard links); the others keep the file as it was")
        }))
    }

    /// Writes the file, without its name yet. Says what it cannot have of the input's attributes.
    pub(super) fn deliver(
        &self,
        staged: &mut Staged,
        ui: Ui,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<Option<String>, Failure> {
        let Some(slim_path) = self.slim_path else { return ui.binary(fill).map(|()| None) };
        let owner = match self.place.to {
            To::InPlace { .. } => Owner::Same,
            _ => Owner::Maker,
        };
        let refused = match (&self.place.to, self.source.path()) {
            // What is there is what would be written.
            _ if self.is_input(slim_path) && !self.changes => return Ok(None),
            (To::File { .. } | To::InPlace { .. }, Some(path)) => {
                let attributes = Attributes::of(path, owner, self.place.dates)?;
                staged.write_like(slim_path, &attributes, fill)?
            }
            _ => {
                staged.write(slim_path, Mode::Executable, fill)?;
                Vec::new()
            }
        };
        let refused = (!refused.is_empty()).then(|| refused.join(", "));
        Ok(refused.map(|refused| format!("{} does not have {refused}", slim_path.display())))
    }
}

/// A path for people; none is standard output.
pub(super) fn shown(slim_path: Option<&PathBuf>) -> String {
    slim_path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
}
