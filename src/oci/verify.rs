//! Whether a release in a store is signed: the index and every platform's manifest, each by the key that was given.
//!
//! A bundle counts only for the manifest that is its first subject, under its own name; what a registry says of a
//! bundle counts for nothing. A tag is not signed, so an old release can stand under a new tag: the version in the
//! signed index is what tells.

use super::Error;
use super::manifest::Node;
use super::names::annotation;
use super::published::{self, Published, PublishedPlatform, RemoteFile};
use super::store::Store;
use crate::digest::Digest;
use crate::sign::{self, ManifestName, PublicKey, Reason, Verified};

/// A release whose manifests are all signed.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// What was resolved; go on with its digest, never with the tag.
    pub published: Published,
    /// The signatures of each platform, in the order of the index.
    pub platforms: Vec<Signatures>,
    /// `org.opencontainers.image.version` of the signed index.
    pub version: Option<String>,
}

/// Why a release is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// There is no signature.
    #[error("{what} is not signed")]
    Unsigned {
        /// The index, or a platform, with its digest.
        what: String,
    },
    /// There are signatures, and none of them counts.
    #[error("{what} has no valid signature: {}", reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rejected {
        /// The index, or a platform, with its digest.
        what: String,
        /// Why each does not.
        reasons: Vec<Reason>,
    },
    /// The signed version is another one.
    #[error("the signed version is {}, not {wanted}", found.as_deref().unwrap_or("not stated"))]
    Version {
        /// What was asked for.
        wanted: String,
        /// What is signed.
        found: Option<String>,
    },
}

impl Trusted {
    /// Looks for a signature of every manifest under `root`.
    ///
    /// # Errors
    /// [`Untrusted`] for the first manifest without a valid signature, and for another version than the one that
    /// `version` demands.
    pub fn verify(
        store: &dyn Store,
        root: Node,
        key: &PublicKey,
        version: Option<&str>,
    ) -> Result<Self, Untrusted> {
        let published = Published::of(root)?;
        // The document decides, not its entries: an index with one entry that states no platform is still an index.
        let is_index = published.is_index();
        if is_index {
            let name = |_: &[u8]| Some(ManifestName::index());
            signature(store, key, published.root.descriptor.digest, "the index", &name)?;
        }
        let mut platforms = Vec::new();
        for entry in &published.platforms {
            let what = match &entry.platform {
                Some(platform) => platform.to_string(),
                None => "the manifest".to_owned(),
            };
            let name = |bundle: &[u8]| manifest_name(entry, bundle);
            platforms.push(signature(store, key, entry.descriptor.digest, &what, &name)?);
        }
        // From here every manifest is the key owner's word.
        let found = published.annotations.get(annotation::VERSION).cloned().filter(|_| is_index);
        match version {
            Some(wanted) if found.as_deref() != Some(wanted) => {
                Err(Untrusted::Version { wanted: wanted.to_owned(), found })
            }
            _ => Ok(Self { published, platforms, version: found }),
        }
    }

    /// The signatures of a platform.
    pub fn of(&self, platform: &PublishedPlatform) -> Option<&Signatures> {
        let position = self.published.platforms.iter().position(|other| other == platform)?;
        self.platforms.get(position)
    }
}

/// All valid signatures of one manifest by one key, at least one. A release whose SBOM was made anew has the same
/// manifest and one more signature: what any of them covers is the key owner's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures(Vec<Verified>);

impl Signatures {
    /// Whether a file is covered as the registry describes it: the name and the bytes.
    pub fn cover(&self, file: &RemoteFile) -> bool {
        self.0.iter().any(|verified| verified.covers_file(&file.title, file.descriptor.digest))
    }

    /// The names of the files that are covered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Verified::files).map(|file| file.name.as_str())
    }
}

/// Whether a bundle is a signature of a platform's manifest, or of the index where no platform is given.
pub fn signs(
    bundle: &[u8],
    key: &PublicKey,
    platform: Option<&PublishedPlatform>,
    digest: Digest,
) -> bool {
    let name = match platform {
        Some(entry) => manifest_name(entry, bundle),
        None => Some(ManifestName::index()),
    };
    name.is_some_and(|name| sign::verify(bundle, key, &name, digest).is_ok())
}

/// How the manifest must be named. A manifest that was asked for by its digest alone does not say for which
/// platform it is; there any name of a platform is right, because the digest decides.
fn manifest_name(entry: &PublishedPlatform, bundle: &[u8]) -> Option<ManifestName> {
    if let Some(platform) = &entry.platform {
        let variant = platform.variant.as_deref();
        return Some(ManifestName::of_parts(&platform.os, &platform.architecture, variant));
    }
    let coverage = sign::coverage(bundle).ok()?;
    let mut parts = coverage.manifest().name.strip_prefix("oci:")?.splitn(3, '/');
    Some(ManifestName::of_parts(parts.next()?, parts.next()?, parts.next()))
}

fn signature(
    store: &dyn Store,
    key: &PublicKey,
    digest: Digest,
    what: &str,
    name: &dyn Fn(&[u8]) -> Option<ManifestName>,
) -> Result<Signatures, Untrusted> {
    let what = format!("{what} ({digest})");
    let (mut valid, mut reasons) = (Vec::new(), Vec::new());
    for bundle in published::signatures(store, &digest)? {
        let verdict = match name(&bundle) {
            Some(name) => sign::verify(&bundle, key, &name, digest),
            None => Err(Reason::Malformed("it names no platform's manifest".to_owned())),
        };
        match verdict {
            Ok(verified) => valid.push(verified),
            Err(reason) if reasons.contains(&reason) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    match (valid.is_empty(), reasons.is_empty()) {
        (false, _) => Ok(Signatures(valid)),
        (true, true) => Err(Untrusted::Unsigned { what }),
        (true, false) => Err(Untrusted::Rejected { what, reasons }),
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::{Descriptor, EMPTY_BYTES, Index, Manifest, media};
    use crate::oci::store::Verified;
    use crate::oci::{MemoryStore, Store};
    use crate::sign::{Signer, SigningKey, Statement};

    fn keep(store: &MemoryStore, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        store.put_blob(&blob, &|| Ok(Verified::new(bytes, &blob))).expect("kept");
        blob
    }

    fn signed_manifest(store: &MemoryStore, key: &SigningKey) -> Node {
        keep(store, media::EMPTY, EMPTY_BYTES);
        let node = Manifest::new(media::BINARY, Vec::new()).to_node();
        store.put_manifest(&node).expect("kept");
        let name = ManifestName::of_parts("linux", "amd64", None);
        let statement = Statement::new(&name, node.descriptor.digest, Vec::new());
        let bundle = sign::sign(&statement, key).expect("signed");
        let mut referrer = Manifest::new(media::BUNDLE, vec![keep(store, media::BUNDLE, &bundle)]);
        referrer.subject = Some(node.descriptor.plain());
        store.put_manifest(&referrer.to_node()).expect("kept");
        node
    }

    #[test]
    fn an_index_is_not_trusted_for_the_manifests_in_it() {
        let store = MemoryStore::default();
        let key = SigningKey::generate().expect("a key");
        let manifest = signed_manifest(&store, &key);
        Trusted::verify(&store, manifest.clone(), key.public_key(), None).expect("signed");
        // Made by anybody who may push, of manifests that are signed, without saying for which platform they are.
        let index = Index::new(Some(media::RELEASE), vec![manifest.descriptor.plain()]).to_node();
        let verdict = Trusted::verify(&store, index, key.public_key(), None);
        assert!(
            matches!(&verdict, Err(Untrusted::Unsigned { what }) if what.starts_with("the index"))
        );
    }
}
