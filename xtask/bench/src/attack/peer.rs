//! A raw connection of a peer that follows no rule.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    time::{Instant, sleep},
};

/// How often a peer acts at most in a second; what is due by then it does at once.
const TURNS_PER_SECOND: f64 = 20.0;
/// What is read at a time, to be forgotten.
const READ_BYTES: usize = 16 * 1024;
/// Longest answer to a request that is read whole.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What all peers did together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections that were tried.
    pub(crate) connections: Cell<u64>,
    /// Acts.
    pub(crate) acts: Cell<u64>,
    /// Bytes that the system took.
    pub(crate) bytes: Cell<u64>,
    /// Connections that the server ended or refused.
    pub(crate) ended: Cell<u64>,
}

/// When the next acts are due.
#[derive(Debug)]
pub(crate) struct Turns {
    per_second: f64,
    owed: f64,
    last: Instant,
}

impl Turns {
    /// Begins now.
    pub(crate) fn new(per_second: f64) -> Self {
        Self {
            per_second,
            owed: 1.0,
            last: Instant::now(),
        }
    }

    /// Waits until something is due, and returns how many acts; what could not be done is not made up for.
    pub(crate) async fn due(&mut self) -> usize {
        loop {
            let now = Instant::now();
            let passed = now.duration_since(self.last).as_secs_f64();
            self.last = now;
            self.owed = (self.owed + passed * self.per_second).min(self.per_second.max(1.0));
            if self.owed >= 1.0 {
                let acts = self.owed.floor();
                self.owed -= acts;
                return acts as usize;
            }
            let missing = (1.0 - self.owed) / self.per_second;
            sleep(Duration::from_secs_f64(missing.max(1.0 / TURNS_PER_SECOND))).await;
        }
    }
}

/// One connection.
pub(crate) struct Peer {
    stream: TcpStream,
    tally: Rc<Tally>,
    /// It never reads.
    is_deaf: bool,
    heard: Vec<u8>,
}

impl Peer {
    /// Connects, and says nothing.
    pub(crate) async fn connect(address: &str, tally: &Rc<Tally>) -> io::Result<Self> {
        tally.connections.set(tally.connections.get() + 1);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            tally: Rc::clone(tally),
            is_deaf: false,
            heard: vec![0; READ_BYTES],
        })
    }

    /// Connects and upgrades; `more` are header lines.
    pub(crate) async fn upgrade(address: &str, more: &str, tally: &Rc<Tally>) -> io::Result<Self> {
        let mut peer = Self::connect(address, tally).await?;
        let request = request_head(address, more) + "\r\n";
        peer.send(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(peer.stream.read_u8().await?);
            if head.len() > HEAD_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(peer)
    }

    /// Reads nothing from now on.
    pub(crate) fn be_deaf(&mut self) {
        self.is_deaf = true;
    }

    /// Has the connection reset when it is dropped.
    pub(crate) fn reset_at_end(&mut self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Sends, and throws away what comes meanwhile.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.is_deaf {
            self.stream.write_all(bytes).await?;
            self.count_bytes(bytes.len());
            return Ok(());
        }
        while !bytes.is_empty() {
            self.forget_ready()?;
            match self.stream.try_write(bytes) {
                Ok(sent) => {
                    self.count_bytes(sent);
                    bytes = &bytes[sent..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream
                        .ready(Interest::READABLE | Interest::WRITABLE)
                        .await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Throws away what came.
    ///
    /// # Errors
    ///
    /// The server hung up.
    pub(crate) fn forget_ready(&mut self) -> io::Result<()> {
        loop {
            match self.stream.try_read(&mut self.heard) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until the server hangs up.
    pub(crate) async fn until_end(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            self.forget_ready()?;
        }
    }

    fn count_bytes(&self, bytes: usize) {
        self.tally.bytes.set(self.tally.bytes.get() + bytes as u64);
    }
}

/// Returns a request for an upgrade without the empty line at its end.
pub(crate) fn request_head(address: &str, more: &str) -> String {
    format!(
        "GET /uploads/ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: upload.v1\r\n{more}"
    )
}
