//! The server's side of one connection: a real `Session` and what it asks for.
//!
//! The rooms beside this one: `calls` (the store, evictions), `process` (what
//! happens to a whole node).

mod calls;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use upload_core::{
    AuthorizeStage, Charge, Content, DisconnectReason, EntryId, EntryStatus, Fact, Holder, Notice,
    Now, Order, Output, OwnerQuota, OwnerTally, Parked, Query, Question, RecordExpect,
    RecordVersion, Removed, Session, SessionConfig, SessionLimits, SlotRules, StoreEvent, Verdict,
    WriterEvent,
};
use upload_proto::{Code, Frame, FrameError, FrameErrorKind, UploadRef};

use crate::{
    core::Core,
    driver::{Cmd, Driver},
    storage::Handle,
    tab::http::Asker,
    told::Told,
    world::{Happening, Up, World, ms_of},
};

/// One session and everything it owns.
pub(crate) struct Host {
    pub(crate) session: Core,
    /// Requests that a visit has not answered.
    pub(crate) requests: BTreeMap<u64, (Asker, Option<Content>)>,
    pub(crate) drivers: BTreeMap<EntryId, Driver>,
    pub(crate) entries: BTreeMap<EntryId, Life>,
    pub(crate) told: BTreeMap<UploadRef, Told>,
    /// Whether the store's last answer about an entry excuses a lost receipt.
    store_failed: BTreeMap<EntryId, bool>,
    /// Evictions that were answered; another answer would be taken for one to
    /// the next question.
    evicted: BTreeSet<EntryId>,
    /// The client closed its tab.
    has_left: bool,
    /// The socket is read.
    listens: bool,
    wake_at: Option<u64>,
    spins: u32,
}

/// What the core may still do with a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Unopened,
    Opening,
    Open,
    Closing,
    /// It failed; only an end may follow.
    Broken,
    Ended,
}

/// One entry as the host saw it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) upload: UploadRef,
    pub(crate) stage: Stage,
    /// Where the next byte written goes.
    pub(crate) offset: u64,
    pub(crate) has_closed: bool,
    /// It may end by itself while its end is decided.
    pub(crate) is_halted: bool,
}

/// A writer between two connections.
pub(crate) struct ParkedWriter {
    pub(crate) handle: Handle,
    pub(crate) parked: Box<Parked>,
}

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) record: Vec<u8>,
    pub(crate) expect: RecordExpect,
    pub(crate) ttl: u64,
    pub(crate) charge: Charge,
    pub(crate) quota: Option<OwnerQuota>,
}

/// One call of the store.
#[derive(Debug)]
pub(crate) enum StoreCall {
    Get(EntryId, UploadRef),
    Put(EntryId, UploadRef, Put),
    Delete(EntryId, UploadRef, RecordVersion),
}

/// What a writer's call came to.
#[derive(Debug)]
pub(crate) enum Answer {
    Event(WriterEvent),
    /// Nothing is told to the core.
    Silent,
}

impl Host {
    /// Returns the entry's bookkeeping.
    pub(crate) fn life(&mut self, entry: EntryId, upload: UploadRef) -> &mut Life {
        self.entries.entry(entry).or_insert(Life {
            upload,
            stage: Stage::Unopened,
            offset: 0,
            has_closed: false,
            is_halted: false,
        })
    }
}

impl World {
    /// Makes the session of a new connection.
    pub(crate) fn accept(&mut self, conn: usize, visited: Option<UploadRef>) {
        let config = self.session_config(conn);
        let now = self.clock(self.conns[conn].node);
        let mut session = match visited {
            Some(upload) => Core::visit(upload, config),
            None => Core::Socket(Box::new(Session::new(config, now))),
        };
        if let Some(bytes) = self.nodes[self.conns[conn].node].squeeze {
            session.handle_window(bytes);
        }
        self.conns[conn].host = Some(Box::new(Host {
            session,
            requests: BTreeMap::new(),
            drivers: BTreeMap::new(),
            entries: BTreeMap::new(),
            told: BTreeMap::new(),
            store_failed: BTreeMap::new(),
            evicted: BTreeSet::new(),
            has_left: false,
            listens: true,
            wake_at: None,
            spins: 0,
        }));
        // A visit of which nothing is asked is over.
        if visited.is_none() {
            self.input(conn, |_, _| {});
        }
    }

