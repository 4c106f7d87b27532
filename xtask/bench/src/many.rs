//! One connection with many uploads at a time, each of which sends a chunk in its turn.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
    rc::Rc,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    connection::BATCH,
    frames::{self, Template},
    raw_socket::RawSocket,
    upload::Upload,
};

/// Registrations that wait for their answer at a time.
const ASKED_MAX: usize = 16;

/// A connection and the uploads it carries.
pub struct Many {
    line: RawSocket,
    template: Rc<Template>,
    uploads: Vec<Upload>,
    /// Where each upload is, by its ref as messages write it.
    places: HashMap<String, usize>,
}

impl Many {
    /// Connects and upgrades, for `count` uploads whose refs have the numbers from `first` on in them.
    ///
    /// # Errors
    ///
    /// The server does not answer, or does not upgrade.
    pub async fn open(
        address: &str,
        cookie: Option<String>,
        (first, count): (u32, u32),
        template: Rc<Template>,
    ) -> Result<Self> {
        let uploads: Vec<_> = (first..first + count).map(Upload::new).collect();
        let names = uploads
            .iter()
            .map(|upload| frames::hyphenated(&upload.name));
        Ok(Self {
            line: RawSocket::open(address, cookie, String::new()).await?,
            template,
            places: names.zip(0..).collect(),
            uploads,
        })
    }

    /// Registers them all.
    ///
    /// # Errors
    ///
    /// The server refuses one or is gone.
    pub async fn register(&mut self, slot: &str) -> Result<()> {
        let size = self.template.size;
        self.ask(|upload| upload.registration(slot, size), |_| {})
            .await
    }

    /// Resumes them all; `resumed` is called whenever more of them were.
    ///
    /// # Errors
    ///
    /// The server does not let one go on or is gone.
    pub async fn resume(&mut self, resumed: impl FnMut(usize)) -> Result<()> {
        self.ask(Upload::resumption, resumed).await?;
        for upload in &mut self.uploads {
            upload.offset = upload.received;
        }
        Ok(())
    }

    /// Sends the first chunk of each, and waits until it was received.
    ///
    /// # Errors
    ///
    /// The server refuses one or is gone.
    pub async fn begin(&mut self) -> Result<()> {
        let template = Rc::clone(&self.template);
        let mut head = [Vec::new()];
        for place in 0..self.uploads.len() {
            let upload = &mut self.uploads[place];
            let Some(len) = upload.next_chunk(&template, template.size, &mut head[0]) else {
                continue;
            };
            let (line, mut hear) = self.hearing();
            line.send_chunks(&template, &head, &[len], &mut hear)
                .await?;
        }
        self.until(|uploads| uploads.iter().all(|upload| upload.received > 0))
            .await
    }

    /// Returns the cookie that says whose uploads these are.
    pub fn cookie(&self) -> Option<String> {
        self.line.cookie.clone()
    }

    /// Asks something about each, so many at a time, until all have credit.
    async fn ask(
        &mut self,
        message: impl Fn(&Upload) -> Value,
        mut answered: impl FnMut(usize),
    ) -> Result<()> {
        let count = |uploads: &[Upload]| uploads.iter().filter(|own| own.has_credit()).count();
        let (mut before, all) = (0, self.uploads.len());
        for asked in 1..=all {
            let message = message(&self.uploads[asked - 1]);
            self.line.say(&message).await?;
            while asked - count(&self.uploads) >= ASKED_MAX || asked == all {
                let now = count(&self.uploads);
                if now > before {
                    answered(now);
                    before = now;
                }
                if now == all {
                    break;
                }
                let (line, mut hear) = self.hearing();
                line.wait(&mut hear).await?;
            }
        }
        Ok(())
    }

    /// Sends all files, and waits for all receipts; returns how often no upload had credit.
    ///
    /// # Errors
    ///
    /// The server refuses one or is gone.
    pub async fn upload(&mut self) -> Result<u64> {
        let template = Rc::clone(&self.template);
        let mut heads: [Vec<u8>; BATCH] = Default::default();
        // Those that are not sent yet, in the order of their turns.
        let mut turns: VecDeque<_> = (0..self.uploads.len()).collect();
        let mut stalls = 0;
        while !turns.is_empty() {
            self.catch_up().await?;
            let mut lens = Vec::with_capacity(BATCH);
            let mut sent = Vec::new();
            for _ in 0..turns.len() {
                let Some(head) = heads.get_mut(lens.len()) else {
                    break;
                };
                let Some(place) = turns.pop_front() else {
                    break;
                };
                let upload = &mut self.uploads[place];
                lens.extend(upload.next_chunk(&template, template.size, head));
                if upload.offset < template.size {
                    turns.push_back(place);
                } else {
                    sent.push(upload.name);
                }
            }
            let (line, mut hear) = self.hearing();
            if lens.is_empty() {
                stalls += 1;
                line.wait(&mut hear).await?;
                continue;
            }
            line.send_chunks(&template, &heads[..lens.len()], &lens, &mut hear)
                .await?;
            for name in sent {
                line.write(&template.complete(&name)).await?;
            }
        }
        self.until(|uploads| uploads.iter().all(Upload::is_complete))
            .await?;
        Ok(stalls)
    }

    async fn until(&mut self, is_so: impl Fn(&[Upload]) -> bool) -> Result<()> {
        while !is_so(&self.uploads) {
            let (line, mut hear) = self.hearing();
            line.wait(&mut hear).await?;
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<()> {
        let (line, mut hear) = self.hearing();
        line.catch_up(&mut hear).await
    }

    /// Returns the line, and what takes a message to the upload that it is about.
    fn hearing(&mut self) -> (&mut RawSocket, impl FnMut(&str) -> Result<ControlFlow<()>>) {
        let Self {
            line,
            uploads,
            places,
            ..
        } = self;
        let hear = |text: &str| {
            if text.contains("\"upload_configs\"") {
                return Ok(ControlFlow::Continue(()));
            }
            let name = text.split_once("\"ref\":\"").map(|(_, rest)| rest);
            let name = name
                .and_then(|rest| rest.split_once('"'))
                .map(|(name, _)| name);
            let place = name.and_then(|name| places.get(name));
            let upload = place.and_then(|place| uploads.get_mut(*place));
            let upload = upload.with_context(|| format!("the server said {text}"))?;
            upload.hear(text)?;
            Ok(ControlFlow::Continue(()))
        };
        (line, hear)
    }
}
