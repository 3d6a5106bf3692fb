//! Keys: PEM text → [`SigningKey`], [`PublicKey`]; bytes → signature.
//!
//! ECDSA on P-256 with SHA-256 is what every Sigstore client verifies and every log accepts, so it is the one kind
//! there is; a key of another kind is named in the error instead of failing somewhere inside. The signer is
//! a trait because a key may live elsewhere: in Vault, or for ten minutes in a Fulcio certificate.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_crypto::{KeyPair, SigningScheme, VerificationKey, validate_raw_public_key};
use sigstore_types::{DerPublicKey, SignatureBytes};

use super::{Error, pem};
use crate::digest::Digest;

/// The one kind of signature: what `openssl dgst -sha256 -sign` makes with a P-256 key.
const SCHEME: SigningScheme = SigningScheme::EcdsaP256Sha256;

/// Something that can sign.
pub trait Signer {
    /// The signature of `bytes`, as DER.
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error>;

    /// The key that verifies it.
    fn public_key(&self) -> &PublicKey;
}

/// A private key in memory.
pub struct SigningKey {
    pair: KeyPair,
    pkcs8: Vec<u8>,
    public: PublicKey,
}

/// A public key, given by the one who verifies; never taken from a bundle.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .map_err(|_| Error::NoRandom)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// The key of a PKCS#8 PEM file: what [`SigningKey::to_pem`] and `openssl genpkey` write.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let block = pem::parse(text).ok_or(Error::NotPem { wanted: "a private key" })?;
        match block.label.as_str() {
            "PRIVATE KEY" => {}
            "ENCRYPTED PRIVATE KEY" => return Err(Error::Encrypted),
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                return Err(Error::EncryptedByCosign);
            }
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "DSA PRIVATE KEY" => {
                return Err(Error::NotPkcs8 { label: block.label });
            }
            "PUBLIC KEY" => return Err(Error::PublicForSigning),
            _ => return Err(Error::OtherBlock { label: block.label, wanted: "PRIVATE KEY" }),
        }
        Self::from_pkcs8(&block.der.ok_or(Error::NotPem { wanted: "a private key" })?)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = KeyPair::from_pkcs8_der(pkcs8).map_err(|source| match kind(pkcs8) {
            Some(kind) if kind != P256 => Error::OtherKind { kind },
            _ => Error::BadKey { source: source.into() },
        })?;
        let spki =
            pair.public_key_der().map_err(|source| Error::BadKey { source: source.into() })?;
        Ok(Self {
            pair,
            pkcs8: pkcs8.to_vec(),
            public: PublicKey::from_spki(spki.as_bytes().to_vec())?,
        })
    }

    /// The key as a PKCS#8 PEM file. Whoever has it can sign.
    pub fn to_pem(&self) -> String {
        pem::format("PRIVATE KEY", &self.pkcs8)
    }
}

impl Signer for SigningKey {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let signature =
            self.pair.sign(bytes).map_err(|source| Error::Sign { source: source.into() })?;
        Ok(signature.into_bytes())
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

/// The secret stays out of every message.
impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.public.hint())
    }
}

impl PublicKey {
    /// The key of a `PUBLIC KEY` PEM file, as [`PublicKey::to_pem`], openssl and cosign write it.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let block = pem::parse(text).ok_or(Error::NotPem { wanted: "a public key" })?;
        if block.label.ends_with("PRIVATE KEY") {
            return Err(Error::PrivateForVerifying);
        }
        if block.label != "PUBLIC KEY" {
            return Err(Error::OtherBlock { label: block.label, wanted: "PUBLIC KEY" });
        }
        Self::from_spki(block.der.ok_or(Error::NotPem { wanted: "a public key" })?)
    }

    fn from_spki(spki: Vec<u8>) -> Result<Self, Error> {
        let key = Self { spki };
        key.verification_key()
            .and_then(|parsed| validate_raw_public_key(SCHEME, parsed.as_bytes()))
            .map_err(|source| match kind(&key.spki) {
                Some(kind) if kind != P256 => Error::OtherKind { kind },
                _ => Error::BadKey { source: source.into() },
            })?;
        Ok(key)
    }

    /// The key as a PEM file.
    pub fn to_pem(&self) -> String {
        pem::format("PUBLIC KEY", &self.spki)
    }

    /// The name of the key in a bundle: base64 of the SHA-256 of its DER, as cosign computes it.
    /// It helps to find a key and proves nothing.
    pub fn hint(&self) -> String {
        STANDARD.encode(Digest::of(&self.spki).as_bytes())
    }

    /// Whether `signature` is one of `bytes` by this key.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.verification_key()
            .and_then(|key| key.verify(bytes, &SignatureBytes::from_bytes(signature)))
            .is_ok()
    }

    fn verification_key(&self) -> Result<VerificationKey, sigstore_crypto::Error> {
        VerificationKey::from_spki_with_scheme(&DerPublicKey::from_bytes(&self.spki), SCHEME)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({})", self.hint())
    }
}

const P256: &str = "ECDSA P-256";

/// The DER of the object identifiers that stand in front of a key (RFC 5480, 8410, 8017).
const KINDS: &[(&str, &[u8])] = &[
    (P256, &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    ("ECDSA P-384", &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]),
    ("ECDSA P-521", &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23]),
    ("ECDSA secp256k1", &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
    ("Ed25519", &[0x06, 0x03, 0x2b, 0x65, 0x70]),
    ("Ed448", &[0x06, 0x03, 0x2b, 0x65, 0x71]),
    ("X25519", &[0x06, 0x03, 0x2b, 0x65, 0x6e]),
    ("RSA", &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
    ("RSA-PSS", &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a]),
];

