//! The names in the documents of a registry: media types, artifact types, annotations.
//!
//! Those that begin with `dev.xpost` or `application/vnd.xpost` are ours and part of the format; with each of the others
//! stands where it comes from.

/// Media types and artifact types.
pub mod media {
    use crate::release::SbomFormat;

    /// OCI image-spec, "Image Manifest".
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image-spec, "Image Index".
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image-spec, "Guidance for an Empty Descriptor".
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker's image manifest, version 2 schema 2: an older name for the same shape.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// The artifact type of a release's index.
    pub const RELEASE: &str = "application/vnd.xpost.release.v1";
    /// The artifact type of a platform's manifest.
    pub const BINARY: &str = "application/vnd.xpost.binary.v1";
    /// A binary, raw: the layer's digest is the file's.
    pub const BINARY_ELF: &str = "application/vnd.xpost.binary.elf.v1";
    /// The artifact type of a debug file's manifest.
    pub const DEBUG: &str = "application/vnd.xpost.debuginfo.v1";
    /// A debug file, raw.
    pub const DEBUG_ELF: &str = "application/vnd.xpost.debuginfo.elf.v1";
    /// What split DWARF leaves out of a debug file, raw: a second layer of its manifest.
    pub const DEBUG_DWP: &str = "application/vnd.xpost.debuginfo.dwp.v1";
    /// OCI image-spec, "Image Configuration".
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker's name for the same.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer, compressed (OCI image-spec, "Image Layer").
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// What is pushed or attached without saying what it is (oras-go, "pack").
    pub const UNKNOWN: &str = "application/vnd.unknown.artifact.v1";
    /// Bytes of which nobody said what they are (RFC 2046, 4.5.1).
    pub const BYTES: &str = "application/octet-stream";
    /// A Sigstore bundle, as artifact type and as layer (cosign, specs/BUNDLE_SPEC.md).
    pub const BUNDLE: &str = crate::sign::MEDIA_TYPE;
    /// An SBOM in CycloneDX, as artifact type and as layer.
    pub const CYCLONEDX: &str = SbomFormat::CycloneDx.media_type();
    /// An SBOM in SPDX, as artifact type and as layer.
    pub const SPDX: &str = SbomFormat::Spdx.media_type();
}

/// The keys of annotations, and values that never change.
pub mod annotation {
    /// The file name of a layer; oras, too, writes a layer under this name (OCI image-spec, "Annotations").
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// `true` on a layer that is a directory, packed as tar+gzip (oras-go, content/file).
    pub const UNPACK: &str = "io.deis.oras.content.unpack";
    /// The digest of that before it was compressed (oras-go, content/file).
    pub const UNPACKED: &str = "io.deis.oras.content.digest";
    /// The tag of an entry in a layout's `index.json` (OCI image-spec, "Image Layout").
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The version of a release (OCI image-spec, "Annotations").
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// The build-id of a binary or a debug file, in hex.
    pub const BUILD_ID: &str = "dev.xpost.build-id";
    /// SHA-256 over the segments: which program a debug file belongs to.
    pub const LOAD_DIGEST: &str = "dev.xpost.load-digest";
    /// The digest of the manifest whose debug file this is, where that lies in another repository.
    pub const BINARY: &str = "dev.xpost.binary";
    /// The permission bits of a binary, as `0755`.
    pub const MODE: &str = "dev.xpost.mode";
    /// The target triple, which tells builds for one platform apart.
    pub const TARGET: &str = "dev.xpost.target";
    /// What `MODE` says.
    pub const EXECUTABLE: &str = "0755";
    /// What kind of content a bundle has (cosign, specs/BUNDLE_SPEC.md).
    pub const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";
    /// The predicate type of a bundle's statement (cosign, specs/BUNDLE_SPEC.md).
    pub const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";
    /// The value of `BUNDLE_CONTENT` for a signed statement.
    pub const DSSE: &str = "dsse-envelope";
    /// The predicate type of a signature.
    pub const SIGN: &str = crate::sign::PREDICATE_TYPE;
    /// By this key `cosign verify --local-image` finds what a layout is about (cosign, pkg/oci/layout).
    pub const KIND: &str = "kind";
    /// The value of `KIND`.
    pub const KIND_IMAGE: &str = "dev.cosignproject.cosign/image";
}
