//! Evidence layers → [`Sbom`] → CycloneDX: what is in this binary?
//!
//! Each layer is a file of its own and reads one kind of evidence: what the Go linker or cargo-auditable wrote
//! down, later DWARF and byte matches. [`fuse`] lays them over each other, and the writers print what came out
//! and decide nothing. All of it is made from the binary alone, so the same binary gives the same bytes on
//! every machine: no path of the build host, no clock, no random number.

mod auditable;
mod cyclonedx;
mod go;
mod purl;
mod read;
mod timestamp;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha512};

pub use auditable::Error as AuditableError;
pub use read::{MAX_LENGTH, subject_hash};
pub use timestamp::{BadTimestamp, Timestamp};

use crate::build_id::BuildId;
use crate::digest::{Digest, Hashing};
use crate::inspect::Platform;
use crate::inspect::go::BuildInfo;

/// The hashes of a file, in the strengths that readers of SBOMs ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256: the digest that registries use.
    pub sha256: Digest,
    /// SHA-512, which BSI TR-03183-2 wants.
    pub sha512: [u8; 64],
    /// The length in bytes.
    pub size: u64,
}

impl Hashes {
    /// The hashes of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let sha512 = Sha512::digest(bytes).into();
        Self { sha256: Digest::of(bytes), sha512, size: bytes.len() as u64 }
    }

    /// The hashes of all that `reader` gives, in constant memory.
    pub fn read(reader: impl io::Read) -> io::Result<Self> {
        let mut sha256 = Hashing::new(reader);
        let mut sha512 = Sha512::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match sha256.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => sha512.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let (digest, size) = sha256.finish();
        Ok(Self { sha256: digest, sha512: sha512.finalize().into(), size })
    }
}

/// What is known of a binary before anyone looks for components.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The file name of the slim binary.
    pub name: &'a str,
    /// Its hashes.
    pub hashes: Hashes,
    /// The id of its note.
    pub build_id: Option<&'a BuildId>,
    /// What it runs on.
    pub platform: &'a Platform,
    /// The name and the hashes of its debug file.
    pub debug: Option<(&'a str, Hashes)>,
    /// What [`crate::inspect::go::parse`] read from `.go.buildinfo`.
    pub go: Option<&'a BuildInfo>,
    /// The contents of `.dep-v0`.
    pub dep_v0: Option<&'a [u8]>,
}

/// Something that is in the binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What tells it apart in this SBOM: the purl, where it has one.
    pub reference: String,
    /// The package URL; absent where no registry has the package, because then it would lie.
    pub purl: Option<String>,
    /// The name in its ecosystem.
    pub name: String,
    /// The version, where one is known.
    pub version: Option<String>,
    /// What the format has no field for.
    pub properties: BTreeMap<&'static str, String>,
    /// The references of what it needs itself.
    pub needs: BTreeSet<String>,
    /// How it was found.
    pub methods: Vec<Method>,
}

/// How a component was found, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// The technique by CycloneDX's name.
    pub technique: &'static str,
    /// 0 to 100.
    pub percent: u8,
    /// Where the evidence lies.
    pub source: &'static str,
}

/// Whether a list names everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing else is in the binary.
    Complete,
    /// Something else is in the binary, or may be.
    Incomplete,
    /// There was no evidence to read.
    Unknown,
}

/// What one layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The version of the binary itself.
    pub version: Option<String>,
    /// The package URL of the binary itself.
    pub purl: Option<String>,
    /// What else it says of the binary itself.
    pub properties: BTreeMap<&'static str, String>,
    /// What it found, in any order; references are unique.
    pub components: Vec<Component>,
    /// The references of what the binary itself needs.
    pub needs: BTreeSet<String>,
    /// Whether the components are all there are.
    pub components_are: Completeness,
    /// Whether what each component needs is known.
    pub needs_are: Completeness,
    /// How it was found.
    pub method: Method,
}

/// All that is known of what is in a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// The file name of the binary.
    pub name: String,
    /// Its hashes.
    pub hashes: Hashes,
    /// Its version.
    pub version: Option<String>,
    /// Its package URL.
    pub purl: Option<String>,
    /// What the format has no field for.
    pub properties: BTreeMap<&'static str, String>,
    /// The name and the hashes of its debug file.
    pub debug: Option<(String, Hashes)>,
    /// How the identity of the binary was found.
    pub methods: Vec<Method>,
    /// The references of what it needs itself.
    pub needs: BTreeSet<String>,
    /// What is in it, sorted by reference.
    pub components: Vec<Component>,
    /// Whether the components are all there are.
    pub components_are: Completeness,
    /// The references of the components of which it is not known what they need.
    pub needs_unknown: BTreeSet<String>,
}

/// Reads all layers of a binary and lays them over each other.
pub fn sbom(subject: &Subject<'_>) -> Result<Sbom, Error> {
    let mut layers = Vec::new();
    if let Some(info) = subject.go {
        layers.push(go::evidence(info));
    }
    if let Some(section) = subject.dep_v0 {
        layers.push(auditable::evidence(section)?);
    }
    Ok(fuse(subject, layers))
}

