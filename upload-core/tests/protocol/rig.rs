//! A scripted host: a virtual clock, writers and a conditional store in memory.
//!
//! What a session sends and what writers get is kept as short lines, so that a test reads like a table.
//! `1:uploading 4@1` is a snapshot of upload 1 with 4 bytes received and 1 as the next index.
//!
//! The rooms beside this one: `room` (store and files), `rules` (the slots),
//! `lines` (how messages read).

mod lines;
mod room;
mod rules;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use upload_core::{
    Amendment, AuthorizeStage, CallOutcome, CheckpointChange, DisconnectReason, Door, EntryId,
    Fact, Notice, Now, Order, Output, OwnerTally, Query, Question, RecordVersion, Refusal, Removed,
    Session, SessionConfig, StoreEvent, Verdict, WriterEvent,
};
use upload_proto::{ClientMessage, Code, Frame, ServerMessage, Snapshot, UploadRef};

use lines::line;
use room::reopen;
pub(crate) use room::{File, Mood, Room};
pub(crate) use rules::{config, wide};

/// One connection of a process.
pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) room: Rc<RefCell<Room>>,
    /// What was sent, not yet looked at.
    sent: Vec<ServerMessage>,
    /// What writers were told, not yet looked at.
    told: Vec<String>,
    /// Facts for the host, not yet looked at.
    pub(crate) events: Vec<Fact>,
    /// Outputs whose mood was silent.
    pub(crate) unanswered: VecDeque<Output>,
    pub(crate) closed: Option<u16>,
    files: BTreeMap<EntryId, usize>,
    number: u64,
}

/// Returns the ref of upload `n`.
pub(crate) fn up(n: u8) -> UploadRef {
    UploadRef::from_bytes([n; 16])
}

