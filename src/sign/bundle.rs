//! The Sigstore bundle, version 0.3: a statement in its envelope, the signature, and the name of the key.
//!
//! Written for a key alone: no certificate, no log entry, no timestamp. So it verifies on a machine without
//! any network, and `cosign verify --key … --insecure-ignore-tlog` accepts it. Read with the types of the sigstore
//! crates, and whatever they hold is turned into [`Parsed`] here: no other file knows them.

use sigstore_types::bundle::{
    PublicKeyIdentifier, SignatureContent, VerificationMaterial, VerificationMaterialContent,
};
use sigstore_types::dsse::DsseSignature;
use sigstore_types::{Bundle, DsseEnvelope, KeyId, MediaType, PayloadBytes, SignatureBytes};

use super::{Error, statement};

/// The media type of a bundle and the artifact type of its manifest.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The largest bundle that is read: the largest statement in base64, and room for certificates and log entries.
pub const MAX_LENGTH: usize = statement::MAX_LENGTH * 2;

/// What a verdict needs of a bundle.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The name of the key, where it was signed with a plain key.
    pub(super) hint: Option<String>,
    /// What was signed, where that is a typed payload and not a bare file.
    pub(super) envelope: Option<Envelope>,
}

/// A DSSE envelope with its one signature.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl Envelope {
    /// The bytes that the signature is of: type and payload with their lengths, so that neither can
    /// pass for a part of the other (DSSE, "Signature Definition").
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        sigstore_types::dsse::pae(&self.payload_type, &self.payload)
    }

    /// The bundle of this envelope, for the key of that name.
    pub(super) fn to_bundle(&self, hint: String) -> Result<Vec<u8>, Error> {
        let envelope = DsseEnvelope::new(
            self.payload_type.clone(),
            PayloadBytes::from_bytes(&self.payload),
            // The bundle names the key; a second place could only disagree.
            DsseSignature::new(SignatureBytes::from_bytes(&self.signature), KeyId::default()),
        );
        let key = VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(hint));
        let bundle = Bundle::new(
            MediaType::Bundle0_3,
            VerificationMaterial::new(key),
            SignatureContent::DsseEnvelope(envelope),
        );
        let mut text = serde_json::to_vec(&bundle).map_err(|source| Error::Encode { source })?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Reads a bundle of any version and origin; the error is what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    if bytes.len() > MAX_LENGTH {
        return Err(format!("the bundle has {} bytes, more than {MAX_LENGTH}", bytes.len()));
    }
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|error| format!("not a Sigstore bundle: {error}"))?;
    let hint = match bundle.verification_material.content {
        VerificationMaterialContent::PublicKey(key) => Some(key.hint),
        _ => None,
    };
    let envelope = match bundle.content {
        SignatureContent::DsseEnvelope(envelope) => Some(Envelope {
            payload_type: envelope.payload_type,
            payload: envelope.payload.into_bytes(),
            signature: envelope.signature.sig.into_bytes(),
        }),
        _ => None,
    };
    Ok(Parsed { hint, envelope })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope { payload_type: "t/é".into(), payload: b"hello".into(), signature: b"s".into() }
    }

    #[test]
    fn what_is_signed_is_what_the_dsse_specification_says() {
        assert_eq!(envelope().signed_bytes(), "DSSEv1 4 t/é 5 hello".as_bytes());
    }

    #[test]
    fn a_bundle_is_exact() {
        let text = String::from_utf8(envelope().to_bundle("aGk=".into()).expect("made"));
        let expected = "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\
            \"verificationMaterial\":{\"publicKey\":{\"hint\":\"aGk=\"},\"tlogEntries\":[],\
            \"timestampVerificationData\":{}},\"dsseEnvelope\":{\"payloadType\":\"t/é\",\
            \"payload\":\"aGVsbG8=\",\"signatures\":[{\"sig\":\"cw==\"}]}}\n";
        assert_eq!(text.as_deref(), Ok(expected));
        assert!(expected.contains(MEDIA_TYPE));
        let parsed = parse(expected.as_bytes()).expect("a bundle");
        assert_eq!(parsed.hint.as_deref(), Some("aGk="));
        assert_eq!(parsed.envelope.expect("an envelope").payload, b"hello");
    }

    #[test]
    fn mean_bundles_are_refused() {
        let good =
            String::from_utf8(envelope().to_bundle("aGk=".into()).expect("made")).expect("text");
        for (from, to) in [
            ("v0.3", "v9.9"),
            ("aGVsbG8=", "not base64"),
            ("[{\"sig\":\"cw==\"}]", "[]"),
            ("[{\"sig\":\"cw==\"}]", "[{\"sig\":\"cw==\"},{\"sig\":\"cw==\"}]"),
            ("dsseEnvelope", "somethingElse"),
            ("publicKey", "somethingElse"),
        ] {
            assert!(parse(good.replace(from, to).as_bytes()).is_err(), "{from} → {to}");
        }
        for length in 0..good.len() - 1 {
            assert!(parse(good.as_bytes().get(..length).expect("shorter")).is_err(), "{length}");
        }
        assert!(parse(&vec![b' '; MAX_LENGTH + 1]).is_err());
        assert!(parse(&vec![b'['; 100_000]).is_err());
        assert!(parse(b"\xff").is_err());
    }
}
