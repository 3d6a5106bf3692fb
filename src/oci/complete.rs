//! What of a release is missing from where it is published.
//!
//! Cleaners that delete what has no tag take the platforms' manifests first, and mirrors leave behind what refers to them. The graph says
//! what is pointed at, listings say what was there, signatures say which files belong to it; what none of them
//! finds any more is [`Missing`].

use std::collections::BTreeSet;

use super::Error;
use super::at_once;
use super::graph::{Graph, Missing};
use super::kept::{self, DebugKept, KeptFile};
use super::manifest::{Descriptor, Document, Node, annotation, media};
use super::published;
use super::reference::Tag;
use super::store::{Referrer, Store};
use crate::digest::Digest;
use crate::release::companion;
use crate::sign;

/// What is there, and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// How many manifests are there.
    pub manifests: usize,
    /// How many blobs are there.
    pub blobs: usize,
    /// Debug files that are where they are said to be kept.
    pub debug_elsewhere: Vec<KeptFile>,
    /// Debug files that are signed, and said to be kept nowhere.
    pub debug_nowhere: Vec<KeptFile>,
    /// What is not.
    pub missing: Vec<Missing>,
    /// Tags of debug files that are not there: without them a debug file is found the long way round.
    pub missing_tags: Vec<String>,
}

impl Completeness {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.missing_tags.is_empty()
    }
}

/// Looks at everything around `root`, without fetching a blob but the signatures.
///
/// # Errors
/// Those of the store, and of the one that the debug files are kept in.
pub fn completeness(
    store: &dyn Store,
    root: Node,
    debug: DebugKept<'_>,
) -> Result<Completeness, Error> {
    let digest = root.descriptor.digest;
    let mut graph = Graph::read(store, root)?;
    let mut missing = std::mem::take(&mut graph.missing);
    let there = at_once::each(&graph.blobs, |blob| store.has_blob(&blob.descriptor))?;
    let lost = graph.blobs.iter().zip(&there).filter(|(_, there)| !**there);
    missing.extend(lost.map(|(blob, _)| Missing {
        what: format!("the blob of {}", blob.name),
        digest: blob.descriptor.digest,
        of: owner(&graph, blob.descriptor.digest).unwrap_or(digest),
    }));
    missing.append(&mut graph.gone);
    let Said { mut files, signed, unsigned } = said(store, &graph)?;
    missing.extend(unsigned);
    let (mut debug_elsewhere, mut debug_nowhere) = (Vec::new(), Vec::new());
    match debug {
        DebugKept::Here => {}
        DebugKept::Nowhere => {
            let left = files.extract_if(.., |file| companion::is_of_debugger(&file.name));
            debug_nowhere
                .extend(left.map(|file| KeptFile { name: file.name, digest: file.digest }));
        }
        DebugKept::In(other) => {
            let found = kept::debug_files(other, &graph)?;
            let is_there = |file: &&SignedFile| {
                found.files.iter().any(|of| of.name == file.name && of.digest == file.digest)
            };
            // Of what was signed anew one is enough.
            let whole: BTreeSet<_> =
                files.iter().filter(is_there).map(|file| (file.of, file.name.clone())).collect();
            files.retain(|file| !whole.contains(&(file.of, file.name.clone())));
            // Where no signature says which binaries have a debug file, all of them are to.
            missing.extend(found.none.into_iter().filter(|lost| !signed.contains(&lost.of)));
            debug_elsewhere = found.files;
        }
    }
    missing.extend(files.into_iter().map(SignedFile::missing));
    if let (DebugKept::In(other), true) =
        (debug, missing.is_empty() && debug_elsewhere.is_empty() && graph.debug_files.is_empty())
    {
        // Of an image nothing says which debug files it has, so nothing was looked for.
        let what = format!("any debug file of it in {}", other.name());
        missing.push(Missing { what, digest, of: digest });
    }
    let tags: BTreeSet<_> =
        graph.debug_files.iter().map(|debug| Tag::build_id(&debug.build_id)).collect();
    let tags: Vec<_> = tags.into_iter().collect();
    let tagged = at_once::each(&tags, |tag| Ok(store.tagged(tag)?.is_some()))?;
    let missing_tags = tags.iter().zip(tagged).filter(|(_, tagged)| !tagged);
    let missing_tags = missing_tags.map(|(tag, _)| tag.to_string()).collect();
    let blobs = there.iter().filter(|there| **there).count();
    let manifests = graph.nodes.len();
    Ok(Completeness { manifests, blobs, debug_elsewhere, debug_nowhere, missing, missing_tags })
}

