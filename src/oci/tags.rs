//! The tags that a push sets beside its own: those of debug files, and those that cosign 2 keeps beside a manifest. What others
//! rely on is not taken from them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use super::cosign::{self, Fate};
use super::graph::{DebugFile, Graph};
use super::manifest::{Node, annotation, media};
use super::reference::Tag;
use super::store::{self, Store, Verified};
use crate::digest::Digest;

/// What to do about a tag that points at another release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occupied {
    #[default]
    /// Stop before anything is written.
    Refuse,
    /// Move it.
    Overwrite,
}

/// What to do about a `buildid-` tag that points at the debug file of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuildIds {
    #[default]
    /// Publish without the tag, and say so.
    Withhold,
    /// Move it.
    Force,
}

/// A tag that was not set, because it belongs to something else: to the debug file of another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    /// Its name.
    pub tag: String,
    /// The manifest it points at.
    pub there: Digest,
    /// The manifest it does not point at.
    pub ours: Digest,
}

/// How often another copy may be in between.
const MAX_ROUNDS: usize = 4;

/// Sets the tags of all debug files. Gives those that point at ours or at others of the same program, each once.
///
/// Of two programs with one build-id the first has the tag: nobody could say for which it was to be moved.
pub(super) fn build_ids(
    store: &dyn Store,
    graph: &Graph<'_>,
    policy: BuildIds,
) -> Result<(Vec<String>, Vec<Withheld>), Error> {
    let (mut shared, mut positions) = (Vec::<Vec<&DebugFile>>::new(), BTreeMap::new());
    for debug in &graph.debug_files {
        let position = *positions.entry(&debug.build_id).or_insert(shared.len());
        match shared.get_mut(position) {
            Some(of) => of.push(debug),
            None => shared.push(vec![debug]),
        }
    }
    let set = store::put_each(store, &shared, |of| {
        let first = of.first().map(|first| first.load_digest);
        let each = of.iter().map(|debug| {
            let is_first = first == Some(debug.load_digest);
            build_id(store, debug, if is_first { policy } else { BuildIds::Withhold })
        });
        each.collect::<Result<Vec<_>, _>>()
    })?;
    let (mut tags, mut withheld) = (Vec::new(), Vec::new());
    for (of, set) in shared.iter().zip(set) {
        let is_ours = set.iter().any(Option::is_none);
        tags.extend(of.first().filter(|_| is_ours).map(|debug| debug.build_id.tag()));
        withheld.extend(set.into_iter().flatten());
    }
    Ok((tags, withheld))
}

/// Points `buildid-<hex>` at a debug manifest, unless it belongs to another program: two programs with one build-id
/// are somebody's mistake, and whoever debugs the older one shall not find the newer one's names.
fn build_id(
    store: &dyn Store,
    debug: &DebugFile,
    policy: BuildIds,
) -> Result<Option<Withheld>, Error> {
    let (tag, ours) = (Tag::build_id(&debug.build_id), debug.node.descriptor.digest);
    if let Some(there) = store.tagged(&tag)? {
        if there.descriptor.digest == ours {
            return Ok(None);
        }
        let load_digest = debug.load_digest.to_string();
        let is_ours = there.document().is_ok_and(|document| {
            let loads = document.annotations().get(annotation::LOAD_DIGEST);
            document.kind() == media::DEBUG && loads == Some(&load_digest)
        });
        if policy == BuildIds::Withhold && !is_ours {
            let (tag, there) = (tag.to_string(), there.descriptor.digest);
            return Ok(Some(Withheld { tag, there, ours }));
        }
        // That of an image leads to no file of the program, so it does not take the place of one that does.
        if is_ours && !is_beside_binary(store, &debug.node)? && is_beside_binary(store, &there)? {
            return Ok(None);
        }
    }
    store.put_tag(&tag, &debug.node)?;
    Ok(None)
}

/// Whether the subject of a debug manifest is here, and is the manifest of a release's binaries.
fn is_beside_binary(store: &dyn Store, debug: &Node) -> Result<bool, Error> {
    let subject = debug.document()?.subject().map(|subject| subject.digest);
    let subject = subject.map(|digest| store.manifest(&digest)).transpose()?.flatten();
    let document = subject.as_ref().map(Node::document).transpose();
    Ok(document.ok().flatten().is_some_and(|document| document.kind() == media::BINARY))
}

/// Sets the tags of cosign 2. Gives those under which what was there and what came stand together.
pub(super) fn companions(
    store: &dyn Store,
    graph: &Graph<'_>,
    occupied: Occupied,
) -> Result<(Vec<String>, Vec<Withheld>), Error> {
    let (mut joined, mut withheld) = (Vec::new(), Vec::new());
    for (tag, node) in &graph.companions {
        match companion(store, tag, node, occupied)? {
            Set::Ours => {}
            Set::Joined => joined.push(tag.to_string()),
            Set::Withheld(of) => withheld.push(of),
        }
    }
    Ok((joined, withheld))
}

/// What was done about a tag.
enum Set {
    /// It has ours.
    Ours,
    /// It has what was there as well.
    Joined,
    /// It has something else.
    Withheld(Withheld),
}

fn companion(store: &dyn Store, tag: &Tag, node: &Node, occupied: Occupied) -> Result<Set, Error> {
    let mut set = Set::Ours;
    // Looked at again where they were joined: another copy may have done that from what it read before ours.
    for _ in 0..MAX_ROUNDS {
        let fate = match store.tagged(tag)? {
            Some(there) => cosign::fate(store, tag, &there, node)?,
            None => Fate::Moves,
        };
        match fate {
            Fate::Stays => return Ok(set),
            Fate::Foreign { there } if occupied == Occupied::Refuse => {
                let (tag, ours) = (tag.to_string(), node.descriptor.digest);
                return Ok(Set::Withheld(Withheld { tag, there, ours }));
            }
            Fate::Moves | Fate::Foreign { .. } => {
                store.put_tag(tag, node)?;
                return Ok(set);
            }
            Fate::Joined { manifest, config } => {
                let (node, blob) = (manifest.to_node(), &manifest.config);
                store.put_blob(blob, &|| Ok(Verified::new(config.as_slice(), blob)))?;
                store.put_manifest(&node)?;
                store.put_tag(tag, &node)?;
                set = Set::Joined;
            }
        }
    }
    Ok(set)
}
