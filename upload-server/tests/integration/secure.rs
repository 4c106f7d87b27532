//! A bucket behind TLS, with a certificate that only those trust who are told to.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
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

/// Stands before `target` as `localhost`; returns the port, and the certificate as PEM. Once `spoils` is set, it
/// spoils one connection.
async fn front(target: u16, spoils: Arc<AtomicBool>) -> (u16, String) {
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
            let (acceptor, spoils) = (acceptor.clone(), Arc::clone(&spoils));
            tokio::spawn(async move {
                let inner = TcpStream::connect(("127.0.0.1", target)).await?;
                let outer = acceptor.accept(stream).await?;
                pass(outer, inner, &spoils).await
            });
        }
    });
    (port, cert.pem())
}

/// Passes bytes both ways, until one side ends. A connection that is to be spoilt gets bytes that are no TLS, in the
/// middle of a part.
async fn pass(
    mut outer: TlsStream<TcpStream>,
    mut inner: TcpStream,
    spoils: &AtomicBool,
) -> io::Result<()> {
    let (mut passed, mut out, mut back) = (0, vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = outer.read(&mut out) => {
                let count = count?;
                if count == 0 {
                    return inner.shutdown().await;
                }
                inner.write_all(&out[..count]).await?;
                passed += count;
                if passed > MIB && spoils.swap(false, SeqCst) {
                    outer.get_mut().0.write_all(b"garbage!").await?;
                    // Closed at once, it would be reset before that is read.
                    copy(&mut outer, &mut sink()).await?;
                    return Ok(());
                }
            }
            count = inner.read(&mut back) => {
                let count = count?;
                if count == 0 {
                    return outer.shutdown().await;
                }
                outer.write_all(&back[..count]).await?;
                outer.flush().await?;
            }
        }
    }
}

/// Starts a server before the bucket at `port`, which trusts the certificate if asked to.
async fn server(port: u16, pem: Option<&str>) -> Server {
    let config = bucket::config(port).replace("http://127.0.0.1", "https://localhost");
    let dir = Arc::new(TempDir::new().expect("a temporary directory"));
    let mut env = bucket::credentials();
    if let Some(pem) = pem {
        env.push(("SSL_CERT_FILE".to_owned(), roots(dir.path(), pem)));
    }
    let server = tokio::task::spawn_blocking(move || Server::start_with(dir, &config, env));
    server.await.expect("starts")
}

fn roots(dir: &Path, pem: &str) -> String {
    let roots = dir.join("roots.pem");
    fs::write(&roots, pem).expect("written");
    roots.to_str().expect("UTF-8").to_owned()
}

/// The connector of the binary speaks TLS, to those alone whom the system's certificates vouch for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_reached_over_tls() {
    let engine = stand_in().await;
    let (port, pem) = front(engine.port, Arc::default()).await;
    let file = Bytes::from(pattern::file(1, 6 * MIB));
    for is_trusted in [true, false] {
        let server = server(port, is_trusted.then_some(&*pem)).await;
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

/// RESUME-10: a record that changed on the way, or a balancer that is reloaded, costs a running upload one part that is
/// sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_tls_record_is_sent_past() {
    let engine = stand_in().await;
    let spoils = Arc::new(AtomicBool::new(true));
    let (port, pem) = front(engine.port, Arc::clone(&spoils)).await;
    let server = server(port, Some(&*pem)).await;
    let file = Bytes::from(pattern::file(2, 26 * MIB));
    let uploader = Uploader::new(&server.ws(), "kept", file.clone());
    let report = uploader.complete().await;
    assert!(!spoils.load(SeqCst), "no connection was spoilt");
    assert_eq!((report.heard.resumes, report.heard.restarts), (0, 0));
    engine.assert_holds(report.result(), &file).await;
    assert_eq!(engine.unfinished().await, [""; 0]);
}
