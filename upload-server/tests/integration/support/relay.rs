//! Relays between `send` and a server: one that stops, one that ends TLS.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rcgen::CertifiedKey;
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Passes bytes to a server, and stops after some of the client's until it may continue.
pub struct Valve {
    pub port: u16,
    pub stopped: mpsc::Receiver<()>,
    pub go: mpsc::Sender<()>,
}

impl Valve {
    pub fn before(target: u16, stop_after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (tell, stopped) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut server = TcpStream::connect(("127.0.0.1", target)).expect("the server");
            let mut back = (
                server.try_clone().expect("twice"),
                client.try_clone().expect("twice"),
            );
            thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
            let (mut passed, mut buffer) = (0, vec![0; 65_536]);
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                if server.write_all(&buffer[..count]).is_err() {
                    return;
                }
                passed += count;
                if passed > stop_after && tell.send(()).is_ok() {
                    wait.recv().expect("to be told");
                    passed = 0;
                }
            }
        });
        Self { port, stopped, go }
    }
}

/// Ends TLS as `localhost` before `target`; returns its port and its certificate as PEM.
pub fn tls_before(target: u16) -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::from(key));
    let config = Arc::new(config.expect("they fit"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let server = TcpStream::connect(("127.0.0.1", target)).expect("the server");
            thread::spawn(move || pump(StreamOwned::new(connection, client), server));
        }
    });
    (port, cert.pem())
}

/// Passes bytes both ways, each side looked at in turn.
fn pump(mut outer: StreamOwned<ServerConnection, TcpStream>, mut inner: TcpStream) {
    let turn = Some(Duration::from_millis(5));
    outer.sock.set_read_timeout(turn).expect("set");
    inner.set_read_timeout(turn).expect("set");
    let mut buffer = vec![0; 65_536];
    let is_open = |count: std::io::Result<usize>| match count {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) => {
            let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            waits.contains(&error.kind()).then_some(0)
        }
    };
    while let Some(count) = is_open(outer.read(&mut buffer)) {
        if inner.write_all(&buffer[..count]).is_err() {
            return;
        }
        let Some(count) = is_open(inner.read(&mut buffer)) else {
            return;
        };
        if outer.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
