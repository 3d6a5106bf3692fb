//! Takes a release, or anything else that a reference names, out of a store.
//!
//! [`Deletion::plan`] decides: what goes, and what stays because another tag needs it. [`delete`] does it from the top down, so
//! that nobody who finds something finds less than all of it: the manifest that was asked for and its tags first, then what
//! was in it, then what referred to that. A run that was cut short leaves rubbish that nothing names, and nothing that lies.
//! The blobs of a registry are left to its own garbage collection, which is the only one that knows who needs them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Error;
use super::at_once;
use super::graph::Graph;
use super::heirs;
use super::manifest::{Descriptor, Document, Node};
use super::published;
use super::reference::{Tag, Target};
use super::store::{self, Store, check_size};
use crate::digest::Digest;
use crate::sign;

/// What goes, and what does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// What the reference names.
    pub digest: Digest,
    /// A tag that goes while what it names stays, because other tags name it too.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub tag: Option<Tag>,
    /// What goes, in this order: nothing that is still there points at any of it.
    pub manifests: Vec<Doomed>,
    /// What would have gone as well, and is needed.
    pub spared: Vec<Spared>,
    /// A manifest that stays, and whose signature speaks of what was named: without it the signed release is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<Digest>,
    #[serde(skip)]
    blobs: Vec<Descriptor>,
}

/// A manifest that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doomed {
    /// What it is: its artifact type, or its media type where it has none.
    pub kind: String,
    /// Its digest.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The tags that go with it.
    #[serde(serialize_with = "as_texts")]
    pub tags: Vec<Tag>,
    /// The tags that go over to something that stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// Something that stays, and whose referrer it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    #[serde(skip)]
    entry: Descriptor,
}

/// The tag of a build-id, and the other debug file that has it from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The tag.
    #[serde(serialize_with = "as_word")]
    pub tag: Tag,
    /// What it will point at.
    pub to: Digest,
    #[serde(skip)]
    node: Node,
}

/// A manifest that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spared {
    /// Its digest.
    pub digest: Digest,
    /// The tag that needs it, or the digest of what has no tag.
    pub by: String,
}

fn as_word<S: serde::Serializer>(tag: &Tag, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(tag.as_str())
}

fn as_text<S: serde::Serializer>(tag: &Option<Tag>, serializer: S) -> Result<S::Ok, S::Error> {
    tag.as_ref().map(Tag::as_str).serialize(serializer)
}

fn as_texts<S: serde::Serializer>(tags: &[Tag], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tags.iter().map(Tag::as_str))
}

impl Deletion {
    /// The tag alone; what it names stays, by its digest.
    ///
    /// # Errors
    /// [`Error::NoTag`], and where there is no such tag.
    pub fn of_tag(store: &dyn Store, target: &Target) -> Result<Self, Error> {
        let root = named(store, target)?;
        let tag = target.tag.clone().ok_or_else(|| Error::NoTag { reference: store.name() })?;
        Ok(Self::of_tag_alone(root.descriptor.digest, tag))
    }

    fn of_tag_alone(digest: Digest, tag: Tag) -> Self {
        let (manifests, spared, blobs) = (Vec::new(), Vec::new(), Vec::new());
        Self { digest, tag: Some(tag), manifests, spared, signed_by: None, blobs }
    }

