//! What of a release is missing from where it is published.
//!
//! Cleaners that delete what has no tag take the platforms' manifests first, and mirrors leave behind what refers to them. The graph says
//! what is pointed at, listings say what was there, signatures say which files belong to it; what none of them
//! finds any more is [`Missing`].

use super::Error;
use super::graph::{Graph, Missing};
use super::manifest::{Descriptor, Document, Node, annotation, media};
use super::published;
use super::reference::Tag;
use super::store::Store;
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
    let (mut blobs, mut missing_tags) = (0, Vec::new());
    for blob in &graph.blobs {
        if store.has_blob(&blob.descriptor)? {
            blobs += 1;
        } else {
            let (what, of) =
                (format!("the contents of {}", blob.name), owner(&graph, blob.descriptor.digest));
            missing.push(Missing {
                what,
                digest: blob.descriptor.digest,
                of: of.unwrap_or(digest),
            });
        }
    }
    for node in &graph.nodes {
        missing.extend(gone(store, &graph, &node.descriptor.digest)?);
    }
    missing.extend(signed_and_gone(store, &graph)?);
    for debug in &graph.debug_files {
        let tag = Tag::build_id(&debug.build_id);
        if store.tagged(&tag)?.is_none() && !missing_tags.contains(&tag.to_string()) {
            missing_tags.push(tag.to_string());
        }
    }
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

/// Referrers that a listing still names.
fn gone(store: &dyn Store, graph: &Graph<'_>, subject: &Digest) -> Result<Vec<Missing>, Error> {
    let mut found = Vec::new();
    for entry in store.listed(subject, None)? {
        if graph.node(&entry.digest).is_none() && store.manifest(&entry.digest)?.is_none() {
            let what = format!("a referrer {}", entry.artifact_type.as_deref().unwrap_or_default());
            found.push(Missing {
                what: what.trim_end().to_owned(),
                digest: entry.digest,
                of: *subject,
            });
        }
    }
    Ok(found)
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
        let bundles = published::signatures(store, &manifest.digest)?;
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
