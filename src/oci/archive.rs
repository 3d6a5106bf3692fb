//! The files of a layout in a tar file (`oci-archive:`, as skopeo and podman call it).
//!
//! It is read in place: one look at all headers says where each file lies, and nothing is ever unpacked, so that no
//! name in it can lead anywhere. What is written waits beside the archive in files without a name; at the end
//! the whole archive is made anew, sorted and without times and owners, so equal contents are equal bytes. Where another
//! process has made it anew in between, that is refused: what the other wrote would be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Error;
use super::at_once;
use super::files::{Contents, Files, INDEX, MARKER, blob_path};
use super::manifest::MAX_MANIFEST;
use super::store::check_size;
use crate::digest::Digest;
use crate::fs::{self, AtomicFile, Lock, Mode};
use crate::tar::{self, Entries, Kind};

/// More files in one archive than this are not looked at; the largest releases have some thousand.
const MAX_ENTRIES: usize = 1 << 20;

/// A tar file that is a layout, or will be.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    /// What is in the file, as it was opened.
    there: BTreeMap<String, Place>,
    /// And its index.
    index: Vec<u8>,
    /// What will be in it, or not be in it any more.
    written: Mutex<BTreeMap<String, Option<AtomicFile>>>,
}

/// Where in the archive the contents of a file lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    size: u64,
}

impl Archive {
    fn written(&self) -> MutexGuard<'_, BTreeMap<String, Option<AtomicFile>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To read from.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if !fs::exists(path) {
            let what = "archive: the file does not exist".to_owned();
            return Err(Error::NotFound { what, place: path.display().to_string() });
        }
        Self::of(path, scan(path)?.0)
    }

    /// To write to.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let mut there = BTreeMap::new();
        if fs::exists(path) {
            let others;
            (there, others) = scan(path)?;
            // What is no part of a layout would be lost.
            if others || !there.contains_key(MARKER) {
                return Err(Error::OtherContents { path: path.to_owned() });
            }
        }
        Self::of(path, there)
    }

    fn of(path: &Path, there: BTreeMap<String, Place>) -> Result<Self, Error> {
        let (path, written) = (path.to_owned(), Mutex::default());
        let mut archive = Self { path, there, index: Vec::new(), written };
        if let Some(place) = archive.there.get(INDEX) {
            check_size(INDEX, place.size, MAX_MANIFEST)?;
            let mut part = archive.part(*place)?;
            part.read_to_end(&mut archive.index).map_err(fs::at("read", &archive.path))?;
        }
        Ok(archive)
    }

    /// Whether it is not the one any more that was opened. Blobs are named by their contents: places and index say all.
    fn is_another(&self) -> Result<bool, Error> {
        let now = Self::create(&self.path)?;
        Ok(now.there != self.there || now.index != self.index)
    }

    /// Whether nothing is in it yet.
    pub(super) fn is_new(&self) -> bool {
        self.there.is_empty()
    }

    fn part(&self, place: Place) -> Result<impl Read + use<>, Error> {
        let (mut file, _) = fs::open(&self.path)?;
        file.seek(SeekFrom::Start(place.offset)).map_err(fs::at("read", &self.path))?;
        Ok(file.take(place.size))
    }
}

/// The files of a layout in an archive, and whether it holds any others.
fn scan(path: &Path) -> Result<(BTreeMap<String, Place>, bool), Error> {
    let no_layout = |reason: String| Error::NoLayout {
        place: format!("oci-archive:{}", path.display()),
        reason,
    };
    let (file, length) = fs::open(path)?;
    let mut entries = Entries::new(file, tar::seek_past);
    let (mut found, mut others) = (BTreeMap::new(), false);
    let mut count = 0;
    while let Some(entry) = entries.next_entry().map_err(|error| no_layout(error.to_string()))? {
        count += 1;
        if count > MAX_ENTRIES {
            return Err(no_layout(format!("it has more than {MAX_ENTRIES} files")));
        }
        let name = entry.path.trim_start_matches("./");
        match entry.kind {
            Kind::Directory => continue,
            Kind::File if is_of_layout(name) => {}
            _ => {
                others = true;
                continue;
            }
        }
        let place = Place { offset: entry.offset, size: entry.size };
        if entry.offset.checked_add(entry.size).is_none_or(|end| end > length) {
            return Err(no_layout(format!(
                "{name} does not end before the archive ends, at {length:#x}"
            )));
        }
        // One reader would take the first, the next one the last.
        if found.insert(name.to_owned(), place).is_some() {
            return Err(no_layout(format!("{name} is in it twice")));
        }
    }
    Ok((found, others))
}

fn is_of_layout(name: &str) -> bool {
    let digest =
        name.strip_prefix("blobs/sha256/").map(|hex| format!("sha256:{hex}").parse::<Digest>());
    [MARKER, INDEX].contains(&name)
        || digest.is_some_and(|digest| digest.is_ok_and(|digest| blob_path(&digest) == name))
}

impl Files for Archive {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path.display())
    }

    fn open(&self, name: &str) -> Result<Option<Contents<'_>>, Error> {
        match self.written().get(name) {
            None => {}
            Some(None) => return Ok(None),
            Some(Some(file)) => {
                let (file, size) = fs::open(file.temporary())?;
                return Ok(Some((Box::new(file), size)));
            }
        }
        let Some(place) = self.there.get(name) else { return Ok(None) };
        Ok(Some((Box::new(self.part(*place)?), place.size)))
    }

    fn write(&self, name: &str, from: &mut dyn Read) -> Result<(), Error> {
        let mut file = AtomicFile::create(&self.path, Mode::Data)?;
        at_once::copy(from, &mut file).map_err(|error| {
            Error::of_stream(error, || format!("write {}", self.path.display()))
        })?;
        // Closed: a release has more blobs than a process may have open files.
        file.finish()?;
        self.written().insert(name.to_owned(), Some(file));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.written().insert(name.to_owned(), None);
        Ok(())
    }

    /// What is in an archive changes all at once, at the end.
    fn lock(&self) -> Result<Option<Lock>, Error> {
        Ok(None)
    }

    fn finish(&self) -> Result<(), Error> {
        let written = std::mem::take(&mut *self.written());
        if written.is_empty() {
            return Ok(());
        }
        let beside = self.path.parent().filter(|parent| *parent != Path::new(""));
        let _lock = fs::lock(beside.unwrap_or(Path::new(".")))?;
        if self.is_another()? {
            return Err(Error::Changed { place: self.name() });
        }
        let file = AtomicFile::create(&self.path, Mode::Data)?;
        let mut out = io::BufWriter::with_capacity(1 << 16, file);
        let failed = |error| fs::at("write", &self.path)(error);
        let names: BTreeSet<&String> = self.there.keys().chain(written.keys()).collect();
        for name in names {
            let (mut part, size): Contents<'_> = match (written.get(name), self.there.get(name)) {
                (Some(None), _) => continue,
                (Some(Some(file)), _) => {
                    let (file, size) = fs::open(file.temporary())?;
                    (Box::new(file), size)
                }
                (None, Some(place)) => (Box::new(self.part(*place)?), place.size),
                (None, None) => continue,
            };
            out.write_all(&tar::header(name, &Kind::File, 0o644, size)).map_err(failed)?;
            at_once::copy(&mut part, &mut out).map_err(failed)?;
            out.write_all(&tar::padding(size)).map_err(failed)?;
        }
        out.write_all(&tar::END).map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(file.commit()?)
    }
}