    fn session_config(&mut self, conn: usize) -> SessionConfig {
        let setup = &self.plan.setup;
        let slot = |name: &str, resumable, keep_on_leave| SlotRules {
            max_entries: setup.max_entries,
            max_file_size: 1_000,
            chunk_size: setup.chunk_size,
            head_bytes: setup.head_bytes,
            consume_on_complete: true,
            resumable,
            shared_store: setup.nodes > 1,
            keep_on_leave,
            authorize: setup.authorizes,
            ..SlotRules::new(name)
        };
        let slots = [
            slot("file", false, false),
            slot("keep", true, false),
            slot("stay", true, true),
            SlotRules {
                waits: true,
                ..slot("wait", true, false)
            },
        ];
        let (owner, number) = (self.conns[conn].owner, self.conns[conn].node);
        let node = &mut self.nodes[number];
        SessionConfig {
            slots: slots
                .into_iter()
                .map(|slot| (slot.name.clone(), Arc::new(slot)))
                .collect(),
            plain: self.conns[conn].plain,
            holder: Holder {
                boot: format!("n{number}b{}", node.boot),
                session: conn as u64,
            },
            tally: Arc::clone(
                (node.tallies.entry(owner))
                    .or_insert_with(|| Arc::new(OwnerTally::within(Arc::clone(&node.all)))),
            ),
            limits: SessionLimits {
                window_bytes: setup.window,
                window_bytes_max: setup.window_max(),
                idle_upload: Duration::from_secs(8),
                first_message: Duration::from_secs(20),
                record_ttl: Duration::from_secs(3_600),
                lease_ttl: Duration::from_secs(6),
                save_interval: Duration::from_millis(40),
                snapshot_interval: Duration::from_millis(100),
                retry_after: Duration::from_millis(700),
                ..SessionLimits::default()
            },
            checksum: setup.checksum,
            announces: setup.announces,
        }
    }

    /// Tells a session something and carries out what follows.
    pub(crate) fn input(&mut self, conn: usize, tell: impl FnOnce(&mut Core, Now)) {
        let Some(mut host) = self.conns[conn].host.take() else {
            return;
        };
        let now = self.clock(self.conns[conn].node);
        tell(&mut host.session, now);
        self.carry_out_all(conn, &mut host);
        while host.session.wants_input()
            && let Some(up) = self.conns[conn].inbox.pop_front()
        {
            if let Some(session) = host.session.socket() {
                hear(session, up, now);
            }
            self.carry_out_all(conn, &mut host);
        }
        self.check_node(self.conns[conn].node);
        let listens = host.session.wants_input();
        if listens != host.listens {
            host.listens = listens;
            host.session.handle_listening(listens, now);
        }
        self.settle(conn, host);
    }

    fn carry_out_all(&mut self, conn: usize, host: &mut Host) {
        while let Some(output) = host.session.poll_output() {
            self.carry_out(conn, host, output);
        }
        let chunk = u64::from(self.plan.setup.chunk_size);
        let floor = chunk + chunk.max(u64::from(self.plan.setup.head_bytes));
        let window = self.plan.setup.window_max().max(floor) + chunk.max(64);
        let live = host.session.live();
        if host.session.buffered() > live * window {
            let buffered = host.session.buffered();
            self.fail(format!("5: {buffered} bytes are held for {live} uploads"));
        }
    }

    fn settle(&mut self, conn: usize, mut host: Box<Host>) {
        self.http_says(conn, &mut host);
        let at = host
            .session
            .poll_timeout()
            .map(|at| ms_of(at).max(self.now));
        if let Some(at) = at
            && host.wake_at.is_none_or(|planned| planned > at)
        {
            host.wake_at = Some(at);
            self.at(at, Happening::Wake(conn));
        }
        if host.session.is_finished() && host.drivers.is_empty() {
            let open = host
                .entries
                .values()
                .find(|life| !matches!(life.stage, Stage::Unopened | Stage::Ended));
            if let Some(life) = open {
                self.fail(format!("3: a finished session leaves {life:?}"));
            }
            return;
        }
        self.conns[conn].host = Some(host);
    }