/// Returns the start of virtual time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading all others count from"
)]
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Rig {
    /// Opens a connection of its own process; the first message is taken off.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Opens a connection whose slots take chunks of 16 bytes.
    pub(crate) fn wide() -> Self {
        Self::with(wide)
    }

    /// Opens a connection whose configuration is changed first.
    pub(crate) fn with(change: impl FnOnce(&mut SessionConfig)) -> Self {
        Self::in_room(Rc::new(RefCell::new(Room::new())), 1, change)
    }

    /// Opens another connection of the same process.
    pub(crate) fn next_connection(
        &self,
        session: u64,
        change: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        Self::in_room(Rc::clone(&self.room), session, change)
    }

    /// Kills the process and opens a connection of its next start: what was
    /// parked is gone, and of files what was not durable.
    pub(crate) fn after_crash(self) -> Self {
        self.after_crash_with(|_| {})
    }

    /// The same, with a configuration that is changed first.
    pub(crate) fn after_crash_with(self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        let room = Rc::clone(&self.room);
        {
            let mut room = room.borrow_mut();
            room.parked.clear();
            room.holders.clear();
            let step = room.durable_step as usize;
            for file in room.files.iter_mut().filter(|file| !file.published) {
                let durable = file.bytes.len() / step * step;
                file.bytes.truncate(durable);
            }
        }
        Self::in_room(room, 2, |config| {
            config.holder.boot = "again".into();
            change(config);
        })
    }

    fn in_room(
        room: Rc<RefCell<Room>>,
        session: u64,
        change: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let mut config = config(session);
        change(&mut config);
        let now = now_at(room.borrow().clock_ms);
        let mut rig = Self {
            session: Session::new(config, now),
            room,
            sent: Vec::new(),
            told: Vec::new(),
            events: Vec::new(),
            unanswered: VecDeque::new(),
            closed: None,
            files: BTreeMap::new(),
            number: session,
        };
        rig.drain();
        let first = rig.sent.remove(0);
        assert!(matches!(first, ServerMessage::Configs(_)), "{first:?}");
        rig
    }

    pub(crate) fn now(&self) -> Now {
        now_at(self.room.borrow().clock_ms)
    }

    /// Takes a text message as it stands on the wire.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let now = self.now();
        self.session.handle_message(ClientMessage::parse(text), now);
        self.drain()
    }

    /// Takes a binary message as it stands on the wire.
    pub(crate) fn binary(&mut self, bytes: Vec<u8>) -> &mut Self {
        let now = self.now();
        self.session
            .handle_frame(Frame::decode(Bytes::from(bytes)), now);
        self.drain()
    }

    pub(crate) fn register(&mut self, n: u8, slot: &str, size: u64) -> &mut Self {
        self.register_as(n, json!({"upload_name": slot, "client_size": size}))
    }

    /// Registers with fields beyond the usual ones.
    pub(crate) fn register_as(&mut self, n: u8, fields: Value) -> &mut Self {
        let mut message = json!({
            "type": "upload_register", "ref": up(n).to_string(), "upload_name": "file",
            "client_name": "a.txt", "client_type": "text/plain", "client_size": 8,
        });
        for (name, value) in fields.as_object().expect("an object") {
            message[name] = value.clone();
        }
        self.text(&message.to_string())
    }

    pub(crate) fn resume(&mut self, n: u8, client_id: Option<&str>) -> &mut Self {
        let mut message = json!({"type": "upload_resume", "ref": up(n).to_string()});
        if let Some(client_id) = client_id {
            message["client_id"] = client_id.into();
        }
        self.text(&message.to_string())
    }

    pub(crate) fn chunk(&mut self, n: u8, index: u32, data: &str) -> &mut Self {
        let now = self.now();
        let frame = Frame::Chunk {
            upload: up(n),
            index,
            data: Bytes::copy_from_slice(data.as_bytes()),
        };
        self.session.handle_frame(Ok(frame), now);
        self.drain()
    }

    pub(crate) fn complete(&mut self, n: u8) -> &mut Self {
        self.complete_with(n, None)
    }

    pub(crate) fn complete_with(&mut self, n: u8, crc32c: Option<u32>) -> &mut Self {
        let now = self.now();
        let upload = up(n);
        self.session
            .handle_frame(Ok(Frame::Complete { upload, crc32c }), now);
        self.drain()
    }

    pub(crate) fn cancel(&mut self, n: u8) -> &mut Self {
        let now = self.now();
        let upload = up(n);
        self.session.handle_frame(Ok(Frame::Cancel { upload }), now);
        self.drain()
    }

    pub(crate) fn disconnect(&mut self, reason: DisconnectReason) -> &mut Self {
        let now = self.now();
        self.session.handle_disconnect(reason, now);
        self.drain()
    }

    /// Tells whether the socket is read.
    pub(crate) fn listen(&mut self, listens: bool) -> &mut Self {
        let now = self.now();
        self.session.handle_listening(listens, now);
        self.drain()
    }

    /// Has another connection of the process give an upload up.
    pub(crate) fn evict(&mut self, n: u8) -> &mut Self {
        let now = self.now();
        self.session.handle_evict(up(n), now);
        self.drain()
    }

    /// Tells what the store did.
    pub(crate) fn store(&mut self, entry: EntryId, event: StoreEvent) -> &mut Self {
        let now = self.now();
        self.session.handle_store(entry, event, now);
        self.drain()
    }

    /// Tells that the server restarts.
    pub(crate) fn restart(&mut self, reconnect_after: Duration) -> &mut Self {
        let now = self.now();
        self.session.handle_drain(reconnect_after, now);
        self.drain()
    }

    /// Lets time pass, waking the session exactly when it asks.
    pub(crate) fn pass(&mut self, ms: u64) -> &mut Self {
        let end = self.room.borrow().clock_ms + ms;
        for wakes in 0.. {
            assert!(wakes < 10_000, "the session asks to be woken for nothing");
            let due = self
                .session
                .poll_timeout()
                .filter(|due| *due <= now_at(end).instant);
            let Some(due) = due else { break };
            let at = due.saturating_duration_since(epoch()).as_millis();
            {
                let mut room = self.room.borrow_mut();
                room.clock_ms = room.clock_ms.max(u64::try_from(at).expect("a short time"));
            }
            let now = self.now();
            self.session.handle_timeout(now);
            self.drain();
        }
        self.room.borrow_mut().clock_ms = end;
        self
    }

    /// Answers the oldest output whose mood was silent.
    pub(crate) fn answer(&mut self) -> &mut Self {
        let output = self.unanswered.pop_front().expect("something waits");
        let (mut room, works) = (self.room.borrow_mut(), Mood::Works);
        let moods = (
            room.store_mood,
            room.open_mood,
            room.write_mood,
            room.close_mood,
        );
        (
            room.store_mood,
            room.open_mood,
            room.write_mood,
            room.close_mood,
        ) = (works, works, works, works);
        drop(room);
        self.carry_out(output);
        {
            let mut room = self.room.borrow_mut();
            (
                room.store_mood,
                room.open_mood,
                room.write_mood,
                room.close_mood,
            ) = moods;
        }
        self.drain()
    }

    /// Answers the verdict that waits.
    pub(crate) fn judge(&mut self, verdict: Verdict) -> &mut Self {
        let waits = |output: &Output| matches!(output, Output::App(Question::Inspect { .. }));
        let at = self.unanswered.iter().position(waits);
        let output = self.unanswered.remove(at.expect("a verdict waits"));
        let Some(Output::App(Question::Inspect { entry, .. })) = output else {
            unreachable!("it was found a line ago")
        };
        let now = self.now();
        self.session.handle_verdict(entry, verdict, now);
        self.drain()
    }

    /// Answers a call of the application.
    pub(crate) fn call_back(&mut self, outcome: CallOutcome) -> &mut Self {
        let Some(Output::App(Question::Call { call, .. })) = self.unanswered.pop_front() else {
            panic!("no call waits");
        };
        let now = self.now();
        self.session.handle_call(call, outcome, now);
        self.drain()
    }

    /// Answers what became of a removal.
    pub(crate) fn removed(&mut self, removed: Removed) -> &mut Self {
        let Some(Output::App(Question::Remove { entry, .. })) = self.unanswered.pop_front() else {
            panic!("nothing is to be removed");
        };
        let now = self.now();
        self.session.handle_removed(entry, removed, now);
        self.drain()
    }

    /// Returns at which stage the application is asked, if it is.
    pub(crate) fn asked(&self) -> Option<(AuthorizeStage, String)> {
        self.unanswered.iter().find_map(|output| match output {
            Output::App(Question::Authorize {
                register, stage, ..
            }) => Some((*stage, register.client_name.clone())),
            _ => None,
        })
    }

    /// Answers an authorisation.
    pub(crate) fn authorize(&mut self, answer: Result<(), Code>) -> &mut Self {
        self.decide(answer.map_err(Refusal::from))
    }

    /// Says as what the application takes the upload that it is asked about.
    pub(crate) fn amend(&mut self, amendment: Amendment) -> &mut Self {
        let asked = self.unanswered.front();
        let Some(Output::App(Question::Authorize { entry, .. })) = asked else {
            panic!("no authorisation waits");
        };
        let (entry, now) = (*entry, self.now());
        self.session.handle_amended(entry, amendment, now);
        self
    }

    /// Refuses an upload for the application.
    pub(crate) fn refuse_in(&mut self, refusal: Refusal) -> &mut Self {
        self.decide(Err(refusal))
    }

    /// Says that no one can decide about an upload at present.
    pub(crate) fn undecided(&mut self) -> &mut Self {
        let (entry, now) = (self.asks(), self.now());
        let refusal = Code::Forbidden.into();
        self.session.handle_undecided(entry, refusal, now);
        self.drain()
    }

    fn decide(&mut self, answer: Result<(), Refusal>) -> &mut Self {
        let (entry, now) = (self.asks(), self.now());
        self.session.handle_authorized(entry, answer, now);
        self.drain()
    }

    /// Takes off the question that waits for the application.
    fn asks(&mut self) -> EntryId {
        match self.unanswered.pop_front() {
            Some(Output::App(Question::Authorize { entry, .. })) => entry,
            _ => panic!("no authorisation waits"),
        }
    }

    /// Returns what was sent since the last look, as lines.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        self.messages().iter().map(line).collect()
    }

    /// Returns what was sent since the last look.
    pub(crate) fn messages(&mut self) -> Vec<ServerMessage> {
        std::mem::take(&mut self.sent)
    }

    /// Returns the last snapshot since the last look.
    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let last = self.messages().into_iter().rev().find_map(|message| {
            let ServerMessage::Progress(snapshot) = message else {
                return None;
            };
            Some(*snapshot)
        });
        last.expect("a snapshot was sent")
    }

    /// Returns what writers were told since the last look, as lines.
    pub(crate) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Returns what the writer made last keeps, as text.
    pub(crate) fn kept(&self) -> String {
        let room = self.room.borrow();
        let file = room.files.last().expect("a writer was made");
        String::from_utf8(file.bytes.clone()).expect("tests send text")
    }

    pub(crate) fn published(&self) -> usize {
        let room = self.room.borrow();
        room.files.iter().filter(|file| file.published).count()
    }

    fn drain(&mut self) -> &mut Self {
        while let Some(output) = self.session.poll_output() {
            self.carry_out(output);
        }
        self
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(message) => self.sent.push(message),
            Output::Writer(entry, order) => self.do_writer(entry, order),
            Output::Store(entry, query) => self.do_store(entry, query),
            Output::Neighbour(entry, notice) => self.notice(entry, notice),
            Output::App(question) => self.ask(question),
            Output::Fact(fact) => self.events.push(fact),
            Output::Close(reason) => self.closed = Some(reason.code()),
        }
    }

    fn notice(&mut self, entry: EntryId, notice: Notice) {
        let (now, number) = (self.now(), self.number);
        let mut room = self.room.borrow_mut();
        match notice {
            Notice::Reserve(upload) => {
                let holder = *room.holders.entry(upload).or_insert(number);
                drop(room);
                self.session.handle_reserved(entry, holder == number, now);
            }
            Notice::Hold(upload) => {
                room.holders.insert(upload, number);
            }
            Notice::LetGo(upload) => {
                if room.holders.get(&upload) == Some(&number) {
                    room.holders.remove(&upload);
                }
            }
            Notice::Evict(_) | Notice::FindParked(_) => {
                self.unanswered.push_back(Output::Neighbour(entry, notice))
            }
        }
    }

    fn ask(&mut self, question: Question) {
        let now = self.now();
        let verdict = self.room.borrow().verdict.clone();
        match (question, verdict) {
            (Question::Inspect { entry, head, .. }, Some(verdict)) => {
                self.room.borrow_mut().heads.push(head);
                let stored_name = self.room.borrow().stored_name.clone();
                if let Some(name) = stored_name {
                    self.session.handle_stored_name(entry, name, now);
                }
                self.session.handle_verdict(entry, verdict, now);
            }
            (question, _) => self.unanswered.push_back(Output::App(question)),
        }
    }

    fn do_store(&mut self, entry: EntryId, query: Query) {
        let now = self.now();
        let mut room = self.room.borrow_mut();
        if room.store_mood == Mood::Silent {
            self.unanswered.push_back(Output::Store(entry, query));
            return;
        }
        let event = match query {
            Query::Read { upload, .. } => {
                let found = room.store.get(&upload).cloned();
                let found = found.map(|(bytes, version)| (bytes, RecordVersion(version)));
                match room.store_mood {
                    Mood::Works => StoreEvent::Found(found),
                    _ => StoreEvent::Failed,
                }
            }
            Query::Save(save) => {
                room.ttls.push(save.ttl);
                room.put(save.upload, save.record, save.expect, save.quota)
            }
            Query::Delete { upload, expect, .. } => room.delete(upload, expect),
        };
        drop(room);
        self.session.handle_store(entry, event, now);
    }

    fn do_writer(&mut self, entry: EntryId, order: Order) {
        let now = self.now();
        let room = Rc::clone(&self.room);
        let mut room = room.borrow_mut();
        let (mood, text) = describe(&order, &room);
        if mood == Mood::Silent {
            self.unanswered.push_back(Output::Writer(entry, order));
            return;
        }
        // That it writes nothing more is told by what it does not write.
        // Neither is a flush, which brings nothing here.
        if !matches!(order, Order::Halt | Order::Flush) {
            self.told.push(text);
        }
        let event = match order {
            _ if mood == Mood::Fails => Some(WriterEvent::Failed(room.fault)),
            Order::Open => {
                let file = room.files.len();
                room.files.push(File::default());
                self.files.insert(entry, file);
                let checkpoint = room.checkpoints.then(|| Value::from(file));
                Some(WriterEvent::Opened { checkpoint })
            }
            Order::Reopen {
                fence,
                checkpoint,
                offset,
                ..
            } => {
                let upload = self.session.entry(entry).expect("it is held").upload;
                match room.parked.remove(&upload) {
                    Some((file, parked)) if parked.fence == fence => {
                        self.files.insert(entry, file);
                        Some(WriterEvent::Unparked(parked))
                    }
                    _ => Some(reopen(
                        &mut room,
                        &mut self.files,
                        entry,
                        checkpoint,
                        offset,
                    )),
                }
            }
            Order::Write(_) | Order::Flush => {
                let step = room.durable_step;
                let file = self.files.get(&entry).expect("written once open");
                let bytes = &mut room.files[*file].bytes;
                if let Order::Write(data) = order {
                    bytes.extend_from_slice(&data);
                }
                let received = bytes.len() as u64;
                let durable = received / step * step;
                let checkpoint = if durable > room.told_max {
                    CheckpointChange::Absent
                } else {
                    CheckpointChange::Same
                };
                Some(WriterEvent::Wrote {
                    received,
                    durable,
                    buffered: received - durable,
                    checkpoint,
                })
            }
            Order::Close => {
                let file = self.files[&entry];
                room.files[file].published = true;
                let result = room.result.clone();
                Some(match mood {
                    Mood::FailsAfter => WriterEvent::Failed(room.fault),
                    _ => WriterEvent::Closed { result },
                })
            }
            Order::Abort(_) => {
                if let Some(file) = self.files.remove(&entry) {
                    room.files[file].aborted = true;
                    room.files[file].published = false;
                }
                None
            }
            Order::Halt => None,
            Order::Release => {
                self.files.remove(&entry);
                None
            }
            Order::Remove(_) => {
                let file = self.files.remove(&entry).expect("it was closed");
                room.files[file].published = false;
                None
            }
            Order::Park { upload, parked } => {
                let file = self.files.remove(&entry).expect("an idle writer");
                room.parked.insert(upload, (file, parked));
                None
            }
        };
        drop(room);
        if let Some(event) = event {
            self.session.handle_writer(entry, event, now);
        }
    }
}

fn describe(order: &Order, room: &Room) -> (Mood, String) {
    match order {
        Order::Open => (room.open_mood, "open".into()),
        Order::Reopen { offset, .. } => (room.open_mood, format!("reopen {offset}")),
        Order::Write(data) => {
            let text = String::from_utf8_lossy(data);
            (room.write_mood, format!("write {text}"))
        }
        Order::Flush => (Mood::Works, "flush".into()),
        Order::Close => (room.close_mood, "close".into()),
        Order::Abort(reason) => (Mood::Works, format!("abort {reason:?}")),
        Order::Halt => (Mood::Works, "halt".into()),
        Order::Release => (Mood::Works, "release".into()),
        Order::Remove(_) => (Mood::Works, "remove".into()),
        Order::Park { .. } => (Mood::Works, "park".into()),
    }
}

fn now_at(clock_ms: u64) -> Now {
    Now {
        instant: epoch() + Duration::from_millis(clock_ms),
        unix_ms: 1_700_000_000_000 + clock_ms,
    }
}

/// Counts an owner's uploads over several connections.
pub(crate) fn tally() -> Arc<OwnerTally> {
    Arc::default()
}
