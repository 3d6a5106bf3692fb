//! The bytes of an input: pages of its file where the system can map it, so that only what is looked at is read and nothing
//! is copied.
//!
//! A file that another process makes shorter takes pages away from under its readers, who are then sent SIGBUS. Here they
//! get zeros instead, and [`Contents::unchanged`] says afterwards that what was made of them is good for nothing.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[cfg(unix)]
use super::map::Map;
use super::{Result, at, open_regular, place, read_to_end};

/// The bytes of an input.
pub struct Contents {
    bytes: Bytes,
    origin: Option<Origin>,
}

enum Bytes {
    Read(Vec<u8>),
    #[cfg(unix)]
    Mapped(Map),
}

/// The file that they are in, and by what a change of it shows.
struct Origin {
    path: PathBuf,
    file: File,
    length: u64,
    modified: Option<SystemTime>,
}

impl Contents {
    /// Those of a regular file. Where it can be mapped, nothing is read yet.
    pub fn of(path: &Path) -> Result<Self> {
        let (file, length) = open_regular(path)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let origin = Origin { path: path.to_owned(), file, length, modified };
        #[cfg(unix)]
        if let Some(map) = Map::of(&origin.file) {
            return Ok(Self { bytes: Bytes::Mapped(map), origin: Some(origin) });
        }
        let bytes = read_to_end(&origin.file, length).map_err(at("read", path))?;
        Ok(Self { bytes: Bytes::Read(bytes), origin: Some(origin) })
    }

    /// The same with other bytes at some offsets. Of a file only the pages in which they lie are copied. `None` where one
    /// of them lies behind the end.
    pub fn patched<'new>(
        &self,
        patches: impl Iterator<Item = (u64, &'new [u8])> + Clone,
    ) -> Option<Self> {
        #[cfg(unix)]
        if let Some(origin) = &self.origin
            && let Some(map) = Map::patched(&origin.file, self.len(), patches.clone())
        {
            return Some(Self { bytes: Bytes::Mapped(map), origin: None });
        }
        let mut bytes = self.to_vec();
        for (offset, new) in patches {
            place(&mut bytes, offset, new.len())?.copy_from_slice(new);
        }
        Some(Self::from(bytes))
    }

    /// Whether the bytes are still those of the file, and all of them could be read.
    ///
    /// # Errors
    /// They are not: what was made of them is good for nothing.
    pub fn unchanged(&self) -> Result<()> {
        let Some(Origin { path, file, length, modified }) = &self.origin else { return Ok(()) };
        let failed = |what: &str| Err(at("read", path)(io::Error::other(what.to_owned())));
        let now = file.metadata().map_err(at("read", path))?;
        if now.len() != *length || now.modified().ok() != *modified {
            return failed("it was changed while it was read");
        }
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.bytes
            && map.has_holes()
        {
            return failed("a part of it could not be read");
        }
        Ok(())
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(bytes) => bytes,
            #[cfg(unix)]
            Bytes::Mapped(map) => map,
        }
    }
}

impl From<Vec<u8>> for Contents {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Bytes::Read(bytes), origin: None }
    }
}

/// Says that all of these bytes will be looked at next: where they are those of a file, that is faster.
pub fn expect(bytes: &[u8]) {
    #[cfg(unix)]
    super::map::expect(bytes);
    #[cfg(not(unix))]
    let _ = bytes;
}

/// Says that these bytes were read and will hardly be again: where they are those of a file, they are no memory of this
/// process any more until they are. A compressor or writer that goes through a large file says so now and then.
pub fn release(bytes: &[u8]) {
    #[cfg(unix)]
    super::map::release(bytes);
    #[cfg(not(unix))]
    let _ = bytes;
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PAGES: usize = 64 << 10;

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("input");
        fs::write(&path, bytes).expect("written");
        (directory, path)
    }

    #[test]
    fn a_file_that_shrinks_meanwhile_is_an_error_and_not_the_end() {
        let (_directory, path) = file_of(&[7; 3 * PAGES]);
        let contents = Contents::of(&path).expect("contents");
        let copy = contents.patched([(0, &b"x"[..])].into_iter()).expect("a copy");
        contents.unchanged().expect("nothing happened yet");
        fs::OpenOptions::new().write(true).open(&path).expect("open").set_len(9).expect("shrunk");
        assert_eq!(contents.len(), 3 * PAGES);
        assert_eq!(contents.last(), copy.last());
        assert_eq!(contents.iter().filter(|&&byte| byte == 7).count(), 9);
        let error = contents.unchanged().expect_err("it changed");
        assert_eq!(error.source.to_string(), "it was changed while it was read");
    }

    #[test]
    fn a_patched_copy_leaves_the_file_and_keeps_its_patches_when_memory_is_released() {
        let (_directory, path) = file_of(&[7; 3 * PAGES]);
        let contents = Contents::of(&path).expect("contents");
        let patches = [(1, &b"ab"[..]), (2 * PAGES as u64 - 1, &b"cd"[..])];
        let copy = contents.patched(patches.into_iter()).expect("a copy");
        for chunk in copy.chunks(PAGES / 2) {
            release(chunk);
        }
        release(&copy);
        release(&contents);
        assert_eq!(copy.get(..4), Some(&b"\x07ab\x07"[..]));
        assert_eq!(copy.get(2 * PAGES - 2..2 * PAGES + 2), Some(&b"\x07cd\x07"[..]));
        assert_eq!(copy.iter().filter(|&&byte| byte == 7).count(), 3 * PAGES - 4);
        assert!(contents.iter().all(|&byte| byte == 7));
        assert!(fs::read(&path).expect("read").iter().all(|&byte| byte == 7));
    }

    #[test]
    fn no_patch_lies_behind_the_end() {
        let (_directory, path) = file_of(b"short");
        let contents = Contents::of(&path).expect("contents");
        for contents in [contents, Contents::from(b"short".to_vec())] {
            assert!(contents.patched([(4, &b"ab"[..])].into_iter()).is_none());
            assert!(contents.patched([(u64::MAX, &b"ab"[..])].into_iter()).is_none());
            let patched = contents.patched([(3, &b"ab"[..])].into_iter()).expect("patched");
            assert_eq!(&*patched, b"shoab");
        }
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let (_directory, path) = file_of(b"");
        assert_eq!(&*Contents::of(&path).expect("contents"), b"");
    }

    #[test]
    fn more_files_than_there_are_places_are_read() {
        let (_directory, path) = file_of(b"bytes");
        let all: Vec<_> = (0..100).map(|_| Contents::of(&path).expect("contents")).collect();
        assert!(all.iter().all(|contents| **contents == *b"bytes"));
    }
}
