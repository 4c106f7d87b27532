//! A piece of network between a client and a server, which can be cut anywhere.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Forwards bytes to a server until it has forwarded as many as it may.
pub struct Proxy {
    pub port: u16,
    budget: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Stands before the server on `target`, and lets everything pass.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let budget = Arc::new(AtomicI64::new(i64::MAX));
        let shared = Arc::clone(&budget);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target, Arc::clone(&shared)));
            }
        });
        Self { port, budget, task }
    }

    /// Lets `bytes` more pass from clients, then cuts in the middle of whatever it is.
    pub fn cut_after(&self, bytes: u64) {
        self.budget.store(bytes as i64, SeqCst);
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/uploads/ws", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, target: u16, budget: Arc<AtomicI64>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let endless = Arc::new(AtomicI64::new(i64::MAX));
    // Whichever way ends first takes the other with it.
    tokio::select! {
        () = pass(from_client, to_server, budget) => {}
        () = pass(from_server, to_client, endless) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, budget: Arc<AtomicI64>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let left = budget.fetch_sub(read as i64, SeqCst).max(0);
        let allowed = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..allowed]).await.is_err() || allowed < read {
            return;
        }
    }
}
