//! One upload: drives core's `Sender` over connections until it ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::time::{sleep, sleep_until};
use upload_core::{FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::{Code, ResumeStatus, Retry, ServerMessage, UploadRef};
use upload_validate::{extension, media_type_for_extension};

use super::{
    fresh,
    link::{Link, LinkError, Server},
    memory::Memory,
    owner::Owner,
    reader::{Answer, Question, Reader},
    report::Report,
};
use crate::errors;

/// How long a server may leave a connection unanswered before a notice says so.
const TELL_AFTER: Duration = Duration::from_millis(1_500);

/// A file and where it goes.
pub(super) struct Job<'a> {
    pub(super) server: &'a Server,
    pub(super) slot: &'a str,
    pub(super) reader: &'a mut Reader,
    pub(super) memory: &'a mut Memory,
    /// A connection that is open already, as the owner that the memory names.
    pub(super) link: &'a mut Option<Link>,
    pub(super) report: &'a Report,
    pub(super) owner: &'a Owner,
    pub(super) name: &'a str,
    pub(super) relative_path: Option<&'a str>,
    pub(super) last_modified: Option<u64>,
}

/// How an upload went.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    pub(super) upload: UploadRef,
    pub(super) size: u64,
    /// Connections it took.
    pub(super) connections: u32,
}

/// Why an upload was not even refused.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file cannot be read.
    File(anyhow::Error),
    /// No file can be sent to this server in this way.
    Server(anyhow::Error),
}

/// Sends the file until it is stored or cannot be.
///
/// # Errors
///
/// The file cannot be read, or the server does not let anything in.
pub(super) async fn run(job: Job<'_>) -> Result<Sent, Failure> {
    let size = job.reader.stamp().size;
    let known = job.memory.note.upload;
    let media_type = extension(job.name).and_then(media_type_for_extension);
    let facts = FileFacts {
        upload: known.unwrap_or_else(|| fresh().into()),
        is_known: known.is_some(),
        slot: job.slot.to_owned(),
        media_type: media_type.unwrap_or_default().to_owned(),
        name: job.name.to_owned(),
        size,
        last_modified: job.last_modified,
        relative_path: job.relative_path.map(str::to_owned),
        meta: None,
        client_id: Some(job.memory.note.client_id.clone()),
    };
    let config = SenderConfig {
        jitter_percent: u32::from(fresh().as_bytes()[0]) % 50,
        ..SenderConfig::default()
    };
    let mut run = Run {
        sender: Sender::new(facts, config),
        connections: 0,
        shown: 0,
        job,
    };
    let outcome = run.until_done().await?;
    if !matches!(outcome, Outcome::Complete { .. }) {
        run.show(0);
    }
    Ok(Sent {
        outcome,
        upload: run.sender.upload(),
        size,
        connections: run.connections,
    })
}

struct Run<'a> {
    sender: Sender,
    connections: u32,
    /// What the bar shows of this file, in bytes.
    shown: u64,
    job: Job<'a>,
}

