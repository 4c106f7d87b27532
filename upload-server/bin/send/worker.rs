//! Sends one file after the other over a connection, as long as there are files.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::{Instant, UNIX_EPOCH},
};

use anyhow::{Context, anyhow};
use upload_core::Outcome;
use upload_proto::Code;

use super::{
    Args,
    link::{Link, Server},
    memory::Memory,
    open::{Opened, open},
    reader::Reader,
    report::Report,
    sources::Source,
    upload::{self, Failure, Job, Sent},
};

/// What all workers of a run share.
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    pub(super) server: &'a Server,
    pub(super) report: &'a Report,
    /// What is still to be sent.
    pub(super) queue: RefCell<VecDeque<Source>>,
    /// As whom the first file was sent; later connections belong to the same owner.
    pub(super) cookie: RefCell<Option<String>>,
    pub(super) all_stored: Cell<bool>,
}

/// Sends files until there are no more.
pub(super) async fn work(run: &Run<'_>) {
    let mut link = None;
    while let Some(source) = run.next() {
        let begun = Instant::now();
        let sent = match run.send(&source, &mut link).await {
            Ok(sent) => Ok(sent),
            Err(Failure::File(error)) => Err(error),
            Err(Failure::Server(error)) => {
                run.stop();
                Err(error)
            }
        };
        run.ended(&source, &sent, begun);
    }
    if let Some(link) = link {
        link.close().await;
    }
}

impl Run<'_> {
    fn next(&self) -> Option<Source> {
        self.queue.borrow_mut().pop_front()
    }

    /// Ends the run: what the server told one file it would tell all.
    fn stop(&self) {
        for source in std::mem::take(&mut *self.queue.borrow_mut()) {
            let sent = Err(anyhow!("not sent"));
            self.ended(&source, &sent, Instant::now());
        }
    }

    fn ended(&self, source: &Source, sent: &anyhow::Result<Sent>, begun: Instant) {
        let is_stored =
            matches!(sent, Ok(sent) if matches!(sent.outcome, Outcome::Complete { .. }));
        self.all_stored.set(self.all_stored.get() && is_stored);
        self.report.ended(&source.path, sent, begun.elapsed());
    }

    async fn send(&self, source: &Source, link: &mut Option<Link>) -> Result<Sent, Failure> {
        let (path, kind) = (source.path.clone(), source.kind);
        let opened = tokio::task::spawn_blocking(move || open(&path, kind)).await;
        let Opened { file, is_lasting } = opened
            .context("cannot be read")
            .and_then(|opened| opened.context("cannot be read"))
            .map_err(Failure::File)?;
        let reader = Reader::start(file).context("cannot be read");
        let mut reader = reader.map_err(Failure::File)?;
        let stamp = reader.stamp();
        self.report.size_known(source.size, stamp.size);
        let changed = stamp
            .modified
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.and_then(|since| u64::try_from(since.as_millis()).ok());
        let mut memory = if is_lasting {
            let path = std::path::absolute(&source.path).context("cannot be read");
            let path = path.map_err(Failure::File)?;
            let url = self.server.address.url();
            Memory::of(&path, stamp.size, changed, url, &self.args.slot)
        } else {
            Memory::none()
        };
        if self.args.restart {
            memory.forget();
        }
        if let Some(client_id) = &self.args.client_id {
            memory.note.client_id.clone_from(client_id);
        }
        if memory.note.cookie.is_none() {
            let cookie = link.as_ref().map(|link| link.cookie().map(str::to_owned));
            memory.note.cookie = cookie.unwrap_or_else(|| self.cookie.borrow().clone());
        }
        // An upload of an earlier run belongs to the owner of that run.
        if link
            .as_ref()
            .is_some_and(|link| link.cookie() != memory.note.cookie.as_deref())
        {
            *link = None;
        }
        let was_used = link.is_some();
        let mut again = was_used;
        let sent = loop {
            let job = Job {
                server: self.server,
                slot: &self.args.slot,
                reader: &mut reader,
                memory: &mut memory,
                link: &mut *link,
                report: self.report,
                name: &source.name,
                relative_path: source.relative_path.as_deref(),
                last_modified: changed.filter(|_| is_lasting),
            };
            let sent = upload::run(job).await?;
            // Where an application takes files later, a connection may only carry so many.
            let is_full = matches!(
                &sent.outcome,
                Outcome::Refused {
                    code: Code::TooManyEntries,
                    ..
                }
            );
            if !(is_full && again) {
                break sent;
            }
            again = false;
            *link = None;
            memory.note.upload = None;
        };
        if self.cookie.borrow().is_none() {
            self.cookie.borrow_mut().clone_from(&memory.note.cookie);
        }
        // What was only cut off is kept for the next run.
        if !matches!(sent.outcome, Outcome::Unreachable { .. }) {
            memory.forget();
        }
        Ok(sent)
    }
}
