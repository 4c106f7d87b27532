//! One upload: drives core's `Sender` over connections until it ends.

use std::{
    path::PathBuf,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use indicatif::ProgressBar;
use tokio::time::sleep_until;
use upload_core::{FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::UploadRef;
use upload_validate::{extension, media_type_for_extension};

use super::{fresh, link::Link, memory::Memory, reader::Reader};

/// A file and where it goes.
pub(super) struct Job {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) last_modified: Option<u64>,
    pub(super) slot: String,
    pub(super) url: http::Uri,
}

/// How an upload went.
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    pub(super) upload: UploadRef,
    pub(super) size: u64,
    /// Connections it took.
    pub(super) connections: u32,
}

/// Sends the file until it is stored or cannot be.
///
/// # Errors
///
/// The file cannot be read.
pub(super) async fn run(job: Job, memory: &mut Memory, bar: &ProgressBar) -> anyhow::Result<Sent> {
    let reader = Reader::open(&job.path).context("cannot be read")?;
    let known = memory.note.upload;
    let facts = FileFacts {
        upload: known.unwrap_or_else(|| fresh().into()),
        is_known: known.is_some(),
        slot: job.slot,
        media_type: extension(&job.name)
            .and_then(media_type_for_extension)
            .unwrap_or_default()
            .to_owned(),
        name: job.name,
        size: job.size,
        last_modified: job.last_modified,
        relative_path: None,
        meta: None,
        client_id: Some(memory.note.client_id.clone()),
    };
    let config = SenderConfig {
        jitter_percent: u32::from(fresh().as_bytes()[0]) % 50,
        ..SenderConfig::default()
    };
    let mut run = Run {
        sender: Sender::new(facts, config, now()),
        reader,
        link: None,
        url: job.url,
        memory,
        connections: 0,
    };
    let outcome = run.until_done(bar).await?;
    if let Some(link) = run.link.take() {
        link.close().await;
    }
    Ok(Sent {
        outcome,
        upload: run.sender.upload(),
        size: job.size,
        connections: run.connections,
    })
}

struct Run<'a> {
    sender: Sender,
    reader: Reader,
    link: Option<Link>,
    url: http::Uri,
    memory: &'a mut Memory,
    connections: u32,
}

impl Run<'_> {
    async fn until_done(&mut self, bar: &ProgressBar) -> anyhow::Result<Outcome> {
        loop {
            while let Some(output) = self.sender.poll_output() {
                self.carry_out(output).await;
            }
            if let Some(link) = &mut self.link
                && let Err(error) = link.flush().await
            {
                self.lose(&error);
                continue;
            }
            bar.set_position(self.sender.progress().received);
            if let Some(outcome) = self.sender.outcome() {
                return Ok(outcome.clone());
            }
            self.wait().await?;
        }
    }

    async fn carry_out(&mut self, output: SenderOutput) {
        let done = match output {
            SenderOutput::Connect => return self.connect().await,
            SenderOutput::Disconnect => Err(anyhow::anyhow!("the server fell silent")),
            SenderOutput::NeedRef => {
                let upload = fresh().into();
                self.memory.note.upload = None;
                self.sender.handle_ref(upload);
                Ok(())
            }
            SenderOutput::Read { offset, length } => {
                // The sender has fewer questions open than the reader takes; one that does not fit
                // would show as a stall.
                if !self.reader.ask(offset, length) {
                    tracing::warn!(offset, "the file's reader is stuck");
                }
                Ok(())
            }
            SenderOutput::Message(message) => {
                self.remember();
                match &mut self.link {
                    Some(link) => link.message(&message).await,
                    None => Ok(()),
                }
            }
            SenderOutput::Frame(frame) => match &mut self.link {
                Some(link) => link.frame(&frame).await,
                None => Ok(()),
            },
        };
        if let Err(error) = done {
            self.lose(&error);
        }
    }

    async fn connect(&mut self) {
        self.link = None;
        match Link::open(&self.url, &mut self.memory.note).await {
            Ok(link) => {
                self.link = Some(link);
                self.connections = self.connections.saturating_add(1);
                self.sender.handle_connected(now());
            }
            Err(error) => {
                tracing::debug!("{error:#}");
                self.sender.handle_disconnected(now());
            }
        }
    }

    /// Keeps the ref before the server hears it, so that no run that is cut off loses it.
    fn remember(&mut self) {
        let upload = self.sender.upload();
        if self.memory.note.upload != Some(upload) {
            self.memory.note.upload = Some(upload);
            self.memory.keep();
        }
    }

    fn lose(&mut self, error: &anyhow::Error) {
        tracing::debug!("{error:#}");
        self.link = None;
        self.sender.handle_disconnected(now());
    }

    /// Waits for whatever happens first, and tells the sender.
    async fn wait(&mut self) -> anyhow::Result<()> {
        let wake = self.sender.poll_timeout();
        let asleep = async {
            match wake {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match &mut self.link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = heard => match message {
                Ok(message) => self.sender.handle_message(&message, now()),
                Err(error) => self.lose(&error),
            },
            Some(piece) = self.reader.piece() => {
                let data = piece.data.context("cannot be read")?;
                self.sender.handle_data(piece.offset, data, now());
            }
            () = asleep => self.sender.handle_timeout(now()),
        }
        Ok(())
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ms = unix.map_or(0, |since| since.as_millis());
    Now {
        instant: Instant::now(),
        unix_ms: u64::try_from(unix_ms).unwrap_or(u64::MAX),
    }
}
