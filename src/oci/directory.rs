//! The files of a layout in a directory.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;
use super::at_once;
use super::files::{Contents, Files, MARKER};
use crate::fs::{self, AtomicFile, Lock, Mode};

/// A directory that is a layout, or will be.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// To read from.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if !fs::exists(path) {
            let what = "layout: the directory does not exist".to_owned();
            return Err(Error::NotFound { what, place: path.display().to_string() });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// To write to.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let directory = Self { path: path.to_owned() };
        if !directory.is_new() || !fs::exists(path) {
            return Ok(directory);
        }
        if !fs::is_dir(path) {
            let reason = "it is not a directory".to_owned();
            return Err(Error::NoLayout { place: directory.name(), reason });
        }
        // Another process may be about to make it: until all is there it holds the lock.
        let _lock = fs::lock(path)?;
        let theirs = |names: Vec<String>| names.iter().any(|name| !fs::is_temporary(name));
        if directory.is_new() && theirs(fs::list(path)?) {
            return Err(Error::OtherContents { path: path.to_owned() });
        }
        Ok(directory)
    }

    /// Whether nothing is in it yet.
    pub(super) fn is_new(&self) -> bool {
        !fs::exists(&self.path.join(MARKER))
    }
}

impl Files for Directory {
    fn name(&self) -> String {
        format!("oci:{}", self.path.display())
    }

    fn open(&self, name: &str) -> Result<Option<Contents<'_>>, Error> {
        match fs::open(&self.path.join(name)) {
            Ok((file, size)) => Ok(Some((Box::new(file), size))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, name: &str, from: &mut dyn Read) -> Result<(), Error> {
        let path = self.path.join(name);
        let mut file = AtomicFile::create(&path, Mode::Data)?;
        at_once::copy(from, &mut file)
            .map_err(|error| Error::of_stream(error, || format!("write {}", path.display())))?;
        Ok(file.commit()?)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        fs::remove(&self.path.join(name))?;
        Ok(())
    }

    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }

    fn lock(&self) -> Result<Option<Lock>, Error> {
        Ok(Some(fs::lock(&self.path)?))
    }
}