    /// What the target names, with everything that belongs to it. By tag it goes only if no other tag names it; by digest
    /// under all its tags.
    ///
    /// # Errors
    /// [`Error::NoTag`] where the target names nothing, [`Error::Needed`] where it is a part of something else,
    /// and those of the store.
    pub fn plan(store: &dyn Store, target: &Target) -> Result<Self, Error> {
        let root = named(store, target)?;
        let digest = root.descriptor.digest;
        let heads = heads(store)?;
        let names = |head: &&Head| head.node.descriptor.digest == digest;
        let tags: Vec<Tag> =
            heads.iter().filter(names).filter_map(|head| head.tag.clone()).collect();
        if let Some(tag) = &target.tag
            && tags.iter().any(|other| other != tag)
        {
            return Ok(Self::of_tag_alone(digest, tag.clone()));
        }
        let needed = needed(store, heads.iter().filter(|head| !names(head)))?;
        if let Some(by) = needed.get(&digest) {
            if let Some(tag) = &target.tag {
                return Ok(Self::of_tag_alone(digest, tag.clone()));
            }
            let (what, reason) = (digest.to_string(), format!("{by} needs it"));
            return Err(Error::Needed { place: store.name(), what, reason });
        }
        let graph = Graph::read(store, root.clone())?;
        let mut walk = Walk {
            graph: &graph,
            needed,
            seen: BTreeSet::new(),
            order: Vec::new(),
            spared: Vec::new(),
        };
        walk.visit(&digest);
        let Walk { mut order, spared, needed, .. } = walk;
        // Each was entered after all that it leads to.
        order.reverse();
        let mut manifests = doomed(store, &graph, &order, &needed)?;
        if let Some(root) = manifests.first_mut() {
            root.tags.extend(target.tag.iter().chain(&tags).cloned());
            root.tags.sort();
            root.tags.dedup();
        }
        let staying: Vec<&Node> =
            heads.iter().filter(|head| !names(head)).map(|head| &head.node).collect();
        hand_over(store, &staying, &mut manifests)?;
        let signed_by = signed_by(store, &root)?;
        let blobs = graph.blobs.iter().map(|blob| blob.descriptor.clone()).collect();
        Ok(Self { digest, tag: None, manifests, spared, signed_by, blobs })
    }

    /// The tags that go.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tag.iter().chain(self.manifests.iter().flat_map(|doomed| &doomed.tags))
    }
}

impl Doomed {
    fn of(node: &Node, doomed: &BTreeSet<Digest>) -> Result<Self, Error> {
        let document = node.document()?;
        let subject = document.subject().map(|subject| subject.digest);
        let kind = match document.kind() {
            "" => node.descriptor.media_type.clone(),
            kind => kind.to_owned(),
        };
        Ok(Self {
            kind,
            digest: node.descriptor.digest,
            size: node.descriptor.size,
            tags: Vec::new(),
            moved: Vec::new(),
            subject: subject.filter(|subject| !doomed.contains(subject)),
            entry: store::described(node, &document),
        })
    }
}

/// These manifests with the tags that go along, and after each the list of what refers to it, where that is a tag.
fn doomed(
    store: &dyn Store,
    graph: &Graph<'_>,
    order: &[Node],
    needed: &BTreeMap<Digest, String>,
) -> Result<Vec<Doomed>, Error> {
    let going: BTreeSet<Digest> = order.iter().map(|node| node.descriptor.digest).collect();
    let mut manifests = Vec::new();
    for node in order {
        let digest = node.descriptor.digest;
        let (mut of_node, mut lists) = (Doomed::of(node, &going)?, Vec::new());
        for tag in own_tags(graph, &digest) {
            let Some(there) = store.tagged(&tag)? else { continue };
            let at = there.descriptor.digest;
            // Under the tag of a list others put other things, which may be needed.
            let stays = needed.contains_key(&at) || going.contains(&at);
            if at == digest {
                of_node.tags.push(tag);
            } else if tag.is_fallback() && there.descriptor.is_index() && !stays {
                lists.push(Doomed { tags: vec![tag], ..Doomed::of(&there, &going)? });
            }
        }
        manifests.push(of_node);
        manifests.extend(lists);
    }
    Ok(manifests)
}

/// Tags of build-ids that another debug file takes over.
fn hand_over(store: &dyn Store, staying: &[&Node], doomed: &mut [Doomed]) -> Result<(), Error> {
    let id_of = |tag: &Tag| Some(tag.as_str().strip_prefix("buildid-")?.to_owned());
    let ids: BTreeSet<String> =
        doomed.iter().flat_map(|doomed| &doomed.tags).filter_map(id_of).collect();
    let going = doomed.iter().map(|doomed| doomed.digest).collect();
    let heirs = heirs::heirs(store, staying, &ids, &going)?;
    for doomed in doomed {
        let heir = |tag: &Tag| {
            let node = heirs.get(&id_of(tag)?)?.clone();
            Some(Moved { tag: tag.clone(), to: node.descriptor.digest, node })
        };
        doomed.moved = doomed.tags.iter().filter_map(heir).collect();
        doomed.tags.retain(|tag| doomed.moved.iter().all(|moved| moved.tag != *tag));
    }
    Ok(())
}

