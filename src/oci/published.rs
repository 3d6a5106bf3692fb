//! What is published under a reference: which platforms there are, which files each has, and who signed them.
//!
//! A reference is resolved once; from then on everything goes by digest. Nothing that a registry says is believed: names
//! are checked to be a file's, and what is stated beyond them is a hint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Error;
use super::manifest::{Descriptor, Document, Manifest, Node, PlatformEntry, annotation, media};
use super::store::{self, Referrer, Store};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::release::title::{self, Paths};

/// More manifests in one index than this are not looked at: there are about 60 platforms in all.
const MAX_PLATFORMS: usize = 500;

/// The largest bundle that is read; one with 400 subjects has 60 KB.
const MAX_BUNDLE: u64 = 8 << 20;

/// More bundles of one manifest than this are not looked at.
const MAX_BUNDLES: usize = 200;

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
    /// A directory that oras packed; of its tar file the digest, where it is stated.
    Directory(Option<Digest>),
    /// Anything else.
    Other,
}

/// A file as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name: a plain file name, checked; of what is no release's also a path of these.
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

impl RemoteFile {
    /// Whether it is a directory, packed.
    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }

    /// Where it lies below a directory.
    pub(super) fn below(&self, directory: &Path) -> PathBuf {
        if self.title == "." { directory.to_owned() } else { directory.join(&self.title) }
    }
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
    bundles(store, store::referrers(store, manifest, Some(media::BUNDLE))?)
}

/// The Sigstore bundles among referrers.
pub(super) fn bundles(
    store: &dyn Store,
    referrers: impl IntoIterator<Item = Referrer>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut bundles = Vec::new();
    for referrer in referrers.into_iter().take(MAX_BUNDLES) {
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

pub(super) fn files_of(manifest: &Digest, document: &Manifest) -> Result<Vec<RemoteFile>, Error> {
    let mut files = Vec::new();
    for layer in &document.layers {
        let Some(title) = layer.annotations.get(annotation::TITLE) else { continue };
        let stated = |key: &str| layer.annotations.get(key);
        let content = match layer.media_type.as_str() {
            media::BINARY_ELF => Content::Binary,
            media::DEBUG_ELF => Content::Debug,
            media::DEBUG_DWP => Content::Dwp,
            _ if stated(annotation::UNPACK).is_some_and(|unpack| unpack == "true") => {
                let digest = stated(annotation::UNPACKED).map(|digest| digest.parse());
                Content::Directory(digest.transpose().map_err(|_| Error::Malformed {
                    what: layer.digest.to_string(),
                    reason: format!("its {} is no SHA-256", annotation::UNPACKED),
                })?)
            }
            _ => Content::Other,
        };
        // What others publish may lie in directories, as oras has it. Of a release everything lies side by side.
        let problem = match content {
            // The directory itself that is pulled into (`oras push REF .`).
            Content::Directory(_) if title == "." => None,
            Content::Other | Content::Directory(_) => title::path_problem(title),
            Content::Binary | Content::Debug | Content::Dwp => title::problem(title),
        };
        if let Some(reason) = problem {
            let (title, reason) = (title.clone(), reason.to_owned());
            return Err(Error::BadTitle { manifest: *manifest, title, reason });
        }
        files.push(RemoteFile {
            title: title.clone(),
            descriptor: layer.plain(),
            content,
            build_id: stated(annotation::BUILD_ID).and_then(|id| id.parse().ok()),
            load_digest: stated(annotation::LOAD_DIGEST).and_then(|digest| digest.parse().ok()),
        });
    }
    refuse_clashes(manifest, &files)?;
    Ok(files)
}

/// Refuses files that could not lie beside each other on every system. The same bytes under the same name are one.
pub(super) fn refuse_clashes(manifest: &Digest, files: &[RemoteFile]) -> Result<(), Error> {
    let (mut named, mut paths) = (BTreeMap::new(), Paths::default());
    for file in files {
        if named.insert(&file.title, &file.descriptor) == Some(&file.descriptor) {
            continue;
        }
        paths.file(&file.title).map_err(|reason| {
            let title = file.title.clone();
            Error::BadTitle { manifest: *manifest, title, reason }
        })?;
    }
    Ok(())
}
