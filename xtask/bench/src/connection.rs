//! One connection with one upload at a time: registers, sends as far as its credit reaches, resumes.

use std::{
    io::{ErrorKind, IoSlice},
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use crate::{
    frames::{self, Ref, Template},
    unpaced,
};

/// Names this program, so that it may take over from its own cut connection.
const CLIENT_ID: &str = "bench";

/// Chunks in one vectored write.
const BATCH: usize = 8;
/// What is read at a time of what the server says.
const READ_BYTES: usize = 8 * 1024;

/// A connection and the upload it carries.
pub struct Connection {
    stream: TcpStream,
    /// The cookie that says whose uploads these are.
    cookie: Option<String>,
    template: Rc<Template>,
    upload: Ref,
    /// The beginning of a frame whose end was not read yet.
    inbox: Vec<u8>,
    offset: u64,
    index: u32,
    credit: u64,
    /// Bytes the server said it received.
    received: u64,
    status: Status,
    /// How often there was no credit.
    stalls: u64,
    /// Frames to send between two chunks: pongs.
    replies: Vec<u8>,
}

/// What the server said last of the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nothing yet.
    Asked,
    /// It goes on.
    Uploading,
    /// It is stored.
    Complete,
}

impl Connection {
    /// Connects and upgrades; uploads will be like `template`.
    ///
    /// # Errors
    ///
    /// The server does not answer, or does not upgrade.
    pub async fn open(
        address: &str,
        cookie: Option<String>,
        template: Rc<Template>,
    ) -> Result<Self> {
        let mut stream = unpaced::connect(address).await?;
        stream.set_nodelay(true)?;
        let own = cookie
            .as_ref()
            .map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "GET /uploads/ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: upload.v1\r\n{own}\r\n"
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
            template,
            upload: [0; 16],
            inbox: Vec::new(),
            offset: 0,
            index: 0,
            credit: 0,
            received: 0,
            status: Status::Asked,
            stalls: 0,
            replies: Vec::new(),
        })
    }

    /// Registers a new upload, whose ref has this number in it.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn register(&mut self, slot: &str, number: u32) -> Result<()> {
        self.upload = [0; 16];
        self.upload[..4].copy_from_slice(&number.to_be_bytes());
        self.upload[6..].copy_from_slice(&[0x40, 1, 0x80, 2, 3, 4, 5, 6, 7, 8]);
        (self.offset, self.index, self.credit, self.received) = (0, 0, 0, 0);
        self.status = Status::Asked;
        self.say(&json!({
            "type": "upload_register", "client_id": CLIENT_ID,
            "upload_name": slot,
            "ref": frames::hyphenated(&self.upload),
            "client_name": "load.bin",
            "client_type": "application/octet-stream",
            "client_size": self.template.size,
        }))
        .await?;
        self.until(|own| own.credit > 0 || own.template.size == 0)
            .await
    }

    /// Connects anew and goes on with the upload of a connection that is dropped.
    ///
    /// # Errors
    ///
    /// The server does not let it go on.
    pub async fn resume(self, address: &str) -> Result<Self> {
        let (cookie, template, upload) = (self.cookie.clone(), self.template.clone(), self.upload);
        drop(self);
        let mut next = Self::open(address, cookie, template).await?;
        next.upload = upload;
        next.say(
            &json!({"type": "upload_resume", "ref": frames::hyphenated(&next.upload), "client_id": CLIENT_ID}),
        )
        .await?;
        next.until(|own| own.credit > 0).await?;
        next.offset = next.received;
        Ok(next)
    }

    /// Sends the file up to a byte.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn send_to(&mut self, end: u64) -> Result<()> {
        let mut heads: [Vec<u8>; BATCH] = Default::default();
        while self.offset < end {
            self.read_ready()?;
            self.send_replies().await?;
            let mut lens = [0; BATCH];
            let (mut count, mut next) = (0, self.offset);
            while count < BATCH && next < end {
                let len = self.template.chunk_len(next);
                if len == 0 || next + len as u64 > self.credit {
                    break;
                }
                Template::chunk_head(&self.upload, self.index, len, &mut heads[count]);
                lens[count] = len;
                self.index += 1;
                count += 1;
                next += len as u64;
            }
            if count == 0 {
                self.stalls += 1;
                self.stream.readable().await?;
                continue;
            }
            self.send_chunks(&heads[..count], &lens[..count]).await?;
            self.offset = next;
        }
        Ok(())
    }

    /// Completes the upload and waits for the receipt.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn complete(&mut self) -> Result<()> {
        let complete = self.template.complete(&self.upload);
        self.stream.write_all(&complete).await?;
        self.until(|own| own.status == Status::Complete).await
    }

    /// Sends the whole file and waits for the receipt; returns how often there was no credit.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn upload(&mut self) -> Result<u64> {
        self.send_to(self.template.size).await?;
        self.complete().await?;
        Ok(self.stalls)
    }

    /// Waits until the server says that it received more than `bytes`.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub async fn until_received_past(&mut self, bytes: u64) -> Result<()> {
        self.until(|own| own.received > bytes || own.status == Status::Complete)
            .await
    }

    /// Answers pings for as long as it is polled.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub async fn stay(&mut self) -> Result<()> {
        loop {
            self.stream.readable().await?;
            self.read_ready()?;
            self.send_replies().await?;
        }
    }

    /// Returns how far the upload was sent.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the bytes of the whole upload.
    pub fn size(&self) -> u64 {
        self.template.size
    }

    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        while !is_so(self) {
            self.stream.readable().await?;
            self.read_ready()?;
            self.send_replies().await?;
        }
        Ok(())
    }

    async fn say(&mut self, message: &serde_json::Value) -> Result<()> {
        let frame = frames::text(&message.to_string());
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn send_replies(&mut self) -> Result<()> {
        if !self.replies.is_empty() {
            self.stream.write_all(&self.replies).await?;
            self.replies.clear();
        }
        Ok(())
    }

    async fn send_chunks(&mut self, heads: &[Vec<u8>], lens: &[usize]) -> Result<()> {
        let template = Rc::clone(&self.template);
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
                self.read_ready()?;
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
    fn read_ready(&mut self) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) if self.status == Status::Complete => return Ok(()),
                Ok(0) => bail!("the server hung up"),
                Ok(read) => {
                    self.inbox.extend_from_slice(&bytes[..read]);
                    self.take_frames()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frames(&mut self) -> Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while let Some((opcode, payload, len)) = first_frame(&inbox[at..]) {
            match opcode {
                1 => self.hear(std::str::from_utf8(payload).context("a text that is no UTF-8")?)?,
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

    /// Takes from a message what matters here, without reading all of its JSON.
    fn hear(&mut self, text: &str) -> Result<()> {
        if text.contains("\"upload_configs\"") {
            return Ok(());
        }
        if text.contains("\"status\":\"complete\"") {
            self.status = Status::Complete;
        } else if ["error", "draining", "code", "not_found", "locked"]
            .iter()
            .any(|word| text.contains(&format!("\"{word}\"")))
        {
            bail!("the server said {text}");
        } else {
            self.status = Status::Uploading;
        }
        self.credit = number(text, "credit").unwrap_or(0).max(self.credit);
        self.received = number(text, "bytes_received")
            .unwrap_or(0)
            .max(self.received);
        if text.contains("\"upload_resumed\"") {
            let next = number(text, "next_index").context("no next_index")?;
            self.index = u32::try_from(next)?;
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

/// Returns the first number with this key in a JSON text.
fn number(text: &str, key: &str) -> Option<u64> {
    let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
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
    fn cookies_and_numbers_are_found() {
        let head = "HTTP/1.1 101 x\r\nSet-Cookie: owner=abc; Path=/; HttpOnly\r\n";
        assert_eq!(cookie_of(head).as_deref(), Some("owner=abc"));
        assert_eq!(cookie_of("HTTP/1.1 101 x\r\n"), None);
        assert_eq!(number("{\"credit\":42,", "credit"), Some(42));
        assert_eq!(number("{\"credit\":42,", "other"), None);
    }
}
