//! TLS with the certificates of the system, which are loaded for the first request over `https:`.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::sync::lock;

/// TLS configurations for HTTP clients. Clones share the certificates, which are loaded once.
#[derive(Clone)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    verifier: Arc<LazyVerifier>,
}

impl Tls {
    pub(crate) fn new() -> Self {
        // The program may have installed a provider for the whole process.
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let verifier = Arc::new(LazyVerifier { provider: Arc::clone(&provider), verifier: Mutex::default() });
        Self { provider, verifier }
    }

    /// Creates a configuration that offers application protocols.
    pub(crate) fn config(&self, protocols: &[&str]) -> Result<ClientConfig, TlsError> {
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let mut config = config
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier) as _)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

/// The verifier of the platform, created when it is first needed. Hosts with `http:` need no certificates.
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    verifier: Mutex<Option<Arc<Verifier>>>,
}

impl LazyVerifier {
    fn verifier(&self) -> Result<Arc<Verifier>, TlsError> {
        let mut verifier = lock(&self.verifier);
        if let Some(verifier) = &*verifier {
            return Ok(Arc::clone(verifier));
        }
        // A failure is not remembered: with too many open files, certificates can't be read for a moment.
        let new = Verifier::new(Arc::clone(&self.provider));
        let new = new.map_err(|_| TlsError::Other(OtherError(Arc::new(NoRoots))))?;
        Ok(Arc::clone(verifier.insert(Arc::new(new))))
    }
}

impl fmt::Debug for LazyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyVerifier")
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// No certificates of authorities were found.
#[derive(Debug)]
pub(crate) struct NoRoots;

impl NoRoots {
    /// Returns what the user can do about it.
    pub(crate) fn hint() -> String {
        let set =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(|name| std::env::var_os(name).is_some());
        match set.collect::<Vec<_>>().join(" and ") {
            set if set.is_empty() => {
                "install the package `ca-certificates`, or set SSL_CERT_FILE to a PEM file with certificates"
                    .to_owned()
            }
            set => format!("no certificate in PEM format was found in {set}: correct or unset it"),
        }
    }
}

impl fmt::Display for NoRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no CA certificates were found, so no host can be trusted")
    }
}

impl std::error::Error for NoRoots {}
