//! One connection that uploads one small file after the other without waiting for any of them.
//!
//! Up to so many files are in flight at a time. A file's bytes and its complete frame follow as soon as it has
//! credit, and the next file is registered as soon as one is stored.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    frames::{self, Template},
    raw_socket::RawSocket,
    upload::Upload,
};

/// A connection and the files that are in flight on it.
pub struct Pipeline {
    line: RawSocket,
    template: Rc<Template>,
    slot: String,
    /// By their refs as messages write them.
    in_flight: HashMap<String, InFlight>,
    /// Files that have credit and were not sent to their end.
    ready: Vec<String>,
    /// How long each took from its registration until it was stored.
    receipts: Vec<Duration>,
}

struct InFlight {
    upload: Upload,
    begun: Instant,
}

impl Pipeline {
    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// The server does not answer, or does not upgrade.
    pub async fn open(address: &str, slot: &str, template: Rc<Template>) -> Result<Self> {
        Ok(Self {
            line: RawSocket::open(address, None, String::new()).await?,
            template,
            slot: slot.to_owned(),
            in_flight: HashMap::new(),
            ready: Vec::new(),
            receipts: Vec::new(),
        })
    }

    /// Uploads the files of these numbers, at most `most` at a time; returns how long each took from its
    /// registration to its receipt.
    ///
    /// # Errors
    ///
    /// The server refuses one or is gone.
    pub async fn upload(
        &mut self,
        numbers: impl Iterator<Item = u32>,
        most: usize,
    ) -> Result<Vec<Duration>> {
        let mut numbers = numbers.peekable();
        let mut frames = Vec::new();
        loop {
            while self.in_flight.len() < most
                && let Some(number) = numbers.next()
            {
                self.register(number, &mut frames);
            }
            self.send_ready(&mut frames);
            if !frames.is_empty() {
                self.line.write(&frames).await?;
                frames.clear();
            }
            if self.in_flight.is_empty() && numbers.peek().is_none() {
                return Ok(std::mem::take(&mut self.receipts));
            }
            self.hear().await?;
        }
    }

    fn register(&mut self, number: u32, frames: &mut Vec<u8>) {
        let upload = Upload::new(number);
        let message = upload.registration(&self.slot, self.template.size);
        frames.extend(frames::text(&message.to_string()));
        let begun = Instant::now();
        let name = frames::hyphenated(&upload.name);
        self.in_flight.insert(name, InFlight { upload, begun });
    }

    /// Adds what may be sent of the files that have credit, and their complete frames.
    fn send_ready(&mut self, frames: &mut Vec<u8>) {
        let (template, mut head) = (Rc::clone(&self.template), Vec::new());
        for name in std::mem::take(&mut self.ready) {
            let Some(InFlight { upload, .. }) = self.in_flight.get_mut(&name) else {
                continue;
            };
            if upload.offset == template.size {
                // It was heard of twice.
                continue;
            }
            while let Some(len) = upload.next_chunk(&template, template.size, &mut head) {
                frames.extend_from_slice(&head);
                frames.extend_from_slice(&template.data[..len]);
            }
            if upload.offset == template.size {
                frames.extend(template.complete(&upload.name));
            }
        }
    }

    /// Waits until the server says something.
    async fn hear(&mut self) -> Result<()> {
        let Self {
            line,
            in_flight,
            ready,
            receipts,
            template,
            ..
        } = self;
        let mut hear = |text: &str| {
            if text.contains("\"upload_configs\"") {
                return Ok(ControlFlow::Continue(()));
            }
            let name = text
                .split_once("\"ref\":\"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .map(|(name, _)| name);
            let name = name.with_context(|| format!("the server said {text}"))?;
            let one = in_flight.get_mut(name);
            let one = one.with_context(|| format!("the server said {text}"))?;
            one.upload.hear(text)?;
            if one.upload.is_complete() {
                receipts.push(one.begun.elapsed());
                in_flight.remove(name);
            } else if one.upload.offset < template.size && one.upload.has_credit() {
                ready.push(name.to_owned());
            }
            Ok(ControlFlow::Continue(()))
        };
        line.wait(&mut hear).await
    }
}
