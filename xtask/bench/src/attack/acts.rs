//! What each kind of peer does with its connections.

use std::{io, rc::Rc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use upload_bench::frames::{Ref, frame, frame_head, hyphenated, text};

use crate::{
    kind::Kind,
    peer::{Peer, Tally, Turns, request_head},
};

/// First bytes of frames: flags and opcode.
const TEXT: u8 = 0x81;
const TEXT_BEGUN: u8 = 0x01;
pub(super) const BINARY: u8 = 0x82;
const BINARY_BEGUN: u8 = 0x02;
const CONTINUED: u8 = 0x00;
const COMPRESSED: u8 = 0xc1;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 65_536;
/// Past the content check, so that an upload has a file.
const HEAD_BYTES: usize = 9_000;
/// Addresses from which floods come: together they may have all that addresses share.
const ADDRESSES: u32 = 4;
/// Declared size of uploads that never get there.
pub(super) const SIZE: u64 = 1 << 30;

/// One peer: where it goes and what it does there.
pub(crate) struct Villain {
    pub(super) kind: Kind,
    pub(super) address: String,
    pub(super) tally: Rc<Tally>,
    /// Header lines that name the address it comes from, as a proxy would.
    pub(super) forwarded: String,
    /// Numbers that look random, and differ from peer to peer.
    dice: u64,
}

impl Villain {
    pub(crate) fn new(kind: Kind, address: String, number: u32, tally: Rc<Tally>) -> Self {
        let dice =
            0x9e37_79b9_7f4a_7c15 ^ (u64::from(number) + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self {
            kind,
            address,
            tally,
            forwarded: format!("X-Forwarded-For: 203.0.113.{}\r\n", number % ADDRESSES),
            dice,
        }
    }

    /// Lives through one connection.
    ///
    /// # Errors
    ///
    /// The server ended or refused it.
    pub(crate) async fn live(&mut self) -> io::Result<()> {
        match self.kind {
            Kind::SlowHandshake => self.slow_handshake().await,
            Kind::HugeHeaders => self.huge_headers().await,
            Kind::ConnectChurn | Kind::ResetChurn => self.churn().await,
            Kind::DeflateOffers => self.deflate().await,
            Kind::StatusFlood | Kind::PresignRubbish | Kind::WebhookRubbish => {
                self.requests().await
            }
            Kind::LeftUploads | Kind::LeftResumable => self.leave_uploads().await,
            Kind::LeftRegistrations => self.leave_registrations().await,
            Kind::EmptyFiles => self.empty_files().await,
            Kind::HttpCreations => self.http_creations().await,
            Kind::HttpBodies => self.http_bodies().await,
            _ => {
                let peer = Peer::upgrade(&self.address, "", &self.tally).await?;
                self.misuse(peer).await
            }
        }
    }

    /// What needs an upgraded socket and nothing but frames.
    async fn misuse(&mut self, mut peer: Peer) -> io::Result<()> {
        match self.kind {
            Kind::SilentSockets => peer.until_end().await,
            Kind::IdleUploads => {
                for _ in 0..16 {
                    let begun = self.begin("file", HEAD_BYTES);
                    peer.send(&begun).await?;
                    self.acted(1);
                }
                peer.until_end().await
            }
            Kind::NeverReading => {
                peer.be_deaf();
                let event =
                    json!({"type": "event", "event": "x".repeat(128), "id": "x".repeat(128)});
                self.repeat(&mut peer, &text(&event.to_string())).await
            }
            Kind::PingFlood => self.repeat(&mut peer, &frame(PING, &mut [7; 125])).await,
            Kind::PongFlood => self.repeat(&mut peer, &frame(PONG, &mut [7; 125])).await,
            Kind::UnfinishedMessage => {
                peer.send(&frame(BINARY_BEGUN, &mut [1; 21])).await?;
                self.repeat(&mut peer, &frame(CONTINUED, &mut [9; 1024]))
                    .await
            }
            Kind::HugeFrame => {
                let mut head = Vec::new();
                frame_head(BINARY, 1 << 40, &mut head);
                head.resize(CHUNK_BYTES, 9);
                self.repeat(&mut peer, &head).await
            }
            Kind::HalfFrame => {
                let mut head = Vec::new();
                frame_head(BINARY, 65_000, &mut head);
                peer.send(&head).await?;
                self.repeat(&mut peer, &[9]).await
            }
            Kind::ByteByByte => self.byte_by_byte(&mut peer).await,
            Kind::TinyChunks => self.chunks(&mut peer, "discard", 1, false).await,
            Kind::CreditIgnoring => self.chunks(&mut peer, "file", CHUNK_BYTES, false).await,
            Kind::ReplayedChunks => self.chunks(&mut peer, "discard", CHUNK_BYTES, true).await,
            Kind::BadJson => {
                self.repeat(&mut peer, &text("{\"type\": \"upload_reg"))
                    .await
            }
            Kind::DeepJson => {
                let deep = "[".repeat(60_000);
                self.repeat(&mut peer, &text(&deep)).await
            }
            Kind::BadUtf8 => {
                let bad = frame(TEXT, &mut [b'{', 0xff, 0xfe, b'}']);
                self.repeat(&mut peer, &bad).await
            }
            Kind::OversizedText => {
                // In pieces, so that its end is not all in one frame.
                let mut message = frame(TEXT_BEGUN, &mut vec![b'x'; 1 << 19]);
                message.extend(frame(0x80, &mut vec![b'x'; 1 << 19]));
                self.repeat(&mut peer, &message).await
            }
            _ => self.flood(&mut peer).await,
        }
    }

    /// Sends acts that each differ from the last.
    async fn flood(&mut self, peer: &mut Peer) -> io::Result<()> {
        let mut turns = Turns::new(self.kind.per_second());
        let mut bytes = Vec::new();
        loop {
            let acts = turns.due().await;
            bytes.clear();
            for _ in 0..acts {
                let act = self.make();
                bytes.extend(act);
            }
            peer.send(&bytes).await?;
            self.acted(acts);
        }
    }

    fn make(&mut self) -> Vec<u8> {
        match self.kind {
            Kind::RegisterStorm => {
                let upload = self.fresh_ref();
                text(&registration(&upload, "file").to_string())
            }
            Kind::CancelStorm => {
                let mut bytes = self.begin("file", HEAD_BYTES);
                // `begin` made the last ref; its cancel follows.
                let upload = self.last_ref();
                bytes.extend(frame(BINARY, &mut with_ref(3, &upload)));
                bytes
            }
            Kind::ResumeGuessing => {
                let upload = self.fresh_ref();
                let resume = json!({"type": "upload_resume", "ref": hyphenated(&upload)});
                text(&resume.to_string())
            }
            Kind::UnknownRef => {
                let upload = self.fresh_ref();
                chunk(&upload, 0, 1024)
            }
            _ => text("{\"type\": \"event\", \"event\": \"nobody_handles_this\", \"id\": 1}"),
        }
    }

    /// Sends the same bytes again and again.
    async fn repeat(&mut self, peer: &mut Peer, act: &[u8]) -> io::Result<()> {
        let mut turns = Turns::new(self.kind.per_second());
        loop {
            let acts = turns.due().await;
            peer.send(&act.repeat(acts)).await?;
            self.acted(acts);
        }
    }

    /// Sends chunks of one upload, or its first chunk for ever.
    async fn chunks(
        &mut self,
        peer: &mut Peer,
        slot: &str,
        len: usize,
        replays: bool,
    ) -> io::Result<()> {
        let upload = self.fresh_ref();
        peer.send(&text(&registration(&upload, slot).to_string()))
            .await?;
        let mut turns = Turns::new(self.kind.per_second());
        let mut index = 0;
        loop {
            let acts = turns.due().await;
            for _ in 0..acts {
                peer.send(&chunk(&upload, index, len)).await?;
                index += u32::from(!replays);
                self.acted(1);
            }
        }
    }

    async fn byte_by_byte(&mut self, peer: &mut Peer) -> io::Result<()> {
        let mut turns = Turns::new(self.kind.per_second());
        let mut bytes = Vec::new();
        loop {
            for _ in 0..turns.due().await {
                if bytes.is_empty() {
                    bytes = self.begin("file", 10);
                    let upload = self.last_ref();
                    bytes.extend(frame(BINARY, &mut with_ref(3, &upload)));
                }
                peer.send(&[bytes.remove(0)]).await?;
                self.acted(1);
            }
        }
    }

    async fn slow_handshake(&mut self) -> io::Result<()> {
        let mut peer = Peer::connect(&self.address, &self.tally).await?;
        let mut turns = Turns::new(self.kind.per_second());
        for byte in request_head(&self.address, "").into_bytes() {
            let acts = turns.due().await;
            peer.send(&[byte]).await?;
            self.acted(acts);
        }
        peer.until_end().await
    }

    async fn huge_headers(&mut self) -> io::Result<()> {
        let mut turns = Turns::new(self.kind.per_second());
        turns.due().await;
        let lines = format!("X-Filler: {}\r\n", "x".repeat(4000)).repeat(64);
        let mut peer = Peer::connect(&self.address, &self.tally).await?;
        self.acted(1);
        let sent = peer
            .send((request_head(&self.address, &lines) + "\r\n").as_bytes())
            .await;
        self.rest().await;
        sent?;
        peer.until_end().await
    }

    async fn churn(&mut self) -> io::Result<()> {
        let mut peer = Peer::upgrade(&self.address, "", &self.tally).await?;
        if self.kind == Kind::ResetChurn {
            peer.reset_at_end()?;
        }
        self.acted(1);
        drop(peer);
        self.rest().await;
        Ok(())
    }

    async fn deflate(&mut self) -> io::Result<()> {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let mut peer = Peer::upgrade(&self.address, offer, &self.tally).await?;
        self.acted(1);
        peer.send(&frame(COMPRESSED, &mut [0x2a; 100])).await?;
        let ended = peer.until_end().await;
        self.rest().await;
        ended
    }

    async fn requests(&mut self) -> io::Result<()> {
        let mut peer = Peer::connect(&self.address, &self.tally).await?;
        let mut turns = Turns::new(self.kind.per_second());
        loop {
            for _ in 0..turns.due().await {
                let request = self.request();
                peer.send(&request).await?;
                self.acted(1);
            }
            peer.forget_ready()?;
        }
    }

    fn request(&mut self) -> Vec<u8> {
        let address = &self.address;
        let post = |path: &str, more: &str, bytes: usize| {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                 Content-Length: {bytes}\r\n{more}\r\n"
            );
            let mut request = head.into_bytes();
            request.resize(request.len() + bytes, b'{');
            request
        };
        match self.kind {
            Kind::PresignRubbish => post("/uploads/presign", "", 4096),
            Kind::WebhookRubbish => {
                let signature = format!("X-Upload-Signature: {}\r\n", "0".repeat(64));
                post("/webhooks/s3", &signature, 65_536)
            }
            _ => {
                let name = hyphenated(&self.fresh_ref());
                format!(
                    "GET /uploads/{name}/status HTTP/1.1\r\nHost: {}\r\n\r\n",
                    self.address
                )
                .into_bytes()
            }
        }
    }

    async fn leave_uploads(&mut self) -> io::Result<()> {
        let slot = if self.kind == Kind::LeftResumable {
            "resumable"
        } else {
            "file"
        };
        let mut peer = Peer::upgrade(&self.address, "", &self.tally).await?;
        for _ in 0..64 {
            let begun = self.begin(slot, HEAD_BYTES);
            peer.send(&begun).await?;
        }
        self.acted(1);
        // Until the writers are open.
        sleep(Duration::from_millis(500)).await;
        peer.forget_ready()?;
        drop(peer);
        self.rest().await;
        Ok(())
    }

    /// Returns a registration and a first chunk.
    fn begin(&mut self, slot: &str, chunk_bytes: usize) -> Vec<u8> {
        let upload = self.fresh_ref();
        let mut bytes = text(&registration(&upload, slot).to_string());
        bytes.extend(chunk(&upload, 0, chunk_bytes));
        bytes
    }

    pub(super) async fn rest(&self) {
        sleep(Duration::from_secs_f64(1.0 / self.kind.per_second())).await;
    }

    pub(super) fn acted(&self, acts: usize) {
        self.tally.acts.set(self.tally.acts.get() + acts as u64);
    }

    pub(super) fn fresh_ref(&mut self) -> Ref {
        // xorshift64: refs only have to differ.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.last_ref()
    }

    pub(super) fn last_ref(&self) -> Ref {
        let mut upload = [0x40; 16];
        upload[..8].copy_from_slice(&self.dice.to_be_bytes());
        upload[8] = 0x80;
        upload
    }
}

pub(super) fn registration(upload: &Ref, slot: &str) -> Value {
    json!({
        "type": "upload_register",
        "upload_name": slot,
        "ref": hyphenated(upload),
        "client_name": "attack.bin",
        "client_type": "application/octet-stream",
        "client_size": SIZE,
    })
}

fn chunk(upload: &Ref, index: u32, len: usize) -> Vec<u8> {
    let mut payload = with_ref(1, upload);
    payload.extend(index.to_be_bytes());
    payload.resize(payload.len() + len, 9);
    frame(BINARY, &mut payload)
}

pub(super) fn with_ref(kind: u8, upload: &Ref) -> Vec<u8> {
    let mut payload = vec![kind];
    payload.extend(upload);
    payload
}
