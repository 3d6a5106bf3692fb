//! Bundle + public key + what is required → verdict.
//!
//! Stricter than cosign, which takes any subject of any predicate for a signature: here the manifest must be the
//! first subject of a sign/v1 statement and be named as what it is. A file's digest further down says that the
//! file belongs to the release, and never authorises a manifest: otherwise whoever gets one file signed, an SBOM
//! say, could have written a manifest into it.

use super::bundle::{self, Parsed};
use super::key::PublicKey;
use super::statement::{ManifestName, PAYLOAD_TYPE, Refusal, Statement, Subject};
use crate::digest::Digest;

/// A statement whose signature was checked, about the manifest that was asked for. There is no other way
/// to get one than [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    statement: Statement,
}

impl Verified {
    /// The manifest that is signed.
    pub fn manifest(&self) -> Digest {
        self.statement.manifest().digest
    }

    /// The files that are signed with it, sorted by name.
    pub fn files(&self) -> &[Subject] {
        self.statement.files()
    }

    /// Whether the file of that name has that digest. For an index names are `<directory>/<name>`.
    pub fn covers_file(&self, name: &str, digest: Digest) -> bool {
        self.statement.file(name) == Some(digest)
    }
}

/// Why a bundle does not sign what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Made with another key, or with a certificate, or not a statement at all.
    #[error("not signed with this key ({by})")]
    NotThisKey {
        /// What the bundle says it was made with.
        by: String,
    },
    /// It names this key, and the signature is not one of these bytes.
    #[error("the signature is wrong: the bundle was changed, or the key it names did not make it")]
    BadSignature,
    /// Signed with this key, for another manifest.
    #[error("signs {found_name:?} {found}, not {wanted_name} {wanted}")]
    OtherManifest {
        /// The name of its first subject.
        found_name: String,
        /// The digest of its first subject.
        found: Digest,
        /// The name that was asked for.
        wanted_name: String,
        /// The digest that was asked for.
        wanted: Digest,
    },
    /// Signed with this key, but it claims something else than a signature does.
    #[error("an attestation of type {found:?}, not a signature")]
    OtherPredicate {
        /// Its predicate type.
        found: String,
    },
    /// Not to be understood.
    #[error("{0}")]
    Malformed(String),
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OtherPredicate(found) => Self::OtherPredicate { found },
            Refusal::Malformed(problem) => Self::Malformed(problem),
        }
    }
}

/// Judges whether the bundle is a signature by `key` of the manifest with that name and digest.
pub fn verify(
    bundle: &[u8],
    key: &PublicKey,
    name: &ManifestName,
    manifest: Digest,
) -> Result<Verified, Reason> {
    let statement = signed_statement(bundle, key)?;
    // From here the statement is the key owner's word.
    let found = statement.manifest();
    if (&found.name, found.digest) != (&name.to_string(), manifest) {
        return Err(Reason::OtherManifest {
            found_name: found.name.chars().take(100).collect(),
            found: found.digest,
            wanted_name: name.to_string(),
            wanted: manifest,
        });
    }
    Ok(Verified { statement })
}

/// What a bundle that lies there already is worth for a new signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Valid for this key and exactly these subjects: it can stay.
    Current,
    /// Made with this key, for other subjects.
    Outdated,
    /// Made with another key or in another way, or not readable.
    Foreign,
}

/// Compares a bundle with what signing `statement` with `key` would say.
pub fn existing(bundle: &[u8], key: &PublicKey, statement: &Statement) -> Existing {
    match signed_statement(bundle, key) {
        Ok(found) if found == *statement => Existing::Current,
        Ok(_) | Err(Reason::OtherPredicate { .. }) => Existing::Outdated,
        Err(_) => Existing::Foreign,
    }
}

/// What a bundle says it covers. Nobody checked the signature: it tells whether a bundle fits a
/// release, and never whether to trust one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    statement: Statement,
}

/// Reads the subjects of a bundle without any key; certificates are as good as keys here.
pub fn coverage(bundle: &[u8]) -> Result<Coverage, Reason> {
    let statement = statement(&bundle::parse(bundle).map_err(Reason::Malformed)?)?;
    Ok(Coverage { statement })
}

impl Coverage {
    /// The manifest it signs.
    pub fn manifest(&self) -> &Subject {
        self.statement.manifest()
    }

    /// The files it signs, sorted by name.
    pub fn files(&self) -> &[Subject] {
        self.statement.files()
    }

    /// What `wanted` speaks of and this does not: the manifest where it is not first under its name, and
    /// files that are missing or have another digest. Empty where all is covered.
    pub fn gaps<'wanted>(&self, wanted: &'wanted Statement) -> Vec<&'wanted Subject> {
        let manifest = Some(wanted.manifest()).filter(|wanted| *wanted != self.manifest());
        let files = wanted.files().iter().filter(|file| !self.files().contains(file));
        manifest.into_iter().chain(files).collect()
    }
}

