//! A complete small host: writers, a store, parking and evictions, all in memory.
//!
//! It carries out every [`Output`] at once, so that an example or a test can drive sessions without a runtime.
//! If you write a host, read here how one is put together.
//! One [`InMemory`] is one server: its process can die and start again ([`InMemory::restart`]), its
//! records and files outlive that.
//!
//! What a real host does besides: it waits. Writers, stores and applications answer later and in any
//! order, each within a bounded time, and what a slow client was sent is bounded too.

mod files;
mod records;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use upload_proto::{ClientMessage, Frame, FrameError, MessageError, ServerMessage, UploadRef};

pub use records::Records;

use crate::{
    CallOutcome, CloseReason, DisconnectReason, Door, EntryId, Fact, Holder, Notice, Now, Output,
    OwnerTally, Parked, Question, Removed, Session, SessionConfig, SessionLimits, SlotRules,
    StoreEvent, Verdict,
};

/// One connection of a server; numbers rise with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// A file as storage has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it has its name.
    pub is_published: bool,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// A server of one owner, with everything in memory.
#[derive(Debug)]
pub struct InMemory {
    slots: BTreeMap<String, Arc<SlotRules>>,
    limits: SessionLimits,
    /// Rises with each start of the process.
    boot: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    tally: Arc<OwnerTally>,
    records: Records,
    files: Vec<File>,
    parked: BTreeMap<UploadRef, (usize, Box<Parked>)>,
    holders: BTreeMap<UploadRef, ConnectionId>,
    facts: Vec<Fact>,
}

#[derive(Debug)]
struct Connection {
    session: Session,
    /// Which file an entry's writer writes.
    writers: BTreeMap<EntryId, usize>,
    sent: VecDeque<ServerMessage>,
    closed: Option<CloseReason>,
}

impl InMemory {
    /// Starts a server with these slots.
    pub fn new(slots: impl IntoIterator<Item = SlotRules>, limits: SessionLimits) -> Self {
        let slots = slots.into_iter();
        Self {
            slots: slots
                .map(|slot| (slot.name.clone(), Arc::new(slot)))
                .collect(),
            limits,
            boot: 1,
            connections: BTreeMap::new(),
            next_connection: 0,
            tally: Arc::default(),
            records: Records::default(),
            files: Vec::new(),
            parked: BTreeMap::new(),
            holders: BTreeMap::new(),
            facts: Vec::new(),
        }
    }

    /// Opens a connection; its first message is `upload_configs`.
    pub fn connect(&mut self, now: Now) -> ConnectionId {
        // Numbers rise, so that a newer connection of a client is known as such (RESUME-4).
        self.next_connection = self.next_connection.saturating_add(1);
        let id = ConnectionId(self.next_connection);
        let config = SessionConfig {
            slots: self.slots.clone(),
            plain: false,
            holder: Holder {
                boot: self.boot.to_string(),
                session: id.0,
            },
            tally: Arc::clone(&self.tally),
            limits: self.limits.clone(),
            checksum: true,
            announces: false,
        };
        let connection = Connection {
            session: Session::new(config, now),
            writers: BTreeMap::new(),
            sent: VecDeque::new(),
            closed: None,
        };
        self.connections.insert(id, connection);
        self.drive(id, now);
        id
    }

    /// Takes a text message of a client.
    pub fn message(
        &mut self,
        id: ConnectionId,
        message: Result<ClientMessage, MessageError>,
        now: Now,
    ) {
        self.tell(id, now, |session| session.handle_message(message, now));
    }

    /// Takes a binary message of a client. Ask [`InMemory::wants_input`] before each.
    pub fn frame(&mut self, id: ConnectionId, frame: Result<Frame, FrameError>, now: Now) {
        self.tell(id, now, |session| session.handle_frame(frame, now));
    }

    /// The client is gone.
    pub fn disconnect(&mut self, id: ConnectionId, reason: DisconnectReason, now: Now) {
        self.tell(id, now, |session| session.handle_disconnect(reason, now));
        let is_finished = |connection: &Connection| connection.session.is_finished();
        if self.connections.get(&id).is_some_and(is_finished) {
            self.connections.remove(&id);
        }
    }

