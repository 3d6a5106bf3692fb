//! A build-id → the debug file, and the binary it belongs to.
//!
//! The tag of a build-id makes it one request. Mirrors and cleaners lose such tags; then the binaries say which id they have,
//! and what refers to them is looked at: around what the caller names, or around everything that has a tag.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::at_once;
use super::manifest::{Annotations, Descriptor, Document, Node, annotation, media};
use super::published::{self, Content};
use super::pull::{Item, Place, Plan, TREE};
use super::reference::{Tag, Target};
use super::store::{self, Store};
use crate::build_id::BuildId;
use crate::digest::Digest;

/// So many tags are looked at before it is given up: at four requests a release and four at once, that is a minute with
/// a registry far away.
const MAX_TAGS: usize = 1024;

/// So many between two looks at whether it was found.
const CHUNK: usize = 32;

/// What a build-id led to.
#[derive(Debug, Clone)]
pub struct ByBuildId {
    /// The manifest of the debug file.
    pub debug: Node,
    /// The manifest of the binaries, where the debug file's says which it is and it is in this store.
    pub binary: Option<Node>,
    /// What it was found around, where it was looked for around everything.
    pub around: Option<Target>,
}

impl ByBuildId {
    /// Looks for a build-id: under its tag, and where that is not there around what the target names; around everything
    /// where it names nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of the store.
    pub fn find(store: &dyn Store, id: &BuildId, target: &Target) -> Result<Self, Error> {
        let tagged = store.tagged(&Tag::build_id(id))?;
        let tagged = tagged
            .filter(|node| node.document().is_ok_and(|document| document.kind() == media::DEBUG));
        let (found, around) = match tagged {
            Some(node) => (Some(node), None),
            None if *target == Target::default() => anywhere(store, id)?.unzip(),
            None => (look_around(store, &store::resolve(store, target)?, id, &|_| true)?, None),
        };
        let missing = || Error::NotFound {
            what: format!("debug file for the build-id {id}"),
            place: store.name(),
        };
        let debug = found.ok_or_else(missing)?;
        let document = debug.document()?;
        // Beside the binary it belongs to, or in a repository for debug files alone.
        let stated = document.annotations().get(annotation::BINARY);
        let subject = document.subject().map(|subject| subject.digest);
        let subject = subject.or_else(|| stated?.parse::<Digest>().ok());
        let binary = match subject {
            Some(digest) => store.manifest(&digest)?,
            None => None,
        };
        Ok(Self { debug, binary, around })
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

/// Looks around everything that has a tag, and in a layout around what has none.
fn anywhere(store: &dyn Store, id: &BuildId) -> Result<Option<(Node, Target)>, Error> {
    let tags = match store.tags() {
        Err(Error::Many { .. }) => return Ok(None),
        tags => tags?,
    };
    let tags = tags.into_iter().filter(|tag| !tag.is_derived()).map(Target::tag);
    let untagged = store.untagged()?.into_iter().map(|entry| Target::digest(entry.digest));
    let places: Vec<Target> = tags.chain(untagged).take(MAX_TAGS).collect();
    let seen = Mutex::new(BTreeSet::new());
    let is_new = |digest| seen.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    for some in places.chunks(CHUNK) {
        let found = at_once::each(some, |target| match store::resolve(store, target) {
            Err(Error::NotFound { .. }) => Ok(None),
            root => look_around(store, &root?, id, &is_new),
        })?;
        let mut found = found.into_iter().zip(some);
        if let Some((Some(node), target)) = found.find(|(node, _)| node.is_some()) {
            return Ok(Some((node, target.clone())));
        }
    }
    Ok(None)
}

/// The manifest of the debug file with this id, if it is `root`, or belongs to it or to a manifest in it that `is_new`.
fn look_around(
    store: &dyn Store,
    root: &Node,
    id: &BuildId,
    is_new: &(dyn Fn(Digest) -> bool + Sync),
) -> Result<Option<Node>, Error> {
    let id = id.to_string();
    let has = |annotations: &Annotations| annotations.get(annotation::BUILD_ID) == Some(&id);
    let manifests = match root.document() {
        Ok(Document::Manifest(own)) if own.kind() == media::DEBUG && has(&own.annotations) => {
            return Ok(Some(root.clone()));
        }
        Ok(Document::Manifest(_)) => vec![root.descriptor.plain()],
        Ok(Document::Index(index)) => index.manifests,
        Err(_) => Vec::new(),
    };
    let single = |of: &Descriptor| of.is_manifest() && !of.is_index() && is_new(of.digest);
    for Descriptor { digest, .. } in manifests.into_iter().filter(single) {
        let Some(node) = store.manifest(&digest)? else { continue };
        let Ok(Document::Manifest(manifest)) = node.document() else { continue };
        // Binaries say which id they have; of an image only what refers to it does.
        let says = manifest.layers.iter().any(|layer| has(&layer.annotations));
        if manifest.kind() == media::BINARY && !says {
            continue;
        }
        let debug = store::referrers(store, &digest, Some(media::DEBUG))?;
        if let Some(found) = debug.into_iter().find(|of| has(&of.descriptor.annotations)) {
            return Ok(Some(found.node));
        }
    }
    Ok(None)
}