fn statement(parsed: &Parsed) -> Result<Statement, Reason> {
    let Some(envelope) = &parsed.envelope else {
        let problem = "a signature of a bare file, not of a statement".to_owned();
        return Err(Reason::NotThisKey { by: problem });
    };
    if envelope.payload_type != PAYLOAD_TYPE {
        let found: String = envelope.payload_type.chars().take(100).collect();
        return Err(Reason::Malformed(format!("the envelope holds {found:?}, not a statement")));
    }
    Ok(Statement::parse(&envelope.payload)?)
}

fn signed_statement(bundle: &[u8], key: &PublicKey) -> Result<Statement, Reason> {
    let parsed = bundle::parse(bundle).map_err(Reason::Malformed)?;
    let Some(hint) = &parsed.hint else {
        return Err(Reason::NotThisKey { by: "signed with a certificate".to_owned() });
    };
    let valid = parsed
        .envelope
        .as_ref()
        .is_some_and(|envelope| key.verifies(&envelope.signed_bytes(), &envelope.signature));
    // The hint is anybody's word: it chooses the sentence, never the verdict.
    if !valid && parsed.envelope.is_some() {
        return Err(if *hint == key.hint() {
            Reason::BadSignature
        } else {
            let by = match hint.chars().take(64).collect::<String>() {
                hint if hint.is_empty() => "an unnamed key".to_owned(),
                hint => format!("key {hint:?}, wanted {:?}", key.hint()),
            };
            Reason::NotThisKey { by }
        });
    }
    statement(&parsed)
}

#[cfg(test)]
mod tests {
    use super::super::key::{Signer, SigningKey};
    use super::super::statement::tests::release;
    use super::super::{bundle, sign};
    use super::*;
    use crate::inspect::Libc;
    use crate::release::Form;

    fn key() -> SigningKey {
        SigningKey::generate().expect("a key")
    }

    fn manifest() -> Digest {
        Digest::of(b"manifest")
    }

    fn amd64() -> ManifestName {
        ManifestName::of_parts("linux", "amd64", None)
    }

    fn signed(key: &SigningKey) -> (Statement, Vec<u8>) {
        let statement =
            Statement::for_platform(Form::Files, manifest(), &release("amd64", Libc::Static));
        let bundle = sign(&statement, key).expect("signed");
        (statement, bundle)
    }

    /// A bundle around any payload, signed properly.
    fn around(key: &SigningKey, payload_type: &str, payload: &[u8]) -> Vec<u8> {
        let mut envelope = bundle::Envelope {
            payload_type: payload_type.to_owned(),
            payload: payload.to_vec(),
            signature: Vec::new(),
        };
        envelope.signature = key.sign(&envelope.signed_bytes()).expect("signed");
        envelope.to_bundle(key.public_key().hint()).expect("a bundle")
    }

    #[test]
    fn a_signature_covers_its_manifest_and_its_files() {
        let key = key();
        let (_, bundle) = signed(&key);
        let verified = verify(&bundle, key.public_key(), &amd64(), manifest()).expect("valid");
        assert_eq!(verified.manifest(), manifest());
        assert!(verified.covers_file("app", Digest::of(b"app")));
        assert!(verified.covers_file("app.debug", Digest::of(b"app.debug")));
        assert!(!verified.covers_file("app", Digest::of(b"app.debug")));
        assert!(!verified.covers_file("other", Digest::of(b"app")));
        assert!(!verified.covers_file("oci:linux/amd64", manifest()));
    }

    #[test]
    fn another_manifest_name_or_platform_is_refused() {
        let key = key();
        let (_, bundle) = signed(&key);
        let arm = ManifestName::of_parts("linux", "arm64", None);
        for (name, digest) in [
            (amd64(), Digest::of(b"other")),
            (ManifestName::index(), manifest()),
            (arm, manifest()),
            // In the statement, but not first.
            (amd64(), Digest::of(b"app")),
        ] {
            let verdict = verify(&bundle, key.public_key(), &name, digest);
            assert!(matches!(verdict, Err(Reason::OtherManifest { .. })), "{name}: {verdict:?}");
        }
    }

