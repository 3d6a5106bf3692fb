//! Files of a release come out of a store: which go where, and then the files themselves.
//!
//! [`Plan`] says what would be fetched and where it would go, so a caller can verify signatures and hold every file
//! against them before a byte is written; [`Plan::fetch`] then writes all files or none. Bytes are checked against their
//! digests, and a debug file goes where its own build-id note says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Error;
use super::at_once;
use super::brought::{Brought, Fetched};
use super::manifest::{Descriptor, media};
use super::published::{Content, RemoteFile, files, referred_files, refuse_clashes};
use super::push::{Event, Observer};
use super::store::{self, State, Store};
use super::unpack;
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs::{self, AtomicFile, Mode, NewDirs};
use crate::release::companion;
use crate::release::title::Paths;

/// Where debug files go, below the directory of the binaries.
pub(super) const TREE: &str = "debug";

/// Which files go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are fetched.
    pub items: Vec<Item>,
}

/// One file and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The file.
    pub file: RemoteFile,
    /// Where it goes.
    pub place: Place,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// To this path.
    Path(PathBuf),
    /// Into `.build-id` below this directory, under the id that the file itself has (a `.dwp`: its debug file).
    BuildId(PathBuf),
    /// Beside that, under its own name.
    Named(PathBuf),
}

/// What a plan covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The binaries.
    Binaries,
    /// And what a debugger wants: `debug/.build-id/xx/yyyy.debug`, and the binary itself as `…/yyyy`, by which gdb
    /// finds the program of a core; with split DWARF the `.dwp`, as `…/yyyy.dwp` and under the program's name.
    Debug,
}

/// The caller's look at a file before it gets its name: the build-id of its note, or why it is refused.
pub type Inspect<'a> = dyn Fn(&RemoteFile, &Path) -> Result<Option<BuildId>, String> + 'a;

impl Plan {
    /// What to fetch of a platform's manifest into `directory`: its binaries, and on request the debug files that
    /// `accept` takes. A debug file goes into `directory`/debug, where gdb finds it by build-id, together with the
    /// binary; without a build-id it goes beside the binary, where its debuglink finds it.
    ///
    /// # Errors
    /// Those of the store, and those of [`files`].
    pub fn new(
        store: &dyn Store,
        manifest: &Descriptor,
        directory: &Path,
        extent: Extent,
        accept: &dyn Fn(&RemoteFile) -> bool,
    ) -> Result<Self, Error> {
        let binaries = files(store, manifest)?;
        let beside = |file: RemoteFile| Item { place: Place::Path(file.below(directory)), file };
        let in_tree = |file: RemoteFile| match file.build_id {
            Some(_) => Item { file, place: Place::BuildId(directory.join(TREE)) },
            None => beside(file),
        };
        let mut items: Vec<Item> = binaries.iter().cloned().map(beside).collect();
        if extent == Extent::Debug {
            let mut debug = referred_files(store, &manifest.digest, media::DEBUG)?;
            // Whoever may push may hang anything there: only debug files come along, and none takes a binary's place.
            let dwps: BTreeSet<String> =
                binaries.iter().map(|binary| companion::dwp(&binary.title)).collect();
            let is_dwp =
                |file: &RemoteFile| file.content == Content::Dwp && dwps.contains(&file.title);
            debug.retain(|file| (file.content == Content::Debug || is_dwp(file)) && accept(file));
            refuse_clashes(&manifest.digest, &[binaries.as_slice(), &debug].concat())?;
            items.extend(binaries.into_iter().filter(|file| file.build_id.is_some()).map(in_tree));
            // gdb looks for a .dwp under the name of the program that it was given, and for a core alone that is the id.
            let named = debug.iter().filter(|file| file.content == Content::Dwp);
            let named = named.filter(|file| file.build_id.is_some());
            let place = Place::Named(directory.join(TREE));
            let named: Vec<_> =
                named.map(|file| Item { file: file.clone(), place: place.clone() }).collect();
            items.extend(debug.into_iter().map(in_tree));
            items.extend(named);
            let in_the_way = |item: &&Item| {
                let first = item.file.title.split('/').next().unwrap_or_default();
                matches!(item.place, Place::Path(_))
                    && (first.eq_ignore_ascii_case(TREE)
                        || item.file.is_directory() && first == ".")
            };
            if let Some(Item { file, .. }) = items.iter().find(in_the_way) {
                let (title, reason) =
                    (file.title.clone(), "debug files go into a directory of that name".to_owned());
                return Err(Error::BadTitle { manifest: manifest.digest, title, reason });
            }
        }
        Ok(Self { items })
    }

