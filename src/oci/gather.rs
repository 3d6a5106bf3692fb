//! Plans of more than one platform's binaries: a program by its build-id, and a whole release, laid out as the directory
//! that it was published from.

use std::path::Path;

use super::Error;
use super::graph::Graph;
use super::manifest::{Descriptor, Document, Node, PlatformEntry, annotation, media};
use super::published::{self, Content, PublishedPlatform, RemoteFile};
use super::pull::{Item, Place, Plan, TREE};
use super::reference::{Tag, Target};
use super::store::{self, Referrer, Store};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::release::{INDEX_BUNDLE, companion, title};

/// What a build-id led to.
#[derive(Debug, Clone)]
pub struct ByBuildId {
    /// The manifest of the debug file.
    pub debug: Node,
    /// The manifest of the binaries, where the debug file's says which it is and it is in this store.
    pub binary: Option<Node>,
}

impl ByBuildId {
    /// Looks for a build-id: under its tag, and where that is not there, which mirrors lose, around what the target names.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of the store.
    pub fn find(store: &dyn Store, id: &BuildId, target: &Target) -> Result<Self, Error> {
        let tagged = store.tagged(&Tag::build_id(id))?;
        let tagged = tagged
            .filter(|node| node.document().is_ok_and(|document| document.kind() == media::DEBUG));
        let debug = match tagged {
            Some(node) => node,
            None if *target == Target::default() => return Err(missing(store, id)),
            None => {
                let root = store::resolve(store, target)?;
                let graph = Graph::read(store, root)?;
                let of_id = graph.debug_files.into_iter().find(|debug| debug.build_id == *id);
                of_id.map(|debug| debug.node).ok_or_else(|| missing(store, id))?
            }
        };
        let document = debug.document()?;
        // Beside the binary it belongs to, or in a repository for debug files alone.
        let stated = document.annotations().get(annotation::BINARY);
        let subject = document.subject().map(|subject| subject.digest);
        let subject = subject.or_else(|| stated?.parse::<Digest>().ok());
        let binary = match subject {
            Some(digest) => store.manifest(&digest)?,
            None => None,
        };
        Ok(Self { debug, binary })
    }

    /// The debug file and the binary with this build-id, for a `.build-id` tree below `directory`.
    ///
    /// # Errors
    /// Those of the store, and names that cannot be a file's.
    pub fn plan(&self, store: &dyn Store, id: &BuildId, directory: &Path) -> Result<Plan, Error> {
        let tree = directory.join(TREE);
        let mut items = Vec::new();
        for manifest in std::iter::once(&self.debug).chain(&self.binary) {
            let files = published::files(store, &manifest.descriptor)?.into_iter();
            for file in files.filter(|file| file.build_id.as_ref() == Some(id)) {
                if file.content == Content::Dwp {
                    items.push(Item { file: file.clone(), place: Place::Named(tree.clone()) });
                }
                items.push(Item { file, place: Place::BuildId(tree.clone()) });
            }
        }
        Ok(Plan { items })
    }
}

fn missing(store: &dyn Store, id: &BuildId) -> Error {
    Error::NotFound { what: format!("debug file for the build-id {id}"), place: store.name() }
}

/// The name of a platform's directory in a release directory.
///
/// # Errors
/// [`Error::BadTitle`] for a platform whose words lead elsewhere.
pub fn directory(platform: &PublishedPlatform) -> Result<String, Error> {
    let entry = platform.platform.as_ref();
    let mut name = entry.map(PlatformEntry::to_string).unwrap_or_default().replace('/', "-");
    if platform.target.as_deref().is_some_and(|target| target.ends_with("-musl")) {
        name.push_str("-musl");
    }
    match title::problem(&name) {
        Some(reason) => {
            Err(Error::BadTitle { manifest: platform.descriptor.digest, title: name, reason })
        }
        None => Ok(name),
    }
}

/// Everything of one platform: binaries, debug files, SBOMs, and beside each binary the signature that `counts`.
///
/// # Errors
/// Those of the store, and names that cannot be a file's.
pub fn of_platform(
    store: &dyn Store,
    manifest: &Descriptor,
    into: &Path,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Plan, Error> {
    let binaries = published::files(store, manifest)?;
    let mut files = binaries.clone();
    for kind in [media::DEBUG, media::CYCLONEDX, media::SPDX] {
        files.extend(published::referred_files(store, &manifest.digest, kind)?);
    }
    // Only what a release directory has beside a binary; whoever may push may hang anything there.
    files.retain(|file| {
        let is_companion = |binary: &RemoteFile| {
            let rest = file.title.strip_prefix(&binary.title);
            rest.is_some_and(|rest| {
                ["", ".debug", ".dwp", ".cdx.json", ".spdx.json"].contains(&rest)
            })
        };
        binaries.iter().any(is_companion)
    });
    if let Some(bundle) = bundle(store, &manifest.digest, counts)? {
        files.extend(binaries.iter().map(|binary| RemoteFile {
            title: companion::bundle(&binary.title),
            ..bundle.clone()
        }));
    }
    published::refuse_twins(&manifest.digest, &files)?;
    let beside = |file: RemoteFile| Item { place: Place::Path(into.join(&file.title)), file };
    Ok(Plan { items: files.into_iter().map(beside).collect() })
}

/// The signature of the index that `counts`.
///
/// # Errors
/// Those of the store.
pub fn of_index(
    store: &dyn Store,
    index: &Digest,
    into: &Path,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Plan, Error> {
    let bundle = bundle(store, index, counts)?;
    let items = bundle.map(|file| Item { place: Place::Path(into.join(INDEX_BUNDLE)), file });
    Ok(Plan { items: items.into_iter().collect() })
}

fn bundle(
    store: &dyn Store,
    manifest: &Digest,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<RemoteFile>, Error> {
    for referrer in store::referrers(store, manifest, Some(media::BUNDLE))? {
        let counted = published::bundle_in(store, &referrer)?.is_some_and(|bundle| counts(&bundle));
        if let (true, Some(layer)) = (counted, only_layer(&referrer)) {
            return Ok(Some(RemoteFile {
                title: INDEX_BUNDLE.to_owned(),
                descriptor: layer.plain(),
                content: Content::Other,
                build_id: None,
                load_digest: None,
            }));
        }
    }
    Ok(None)
}

fn only_layer(referrer: &Referrer) -> Option<&Descriptor> {
    match &referrer.document {
        Document::Manifest(manifest) => manifest.layers.first(),
        Document::Index(_) => None,
    }
}