    pub(crate) fn wake(&mut self, conn: usize) {
        let now = self.now;
        let Some(host) = &mut self.conns[conn].host else {
            return;
        };
        // A frozen process is woken late.
        if host.wake_at.is_none_or(|at| at > now) {
            return;
        }
        host.wake_at = None;
        self.input(conn, |session, now| session.handle_timeout(now));
        let Some(host) = &mut self.conns[conn].host else {
            return;
        };
        host.spins = if host.wake_at == Some(now) {
            host.spins + 1
        } else {
            0
        };
        if host.spins > 3 {
            self.fail("a session asks to be woken for nothing".into());
        }
    }

    pub(crate) fn arrives(&mut self, conn: usize, up: Up) {
        let it = &mut self.conns[conn];
        if it.cut || !it.server_open || it.host.is_none() {
            return;
        }
        if let Up::Frame(Frame::Cancel { upload }) = &up {
            self.cancelled.insert((it.owner, *upload));
        }
        it.inbox.push_back(up);
        self.input(conn, |_, _| {});
    }

    pub(crate) fn server_lost(&mut self, conn: usize, reason: DisconnectReason) {
        if !self.conns[conn].server_open {
            return;
        }
        self.conns[conn].server_open = false;
        self.conns[conn].inbox.clear();
        if let Some(host) = &mut self.conns[conn].host {
            host.has_left = reason == DisconnectReason::Left;
        }
        self.input(conn, |session, now| session.handle_disconnect(reason, now));
    }

    fn carry_out(&mut self, conn: usize, host: &mut Host, output: Output) {
        if self.is_loud {
            println!("        c{conn} {output:?}");
        }
        self.note(conn as u64 ^ 0xc0);
        match output {
            Output::Send(message) => {
                if !self.conns[conn].server_open {
                    self.fail("a message is sent although no client is there".into());
                }
                self.check_told(conn, host, &message);
                self.send_down(conn, message);
            }
            Output::Writer(entry, order) => self.command(conn, host, entry, order),
            Output::Store(entry, query) => match query {
                Query::Read { upload, .. } => {
                    self.call_store(conn, StoreCall::Get(entry, upload));
                }
                Query::Save(save) => {
                    let put = Put {
                        record: save.record,
                        expect: save.expect,
                        ttl: save.ttl.as_millis() as u64,
                        charge: save.charge,
                        quota: save.quota,
                    };
                    self.call_store(conn, StoreCall::Put(entry, save.upload, put));
                }
                Query::Delete { upload, expect, .. } => {
                    self.call_store(conn, StoreCall::Delete(entry, upload, expect));
                }
            },
            Output::Neighbour(entry, notice) => self.notice(conn, host, entry, notice),
            Output::App(Question::Inspect { entry, head, .. }) => {
                self.inspect(conn, host, entry, &head);
            }
            Output::App(Question::Announce { entry, .. }) => {
                let delay = self.rng.range(0, self.plan.setup.writer_delay);
                self.after(delay, Happening::Announced(conn, entry));
            }
            Output::App(Question::Authorize {
                entry,
                register,
                stage,
            }) => {
                let truth = self.truth.get(&(self.conns[conn].owner, register.upload));
                let is_forbidden = truth.is_some_and(|truth| truth.forbidden);
                let answer = match is_forbidden && stage == AuthorizeStage::Complete {
                    true => Err(Code::Forbidden),
                    false if is_forbidden && self.rng.chance(50) => Err(Code::Forbidden),
                    false => Ok(()),
                };
                let delay = self.rng.range(0, self.plan.setup.writer_delay);
                self.after(delay, Happening::Authorized(conn, entry, answer));
            }
            // It is its application's by now.
            Output::App(Question::Remove { entry, .. }) => {
                let now = self.clock(self.conns[conn].node);
                host.session.handle_removed(entry, Removed::Taken, now);
            }
            Output::App(Question::Call { .. } | Question::List { .. }) => {
                self.fail("the application is asked for nothing".into());
            }
            Output::Fact(fact) => self.noted(conn, host, &fact),
            Output::Close(_) => {
                self.after(0, Happening::ServerLost(conn, DisconnectReason::Lost));
                let at = self.now + self.plan.setup.delay;
                self.at(at, Happening::TabLost(conn));
            }
        }
    }

