//! Publishes an artifact into a store, in an order in which no reader ever meets something that is not whole.
//!
//! Blobs, then manifests by digest, then referrers; then everything is listed and read back, the way a user's tools
//! will; then the tags of the debug files, and the release's tag last of all. A push that was cut short is finished by
//! the same push again: what is there is not sent twice.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;

use super::Error;
use super::artifact::{Artifact, Role, Source};
use super::at_once;
use super::manifest::{Descriptor, Node, annotation, media};
use super::reference::{Tag, Target};
use super::store::{self, Counting, Opener, State, Store};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs;

/// How often another writer may be in between.
const MAX_ROUNDS: usize = 4;

/// What the user decided about tags that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The release's tag belongs to another release.
    pub occupied: Occupied,
    /// A `buildid-` tag belongs to another program's debug file.
    pub build_ids: BuildIds,
}

/// What to do about a tag that points at another release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupied {
    /// Stop before anything is written.
    Refuse,
    /// Move it.
    Overwrite,
}

/// What to do about a `buildid-` tag that points at the debug file of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildIds {
    /// Publish without the tag, and say so.
    Withhold,
    /// Move it.
    Force,
}

impl Default for Options {
    fn default() -> Self {
        Self { occupied: Occupied::Refuse, build_ids: BuildIds::Withhold }
    }
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
    /// The digest of the index: the release, wherever it is copied.
    pub digest: Digest,
    /// The release's tag, where there is one.
    pub tag: Option<String>,
    /// What the push did to the tag.
    pub tag_state: Option<TagState>,
    /// Every blob.
    pub blobs: Vec<Upload>,
    /// Every manifest.
    pub manifests: Vec<Upload>,
    /// The tags of debug files that point at this release's.
    pub build_id_tags: Vec<String>,
    /// Debug files that were published without their tag.
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

/// A debug file without its tag, because the tag belongs to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    /// Of both programs.
    pub build_id: BuildId,
    /// The manifest the tag points at.
    pub there: Digest,
    /// The manifest it does not point at.
    pub ours: Digest,
}

