//! Reads a release back from a store: which manifests there are, which files, and the files themselves.
//!
//! A reference is resolved once; from then on everything goes by digest. [`Plan`] says what would be fetched and
//! where it would go, so a caller can verify signatures and hold every file against them before a byte is written;
//! [`Plan::fetch`] then writes all files or none. Nothing that a registry says is believed: names are checked to stay in
//! their directory, bytes are checked against their digests, and a debug file goes where its own build-id note says.

use std::path::{Path, PathBuf};

use super::Error;
use super::at_once;
use super::manifest::{Descriptor, Document, Manifest, Node, PlatformEntry, annotation, media};
use super::push::{Event, Observer};
use super::store::{self, Referrer, State, Store};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs::{self, AtomicFile, Mode, NewDirs};
use crate::release::{companion, title};

/// More manifests in one index than this are not looked at: there are about 60 platforms in all.
const MAX_PLATFORMS: usize = 500;

/// The largest bundle that is read; one with 400 subjects has 60 KB.
const MAX_BUNDLE: u64 = 8 << 20;

/// More bundles of one manifest than this are not looked at.
const MAX_BUNDLES: usize = 200;

/// Where debug files go, below the directory of the binaries.
pub(super) const TREE: &str = "debug";

/// What a reference turned out to be.
#[derive(Debug, Clone)]
pub struct Published {
    /// The index, or the manifest of one platform where the reference names that.
    pub root: Node,
    /// The annotations of the root.
    pub annotations: super::manifest::Annotations,
    /// Its platforms, in its order.
    pub platforms: Vec<PublishedPlatform>,
}

/// One platform of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPlatform {
    /// As the index states it; `None` where the reference named the manifest itself.
    pub platform: Option<PlatformEntry>,
    /// The target triple, where it is stated.
    pub target: Option<String>,
    /// The manifest.
    pub descriptor: Descriptor,
}

impl Published {
    /// Looks a node over, as it was resolved.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a document that is none or has too many entries.
    pub fn of(root: Node) -> Result<Self, Error> {
        let document = root.document()?;
        let annotations = document.annotations().clone();
        let platforms = match &document {
            Document::Manifest(_) => {
                vec![PublishedPlatform {
                    platform: None,
                    target: None,
                    descriptor: root.descriptor.plain(),
                }]
            }
            Document::Index(index) if index.manifests.len() > MAX_PLATFORMS => {
                let reason = format!("{} manifests in one index", index.manifests.len());
                return Err(Error::Malformed { what: root.descriptor.digest.to_string(), reason });
            }
            Document::Index(index) => index.manifests.iter().map(PublishedPlatform::of).collect(),
        };
        Ok(Self { root, annotations, platforms })
    }

    /// Whether the reference named an index, and not the manifest of one platform.
    pub fn is_index(&self) -> bool {
        matches!(self.root.document(), Ok(Document::Index(_)))
    }

    /// The platform that is asked for: a variant counts only where it is named.
    ///
    /// # Errors
    /// [`Error::NoPlatform`], with those there are.
    pub fn platform(&self, wanted: &PlatformEntry) -> Result<&PublishedPlatform, Error> {
        let fits = |entry: &&PublishedPlatform| {
            entry.platform.as_ref().is_none_or(|platform| wanted.fits(platform))
        };
        // What is asked for without a variant is best answered by a build without one, which runs everywhere.
        let plain = |entry: &&PublishedPlatform| {
            entry.platform.as_ref().is_none_or(|platform| platform.variant == wanted.variant)
        };
        let mut fitting = self.platforms.iter().filter(fits);
        let found = fitting.clone().find(plain).or_else(|| fitting.next());
        found.ok_or_else(|| self.nothing_for(wanted.to_string(), PublishedPlatform::to_string))
    }

    /// The build for a target triple, where a platform has several.
    ///
    /// # Errors
    /// [`Error::NoPlatform`], with those there are.
    pub fn target(&self, wanted: &str) -> Result<&PublishedPlatform, Error> {
        let found = self.platforms.iter().find(|entry| entry.target.as_deref() == Some(wanted));
        let name =
            |entry: &PublishedPlatform| entry.target.clone().unwrap_or_else(|| entry.to_string());
        found.ok_or_else(|| self.nothing_for(wanted.to_owned(), name))
    }

    fn nothing_for(&self, wanted: String, name: impl Fn(&PublishedPlatform) -> String) -> Error {
        Error::NoPlatform { wanted, available: self.platforms.iter().map(name).collect() }
    }
}

impl PublishedPlatform {
    fn of(entry: &Descriptor) -> Self {
        Self {
            platform: entry.platform.clone(),
            target: entry.annotations.get(annotation::TARGET).cloned(),
            descriptor: entry.plain(),
        }
    }
}

