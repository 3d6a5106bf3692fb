//! The only file I/O: read an input, write an output that appears whole or not at all.
//!
//! Every error carries the path, because an I/O error without its path is a riddle. An output is
//! written beside its target under a temporary name, synced, and renamed: a reader sees the old file
//! or the new one, and a failed run leaves the old one as it was.
#![expect(clippy::disallowed_methods, reason = "this is the module the others are sent to")]

mod attributes;
mod contents;
#[cfg(unix)]
mod map;
mod temporary;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

pub use attributes::{Attributes, Dates, Owner};
pub use contents::{Contents, expect, release};
pub use temporary::{is_temporary, remove_on_signals};

use temporary::Temporary;

/// A failed operation on a file: what was being done, to which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct Error {
    verb: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// What a file operation gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Puts the verb and the path to an I/O error, unless it has them already.
pub fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| {
        source.downcast().unwrap_or_else(|source| Error { verb, path: path.to_owned(), source })
    }
}

/// The whole contents of a regular file.
///
/// Directories, pipes and devices are refused: an input is read once and its size is known.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, length) = open_regular(path)?;
    read_to_end(&file, length).map_err(at("read", path))
}

fn read_to_end(mut file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The contents of a file that is expected to be small, such as JSON or a key: at most `limit` bytes.
pub fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, _) = open_regular(path)?;
    read_at_most(file, limit).map_err(at("read", path))
}

/// What comes from standard input: at most `limit` bytes.
pub fn read_stdin(limit: u64) -> Result<Vec<u8>> {
    read_at_most(io::stdin().lock(), limit).map_err(at("read", Path::new("standard input")))
}

fn read_at_most(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// A regular file, buffered, and its length in bytes.
pub fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let (file, length) = open_regular(path)?;
    Ok((BufReader::with_capacity(1 << 16, file), length))
}

fn open_regular(path: &Path) -> Result<(File, u64)> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(at("read", path))?;
    if let Some(what) = no_file(&metadata) {
        return Err(at("read", path)(io::Error::other(format!("it is {what}, not a file"))));
    }
    let file = File::open(path).map_err(at("read", path))?;
    Ok((file, metadata.len()))
}

/// So many bytes at an offset.
fn place(bytes: &mut [u8], offset: u64, len: usize) -> Option<&mut [u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get_mut(start..start.checked_add(len)?)
}

/// What is there instead of a file, in words.
fn no_file(metadata: &fs::Metadata) -> Option<&'static str> {
    match metadata.file_type() {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        _ => Some("a pipe or a device"),
    }
}

/// The digest and the length in bytes of a file, in constant memory.
pub fn digest(path: &Path) -> Result<(crate::digest::Digest, u64)> {
    let (file, _) = open(path)?;
    let mut hashing = crate::digest::Hashing::new(file);
    io::copy(&mut hashing, &mut io::sink()).map_err(at("read", path))?;
    Ok(hashing.finish())
}

/// The names in a directory, sorted; an absent directory is empty. Names that are not UTF-8 are errors.
pub fn list(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at("list", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at("list", directory))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| at("list", &entry.path())(io::Error::other("the name is not UTF-8")))?;
        names.push(name);
    }
    names.sort();
    Ok(names)
}

/// Whether the path is a directory.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Whether something exists at the path.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether nobody but its owner may read or write a file.
pub fn is_private(path: &Path) -> bool {
    #[cfg(unix)]
    return fs::metadata(path)
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 == 0);
    #[cfg(not(unix))]
    return false;
}

/// Whether a person may be asked, or may press Ctrl-C.
pub fn has_terminal() -> bool {
    cfg!(not(unix)) || File::open("/dev/tty").is_ok()
}

/// Whether the path is a symbolic link.
pub fn is_link(path: &Path) -> bool {
    path.is_symlink()
}

