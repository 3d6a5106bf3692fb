//! Publishes a graph into a store, in an order in which no reader ever meets something that is not whole.
//!
//! Blobs, then manifests by digest, then referrers; then everything is listed and read back, the way a user's tools
//! will; then the tags of the debug files, and the root's tags last of all. A push that was cut short is finished by
//! the same push again: what is there is not sent twice. A copy is the same thing with a graph that came out of a store.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Error;
use super::at_once;
use super::graph::{Graph, GraphBlob};
use super::manifest::{Descriptor, Document, Node};
use super::reference::Tag;
use super::store::{self, Opener, State, Store};
use super::tags::{self, BuildIds, Occupied, Withheld};
use crate::digest::Digest;

/// How often another writer may be in between.
const MAX_ROUNDS: usize = 4;

/// What the root is called, and what the user decided about tags that exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The root's tags; without one it is there by its digest alone.
    pub tags: Vec<Tag>,
    /// What the root's digest has to be, where the user said so.
    pub digest: Option<Digest>,
    /// The release's tag belongs to another release.
    pub occupied: Occupied,
    /// A `buildid-` tag belongs to another program's debug file.
    pub build_ids: BuildIds,
}

/// What happens, as it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A transfer of a blob begins (again, after a failure). Several may be on their way at once.
    Begin {
        /// Which blob.
        digest: Digest,
        /// A file name, or a digest.
        name: &'a str,
        /// In bytes.
        size: u64,
    },
    /// So many bytes of it have passed.
    Passed {
        /// Which blob.
        digest: Digest,
        /// In bytes, from its beginning.
        bytes: u64,
    },
    /// The blob is there.
    End {
        /// Which blob.
        digest: Digest,
        /// A file name, or a digest.
        name: &'a str,
        /// Whether it had to be sent.
        state: State,
    },
    /// A manifest is there.
    Manifest {
        /// Its digest.
        digest: Digest,
    },
    /// Everything is listed and read back.
    Checking,
    /// A tag points where it should.
    Tagged {
        /// The tag.
        tag: &'a Tag,
    },
}

/// Who wants to know; draws progress. Told by several threads.
pub type Observer<'a> = dyn Fn(Event<'_>) + Sync + 'a;

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The store.
    pub place: String,
    /// The digest of the root: the release, wherever it is copied.
    pub digest: Option<Digest>,
    /// The root's tags, and what the push did to each.
    pub tags: Vec<Tagged>,
    /// Every blob.
    pub blobs: Vec<Upload>,
    /// Every manifest.
    pub manifests: Vec<Upload>,
    /// The tags of debug files that point at this release's.
    pub build_id_tags: Vec<String>,
    /// Tags of cosign 2 under which what was there and what came stand together.
    pub joined: Vec<String>,
    /// Tags that belong to something else and were left alone.
    pub withheld: Vec<Withheld>,
    /// The fallback tags that had to be written.
    pub fallback_tags: Vec<String>,
}

/// One thing that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upload {
    /// A file name, or what kind of manifest it is.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Whether it had to be sent.
    pub state: State,
}

/// What became of the release's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagState {
    /// It is new.
    Created,
    /// It pointed here already.
    Unchanged,
    /// It was moved from another release.
    Moved {
        /// Which release it was.
        from: Digest,
    },
}

/// A tag of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tagged {
    /// Its name.
    pub tag: String,
    /// What became of it.
    pub state: TagState,
}

impl Receipt {
    fn new(graph: &Graph<'_>, store: &dyn Store) -> Self {
        Self {
            place: store.name(),
            digest: graph.root.as_ref().map(|root| root.descriptor.digest),
            tags: Vec::new(),
            blobs: Vec::new(),
            manifests: Vec::new(),
            build_id_tags: Vec::new(),
            joined: Vec::new(),
            withheld: Vec::new(),
            fallback_tags: Vec::new(),
        }
    }

    /// The bytes that went over the wire for blobs.
    pub fn uploaded_bytes(&self) -> u64 {
        let sent = self.blobs.iter().filter(|blob| blob.state == State::Uploaded);
        sent.map(|blob| blob.size).sum()
    }
}

/// What a push would do, without doing it: what is there, what is not, and where tags would go.
///
/// # Errors
/// Those of the store, and [`Error::Occupied`].
pub fn survey(graph: &Graph<'_>, store: &dyn Store, options: &Options) -> Result<Receipt, Error> {
    let mut receipt = Receipt::new(graph, store);
    receipt.tags = tag_states(graph, store, options)?;
    let state = |there| if there { State::Present } else { State::Uploaded };
    receipt.blobs = at_once::each(&graph.blobs, |blob| {
        let state = state(store.has_blob(&blob.descriptor)?);
        Ok(upload(&blob.name, &blob.descriptor, state))
    })?;
    receipt.manifests = at_once::each(&graph.nodes, |node| {
        let state = state(store.has_manifest(&node.descriptor)?);
        Ok(upload(&kind_of(node), &node.descriptor, state))
    })?;
    Ok(receipt)
}

