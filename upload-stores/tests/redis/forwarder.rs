//! A name for a server that another one may take over.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

/// Leads new connections to one server; those that are there stay.
pub(crate) struct Forwarder {
    pub(crate) port: u16,
    target: Arc<AtomicU16>,
    connections: Arc<AtomicUsize>,
}

impl Forwarder {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let forwarder = Self {
            port: listener.local_addr().expect("it is bound").port(),
            target: Arc::new(AtomicU16::new(target)),
            connections: Arc::default(),
        };
        let target = Arc::clone(&forwarder.target);
        let connections = Arc::clone(&forwarder.connections);
        tokio::spawn(async move {
            while let Ok((mut outer, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let target = target.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut inner = TcpStream::connect(("127.0.0.1", target)).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        forwarder
    }

    pub(crate) fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
