//! Carries a graph from one store to another: a manifest, what it points at, and what points at it.
//!
//! Only what is missing moves. Children go before parents and referrers after them, as in a push; the
//! fallback lists and the `buildid-` tags are made anew, because no mirror keeps them. The graph may come from anybody,
//! so its depth and its size have limits, and a circle is walked once.

use std::collections::BTreeSet;

use super::Error;
use super::artifact::Role;
use super::at_once;
use super::manifest::{Descriptor, Document, Manifest, Node, annotation, media};
use super::push::{self, Event, Observer, Options, TagState, Withheld};
use super::reference::{Tag, Target};
use super::store::{self, Opener, State, Store};
use crate::digest::Digest;

/// A release has three levels; images with attestations of their SBOMs have five.
const MAX_DEPTH: usize = 12;

/// A release of ten platforms with ten binaries each has about 400 manifests.
const MAX_NODES: usize = 20_000;

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest of what was copied: the same on both sides.
    pub digest: Digest,
    /// Manifests and blobs that were sent.
    pub sent: usize,
    /// Blobs that the registry took over from another repository of its own.
    pub mounted: usize,
    /// Manifests and blobs that were there.
    pub present: usize,
    /// The bytes of the blobs that were sent.
    pub bytes: u64,
    /// What happened to the tag.
    pub tag: Option<TagState>,
    /// Debug files that did not get their tag.
    pub withheld: Vec<Withheld>,
}

/// Copies what `what` names in `from` to `to`, with all referrers, and tags it there with `tag`.
///
/// # Errors
/// Those of both stores and of [`push`](super::push()); a graph without end.
pub fn copy(
    from: &dyn Store,
    what: &Target,
    to: &dyn Store,
    tag: Option<&Tag>,
    options: &Options,
    observer: &Observer<'_>,
) -> Result<Copied, Error> {
    let root = store::resolve(from, what)?;
    let digest = root.descriptor.digest;
    if let Some(tag) = tag {
        push::tag_state(to, tag, digest, options.occupied)?;
    }
    let copied = Copied {
        digest,
        sent: 0,
        mounted: 0,
        present: 0,
        bytes: 0,
        tag: None,
        withheld: Vec::new(),
    };
    let mut walk = Walk { from, to, options, observer, seen: BTreeSet::new(), copied };
    walk.node(&root, 0)?;
    let mut copied = walk.copied;
    match tag {
        Some(tag) => {
            let state = push::tag_state(to, tag, digest, options.occupied)?;
            if state != TagState::Unchanged {
                to.put_tag(tag, &root)?;
            }
            copied.tag = Some(state);
            observer(Event::Tagged { tag });
        }
        None => to.put_untagged(&root)?,
    }
    to.finish()?;
    Ok(copied)
}

struct Walk<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    options: &'a Options,
    observer: &'a Observer<'a>,
    seen: BTreeSet<Digest>,
    copied: Copied,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, depth: usize) -> Result<(), Error> {
        let digest = node.descriptor.digest;
        if !self.seen.insert(digest) {
            return Ok(());
        }
        if depth > MAX_DEPTH || self.seen.len() > MAX_NODES {
            let reason = format!("more than {MAX_DEPTH} levels or {MAX_NODES} manifests");
            return Err(Error::Malformed { what: format!("the graph around {digest}"), reason });
        }
        match node.document()? {
            Document::Index(index) => {
                for child in &index.manifests {
                    // A blob in an index is odd and allowed.
                    if child.is_manifest() || child.media_type.is_empty() {
                        let child = store::load(self.from, child)?;
                        self.node(&child, depth + 1)?;
                    } else {
                        self.blobs([child])?;
                    }
                }
            }
            Document::Manifest(manifest) => {
                self.blobs(std::iter::once(&manifest.config).chain(&manifest.layers))?;
            }
        }
        let state = push::ensure_manifest(self.to, node, self.observer)?;
        self.count(state, 0);
        self.referrers(&digest, depth)
    }

    fn referrers(&mut self, subject: &Digest, depth: usize) -> Result<(), Error> {
        let referrers = store::referrers(self.from, subject, None)?;
        for referrer in &referrers {
            self.node(&referrer.node, depth + 1)?;
            if let Document::Manifest(manifest) = &referrer.document {
                self.build_id(&referrer.node, manifest)?;
            }
        }
        let entries: Vec<Descriptor> =
            referrers.into_iter().map(|referrer| referrer.descriptor).collect();
        push::ensure_listed(self.to, subject, &entries)?;
        Ok(())
    }

    fn build_id(&mut self, node: &Node, manifest: &Manifest) -> Result<(), Error> {
        let Some(Role::Debug { build_id: Some(id), load_digest }) = debug_role(manifest) else {
            return Ok(());
        };
        let withheld =
            push::tag_build_id(self.to, &id, &load_digest, node, self.options.build_ids)?;
        self.copied.withheld.extend(withheld);
        Ok(())
    }

    fn blobs<'b>(&mut self, blobs: impl IntoIterator<Item = &'b Descriptor>) -> Result<(), Error> {
        let new: Vec<&Descriptor> =
            blobs.into_iter().filter(|blob| self.seen.insert(blob.digest)).collect();
        let (from, to, observer) = (self.from, self.to, self.observer);
        let states = at_once::each(&new, |blob| {
            let digest = || blob.digest.to_string();
            let name = blob.annotations.get(annotation::TITLE).cloned().unwrap_or_else(digest);
            let put = |open: &Opener<'_>| to.take_blob(blob, from, open);
            push::ensure_blob(to, blob, &name, &|| from.blob(blob), &put, observer)
        })?;
        for (blob, state) in new.iter().zip(states) {
            self.count(state, blob.size);
        }
        Ok(())
    }

    fn count(&mut self, state: State, size: u64) {
        match state {
            State::Uploaded => {
                self.copied.sent += 1;
                self.copied.bytes += size;
            }
            State::Mounted => self.copied.mounted += 1,
            State::Present => self.copied.present += 1,
        }
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
