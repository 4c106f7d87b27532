//! A bucket behind TLS, with a certificate that only those trust who are told to.

use std::{fs, sync::Arc};

use bytes::Bytes;
use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use upload_core::Outcome;
use upload_proto::Code;

use crate::{
    stand_in,
    support::{
        bucket::{self, scenarios::MIB},
        pattern,
        server::Server,
        uploader::Uploader,
    },
};

/// Stands before `target` as `localhost`; returns the port, and the certificate as PEM.
async fn front(target: u16) -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::from(key))
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inner = TcpStream::connect(("127.0.0.1", target)).await?;
                let mut outer = acceptor.accept(stream).await?;
                copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    (port, cert.pem())
}

/// The connector of the binary speaks TLS, to those alone whom the system's certificates vouch for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_reached_over_tls() {
    let engine = stand_in().await;
    let (port, pem) = front(engine.port).await;
    let config = bucket::config(port).replace("http://127.0.0.1", "https://localhost");
    let file = Bytes::from(pattern::file(1, 6 * MIB));
    for is_trusted in [true, false] {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        let mut env = bucket::credentials();
        if is_trusted {
            let roots = dir.path().join("roots.pem");
            fs::write(&roots, &pem).expect("written");
            let roots = roots.to_str().expect("UTF-8").to_owned();
            env.push(("SSL_CERT_FILE".to_owned(), roots));
        }
        let config = config.clone();
        let server = tokio::task::spawn_blocking(move || Server::start_with(dir, &config, env));
        let server = server.await.expect("starts");
        let report = Uploader::new(&server.ws(), "once", file.clone())
            .run()
            .await;
        if is_trusted {
            engine.assert_holds(report.result(), &file).await;
        } else {
            let Outcome::Refused { code, .. } = report.outcome else {
                panic!("refused, not {:?}", report.outcome);
            };
            assert_eq!(code, Code::StorageFailed);
        }
    }
}
