//! A registry that is read by way of a mirror: `ghcr.io=mirror.example/ghcr`.
//!
//! The mirror is asked first; what it does not have, or does not give, the registry itself is asked for. Everything
//! that goes by digest is the same from both; a tag is what the mirror says, so whoever minds an old one asks for a digest or
//! a version. Lists of what refers to a manifest are joined, because most mirrors carry none of it along.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::host::Host;
use super::manifest::{Descriptor, Node};
use super::reference::{Location, Reference, Repository, Tag};
use super::store::{Opener, Store, Verified};
use super::{Error, Kind};
use crate::digest::Digest;

/// Where another place has what is at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// A host, or a host and the beginning of a repository's name.
    of: String,
    /// What stands in its place.
    at: String,
}

impl Mirror {
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

impl fmt::Display for Mirror {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}", self.of, self.at)
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, at) = text.split_once('=').ok_or("expected HOST[/NAME]=HOST[/NAME]")?;
        for place in [of, at] {
            let host = place.split('/').next().unwrap_or_default();
            host.parse::<Host>().map_err(|reason| format!("{place:?}: {reason}"))?;
            let name = place.strip_prefix(host).unwrap_or_default();
            // Put together with a name, it has to be one.
            format!("{host}{}{name}/x", if host.contains(['.', ':']) { "" } else { ":1" })
                .parse::<Reference>()
                .map_err(|error| error.to_string())?;
        }
        Ok(Self { of: of.to_owned(), at: at.to_owned() })
    }
}

/// A store that is read from one place first, and then from the other.
pub(super) struct Mirrored<M, O> {
    mirror: M,
    origin: O,
    /// Whether the mirror could not be reached, after all attempts: it is not asked again.
    is_down: AtomicBool,
}

impl<M: Store, O: Store> Mirrored<M, O> {
    pub(super) fn new(mirror: M, origin: O) -> Self {
        Self { mirror, origin, is_down: AtomicBool::new(false) }
    }

    /// What the mirror says; none where it is down.
    fn asked<'a, T>(
        &'a self,
        ask: impl FnOnce(&'a M) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.is_down.load(Ordering::Relaxed) {
            return None;
        }
        let said = ask(&self.mirror);
        if said.as_ref().is_err_and(|error| error.kind() == Kind::Network) {
            self.is_down.store(true, Ordering::Relaxed);
        }
        Some(said)
    }

    /// What the mirror gives, or else the origin. Where the origin cannot be reached, what the mirror said is the reason.
    fn either<'a, T>(
        &'a self,
        ask: impl Fn(&'a dyn Store) -> Result<T, Error>,
        is_there: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        let Some(first) = self.asked(|mirror| ask(mirror)) else { return ask(&self.origin) };
        if first.as_ref().is_ok_and(&is_there) {
            return first;
        }
        match ask(&self.origin) {
            Err(error) if error.kind() == Kind::Network && first.is_err() => first,
            second => second,
        }
    }
}

impl<M: Store, O: Store> Store for Mirrored<M, O> {
    fn name(&self) -> String {
        self.origin.name()
    }

    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        self.either(|store| store.tagged(tag), Option::is_some)
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
        self.either(|store| store.blob(blob), |_| true)
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.origin.put_blob(blob, open)
    }

    fn repository(&self) -> Option<&Repository> {
        self.origin.repository()
    }

    fn listed(&self, subject: &Digest, wanted: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        let first = self.asked(|mirror| mirror.listed(subject, wanted));
        match (first.unwrap_or(Ok(Vec::new())), self.origin.listed(subject, wanted)) {
            (Ok(mut found), Ok(others)) => {
                for other in others {
                    if !found.iter().any(|entry| entry.digest == other.digest) {
                        found.push(other);
                    }
                }
                Ok(found)
            }
            (Ok(found), Err(_)) if !found.is_empty() => Ok(found),
            // A mirror without any is no proof that there are none.
            (Ok(_), Err(error)) => Err(error),
            (Err(_), others) => others,
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
        for bad in ["", "ghcr.io", "ghcr.io=", "=m.example", "ghcr.io=https://m", "a.b=m.c/A"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
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
        let mirrored = Mirrored::new(mirror, origin);
        assert_eq!(mirrored.tagged(&tag).expect("asked"), Some(subject.clone()));
        let listed = mirrored.listed(&subject.descriptor.digest, None).expect("asked");
        assert_eq!(listed.len(), 2);
    }
}
