//! The documents of a registry: descriptors, manifests and indexes, and the names in them.
//!
//! What we write is made by [`Manifest::to_node`] and [`Index::to_node`]: field order as the specification lists it,
//! annotations sorted, no white space, so equal contents are equal bytes and equal digests. What others wrote is
//! read leniently: fields nobody knows are passed over, absent and `null` lists are empty. Nothing is ever written
//! back from these types that somebody else made.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;

use super::Error;
pub use super::names::{annotation, media};
use crate::digest::Digest;
use crate::inspect::Platform;

/// Annotations; sorted, so that they are always written the same way.
pub type Annotations = BTreeMap<String, String>;

/// The largest manifest that is read (OCI distribution-spec, "Pushing Manifests": registries accept 4 MiB).
pub const MAX_MANIFEST: u64 = 4 << 20;

/// What points at some bytes: type, digest, size (OCI image-spec, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    #[serde(default)]
    pub media_type: String,
    /// Their digest.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Base64 of the bytes themselves; only for the empty configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// In an index: for which platform the manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformEntry>,
    /// In a listing of referrers: the manifest's own artifact type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free text by key.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: Annotations,
}

impl Descriptor {
    /// A descriptor without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            data: None,
            platform: None,
            artifact_type: None,
            annotations: Annotations::new(),
        }
    }

    /// The two bytes `{}` that stand where an artifact has no configuration
    /// (OCI image-spec, "Guidance for an Empty Descriptor").
    pub fn empty() -> Self {
        Self {
            data: Some("e30=".to_owned()),
            ..Self::new(media::EMPTY, Digest::of(EMPTY_BYTES), EMPTY_BYTES.len() as u64)
        }
    }

    /// Type, digest and size alone, as a `subject` has them.
    pub fn plain(&self) -> Self {
        Self::new(&self.media_type, self.digest, self.size)
    }

    /// Whether it points at a manifest or an index and not at a blob.
    pub fn is_manifest(&self) -> bool {
        self.is_index()
            || [media::MANIFEST, media::DOCKER_MANIFEST].contains(&self.media_type.as_str())
    }

    /// Whether it points at an index.
    pub fn is_index(&self) -> bool {
        [media::INDEX, media::DOCKER_LIST].contains(&self.media_type.as_str())
    }
}

/// The contents of [`Descriptor::empty`].
pub const EMPTY_BYTES: &[u8] = b"{}";

/// A platform as an index states it (OCI image-spec, "Image Index").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformEntry {
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `linux`, …
    #[serde(default)]
    pub os: String,
    /// `v7` of `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl From<&Platform> for PlatformEntry {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
        }
    }
}

impl PlatformEntry {
    /// Whether `other` is what is asked for: a variant counts only where it is named.
    pub fn fits(&self, other: &Self) -> bool {
        let variant = self.variant.is_none() || self.variant == other.variant;
        self.os == other.os && self.architecture == other.architecture && variant
    }
}

/// `linux/amd64`, `linux/arm/v7`.
impl std::fmt::Display for PlatformEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(out, "/{variant}"))
    }
}

/// OCI image-spec, "Image Manifest".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    /// [`media::MANIFEST`]; absent in some old documents.
    #[serde(default)]
    pub media_type: String,
    /// What the whole is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// [`Descriptor::empty`] in ours.
    pub config: Descriptor,
    /// The files.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text by key.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: Annotations,
}

impl Manifest {
    /// Whether it is an image for a container runtime, whose files are in layers.
    pub fn is_image(&self) -> bool {
        [media::CONFIG, media::DOCKER_CONFIG].contains(&self.config.media_type.as_str())
    }

    /// An artifact of these layers, without configuration.
    pub fn new(artifact_type: &str, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media::MANIFEST.to_owned(),
            artifact_type: Some(artifact_type.to_owned()),
            config: Descriptor::empty(),
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// A runnable image.
    pub fn image(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { artifact_type: None, config, ..Self::new("", layers) }
    }

    /// What the whole is: the artifact type, or else the configuration's type, as the specification has it.
    pub fn kind(&self) -> &str {
        match self.artifact_type.as_deref() {
            Some(kind) if !kind.is_empty() => kind,
            _ => &self.config.media_type,
        }
    }

    /// The bytes to publish, and their descriptor as a listing of referrers shows it: with type and annotations.
    pub fn to_node(&self) -> Node {
        let mut node = Node::of(media::MANIFEST, to_bytes(self));
        node.descriptor.artifact_type = Some(self.kind().to_owned());
        node.descriptor.annotations.clone_from(&self.annotations);
        node
    }
}

/// OCI image-spec, "Image Index".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    /// [`media::INDEX`]; absent in some documents.
    #[serde(default)]
    pub media_type: String,
    /// What the whole is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests in it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text by key.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: Annotations,
}

impl Index {
    /// An index of these manifests.
    pub fn new(artifact_type: Option<&str>, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            artifact_type: artifact_type.map(str::to_owned),
            manifests,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// The bytes to publish, and their descriptor.
    pub fn to_node(&self) -> Node {
        Node::of(media::INDEX, to_bytes(self))
    }
}

/// One document, as the exact bytes that are published, and what points at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Type, digest and size of `bytes`.
    pub descriptor: Descriptor,
    /// The document.
    pub bytes: Vec<u8>,
}

impl Node {
    /// The node of these bytes.
    pub fn of(media_type: &str, bytes: Vec<u8>) -> Self {
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        Self { descriptor, bytes }
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything but one clear manifest or index.
    pub fn document(&self) -> Result<Document, Error> {
        Document::parse(&self.descriptor, &self.bytes)
    }
}

/// What a document of a registry can be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is looked at and dropped"
)]
pub enum Document {
    /// A manifest: configuration and layers.
    Manifest(Manifest),
    /// An index: manifests.
    Index(Index),
}

