//! What serves a connection: the session of a socket, or the visit of an upload over HTTP.

use std::collections::VecDeque;

use upload_core::{
    DisconnectReason, Door, Entry, EntryId, Now, Output, Refusal, Removed, Reply, RequestId,
    Session, StoreEvent, Verdict, Visit, VisitOutput, WriterEvent,
};
use upload_proto::UploadRef;

/// One of the two, as its host sees it.
pub(crate) enum Core {
    Socket(Box<Session>),
    Visit(Box<Visited>),
}

/// A visit, and what it says to its requests.
pub(crate) struct Visited {
    pub(crate) visit: Visit,
    pub(crate) said: VecDeque<Said>,
}

/// What a visit says to a request.
#[derive(Debug)]
pub(crate) enum Said {
    /// Its content is wanted.
    Receive(RequestId),
    Answer(RequestId, Box<Reply>),
}

/// Calls the same method of either.
macro_rules! either {
    ($($name:ident($($arg:ident: $type:ty),*));* $(;)?) => {
        $(pub(crate) fn $name(&mut self, $($arg: $type),*) {
            match self {
                Self::Socket(session) => session.$name($($arg),*),
                Self::Visit(it) => it.visit.$name($($arg),*),
            }
        })*
    };
}

impl Core {
    pub(crate) fn visit(upload: UploadRef, config: upload_core::SessionConfig) -> Self {
        Self::Visit(Box::new(Visited {
            visit: Visit::new(upload, config),
            said: VecDeque::new(),
        }))
    }

    either! {
        handle_reserved(entry: EntryId, is_free: bool, now: Now);
        handle_authorized(entry: EntryId, answer: Result<(), Refusal>, now: Now);
        handle_verdict(entry: EntryId, verdict: Verdict, now: Now);
        handle_announced(entry: EntryId, now: Now);
        handle_writer(entry: EntryId, event: WriterEvent, now: Now);
        handle_removed(entry: EntryId, removed: Removed, now: Now);
        handle_store(entry: EntryId, event: StoreEvent, now: Now);
        handle_evict(upload: UploadRef, now: Now);
        handle_timeout(now: Now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let it = match self {
            Self::Socket(session) => return session.poll_output(),
            Self::Visit(it) => it,
        };
        loop {
            match it.visit.poll_output()? {
                VisitOutput::Do(output) => return Some(output),
                VisitOutput::Receive(id) => it.said.push_back(Said::Receive(id)),
                VisitOutput::Answer(id, reply) => {
                    it.said.push_back(Said::Answer(id, Box::new(reply)));
                }
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<std::time::Instant> {
        match self {
            Self::Socket(session) => session.poll_timeout(),
            Self::Visit(it) => it.visit.poll_timeout(),
        }
    }

    pub(crate) fn entry(&self, entry: EntryId) -> Option<&Entry> {
        match self {
            Self::Socket(session) => session.entry(entry),
            Self::Visit(it) => it.visit.entry(entry),
        }
    }

    /// Returns how many uploads it has.
    pub(crate) fn live(&self) -> u64 {
        match self {
            Self::Socket(session) => session.entries().count() as u64,
            Self::Visit(_) => 1,
        }
    }

    pub(crate) fn buffered(&self) -> u64 {
        match self {
            Self::Socket(session) => session.buffered(),
            Self::Visit(it) => it.visit.buffered(),
        }
    }

    /// Returns how many bytes wait for a writer that can take them without more being read.
    pub(crate) fn waiting(&self) -> u64 {
        match self {
            Self::Socket(_) => 0,
            Self::Visit(it) => it.visit.buffered() - it.visit.gated(),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Socket(session) => session.is_finished(),
            Self::Visit(it) => it.visit.is_over() && it.said.is_empty(),
        }
    }

    /// Returns the session of a socket.
    pub(crate) fn socket(&mut self) -> Option<&mut Session> {
        match self {
            Self::Socket(session) => Some(session),
            Self::Visit(_) => None,
        }
    }

    /// Returns the visit of an upload.
    pub(crate) fn visited(&mut self) -> Option<&mut Visited> {
        match self {
            Self::Socket(_) => None,
            Self::Visit(it) => Some(it),
        }
    }

    pub(crate) fn handle_disconnect(&mut self, reason: DisconnectReason, now: Now) {
        if let Some(session) = self.socket() {
            session.handle_disconnect(reason, now);
        }
    }

    pub(crate) fn handle_drain(&mut self, reconnect_after: std::time::Duration, now: Now) {
        match self {
            Self::Socket(session) => session.handle_drain(reconnect_after, now),
            Self::Visit(it) => it.visit.drain(now),
        }
    }

    pub(crate) fn handle_window(&mut self, bytes: u64) {
        if let Some(session) = self.socket() {
            session.handle_window(bytes);
        }
    }

    pub(crate) fn wants_input(&self) -> bool {
        match self {
            Self::Socket(session) => session.wants_input(),
            Self::Visit(_) => true,
        }
    }

    pub(crate) fn handle_listening(&mut self, listens: bool, now: Now) {
        if let Some(session) = self.socket() {
            session.handle_listening(listens, now);
        }
    }
}