impl std::fmt::Display for PublishedPlatform {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.platform {
            Some(platform) => platform.fmt(out),
            None => self.descriptor.digest.fmt(out),
        }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A program.
    Binary,
    /// A debug file.
    Debug,
    /// What split DWARF leaves out of it.
    Dwp,
    /// Anything else.
    Other,
}

/// A file as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name: a plain file name, checked.
    pub title: String,
    /// Type, digest and size.
    pub descriptor: Descriptor,
    /// What it is.
    pub content: Content,
    /// The build-id that the registry states: a hint.
    pub build_id: Option<BuildId>,
    /// The program that the registry says it belongs to: a hint.
    pub load_digest: Option<Digest>,
}

/// The files of a manifest, in its order.
///
/// # Errors
/// [`Error::BadTitle`] for a layer whose name cannot be a file's, or that has another's name.
pub fn files(store: &dyn Store, manifest: &Descriptor) -> Result<Vec<RemoteFile>, Error> {
    match store::load(store, manifest)?.document()? {
        Document::Manifest(document) => files_of(&manifest.digest, &document),
        Document::Index(_) => Err(Error::Malformed {
            what: manifest.digest.to_string(),
            reason: "an index, where the manifest of a platform should be".to_owned(),
        }),
    }
}

/// The files that refer to a manifest, of one artifact type: debug files, SBOMs. They are what anybody who may
/// push says they are; only a signature tells whose.
///
/// # Errors
/// Those of the store and [`Error::BadTitle`].
pub fn referred_files(
    store: &dyn Store,
    manifest: &Digest,
    kind: &str,
) -> Result<Vec<RemoteFile>, Error> {
    let mut found = Vec::new();
    for referrer in store::referrers(store, manifest, Some(kind))? {
        found.extend(files_in(&referrer)?);
    }
    Ok(found)
}

/// The files of one referrer.
///
/// # Errors
/// [`Error::BadTitle`].
pub fn files_in(referrer: &Referrer) -> Result<Vec<RemoteFile>, Error> {
    match &referrer.document {
        Document::Manifest(document) => files_of(&referrer.descriptor.digest, document),
        Document::Index(_) => Ok(Vec::new()),
    }
}

/// The Sigstore bundles of a manifest, as they were published. Those that cannot be one are passed over: a
/// broken bundle proves nothing and takes nothing away.
///
/// # Errors
/// Those of the store.
pub fn signatures(store: &dyn Store, manifest: &Digest) -> Result<Vec<Vec<u8>>, Error> {
    let mut bundles = Vec::new();
    for referrer in
        store::referrers(store, manifest, Some(media::BUNDLE))?.into_iter().take(MAX_BUNDLES)
    {
        bundles.extend(bundle_in(store, &referrer)?);
    }
    Ok(bundles)
}

