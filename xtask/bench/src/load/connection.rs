//! One connection with one upload: registers, sends as far as its credit reaches, waits for the end.

use std::{
    io::{ErrorKind, IoSlice},
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use super::{
    Args,
    frames::{self, Ref, Template},
};

/// Chunks in one vectored write.
const BATCH: usize = 8;
/// What the server may say between two reads.
const READ_BYTES: usize = 64 * 1024;

/// One connection with one registered upload.
pub(crate) struct Connection {
    stream: TcpStream,
    template: Rc<Template>,
    upload: Ref,
    inbox: Vec<u8>,
    credit: u64,
    is_complete: bool,
    /// Frames to send between two chunks: pongs.
    replies: Vec<u8>,
}

impl Connection {
    /// Connects, upgrades and registers.
    pub(crate) async fn open(args: &Args, number: u32, template: Rc<Template>) -> Result<Self> {
        let mut stream = TcpStream::connect(&args.address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: upload.v1\r\n\r\n",
            args.path, args.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("not upgraded: {}", String::from_utf8_lossy(&head));
        }
        let mut upload = [0; 16];
        upload[..4].copy_from_slice(&number.to_be_bytes());
        upload[6..].copy_from_slice(&[0x40, 1, 0x80, 2, 3, 4, 5, 6, 7, 8]);
        let mut connection = Self {
            stream,
            template,
            upload,
            inbox: Vec::new(),
            credit: 0,
            is_complete: false,
            replies: Vec::new(),
        };
        connection.register(&args.slot).await?;
        Ok(connection)
    }

    /// Sends the file and waits until it is complete; returns how often it ran out of credit.
    pub(crate) async fn upload(mut self) -> Result<u64> {
        let (mut offset, mut index, mut stalls) = (0, 0_u32, 0);
        let mut heads: [Vec<u8>; BATCH] = Default::default();
        while offset < self.template.size {
            self.read_ready()?;
            self.send_replies().await?;
            let mut lens = [0; BATCH];
            let mut count = 0;
            let mut end = offset;
            while count < BATCH {
                let len = self.template.chunk_len(end);
                if len == 0 || end + len as u64 > self.credit {
                    break;
                }
                Template::chunk_head(&self.upload, index, len, &mut heads[count]);
                lens[count] = len;
                index += 1;
                count += 1;
                end += len as u64;
            }
            if count == 0 {
                stalls += 1;
                self.stream.readable().await?;
                continue;
            }
            self.send_chunks(&heads[..count], &lens[..count]).await?;
            offset = end;
        }
        let complete = self.template.complete(&self.upload);
        self.stream.write_all(&complete).await?;
        while !self.is_complete {
            self.stream.readable().await?;
            self.read_ready()?;
            self.send_replies().await?;
        }
        Ok(stalls)
    }

    async fn register(&mut self, slot: &str) -> Result<()> {
        let hex: String = self
            .upload
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let id = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-");
        let register = serde_json::json!({
            "type": "upload_register",
            "upload_name": slot,
            "ref": id,
            "client_name": "load.bin",
            "client_type": "application/octet-stream",
            "client_size": self.template.size,
        });
        self.stream
            .write_all(&frames::text(&register.to_string()))
            .await?;
        while self.credit == 0 {
            self.stream.readable().await?;
            self.read_ready()?;
        }
        Ok(())
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
        loop {
            self.inbox.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.inbox) {
                Ok(0) if self.is_complete => return Ok(()),
                Ok(0) => bail!("the server hung up"),
                Ok(_) => self.take_frames()?,
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
        inbox.drain(..at);
        self.inbox = inbox;
        Ok(())
    }

    /// Takes from a message what matters here, without reading all of its JSON.
    fn hear(&mut self, text: &str) -> Result<()> {
        if text.contains("\"status\":\"complete\"") {
            self.is_complete = true;
        } else if text.contains("\"error\"")
            || text.contains("\"draining\"")
            || text.contains("\"code\"")
        {
            bail!("the server said {text}");
        }
        if let Some((_, rest)) = text.split_once("\"credit\":") {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let credit = rest[..digits]
                .parse()
                .with_context(|| format!("no credit in {text}"))?;
            self.credit = self.credit.max(credit);
        }
        Ok(())
    }
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
}