impl Receipt {
    fn new(store: &dyn Store, artifact: &Artifact) -> Self {
        Self {
            place: store.name(),
            digest: artifact.index.descriptor.digest,
            tag: None,
            tag_state: None,
            blobs: Vec::new(),
            manifests: Vec::new(),
            build_id_tags: Vec::new(),
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

/// Publishes `artifact` under `target`.
///
/// Without a tag it is published by digest. A receipt with `withheld` debug files is a success with a *but*: everything
/// is there, and a tag that others rely on was left alone.
///
/// # Errors
/// [`Error::Occupied`] and [`Error::OtherDigest`] before anything is written; those of the store and of reading the
/// files; [`Error::NotListed`] where the store does not show what it took. After an error the tag is where it was.
pub fn push(
    artifact: &Artifact,
    store: &dyn Store,
    target: &Target,
    options: &Options,
    observer: &Observer<'_>,
) -> Result<Receipt, Error> {
    let mut receipt = Receipt::new(store, artifact);
    let ours = artifact.index.descriptor.digest;
    if let Some(stated) = target.digest.filter(|stated| *stated != ours) {
        return Err(Error::OtherDigest { stated, ours });
    }
    if let Some(tag) = &target.tag {
        receipt.tag_state = Some(tag_state(store, tag, ours, options.occupied)?);
    }
    receipt.blobs = at_once::each(&artifact.blobs, |blob| {
        let put = |opener: &Opener<'_>| {
            store.put_blob(&blob.descriptor, opener).map(|()| State::Uploaded)
        };
        let open = || open(&blob.source);
        let state = ensure_blob(store, &blob.descriptor, &blob.name, &open, &put, observer)?;
        Ok(upload(&blob.name, &blob.descriptor, state))
    })?;
    for node in artifact.nodes() {
        let state = ensure_manifest(store, node, observer)?;
        receipt.manifests.push(upload(&kind_of(node), &node.descriptor, state));
    }
    // From here everything is there by digest; what follows makes it findable.
    observer(Event::Checking);
    receipt.fallback_tags = ensure_all_listed(store, artifact)?;
    read_back(store, artifact)?;
    let mut programs: BTreeMap<&BuildId, &Digest> = BTreeMap::new();
    for referrer in &artifact.referrers {
        if let Role::Debug { build_id: Some(id), load_digest } = &referrer.role {
            // Of two programs in one release the first has the tag: nobody could say for which it was to be moved.
            let first = *programs.entry(id).or_insert(load_digest);
            let policy = if first == load_digest { options.build_ids } else { BuildIds::Withhold };
            match tag_build_id(store, id, load_digest, &referrer.node, policy)? {
                None => receipt.build_id_tags.push(id.tag()),
                Some(withheld) => receipt.withheld.push(withheld),
            }
        }
    }
    // Looked at again: where the list is a tag, another push may have written it from what it read before ours.
    ensure_all_listed(store, artifact)?;
    match &target.tag {
        Some(tag) => {
            // This, too: another push may have been quicker.
            receipt.tag_state = Some(tag_state(store, tag, ours, options.occupied)?);
            if receipt.tag_state != Some(TagState::Unchanged) {
                store.put_tag(tag, &artifact.index)?;
            }
            receipt.tag = Some(tag.to_string());
            observer(Event::Tagged { tag });
        }
        None => store.put_untagged(&artifact.index)?,
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

fn open(source: &Source) -> Result<Box<dyn Read + '_>, Error> {
    Ok(match source {
        Source::File(path) => Box::new(fs::open(path)?.0),
        Source::Bytes(bytes) => Box::new(*bytes),
    })
}

/// What setting the tag would do; refused where it would take it from another release.
pub(super) fn tag_state(
    store: &dyn Store,
    tag: &Tag,
    ours: Digest,
    occupied: Occupied,
) -> Result<TagState, Error> {
    match store.tagged(tag)?.map(|node| node.descriptor.digest) {
        None => Ok(TagState::Created),
        Some(there) if there == ours => Ok(TagState::Unchanged),
        Some(there) if occupied == Occupied::Refuse => {
            Err(Error::Occupied { place: store.name(), tag: tag.to_string(), there, ours })
        }
        Some(from) => Ok(TagState::Moved { from }),
    }
}

/// Sends a blob that is not there, by `put`.
pub(super) fn ensure_blob(
    store: &dyn Store,
    blob: &Descriptor,
    name: &str,
    open: &Opener<'_>,
    put: &dyn Fn(&Opener<'_>) -> Result<State, Error>,
    observer: &Observer<'_>,
) -> Result<State, Error> {
    let digest = blob.digest;
    let mut state = State::Present;
    if !store.has_blob(blob)? {
        let passed = |bytes| observer(Event::Passed { digest, bytes });
        state = put(&|| {
            observer(Event::Begin { digest, name, size: blob.size });
            Ok(Box::new(Counting { inner: open()?, count: 0, passed: &passed }))
        })?;
    }
    observer(Event::End { digest, name, state });
    Ok(state)
}

/// Sends a manifest that is not there.
pub(super) fn ensure_manifest(
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
pub(super) fn ensure_listed(
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

/// Makes the store list the referrers of every manifest that is signed. Gives the fallback tags that were written.
fn ensure_all_listed(store: &dyn Store, artifact: &Artifact) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    for (_, subject) in artifact.signed() {
        let of = subject.descriptor.digest;
        let referrers = artifact.referrers.iter().filter(|referrer| referrer.subject == of);
        let entries: Vec<Descriptor> =
            referrers.map(|referrer| referrer.node.descriptor.clone()).collect();
        written.extend(ensure_listed(store, &of, &entries)?.map(|tag| tag.to_string()));
    }
    Ok(written)
}

/// Everything once more, as a reader sees it.
fn read_back(store: &dyn Store, artifact: &Artifact) -> Result<(), Error> {
    for node in artifact.nodes() {
        // Its digest is checked on the way, so these are the bytes.
        store::load(store, &node.descriptor)?;
    }
    at_once::each(&artifact.blobs, |blob| {
        if store.has_blob(&blob.descriptor)? {
            return Ok(());
        }
        let what = format!("{} ({}), which was just sent", blob.name, blob.descriptor.digest);
        Err(Error::NotFound { what, place: store.name() })
    })
    .map(|_| ())
}

/// Points `buildid-<hex>` at a debug manifest, unless it belongs to another program: two programs with one build-id
/// are somebody's mistake, and whoever debugs the older one shall not find the newer one's names.
pub(super) fn tag_build_id(
    store: &dyn Store,
    id: &BuildId,
    load_digest: &Digest,
    node: &Node,
    policy: BuildIds,
) -> Result<Option<Withheld>, Error> {
    let tag = Tag::build_id(id);
    let ours = node.descriptor.digest;
    if let Some(there) = store.tagged(&tag)? {
        if there.descriptor.digest == ours {
            return Ok(None);
        }
        let same_program = there.document().is_ok_and(|document| {
            let loads = document.annotations().get(annotation::LOAD_DIGEST);
            document.kind() == media::DEBUG
                && loads.is_some_and(|loads| *loads == load_digest.to_string())
        });
        if !same_program && policy == BuildIds::Withhold {
            let there = there.descriptor.digest;
            return Ok(Some(Withheld { build_id: id.clone(), there, ours }));
        }
    }
    store.put_tag(&tag, node)?;
    Ok(None)
}
