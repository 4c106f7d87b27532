//! Sends one file after the other over a connection, as long as there are files.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    io,
    time::{Instant, UNIX_EPOCH},
};

use anyhow::{Context, anyhow};
use upload_core::Outcome;
use upload_proto::Code;

use super::{
    Args, cookies,
    link::{Link, Server},
    memory::{Memory, Stored},
    open::{Opened, open},
    owner::Owner,
    queue::{Queue, Takes},
    reader::Reader,
    report::Report,
    sources::Source,
    token,
    upload::{self, Failure, Job, Sent},
};

/// What all workers of a run share.
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    pub(super) server: &'a Server,
    pub(super) report: &'a Report,
    pub(super) queue: RefCell<Queue>,
    pub(super) owner: Owner,
    /// How many workers send a file.
    pub(super) sending: Cell<usize>,
    pub(super) all_stored: Cell<bool>,
    /// What a later run of the same command need not send.
    pub(super) stored: Stored,
}

/// Sends files until there are no more, or the server takes no more at a time.
pub(super) async fn work(run: &Run<'_>, number: usize, takes: Takes) {
    let mut link = None;
    while let Some(source) = run.next(takes) {
        let begun = Instant::now();
        run.sending.set(run.sending.get().saturating_add(1));
        let sent = run.send(&source, number, &mut link).await;
        run.sending.set(run.sending.get().saturating_sub(1));
        let sent = match sent {
            Ok(None) => continue,
            // Others have the places; one worker alone hears what the server means.
            Ok(Some(sent)) if is_full(&sent.outcome) && run.sending.get() > 0 => {
                run.queue.borrow_mut().put_back(source);
                break;
            }
            Ok(Some(sent)) => Ok(sent),
            Err(Failure::File(error)) => Err(error),
            Err(Failure::Server(error)) => {
                run.stop();
                Err(error)
            }
        };
        run.ended(&source, &sent, begun);
    }
    // If it had no connection, there is none to wait for.
    run.owner.is_known(None);
    if let Some(link) = link {
        link.close().await;
    }
}

/// Returns whether there are as many uploads as there may be.
fn is_full(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Refused {
            code: Code::TooManyEntries,
            ..
        }
    )
}

impl Run<'_> {
    fn next(&self, takes: Takes) -> Option<Source> {
        self.queue.borrow_mut().next(takes)
    }

    /// Ends the run: what the server told one file it would tell all.
    fn stop(&self) {
        let left = self.queue.borrow_mut().take_all();
        for source in left {
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

    /// Returns who sends a file, and under which name. A visitor with a new token is the same.
    fn sent_as<'a>(&'a self, source: &'a Source) -> Vec<Cow<'a, [u8]>> {
        let headers = self.server.headers.iter();
        let headers = headers.flat_map(|(name, value)| {
            let value: Cow<'_, [u8]> = match token::visitor_of(name, value) {
                Some(visitor) => Cow::Owned(visitor),
                None => Cow::Borrowed(value.as_bytes()),
            };
            [Cow::Borrowed(name.as_str().as_bytes()), value]
        });
        let rest = [
            self.args.client_id.as_deref().unwrap_or_default(),
            &source.name,
            source.relative_path.as_deref().unwrap_or_default(),
        ];
        let rest = rest.into_iter().map(|text| Cow::Borrowed(text.as_bytes()));
        headers.chain(rest).collect()
    }

    /// Sends a file, unless an earlier run stored it. All workers but the first wait until it is known who sends.
    async fn send(
        &self,
        source: &Source,
        number: usize,
        link: &mut Option<Link>,
    ) -> Result<Option<Sent>, Failure> {
        let (path, kind) = (source.path.clone(), source.kind);
        let opening = move || {
            let Opened { file, is_lasting } = open(&path, kind)?;
            Ok::<_, io::Error>((Reader::start(file)?, is_lasting))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (mut reader, is_lasting) = opened
            .context("cannot be read")
            .and_then(|opened| opened.context("cannot be read"))
            .map_err(Failure::File)?;
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
            let sent_as = self.sent_as(source);
            Memory::of(&path, stamp.size, changed, url, &self.args.slot, &sent_as)
        } else {
            Memory::none()
        };
        if self.args.restart {
            memory.forget();
        } else if self.stored.names(&memory) {
            self.report.left_out(&source.path, stamp.size);
            return Ok(None);
        }
        if number > 0 && link.is_none() {
            self.owner.known().await;
        }
        if let Some(client_id) = &self.args.client_id {
            memory.note.client_id.clone_from(client_id);
        }
        if memory.note.cookie.is_none() {
            let cookie = link.as_ref().map(|link| link.cookie().map(str::to_owned));
            memory.note.cookie = cookie.unwrap_or_else(|| self.owner.cookie());
        }
        // An upload of an earlier run belongs to the owner of that run.
        let owner = cookies::owner(memory.note.cookie.as_deref());
        if link
            .as_ref()
            .is_some_and(|link| cookies::owner(link.cookie()) != owner)
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
                owner: &self.owner,
                name: &source.name,
                relative_path: source.relative_path.as_deref(),
                last_modified: changed.filter(|_| is_lasting),
            };
            let sent = upload::run(job).await?;
            // Where an application takes files later, a connection may only carry so many.
            if !(is_full(&sent.outcome) && again) {
                break sent;
            }
            again = false;
            *link = None;
            memory.note.upload = None;
        };
        match sent.outcome {
            Outcome::Complete { .. } => self.stored.add(&mut memory),
            // What was only cut off is kept for the next run.
            Outcome::Unreachable { .. } => {}
            Outcome::Refused { .. }
            | Outcome::Cancelled
            | Outcome::FileChanged
            | Outcome::ProtocolViolation(_) => memory.forget(),
        }
        Ok(Some(sent))
    }
}
