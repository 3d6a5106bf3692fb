//! A graph comes out of a store: what a manifest points at, and what points at it.
//!
//! A registry far away answers slowly, and a release has some hundred manifests, so the store is asked about all of one level at
//! once, from the root outwards: that gives [`Found`], a value. What hangs together is then walked in it, in an order in which no manifest
//! points at one that is yet to come. It may come from anybody, so its depth and its size have limits, and a circle is walked once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Error;
use super::at_once;
use super::graph::{Edge, Graph, Missing};
use super::manifest::{Descriptor, Document, Node};
use super::reference::Tag;
use super::store::{self, Referrer, Referrers, Store};
use crate::digest::Digest;

/// A release has three levels; images with attestations of their SBOMs have five.
const MAX_DEPTH: usize = 12;

/// A release of ten platforms with ten binaries each has about 400 manifests.
const MAX_NODES: u64 = 20_000;

/// Manifests are held until they are sent; those of a release have some hundred kilobytes.
const MAX_BYTES: u64 = 256 << 20;

/// What cosign 2 keeps under tags of its own beside a manifest (cosign, specs/SIGNATURE_SPEC.md): signatures,
/// attestations, SBOMs. No listing of referrers shows them.
const COMPANIONS: [&str; 3] = ["sig", "att", "sbom"];

impl<'a> Graph<'a> {
    /// What hangs together with `root` in a store. What is not there is named in `missing`.
    ///
    /// # Errors
    /// Those of the store, and a graph without end.
    pub fn read(store: &'a dyn Store, root: Node) -> Result<Self, Error> {
        let reader = Reader { store, nodes: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        let found = reader.from(&root)?;
        let graph = Graph { root: Some(root.clone()), ..Graph::default() };
        let mut walk = Walk { store, found, seen: BTreeSet::new(), graph };
        walk.node(root, 0)?;
        Ok(walk.graph)
    }
}

/// Where in the graph a manifest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is what was asked for, or in an index that is.
    Trunk,
    /// It hangs on something.
    Branch,
}

/// What a store has around a manifest.
struct Around {
    /// What an index points at, and the manifest where it is one and is there.
    children: Vec<(Descriptor, Option<Node>)>,
    referrers: Referrers,
    companions: Vec<(Tag, Node)>,
}

/// What a store has around each manifest.
type Found = BTreeMap<Digest, Around>;

/// Asks a store, and counts what it gave.
struct Reader<'a> {
    store: &'a dyn Store,
    nodes: AtomicU64,
    bytes: AtomicU64,
}

