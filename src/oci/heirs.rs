//! The tag of a build-id outlives the debug file that it points at, where another with the same build-id stays: two releases
//! may have one program, and a release and its image do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::at_once;
use super::manifest::{Document, Node, annotation, media};
use super::store::{self, Store};
use crate::digest::Digest;

/// So much of what stays is looked at; what is not found there is found as what mirrors lost is.
const MAX_ROOTS: usize = 1024;

/// So many between two looks at whether all were found.
const CHUNK: usize = 32;

/// Looks around what stays for debug files with these build-ids that do not go. Gives one for each id that has one: a release's
/// before an image's, which leads to no file of the program.
pub(super) fn heirs(
    store: &dyn Store,
    staying: &[&Node],
    ids: &BTreeSet<String>,
    going: &BTreeSet<Digest>,
) -> Result<BTreeMap<String, Node>, Error> {
    let mut found = BTreeMap::<String, Heir>::new();
    let seen = Mutex::new(BTreeSet::new());
    let is_settled = |heir: Option<&Heir>| heir.is_some_and(|heir| !heir.of_image);
    let is_new = |digest| seen.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    for some in staying.get(..MAX_ROOTS.min(staying.len())).unwrap_or_default().chunks(CHUNK) {
        if ids.iter().all(|id| is_settled(found.get(id))) {
            break;
        }
        let around = at_once::each(some, |root| around(store, root, ids, going, &is_new))?;
        for (id, heir) in around.into_iter().flatten() {
            if !is_settled(found.get(&id)) {
                found.insert(id, heir);
            }
        }
    }
    Ok(found.into_iter().map(|(id, heir)| (id, heir.node)).collect())
}

/// A debug manifest, and whether it belongs to an image.
struct Heir {
    node: Node,
    of_image: bool,
}

fn around(
    store: &dyn Store,
    root: &Node,
    ids: &BTreeSet<String>,
    going: &BTreeSet<Digest>,
    is_new: &(dyn Fn(Digest) -> bool + Sync),
) -> Result<Vec<(String, Heir)>, Error> {
    let manifests = match root.document() {
        Ok(Document::Manifest(_)) => vec![root.descriptor.plain()],
        Ok(Document::Index(index)) => index.manifests,
        Err(_) => Vec::new(),
    };
    let wanted = |stated: Option<&String>| stated.filter(|id| ids.contains(*id)).cloned();
    let mut found = Vec::new();
    for manifest in manifests {
        if !manifest.is_manifest() || manifest.is_index() || !is_new(manifest.digest) {
            continue;
        }
        let Some(node) = store.manifest(&manifest.digest)? else { continue };
        let Ok(Document::Manifest(document)) = node.document() else { continue };
        // Binaries say which id they have; of an image only what refers to it does.
        let mut layers = document.layers.iter();
        let says =
            layers.any(|layer| wanted(layer.annotations.get(annotation::BUILD_ID)).is_some());
        if !says && !document.is_image() {
            continue;
        }
        for debug in store::referrers(store, &manifest.digest, Some(media::DEBUG))? {
            let id = wanted(debug.descriptor.annotations.get(annotation::BUILD_ID));
            if let Some(id) = id.filter(|_| !going.contains(&debug.descriptor.digest)) {
                found.push((id, Heir { node: debug.node, of_image: document.is_image() }));
            }
        }
    }
    Ok(found)
}
