//! What is signed: a manifest and its files → an in-toto statement → the bytes of a DSSE envelope.
//!
//! One statement speaks for a manifest in a registry and for every file that it leads to, so one bundle
//! verifies both. The manifest is the first subject and is named as one (`oci:index`, `oci:linux/amd64`); the files
//! follow, sorted. Every subject has a name, because PyPI's client refuses a bundle with one that has not.
//!
//! Read back, the text is somebody else's: bounded, and strict about everything a verdict rests on. Two
//! subjects of one name, or a file named like a manifest, would make a verdict depend on who reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::Digest;
use crate::inspect::Platform;
use crate::release::{Form, PlatformRelease, Product, Release};

/// The predicate of a signature as cosign 3 makes it: nothing is claimed but the subjects.
pub const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// in-toto attestation framework, "Statement layer", v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of the payload of an envelope with a statement (in-toto, "Envelope layer").
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// About thirty thousand files.
pub(super) const MAX_LENGTH: usize = 4 << 20;
/// What no file name starts with.
const MANIFEST_PREFIX: &str = "oci:";

/// A signature's statement: a manifest, and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    manifest: Subject,
    files: Vec<Subject>,
}

/// Something a statement speaks about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The name of a manifest, or of a file.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// The name by which a statement speaks of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestName(String);

impl ManifestName {
    /// The index of a release: `oci:index`.
    pub fn index() -> Self {
        Self(format!("{MANIFEST_PREFIX}index"))
    }

    /// The manifest of a platform: `oci:linux/amd64`, `oci:linux/arm/v7`.
    pub fn platform(platform: &Platform) -> Self {
        Self(format!("{MANIFEST_PREFIX}{platform}"))
    }

    /// The same from the parts that an index states.
    pub fn of_parts(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        Self(format!("{MANIFEST_PREFIX}{os}/{architecture}{variant}"))
    }
}

impl fmt::Display for ManifestName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Subject {
    fn file(product: &Product, directory: Option<&str>) -> Self {
        let name = match directory {
            Some(directory) => format!("{directory}/{}", product.name),
            None => product.name.clone(),
        };
        Self { name, digest: product.digest }
    }
}

impl Statement {
    /// The statement of a platform's manifest: by name the files that are in it or refer to it. Those are its
    /// binaries, debug files and SBOMs; of an image debug files and SBOMs; of a debug image none.
    pub fn for_platform(form: Form, manifest: Digest, release: &PlatformRelease) -> Self {
        let name = ManifestName::platform(&release.platform);
        Self::new(&name, manifest, files(form, release, None))
    }

    /// The statement of the index: the files of all platforms as `<directory>/<name>`.
    pub fn for_index(form: Form, index: Digest, release: &Release) -> Self {
        let files = release.platforms.iter().flat_map(|platform| {
            let directory = platform.platform.directory();
            files(form, platform, Some(&directory))
        });
        Self::new(&ManifestName::index(), index, files.collect())
    }

    /// A statement about a manifest and files in any order.
    pub fn new(name: &ManifestName, manifest: Digest, mut files: Vec<Subject>) -> Self {
        files.sort();
        Self { manifest: Subject { name: name.0.clone(), digest: manifest }, files }
    }

    /// The manifest that is signed.
    pub fn manifest(&self) -> &Subject {
        &self.manifest
    }

    /// The files, sorted by name.
    pub fn files(&self) -> &[Subject] {
        &self.files
    }

    /// The digest of the file of that name.
    pub fn file(&self, name: &str) -> Option<Digest> {
        self.files.iter().find(|file| file.name == name).map(|file| file.digest)
    }

