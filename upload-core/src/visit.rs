//! One upload on behalf of HTTP requests: requests in, exactly one answer each.
//!
//! A request is too short to hold an upload: between two of them the content gate and the unfinished
//! part of a file would be lost, and each would write the record twice. A visit holds the upload
//! across its requests, and for a moment after the last of them. It knows no header and no status: a
//! door (tus, the IETF draft, plain HTTP) turns its requests into a [`Request`], and a [`Reply`] into
//! its answer.
//!
//! Requests come one at a time: a newer one replaces the one before it, which is answered with
//! [`Reply::Superseded`]. The rooms next to this one: `steps` (what a request needs next), `complete`
//! (the same once the file is stored), `news` (what became of the upload), `pace` (how fast content
//! comes).

mod complete;
mod news;
mod pace;
mod reply;
mod request;
mod steps;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use upload_proto::{Code, UploadRef};

use crate::{
    AbortReason, Append, DisconnectReason, Door, EntryId, Now, Output, Refusal, Removed,
    SessionConfig, Uploads, Why, door::OverUploads, news::Effect, pace::Pace,
};

use self::request::Registered;

pub use self::{
    reply::{Receipt, Reply},
    request::{Broken, Content, ContentEnd, Ends, Request, RequestId, Taken},
};

/// How long an upload is held after its last request.
const LINGER: Duration = Duration::from_secs(10);

/// How long a request may wait for its file to be stored: less than proxies wait for an answer.
const ENDING_MAX: Duration = Duration::from_secs(25);

/// How long a question may wait for its upload: less than proxies wait for an answer.
const QUESTION_MAX: Duration = Duration::from_secs(25);

/// Names requests and visits among the holders of an upload: one takes over from another at once,
/// also on another server (RESUME-4).
const CLIENT_ID: &str = "http";

/// What comes out of a visit, in order.
#[derive(Debug)]
pub enum VisitOutput {
    /// For the host to carry out.
    Do(Output),
    /// Read the content of this request from now on ([`Visit::content`], [`Visit::content_end`]).
    Receive(RequestId),
    /// Answer this request, and read nothing more of it for the upload.
    Answer(RequestId, Reply),
}

/// Where the upload is.
#[derive(Debug)]
enum Stage {
    /// Nothing of it is here.
    Free,
    /// It is being registered.
    Beginning,
    /// It is reached for.
    Reaching,
    /// It is here and takes bytes.
    Held(EntryId, Remembered),
    /// It is being stored, or undone.
    Finishing(Remembered),
    /// It is complete but was never taken, and its file is being removed.
    Removing(Box<Receipt>),
    /// It is about to be let go of.
    Leaving(Remembered),
    /// It is complete.
    Complete(Box<Receipt>),
    /// It ended with this code.
    Ended(Code),
}

/// What knows of an upload besides its visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    /// Its record does.
    ByRecord,
    /// Nothing: it is gone with the visit.
    HereOnly,
}

/// A request that is not answered.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    request: Request,
    progress: Progress,
    /// When it is answered at the latest, where it only asks.
    by: Option<Instant>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It waits for the upload.
    Waiting,
    /// It reached for the upload, and does so once only.
    Reached,
    /// Its content comes.
    Receiving,
    /// Its content is over, and its writer has not taken all of it.
    Settling(Over),
    /// The file is being stored; it is answered by then at the latest. Without an end of its content, it
    /// only waits for what another request began.
    Ending(Instant, Option<Over>),
}

/// How the content of a request ended for the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    End(ContentEnd),
    /// It goes past the declared length.
    Excess,
}

/// One upload, and the request about it.
///
/// Handles never fail. After each call, drain [`Visit::poll_output`] and ask
/// [`Visit::poll_timeout`] anew. What the host answers goes to the methods of [`Door`].
#[derive(Debug)]
pub struct Visit {
    uploads: Uploads,
    upload: UploadRef,
    stage: Stage,
    pending: Option<Pending>,
    /// What it was registered by, where that was here: the application may have given it another name.
    registered: Option<Registered>,
    outputs: VecDeque<VisitOutput>,
    /// Until when the upload is held without a request.
    linger_until: Option<Instant>,
    /// As whom the upload is held.
    client_id: String,
    /// When this visit began, from which the pace of content counts.
    begun: Option<Instant>,
    pace: Pace,
}

impl Visit {
    /// Makes the visit of an upload, of which nothing is known yet.
    pub fn new(upload: UploadRef, config: SessionConfig) -> Self {
        Self {
            uploads: Uploads::new(config),
            upload,
            stage: Stage::Free,
            pending: None,
            registered: None,
            outputs: VecDeque::new(),
            linger_until: None,
            client_id: CLIENT_ID.to_owned(),
            begun: None,
            pace: Pace::default(),
        }
    }

    /// Holds the upload as this client, whose connections take it over at once, and the other way round
    /// (RESUME-4).
    #[must_use]
    pub fn of_client(mut self, client_id: String) -> Self {
        self.client_id = client_id;
        self
    }