/// What a manifest refers to, if a signature of that speaks of a file of it.
fn signed_by(store: &dyn Store, root: &Node) -> Result<Option<Digest>, Error> {
    let Ok(Document::Manifest(manifest)) = root.document() else { return Ok(None) };
    let Some(subject) = &manifest.subject else { return Ok(None) };
    if store.manifest(&subject.digest)?.is_none() {
        return Ok(None);
    }
    let coverages = published::signatures(store, &subject.digest)?;
    let mut coverages = coverages.iter().filter_map(|bundle| sign::coverage(bundle).ok());
    let is_file = |digest| manifest.layers.iter().any(|layer| layer.digest == digest);
    let speaks = |of: sign::Coverage| of.files().iter().any(|file| is_file(file.digest));
    Ok(coverages.any(speaks).then_some(subject.digest))
}

/// The manifest that a target names. Where there are a tag and a digest, both have to mean the same.
fn named(store: &dyn Store, target: &Target) -> Result<Node, Error> {
    if *target == Target::default() {
        return Err(Error::NoTag { reference: store.name() });
    }
    let by_tag =
        Target { digest: target.digest.filter(|_| target.tag.is_none()), ..target.clone() };
    let node = store::resolve(store, &by_tag)?;
    match target.digest {
        Some(stated) if stated != node.descriptor.digest => {
            let reason = format!(
                "{} names {}",
                by_tag.tag.iter().map(Tag::as_str).collect::<String>(),
                node.descriptor.digest
            );
            Err(Error::Needed { place: store.name(), what: stated.to_string(), reason })
        }
        _ => Ok(node),
    }
}

/// A manifest that people can find, and how.
struct Head {
    tag: Option<Tag>,
    node: Node,
}

impl Head {
    fn name(&self) -> String {
        match &self.tag {
            Some(tag) => tag.to_string(),
            None => self.node.descriptor.digest.to_string(),
        }
    }
}

/// So many tags are looked at before their sizes are summed.
const CHUNK: usize = 32;

/// More bytes of manifests with tags are not held; ten thousand of releases have some ten million.
const MAX_BYTES: u64 = 256 << 20;

/// Everything that may need a manifest. Derived tags are of what belongs to a manifest, and goes with it.
fn heads(store: &dyn Store) -> Result<Vec<Head>, Error> {
    let tags: Vec<Tag> = store.tags()?.into_iter().filter(|tag| !tag.is_derived()).collect();
    let (mut heads, mut held): (Vec<Head>, u64) = (Vec::new(), 0);
    for some in tags.chunks(CHUNK) {
        let found = at_once::each(some, |tag| {
            Ok(store.tagged(tag)?.map(|node| Head { tag: Some(tag.clone()), node }))
        })?;
        let found: Vec<Head> = found.into_iter().flatten().collect();
        held += found.iter().map(|head| head.node.descriptor.size).sum::<u64>();
        check_size(&format!("what has a tag in {}", store.name()), held, MAX_BYTES)?;
        heads.extend(found);
    }
    for entry in store.untagged()? {
        let Some(node) = store.manifest(&entry.digest)? else { continue };
        // What oras writes there belongs to its subject.
        if node.document().is_ok_and(|document| document.subject().is_none()) {
            heads.push(Head { tag: None, node });
        }
    }
    Ok(heads)
}

/// What these lead to, and which of them does.
fn needed<'a>(
    store: &dyn Store,
    heads: impl Iterator<Item = &'a Head>,
) -> Result<BTreeMap<Digest, String>, Error> {
    let mut needed = BTreeMap::new();
    for head in heads {
        let mut waiting = vec![head.node.clone()];
        while let Some(node) = waiting.pop() {
            if needed.insert(node.descriptor.digest, head.name()).is_some() {
                continue;
            }
            // What nobody understands leads nowhere.
            let Ok(Document::Index(index)) = node.document() else { continue };
            for child in index.manifests {
                match child.is_index() {
                    true => waiting.extend(store.manifest(&child.digest)?),
                    false => drop(needed.insert(child.digest, head.name())),
                }
            }
        }
    }
    Ok(needed)
}

