//! Floods of what a server keeps for a while: records, finished files, calls of hooks, bodies.

use std::{io, time::Duration};

use serde_json::json;
use tokio::time::sleep;
use upload_bench::frames::{Ref, frame, hyphenated, text};

use crate::{
    acts::{BINARY, SIZE, Villain, registration, with_ref},
    peer::{Peer, Turns},
};

/// Registrations of one connection that then leaves.
const REGISTRATIONS: usize = 64;
/// Bytes of metadata in each, a little less than a registration may have.
const META_BYTES: usize = 3 * 1024;
/// Time for the server to take them.
const TAKEN: Duration = Duration::from_millis(80);
/// Empty files of one connection, which is one owner.
const EMPTY_FILES: usize = 2000;
/// Declared bytes of a body of which few arrive.
const BODY_BYTES: usize = 1000;

impl Villain {
    pub(super) async fn leave_registrations(&mut self) -> io::Result<()> {
        let forwarded = self.forwarded.clone();
        let mut peer = Peer::upgrade(&self.address, &forwarded, &self.tally).await?;
        let filler = "x".repeat(META_BYTES);
        for _ in 0..REGISTRATIONS {
            let upload = self.fresh_ref();
            let mut registration = registration(&upload, "resumable");
            registration["meta"] = json!({ "filler": filler });
            peer.send(&text(&registration.to_string())).await?;
        }
        sleep(TAKEN).await;
        peer.forget_ready()?;
        self.acted(1);
        drop(peer);
        self.rest().await;
        Ok(())
    }

    pub(super) async fn empty_files(&mut self) -> io::Result<()> {
        let forwarded = self.forwarded.clone();
        let mut peer = Peer::upgrade(&self.address, &forwarded, &self.tally).await?;
        let mut turns = Turns::new(self.kind.per_second());
        let mut sent = 0;
        while sent < EMPTY_FILES {
            let acts = turns.due().await;
            for _ in 0..acts {
                let upload = self.fresh_ref();
                peer.send(&empty_file(&upload)).await?;
            }
            peer.forget_ready()?;
            self.acted(acts);
            sent += acts;
        }
        Ok(())
    }

    pub(super) async fn http_creations(&mut self) -> io::Result<()> {
        let request = format!(
            "POST /uploads/files/resumable HTTP/1.1\r\nHost: {}\r\n{}Tus-Resumable: 1.0.0\r\n\
             Upload-Length: {SIZE}\r\nContent-Length: 0\r\n\r\n",
            self.address, self.forwarded
        );
        let mut peer = Peer::connect(&self.address, &self.tally).await?;
        let mut turns = Turns::new(self.kind.per_second());
        loop {
            for _ in 0..turns.due().await {
                peer.send(request.as_bytes()).await?;
                self.acted(1);
            }
            peer.forget_ready()?;
        }
    }

    /// Sends one byte after the other to each route that reads a body.
    pub(super) async fn http_bodies(&mut self) -> io::Result<()> {
        let signature = format!("X-Upload-Signature: {}\r\n", "0".repeat(64));
        let (path, more) = match self.fresh_ref()[7] % 3 {
            0 => (
                "/uploads/files/file",
                "Content-Type: application/octet-stream\r\n",
            ),
            1 => ("/uploads/presign", "Content-Type: application/json\r\n"),
            _ => ("/webhooks/s3", &*signature),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{}{more}Content-Length: {BODY_BYTES}\r\n\r\n",
            self.address, self.forwarded
        );
        let mut peer = Peer::connect(&self.address, &self.tally).await?;
        peer.send(head.as_bytes()).await?;
        let mut turns = Turns::new(self.kind.per_second());
        loop {
            let acts = turns.due().await;
            peer.send(b"x").await?;
            self.acted(acts);
            peer.forget_ready()?;
        }
    }
}

fn empty_file(upload: &Ref) -> Vec<u8> {
    let register = json!({
        "type": "upload_register", "upload_name": "file", "ref": hyphenated(upload),
        "client_name": "empty.bin", "client_type": "application/octet-stream", "client_size": 0,
    });
    let mut bytes = text(&register.to_string());
    let mut complete = with_ref(2, upload);
    complete.extend([0; 4]);
    bytes.extend(frame(BINARY, &mut complete));
    bytes
}
