//! What a file has beside its contents, for an output that takes its place: permissions (setuid too), owner, dates, and
//! extended attributes, which hold file capabilities and access control lists.
//!
//! A file system, or the kernel for want of a privilege, may refuse any of it but the permissions. That is no error: the
//! contents are right, and what is missing is said.

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileTimes, Metadata};
use std::io;
use std::path::Path;

use super::{AtomicFile, Result, at};

/// What a file has beside its contents.
#[derive(Debug, Clone)]
pub struct Attributes {
    metadata: Metadata,
    extended: Vec<(OsString, Vec<u8>)>,
    owner: Owner,
    dates: Dates,
}

/// Whose an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Whoever made it.
    Maker,
    /// The owner of the file that it takes after.
    Same,
}

/// When an output was last read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// When it was made.
    Made,
    /// As the file that it takes after.
    Same,
}

impl Attributes {
    /// Reads those of a file, through links.
    pub fn of(path: &Path, owner: Owner, dates: Dates) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(at("read", path))?;
        let extended = extended(path).map_err(at("read the attributes of", path))?;
        Ok(Self { metadata, extended, owner, dates })
    }

    /// How many names the file has (hard links).
    pub fn names(&self) -> u64 {
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::nlink(&self.metadata);
        #[cfg(not(unix))]
        return 1;
    }
}

#[cfg(unix)]
fn extended(path: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let names = match xattr::list_deref(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut extended = Vec::new();
    for name in names {
        // One that went meanwhile is none.
        if let Some(value) = xattr::get_deref(path, &name)? {
            extended.push((name, value));
        }
    }
    Ok(extended)
}

#[cfg(not(unix))]
fn extended(_: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    Ok(Vec::new())
}

#[cfg(unix)]
fn extend(file: &fs::File, name: &OsStr, value: &[u8]) -> io::Result<()> {
    xattr::FileExt::set_xattr(file, name, value)
}

#[cfg(not(unix))]
fn extend(_: &fs::File, _: &OsStr, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What vouches for the contents as they were (Linux: Documentation/ABI/testing/evm, "Integrity Measurement
/// Architecture"): on other contents it would keep the file from being run.
fn vouches(name: &OsStr) -> bool {
    name == "security.ima" || name == "security.evm"
}

impl AtomicFile {
    /// Gives a file that has its contents what another has beside them. Says what it cannot have, in words.
    ///
    /// The order is the kernel's: a new owner or a written byte takes setuid and capabilities away.
    pub fn wear(&mut self, attributes: &Attributes) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        let Some(file) = &self.file else { return Ok(refused) };
        permit(file, attributes, &mut refused).map_err(at("write", &self.target))?;
        for (name, value) in &attributes.extended {
            let shown = name.to_string_lossy();
            if vouches(name) {
                refused.push(format!("{shown} (it vouches for the contents as they were)"));
            } else if let Err(error) = extend(file, name, value) {
                refused.push(format!("{shown} ({error})"));
            }
        }
        if attributes.dates == Dates::Same {
            let dates =
                attributes.metadata.accessed().ok().zip(attributes.metadata.modified().ok());
            let set = dates.map(|(accessed, modified)| {
                file.set_times(FileTimes::new().set_accessed(accessed).set_modified(modified))
            });
            if !matches!(set, Some(Ok(()))) {
                refused.push("its dates".to_owned());
            }
        }
        Ok(refused)
    }
}

/// Sets the owner and the permissions.
#[cfg(unix)]
fn permit(file: &fs::File, attributes: &Attributes, refused: &mut Vec<String>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    const PERMISSIONS: u32 = 0o7777;
    const SET_IDS: u32 = 0o6000;
    let old = &attributes.metadata;
    let is_same = |new: &Metadata| (new.uid(), new.gid()) == (old.uid(), old.gid());
    if attributes.owner == Owner::Same
        && !is_same(&file.metadata()?)
        && let Err(error) = fchown(file, Some(old.uid()), Some(old.gid()))
    {
        refused.push(format!("its owner {}:{} ({error})", old.uid(), old.gid()));
    }
    let mut mode = old.mode() & PERMISSIONS;
    if mode & SET_IDS != 0 && !is_same(&file.metadata()?) {
        // It would run as somebody who never said so.
        refused.push("setuid and setgid (it has another owner)".to_owned());
        mode &= !SET_IDS;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn permit(file: &fs::File, attributes: &Attributes, refused: &mut Vec<String>) -> io::Result<()> {
    if attributes.owner == Owner::Same {
        refused.push("its owner".to_owned());
    }
    file.set_permissions(attributes.metadata.permissions())
}
