//! What of a release is missing from where it is published.
//!
//! Cleaners that delete what has no tag take the platforms' manifests first, and mirrors leave behind what refers to them. The graph says
//! what is pointed at, listings say what was there, signatures say which files belong to it; what none of them
//! finds any more is [`Missing`].

use std::collections::BTreeSet;

use super::Error;
use super::at_once;
use super::graph::{Graph, Missing};
use super::manifest::{Descriptor, Document, Node, annotation, media};
use super::published;
use super::reference::Tag;
use super::store::{Referrer, Store};
use crate::digest::Digest;
use crate::sign;

/// What is there, and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// How many manifests are there.
    pub manifests: usize,
    /// How many blobs are there.
    pub blobs: usize,
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
/// Those of the store.
pub fn completeness(store: &dyn Store, root: Node) -> Result<Completeness, Error> {
    let digest = root.descriptor.digest;
    let mut graph = Graph::read(store, root)?;
    let mut missing = std::mem::take(&mut graph.missing);
    let there = at_once::each(&graph.blobs, |blob| store.has_blob(&blob.descriptor))?;
    let lost = graph.blobs.iter().zip(&there).filter(|(_, there)| !**there);
    missing.extend(lost.map(|(blob, _)| Missing {
        what: format!("the contents of {}", blob.name),
        digest: blob.descriptor.digest,
        of: owner(&graph, blob.descriptor.digest).unwrap_or(digest),
    }));
    missing.append(&mut graph.gone);
    missing.extend(signed_and_gone(store, &graph)?);
    let tags: BTreeSet<_> =
        graph.debug_files.iter().map(|debug| Tag::build_id(&debug.build_id)).collect();
    let tags: Vec<_> = tags.into_iter().collect();
    let tagged = at_once::each(&tags, |tag| Ok(store.tagged(tag)?.is_some()))?;
    let missing_tags = tags.iter().zip(tagged).filter(|(_, tagged)| !tagged);
    let missing_tags = missing_tags.map(|(tag, _)| tag.to_string()).collect();
    let blobs = there.iter().filter(|there| **there).count();
    Ok(Completeness { manifests: graph.nodes.len(), blobs, missing, missing_tags })
}

/// The manifest that points at a blob.
fn owner(graph: &Graph<'_>, blob: Digest) -> Option<Digest> {
    let points = |node: &&Node| {
        matches!(node.document(), Ok(Document::Manifest(manifest)) if manifest.config.digest == blob
            || manifest.layers.iter().any(|layer| layer.digest == blob))
    };
    graph.nodes.iter().find(points).map(|node| node.descriptor.digest)
}

/// Files that a signature speaks of, and manifests that have none although others have one. Whose signature it is does
/// not matter here: nobody is trusted.
fn signed_and_gone(store: &dyn Store, graph: &Graph<'_>) -> Result<Vec<Missing>, Error> {
    let Some(Document::Index(index)) = graph.root.as_ref().map(Node::document).transpose()? else {
        return Ok(Vec::new());
    };
    if index.artifact_type.as_deref() != Some(media::RELEASE) {
        return Ok(Vec::new());
    }
    let root = graph.root.iter().map(|root| (root.descriptor.plain(), "the index".to_owned()));
    let platforms = index.manifests.iter().map(|child| {
        let name = child.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        (child.clone(), name)
    });
    let mut found = Vec::new();
    let (mut signed, mut unsigned) = (false, Vec::new());
    for (manifest, name) in root.chain(platforms) {
        if graph.node(&manifest.digest).is_none() {
            continue;
        }
        let bundles = published::bundles(store, signatures(graph, &manifest.digest))?;
        let coverages: Vec<_> =
            bundles.iter().filter_map(|bundle| sign::coverage(bundle).ok()).collect();
        if coverages.is_empty() {
            unsigned.push((manifest.digest, name));
            continue;
        }
        signed = true;
        if Some(manifest.digest) == graph.root.as_ref().map(|root| root.descriptor.digest) {
            continue;
        }
        let there = files_around(graph, &manifest);
        let files = coverages.iter().flat_map(|coverage| coverage.files());
        for file in files.filter(|file| !there.contains(&(file.name.clone(), file.digest))) {
            // A newer signature may speak of a file that was made anew.
            let is_replaced = there.iter().any(|(name, _)| *name == file.name);
            if !is_replaced && !found.iter().any(|other: &Missing| other.digest == file.digest) {
                let what = format!("{}, which is signed", file.name);
                found.push(Missing { what, digest: file.digest, of: manifest.digest });
            }
        }
    }
    if signed {
        let of = |(digest, name)| Missing {
            what: format!("the signature of {name}"),
            digest,
            of: digest,
        };
        found.extend(unsigned.into_iter().map(of));
    }
    Ok(found)
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