    /// Does what time alone makes due, on every connection.
    pub fn timeout(&mut self, now: Now) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.tell(id, now, |session| {
                if session.poll_timeout().is_some_and(|at| at <= now.instant) {
                    session.handle_timeout(now);
                }
            });
        }
    }

    /// Returns when to call [`InMemory::timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        let sessions = self.connections.values();
        sessions
            .filter_map(|connection| connection.session.poll_timeout())
            .min()
    }

    /// The process dies and starts again: connections and parked writers are gone, records and files
    /// are not.
    pub fn restart(&mut self) {
        self.boot = self.boot.saturating_add(1);
        self.connections.clear();
        self.parked.clear();
        self.holders.clear();
        self.tally = Arc::default();
    }

    /// Returns the next message to a client.
    pub fn poll_sent(&mut self, id: ConnectionId) -> Option<ServerMessage> {
        self.connections.get_mut(&id)?.sent.pop_front()
    }

    /// Returns whether a client's next message may be read (CREDIT-3).
    pub fn wants_input(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|connection| connection.session.wants_input())
    }

    /// Returns why the server closed a connection, if it did.
    pub fn closed(&self, id: ConnectionId) -> Option<CloseReason> {
        self.connections.get(&id)?.closed
    }

    /// Returns every file that was ever begun.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Returns the record of an upload as it is stored.
    pub fn record(&self, upload: UploadRef) -> Option<&[u8]> {
        self.records.get(upload)
    }

    /// Takes out the facts that sessions noted.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    fn tell(&mut self, id: ConnectionId, now: Now, tell: impl FnOnce(&mut Session)) {
        if let Some(connection) = self.connections.get_mut(&id) {
            tell(&mut connection.session);
            self.drive(id, now);
        }
    }

    /// Carries out everything that a session asks for.
    fn drive(&mut self, id: ConnectionId, now: Now) {
        while let Some(connection) = self.connections.get_mut(&id)
            && let Some(output) = connection.session.poll_output()
        {
            match output {
                Output::Send(message) => connection.sent.push_back(message),
                Output::Writer(entry, order) => self.order(id, entry, order, now),
                Output::Store(entry, query) => {
                    let event = self.records.answer(query);
                    self.feed(id, |session| session.handle_store(entry, event, now));
                }
                Output::Neighbour(entry, notice) => self.notice(id, entry, notice, now),
                Output::App(question) => self.ask(id, question, now),
                Output::Fact(fact) => self.facts.push(fact),
                Output::Close(reason) => connection.closed = Some(reason),
            }
        }
    }

    fn feed(&mut self, id: ConnectionId, feed: impl FnOnce(&mut Session)) {
        if let Some(connection) = self.connections.get_mut(&id) {
            feed(&mut connection.session);
        }
    }

    /// The application lets everything pass and has no handlers.
    fn ask(&mut self, id: ConnectionId, question: Question, now: Now) {
        self.feed(id, |session| match question {
            Question::Authorize { entry, .. } => session.handle_authorized(entry, Ok(()), now),
            Question::Inspect { entry, .. } => {
                session.handle_verdict(entry, Verdict::Accept, now);
            }
            Question::Announce { entry, .. } => session.handle_announced(entry, now),
            // This host keeps no list of where finished files are.
            Question::List { call, .. } => session.handle_listed(call, None),
            Question::Remove { entry, .. } => session.handle_removed(entry, Removed::Failed, now),
            Question::Call { call, .. } => session.handle_call(call, CallOutcome::Unknown, now),
        });
    }

    /// Knows which connection of the process holds what.
    fn notice(&mut self, id: ConnectionId, entry: EntryId, notice: Notice, now: Now) {
        match notice {
            Notice::Reserve(upload) => {
                let holder = *self.holders.entry(upload).or_insert(id);
                self.feed(id, |session| {
                    session.handle_reserved(entry, holder == id, now);
                });
            }
            Notice::Hold(upload) => {
                self.holders.insert(upload, id);
            }
            Notice::LetGo(upload) => {
                if self.holders.get(&upload) == Some(&id) {
                    self.holders.remove(&upload);
                }
            }
            Notice::FindParked(upload) => {
                let parked = self.parked.get(&upload);
                let parked = parked.map(|(_, parked)| (parked.fence.clone(), parked.received));
                self.feed(id, |session| {
                    session.handle_store(entry, StoreEvent::Parked(parked), now);
                });
            }
            Notice::Evict(upload) => {
                let holder = self.holders.get(&upload).copied();
                if let Some(holder) = holder.filter(|holder| *holder != id) {
                    self.tell(holder, now, |session| session.handle_evict(upload, now));
                }
                self.feed(id, |session| {
                    session.handle_store(entry, StoreEvent::Evicted, now);
                });
            }
        }
    }
}
