//! A release as the documents and blobs that are published: the graph of `ARCHITECTURE.md`, as a value.
//!
//! In goes a [`Release`] as it was read, out comes an [`Artifact`]: every manifest as its final bytes, every blob as
//! the file it comes from. It is pure, and both `sign` and `push` make it, so what is signed is what is pushed.
//! A signature is about a manifest whose digest does not depend on it: bundles are referrers like all else.

use std::io::Read;
use std::path::PathBuf;

use super::Error;
use super::manifest::{
    Descriptor, EMPTY_BYTES, Index, Manifest, Node, PlatformEntry, annotation, media,
};
use super::pack::{LayerEntry, LayerReader};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs;
use crate::inspect::Platform;
use crate::release::{Binary, Form, PlatformRelease, Product, Release, Sbom};

/// Everything that is published under one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The index: what the tag points at.
    pub index: Node,
    /// One manifest for each platform, in the order of the index.
    pub platforms: Vec<PlatformNode>,
    /// What belongs to the manifests, in the order in which it is pushed.
    pub referrers: Vec<ReferrerNode>,
    /// Every blob once, in the order in which it is pushed.
    pub blobs: Vec<Blob>,
}

/// The manifest of one platform's binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformNode {
    /// For which platform.
    pub platform: Platform,
    /// The manifest.
    pub node: Node,
}

/// A manifest with a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerNode {
    /// The digest of the manifest it belongs to.
    pub subject: Digest,
    /// What it is.
    pub role: Role,
    /// The manifest; its descriptor has type and annotations, as listings show them.
    pub node: Node,
}

/// What a referrer is to its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A debug file.
    Debug {
        /// By which it is found, where the binary has one.
        build_id: Option<BuildId>,
        /// Which program it belongs to.
        load_digest: Digest,
    },
    /// An SBOM.
    Sbom,
    /// A signature.
    Bundle,
}

/// Bytes that a layer points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// How people call it: a file name.
    pub name: String,
    /// Type, digest and size.
    pub descriptor: Descriptor,
    /// Where the bytes are.
    pub source: Source,
}

impl Blob {
    /// The configuration of what has none.
    pub fn empty() -> Self {
        Self {
            name: "the empty configuration".to_owned(),
            descriptor: Descriptor::empty().plain(),
            source: Source::Bytes(EMPTY_BYTES.to_vec()),
        }
    }
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
    /// In several files that make one layer of an image.
    Layer(Vec<LayerEntry>),
}

impl Source {
    /// The bytes, from their beginning.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(&self) -> Result<Box<dyn Read + '_>, Error> {
        Ok(match self {
            Self::File(path) => Box::new(fs::open(path)?.0),
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::Layer(entries) => Box::new(LayerReader::compressed(entries)),
        })
    }
}

impl Artifact {
    /// The artifact of a release: equal releases give equal bytes.
    ///
    /// Two builds for one platform stand in the order of the release, the one for the system's usual C library first:
    /// most programs take the first, and `dev.xpost.target` tells them apart.
    pub fn of(release: &Release) -> Self {
        let mut parts = Parts::default();
        let platforms: Vec<PlatformNode> =
            release.platforms.iter().map(|platform| parts.platform(platform)).collect();

        let mut index = Index::new(Some(media::RELEASE), platforms.iter().map(entry).collect());
        index.annotations.clone_from(&release.annotations);
        let index = index.to_node();
        parts.signatures(Form::Files, release, &index, &platforms);
        parts.into_artifact(index, platforms)
    }

    /// The manifests that are signed, the index first.
    pub fn signed(&self) -> impl Iterator<Item = (Option<&Platform>, &Node)> {
        let platforms =
            self.platforms.iter().map(|platform| (Some(&platform.platform), &platform.node));
        std::iter::once((None, &self.index)).chain(platforms)
    }
}

/// Debug files for a repository of their own: whoever may read the binaries may not read these. No `subject`, because
/// that manifest is elsewhere: an annotation names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugFiles {
    /// The manifests; `subject` is the binaries' manifest, wherever it is.
    pub nodes: Vec<ReferrerNode>,
    /// The files.
    pub blobs: Vec<Blob>,
}

impl DebugFiles {
    /// The debug files of a release whose binaries are published as `artifact`.
    pub fn of(release: &Release, artifact: &Artifact) -> Self {
        let mut parts = Parts::default();
        for (platform, of) in artifact.platforms.iter().zip(&release.platforms) {
            let subject = platform.node.descriptor.digest;
            for binary in &of.binaries {
                let Some(debug) = &binary.debug else { continue };
                let (role, mut manifest) = parts.debug_manifest(binary, debug);
                manifest.annotations.insert(annotation::BINARY.to_owned(), subject.to_string());
                parts.referrers.push(ReferrerNode { subject, role, node: manifest.to_node() });
            }
        }
        Self { nodes: parts.referrers, blobs: parts.blobs }
    }
}

/// A platform's entry in the index. Neither a title (oras would take the manifest for a file of that name) nor an
/// artifact type (skopeo 1.9 `copy -a` would rewrite the index, and its signature would be void).
pub(super) fn entry(platform: &PlatformNode) -> Descriptor {
    let mut entry = platform.node.descriptor.plain();
    entry.platform = Some(PlatformEntry::from(&platform.platform));
    entry.annotations.insert(annotation::TARGET.to_owned(), platform.platform.target());
    entry
}

/// The binaries of a platform, by name.
fn sorted(release: &PlatformRelease) -> Vec<&Binary> {
    let mut binaries: Vec<&Binary> = release.binaries.iter().collect();
    binaries.sort_by(|one, other| one.file.name.cmp(&other.file.name));
    binaries
}

