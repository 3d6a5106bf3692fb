//! TLS where a file names certificates that are trusted beside those of the system.
//!
//! A registry in one's own network often has one certificate that signed itself and says that it is an authority, as
//! `openssl req -x509` makes it. rustls takes no authority for a server, where curl, Go's programs (oras, crane) and browsers do. The
//! server that shows the very certificate of the file is the one that was meant, so it is taken here as well.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::Error;

/// What rustls says of an authority in a server's place; it has looked at the dates by then (webpki 0.103,
/// `check_issuer_independent_properties`).
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// A configuration that trusts what the system trusts, and these.
pub(super) fn config(pem: &[u8]) -> Result<ClientConfig, Error> {
    let named: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let named = named.ok().filter(|named| !named.is_empty()).ok_or(Error::Authorities)?;
    let provider = Arc::new(default_provider());
    let failed = |source: rustls::Error| Error::Start { source: Box::new(source) };
    let system = Verifier::new_with_extra_roots(named.iter().cloned(), Arc::clone(&provider));
    let verifier = Named { system: system.map_err(failed)?, named };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The system's judgement, and the certificates that were named.
#[derive(Debug)]
struct Named {
    system: Verifier,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.system.verify_server_cert(server, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(reason)))
                if reason.to_string().contains(AUTHORITY_AS_SERVER)
                    && self.named.iter().any(|named| named == server) =>
            {
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.system.verify_tls12_signature(message, server, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.system.verify_tls13_signature(message, server, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}