    /// Fetches all files; each appears under its name only when all have been read, checked and inspected.
    ///
    /// # Errors
    /// Those of [`Plan::bring`] and [`Brought::commit`].
    pub fn fetch(
        &self,
        store: &dyn Store,
        inspect: &Inspect<'_>,
        observer: &Observer<'_>,
    ) -> Result<Vec<Fetched>, Error> {
        self.bring(store, inspect, observer)?.commit()
    }

    /// Fetches all files, reads, checks and inspects them; none has its name yet.
    ///
    /// # Errors
    /// Those of the store and of writing; [`Error::Rejected`] where `inspect` says no, or where a file without
    /// build-id, or with another one than stated, was to go into a `.build-id` tree.
    pub fn bring(
        &self,
        store: &dyn Store,
        inspect: &Inspect<'_>,
        observer: &Observer<'_>,
    ) -> Result<Brought, Error> {
        let mut made = NewDirs::default();
        for item in &self.items {
            fs::refuse_links(&item.beside(), item.depth())?;
            made.above(&item.beside());
        }
        // From here a failure drops the files first, and then the directories that are empty.
        let mut seen = BTreeSet::new();
        let firsts: Vec<&Item> =
            self.items.iter().filter(|item| seen.insert(contents(&item.file))).collect();
        let fetched = at_once::each(&firsts, |item| {
            store::without_mirror(|| fetch_one(store, item, observer))
        })?;
        let mut fetched = fetched.into_iter();
        let mut ready: Vec<(AtomicFile, Fetched)> = Vec::new();
        // Where in it a file of these bytes is, and one for this place: a manifest may name some ten thousand.
        let (mut by_contents, mut by_path) = (BTreeMap::new(), BTreeMap::new());
        for item @ Item { file, place } in &self.items {
            let twin = by_contents.get(&contents(file)).and_then(|twin: &usize| ready.get(*twin));
            let temporary = match twin {
                Some((twin, _)) => copy_of(twin.temporary(), item)?,
                None => fetched.next().ok_or_else(|| Error::NotFound {
                    what: file.descriptor.digest.to_string(),
                    place: store.name(),
                })?,
            };
            let build_id = look(item, temporary.temporary(), inspect)?;
            let path = match (place, id_of(file, build_id.as_ref(), &ready)) {
                (Place::Path(path), _) => path.clone(),
                (Place::BuildId(tree), Some(id)) => tree.join(match file.content {
                    Content::Debug => id.debug_path(),
                    Content::Dwp => id.executable_path().with_extension("dwp"),
                    Content::Binary | Content::Other | Content::Directory(_) => {
                        id.executable_path()
                    }
                }),
                (Place::Named(tree), Some(id)) => {
                    tree.join(id.executable_path()).with_file_name(&file.title)
                }
                (Place::BuildId(_) | Place::Named(_), None) => {
                    let reason = "it has no build-id note".to_owned();
                    return Err(Error::Rejected { title: file.title.clone(), reason });
                }
            };
            let same_place = by_path.get(&path).and_then(|other: &usize| ready.get(*other));
            if let Some((_, other)) = same_place
                && other.file.descriptor.digest != file.descriptor.digest
            {
                let reason =
                    format!("{} is for the same place, {}", other.file.title, path.display());
                return Err(Error::Rejected { title: file.title.clone(), reason });
            }
            by_contents.entry(contents(file)).or_insert(ready.len());
            by_path.entry(path.clone()).or_insert(ready.len());
            ready.push((temporary, Fetched { path, file: file.clone(), build_id }));
        }
        let (mut brought, mut paths) = (Brought::default(), Paths::default());
        for (_, done) in ready.iter().filter(|(_, done)| !done.file.is_directory()) {
            // Those that could not lie together were refused; what a tree has once more has been here.
            let _ = paths.file(&done.file.title);
        }
        for (temporary, done) in ready {
            match done.file.content {
                Content::Directory(stated) => {
                    let packed = temporary.temporary();
                    unpack::unpack(packed, &done, stated, &mut paths, &mut made, &mut brought)?;
                }
                _ => brought.ready.push((temporary, done)),
            }
        }
        Ok(Brought { made, ..brought })
    }
}