/// What gathers while the manifests are made.
pub(super) struct Parts {
    blobs: Vec<Blob>,
    referrers: Vec<ReferrerNode>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { blobs: vec![Blob::empty()], referrers: Vec::new() }
    }
}

impl Parts {
    pub(super) fn into_artifact(self, index: Node, platforms: Vec<PlatformNode>) -> Artifact {
        let Self { blobs, referrers } = self;
        Artifact { index, platforms, referrers, blobs }
    }

    /// Adds a blob; equal files of two platforms are one.
    pub(super) fn add(&mut self, blob: Blob) {
        if !self.blobs.iter().any(|other| other.descriptor.digest == blob.descriptor.digest) {
            self.blobs.push(blob);
        }
    }

    /// The debug files and SBOMs of a platform's binaries.
    pub(super) fn companions(&mut self, node: &Node, release: &PlatformRelease) {
        for binary in sorted(release) {
            if let Some(debug) = &binary.debug {
                self.debug(node, binary, debug);
            }
            for sbom in &binary.sboms {
                self.sbom(node, sbom);
            }
        }
    }

    fn platform(&mut self, release: &PlatformRelease) -> PlatformNode {
        let layers = sorted(release).into_iter().map(|binary| self.binary(binary)).collect();
        let node = Manifest::new(media::BINARY, layers).to_node();
        self.companions(&node, release);
        PlatformNode { platform: release.platform.clone(), node }
    }

    fn binary(&mut self, binary: &Binary) -> Descriptor {
        let mut layer = self.layer(media::BINARY_ELF, &binary.file);
        let mut note = |key: &str, value: String| layer.annotations.insert(key.to_owned(), value);
        note(annotation::TITLE, binary.file.name.clone());
        note(annotation::MODE, annotation::EXECUTABLE.to_owned());
        if let Some(id) = &binary.build_id {
            note(annotation::BUILD_ID, id.to_string());
        }
        layer
    }

    fn debug(&mut self, subject: &Node, binary: &Binary, debug: &Product) {
        let (role, manifest) = self.debug_manifest(binary, debug);
        self.refer(subject, role, manifest);
    }

    fn debug_manifest(&mut self, binary: &Binary, debug: &Product) -> (Role, Manifest) {
        let mut layer = self.layer(media::DEBUG_ELF, debug);
        layer
            .annotations
            .insert(annotation::LOAD_DIGEST.to_owned(), binary.load_digest.to_string());
        if let Some(id) = &binary.build_id {
            layer.annotations.insert(annotation::BUILD_ID.to_owned(), id.to_string());
        }
        // Listings of referrers show the annotations of the manifest, never those of a layer.
        let annotations = layer.annotations.clone();
        layer.annotations.insert(annotation::TITLE.to_owned(), debug.name.clone());
        let dwp = binary.dwp.as_ref().map(|dwp| {
            let mut layer = self.layer(media::DEBUG_DWP, dwp);
            layer.annotations.clone_from(&annotations);
            layer.annotations.insert(annotation::TITLE.to_owned(), dwp.name.clone());
            layer
        });
        let mut manifest = Manifest::new(media::DEBUG, [layer].into_iter().chain(dwp).collect());
        manifest.annotations = annotations;
        let (build_id, load_digest) = (binary.build_id.clone(), binary.load_digest);
        (Role::Debug { build_id, load_digest }, manifest)
    }

    fn sbom(&mut self, subject: &Node, sbom: &Sbom) {
        // Trivy takes an SBOM only where the artifact and its layer are of the same type.
        let kind = sbom.format.media_type();
        let mut layer = self.layer(kind, &sbom.file);
        layer.annotations.insert(annotation::TITLE.to_owned(), sbom.file.name.clone());
        self.refer(subject, Role::Sbom, Manifest::new(kind, vec![layer]));
    }

    /// The signatures. From here the digests that are signed are fixed; a bundle changes none of them.
    pub(super) fn signatures(
        &mut self,
        form: Form,
        release: &Release,
        index: &Node,
        platforms: &[PlatformNode],
    ) {
        for PlatformNode { platform, node } in platforms {
            let of = release.platforms.iter().find(|of| of.platform == *platform);
            self.bundle(node, of.and_then(|of| release.bundle_of(form, Some(of))));
        }
        self.bundle(index, release.bundle_of(form, None));
    }

    fn bundle(&mut self, subject: &Node, bundle: Option<&Product>) {
        let Some(bundle) = bundle else { return };
        let layer = self.layer(media::BUNDLE, bundle);
        let mut manifest = Manifest::new(media::BUNDLE, vec![layer]);
        let mut note =
            |key: &str, value: &str| manifest.annotations.insert(key.to_owned(), value.to_owned());
        note(annotation::BUNDLE_CONTENT, annotation::DSSE);
        note(annotation::BUNDLE_PREDICATE, annotation::SIGN);
        self.refer(subject, Role::Bundle, manifest);
    }

    fn refer(&mut self, subject: &Node, role: Role, mut manifest: Manifest) {
        manifest.subject = Some(subject.descriptor.plain());
        let subject = subject.descriptor.digest;
        self.referrers.push(ReferrerNode { subject, role, node: manifest.to_node() });
    }

    fn layer(&mut self, media_type: &str, file: &Product) -> Descriptor {
        let descriptor = Descriptor::new(media_type, file.digest, file.size);
        self.add(Blob {
            name: file.name.clone(),
            descriptor: descriptor.clone(),
            source: Source::File(file.path.clone()),
        });
        descriptor
    }
}
