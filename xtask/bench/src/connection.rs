//! One connection with one upload at a time: registers, sends as far as its credit reaches, resumes.

use std::{ops::ControlFlow, rc::Rc};

use anyhow::Result;

use crate::{
    frames::{self, Template},
    raw_socket::RawSocket,
    upload::Upload,
};

/// Chunks in one vectored write.
pub(crate) const BATCH: usize = 8;

/// A connection and the upload it carries.
pub struct Connection {
    line: RawSocket,
    template: Rc<Template>,
    upload: Upload,
    /// How often there was no credit.
    stalls: u64,
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
        Self::open_with(address, cookie, template, String::new()).await
    }

    /// Connects and upgrades with further header lines, each with its end.
    ///
    /// # Errors
    ///
    /// The server does not answer, or does not upgrade.
    pub async fn open_with(
        address: &str,
        cookie: Option<String>,
        template: Rc<Template>,
        headers: String,
    ) -> Result<Self> {
        Ok(Self {
            line: RawSocket::open(address, cookie, headers).await?,
            template,
            upload: Upload::new(0),
            stalls: 0,
        })
    }

    /// Registers a new upload, whose ref has this number in it.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn register(&mut self, slot: &str, number: u32) -> Result<()> {
        self.upload = Upload::new(number);
        let size = self.template.size;
        self.line.say(&self.upload.registration(slot, size)).await?;
        self.until(|upload| upload.has_credit() || size == 0).await
    }

    /// Connects anew and resumes the upload of a connection that is dropped.
    ///
    /// # Errors
    ///
    /// The server does not let it.
    pub async fn resume(self, address: &str) -> Result<Self> {
        let (cookie, template) = (self.line.cookie.clone(), self.template.clone());
        let headers = self.line.headers.clone();
        let name = self.upload.name;
        drop(self);
        let mut next = Self::open_with(address, cookie, template, headers).await?;
        next.upload = Upload::named(name);
        next.line.say(&next.upload.resumption()).await?;
        next.until(Upload::has_credit).await?;
        next.upload.offset = next.upload.received;
        Ok(next)
    }

    /// Sends the file up to a byte.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn send_to(&mut self, end: u64) -> Result<()> {
        let mut heads: [Vec<u8>; BATCH] = Default::default();
        while self.upload.offset < end {
            let Self { line, upload, .. } = self;
            line.catch_up(&mut hearing(upload)).await?;
            let mut lens = [0; BATCH];
            let mut count = 0;
            for (head, len) in heads.iter_mut().zip(&mut lens) {
                let Some(bytes) = upload.next_chunk(&self.template, end, head) else {
                    break;
                };
                *len = bytes;
                count += 1;
            }
            let hear = &mut hearing(upload);
            if count == 0 {
                self.stalls += 1;
                line.wait(hear).await?;
            } else {
                line.send_chunks(&self.template, &heads[..count], &lens[..count], hear)
                    .await?;
            }
        }
        Ok(())
    }

    /// Completes the upload and waits for the receipt.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn complete(&mut self) -> Result<()> {
        let complete = self.template.complete(&self.upload.name);
        self.line.write(&complete).await?;
        self.until(Upload::is_complete).await
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
        self.until(|upload| upload.received > bytes || upload.is_complete())
            .await
    }

    /// Answers pings for as long as it is polled.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub async fn stay(&mut self) -> Result<()> {
        loop {
            self.wait().await?;
        }
    }

    /// Returns the ref of the upload.
    pub fn upload_ref(&self) -> String {
        frames::hyphenated(&self.upload.name)
    }

    /// Returns the cookie that says who this is.
    pub fn cookie(&self) -> Option<String> {
        self.line.cookie.clone()
    }

    /// Returns how far the upload was sent.
    pub fn offset(&self) -> u64 {
        self.upload.offset
    }

    /// Returns the bytes of the whole upload.
    pub fn size(&self) -> u64 {
        self.template.size
    }

    async fn until(&mut self, is_so: impl Fn(&Upload) -> bool) -> Result<()> {
        while !is_so(&self.upload) {
            self.wait().await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let Self { line, upload, .. } = self;
        line.wait(&mut hearing(upload)).await
    }
}

/// Takes what the server says to the upload; once that is stored the server may hang up.
fn hearing(upload: &mut Upload) -> impl FnMut(&str) -> Result<ControlFlow<()>> {
    |text| {
        upload.hear(text)?;
        Ok(if upload.is_complete() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}