    /// The JSON text, always the same for the same subjects.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let subject = |subject: &Subject| WireSubject {
            name: subject.name.clone(),
            digest: BTreeMap::from([("sha256".to_owned(), subject.digest.hex())]),
        };
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            subject: std::iter::once(&self.manifest).chain(&self.files).map(subject).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: serde_json::Map::new(),
        };
        let bytes = serde_json::to_vec(&wire).map_err(|source| Error::Encode { source })?;
        if bytes.len() > MAX_LENGTH {
            return Err(Error::TooLarge { length: bytes.len(), limit: MAX_LENGTH });
        }
        Ok(bytes)
    }

    /// The statement in the payload of an envelope.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refusal::bad(format!("{} bytes, more than {MAX_LENGTH}", bytes.len())));
        }
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| Refusal::bad(error.to_string()))?;
        // Before all else: a statement that claims something else may be of any shape.
        if wire.predicate_type != PREDICATE_TYPE {
            return Err(Refusal::OtherPredicate(shorten(&wire.predicate_type)));
        }
        if wire.kind != STATEMENT_TYPE {
            return Err(Refusal::bad(format!("its type is {:?}", shorten(&wire.kind))));
        }
        let mut subjects = Vec::with_capacity(wire.subject.len());
        let mut names = BTreeSet::new();
        for (index, subject) in wire.subject.into_iter().enumerate() {
            let digest = subject
                .digest
                .get("sha256")
                .and_then(|hex| format!("sha256:{hex}").parse().ok())
                .ok_or_else(|| Refusal::bad(format!("subject {index} has no sha256 digest")))?;
            if index > 0 && (subject.name.is_empty() || subject.name.starts_with(MANIFEST_PREFIX)) {
                return Err(Refusal::bad(format!("subject {index} is not named as a file")));
            }
            if !names.insert(subject.name.clone()) {
                let name = shorten(&subject.name);
                return Err(Refusal::bad(format!("two subjects are named {name:?}")));
            }
            subjects.push(Subject { name: subject.name, digest });
        }
        let mut subjects = subjects.into_iter();
        let manifest = subjects.next().ok_or_else(|| Refusal::bad("it has no subject".into()))?;
        Ok(Self { manifest, files: subjects.collect() })
    }
}

/// Why bytes are not the statement of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    OtherPredicate(String),
    Malformed(String),
}

impl Refusal {
    fn bad(problem: String) -> Self {
        Self::Malformed(format!("the statement is not usable: {problem}"))
    }
}

/// Foreign text, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

fn files(form: Form, release: &PlatformRelease, directory: Option<&str>) -> Vec<Subject> {
    let binaries = release.binaries.iter().filter(|_| form != Form::DebugImage);
    let products = binaries.flat_map(|binary| {
        let sboms = binary.sboms.iter().map(|sbom| &sbom.file);
        let file = Some(&binary.file).filter(|_| form == Form::Files);
        file.into_iter().chain(&binary.debug).chain(&binary.dwp).chain(sboms)
    });
    products.map(|product| Subject::file(product, directory)).collect()
}