/// The manifest that points at a blob.
fn owner(graph: &Graph<'_>, blob: Digest) -> Option<Digest> {
    let points = |node: &&Node| {
        matches!(node.document(), Ok(Document::Manifest(manifest)) if manifest.config.digest == blob
            || manifest.layers.iter().any(|layer| layer.digest == blob))
    };
    graph.nodes.iter().find(points).map(|node| node.descriptor.digest)
}

/// What signatures say of a release. Whose they are does not matter here: nobody is trusted.
#[derive(Default)]
struct Said {
    /// Files that one speaks of, and that are not there.
    files: Vec<SignedFile>,
    /// The manifests that have one.
    signed: BTreeSet<Digest>,
    /// The signatures of those that have none, although others have one.
    unsigned: Vec<Missing>,
}

/// A file that a signature speaks of.
struct SignedFile {
    name: String,
    digest: Digest,
    of: Digest,
}

impl SignedFile {
    fn missing(self) -> Missing {
        let Self { name, digest, of } = self;
        Missing { what: format!("the signed file {name}"), digest, of }
    }
}

fn said(store: &dyn Store, graph: &Graph<'_>) -> Result<Said, Error> {
    let mut said = Said::default();
    let Some(Document::Index(index)) = graph.root.as_ref().map(Node::document).transpose()? else {
        return Ok(said);
    };
    if index.artifact_type.as_deref() != Some(media::RELEASE) {
        return Ok(said);
    }
    let root = graph.root.iter().map(|root| (root.descriptor.plain(), "the index".to_owned()));
    let platforms = index.manifests.iter().map(|child| {
        let name = child.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        (child.clone(), name)
    });
    for (manifest, name) in root.chain(platforms) {
        if graph.node(&manifest.digest).is_none() {
            continue;
        }
        let bundles = published::bundles(store, signatures(graph, &manifest.digest))?;
        let coverages: Vec<_> =
            bundles.iter().filter_map(|bundle| sign::coverage(bundle).ok()).collect();
        if coverages.is_empty() {
            let (what, digest) = (format!("the signature of {name}"), manifest.digest);
            said.unsigned.push(Missing { what, digest, of: digest });
            continue;
        }
        said.signed.insert(manifest.digest);
        if Some(manifest.digest) == graph.root.as_ref().map(|root| root.descriptor.digest) {
            continue;
        }
        let there = files_around(graph, &manifest);
        let files = coverages.iter().flat_map(|coverage| coverage.files());
        for file in files.filter(|file| !there.contains(&(file.name.clone(), file.digest))) {
            // A newer signature may speak of a file that was made anew.
            let is_replaced = there.iter().any(|(name, _)| *name == file.name);
            if !is_replaced && !said.files.iter().any(|other| other.digest == file.digest) {
                let (name, digest, of) = (file.name.clone(), file.digest, manifest.digest);
                said.files.push(SignedFile { name, digest, of });
            }
        }
    }
    if said.signed.is_empty() {
        said.unsigned.clear();
    }
    Ok(said)
}

fn signatures(graph: &Graph<'_>, manifest: &Digest) -> impl Iterator<Item = Referrer> {
    let of = graph.referrers.iter().filter(move |edge| {
        edge.subject == *manifest && edge.referrer.artifact_type.as_deref() == Some(media::BUNDLE)
    });
    of.filter_map(|edge| {
        let node = graph.node(&edge.referrer.digest)?.clone();
        Some(Referrer { descriptor: edge.referrer.clone(), document: node.document().ok()?, node })
    })
}

/// The files of a manifest and of what refers to it, by name and digest.
fn files_around(graph: &Graph<'_>, manifest: &Descriptor) -> Vec<(String, Digest)> {
    let referrers = graph.referrers.iter().filter(|edge| edge.subject == manifest.digest);
    let digests =
        std::iter::once(manifest.digest).chain(referrers.map(|edge| edge.referrer.digest));
    let documents = digests.filter_map(|digest| graph.node(&digest)?.document().ok());
    let layers = documents.filter_map(|document| match document {
        Document::Manifest(manifest) => Some(manifest.layers),
        Document::Index(_) => None,
    });
    let named = layers.flatten().filter_map(|layer| {
        Some((layer.annotations.get(annotation::TITLE)?.clone(), layer.digest))
    });
    named.collect()
}