impl Item {
    /// Where the bytes lie until they are checked.
    fn beside(&self) -> PathBuf {
        match &self.place {
            // What is in it goes there.
            Place::Path(path) if self.file.is_directory() => path.join(".packed"),
            Place::Path(path) => path.clone(),
            // Where the tree will be is known only afterwards; beside it is the same file system.
            Place::BuildId(tree) | Place::Named(tree) => tree.with_file_name(&self.file.title),
        }
    }

    /// How many of the directories above that come from outside.
    fn depth(&self) -> usize {
        let of_title = self.file.title.matches('/').count();
        of_title + usize::from(self.file.is_directory() && self.file.title != ".")
    }

    fn temporary(&self) -> Result<AtomicFile, Error> {
        let mode = match self.file.content {
            Content::Binary => Mode::Executable,
            // What is private in it is not to be read in it.
            Content::Directory(_) => Mode::Secret,
            Content::Debug | Content::Dwp | Content::Other => Mode::Data,
        };
        Ok(AtomicFile::create(&self.beside(), mode)?)
    }
}

/// Which bytes a file has.
fn contents(file: &RemoteFile) -> (Digest, u64) {
    (file.descriptor.digest, file.descriptor.size)
}

/// The id under which a file goes into a tree: that of its own note, or for a `.dwp`, which has none, of the debug file that
/// it completes.
fn id_of(
    file: &RemoteFile,
    own: Option<&BuildId>,
    ready: &[(AtomicFile, Fetched)],
) -> Option<BuildId> {
    if file.content != Content::Dwp {
        return own.cloned();
    }
    let program = file.title.strip_suffix(companion::dwp("").as_str())?;
    let debug = companion::debug(program);
    ready.iter().find(|(_, other)| other.file.title == debug)?.1.build_id.clone()
}

fn fetch_one(store: &dyn Store, item: &Item, observer: &Observer<'_>) -> Result<AtomicFile, Error> {
    let blob = &item.file.descriptor;
    let (digest, name) = (blob.digest, item.file.title.as_str());
    let mut temporary = item.temporary()?;
    observer(Event::Begin { digest, name, size: blob.size });
    store::fetch(store, blob, &mut temporary, &|bytes| observer(Event::Passed { digest, bytes }))?;
    // Closed: a release has more files than a process may have open.
    temporary.finish()?;
    observer(Event::End { digest, name, state: State::Uploaded });
    Ok(temporary)
}

/// The same bytes for another place.
fn copy_of(twin: &Path, item: &Item) -> Result<AtomicFile, Error> {
    let mut temporary = item.temporary()?;
    let copied = std::io::copy(&mut fs::open(twin)?.0, &mut temporary);
    copied.map_err(fs::at("write", temporary.target()))?;
    temporary.finish()?;
    Ok(temporary)
}

/// The build-id in the file's own note, which has to be the one that is stated where the place depends on it.
fn look(item: &Item, at: &Path, inspect: &Inspect<'_>) -> Result<Option<BuildId>, Error> {
    let reject = |reason| Error::Rejected { title: item.file.title.clone(), reason };
    let build_id = inspect(&item.file, at).map_err(reject)?;
    if let (Some(stated), Place::BuildId(_), Some(own)) =
        (&item.file.build_id, &item.place, &build_id)
        && own != stated
    {
        return Err(reject(format!("its build-id is {own}, the registry says {stated}")));
    }
    Ok(build_id)
}