/// What kind of key a PKCS#8 or SPKI structure holds, for the error message alone: the algorithm stands
/// within the first bytes of both.
fn kind(der: &[u8]) -> Option<&'static str> {
    let head = der.get(..48).unwrap_or(der);
    let holds = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    KINDS.iter().find(|(_, oid)| holds(oid)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` for this test alone.
    const OPENSSL_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIG\
HAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9IULWANSzso84nEn
43J2KeGFDC3BuBwvL5wQnA6QRW+hRANCAAQJD3yIJ6W9IK/q07ilVuIvodhGutrn
dFfls2dMWjJ70OBkaMTVcnxszMWPgq6ss7EnQl9jByPWHyRVXmm0LOE1
-----END PRIVATE KEY-----
";
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECQ98iCelvSCv6tO4pVbiL6HYRrra
53RX5bNnTFoye9DgZGjE1XJ8bMzFj4KurLOxJ0JfYwcj1h8kVV5ptCzhNQ==
-----END PUBLIC KEY-----
";
    /// By `openssl dgst -sha256 -sign` of `xpost`.
    const OPENSSL_SIGNATURE: &str = "MEQCIH1AbKJWX6Fyzs0A8H4FMOT2uETTyUlRkQrXMUaW4lvtAiASfOvWbzZUnXeOPg/9A15+emNVATmBRw+A/ZqLimWE5A==";
    const ED25519_KEY: &str = "MC4CAQAwBQYDK2VwBCIEIIyULTrhUiZCmg+SKwvORYv5oDjTfY+KwhBgfVPZu9q8";
    const P384_PUBLIC: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEP7o9b148P1aM37erp5665FiytzQVYKfb1LK31pfIIErji3yfeHd3RGSBnGumfhB05VkDhEn3HHiu8GD+QJUfpH/rQvT0HyK3ONaHHtKGeH2r/43fkwM89E8ETzWyUJ3m";

    fn error(pem: &str) -> String {
        SigningKey::from_pem(pem.as_bytes()).expect_err("not a key that signs").to_string()
    }

    #[test]
    fn a_key_signs_and_survives_its_pem() {
        let key = SigningKey::generate().expect("a key");
        let again = SigningKey::from_pem(key.to_pem().as_bytes()).expect("the same key");
        assert_eq!(again.public_key(), key.public_key());
        let public = PublicKey::from_pem(key.public_key().to_pem().as_bytes()).expect("its half");
        let signature = again.sign(b"bytes").expect("signed");
        assert!(public.verifies(b"bytes", &signature));
        assert!(!public.verifies(b"other", &signature));
        assert!(!public.verifies(b"bytes", b""));
        let other = SigningKey::generate().expect("a key");
        assert!(!other.public_key().verifies(b"bytes", &signature));
    }

    #[test]
    fn keys_and_signatures_are_those_of_openssl() {
        let key = SigningKey::from_pem(OPENSSL_KEY.as_bytes()).expect("a key of openssl");
        assert_eq!(key.public_key().to_pem(), OPENSSL_PUBLIC);
        assert_eq!(key.to_pem(), OPENSSL_KEY);
        let signature = STANDARD.decode(OPENSSL_SIGNATURE).expect("base64");
        assert!(key.public_key().verifies(b"xpost", &signature));
    }

    #[test]
    fn the_secret_stays_out_of_messages() {
        let key = SigningKey::from_pem(OPENSSL_KEY.as_bytes()).expect("a key");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public_key().hint()));
    }

    #[test]
    fn a_key_of_another_kind_is_named() {
        let pem = pem::format("PRIVATE KEY", &STANDARD.decode(ED25519_KEY).expect("base64"));
        assert!(error(&pem).contains("Ed25519"), "{pem}");
        let pem = pem::format("PUBLIC KEY", &STANDARD.decode(P384_PUBLIC).expect("base64"));
        let error = PublicKey::from_pem(pem.as_bytes()).expect_err("the wrong curve").to_string();
        assert!(error.contains("ECDSA P-384"), "{error}");
    }

    #[test]
    fn the_wrong_file_is_named() {
        let block = |label: &str| pem::format(label, b"xxxx");
        assert!(error("").contains("not a PEM file"));
        assert!(error(&block("ENCRYPTED PRIVATE KEY")).contains("openssl pkcs8"));
        assert!(error(&block("ENCRYPTED SIGSTORE PRIVATE KEY")).contains("cosign"));
        assert!(error(&block("EC PRIVATE KEY")).contains("openssl pkcs8 -topk8 -nocrypt"));
        assert!(error(&block("CERTIFICATE")).contains("CERTIFICATE"));
        assert!(error(OPENSSL_PUBLIC).contains("public key"));
        let error = PublicKey::from_pem(OPENSSL_KEY.as_bytes()).expect_err("a private key");
        assert!(error.to_string().contains("private key"));
    }

    #[test]
    fn a_key_cut_anywhere_is_refused() {
        let der = pem::parse(OPENSSL_KEY.as_bytes()).and_then(|block| block.der).expect("der");
        for length in 0..der.len() {
            let cut = der.get(..length).expect("shorter");
            assert!(SigningKey::from_pkcs8(cut).is_err(), "{length}");
        }
        let der = pem::parse(OPENSSL_PUBLIC.as_bytes()).and_then(|block| block.der).expect("der");
        for length in 0..der.len() {
            assert!(PublicKey::from_spki(der.get(..length).expect("shorter").to_vec()).is_err());
        }
    }
}
