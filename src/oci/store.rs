//! Where blobs and manifests live: the one interface over a directory, a registry and memory.
//!
//! A store keeps bytes by digest and names by tag. Whoever reads through it gets bytes whose digest and size were
//! checked on the way: [`Verified`] does that for all of them. What a store does not decide is the order of things
//! and whether a tag may move; `push` does.

use std::io::{self, Read, Write};

use serde::Serialize;

use super::manifest::{Descriptor, Document, MAX_MANIFEST, Node};
use super::reference::{Repository, Tag};
use super::{Error, Target, at_once};
use crate::digest::{Digest, Hashing};

/// Opens the bytes of a blob from their beginning; called again where an upload has to be begun anew.
pub type Opener<'a> = dyn Fn() -> Result<Verified<'a>, Error> + 'a;

/// What it took to have something in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was sent.
    Uploaded,
    /// The store took it over from another place of its own.
    Mounted,
    /// It was there.
    Present,
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To pull.
    Read,
    /// To pull and to push.
    Write,
    /// To delete, which needs all of it.
    Delete,
}

/// A place for blobs, manifests and tags; used by several threads at once.
pub trait Store: Sync {
    /// How people call it: `ghcr.io/org/app`, `oci:release`.
    fn name(&self) -> String;

    /// The manifest under a tag; `None` where the tag does not exist.
    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error>;

    /// The manifest with a digest, at most [`MAX_MANIFEST`] bytes; `None` where it is not there.
    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error>;

    /// Whether the manifest is there.
    fn has_manifest(&self, node: &Descriptor) -> Result<bool, Error> {
        Ok(self.manifest(&node.digest)?.is_some())
    }

    /// Keeps a manifest under its digest. What it points at has to be there already.
    fn put_manifest(&self, node: &Node) -> Result<(), Error>;

    /// Makes a tag point at a manifest, whatever it pointed at before.
    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error>;

    /// Makes a manifest without a tag findable, in stores that are looked through instead of being asked.
    fn put_untagged(&self, _node: &Node) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the blob is there, with the size that it has to have.
    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error>;

    /// The bytes of a blob.
    fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error>;

    /// Keeps a blob, streamed from `open`. Once this has succeeded the store has said that these bytes are there.
    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error>;

    /// The repository that this is, of a registry that has several.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// Keeps a blob that is in another store: without its bytes passing through here, where both are one place.
    fn take_blob(
        &self,
        blob: &Descriptor,
        _from: &dyn Store,
        open: &Opener<'_>,
    ) -> Result<State, Error> {
        self.put_blob(blob, open).map(|()| State::Uploaded)
    }

    /// What the store takes for referrers of a manifest: all, or at least those of one artifact type. A hint:
    /// [`referrers`] looks at each.
    fn listed(&self, subject: &Digest, wanted: Option<&str>) -> Result<Vec<Descriptor>, Error>;

    /// Makes sure that `listed` shows these referrers of `subject`, where that needs more than having pushed them.
    /// Gives the tag that was written for it.
    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error>;

    /// Whether it shows in what order things were put.
    fn keeps_order(&self) -> bool {
        false
    }

    /// All tags, in no order.
    fn tags(&self) -> Result<Vec<Tag>, Error>;

    /// What [`Store::put_untagged`] made findable, and others did likewise.
    fn untagged(&self) -> Result<Vec<Descriptor>, Error> {
        Ok(Vec::new())
    }

    /// Takes a manifest away. What was gone already is no error.
    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error>;

    /// Takes a tag away, and not what it names. What was gone already is no error.
    fn delete_tag(&self, tag: &Tag) -> Result<(), Error>;

    /// Takes a referrer out of what is listed for `subject`, where that does not happen by itself.
    fn unlist(&self, _subject: &Digest, _referrer: &Digest) -> Result<(), Error> {
        Ok(())
    }

    /// Takes those of these blobs away that nothing needs any more, where nobody comes by to do it.
    fn sweep(&self, _blobs: &[Descriptor]) -> Result<(), Error> {
        Ok(())
    }

    /// Makes everything that was put last, in stores that are written as a whole.
    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The one release there is, for a reference that names none; only layouts can look.
    fn only_release(&self) -> Result<Node, Error> {
        Err(Error::NoTag { reference: self.name() })
    }
}