impl Run<'_> {
    async fn until_done(&mut self) -> Result<Outcome, Failure> {
        loop {
            while let Some(output) = self.sender.poll_output() {
                self.carry_out(output).await?;
            }
            if let Some(link) = self.job.link
                && let Err(error) = link.flush().await
            {
                self.lose(error)?;
                continue;
            }
            self.show(self.sender.progress().received);
            if let Some(outcome) = self.sender.outcome() {
                return Ok(outcome.clone());
            }
            self.wait().await?;
        }
    }

    async fn carry_out(&mut self, output: SenderOutput) -> Result<(), Failure> {
        let done = match output {
            SenderOutput::Connect => return self.connect().await,
            SenderOutput::Disconnect => Err(LinkError::Passing(anyhow::anyhow!(
                "the server fell silent"
            ))),
            SenderOutput::NeedRef => {
                self.job.memory.note.upload = None;
                self.sender.handle_ref(fresh().into(), now());
                return Ok(());
            }
            SenderOutput::Read { id, offset, length } => {
                self.ask(Question::Read { id, offset, length });
                return Ok(());
            }
            SenderOutput::CheckFile { id } => {
                self.ask(Question::Check { id });
                return Ok(());
            }
            SenderOutput::Message(message) => {
                self.remember();
                match self.job.link {
                    Some(link) => link.message(&message).await,
                    None => return Ok(()),
                }
            }
            SenderOutput::Frame(frame) => match self.job.link {
                Some(link) => link.frame(&frame).await,
                None => return Ok(()),
            },
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.lose(error),
        }
    }

    fn ask(&mut self, question: Question) {
        // The sender has fewer questions open than the reader takes; one that does not fit
        // would show as a stall.
        if !self.job.reader.ask(question) {
            tracing::warn!(?question, "the file's reader is stuck");
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        self.connections = self.connections.saturating_add(1);
        let cookie = self.job.memory.note.cookie.clone();
        if self.connections == 1
            && let Some(link) = self.job.link
        {
            self.job.memory.note.cookie = link.cookie().map(str::to_owned);
            self.sender.handle_connected(now());
            return Ok(());
        }
        *self.job.link = None;
        let connecting = self.job.server.connect(cookie.as_deref());
        tokio::pin!(connecting);
        let host = self.job.server.address.host();
        let connected = tokio::select! {
            connected = &mut connecting => connected,
            () = sleep(TELL_AFTER) => {
                self.job.report.notice(&format!("{host}: no answer yet"));
                connecting.await
            }
        };
        match connected {
            Ok(link) => {
                self.job.owner.is_known(link.cookie());
                self.job.memory.note.cookie = link.cookie().map(str::to_owned);
                *self.job.link = Some(link);
                self.sender.handle_connected(now());
                Ok(())
            }
            Err(error) => self.lose(error),
        }
    }

    /// Keeps the ref before the server hears it, so that no run that is cut off loses it.
    fn remember(&mut self) {
        let upload = self.sender.upload();
        if self.job.memory.note.upload != Some(upload) {
            self.job.memory.note.upload = Some(upload);
            self.job.memory.keep();
        }
    }

    fn lose(&mut self, error: LinkError) -> Result<(), Failure> {
        *self.job.link = None;
        let host = self.job.server.address.host();
        match error {
            LinkError::Passing(error) => {
                self.sender.handle_disconnected(now());
                if self.sender.outcome().is_none() {
                    let text = format!("{host}: {}; trying again", errors::line(&error));
                    self.job.report.notice(&text);
                }
                Ok(())
            }
            LinkError::Final(error) => Err(Failure::Server(error.context(host.to_owned()))),
        }
    }

    fn show(&mut self, received: u64) {
        self.job.report.advanced(self.shown, received);
        self.shown = received;
    }

    /// Waits for whatever happens first, and tells the sender.
    async fn wait(&mut self) -> Result<(), Failure> {
        let wake = self.sender.poll_timeout();
        let asleep = async {
            match wake {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match self.job.link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = heard => match message {
                Ok(message) => {
                    if let ServerMessage::Configs(configs) = &message {
                        self.job.report.learn(configs);
                    }
                    if let Some(code) = postponed(&message, self.sender.upload()) {
                        let host = self.job.server.address.host();
                        let text = format!("{host}: {} ({code}); trying again", code.text());
                        self.job.report.notice(&text);
                    }
                    self.sender.handle_message(&message, now());
                }
                Err(error) => self.lose(error)?,
            },
            Some(answer) = self.job.reader.answer() => {
                match answer.context("cannot be read").map_err(Failure::File)? {
                    Answer::Data { id, data } => self.sender.handle_data(id, data, now()),
                    Answer::Checked { id, check } => {
                        self.sender.handle_checked(id, check, now());
                    }
                }
            }
            () = asleep => self.sender.handle_timeout(now()),
        }
        Ok(())
    }
}

/// Returns why the server lets an upload wait.
fn postponed(message: &ServerMessage, upload: UploadRef) -> Option<Code> {
    match message {
        ServerMessage::Progress(told) if told.upload == upload => {
            let code = told.code?;
            let retry = told.retry.unwrap_or(code.retry());
            (retry == Retry::Later).then_some(code)
        }
        ServerMessage::Error(told) if told.upload == Some(upload) => {
            (told.retry == Retry::Later).then_some(told.code)
        }
        ServerMessage::Resumed(told) if told.upload == upload => {
            (told.status == ResumeStatus::Locked).then_some(Code::Locked)
        }
        _ => None,
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