/// The tags that belong to a manifest, whether they are set or not: of the list of what refers to it, and what its debug
/// file is found by.
fn own_tags(graph: &Graph<'_>, digest: &Digest) -> Vec<Tag> {
    let debug_files = graph.debug_files.iter().filter(|of| of.node.descriptor.digest == *digest);
    let companions = graph.companions.iter().filter(|(_, node)| node.descriptor.digest == *digest);
    let mut tags = vec![Tag::fallback(digest)];
    tags.extend(debug_files.map(|debug| Tag::build_id(&debug.build_id)));
    tags.extend(companions.map(|(tag, _)| tag.clone()));
    tags
}

/// The graph from its root on, without what is needed.
struct Walk<'a> {
    graph: &'a Graph<'a>,
    needed: BTreeMap<Digest, String>,
    seen: BTreeSet<Digest>,
    order: Vec<Node>,
    spared: Vec<Spared>,
}

impl Walk<'_> {
    fn visit(&mut self, digest: &Digest) {
        if !self.seen.insert(*digest) {
            return;
        }
        if let Some(by) = self.needed.get(digest) {
            self.spared.push(Spared { digest: *digest, by: by.clone() });
            return;
        }
        let Some(node) = self.graph.node(digest) else { return };
        let children = match node.document() {
            Ok(Document::Index(index)) => index.manifests,
            _ => Vec::new(),
        };
        let beside = format!("{}.", Tag::fallback(digest));
        let companions =
            self.graph.companions.iter().filter(|(tag, _)| tag.as_str().starts_with(&beside));
        let edges = self.graph.referrers.iter().filter(|edge| edge.subject == *digest);
        let after: Vec<Digest> = children
            .iter()
            .map(|child| child.digest)
            .chain(edges.map(|edge| edge.referrer.digest))
            .chain(companions.map(|(_, node)| node.descriptor.digest))
            .collect();
        for digest in after {
            self.visit(&digest);
        }
        self.order.push(node.clone());
    }
}

/// Does it, and tells of each manifest that is gone.
///
/// # Errors
/// [`Error::NoDeletion`] where the store deletes nothing: then nothing has changed. After another error some of it may be
/// gone, in the order of the plan.
pub fn delete(
    store: &dyn Store,
    deletion: &Deletion,
    gone: &mut dyn FnMut(&Doomed),
) -> Result<(), Error> {
    if let Some(tag) = &deletion.tag {
        store.delete_tag(tag)?;
    }
    for (position, doomed) in deletion.manifests.iter().enumerate() {
        // A list first forgets what goes, so that it never names what is not there.
        if let Some(subject) = &doomed.subject {
            store.unlist(subject, &doomed.digest)?;
        }
        if let Err(error) = let_go(store, doomed, position == 0) {
            if let Some(subject) = &doomed.subject {
                store.list(subject, std::slice::from_ref(&doomed.entry))?;
            }
            return Err(error);
        }
        gone(doomed);
    }
    store.sweep(&deletion.blobs)?;
    store.finish()
}

/// A manifest and its tags. Of the first one the manifest goes first: a registry that deletes nothing says so before
/// anything has changed. Of the others the tags do, because not every registry takes them along with what they name.
fn let_go(store: &dyn Store, doomed: &Doomed, is_first: bool) -> Result<(), Error> {
    let untag = || {
        doomed.moved.iter().try_for_each(|moved| store.put_tag(&moved.tag, &moved.node))?;
        doomed.tags.iter().try_for_each(|tag| store.delete_tag(tag))
    };
    if is_first {
        match store.delete_manifest(&doomed.entry) {
            Ok(()) => return untag(),
            // Some let no manifest go that has a tag.
            Err(Error::Needed { .. }) if !doomed.tags.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    match untag() {
        // There a tag goes with what it names.
        Ok(()) | Err(Error::NoDeletion { .. }) => store.delete_manifest(&doomed.entry),
        Err(error) => Err(error),
    }
}