/// The manifest that a target names.
///
/// # Errors
/// [`Error::NotFound`]; a target that names nothing is what [`Store::only_release`] makes of it.
pub fn resolve(store: &dyn Store, target: &Target) -> Result<Node, Error> {
    let (found, what) = match target {
        Target { digest: Some(digest), .. } => (store.manifest(digest)?, digest.to_string()),
        Target { tag: Some(tag), .. } => (store.tagged(tag)?, format!("tag {tag}")),
        Target { tag: None, digest: None } => return store.only_release(),
    };
    found.ok_or_else(|| Error::NotFound { what, place: store.name() })
}

/// The manifest that a descriptor points at, which has to be there.
///
/// # Errors
/// [`Error::NotFound`], and [`Error::WrongSize`] where the descriptor promises another size.
pub fn load(store: &dyn Store, descriptor: &Descriptor) -> Result<Node, Error> {
    check_size(&descriptor.digest.to_string(), descriptor.size, MAX_MANIFEST)?;
    let what = || descriptor.digest.to_string();
    let node = store
        .manifest(&descriptor.digest)?
        .ok_or_else(|| Error::NotFound { what: what(), place: store.name() })?;
    if node.descriptor.size != descriptor.size {
        let (expected, found) = (descriptor.size, node.descriptor.size);
        return Err(Error::WrongSize { what: what(), expected, found });
    }
    Ok(node)
}

/// A blob that is expected to be small, whole.
///
/// # Errors
/// More than `limit` bytes, and those of reading it.
pub fn small_blob(store: &dyn Store, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
    check_size(&blob.digest.to_string(), blob.size, limit)?;
    without_mirror(|| {
        let mut bytes = Vec::new();
        fetch(store, blob, &mut bytes, &|_| {})?;
        Ok(bytes)
    })
}

/// Does something with bytes of a store; anew where they came from a mirror that failed in the middle. Whoever reads
/// [`Store::blob`] does that in here, because only there what was made of the first bytes can be thrown away.
///
/// # Errors
/// Those of `work`.
pub(super) fn without_mirror<T>(work: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match work() {
        // It is asked nothing more, so this comes once.
        Err(Error::Mirror { .. }) => work(),
        done => done,
    }
}

/// Copies a blob to `out`, and tells after each piece how many bytes have passed.
///
/// # Errors
/// Those of the store, and a digest or size other than promised: then `out` holds garbage.
pub fn fetch(
    store: &dyn Store,
    blob: &Descriptor,
    out: &mut (dyn Write + Send),
    passed: &dyn Fn(u64),
) -> Result<(), Error> {
    let step = || format!("fetch {} from {}", blob.digest, store.name());
    let copied = at_once::copy(&mut store.blob(blob)?.telling(passed), out);
    copied.map_err(|error| Error::of_stream(error, step))
}

/// Does `work` for each item that is put into a store, a few at once; one after another where that shows in the store, or it would not be the same
/// bytes each time.
///
/// # Errors
/// Those of [`at_once::each`].
pub(super) fn put_each<'items, T: Sync, R: Send>(
    store: &dyn Store,
    items: &'items [T],
    work: impl Fn(&'items T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    match store.keeps_order() {
        true => items.iter().map(work).collect(),
        false => at_once::each(items, work),
    }
}

/// A referrer that was looked into.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// Its descriptor, with type and annotations as its own manifest states them.
    pub descriptor: Descriptor,
    /// The bytes.
    pub node: Node,
    /// What they say.
    pub document: Document,
}

/// What a store lists as the referrers of a manifest.
#[derive(Debug, Default)]
pub struct Referrers {
    /// Those that are.
    pub there: Vec<Referrer>,
    /// The entries whose manifest is not there.
    pub gone: Vec<Descriptor>,
}

/// More referrers of one manifest than this are not looked at.
pub(super) const MAX_REFERRERS: usize = 5000;

/// More bytes of referrers of one manifest than this are not held: with those of a release they have some kilobytes.
const MAX_REFERRER_BYTES: u64 = 256 << 20;

/// The referrers of a manifest, of one artifact type or of all, each looked into: only its own `subject` proves
/// whose it is, and only its own type what it is. Listings lie about both: cosign keeps other things under the
/// fallback tag, and older ones of it, as well as go-containerregistry's registry (0.22), state the type of the empty
/// configuration.
///
/// # Errors
/// Those of the store. An entry whose manifest is gone or is none is passed over.
pub fn referrers(
    store: &dyn Store,
    subject: &Digest,
    wanted: Option<&str>,
) -> Result<Vec<Referrer>, Error> {
    referrers_and_gone(store, subject, wanted).map(|found| found.there)
}

