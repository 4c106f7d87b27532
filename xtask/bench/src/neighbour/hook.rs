//! Where the server's hook calls arrive.

use std::{cell::RefCell, collections::HashMap, io, rc::Rc, time::Duration};

use anyhow::Result;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::sleep,
};

/// Largest call that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Receives calls, and tells of those that are expected.
pub(crate) struct Hook {
    expected: RefCell<HashMap<String, oneshot::Sender<()>>>,
    /// How long a call about the upload of another owner takes.
    takes: Duration,
    listener: TcpListener,
}

impl Hook {
    /// Listens.
    pub(crate) async fn listen(address: &str, takes: Duration) -> Result<Rc<Self>> {
        Ok(Rc::new(Self {
            expected: RefCell::default(),
            takes,
            listener: TcpListener::bind(address).await?,
        }))
    }

    /// Returns a receiver that is notified when a call about this upload arrives.
    pub(crate) fn expect(&self, upload: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.expected.borrow_mut().insert(upload.to_owned(), sender);
        receiver
    }

    /// Answers calls from now on.
    pub(crate) fn serve(self: &Rc<Self>) {
        let hook = Rc::clone(self);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = hook.listener.accept().await {
                let hook = Rc::clone(&hook);
                tokio::task::spawn_local(async move {
                    // The server opens another connection for a call without an answer.
                    let _ = hook.answer(BufReader::new(stream)).await;
                });
            }
        });
    }

    async fn answer(&self, mut stream: BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(number) = line.strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap_or(0);
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; usize::min(length, BODY_BYTES_MAX)];
            stream.read_exact(&mut body).await?;
            let call: Value = serde_json::from_slice(&body).unwrap_or_default();
            let upload = call["upload_id"].as_str().unwrap_or_default();
            let expected = self.expected.borrow_mut().remove(upload);
            match expected {
                Some(expected) => drop(expected.send(())),
                None => sleep(self.takes).await,
            }
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
        }
    }
}
