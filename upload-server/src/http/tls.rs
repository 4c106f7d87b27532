//! TLS, with a certificate that is exchanged while the server runs.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// How often it is looked whether the files changed.
const LOOK: Duration = Duration::from_secs(2);

/// HTTP/2, by its name in the handshake.
pub(crate) const H2: &[u8] = b"h2";

/// A certificate cannot be used.
#[derive(Debug, Error)]
pub(crate) enum CertificateError {
    /// A file cannot be read, or holds something else.
    #[error("{} cannot be read: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not belong together.
    #[error("the key of {} does not belong to the certificate: {why}", .path.display())]
    Pair {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The certificate of this server and its key, and what they are at present.
pub(crate) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads both files, in PEM.
    ///
    /// # Errors
    ///
    /// One cannot be read, or they do not belong together.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let current = read(certificate, key, &provider)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: RwLock::new(Arc::new(current)),
        }))
    }

    /// Returns what answers handshakes, always with the newest certificate.
    ///
    /// # Errors
    ///
    /// The library knows no version of TLS.
    pub(crate) fn acceptor(self: &Arc<Self>) -> io::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let resolver = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files anew whenever they changed; what cannot be used leaves what there is.
    pub(crate) async fn keep_up(self: Arc<Self>) {
        let mut seen = self.stamps();
        loop {
            sleep(LOOK).await;
            let now = self.stamps();
            if now == seen {
                continue;
            }
            // Written one after the other, they may not belong together yet: the next change tells.
            seen = now;
            match read(&self.certificate, &self.key, &self.provider) {
                Ok(read) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(read);
                    tracing::info!("the certificate was exchanged");
                }
                Err(error) => tracing::warn!(%error, "the certificate stays as it was"),
            }
        }
    }

    /// Returns what changes with the files.
    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let facts = std::fs::metadata(path).ok()?;
            Some((facts.modified().ok()?, facts.len()))
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |path: &Path, why: String| {
        let path = path.to_owned();
        CertificateError::File { path, why }
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| unreadable(certificate, error.to_string()))?;
    if chain.is_empty() {
        let why = "it holds no certificate in PEM".to_owned();
        return Err(unreadable(certificate, why));
    }
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|error| unreadable(key, error.to_string()))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| CertificateError::Pair {
        path: key.to_owned(),
        why: error.to_string(),
    })
}
