//! A registry that is read by way of a mirror: `ghcr.io=mirror.example/ghcr`.
//!
//! The mirror is asked first; what it does not have, the registry itself is asked for, and all the rest as soon as the mirror
//! fails in any way: the registry can do the same, so nobody waits for a mirror, or ends because of one. Everything
//! that goes by digest is the same from both; a tag is what the mirror says, so whoever minds an old one asks for a digest or
//! a version. Lists of what refers to a manifest are joined, because most mirrors carry none of it along.

use std::collections::BTreeSet;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::host::Host;
use super::manifest::{Descriptor, Node};
use super::reference::{Location, Reference, Repository, Tag};
use super::store::{Opener, Store, Verified};
use super::{Error, Kind, Plain, Warn};
use crate::digest::Digest;

/// Where another place has what is at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// A host, or a host and the beginning of a repository's name.
    of: String,
    /// What stands in its place.
    at: String,
    /// What its scheme says, if it has one.
    plain: Plain,
}

impl Mirror {
    /// Whether http without TLS is spoken to it: that is said with it, and of it alone.
    pub fn plain(&self) -> Plain {
        self.plain
    }

    /// Where it has a repository, if that is one of those that it mirrors.
    pub fn place_of(&self, repository: &Repository) -> Option<Repository> {
        let name = repository.to_string();
        let rest = name.strip_prefix(&self.of)?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        match format!("{}{rest}", self.at).parse::<Reference>().ok()?.location {
            Location::Registry(repository) => Some(repository),
            Location::Layout(_) | Location::Archive(_) => None,
        }
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, at) = text.split_once('=').ok_or("expected HOST[/NAME]=[http://]HOST[/NAME]")?;
        let (at, plain) = match (at.strip_prefix("http://"), at.strip_prefix("https://")) {
            (Some(at), _) => (at, Plain::Always),
            (None, Some(at)) => (at, Plain::Never),
            (None, None) => (at, Plain::Loopback),
        };
        for place in [of, at] {
            let host = place.split('/').next().unwrap_or_default();
            host.parse::<Host>().map_err(|reason| format!("{place:?}: {reason}"))?;
            let name = place.strip_prefix(host).unwrap_or_default();
            // Put together with a name, it has to be one.
            format!("{host}{}{name}/x", if host.contains(['.', ':']) { "" } else { ":1" })
                .parse::<Reference>()
                .map_err(|error| error.to_string())?;
        }
        Ok(Self { of: of.to_owned(), at: at.to_owned(), plain })
    }
}

/// A store that is read from one place first, and then from the other.
pub(super) struct Mirrored<M, O> {
    mirror: M,
    origin: O,
    warn: Warn,
    /// Whether the mirror has failed: it is not asked again.
    is_left: AtomicBool,
    /// What was said already.
    said: Mutex<BTreeSet<String>>,
}

impl<M: Store, O: Store> Mirrored<M, O> {
    pub(super) fn new(mirror: M, origin: O, warn: Warn) -> Self {
        let (is_left, said) = (AtomicBool::new(false), Mutex::default());
        Self { mirror, origin, warn, is_left, said }
    }

    /// What the mirror gives; none where it has not got it, or has failed.
    fn asked<'a, T>(&'a self, ask: impl FnOnce(&'a M) -> Result<T, Error>) -> Option<T> {
        if self.is_left.load(Ordering::Relaxed) {
            return None;
        }
        ask(&self.mirror).inspect_err(|error| self.leave(error)).ok()
    }

    /// Asks the mirror nothing more, unless all that it said is that something is not there.
    fn leave(&self, error: &Error) {
        if error.kind() == Kind::NotFound || self.is_left.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        self.say(format!("the mirror {} is not used: {reason}", self.mirror.name()));
    }

    /// Once, however often it is so.
    fn say(&self, text: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&text) {
            (self.warn)(&text);
            said.insert(text);
        }
    }

    /// What the mirror gives, or else the origin.
    fn either<'a, T>(
        &'a self,
        ask: impl Fn(&'a dyn Store) -> Result<T, Error>,
        is_there: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        match self.asked(|mirror| ask(mirror)).filter(is_there) {
            Some(found) => Ok(found),
            None => ask(&self.origin),
        }
    }
}