    fn notice(&mut self, conn: usize, host: &mut Host, entry: EntryId, notice: Notice) {
        let (owner, number) = (self.conns[conn].owner, self.conns[conn].node);
        match notice {
            Notice::Reserve(upload) => {
                let key = (owner, upload);
                let holder = *self.nodes[number].holders.entry(key).or_insert(conn);
                let now = self.clock(number);
                host.session.handle_reserved(entry, holder == conn, now);
            }
            Notice::Hold(upload) => {
                host.life(entry, upload);
                self.nodes[number].holders.insert((owner, upload), conn);
            }
            Notice::LetGo(upload) => {
                let key = (owner, upload);
                if self.nodes[number].holders.get(&key) == Some(&conn) {
                    self.nodes[number].holders.remove(&key);
                }
                self.release_waiters(number, key);
            }
            Notice::FindParked(upload) => {
                let parked = &self.nodes[number].parked;
                let found = parked.iter().find(|(of, _)| *of == (owner, upload));
                let parked = found.map(|(_, it)| (it.parked.fence.clone(), it.parked.received));
                let now = self.clock(number);
                host.session
                    .handle_store(entry, StoreEvent::Parked(parked), now);
            }
            Notice::Evict(upload) => {
                // One entry may ask more than once, if it loses a race.
                host.evicted.remove(&entry);
                self.evict(conn, entry, upload);
            }
        }
    }

    fn inspect(&mut self, conn: usize, host: &Host, entry: EntryId, head: &[u8]) {
        let Some(held) = host.session.entry(entry) else {
            // It may have ended at the same moment: by a request to delete it, or by a wrong checksum that came
            // behind its resume.
            if !host.entries.contains_key(&entry) {
                self.fail("a verdict is asked for an upload that was never held".into());
            }
            return;
        };
        let expected = u64::from(self.plan.setup.head_bytes).min(held.length.max());
        if head.len() as u64 != expected {
            let length = head.len();
            self.fail(format!("a head of {length} bytes instead of {expected}"));
        }
        let truth = self.truth.get(&(self.conns[conn].owner, held.upload));
        let verdict = match truth {
            Some(truth) if truth.unwelcome => Verdict::Refuse(Code::ContentMismatch.into()),
            _ => Verdict::Accept,
        };
        let delay = self.rng.range(0, self.plan.setup.writer_delay);
        self.after(delay, Happening::Judged(conn, entry, verdict));
    }

    fn command(&mut self, conn: usize, host: &mut Host, entry: EntryId, order: Order) {
        let (upload, size) = match (host.session.entry(entry), host.entries.get(&entry)) {
            (Some(held), _) => (held.upload, held.length.max()),
            (None, Some(life)) => (life.upload, u64::MAX),
            (None, None) => {
                self.fail(format!("3: {order:?} of an unknown entry"));
                return;
            }
        };
        let key = (self.conns[conn].owner, upload);
        if let Order::Remove(stored) = &order {
            self.storage.remove(stored.result.as_ref());
            return;
        }
        let life = host.life(entry, upload);
        let before = life.stage;
        let (fits, cmd) = match order {
            Order::Open => {
                life.stage = Stage::Opening;
                (before == Stage::Unopened, Cmd::Open)
            }
            Order::Reopen {
                fence,
                checkpoint,
                offset,
                ..
            } => {
                life.stage = Stage::Opening;
                life.offset = offset;
                let fits = before == Stage::Unopened;
                (fits, self.reopen_cmd(conn, key, &fence, checkpoint, offset))
            }
            Order::Write(data) => {
                let at = life.offset;
                life.offset += data.len() as u64;
                let fits = before == Stage::Open && !data.is_empty() && life.offset <= size;
                self.check_bytes(key, at, &data);
                (fits, Cmd::Write(data))
            }
            Order::Flush => {
                let driver = host.drivers.get(&entry);
                let is_idle = driver.is_some_and(|driver| driver.is_idle());
                (before == Stage::Open && is_idle, Cmd::Flush)
            }
            Order::Close => {
                life.stage = Stage::Closing;
                (before == Stage::Open, Cmd::Close)
            }
            Order::Halt => {
                life.is_halted = true;
                let fits = !matches!(before, Stage::Unopened | Stage::Ended);
                (fits, Cmd::Halt)
            }
            ending => {
                life.stage = Stage::Ended;
                let fits = match ending {
                    Order::Park { .. } => before == Stage::Open,
                    _ if life.is_halted => before != Stage::Unopened,
                    _ => !matches!(before, Stage::Unopened | Stage::Ended),
                };
                life.is_halted = false;
                let cmd = match ending {
                    Order::Abort(_) => Cmd::Abort,
                    Order::Park { parked, .. } => Cmd::Park(parked),
                    _ => Cmd::Release,
                };
                (fits, cmd)
            }
        };
        if !fits {
            self.fail(format!("3: a writer that is {before:?} is told {cmd:?}"));
        }
        let driver = host
            .drivers
            .entry(entry)
            .or_insert_with(|| Driver::new(key));
        let abandons = self.rng.chance(50);
        driver.tell(cmd, abandons);
        self.drive(conn, host, entry);
    }

