//! What a pull has on the disk when all of it was checked, and what becomes of that.

use std::path::PathBuf;

use super::Error;
use super::published::RemoteFile;
use crate::build_id::BuildId;
use crate::fs::{self, AtomicFile, NewDirs};

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// What was fetched.
    pub file: RemoteFile,
    /// The build-id of its own note.
    pub build_id: Option<BuildId>,
}

/// Files that were fetched and checked, and have no names yet. Dropped, they are gone: the files first, and then the
/// directories that are empty.
#[derive(Debug, Default)]
pub struct Brought {
    pub(super) ready: Vec<(AtomicFile, Fetched)>,
    /// Symbolic links that were, and where they lead.
    pub(super) links: Vec<(PathBuf, String)>,
    pub(super) made: NewDirs,
}

impl Brought {
    /// Gives all files their names. Nothing is asked of a store any more: these are renames.
    ///
    /// # Errors
    /// Those of writing.
    pub fn commit(self) -> Result<Vec<Fetched>, Error> {
        let mut fetched = Vec::new();
        for (temporary, done) in self.ready {
            temporary.commit_as(&done.path)?;
            fetched.push(done);
        }
        for (path, target) in &self.links {
            fs::link(path, target)?;
        }
        self.made.keep();
        Ok(fetched)
    }
}