impl<M: Store, O: Store> Store for Mirrored<M, O> {
    fn name(&self) -> String {
        self.origin.name()
    }

    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        let tagged = |store: &dyn Store| {
            let node = store.tagged(tag)?;
            // No digest says what it has to be: it is a manifest at least.
            node.as_ref().map(Node::document).transpose()?;
            Ok(node)
        };
        self.either(tagged, Option::is_some)
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        self.either(|store| store.manifest(digest), Option::is_some)
    }

    fn has_manifest(&self, node: &Descriptor) -> Result<bool, Error> {
        self.either(|store| store.has_manifest(node), |there| *there)
    }

    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        self.origin.put_manifest(node)
    }

    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.origin.put_tag(tag, node)
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        self.either(|store| store.has_blob(blob), |there| *there)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
        let Some(bytes) = self.asked(|mirror| mirror.blob(blob)) else {
            return self.origin.blob(blob);
        };
        let digest = blob.digest;
        Ok(bytes.failing(move |error| {
            let step = || format!("get {digest} from {}", self.mirror.name());
            let error = Error::of_stream(error, step);
            self.leave(&error);
            io::Error::other(Error::Mirror { source: Box::new(error) })
        }))
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.origin.put_blob(blob, open)
    }

    fn repository(&self) -> Option<&Repository> {
        self.origin.repository()
    }

    fn listed(&self, subject: &Digest, wanted: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        let mut found = self.asked(|mirror| mirror.listed(subject, wanted)).unwrap_or_default();
        match self.origin.listed(subject, wanted) {
            Ok(others) => {
                for other in others {
                    if !found.iter().any(|entry| entry.digest == other.digest) {
                        found.push(other);
                    }
                }
                Ok(found)
            }
            // A mirror without any is no proof that there are none.
            Err(error) if found.is_empty() => Err(error),
            Err(error) => {
                let place = self.origin.name();
                self.say(format!("only the mirror says what belongs to it: {place}: {error}"));
                Ok(found)
            }
        }
    }

    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        self.origin.list(subject, entries)
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        self.either(Store::tags, |tags| !tags.is_empty())
    }

    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
        self.origin.delete_manifest(node)
    }

    fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.origin.delete_tag(tag)
    }

    fn unlist(&self, subject: &Digest, referrer: &Digest) -> Result<(), Error> {
        self.origin.unlist(subject, referrer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MemoryStore;
    use crate::oci::manifest::{Index, Manifest, media};

    fn place(mirror: &str, repository: &str) -> Option<String> {
        let mirror: Mirror = mirror.parse().expect(mirror);
        let reference: Reference = repository.parse().expect(repository);
        let Location::Registry(repository) = reference.location else { panic!("a registry") };
        mirror.place_of(&repository).map(|place| place.to_string())
    }

    #[test]
    fn a_mirror_is_of_whole_names() {
        let there = |text: &str| Some(text.to_owned());
        assert_eq!(place("ghcr.io=m.example", "ghcr.io/org/app"), there("m.example/org/app"));
        assert_eq!(place("ghcr.io/org=m:5/x/y", "ghcr.io/org/app"), there("m:5/x/y/app"));
        assert_eq!(place("ghcr.io/org/app=m:5/a", "ghcr.io/org/app"), there("m:5/a"));
        assert_eq!(place("ghcr.io/org=m.example", "ghcr.io/organ/app"), None);
        assert_eq!(place("ghcr.io=m.example", "ghcr.io:444/app"), None);
        for bad in ["", "ghcr.io", "ghcr.io=", "=m.example", "ghcr.io=ftp://m.c", "a.b=m.c/A"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mirror_says_for_itself_whether_it_has_tls() {
        for (text, plain) in [
            ("ghcr.io=m.example", Plain::Loopback),
            ("ghcr.io=http://m.example/x", Plain::Always),
            ("ghcr.io=https://localhost:5000", Plain::Never),
        ] {
            let mirror: Mirror = text.parse().expect(text);
            assert_eq!(mirror.plain(), plain, "{text}");
            assert!(place(text, "ghcr.io/org/app").is_some(), "{text}");
        }
    }

    #[test]
    fn what_the_mirror_lacks_comes_from_the_registry() {
        let (mirror, origin) = (MemoryStore::default(), MemoryStore::default());
        let subject = Index::new(Some(media::RELEASE), Vec::new()).to_node();
        let tag = Tag::new("v1").expect("a tag");
        let referrer = |store: &MemoryStore, text: &str| {
            let empty = Descriptor::empty();
            let bytes = crate::oci::manifest::EMPTY_BYTES;
            store.put_blob(&empty, &|| Ok(Verified::new(bytes, &empty))).expect("put");
            let mut manifest = Manifest::new(media::BUNDLE, Vec::new());
            manifest.subject = Some(subject.descriptor.plain());
            manifest.annotations.insert("x".to_owned(), text.to_owned());
            store.put_manifest(&manifest.to_node()).expect("put");
        };
        for store in [&mirror, &origin] {
            store.put_manifest(&subject).expect("put");
            referrer(store, "both");
        }
        referrer(&origin, "origin");
        origin.put_tag(&tag, &subject).expect("put");
        let mirrored = Mirrored::new(mirror, origin, |_| {});
        assert_eq!(mirrored.tagged(&tag).expect("asked"), Some(subject.clone()));
        let listed = mirrored.listed(&subject.descriptor.digest, None).expect("asked");
        assert_eq!(listed.len(), 2);
    }
}