/// Publishes a graph.
///
/// A receipt with `withheld` tags is a success with a *but*: everything is there, and a tag that others rely on was
/// left alone.
///
/// # Errors
/// [`Error::Occupied`], [`Error::OtherDigest`] and a graph with something missing before anything is written; those of
/// the store and of reading the blobs; [`Error::NotListed`] where the store does not show what it took. After an error the
/// tags are where they were.
pub fn push(
    graph: &Graph<'_>,
    store: &dyn Store,
    options: &Options,
    observer: &Observer<'_>,
) -> Result<Receipt, Error> {
    let mut receipt = Receipt::new(graph, store);
    if let (Some(stated), Some(ours)) = (options.digest, receipt.digest)
        && stated != ours
    {
        return Err(Error::OtherDigest { stated, ours });
    }
    if let Some(missing) = graph.missing.first() {
        let what = format!("{} ({})", missing.what, missing.digest);
        return Err(Error::Incomplete { what, of: missing.of, count: graph.missing.len() });
    }
    tag_states(graph, store, options)?;
    receipt.blobs = at_once::each(&graph.blobs, |blob| {
        let state = ensure_blob(store, blob, observer)?;
        Ok(upload(&blob.name, &blob.descriptor, state))
    })?;
    receipt.manifests = ensure_manifests(store, graph, observer)?;
    // From here everything is there by digest; what follows makes it findable.
    observer(Event::Checking);
    receipt.fallback_tags = ensure_all_listed(store, graph)?;
    read_back(store, graph)?;
    (receipt.build_id_tags, receipt.withheld) = tags::build_ids(store, graph, options.build_ids)?;
    let (joined, withheld) = tags::companions(store, graph, options.occupied)?;
    receipt.joined = joined;
    receipt.withheld.extend(withheld);
    // Looked at again: where the list is a tag, another push may have written it from what it read before ours.
    ensure_all_listed(store, graph)?;
    if let Some(root) = &graph.root {
        // This, too: another push may have been quicker.
        receipt.tags = tag_states(graph, store, options)?;
        for (tag, tagged) in options.tags.iter().zip(&receipt.tags) {
            if tagged.state != TagState::Unchanged {
                store.put_tag(tag, root)?;
            }
            observer(Event::Tagged { tag });
        }
        let is_referrer =
            graph.referrers.iter().any(|edge| edge.referrer.digest == root.descriptor.digest);
        if options.tags.is_empty() && !is_referrer {
            store.put_untagged(root)?;
        }
    }
    store.finish()?;
    Ok(receipt)
}

fn upload(name: &str, descriptor: &Descriptor, state: State) -> Upload {
    Upload { name: name.to_owned(), digest: descriptor.digest, size: descriptor.size, state }
}

fn kind_of(node: &Node) -> String {
    node.document().map(|document| document.kind().to_owned()).unwrap_or_default()
}

/// What setting each tag would do; refused where one would be taken from something else.
fn tag_states(
    graph: &Graph<'_>,
    store: &dyn Store,
    options: &Options,
) -> Result<Vec<Tagged>, Error> {
    let Some(ours) = graph.root.as_ref().map(|root| root.descriptor.digest) else {
        return Ok(Vec::new());
    };
    let state = |tag: &Tag| {
        let state = match store.tagged(tag)?.map(|node| node.descriptor.digest) {
            None => TagState::Created,
            Some(there) if there == ours => TagState::Unchanged,
            Some(there) if options.occupied == Occupied::Refuse => {
                let (place, tag) = (store.name(), tag.to_string());
                return Err(Error::Occupied { place, tag, there, ours });
            }
            Some(from) => TagState::Moved { from },
        };
        Ok(Tagged { tag: tag.to_string(), state })
    };
    options.tags.iter().map(state).collect()
}

