//! Files → the bytes of a layer: a tar of 1970 and of root, compressed with gzip.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzEncoder;

use super::Error;
use crate::fs;
use crate::tar::{self, Kind};

/// A file or directory in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerEntry {
    pub(super) path: String,
    pub(super) mode: u32,
    /// The contents and their length; a directory has none.
    pub(super) file: Option<(PathBuf, u64)>,
}

/// A file, and the directories that it is in.
pub(super) fn with_directories(
    entries: &mut BTreeSet<LayerEntry>,
    path: &str,
    file: Option<(PathBuf, u64)>,
) {
    let ends = path.match_indices('/').map(|(at, _)| at + 1);
    for directory in ends.filter_map(|end| path.get(..end)) {
        entries.insert(LayerEntry { path: directory.to_owned(), mode: 0o755, file: None });
    }
    entries.insert(LayerEntry { path: path.to_owned(), mode: 0o644, file });
}

/// The bytes of a layer, from files that are opened one after another.
pub(super) struct LayerReader<'a> {
    entries: std::slice::Iter<'a, LayerEntry>,
    current: Box<dyn Read + 'a>,
    ended: bool,
}

impl<'a> LayerReader<'a> {
    /// The layer as it is published.
    pub(super) fn compressed(entries: &'a [LayerEntry]) -> impl Read + 'a {
        GzEncoder::new(Self::new(entries), Compression::best())
    }

    /// The layer as it is when it is unpacked.
    pub(super) fn new(entries: &'a [LayerEntry]) -> Self {
        Self { entries: entries.iter(), current: Box::new(io::empty()), ended: false }
    }

    fn open(entry: &'a LayerEntry) -> Result<Box<dyn Read + 'a>, Error> {
        let (kind, size) = match &entry.file {
            Some((_, size)) => (Kind::File, *size),
            None => (Kind::Directory, 0),
        };
        let header = io::Cursor::new(tar::header(&entry.path, &kind, entry.mode, size));
        let padding = io::Cursor::new(tar::padding(size));
        Ok(match &entry.file {
            Some((path, _)) => Box::new(header.chain(fs::open(path)?.0).chain(padding)),
            None => Box::new(header),
        })
    }
}

impl Read for LayerReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.entries.next() {
                Some(entry) => self.current = Self::open(entry).map_err(io::Error::other)?,
                None if self.ended => return Ok(0),
                None => {
                    self.ended = true;
                    self.current = Box::new(tar::END.as_slice());
                }
            }
        }
    }
}
