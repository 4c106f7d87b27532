//! One connection with many uploads at a time, each of which sends a chunk in its turn.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
    rc::Rc,
};

use anyhow::{Context, Result};

use crate::{
    connection::BATCH,
    frames::{self, Template},
    line::Line,
    upload::Upload,
};

/// Registrations that wait for their answer at a time.
const ASKED_MAX: usize = 16;

/// A connection and the uploads it carries.
pub struct Many {
    line: Line,
    template: Rc<Template>,
    uploads: Vec<Upload>,
    /// Where each upload is, by its ref as messages write it.
    places: HashMap<String, usize>,
}

impl Many {
    /// Connects, upgrades and registers `count` uploads, whose refs have the numbers from `first` on in them.
    ///
    /// # Errors
    ///
    /// The server does not answer, or refuses one.
    pub async fn open(
        address: &str,
        slot: &str,
        (first, count): (u32, u32),
        template: Rc<Template>,
    ) -> Result<Self> {
        let uploads: Vec<_> = (first..first + count).map(Upload::new).collect();
        let names = uploads
            .iter()
            .map(|upload| frames::hyphenated(&upload.name));
        let mut many = Self {
            line: Line::open(address, None, String::new()).await?,
            template,
            places: names.zip(0..).collect(),
            uploads,
        };
        for number in 0..many.uploads.len() {
            let message = many.uploads[number].registration(slot, many.template.size);
            many.line.say(&message).await?;
            many.until(|uploads| {
                let waiting = uploads[..=number].iter().filter(|own| !own.has_credit());
                waiting.count() < ASKED_MAX
            })
            .await?;
        }
        many.until(|uploads| uploads.iter().all(Upload::has_credit))
            .await?;
        Ok(many)
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
    fn hearing(&mut self) -> (&mut Line, impl FnMut(&str) -> Result<ControlFlow<()>>) {
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
