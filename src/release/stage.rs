//! Writing into the release directory: all outputs of a run appear, or none, and what was made for an older
//! binary goes with it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::names::{Kind, classify, is_image_bundle};
use super::{Error, INDEX_BUNDLE, STATE, read};
use crate::fs::{self, AtomicFile, Attributes, Mode, NewDirs};

/// Files that are written but have no name yet, and files that will be gone.
#[derive(Default)]
pub struct Staged {
    files: Vec<AtomicFile>,
    stale: Vec<PathBuf>,
    /// The directories that were made for them. The last field, because fields are dropped in order: what is not
    /// committed leaves no file, and then no directory that was made for one.
    made: NewDirs,
}

impl Staged {
    /// Writes a file that will appear at `path`; `fill` gets where its bytes go.
    pub fn write(
        &mut self,
        path: &Path,
        mode: Mode,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> fs::Result<()> {
        let mut file = self.filled(path, mode, fill)?;
        file.finish()?;
        self.files.push(file);
        Ok(())
    }

    /// Writes a file that will appear at `path` with the attributes of another. Says which it cannot have.
    pub fn write_like(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> fs::Result<Vec<String>> {
        // Until it has them it is nobody else's business.
        let mut file = self.filled(path, Mode::Secret, fill)?;
        let refused = file.wear(attributes)?;
        file.finish()?;
        self.files.push(file);
        Ok(refused)
    }

    fn filled(
        &mut self,
        path: &Path,
        mode: Mode,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> fs::Result<AtomicFile> {
        self.made.above(path);
        let file = AtomicFile::create(path, mode)?;
        let mut buffered = io::BufWriter::with_capacity(1 << 16, file);
        fill(&mut buffered).map_err(fs::at("write", path))?;
        let written = buffered.into_inner();
        written.map_err(|error| fs::at("write", path)(error.into_error()))
    }

    /// Notes a file that must not stay beside what is written.
    pub fn remove(&mut self, path: PathBuf) {
        if !self.stale.contains(&path) {
            self.stale.push(path);
        }
    }

    /// Notes the signatures that do not hold any more when a file of this platform changes.
    pub fn remove_signatures(&mut self, root: &Path, directory: &str) -> fs::Result<()> {
        for other in fs::list(&root.join(directory))? {
            if classify(&other).0 == Kind::Bundle {
                self.remove(root.join(directory).join(other));
            }
        }
        let of_images = fs::list(root)?.into_iter().filter(|name| is_image_bundle(name));
        for name in of_images.chain([INDEX_BUNDLE.to_owned()]) {
            self.remove(root.join(name));
        }
        Ok(())
    }

    /// Notes everything in the release that was made for an older binary of this name: its SBOMs, the
    /// signature of its platform, and that of the index. A name that is new there has nothing of the kind.
    pub fn remove_companions(
        &mut self,
        root: &Path,
        directory: &str,
        name: &str,
    ) -> fs::Result<()> {
        let mut of_binary = fs::list(&root.join(directory))?;
        of_binary.retain(|other| classify(other).1 == name);
        if of_binary.is_empty() {
            return Ok(());
        }
        for other in of_binary.iter().filter(|other| matches!(classify(other).0, Kind::Sbom(_))) {
            self.remove(root.join(directory).join(other));
        }
        self.remove_signatures(root, directory)
    }

    /// Writes `release.json` with the annotations of the index, where it does not say them already.
    pub fn annotate(
        &mut self,
        root: &Path,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        if read::state(root)?.annotations == *annotations {
            return Ok(());
        }
        let state = serde_json::json!({ "annotations": annotations });
        let text = serde_json::to_string_pretty(&state).expect("strings have a JSON form");
        Ok(self.write(&root.join(STATE), Mode::Data, |out| writeln!(out, "{text}"))?)
    }

    /// Removes what is stale and lets the new files appear. Says what was removed.
    ///
    /// Signatures go first: should the machine stop in the middle, what is there is unsigned rather than signed wrongly.
    pub fn commit(self) -> fs::Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for path in self.stale {
            if fs::remove(&path)? {
                removed.push(path);
            }
        }
        for file in self.files {
            file.commit()?;
        }
        Ok(removed)
    }
}