    /// Invariants 1 and 4: only the right bytes ever reach a writer.
    fn check_bytes(&mut self, key: (u8, UploadRef), at: u64, data: &[u8]) {
        let Some(truth) = self.truth.get(&key) else {
            return;
        };
        let fits = truth
            .files
            .iter()
            .any(|seed| crate::rng::content(*seed, at, data.len() as u64) == data);
        if !fits {
            self.fail(format!("1: wrong bytes are written at {at}"));
        }
    }

    fn noted(&mut self, conn: usize, host: &mut Host, fact: &Fact) {
        let owner = self.conns[conn].owner;
        match fact {
            Fact::Completed(entry) => {
                let key = (owner, entry.upload);
                let receipt = self.records.record(key);
                let has_receipt = receipt.is_some_and(|it| it.phase.is_stored());
                let is_excused = host.store_failed.get(&entry.id) == Some(&true);
                if entry.resumable && !has_receipt && !is_excused {
                    self.fail("COMPLETE-3: complete without a receipt".into());
                }
                // Where the store failed, another holder may know of another writer.
                if let Some(truth) = self.truth.get_mut(&key) {
                    truth.lost_record |= !has_receipt || is_excused;
                }
                self.check_complete(owner, entry.upload);
                let is_whole = |bytes: &Vec<u8>| bytes.len() as u64 == entry.bytes_received;
                if !self.storage.published(key).any(is_whole) {
                    self.fail("COMPLETE-1: complete without every byte".into());
                }
                let closed = host.entries.get(&entry.id).is_some_and(|it| it.has_closed);
                if !closed {
                    self.fail("COMPLETE-3: complete before the writer closed".into());
                }
            }
            Fact::Ended(entry) => {
                let is_lost = entry.status == EntryStatus::Failed(Code::SessionClosed);
                if is_lost && entry.resumable && !host.has_left {
                    self.fail("RESUME-3: a lost connection ends what can be resumed".into());
                }
                // What a newer holder has is not this one's to end.
                let key = (owner, entry.upload);
                let lease = self.records.record(key).and_then(|record| record.lease);
                let is_others = lease.is_some_and(|lease| lease.session != conn as u64);
                if let Some(truth) = self.truth.get_mut(&key)
                    && !is_others
                {
                    truth.may_be_gone = true;
                }
            }
            _ => {}
        }
    }
}

fn hear(session: &mut Session, up: Up, now: Now) {
    match up {
        Up::Frame(frame) => session.handle_frame(decoded(&frame), now),
        Up::Message(message) => session.handle_message(Ok(message), now),
        Up::BadFrame => {
            let error = FrameError {
                kind: FrameErrorKind::Empty,
                upload: None,
            };
            session.handle_frame(Err(error), now);
        }
    }
}

fn decoded(frame: &Frame) -> Result<Frame, FrameError> {
    Ok(frame.clone())
}

/// What the host needs of a queue of commands.
pub(crate) type Queue = VecDeque<Cmd>;