impl Reader<'_> {
    fn from(&self, root: &Node) -> Result<Found, Error> {
        self.count(root)?;
        let mut found = Found::new();
        let mut level = vec![(root.clone(), Place::Trunk)];
        for _ in 0..=MAX_DEPTH {
            let arounds = at_once::each(&level, |(node, place)| self.around(node, *place))?;
            let (mut next, mut seen) = (Vec::new(), BTreeSet::new());
            for ((node, place), around) in level.into_iter().zip(arounds) {
                next.extend(around.nodes(place));
                found.insert(node.descriptor.digest, around);
            }
            next.retain(|(node, _)| {
                let digest = node.descriptor.digest;
                !found.contains_key(&digest) && seen.insert(digest)
            });
            level = next;
        }
        Ok(found)
    }

    fn around(&self, node: &Node, place: Place) -> Result<Around, Error> {
        let digest = node.descriptor.digest;
        let mut children = Vec::new();
        if let Document::Index(index) = node.document()? {
            for child in index.manifests {
                let there = if is_blob(&child) { None } else { self.child(&child)? };
                children.push((child, there));
            }
        }
        let referrers = store::referrers_and_gone(self.store, &digest, None)?;
        referrers.there.iter().try_for_each(|referrer| self.count(&referrer.node))?;
        let mut companions = Vec::new();
        for suffix in COMPANIONS.iter().filter(|_| place == Place::Trunk) {
            let tag = Tag::new(&format!("sha256-{}.{suffix}", digest.hex()));
            let node = tag.as_ref().map(|tag| self.store.tagged(tag)).transpose()?.flatten();
            node.iter().try_for_each(|node| self.count(node))?;
            companions.extend(tag.zip(node));
        }
        Ok(Around { children, referrers, companions })
    }

    fn child(&self, child: &Descriptor) -> Result<Option<Node>, Error> {
        match store::load(self.store, child) {
            Ok(node) => self.count(&node).map(|()| Some(node)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn count(&self, node: &Node) -> Result<(), Error> {
        let size = node.descriptor.size;
        let nodes = self.nodes.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        if nodes > MAX_NODES || bytes > MAX_BYTES { Err(endless(node)) } else { Ok(()) }
    }
}

impl Around {
    fn nodes(&self, place: Place) -> Vec<(Node, Place)> {
        let children = self.children.iter().filter_map(|(_, node)| node.as_ref());
        let referrers = self.referrers.there.iter().map(|referrer| &referrer.node);
        let branches = referrers.chain(self.companions.iter().map(|(_, node)| node));
        let children = children.map(|node| (node.clone(), place));
        children.chain(branches.map(|node| (node.clone(), Place::Branch))).collect()
    }
}

/// A blob in an index is odd and allowed.
fn is_blob(child: &Descriptor) -> bool {
    !child.is_manifest() && !child.media_type.is_empty()
}

fn endless(at: &Node) -> Error {
    let reason =
        format!("more than {MAX_DEPTH} levels, {MAX_NODES} manifests or {MAX_BYTES} bytes of them");
    Error::Malformed { what: format!("the graph around {}", at.descriptor.digest), reason }
}

/// Puts in order what was found.
struct Walk<'a> {
    store: &'a dyn Store,
    found: Found,
    seen: BTreeSet<Digest>,
    graph: Graph<'a>,
}

impl Walk<'_> {
    fn node(&mut self, node: Node, depth: usize) -> Result<(), Error> {
        let digest = node.descriptor.digest;
        if !self.seen.insert(digest) {
            return Ok(());
        }
        // What lies deeper was not asked for.
        let around = self.found.remove(&digest).filter(|_| depth <= MAX_DEPTH);
        let Around { children, referrers, companions } = around.ok_or_else(|| endless(&node))?;
        for (child, there) in children {
            match there {
                Some(node) => self.node(node, depth + 1)?,
                None if is_blob(&child) => self.blob(&child),
                None => self.graph.missing.push(missing(&child, digest)),
            }
        }
        if let Document::Manifest(manifest) = node.document()? {
            for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                self.blob(blob);
            }
            self.graph.add_manifest(&manifest, &node);
        }
        self.graph.nodes.push(node);
        for Referrer { descriptor, node, .. } in referrers.there {
            self.node(node, depth + 1)?;
            self.graph.referrers.push(Edge { subject: digest, referrer: descriptor });
        }
        self.graph.gone.extend(referrers.gone.iter().map(|entry| gone(entry, digest)));
        for (tag, node) in companions {
            self.node(node.clone(), depth + 1)?;
            self.graph.companions.push((tag, node));
        }
        Ok(())
    }

    fn blob(&mut self, blob: &Descriptor) {
        // Layers that may not be passed on lie elsewhere (OCI image-spec, "Non-Distributable Layers").
        let stays = ["nondistributable", "foreign"];
        let is_foreign = stays.iter().any(|word| blob.media_type.contains(word));
        if self.seen.insert(blob.digest) && !is_foreign {
            self.graph.add_blob(self.store, blob);
        }
    }
}

fn missing(child: &Descriptor, of: Digest) -> Missing {
    let what = match &child.platform {
        Some(platform) => format!("the manifest of {platform}"),
        None => "a manifest of the index".to_owned(),
    };
    Missing { what, digest: child.digest, of }
}

fn gone(entry: &Descriptor, of: Digest) -> Missing {
    let what = format!("a referrer {}", entry.artifact_type.as_deref().unwrap_or_default());
    Missing { what: what.trim_end().to_owned(), digest: entry.digest, of }
}