/// Refuses a path that leads through a symbolic link, of which nobody knows where it leads: its last `depth` directories
/// come from outside.
pub fn refuse_links(path: &Path, depth: usize) -> Result<()> {
    match path.ancestors().skip(1).take(depth).find(|above| is_link(above)) {
        Some(link) => {
            let reason = format!("{} is a symbolic link", link.display());
            Err(at("write", path)(io::Error::other(reason)))
        }
        None => Ok(()),
    }
}

/// Makes a symbolic link, in place of what is there if that is no directory.
pub fn link(path: &Path, target: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        create_dir_all(directory)?;
    }
    remove(path)?;
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, path).map_err(at("write", path));
    #[cfg(not(unix))]
    return Err(at("write", path)(io::Error::other(format!(
        "there are no links here (to {target})"
    ))));
}

/// Where a path leads, whether or not something is there yet: absolute, without links and `..`.
pub fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(component);
            resolved = resolved.canonicalize().unwrap_or(resolved);
        }
    }
    resolved
}

/// Whether the two paths lead to one file, which need not be there yet.
pub fn same_file(left: &Path, right: &Path) -> bool {
    resolve(left) == resolve(right)
}

/// Directories that are to be made for outputs. When this is dropped, those that are empty go again: a run that
/// failed leaves none behind.
#[derive(Debug, Default)]
pub struct NewDirs(BTreeSet<PathBuf>);

impl NewDirs {
    /// Notes those above a path that are not there yet.
    pub fn above(&mut self, path: &Path) {
        let above = path.ancestors().skip(1).take_while(|above| *above != Path::new(""));
        let missing = above.take_while(|above| !exists(above)).map(Path::to_owned);
        let missing: BTreeSet<_> = missing.filter(|above| !self.0.contains(above)).collect();
        temporary::note(&missing);
        self.0.extend(missing);
    }

    /// Makes a directory. Of one that is new nobody but its owner may do more in it than these permission bits say; the owner
    /// may do everything, because files are still to be made in it.
    pub fn make(&mut self, directory: &Path, bits: u32) -> Result<()> {
        self.above(&directory.join("_"));
        create_dir_all(directory)?;
        if self.0.contains(directory) {
            narrow(directory, bits | 0o700).map_err(at("create the directory", directory))?;
        }
        Ok(())
    }

    /// All outputs are there: those that are empty stay.
    pub fn keep(mut self) {
        temporary::forget(&std::mem::take(&mut self.0));
    }
}

impl Drop for NewDirs {
    fn drop(&mut self) {
        // Each before those above it.
        for directory in self.0.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
        temporary::forget(&self.0);
    }
}

/// Takes away the permissions that are not among these.
#[cfg(unix)]
fn narrow(path: &Path, bits: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let now = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(now & bits))
}

#[cfg(not(unix))]
fn narrow(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Keeps other processes that ask for the same lock waiting until it is dropped, or its process ends.
#[derive(Debug)]
pub struct Lock {
    _held: Option<File>,
}

/// Locks a directory, which is made where it is missing. Nothing is left in it: what is locked is the directory itself,
/// where the system can do that.
pub fn lock(directory: &Path) -> Result<Lock> {
    create_dir_all(directory)?;
    if cfg!(not(unix)) {
        return Ok(Lock { _held: None });
    }
    let held = File::open(directory).map_err(at("lock", directory))?;
    match held.lock() {
        Ok(()) => Ok(Lock { _held: Some(held) }),
        // Some network file systems.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Lock { _held: None }),
        Err(error) => Err(at("lock", directory)(error)),
    }
}

/// Makes a directory and those above it.
pub fn create_dir_all(path: &Path) -> Result<()> {
    let _unsignalled = temporary::unsignalled();
    fs::create_dir_all(path).map_err(at("create the directory", path))
}

/// Removes a file; an absent one is no error. Says whether there was one.
pub fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at("remove", path)(error)),
    }
}

/// Who may do what with an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whatever the process makes by default.
    Data,
    /// Executable by all who may read it.
    Executable,
    /// Readable and writable by the owner alone, from the first moment on.
    Secret,
    /// These permission bits, as far as the process gives any by default.
    Bits(u32),
}

