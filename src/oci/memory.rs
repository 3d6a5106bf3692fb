//! A store in memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Mutex;

use super::Error;
use super::manifest::{Descriptor, Document, Node};
use super::reference::Tag;
use super::store::{Opener, Store, Verified, described};
use crate::digest::Digest;

/// A store that forgets everything: for tests, and to see what a push would do. It is as strict as the strictest
/// registry: what a manifest points at has to be there, and stays as long as it does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifests: BTreeMap<Digest, Node>,
    tags: BTreeMap<Tag, Digest>,
}

impl MemoryStore {
    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the first byte of a blob, as a bad disk would.
    #[cfg(test)]
    pub(super) fn damage(&self, digest: &Digest) {
        let mut contents = self.contents();
        let first = contents.blobs.get_mut(digest).and_then(|bytes| bytes.first_mut());
        *first.expect("a blob that is there and not empty") ^= 1;
    }

    /// How many blobs and manifests there are.
    pub fn len(&self) -> (usize, usize) {
        let contents = self.contents();
        (contents.blobs.len(), contents.manifests.len())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// All tags and what they point at.
    pub fn names(&self) -> Vec<(String, Digest)> {
        self.contents().tags.iter().map(|(tag, digest)| (tag.to_string(), *digest)).collect()
    }
}

impl Store for MemoryStore {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        let contents = self.contents();
        Ok(contents.tags.get(tag).and_then(|digest| contents.manifests.get(digest)).cloned())
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        Ok(self.contents().manifests.get(digest).cloned())
    }

    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        let parts = match node.document()? {
            Document::Manifest(manifest) => [vec![manifest.config], manifest.layers].concat(),
            Document::Index(index) => index.manifests,
        };
        let is_there = |part: &&Descriptor| {
            let contents = self.contents();
            contents.blobs.contains_key(&part.digest)
                || contents.manifests.contains_key(&part.digest)
        };
        if let Some(missing) = parts.iter().find(|part| !is_there(part)) {
            return Err(Error::NotFound { what: missing.digest.to_string(), place: self.name() });
        }
        let plain = Node { descriptor: node.descriptor.plain(), bytes: node.bytes.clone() };
        self.contents().manifests.insert(node.descriptor.digest, plain);
        Ok(())
    }

    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.put_manifest(node)?;
        self.contents().tags.insert(tag.clone(), node.descriptor.digest);
        Ok(())
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        Ok(self.contents().blobs.contains_key(&blob.digest))
    }

    fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
        let bytes = self.contents().blobs.get(&blob.digest).cloned();
        let missing = || Error::NotFound { what: blob.digest.to_string(), place: self.name() };
        Ok(Verified::new(io::Cursor::new(bytes.ok_or_else(missing)?), blob))
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        let step = || format!("read {}", blob.digest);
        open()?.read_to_end(&mut bytes).map_err(|error| Error::of_stream(error, step))?;
        self.contents().blobs.insert(blob.digest, bytes);
        Ok(())
    }

    fn listed(&self, subject: &Digest, _: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        let of = |node: &Node| {
            let document = node.document().ok()?;
            (document.subject()?.digest == *subject).then(|| described(node, &document))
        };
        Ok(self.contents().manifests.values().filter_map(of).collect())
    }

    fn list(&self, _subject: &Digest, _entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        Ok(None)
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        Ok(self.contents().tags.keys().cloned().collect())
    }

    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
        let mut contents = self.contents();
        let needs = |other: &&Node| {
            let index = match other.document() {
                Ok(Document::Index(index)) => index.manifests,
                _ => Vec::new(),
            };
            index.iter().any(|child| child.digest == node.digest)
        };
        let tag = contents.tags.iter().find(|(_, digest)| **digest == node.digest);
        let tag = tag.map(|(tag, _)| tag.to_string());
        let index = contents.manifests.values().find(needs);
        if let Some(by) = tag.or_else(|| index.map(|index| index.descriptor.digest.to_string())) {
            let (what, reason) = (node.digest.to_string(), format!("{by} needs it"));
            return Err(Error::Needed { place: self.name(), what, reason });
        }
        contents.manifests.remove(&node.digest);
        Ok(())
    }

    fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.contents().tags.remove(tag);
        Ok(())
    }
}