/// The same, and the entries whose manifest is gone.
///
/// # Errors
/// Those of [`referrers`].
pub fn referrers_and_gone(
    store: &dyn Store,
    subject: &Digest,
    wanted: Option<&str>,
) -> Result<Referrers, Error> {
    let Referrers { there: mut found, mut gone } = Referrers::default();
    let mut held = 0;
    let listed = store.listed(subject, wanted)?;
    if listed.len() > MAX_REFERRERS {
        let what = format!("entries in the list of what refers to {subject}");
        return Err(Error::Many { place: store.name(), what, limit: MAX_REFERRERS });
    }
    for entry in listed {
        let stated = entry.artifact_type.as_deref().unwrap_or_default();
        let says_nothing = stated.is_empty() || stated == super::manifest::media::EMPTY;
        let other = wanted.is_some_and(|wanted| wanted != stated) && !says_nothing;
        if other || found.iter().any(|referrer| referrer.descriptor.digest == entry.digest) {
            continue;
        }
        let Some(node) = store.manifest(&entry.digest)? else {
            gone.push(entry);
            continue;
        };
        let Ok(document) = node.document() else { continue };
        let belongs = document.subject().is_some_and(|belongs| belongs.digest == *subject);
        if !belongs || wanted.is_some_and(|wanted| wanted != document.kind()) {
            continue;
        }
        held += node.descriptor.size;
        check_size(&format!("what refers to {subject}"), held, MAX_REFERRER_BYTES)?;
        let descriptor = described(&node, &document);
        found.push(Referrer { descriptor, node, document });
    }
    Ok(Referrers { there: found, gone })
}

/// The descriptor of a referrer as a listing has to show it.
pub(super) fn described(node: &Node, document: &Document) -> Descriptor {
    let mut descriptor = node.descriptor.plain();
    descriptor.artifact_type = Some(document.kind().to_owned()).filter(|kind| !kind.is_empty());
    descriptor.annotations.clone_from(document.annotations());
    descriptor
}

/// Refuses what is stated to be larger than `limit`.
pub(super) fn check_size(what: &str, size: u64, limit: u64) -> Result<(), Error> {
    if size > limit {
        return Err(Error::TooLarge { what: what.to_owned(), size, limit });
    }
    Ok(())
}

/// The node of bytes that came from outside, if they are the ones asked for.
pub(super) fn checked(media_type: &str, bytes: Vec<u8>, digest: &Digest) -> Result<Node, Error> {
    let mut node = Node::of(media_type, bytes);
    if media_type.is_empty() {
        node.descriptor.media_type = super::manifest::stated_type(&node.bytes);
    }
    if node.descriptor.digest != *digest {
        let (what, found) = ("the manifest".to_owned(), node.descriptor.digest);
        return Err(Error::WrongDigest { what, expected: *digest, found });
    }
    Ok(node)
}

/// The bytes of a blob on their way: reading them ends well only if digest and size are the promised ones. Stores give
/// and take nothing else, so bytes are checked once on each way, and on no way never.
pub struct Verified<'a> {
    hashing: Option<Hashing<Box<dyn Read + 'a>>>,
    expected: Descriptor,
    count: u64,
    passed: &'a dyn Fn(u64),
    failed: Box<dyn Fn(io::Error) -> io::Error + 'a>,
}

impl<'a> Verified<'a> {
    /// Checks what is read from `inner` against a descriptor.
    pub fn new(inner: impl Read + 'a, expected: &Descriptor) -> Self {
        let hashing = Some(Hashing::new(Box::new(inner) as Box<dyn Read>));
        Self {
            hashing,
            expected: expected.plain(),
            count: 0,
            passed: &|_| {},
            failed: Box::new(|error| error),
        }
    }

    /// Tells after each piece how many bytes have passed.
    #[must_use]
    pub fn telling(self, passed: &'a dyn Fn(u64)) -> Self {
        Self { passed, ..self }
    }

    /// Has the error, where it does not end well, made another.
    #[cfg(feature = "net")]
    #[must_use]
    pub(super) fn failing(self, failed: impl Fn(io::Error) -> io::Error + 'a) -> Self {
        Self { failed: Box::new(failed), ..self }
    }

    /// Reads to the end and keeps nothing.
    ///
    /// # Errors
    /// What reading says: other bytes than promised as well.
    pub fn check(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(|_| ())
    }

    fn judge(&self, found: u64, digest: Digest) -> Result<(), Error> {
        let (what, expected) = ("the blob".to_owned(), self.expected.digest);
        if found != self.expected.size {
            let what = format!("{what} {expected}");
            return Err(Error::WrongSize { what, expected: self.expected.size, found });
        }
        if digest != expected {
            return Err(Error::WrongDigest { what, expected, found: digest });
        }
        Ok(())
    }
}

