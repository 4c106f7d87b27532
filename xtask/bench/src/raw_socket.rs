//! The socket of one client: upgraded, read frame by frame, and written to with vectored calls.

use std::{
    io::{ErrorKind, IoSlice},
    ops::ControlFlow,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use crate::{
    frames::{self, Template},
    unpaced,
};

/// What is read at a time of what the server says.
const READ_BYTES: usize = 8 * 1024;

/// Takes each message of the server; `Break` where the server may hang up now.
pub(crate) type Hear<'a> = &'a mut dyn FnMut(&str) -> Result<ControlFlow<()>>;

/// A connection that was upgraded.
pub(crate) struct RawSocket {
    stream: TcpStream,
    /// The cookie that says whose uploads these are.
    pub(crate) cookie: Option<String>,
    /// Further header lines of its request, each with its end.
    pub(crate) headers: String,
    /// The beginning of a frame whose end was not read yet.
    inbox: Vec<u8>,
    /// Frames to send between two chunks: pongs.
    replies: Vec<u8>,
    /// Whether the server may hang up.
    is_done: bool,
}

impl RawSocket {
    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// The server does not answer, or does not upgrade.
    pub(crate) async fn open(
        address: &str,
        cookie: Option<String>,
        headers: String,
    ) -> Result<Self> {
        let mut stream = unpaced::connect(address).await?;
        stream.set_nodelay(true)?;
        let own = cookie
            .as_ref()
            .map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "GET /uploads/ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: upload.v1\r\n{own}{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        if !head.starts_with("HTTP/1.1 101") {
            bail!("not upgraded: {head}");
        }
        Ok(Self {
            stream,
            cookie: cookie.or_else(|| cookie_of(&head)),
            headers,
            inbox: Vec::new(),
            replies: Vec::new(),
            is_done: false,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub(crate) async fn say(&mut self, message: &Value) -> Result<()> {
        self.write(&frames::text(&message.to_string())).await
    }

    /// Sends frames as they are.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frames).await?)
    }

    /// Waits until the server says something, takes that in, and answers pings.
    ///
    /// # Errors
    ///
    /// The server is gone, or `hear` fails.
    pub(crate) async fn wait(&mut self, hear: Hear<'_>) -> Result<()> {
        self.stream.readable().await?;
        self.catch_up(hear).await
    }

    /// Takes in what the server has said, and answers pings.
    ///
    /// # Errors
    ///
    /// The server is gone, or `hear` fails.
    pub(crate) async fn catch_up(&mut self, hear: Hear<'_>) -> Result<()> {
        self.read_ready(hear)?;
        if !self.replies.is_empty() {
            self.stream.write_all(&self.replies).await?;
            self.replies.clear();
        }
        Ok(())
    }

    /// Sends chunks: the head of each, and as much of the shared data as it has.
    ///
    /// # Errors
    ///
    /// The server is gone, or `hear` fails.
    pub(crate) async fn send_chunks(
        &mut self,
        template: &Template,
        heads: &[Vec<u8>],
        lens: &[usize],
        hear: Hear<'_>,
    ) -> Result<()> {
        let mut slices = Vec::with_capacity(2 * heads.len());
        for (head, len) in heads.iter().zip(lens) {
            slices.push(IoSlice::new(head));
            slices.push(IoSlice::new(&template.data[..*len]));
        }
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let ready = self
                .stream
                .ready(Interest::WRITABLE | Interest::READABLE)
                .await?;
            // A server that waits for its own answers to be read must not be kept waiting.
            if ready.is_readable() {
                self.read_ready(hear)?;
            }
            match self.stream.try_write_vectored(rest) {
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what is there, and no more.
    fn read_ready(&mut self, hear: Hear<'_>) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) if self.is_done => return Ok(()),
                Ok(0) => bail!("the server hung up"),
                Ok(read) => {
                    self.inbox.extend_from_slice(&bytes[..read]);
                    self.take_frames(hear)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frames(&mut self, hear: Hear<'_>) -> Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while let Some((opcode, payload, len)) = first_frame(&inbox[at..]) {
            match opcode {
                1 => {
                    let text = std::str::from_utf8(payload).context("a text that is no UTF-8")?;
                    self.is_done = hear(text)?.is_break();
                }
                8 => bail!("the server closed: {}", String::from_utf8_lossy(payload)),
                9 => self.replies.extend(frames::pong(payload)),
                _ => {}
            }
            at += len;
        }
        // Thousands of connections that wait must not keep a buffer each.
        if at < inbox.len() {
            inbox.drain(..at);
            self.inbox = inbox;
        }
        Ok(())
    }
}

/// Returns the cookie an answer sets, as it is to be sent back.
fn cookie_of(head: &str) -> Option<String> {
    let line = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"))?;
    let (_, value) = line.split_once(':')?;
    Some(value.split(';').next()?.trim().to_owned())
}

/// Cuts the first whole frame off what a server sent: opcode, payload, length of all.
fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (at, len): (usize, usize) = match second & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
        ),
        len => (2, usize::from(len)),
    };
    let end = at.checked_add(len)?;
    Some((first & 0x0f, bytes.get(at..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_server_are_cut_off_one_by_one() {
        let bytes = [0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 0];
        assert_eq!(first_frame(&bytes), Some((1, &b"hi"[..], 4)));
        assert_eq!(first_frame(&bytes[4..]), Some((9, &b""[..], 2)));
        assert_eq!(first_frame(&bytes[6..]), None);
    }

    #[test]
    fn a_cookie_is_found() {
        let head = "HTTP/1.1 101 x\r\nSet-Cookie: owner=abc; Path=/; HttpOnly\r\n";
        assert_eq!(cookie_of(head).as_deref(), Some("owner=abc"));
        assert_eq!(cookie_of("HTTP/1.1 101 x\r\n"), None);
    }
}