/// The statement as it is written. Unknown members are skipped, as in-toto wants it ("Parsing rules").
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default, skip_deserializing)]
    predicate: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct WireSubject {
    #[serde(default)]
    name: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::inspect::Libc;
    use crate::release::{Binary, Sbom, SbomFormat};

    pub(in crate::sign) fn product(name: &str) -> Product {
        let digest = Digest::of(name.as_bytes());
        Product { name: name.to_owned(), path: name.into(), digest, size: 1 }
    }

    pub(in crate::sign) fn release(architecture: &str, libc: Libc) -> PlatformRelease {
        let binary = |name: &str| Binary {
            file: product(name),
            build_id: None,
            load_digest: Digest::of(b""),
            debug: Some(product(&format!("{name}.debug"))),
            dwp: None,
            sboms: vec![Sbom {
                format: SbomFormat::CycloneDx,
                file: product(&format!("{name}.cdx.json")),
            }],
        };
        PlatformRelease {
            platform: Platform {
                os: "linux".to_owned(),
                architecture: architecture.to_owned(),
                variant: None,
                libc,
            },
            binaries: vec![binary("app"), binary("app-tool")],
            bundle: None,
        }
    }

    #[test]
    fn the_manifest_comes_first_and_the_files_follow_by_name() {
        let statement =
            Statement::for_platform(Form::Files, Digest::of(b"m"), &release("amd64", Libc::Static));
        assert_eq!(statement.manifest().name, "oci:linux/amd64");
        let names: Vec<_> = statement.files().iter().map(|file| file.name.as_str()).collect();
        let expected =
            ["app", "app-tool", "app-tool.cdx.json", "app-tool.debug", "app.cdx.json", "app.debug"];
        assert_eq!(names, expected);
        assert_eq!(statement.file("app.debug"), Some(Digest::of(b"app.debug")));
    }

    #[test]
    fn the_index_names_files_by_directory() {
        let release = Release {
            platforms: vec![release("arm64", Libc::Musl), release("amd64", Libc::Static)],
            annotations: BTreeMap::new(),
            bundle: None,
            image_bundles: Vec::new(),
            problems: Vec::new(),
            strangers: Vec::new(),
        };
        let statement = Statement::for_index(Form::Files, Digest::of(b"i"), &release);
        assert_eq!(statement.manifest().name, "oci:index");
        assert_eq!(statement.files().len(), 12);
        assert_eq!(statement.file("linux-arm64-musl/app"), Some(Digest::of(b"app")));
        assert_eq!(statement.file("app"), None);
    }

    #[test]
    fn the_text_is_exact() {
        let file = Subject { name: "a".to_owned(), digest: Digest::of(b"a") };
        let name = ManifestName::of_parts("linux", "arm", Some("v7"));
        let statement = Statement::new(&name, Digest::of(b"m"), vec![file]);
        let text = String::from_utf8(statement.to_bytes().expect("small")).expect("text");
        let expected = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[\
             {{\"name\":\"oci:linux/arm/v7\",\"digest\":{{\"sha256\":\"{}\"}}}},\
             {{\"name\":\"a\",\"digest\":{{\"sha256\":\"{}\"}}}}],\
             \"predicateType\":\"https://sigstore.dev/cosign/sign/v1\",\"predicate\":{{}}}}",
            Digest::of(b"m").hex(),
            Digest::of(b"a").hex()
        );
        assert_eq!(text, expected);
        assert_eq!(Statement::parse(text.as_bytes()), Ok(statement));
    }

    #[test]
    fn mean_statements_are_refused() {
        let digest = Digest::of(b"m").hex();
        let subject =
            |name: &str| format!(r#"{{"name":"{name}","digest":{{"sha256":"{digest}"}}}}"#);
        let statement = |kind: &str, subjects: &[String], predicate: &str| {
            format!(
                r#"{{"_type":"{kind}","subject":[{}],"predicateType":"{predicate}","x":[1]}}"#,
                subjects.join(",")
            )
        };
        let ours = |subjects: &[String]| statement(STATEMENT_TYPE, subjects, PREDICATE_TYPE);
        let index = subject("oci:index");
        assert!(Statement::parse(ours(&[index.clone(), subject("a")]).as_bytes()).is_ok());
        let malformed = [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            "[".repeat(100_000),
            ours(&[]),
            ours(&[index.clone(), index.clone()]),
            ours(&[index.clone(), subject("a"), subject("a")]),
            ours(&[index.clone(), subject("oci:linux/amd64")]),
            ours(&[index.clone(), subject("")]),
            ours(&[r#"{"name":"oci:index","digest":{"sha1":"00"}}"#.to_owned()]),
            ours(&[r#"{"name":"oci:index"}"#.to_owned()]),
            ours(&[index.replace(&digest, &digest.to_uppercase())]),
            ours(&["1".to_owned()]),
            statement(
                "https://in-toto.io/Statement/v0.1",
                std::slice::from_ref(&index),
                PREDICATE_TYPE,
            ),
            ours(std::slice::from_ref(&index)).replace("\"x\":", "\"subject\":"),
            " ".repeat(MAX_LENGTH + 1),
        ];
        for text in malformed {
            let refusal = Statement::parse(text.as_bytes());
            let head: String = text.chars().take(300).collect();
            assert!(matches!(refusal, Err(Refusal::Malformed(_))), "{head}: {refusal:?}");
        }
        let other = statement("x", &[], "https://slsa.dev/provenance/v1");
        let expected = Refusal::OtherPredicate("https://slsa.dev/provenance/v1".to_owned());
        assert_eq!(Statement::parse(other.as_bytes()), Err(expected));
    }
}