/// A file that appears under its name only when [`AtomicFile::commit`] is called.
///
/// Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temporary: Temporary,
    file: Option<File>,
}

impl AtomicFile {
    /// Opens a temporary file beside `target`, whose directory is made where it is missing.
    pub fn create(target: &Path, mode: Mode) -> Result<Self> {
        let directory = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        create_dir_all(directory)?;
        // A file would take the place of what is there: of a file, and of nothing else.
        if let Some(what) = fs::metadata(target).ok().and_then(|metadata| no_file(&metadata)) {
            return Err(at("write", target)(io::Error::other(format!("it is {what}"))));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(match mode {
                Mode::Data => 0o666,
                Mode::Executable => 0o777,
                Mode::Secret => 0o600,
                Mode::Bits(bits) => bits & 0o777,
            });
        }
        #[cfg(not(unix))]
        let _ = mode;
        let created = Temporary::create(directory, &options);
        let (temporary, file) = created.map_err(at("write", target))?;
        Ok(Self { target: target.to_owned(), temporary, file: Some(file) })
    }

    /// The path it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the bytes are until then, for a look at them before they get their name.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Puts the finished file in its place, replacing what was there.
    pub fn commit(mut self) -> Result<()> {
        self.finish()?;
        fs::rename(self.temporary(), &self.target).map_err(at("write", &self.target))
    }

    /// Puts the finished file in another place of the same file system: where a file goes may depend on what is in it.
    pub fn commit_as(mut self, target: &Path) -> Result<()> {
        self.finish()?;
        if let Some(directory) = target.parent() {
            create_dir_all(directory)?;
        }
        fs::rename(self.temporary(), target).map_err(at("write", target))
    }

    /// Puts the finished file in its place unless something is there already.
    pub fn commit_new(mut self) -> Result<()> {
        self.finish()?;
        fs::hard_link(self.temporary(), &self.target).map_err(at("write", &self.target))?;
        fs::remove_file(self.temporary()).map_err(at("write", &self.target))
    }

    /// Closes the file, with all of it on the disk: what a full disk says, it says here at the latest.
    pub fn finish(&mut self) -> Result<()> {
        match self.file.take() {
            Some(file) => file.sync_all().map_err(at("write", &self.target)),
            None => Ok(()),
        }
    }
}

/// Its errors carry the path: what a full disk says comes out of streams that know nothing of files.
impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("already committed")),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, at("write", &self.target)(error)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

/// Writes a small file whole.
pub fn write(path: &Path, mode: Mode, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(bytes).map_err(at("write", path))?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_not_committed_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sub/out");
        write(&path, Mode::Data, b"old").expect("written");
        let mut file = AtomicFile::create(&path, Mode::Data).expect("created");
        file.write_all(b"half").expect("written");
        drop(file);
        assert_eq!(read(&path).expect("read"), b"old");
        assert_eq!(list(path.parent().expect("a parent")).expect("listed"), ["out"]);
    }

    #[test]
    fn what_a_killed_run_left_is_in_nobody_s_way() {
        let directory = tempfile::tempdir().expect("a directory");
        for count in 0..2000 {
            let left = format!(".xpost-{}-{count}.tmp", std::process::id());
            File::create(directory.path().join(left)).expect("created");
        }
        let path = directory.path().join("out");
        write(&path, Mode::Data, b"new").expect("written");
        assert_eq!(read(&path).expect("read"), b"new");
    }

    #[test]
    fn a_directory_is_no_input() {
        let error = read(Path::new(".")).expect_err("a directory");
        assert_eq!(error.source.to_string(), "it is a directory, not a file");
    }

    #[test]
    fn a_new_file_never_replaces_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        write(&path, Mode::Secret, b"first").expect("written");
        let file = AtomicFile::create(&path, Mode::Secret).expect("created");
        assert!(file.commit_new().is_err());
        assert_eq!(read(&path).expect("read"), b"first");
    }
}
