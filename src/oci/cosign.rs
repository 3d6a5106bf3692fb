//! What cosign 2 keeps under tags of its own beside a manifest (cosign, specs/SIGNATURE_SPEC.md): one layer for each signature or
//! attestation, whose annotations tell them apart, because two keys sign the same bytes.
//!
//! Where a store has others than those that come, both are kept: the layers of ours that it lacks go behind its own.

use serde_json::Value;

use super::Error;
use super::manifest::{Descriptor, Document, Manifest, Node};
use super::reference::Tag;
use super::store::{self, Store};
use crate::digest::Digest;

/// The largest configuration that is read: each signature has some hundred bytes in it.
const MAX_CONFIG: u64 = 4 << 20;

/// What becomes of a tag.
#[derive(Debug)]
pub(super) enum Fate {
    /// It has all of ours.
    Stays,
    /// All of its own is in ours.
    Moves,
    /// Both have something: to this manifest, with a configuration of these bytes.
    Joined { manifest: Box<Manifest>, config: Vec<u8> },
    /// They cannot be joined: to this nothing of ours belongs.
    Foreign { there: Digest },
}

/// What becomes of a tag that points at `there` where `ours` comes, whose configuration the store has as well.
pub(super) fn fate(store: &dyn Store, tag: &Tag, there: &Node, ours: &Node) -> Result<Fate, Error> {
    if there.descriptor.digest == ours.descriptor.digest {
        return Ok(Fate::Stays);
    }
    let foreign = Fate::Foreign { there: there.descriptor.digest };
    let (Ok(Document::Manifest(there)), Document::Manifest(ours)) =
        (there.document(), ours.document()?)
    else {
        return Ok(foreign);
    };
    let within =
        |some: &Manifest, all: &Manifest| some.layers.iter().all(|of| all.layers.contains(of));
    if within(&there, &ours) {
        return Ok(Fate::Moves);
    }
    // What is no list of signatures or attestations, an SBOM, is one thing or another.
    if ![".sig", ".att"].iter().any(|end| tag.as_str().ends_with(end)) {
        return Ok(foreign);
    }
    if within(&ours, &there) {
        return Ok(Fate::Stays);
    }
    let config = |of: &Manifest| -> Result<Option<Value>, Error> {
        match store::small_blob(store, &of.config, MAX_CONFIG) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (Some(mut joined), Some(more)) = (config(&there)?, config(&ours)?) else {
        return Ok(foreign);
    };
    let mut manifest = there.clone();
    for (position, layer) in ours.layers.iter().enumerate() {
        if there.layers.contains(layer) {
            continue;
        }
        // One entry for each layer (OCI image-spec, "Image Configuration").
        for list in ["/rootfs/diff_ids", "/history"] {
            let entry = more.pointer(list).and_then(|list| list.get(position)).cloned();
            let list = joined.pointer_mut(list).and_then(Value::as_array_mut);
            let (Some(entry), Some(list)) = (entry, list) else { return Ok(foreign) };
            list.push(entry);
        }
        manifest.layers.push(layer.clone());
    }
    let config = joined.to_string().into_bytes();
    let size = config.len() as u64;
    manifest.config = Descriptor::new(&there.config.media_type, Digest::of(&config), size);
    Ok(Fate::Joined { manifest: Box::new(manifest), config })
}