/// The Sigstore bundle that a referrer holds; nothing where it cannot be one.
///
/// # Errors
/// Those of the store.
pub fn bundle_in(store: &dyn Store, referrer: &Referrer) -> Result<Option<Vec<u8>>, Error> {
    let Document::Manifest(document) = &referrer.document else { return Ok(None) };
    let [layer] = document.layers.as_slice() else { return Ok(None) };
    if document.kind() != media::BUNDLE || layer.media_type != media::BUNDLE {
        return Ok(None);
    }
    match store::small_blob(store, layer, MAX_BUNDLE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), super::Kind::Damaged | super::Kind::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn files_of(manifest: &Digest, document: &Manifest) -> Result<Vec<RemoteFile>, Error> {
    let mut files = Vec::new();
    for layer in &document.layers {
        let Some(title) = layer.annotations.get(annotation::TITLE) else { continue };
        if let Some(reason) = title::problem(title) {
            return Err(Error::BadTitle { manifest: *manifest, title: title.clone(), reason });
        }
        let stated = |key: &str| layer.annotations.get(key);
        files.push(RemoteFile {
            title: title.clone(),
            descriptor: layer.plain(),
            content: match layer.media_type.as_str() {
                media::BINARY_ELF => Content::Binary,
                media::DEBUG_ELF => Content::Debug,
                media::DEBUG_DWP => Content::Dwp,
                _ => Content::Other,
            },
            build_id: stated(annotation::BUILD_ID).and_then(|id| id.parse().ok()),
            load_digest: stated(annotation::LOAD_DIGEST).and_then(|digest| digest.parse().ok()),
        });
    }
    refuse_twins(manifest, &files)?;
    Ok(files)
}

pub(super) fn refuse_twins(manifest: &Digest, files: &[RemoteFile]) -> Result<(), Error> {
    let mut rest = files.iter();
    while let Some(file) = rest.next() {
        let twin = rest.clone().find(|other| other.title == file.title);
        if twin.is_some_and(|twin| twin.descriptor != file.descriptor) {
            let (title, reason) = (file.title.clone(), "two files have it");
            return Err(Error::BadTitle { manifest: *manifest, title, reason });
        }
    }
    Ok(())
}

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

impl Place {
    /// Where the bytes lie until they are checked.
    fn beside(&self, title: &str) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            // Where the tree will be is known only afterwards; beside it is the same file system.
            Self::BuildId(tree) | Self::Named(tree) => tree.with_file_name(title),
        }
    }
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
        let beside =
            |file: RemoteFile| Item { place: Place::Path(directory.join(&file.title)), file };
        let in_tree = |file: RemoteFile| match file.build_id {
            Some(_) => Item { file, place: Place::BuildId(directory.join(TREE)) },
            None => beside(file),
        };
        let mut items: Vec<Item> = binaries.iter().cloned().map(beside).collect();
        if extent == Extent::Debug {
            let mut debug = referred_files(store, &manifest.digest, media::DEBUG)?;
            // Whoever may push may hang anything there: only debug files come along, and none takes a binary's place.
            let is_dwp = |file: &RemoteFile| {
                file.content == Content::Dwp
                    && binaries.iter().any(|binary| companion::dwp(&binary.title) == file.title)
            };
            debug.retain(|file| (file.content == Content::Debug || is_dwp(file)) && accept(file));
            refuse_twins(&manifest.digest, &[binaries.as_slice(), &debug].concat())?;
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
                matches!(item.place, Place::Path(_)) && item.file.title.eq_ignore_ascii_case(TREE)
            };
            if let Some(Item { file, .. }) = items.iter().find(in_the_way) {
                let (title, reason) =
                    (file.title.clone(), "debug files go into a directory of that name");
                return Err(Error::BadTitle { manifest: manifest.digest, title, reason });
            }
        }
        Ok(Self { items })
    }

    /// Whether no item before it is of the same bytes.
    fn is_first(&self, item: &Item) -> bool {
        let same = |other: &&Item| other.file.descriptor == item.file.descriptor;
        self.items.iter().find(same).is_some_and(|first| std::ptr::eq(first, item))
    }

    /// Fetches all files; each appears under its name only when all have been read, checked and inspected.
    ///
    /// # Errors
    /// Those of the store and of writing; [`Error::Rejected`] where `inspect` says no, or where a file without
    /// build-id, or with another one than stated, was to go into a `.build-id` tree.
    pub fn fetch(
        &self,
        store: &dyn Store,
        inspect: &Inspect<'_>,
        observer: &Observer<'_>,
    ) -> Result<Vec<Fetched>, Error> {
        let mut made = NewDirs::default();
        for item in &self.items {
            made.above(&item.place.beside(&item.file.title));
        }
        // From here a failure drops the files first, and then the directories that are empty.
        let firsts: Vec<&Item> = self.items.iter().filter(|item| self.is_first(item)).collect();
        let fetched = at_once::each(&firsts, |item| fetch_one(store, item, observer))?;
        let mut fetched = fetched.into_iter();
        let mut ready: Vec<(AtomicFile, Fetched)> = Vec::new();
        for item @ Item { file, place } in &self.items {
            let twin = ready.iter().find(|(_, other)| other.file.descriptor == file.descriptor);
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
                    Content::Binary | Content::Other => id.executable_path(),
                }),
                (Place::Named(tree), Some(id)) => {
                    tree.join(id.executable_path()).with_file_name(&file.title)
                }
                (Place::BuildId(_) | Place::Named(_), None) => {
                    let reason = "it has no build-id note".to_owned();
                    return Err(Error::Rejected { title: file.title.clone(), reason });
                }
            };
            let same_place = |(_, other): &&(AtomicFile, Fetched)| other.path == path;
            if let Some((_, other)) = ready.iter().find(same_place)
                && other.file.descriptor.digest != file.descriptor.digest
            {
                let reason =
                    format!("{} is for the same place, {}", other.file.title, path.display());
                return Err(Error::Rejected { title: file.title.clone(), reason });
            }
            ready.push((temporary, Fetched { path, file: file.clone(), build_id }));
        }
        // From here nothing is asked of the store: all that is left are renames.
        let mut fetched = Vec::new();
        for (temporary, done) in ready {
            temporary.commit_as(&done.path)?;
            fetched.push(done);
        }
        Ok(fetched)
    }
}

impl Item {
    fn temporary(&self) -> Result<AtomicFile, Error> {
        let mode = if self.file.content == Content::Binary { Mode::Executable } else { Mode::Data };
        Ok(AtomicFile::create(&self.place.beside(&self.file.title), mode)?)
    }
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