/// Sends a blob that is not there.
fn ensure_blob(
    store: &dyn Store,
    blob: &GraphBlob<'_>,
    observer: &Observer<'_>,
) -> Result<State, Error> {
    let GraphBlob { name, descriptor, .. } = blob;
    let digest = descriptor.digest;
    let mut state = State::Present;
    if !store.has_blob(descriptor)? {
        let passed = |bytes| observer(Event::Passed { digest, bytes });
        let open: &Opener<'_> = &|| {
            observer(Event::Begin { digest, name, size: descriptor.size });
            Ok(blob.open()?.telling(&passed))
        };
        state = store::without_mirror(|| match blob.store() {
            Some(from) => store.take_blob(descriptor, from, open),
            None => store.put_blob(descriptor, open).map(|()| State::Uploaded),
        })?;
    }
    observer(Event::End { digest, name, state });
    Ok(state)
}

/// Sends the manifests that are not there, and what refers to others last. Those that point at blobs alone go a few at once; an
/// index goes when its children are there.
fn ensure_manifests(
    store: &dyn Store,
    graph: &Graph<'_>,
    observer: &Observer<'_>,
) -> Result<Vec<Upload>, Error> {
    let mut late: BTreeSet<Digest> =
        graph.referrers.iter().map(|edge| edge.referrer.digest).collect();
    let (mut manifests, mut indexes) = (Vec::new(), Vec::new());
    for node in &graph.nodes {
        match node.document()? {
            Document::Manifest(_) => manifests.push(node),
            Document::Index(index) => {
                // Some attestations are both in an index and about a manifest of it.
                for child in &index.manifests {
                    late.remove(&child.digest);
                }
                indexes.push(node);
            }
        }
    }
    let send = |node: &&Node| {
        let state = ensure_manifest(store, node, observer)?;
        Ok((node.descriptor.digest, state))
    };
    let mut states = BTreeMap::new();
    for is_late in [false, true] {
        let due = |node: &&&Node| late.contains(&node.descriptor.digest) == is_late;
        let at_once: Vec<&Node> = manifests.iter().filter(due).copied().collect();
        states.extend(at_once::each(&at_once, send)?);
        for node in indexes.iter().filter(due) {
            states.extend([send(node)?]);
        }
    }
    let state = |node: &Node| states.get(&node.descriptor.digest).copied();
    let uploads = graph.nodes.iter().filter_map(|node| {
        state(node).map(|state| upload(&kind_of(node), &node.descriptor, state))
    });
    Ok(uploads.collect())
}

/// Sends a manifest that is not there.
fn ensure_manifest(
    store: &dyn Store,
    node: &Node,
    observer: &Observer<'_>,
) -> Result<State, Error> {
    let there = store.has_manifest(&node.descriptor)?;
    if !there {
        store.put_manifest(node)?;
    }
    observer(Event::Manifest { digest: node.descriptor.digest });
    Ok(if there { State::Present } else { State::Uploaded })
}

/// Makes the store list these referrers, and looks whether it does: a header that says so proves nothing (ECR), and
/// neither does its absence (ociserver). Gives the fallback tag, where it had to be written.
fn ensure_listed(
    store: &dyn Store,
    subject: &Digest,
    entries: &[Descriptor],
) -> Result<Option<Tag>, Error> {
    if entries.is_empty() {
        return Ok(None);
    }
    // In one order, whichever way a source lists them: a copy of a layout is the same layout.
    let mut entries = entries.to_vec();
    entries.sort_by(|one, other| {
        (&one.artifact_type, one.digest.hex()).cmp(&(&other.artifact_type, other.digest.hex()))
    });
    let entries = entries.as_slice();
    let (mut written, mut missing) = (None, 0);
    for _ in 0..MAX_ROUNDS {
        written = store.list(subject, entries)?.or(written);
        let listed = store.listed(subject, None)?;
        let is_missing =
            |entry: &&Descriptor| !listed.iter().any(|other| other.digest == entry.digest);
        missing = entries.iter().filter(is_missing).count();
        if missing == 0 {
            return Ok(written);
        }
    }
    let (place, expected) = (store.name(), entries.len());
    Err(Error::NotListed { place, subject: *subject, missing, expected })
}

/// Makes the store list the referrers of every manifest that has some. Gives the fallback tags that were written.
fn ensure_all_listed(store: &dyn Store, graph: &Graph<'_>) -> Result<Vec<String>, Error> {
    let written = store::put_each(store, &graph.subjects(), |(subject, entries)| {
        Ok(ensure_listed(store, subject, entries)?.map(|tag| tag.to_string()))
    })?;
    Ok(written.into_iter().flatten().collect())
}

/// The manifests once more, as a reader sees them. Of each blob the store has said that it is there.
fn read_back(store: &dyn Store, graph: &Graph<'_>) -> Result<(), Error> {
    // The digest is checked on the way, so these are the bytes.
    at_once::each(&graph.nodes, |node| store::load(store, &node.descriptor)).map(|_| ())
}