    /// Takes a request, in place of the one before it.
    pub fn request(&mut self, id: RequestId, request: Request, now: Now) {
        self.answer(Reply::Superseded, now);
        let by = match request {
            Request::Offset(_) => Some(now.after(QUESTION_MAX)),
            Request::Create(..) | Request::Append(_) | Request::Delete => None,
        };
        self.pending = Some(Pending {
            id,
            request,
            progress: Progress::Waiting,
            by,
        });
        self.linger_until = None;
        self.advance(now);
    }

    /// Takes the next piece of a request's content.
    pub fn content(&mut self, id: RequestId, mut data: Bytes, now: Now) -> Taken {
        let entry = match (&self.stage, self.progress_of(id)) {
            (Stage::Held(entry, _), Some(Progress::Receiving)) => *entry,
            (Stage::Complete(_), Some(Progress::Receiving)) => {
                return self.content_past_end(&data, now);
            }
            _ => return Taken::Enough,
        };
        let left = self.left(entry);
        let is_excess = data.len() as u64 > left;
        if is_excess {
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let at = self.uploads.position(entry).unwrap_or_default().received;
        if self.uploads.append(entry, at, data, now) == Append::Full {
            self.has_no_room(entry, now);
        }
        if is_excess {
            self.settle(Over::Excess);
        } else if self.is_too_slow(entry, now) {
            self.settle(Over::End(ContentEnd::TimedOut));
        } else if self.uploads.is_too_old(entry, now) {
            let (code, reason) = (Code::Expired, AbortReason::Expired);
            self.uploads.fail(entry, code, reason, now);
        }
        self.advance(now);
        match self.progress_of(id) {
            Some(Progress::Receiving) => Taken::More,
            _ => Taken::Enough,
        }
    }

    /// Learns how a request's content ended.
    pub fn content_end(&mut self, id: RequestId, end: ContentEnd, now: Now) {
        if self.progress_of(id) == Some(Progress::Receiving) {
            self.settle(Over::End(end));
            self.advance(now);
        }
    }

    /// The server restarts: what can be resumed leaves, and requests are refused.
    pub fn drain(&mut self, now: Now) {
        self.uploads.drain(now);
        self.stop_reading();
        self.advance(now);
    }

    /// The server can not wait any longer.
    pub fn disconnect(&mut self, now: Now) {
        self.uploads.disconnect(DisconnectReason::Lost, now);
        self.stop_reading();
        self.advance(now);
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.uploads.handle_timeout(now);
        if let Some(Progress::Ending(by, _)) = self.pending.as_ref().map(|it| it.progress)
            && by <= now.instant
        {
            self.answer(Reply::Later, now);
        }
        if self.question_by().is_some_and(|by| by <= now.instant) {
            // What it waits for continues.
            self.answer(Reply::Locked, now);
        }
        if self.linger_until.is_some_and(|at| at <= now.instant) {
            self.linger_until = None;
            if let Stage::Held(entry, remembered) = self.stage {
                self.stage = Stage::Leaving(remembered);
                self.uploads.release(entry, Why::Lost, now);
            }
        }
        self.advance(now);
    }

    /// Returns when to call [`Visit::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ending = match self.pending.as_ref().map(|it| it.progress) {
            Some(Progress::Ending(by, _)) => Some(by),
            _ => None,
        };
        [
            ending,
            self.question_by(),
            self.linger_until,
            self.uploads.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn question_by(&self) -> Option<Instant> {
        self.pending.as_ref().and_then(|pending| pending.by)
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<VisitOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether nothing is held, asked or waited for.
    pub fn is_over(&self) -> bool {
        let is_away = match self.stage {
            Stage::Free | Stage::Complete(_) | Stage::Ended(_) => true,
            Stage::Beginning
            | Stage::Reaching
            | Stage::Held(..)
            | Stage::Finishing(_)
            | Stage::Removing(_)
            | Stage::Leaving(_) => false,
        };
        is_away && self.pending.is_none() && self.linger_until.is_none() && self.uploads.is_idle()
    }

    /// Passes on what the room of uploads has, and does what has become possible, until nothing
    /// moves any more.
    fn advance(&mut self, now: Now) {
        loop {
            while let Some(effect) = self.uploads.poll() {
                match effect {
                    Effect::Do(output) => self.outputs.push_back(VisitOutput::Do(output)),
                    Effect::News(entry, news) => self.hear(entry, news, now),
                }
            }
            if !self.step(now) {
                return;
            }
        }
    }
}

impl OverUploads for Visit {
    fn room(&self) -> &Uploads {
        &self.uploads
    }

    fn room_mut(&mut self) -> &mut Uploads {
        &mut self.uploads
    }

    fn pass_on(&mut self, now: Now) {
        self.advance(now);
    }
}

impl Door for Visit {
    fn handle_undecided(&mut self, entry: EntryId, refusal: Refusal, now: Now) {
        match self.is_all_or_nothing() {
            // No client could come back for it.
            true => self.uploads.handle_authorized(entry, Err(refusal), now),
            false => self.uploads.handle_undecided(entry, refusal, now),
        }
        self.advance(now);
    }

    fn handle_removed(&mut self, _entry: EntryId, removed: Removed, now: Now) {
        self.removed(removed, now);
        self.advance(now);
    }
}