    #[test]
    fn a_manifest_smuggled_in_as_a_file_is_refused() {
        let key = key();
        let file = Subject { name: "app.cdx.json".to_owned(), digest: manifest() };
        let statement = Statement::new(&amd64(), Digest::of(b"honest"), vec![file]);
        let bundle = sign(&statement, &key).expect("signed");
        let verdict = verify(&bundle, key.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::OtherManifest { .. })), "{verdict:?}");
    }

    #[test]
    fn an_unnamed_first_subject_signs_nothing_here() {
        let key = key();
        let payload = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicateType":
            "https://sigstore.dev/cosign/sign/v1","subject":[{{"digest":{{"sha256":"{}"}}}}]}}"#,
            manifest().hex()
        );
        let bundle = around(&key, PAYLOAD_TYPE, payload.as_bytes());
        let verdict = verify(&bundle, key.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::OtherManifest { .. })), "{verdict:?}");
    }

    #[test]
    fn an_attestation_is_no_signature() {
        let key = key();
        let payload = br#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"x/FAILED",
            "subject":[]}"#;
        let bundle = around(&key, PAYLOAD_TYPE, payload);
        let verdict = verify(&bundle, key.public_key(), &amd64(), manifest());
        assert_eq!(verdict, Err(Reason::OtherPredicate { found: "x/FAILED".to_owned() }));
        let bundle = around(&key, "text/plain", payload);
        let verdict = verify(&bundle, key.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::Malformed(_))), "{verdict:?}");
    }

    #[test]
    fn another_key_and_a_changed_bundle_are_told_apart() {
        let (key, other) = (key(), key());
        let (_, bundle) = signed(&key);
        let verdict = verify(&bundle, other.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::NotThisKey { .. })), "{verdict:?}");
        // The other key's bundle under this key's name: a lie that changes the sentence, not the verdict.
        let text = String::from_utf8(bundle).expect("text");
        let (ours, theirs) = (key.public_key().hint(), other.public_key().hint());
        let lie = text.replace(&ours, &theirs);
        let verdict = verify(lie.as_bytes(), other.public_key(), &amd64(), manifest());
        assert_eq!(verdict, Err(Reason::BadSignature));
        assert!(verify(lie.as_bytes(), key.public_key(), &amd64(), manifest()).is_ok());
        let unnamed = text.replace(&format!("{{\"hint\":\"{ours}\"}}"), "{}");
        assert!(verify(unnamed.as_bytes(), key.public_key(), &amd64(), manifest()).is_ok());
        let verdict = verify(unnamed.as_bytes(), other.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::NotThisKey { .. })), "{verdict:?}");
    }

    #[test]
    fn no_changed_byte_gives_another_statement() {
        let key = key();
        let (statement, bundle) = signed(&key);
        for index in 0..bundle.len() {
            let mut changed = bundle.clone();
            *changed.get_mut(index).expect("in range") ^= 1;
            if let Ok(verified) = verify(&changed, key.public_key(), &amd64(), manifest()) {
                assert_eq!(verified.statement, statement, "byte {index}");
            }
        }
    }

    #[test]
    fn bundles_of_others_get_a_verdict() {
        let key = key();
        let certificate = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial":{"certificate":{"rawBytes":"AAAA"},"tlogEntries":[]},
            "dsseEnvelope":{"payloadType":"x","payload":"","signatures":[{"sig":"AAAA"}]}}"#;
        let chain = certificate
            .replace("certificate", "x509CertificateChain")
            .replace(r#""rawBytes":"AAAA""#, r#""certificates":[]"#);
        // By `cosign sign-blob` 3.1.3 with a key.
        let message = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial":{"publicKey":{"hint":"AsJDx1fqvi8lkhgijrk6t3C7+lUxuainbEOfbx4XdC8="}},
            "messageSignature":{"messageDigest":{"algorithm":"SHA2_256",
            "digest":"io9g7LCbfmTG1SFKgEOGXmCFB9uMP2H5lerm0HiHWQE="},
            "signature":"MEUCIQCr5s5zDUxgR9GVORiyl9WL4nulrVdLpj/88aBVzXkXTQIgA9ma7rN3IRdo7Qb5pe2AoKSXeilwEOhungpp/wyl/P0="}}"#;
        for text in [certificate, &chain, message] {
            let verdict = verify(text.as_bytes(), key.public_key(), &amd64(), manifest());
            assert!(matches!(verdict, Err(Reason::NotThisKey { .. })), "{text}: {verdict:?}");
        }
        let verdict = verify(b"{}", key.public_key(), &amd64(), manifest());
        assert!(matches!(verdict, Err(Reason::Malformed(_))), "{verdict:?}");
    }

    #[test]
    fn a_bundle_stays_only_for_this_key_and_exactly_these_files() {
        let (key, other) = (key(), key());
        let (statement, bundle) = signed(&key);
        assert_eq!(existing(&bundle, key.public_key(), &statement), Existing::Current);
        assert_eq!(existing(&bundle, other.public_key(), &statement), Existing::Foreign);
        assert_eq!(existing(b"", key.public_key(), &statement), Existing::Foreign);
        let more = Statement::new(&amd64(), manifest(), Vec::new());
        assert_eq!(existing(&bundle, key.public_key(), &more), Existing::Outdated);
    }

    #[test]
    fn coverage_names_every_gap() {
        let key = key();
        let (statement, bundle) = signed(&key);
        let coverage = coverage(&bundle).expect("readable");
        assert_eq!(coverage.gaps(&statement), Vec::<&Subject>::new());
        let mut files = statement.files().to_vec();
        files.push(Subject { name: "new".to_owned(), digest: Digest::of(b"new") });
        files.first_mut().expect("a file").digest = Digest::of(b"rebuilt");
        let wanted = Statement::new(&ManifestName::index(), manifest(), files);
        let names: Vec<_> = coverage.gaps(&wanted).iter().map(|gap| gap.name.clone()).collect();
        assert_eq!(names, ["oci:index", "app", "new"]);
    }
}