impl Document {
    fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<Self, Error> {
        let malformed =
            |reason: String| Error::Malformed { what: descriptor.digest.to_string(), reason };
        let shape: Shape =
            serde_json::from_slice(bytes).map_err(|error| malformed(json_problem(&error)))?;
        // A document that one reader takes for an index and the next for a manifest is an attack
        // (CVE-2021-41190): its own type decides, and everything else has to agree.
        let stated = [shape.media_type.as_str(), &descriptor.media_type];
        let is_index = stated.iter().any(|kind| [media::INDEX, media::DOCKER_LIST].contains(kind));
        let is_manifest =
            stated.iter().any(|kind| [media::MANIFEST, media::DOCKER_MANIFEST].contains(kind));
        let holds = shape.config || shape.layers;
        match (is_index || shape.manifests, is_manifest || holds) {
            (true, false) => serde_json::from_slice(bytes).map(Self::Index),
            (false, true) => serde_json::from_slice(bytes).map(Self::Manifest),
            (true, true) => return Err(malformed("it is both a manifest and an index".to_owned())),
            (false, false) => {
                let kind: String = shape.media_type.chars().take(100).collect();
                return Err(malformed(format!(
                    "neither a manifest nor an index (mediaType {kind:?})"
                )));
            }
        }
        .map_err(|error| malformed(json_problem(&error)))
    }

    /// The manifest it belongs to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// What the whole is; empty where nothing says it.
    pub fn kind(&self) -> &str {
        match self {
            Self::Manifest(manifest) => manifest.kind(),
            Self::Index(index) => index.artifact_type.as_deref().unwrap_or_default(),
        }
    }

    /// Its own annotations.
    pub fn annotations(&self) -> &Annotations {
        match self {
            Self::Manifest(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
        }
    }
}

/// What is wrong with a document, without the names that things have in here.
pub(super) fn json_problem(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("its JSON breaks off at {place}"),
        Category::Syntax | Category::Io => format!("it is no JSON: {error}"),
        Category::Data => {
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            // `invalid type: null, expected struct Manifest`
            let text = match text.split_once("expected struct ") {
                Some((before, _)) => format!("{before}expected an object"),
                None => text.to_owned(),
            };
            format!("{text} at {place}")
        }
    }
}

/// The media type that a document states about itself or shows by its fields; empty where it does neither.
pub(super) fn stated_type(bytes: &[u8]) -> String {
    let Ok(shape) = serde_json::from_slice::<Shape>(bytes) else { return String::new() };
    if !shape.media_type.is_empty() {
        shape.media_type
    } else if shape.manifests {
        media::INDEX.to_owned()
    } else if shape.layers {
        media::MANIFEST.to_owned()
    } else {
        String::new()
    }
}

/// Just enough to see what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    media_type: String,
    #[serde(default, deserialize_with = "is_there")]
    manifests: bool,
    #[serde(default, deserialize_with = "is_there")]
    layers: bool,
    #[serde(default, deserialize_with = "is_there")]
    config: bool,
}

/// Whether a field is there, whatever it holds: `null` is there too.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("maps have text keys, and a vector takes all")
}

/// Go writes an empty list or map as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_document_is_said_without_our_names() {
        let said = |text: &str| json_problem(&serde_json::from_str::<Index>(text).expect_err(text));
        assert_eq!(said(r#"{"manifests":["#), "its JSON breaks off at line 1, column 14");
        assert!(said("<html>").starts_with("it is no JSON: "), "{}", said("<html>"));
        let other = said(r#"{"schemaVersion":2,"manifests":[1]}"#);
        assert_eq!(other, "invalid type: integer `1`, expected an object at line 1, column 33");
    }

    fn parse(media_type: &str, text: &str) -> Result<Document, Error> {
        Node::of(media_type, text.as_bytes().to_vec()).document()
    }

    #[test]
    fn the_empty_descriptor_is_the_specifications() {
        let text = serde_json::to_string(&Descriptor::empty()).expect("text");
        assert_eq!(
            text,
            concat!(
                r#"{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""size":2,"data":"e30="}"#
            )
        );
    }

    #[test]
    fn fields_are_written_in_the_specifications_order() {
        let mut manifest = Manifest::new(media::BINARY, Vec::new());
        manifest.annotations.insert("b".to_owned(), "2".to_owned());
        manifest.annotations.insert("a".to_owned(), "1".to_owned());
        let text = String::from_utf8(manifest.to_node().bytes).expect("text");
        assert!(text.starts_with(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"#
        ));
        assert!(text.ends_with(r#""layers":[],"annotations":{"a":"1","b":"2"}}"#), "{text}");
    }

    #[test]
    fn foreign_documents_may_say_more_and_less() {
        let text = r#"{"schemaVersion":2,"manifests":null,"annotations":null,"x":{"y":1}}"#;
        assert!(
            matches!(parse("", text), Ok(Document::Index(index)) if index.manifests.is_empty())
        );
    }

    #[test]
    fn a_document_is_one_thing() {
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        let masked = r#"{"schemaVersion":2,"manifests":[]}"#;
        let other = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        for (kind, text) in [
            ("", both),
            (media::MANIFEST, masked),
            ("", other),
            ("", "<html>"),
            ("", "[]"),
            ("", ""),
        ] {
            assert!(matches!(parse(kind, text), Err(Error::Malformed { .. })), "{text}");
        }
    }
}
