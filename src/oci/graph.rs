//! What is published or copied, as a value: a [`Graph`] of manifests and blobs, wherever they come from.
//!
//! A release makes one ([`Graph::of`]), files do ([`Graph::of_manifest`]), and any store does ([`Graph::read`]): a
//! manifest, what it points at, and what points at it. [`push`](super::push()) sends it, whoever made it; `discover`
//! shows it. Blobs are not read before they are sent.

use super::Error;
use super::artifact::{Artifact, Blob, ReferrerNode, Role, Source};
use super::manifest::{Descriptor, Manifest, Node, annotation, media};
use super::reference::Tag;
use super::store::{Store, Verified};
use crate::build_id::BuildId;
use crate::digest::Digest;

/// Where the bytes of a blob come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Source(&'a Source),
    Store(&'a dyn Store),
}

/// Manifests and blobs that belong together.
#[derive(Default)]
pub struct Graph<'a> {
    /// What a tag is to point at; debug files alone have nothing of the kind.
    pub root: Option<Node>,
    /// Every manifest once, in an order in which none points at one that is yet to come.
    pub nodes: Vec<Node>,
    /// Every blob once.
    pub blobs: Vec<GraphBlob<'a>>,
    /// Which manifests are referrers, and of what.
    pub referrers: Vec<Edge>,
    /// Which manifests are those of debug files that are found by build-id.
    pub debug_files: Vec<DebugFile>,
    /// What stands under a tag of its own beside a manifest: the tag, and what it points at.
    pub companions: Vec<(Tag, Node)>,
    /// What something points at, and is not there.
    pub missing: Vec<Missing>,
    /// What a list names as a referrer, and is not there: a copy is whole without it.
    pub gone: Vec<Missing>,
}

/// Bytes that a manifest points at.
pub struct GraphBlob<'a> {
    /// How people call it.
    pub name: String,
    /// Type, digest and size.
    pub descriptor: Descriptor,
    origin: Origin<'a>,
}

impl<'a> GraphBlob<'a> {
    /// The bytes, from their beginning.
    ///
    /// # Errors
    /// Those of the file or store that they come from.
    pub fn open(&self) -> Result<Verified<'a>, Error> {
        match self.origin {
            // A file that changes under our hands is not worth sending to its end.
            Origin::Source(source) => Ok(Verified::new(source.open()?, &self.descriptor)),
            Origin::Store(store) => store.blob(&self.descriptor),
        }
    }

    /// The store that has it already.
    pub fn store(&self) -> Option<&'a dyn Store> {
        match self.origin {
            Origin::Source(_) => None,
            Origin::Store(store) => Some(store),
        }
    }
}

/// A manifest belongs to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The manifest it belongs to.
    pub subject: Digest,
    /// The referrer, with its type and annotations, as a listing shows it.
    pub referrer: Descriptor,
}

/// The manifest of a debug file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugFile {
    /// By which it is found.
    pub build_id: BuildId,
    /// Which program it belongs to.
    pub load_digest: Digest,
    /// The manifest.
    pub node: Node,
}

/// Something that is pointed at and is not there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// What it would be, for people.
    pub what: String,
    /// Its digest.
    pub digest: Digest,
    /// The manifest that points at it, or that it belongs to.
    pub of: Digest,
}

impl<'a> Graph<'a> {
    /// The graph of a release.
    pub fn of(artifact: &'a Artifact) -> Self {
        let mut graph = Self { root: Some(artifact.index.clone()), ..Self::default() };
        graph.nodes.extend(artifact.platforms.iter().map(|platform| platform.node.clone()));
        graph.nodes.push(artifact.index.clone());
        graph.blobs.extend(artifact.blobs.iter().map(GraphBlob::of));
        for ReferrerNode { subject, role, node } in &artifact.referrers {
            graph.nodes.push(node.clone());
            graph.referrers.push(Edge { subject: *subject, referrer: node.descriptor.clone() });
            graph.debug_file(role, node);
        }
        graph
    }

    /// A manifest and its blobs, whether it belongs to another one or stands for itself.
    pub fn of_manifest(manifest: &Manifest, blobs: &'a [Blob]) -> Self {
        let node = manifest.to_node();
        let edge = manifest
            .subject
            .as_ref()
            .map(|subject| Edge { subject: subject.digest, referrer: node.descriptor.clone() });
        Self {
            nodes: vec![node.clone()],
            root: Some(node),
            blobs: blobs.iter().map(GraphBlob::of).collect(),
            referrers: edge.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Debug files that belong to no manifest of their store, because the binaries are elsewhere.
    pub fn of_debug_files(referrers: &[ReferrerNode], blobs: &'a [Blob]) -> Self {
        let mut graph =
            Self { blobs: blobs.iter().map(GraphBlob::of).collect(), ..Self::default() };
        for ReferrerNode { role, node, .. } in referrers {
            graph.nodes.push(node.clone());
            graph.debug_file(role, node);
        }
        graph
    }

    /// The manifest with a digest.
    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.iter().find(|node| node.descriptor.digest == *digest)
    }

    /// The manifests that have referrers, each with all of them.
    pub fn subjects(&self) -> Vec<(Digest, Vec<Descriptor>)> {
        let mut found: Vec<(Digest, Vec<Descriptor>)> = Vec::new();
        for Edge { subject, referrer } in &self.referrers {
            match found.iter_mut().find(|(other, _)| other == subject) {
                Some((_, list)) => list.push(referrer.clone()),
                None => found.push((*subject, vec![referrer.clone()])),
            }
        }
        found
    }

    fn debug_file(&mut self, role: &Role, node: &Node) {
        if let Role::Debug { build_id: Some(build_id), load_digest } = role {
            let (build_id, load_digest, node) = (build_id.clone(), *load_digest, node.clone());
            self.debug_files.push(DebugFile { build_id, load_digest, node });
        }
    }
}

// How a walk through a store adds to what it found.
impl<'a> Graph<'a> {
    pub(super) fn add_blob(&mut self, store: &'a dyn Store, blob: &Descriptor) {
        let title = blob.annotations.get(annotation::TITLE).cloned();
        let name = title.unwrap_or_else(|| blob.digest.to_string());
        let (descriptor, origin) = (blob.plain(), Origin::Store(store));
        self.blobs.push(GraphBlob { name, descriptor, origin });
    }

    pub(super) fn add_manifest(&mut self, manifest: &Manifest, node: &Node) {
        if let Some(role) = debug_role(manifest) {
            self.debug_file(&role, node);
        }
    }
}

impl<'a> GraphBlob<'a> {
    fn of(blob: &'a Blob) -> Self {
        let (name, descriptor) = (blob.name.clone(), blob.descriptor.clone());
        Self { name, descriptor, origin: Origin::Source(&blob.source) }
    }
}

/// What a manifest says about itself if it is one of a debug file; nothing where it is none or says nonsense.
fn debug_role(manifest: &Manifest) -> Option<Role> {
    if manifest.kind() != media::DEBUG {
        return None;
    }
    let load_digest = manifest.annotations.get(annotation::LOAD_DIGEST)?.parse().ok()?;
    let build_id = manifest.annotations.get(annotation::BUILD_ID).and_then(|id| id.parse().ok());
    Some(Role::Debug { build_id, load_digest })
}