/// Lays evidence over evidence: one component for each reference, with all methods that found it. Of what
/// two layers say of the same thing the first holds.
pub fn fuse(subject: &Subject<'_>, layers: Vec<Evidence>) -> Sbom {
    let mut sbom = Sbom {
        name: subject.name.to_owned(),
        hashes: subject.hashes.clone(),
        version: None,
        purl: None,
        properties: facts(subject),
        debug: subject.debug.clone().map(|(name, hashes)| (name.to_owned(), hashes)),
        methods: Vec::new(),
        needs: BTreeSet::new(),
        components: Vec::new(),
        components_are: match layers.as_slice() {
            [] => Completeness::Unknown,
            [only] => only.components_are,
            // Two languages in one program: each layer is silent about the code that joins them.
            _ => Completeness::Incomplete,
        },
        needs_unknown: BTreeSet::new(),
    };
    let mut components: BTreeMap<String, Component> = BTreeMap::new();
    for layer in layers {
        sbom.version = sbom.version.or(layer.version);
        sbom.purl = sbom.purl.or(layer.purl);
        for (name, value) in layer.properties {
            sbom.properties.entry(name).or_insert(value);
        }
        sbom.methods.push(layer.method);
        sbom.needs.extend(layer.needs);
        for component in layer.components {
            if layer.needs_are != Completeness::Complete {
                sbom.needs_unknown.insert(component.reference.clone());
            }
            match components.get_mut(&component.reference) {
                Some(known) => known.add(component),
                None => {
                    components.insert(component.reference.clone(), component);
                }
            }
        }
    }
    sbom.components = components.into_values().collect();
    sbom
}

impl Component {
    fn add(&mut self, other: Self) {
        for (name, value) in other.properties {
            self.properties.entry(name).or_insert(value);
        }
        self.needs.extend(other.needs);
        self.methods.extend(other.methods);
    }
}

fn facts(subject: &Subject<'_>) -> BTreeMap<&'static str, String> {
    use crate::inspect::Libc;
    let linkage = match subject.platform.libc {
        Libc::Static => "static",
        Libc::System => "dynamic",
        Libc::Musl => "dynamic, musl",
    };
    let mut facts = BTreeMap::from([
        ("dev.xpost:platform", subject.platform.to_string()),
        ("dev.xpost:linkage", linkage.to_owned()),
        ("dev.xpost:size", subject.hashes.size.to_string()),
    ]);
    if let Some(id) = subject.build_id {
        facts.insert("dev.xpost:build-id", id.to_string());
    }
    facts
}

/// A reference that nothing else has: the same with `#2`, `#3`, … where it is taken.
fn unique(taken: &mut BTreeMap<String, usize>, reference: String) -> String {
    let count = taken.entry(reference.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { reference } else { format!("{reference}#{count}") }
}

/// Why there is no SBOM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `.dep-v0` cannot be used.
    #[error("cannot read `.dep-v0` of cargo-auditable")]
    Auditable(#[from] auditable::Error),
    /// The document could not be written.
    #[error("cannot write CycloneDX")]
    CycloneDx {
        /// What `cyclonedx-bom` said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::inspect::Libc;

    pub(crate) const METHOD: Method =
        Method { technique: "manifest-analysis", percent: 100, source: "test" };

    pub(crate) fn platform() -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
            libc: Libc::Static,
        }
    }

    pub(crate) fn subject(platform: &Platform) -> Subject<'_> {
        Subject {
            name: "app",
            hashes: Hashes::of(b"slim"),
            build_id: None,
            platform,
            debug: Some(("app.debug", Hashes::of(b"debug"))),
            go: None,
            dep_v0: None,
        }
    }

    pub(crate) fn evidence(names: &[&str]) -> Evidence {
        let component = |name: &&str| Component {
            reference: (*name).to_owned(),
            purl: None,
            name: (*name).to_owned(),
            version: None,
            properties: BTreeMap::new(),
            needs: BTreeSet::new(),
            methods: vec![METHOD],
        };
        Evidence {
            version: None,
            purl: None,
            properties: BTreeMap::new(),
            components: names.iter().map(component).collect(),
            needs: names.iter().map(|name| (*name).to_owned()).collect(),
            components_are: Completeness::Complete,
            needs_are: Completeness::Complete,
            method: METHOD,
        }
    }

    #[test]
    fn without_evidence_nothing_is_claimed() {
        let platform = platform();
        let sbom = fuse(&subject(&platform), Vec::new());
        assert_eq!(sbom.components_are, Completeness::Unknown);
        assert_eq!(sbom.version, None);
        assert_eq!(sbom.properties.get("dev.xpost:linkage").map(String::as_str), Some("static"));
    }

    #[test]
    fn what_two_layers_find_is_one_component_with_two_methods() {
        let platform = platform();
        let mut first = evidence(&["b", "a"]);
        first.version = Some("1".to_owned());
        let mut second = evidence(&["a", "c"]);
        second.version = Some("2".to_owned());
        second.needs_are = Completeness::Unknown;
        let sbom = fuse(&subject(&platform), vec![first, second]);
        let found: Vec<_> = sbom
            .components
            .iter()
            .map(|component| (component.reference.as_str(), component.methods.len()))
            .collect();
        assert_eq!(found, [("a", 2), ("b", 1), ("c", 1)]);
        assert_eq!(sbom.version.as_deref(), Some("1"));
        assert_eq!(sbom.components_are, Completeness::Incomplete);
        assert!(sbom.needs_unknown.contains("c") && !sbom.needs_unknown.contains("b"));
    }

    #[test]
    fn hashes_while_reading_are_the_hashes_of_the_bytes() {
        assert_eq!(Hashes::read(b"slim".as_slice()).expect("read"), Hashes::of(b"slim"));
    }
}
