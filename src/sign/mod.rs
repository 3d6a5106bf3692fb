//! Digest → [`Statement`] → bundle → verdict: who stands for this manifest and these files?
//!
//! A signature is a statement about one manifest and all its files, in the form that cosign 3 stores and verifies
//! (`ARCHITECTURE.md` says it exactly: others read it). The sigstore crates below are young and change often; nothing
//! outside this module sees a type of theirs.

mod bundle;
mod key;
mod pem;
mod statement;
mod verify;

pub use bundle::{MAX_LENGTH as MAX_BUNDLE_LENGTH, MEDIA_TYPE};
pub use key::{PublicKey, Signer, SigningKey};
pub use statement::{ManifestName, PREDICATE_TYPE, Statement, Subject};
pub use verify::{Coverage, Existing, Reason, Verified, coverage, existing, verify};

/// The largest file that is read as a key.
pub const MAX_KEY_LENGTH: usize = pem::MAX_LENGTH;

/// Signs a statement: the bytes of a Sigstore bundle, version 0.3.
///
/// ECDSA signatures are random, so two bundles of one statement differ; [`existing`] tells when a new one is
/// not needed.
pub fn sign(statement: &Statement, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let mut envelope = bundle::Envelope {
        payload_type: statement::PAYLOAD_TYPE.to_owned(),
        payload: statement.to_bytes()?,
        signature: Vec::new(),
    };
    envelope.signature = signer.sign(&envelope.signed_bytes())?;
    envelope.to_bundle(signer.public_key().hint())
}

/// The error of a crate that nothing outside this module knows.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not PEM, or damaged.
    #[error("not a PEM file with {wanted}")]
    NotPem {
        /// `a private key`
        wanted: &'static str,
    },
    /// A PEM block of another kind.
    #[error("holds a {label:?} block, expected {wanted:?}")]
    OtherBlock {
        /// The label that is there.
        label: String,
        /// The label that should be.
        wanted: &'static str,
    },
    /// PKCS#8 with a password.
    #[error(
        "encrypted keys are not supported yet; decrypt it with `openssl pkcs8 -in KEY -out PLAIN`"
    )]
    Encrypted,
    /// cosign's own format, which only cosign decrypts.
    #[error(
        "encrypted keys of cosign are not supported yet; make one with `xpost sign --generate-key`, \
         or import a plain PKCS#8 key into cosign and use the same file here"
    )]
    EncryptedByCosign,
    /// The older formats of one algorithm each.
    #[error(
        "holds a {label:?} block; convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`"
    )]
    NotPkcs8 {
        /// The label that is there.
        label: String,
    },
    /// A public key cannot sign.
    #[error("this is the public key; signing needs the private one")]
    PublicForSigning,
    /// A private key has no business where something is verified.
    #[error("this is a private key; verifying needs the public one (`openssl pkey -pubout`)")]
    PrivateForVerifying,
    /// A key that is not ECDSA P-256.
    #[error("the key is of kind {kind}; only ECDSA P-256 is supported")]
    OtherKind {
        /// `Ed25519`
        kind: &'static str,
    },
    /// Damaged, or unheard of.
    #[error("not a usable ECDSA P-256 key")]
    BadKey {
        /// What the sigstore crates said.
        #[source]
        source: Source,
    },
    /// The system gave no randomness for a new key.
    #[error("cannot make a key: the system has no random numbers")]
    NoRandom,
    /// The key did not sign.
    #[error("cannot sign")]
    Sign {
        /// What the sigstore crates said.
        #[source]
        source: Source,
    },
    /// More files than a statement may have.
    #[error("the statement has {length} bytes, more than {limit}: too many files in one release")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The most a reader takes.
        limit: usize,
    },
    /// JSON could not be written.
    #[error("cannot write the bundle")]
    Encode {
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}
