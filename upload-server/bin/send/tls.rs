//! Encrypted connections, trusting whom the system trusts.

use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio_rustls::TlsConnector;

/// Makes what turns a TCP connection into an encrypted one.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's authorities, as with OpenSSL.
pub(super) fn connector() -> anyhow::Result<TlsConnector> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    ensure!(
        usable > 0,
        "no certificate authority was found, so no server can be trusted; install the system's \
         (ca-certificates) or name a file in SSL_CERT_FILE"
    );
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS is not available")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Returns whether trying again can not help: the server's certificate is not one to trust.
pub(super) fn is_distrust(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