impl Read for Verified<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| (self.failed)(error))
    }
}

impl Verified<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(hashing) = &mut self.hashing else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = hashing.read(buffer)?;
        self.count += count as u64;
        if count > 0 && self.count <= self.expected.size {
            (self.passed)(self.count);
            return Ok(count);
        }
        if let Some(hashing) = self.hashing.take() {
            let (digest, found) = hashing.finish();
            self.judge(found, digest).map_err(io::Error::other)?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MemoryStore;
    use crate::oci::manifest::{Index, Manifest, media};

    fn read(bytes: &[u8], expected: &Descriptor) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        Verified::new(bytes, expected)
            .read_to_end(&mut out)
            .map_err(|error| Error::of_stream(error, || "read".to_owned()))?;
        Ok(out)
    }

    #[test]
    fn other_bytes_than_promised_are_never_taken_for_them() {
        let promised = Descriptor::new("", Digest::of(b"abc"), 3);
        assert_eq!(read(b"abc", &promised).expect("the bytes"), b"abc");
        assert!(matches!(read(b"xyz", &promised), Err(Error::WrongDigest { .. })));
        assert!(matches!(read(b"ab", &promised), Err(Error::WrongSize { found: 2, .. })));
        assert!(matches!(read(b"abcd", &promised), Err(Error::WrongSize { .. })));
    }

    #[test]
    fn an_endless_blob_is_left_at_its_promised_size() {
        let promised = Descriptor::new("", Digest::of(b"abc"), 3);
        let mut verified = Verified::new(io::repeat(0), &promised);
        let error = io::copy(&mut verified, &mut io::sink()).expect_err("too long");
        assert!(matches!(Error::of_stream(error, String::new), Error::WrongSize { .. }));
    }

    #[test]
    fn only_its_own_subject_makes_a_referrer() {
        struct Liar(MemoryStore, Vec<Descriptor>);
        impl Store for Liar {
            fn name(&self) -> String {
                "liar".to_owned()
            }
            fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
                self.0.tagged(tag)
            }
            fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
                self.0.manifest(digest)
            }
            fn put_manifest(&self, node: &Node) -> Result<(), Error> {
                self.0.put_manifest(node)
            }
            fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
                self.0.put_tag(tag, node)
            }
            fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
                self.0.has_blob(blob)
            }
            fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
                self.0.blob(blob)
            }
            fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
                self.0.put_blob(blob, open)
            }
            fn listed(&self, _: &Digest, _: Option<&str>) -> Result<Vec<Descriptor>, Error> {
                Ok(self.1.clone())
            }
            fn list(&self, _: &Digest, _: &[Descriptor]) -> Result<Option<Tag>, Error> {
                Ok(None)
            }
            fn tags(&self) -> Result<Vec<Tag>, Error> {
                self.0.tags()
            }
            fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
                self.0.delete_manifest(node)
            }
            fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
                self.0.delete_tag(tag)
            }
        }

        let subject = Index::new(None, Vec::new()).to_node();
        let mut ours = Manifest::new(media::BUNDLE, Vec::new());
        ours.subject = Some(subject.descriptor.clone());
        let ours = ours.to_node();
        let foreign = Manifest::new(media::BUNDLE, Vec::new()).to_node();
        let gone = Descriptor::new(media::MANIFEST, Digest::of(b"gone"), 4);
        let mut typed_empty = ours.descriptor.clone();
        typed_empty.artifact_type = Some(media::EMPTY.to_owned());
        typed_empty.annotations.clear();

        let store = MemoryStore::default();
        let empty = super::super::manifest::EMPTY_BYTES;
        let blob = Descriptor::empty();
        store.put_blob(&blob, &|| Ok(Verified::new(empty, &blob))).expect("kept");
        store.put_manifest(&ours).expect("kept");
        store.put_manifest(&foreign).expect("kept");
        let liar = Liar(store, vec![gone, foreign.descriptor, typed_empty.clone(), typed_empty]);
        let found =
            referrers(&liar, &subject.descriptor.digest, Some(media::BUNDLE)).expect("found");
        assert_eq!(found.len(), 1);
        assert_eq!(found.first().map(|found| &found.descriptor), Some(&ours.descriptor));
        assert!(
            referrers(&liar, &subject.descriptor.digest, Some(media::DEBUG))
                .expect("found")
                .is_empty()
        );
    }
}
