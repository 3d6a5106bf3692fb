//! Where the files of a layout lie, as [`super::layout`] sees it: in a directory ([`super::directory`]) or in a tar file
//! ([`super::archive`]).

use std::fmt;
use std::io::Read;

use super::Error;
use crate::digest::Digest;
use crate::fs::Lock;

/// The contents of a file, and their length.
pub(super) type Contents<'a> = (Box<dyn Read + 'a>, u64);

/// Where the files of a layout lie. Names are `oci-layout`, `index.json` and those that [`blob_path`] makes.
pub(super) trait Files: fmt::Debug + Sync {
    /// How people call it: `oci:release`, `oci-archive:release.tar`.
    fn name(&self) -> String;

    /// A file; nothing where it is not there.
    fn open(&self, name: &str) -> Result<Option<Contents<'_>>, Error>;

    /// Makes a file or replaces it: whole, or not at all.
    fn write(&self, name: &str, from: &mut dyn Read) -> Result<(), Error>;

    /// Takes a file away.
    fn remove(&self, name: &str) -> Result<(), Error>;

    /// Makes what was written last.
    fn finish(&self) -> Result<(), Error>;

    /// Keeps other processes from changing what is there, until it is dropped; where they could.
    fn lock(&self) -> Result<Option<Lock>, Error>;
}

/// The file that says that the others are a layout.
pub(super) const MARKER: &str = "oci-layout";
/// The file that says what there is.
pub(super) const INDEX: &str = "index.json";

/// Where a blob or a manifest lies.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
