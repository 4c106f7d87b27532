//! A session with resumable uploads over a host that answers in any order, late, wrongly, or with
//! records that another process wrote.
//!
//! The simulator holds sessions to their promises; this one asks only that no answer of a host, and
//! nothing a peer says meanwhile, makes a session fail, and that it comes to rest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use upload_core::{
    CallId, CallOutcome, CheckpointChange, DisconnectReason, Door, EntryId, Holder, Notice, Order,
    Output, Parked, Query, Question, RecordExpect, RecordVersion, Removed, Session, SessionConfig,
    SessionLimits, SlotRules, StorageFault, StoreEvent, Verdict, WriterEvent,
};
use upload_proto::{ClientMessage, Code, Frame, Register, Resume, UploadRef};

use super::answers::now;
use crate::cursor::Cursor;

/// Steps of one history.
const STEPS_MAX: usize = 400;
/// Answers it may take a session to come to rest.
const REST_MAX: usize = 2_000;
/// Outputs that one input may cause.
const OUTPUTS_MAX: usize = 1_000;

/// An effect that waits for its answer.
#[derive(Debug)]
enum Due {
    Authorize(EntryId),
    Inspect(EntryId),
    Reserve(EntryId),
    Open(EntryId),
    Reopen(EntryId, u64),
    Write(EntryId, u64),
    Close(EntryId),
    Announce(EntryId),
    Read(EntryId, UploadRef),
    Evict(EntryId),
    Save(EntryId, UploadRef, Vec<u8>, RecordExpect),
    Delete(EntryId, UploadRef, RecordVersion),
    Call(CallId),
    Remove(EntryId),
    List(CallId),
}

/// One process with one connection at a time.
struct Host {
    session: Session,
    due: Vec<Due>,
    /// Bytes taken and durable, by entry.
    writers: BTreeMap<EntryId, (u64, u64)>,
    records: BTreeMap<UploadRef, (Vec<u8>, u64)>,
    parked: Vec<Parked>,
    version: u64,
    connections: u64,
    ms: u64,
    plain: bool,
}

pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let mut host = Host::new(cursor.byte() & 1 == 1);
    for _ in 0..STEPS_MAX {
        if cursor.is_empty() {
            break;
        }
        host.step(&mut cursor);
        host.drain();
    }
    host.rest();
}

impl Host {
    fn new(plain: bool) -> Self {
        let mut host = Self {
            session: Session::new(config(1, plain), now(0)),
            due: Vec::new(),
            writers: BTreeMap::new(),
            records: BTreeMap::new(),
            parked: Vec::new(),
            version: 0,
            connections: 1,
            ms: 0,
            plain,
        };
        host.drain();
        host
    }

    fn step(&mut self, cursor: &mut Cursor<'_>) {
        let now = now(self.ms);
        match cursor.byte() % 14 {
            0 => {
                let register = register(cursor);
                let message = Ok(ClientMessage::Register(register));
                self.session.handle_message(message, now);
            }
            1 => {
                let resume = Resume {
                    upload: upload(cursor),
                    by_upload_id: cursor.byte() & 1 == 1,
                    offset: None,
                    client_id: client(cursor),
                };
                let message = Ok(ClientMessage::Resume(resume));
                self.session.handle_message(message, now);
            }
            2 | 3 => {
                let frame = Frame::Chunk {
                    upload: upload(cursor),
                    index: u32::from(cursor.byte() % 16),
                    data: Bytes::copy_from_slice(&[7; 64][..usize::from(cursor.byte() % 65)]),
                };
                self.session.handle_frame(Ok(frame), now);
            }
            4 => {
                let upload = upload(cursor);
                let crc32c = (cursor.byte() & 1 == 1).then(|| u32::from(cursor.short()));
                self.session
                    .handle_frame(Ok(Frame::Complete { upload, crc32c }), now);
            }
            5 => {
                let upload = upload(cursor);
                self.session.handle_frame(Ok(Frame::Cancel { upload }), now);
            }
            6..=9 => {
                let at = usize::from(cursor.byte());
                if !self.due.is_empty() {
                    let due = self.due.remove(at % self.due.len());
                    self.answer(due, cursor);
                }
            }
            10 => {
                self.ms += u64::from(cursor.short());
                let now = super::answers::now(self.ms);
                self.session.handle_timeout(now);
            }
            11 => {
                let upload = upload(cursor);
                match cursor.byte() % 4 {
                    0 => self.session.handle_evict(upload, now),
                    1 => self.session.handle_window(u64::from(cursor.short())),
                    2 => self.session.handle_listening(cursor.byte() & 1 == 1, now),
                    _ => drop(self.session.cancel(upload, now)),
                }
            }
            12 => {
                // Another process wrote the record.
                let upload = upload(cursor);
                let length = usize::from(cursor.short() % 600);
                let bytes = cursor.bytes(length);
                self.version += 1;
                if let (Some((record, version)), [at, byte]) =
                    (self.records.get_mut(&upload), bytes)
                {
                    let at = usize::from(*at) % record.len().max(1);
                    record[at] = *byte;
                    *version = self.version;
                } else if !bytes.is_empty() {
                    self.records.insert(upload, (bytes.to_vec(), self.version));
                } else {
                    self.records.remove(&upload);
                }
            }
            _ => match cursor.byte() % 3 {
                0 => self.session.handle_drain(Duration::from_secs(1), now),
                1 => self.session.handle_disconnect(DisconnectReason::Left, now),
                _ => self.reconnect(),
            },
        }
    }

    /// The next connection, once the present one is idle.
    fn reconnect(&mut self) {
        self.rest();
        self.connections += 1;
        self.session = Session::new(config(self.connections, self.plain), now(self.ms));
        self.writers.clear();
        self.drain();
    }

    fn answer(&mut self, due: Due, cursor: &mut Cursor<'_>) {
        let now = now(self.ms);
        let how = cursor.byte();
        let fault = match how >> 4 & 3 {
            0 => StorageFault::Denied,
            1 => StorageFault::Full,
            2 => StorageFault::Throttled,
            _ => StorageFault::Failed,
        };
        let works = how & 7 != 0;
        match due {
            Due::Authorize(entry) => {
                let answer = if works {
                    Ok(())
                } else {
                    Err(Code::Forbidden.into())
                };
                self.session.handle_authorized(entry, answer, now);
            }
            Due::Reserve(entry) => self.session.handle_reserved(entry, works, now),
            Due::Inspect(entry) => {
                let no = Verdict::Refuse(Code::ContentMismatch.into());
                let verdict = if works { Verdict::Accept } else { no };
                self.session.handle_verdict(entry, verdict, now);
            }
            Due::Open(entry) => {
                let checkpoint = (how & 8 == 0).then(|| json!({ "at": 0 }));
                let opened = WriterEvent::Opened { checkpoint };
                self.writers.insert(entry, (0, 0));
                self.wrote(entry, works, opened, fault);
            }
            Due::Reopen(entry, offset) => {
                self.writers.insert(entry, (offset, offset));
                let event = match how & 3 {
                    0 => WriterEvent::Reopened {
                        checkpoint: news(how, offset),
                    },
                    1 => WriterEvent::Gone,
                    2 => WriterEvent::ClosedBefore { result: json!({}) },
                    _ => match self.parked.pop() {
                        Some(parked) => {
                            self.writers
                                .insert(entry, (parked.received, parked.durable));
                            WriterEvent::Unparked(Box::new(parked))
                        }
                        None => WriterEvent::Failed(fault),
                    },
                };
                self.session.handle_writer(entry, event, now);
            }
            Due::Write(entry, length) => {
                let (received, durable) = self.writers.entry(entry).or_default();
                *received += length;
                if how & 8 == 0 {
                    *durable = *received;
                }
                let event = WriterEvent::Wrote {
                    received: *received,
                    durable: *durable,
                    buffered: (*received - *durable) * u64::from(how & 4 == 0),
                    checkpoint: news(how, *durable),
                };
                self.wrote(entry, works, event, fault);
            }
            Due::Close(entry) => {
                let result = if how & 8 == 0 {
                    json!({ "path": "x" })
                } else {
                    Value::Null
                };
                self.wrote(entry, works, WriterEvent::Closed { result }, fault);
            }
            Due::Announce(entry) => self.session.handle_announced(entry, now),
            Due::Read(entry, upload) => {
                let found = self.records.get(&upload);
                let found = found.map(|(bytes, version)| (bytes.clone(), RecordVersion(*version)));
                let event = if works {
                    StoreEvent::Found(found)
                } else {
                    StoreEvent::Failed
                };
                self.session.handle_store(entry, event, now);
            }
            Due::Evict(entry) => self.session.handle_store(entry, StoreEvent::Evicted, now),
            Due::Save(entry, upload, record, expect) => {
                let event = self.save(upload, record, expect, works, how & 8 == 0);
                self.session.handle_store(entry, event, now);
            }
            Due::Delete(entry, upload, expect) => {
                let there = self.records.get(&upload).map(|(_, version)| *version);
                let event = if !works {
                    StoreEvent::Failed
                } else if there == Some(expect.0) {
                    self.records.remove(&upload);
                    StoreEvent::Deleted
                } else {
                    StoreEvent::Conflict
                };
                self.session.handle_store(entry, event, now);
            }
            Due::Call(call) => {
                let outcome = if works {
                    CallOutcome::Done(Value::Null)
                } else {
                    CallOutcome::Unknown
                };
                self.session.handle_call(call, outcome, now);
            }
            Due::List(call) => self.session.handle_listed(call, None),
            Due::Remove(entry) => {
                let removed = if works {
                    Removed::Taken
                } else {
                    Removed::Failed
                };
                self.session.handle_removed(entry, removed, now);
            }
        }
    }

    fn wrote(&mut self, entry: EntryId, works: bool, event: WriterEvent, fault: StorageFault) {
        let event = if works {
            event
        } else {
            WriterEvent::Failed(fault)
        };
        self.session.handle_writer(entry, event, now(self.ms));
    }

    /// A conditional write, whose answer may be lost after it took effect.
    fn save(
        &mut self,
        upload: UploadRef,
        record: Vec<u8>,
        expect: RecordExpect,
        works: bool,
        is_heard: bool,
    ) -> StoreEvent {
        let there = self.records.get(&upload).map(|(_, version)| *version);
        let expected = match expect {
            RecordExpect::Absent => None,
            RecordExpect::Version(RecordVersion(version)) => Some(version),
        };
        if !works {
            return StoreEvent::Failed;
        }
        if there != expected {
            return StoreEvent::Conflict;
        }
        self.version += 1;
        self.records.insert(upload, (record, self.version));
        if is_heard {
            StoreEvent::Saved(RecordVersion(self.version))
        } else {
            StoreEvent::Failed
        }
    }

    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.session.poll_output() else {
                return;
            };
            let due = match output {
                Output::App(question) => Some(match question {
                    Question::Authorize { entry, .. } => Due::Authorize(entry),
                    Question::Inspect { entry, .. } => Due::Inspect(entry),
                    Question::Announce { entry, .. } => Due::Announce(entry),
                    Question::Call { call, .. } => Due::Call(call),
                    Question::List { call, .. } => Due::List(call),
                    Question::Remove { entry, .. } => Due::Remove(entry),
                }),
                Output::Writer(entry, order) => self.order(entry, order),
                Output::Store(entry, query) => Some(match query {
                    Query::Read { upload, .. } => Due::Read(entry, upload),
                    Query::Save(save) => {
                        let length = save.record.len();
                        assert!(length <= upload_core::RECORD_BYTES_MAX, "RESUME-1");
                        Due::Save(entry, save.upload, save.record, save.expect)
                    }
                    Query::Delete { upload, expect, .. } => Due::Delete(entry, upload, expect),
                }),
                Output::Neighbour(entry, notice) => match notice {
                    Notice::Reserve(_) => Some(Due::Reserve(entry)),
                    Notice::Evict(_) => Some(Due::Evict(entry)),
                    // A session never looks.
                    Notice::Hold(_) | Notice::LetGo(_) | Notice::FindParked(_) => None,
                },
                Output::Send(message) => {
                    assert!(!message.to_json().is_empty());
                    None
                }
                Output::Fact(_) | Output::Close(_) => None,
            };
            self.due.extend(due);
        }
        panic!("one input causes no end of outputs");
    }

    fn order(&mut self, entry: EntryId, order: Order) -> Option<Due> {
        match order {
            Order::Open => Some(Due::Open(entry)),
            Order::Reopen { offset, .. } => Some(Due::Reopen(entry, offset)),
            Order::Write(data) => Some(Due::Write(entry, data.len() as u64)),
            Order::Flush => Some(Due::Write(entry, 0)),
            Order::Close => Some(Due::Close(entry)),
            Order::Halt | Order::Abort(_) | Order::Release | Order::Remove(_) => {
                self.forget_writer(entry);
                None
            }
            Order::Park { parked, .. } => {
                self.forget_writer(entry);
                self.parked.push(*parked);
                None
            }
        }
    }

    /// What a writer had to do is not answered any more.
    fn forget_writer(&mut self, entry: EntryId) {
        self.due.retain(|due| {
            !matches!(due, Due::Open(of) | Due::Reopen(of, _) | Due::Write(of, _) | Due::Close(of) if *of == entry)
        });
        self.writers.remove(&entry);
    }

    /// Ends the connection, answers everything, and lets time pass.
    fn rest(&mut self) {
        self.session
            .handle_disconnect(DisconnectReason::Lost, now(self.ms));
        self.drain();
        for _ in 0..REST_MAX {
            if !self.due.is_empty() {
                let due = self.due.remove(0);
                self.answer(due, &mut Cursor::new(&[1, 1, 1]));
            } else if let Some(at) = self.session.poll_timeout() {
                // A save that failed is tried again by and by.
                let pause = at.saturating_duration_since(now(self.ms).instant);
                self.ms += u64::try_from(pause.as_millis()).expect("soon") + 1;
                self.session.handle_timeout(now(self.ms));
            } else {
                break;
            }
            self.drain();
        }
        assert!(
            self.session.is_finished(),
            "it comes to rest: {:?}",
            self.session
        );
        assert_eq!(self.session.buffered(), 0);
    }
}

fn news(how: u8, durable: u64) -> CheckpointChange {
    match how >> 4 & 3 {
        1 => CheckpointChange::Same,
        3 => CheckpointChange::Absent,
        _ => CheckpointChange::New(json!({ "at": durable })),
    }
}

fn config(number: u64, plain: bool) -> SessionConfig {
    let slot = |name: &str, resumable: bool, authorize: bool| {
        let rules = SlotRules {
            max_entries: 3,
            max_file_size: 300,
            chunk_size: 64,
            resumable,
            keep_on_leave: authorize,
            authorize,
            shared_store: number.is_multiple_of(2),
            head_bytes: 16,
            ..SlotRules::new(name)
        };
        (name.to_owned(), Arc::new(rules))
    };
    SessionConfig {
        slots: BTreeMap::from([
            slot("0", true, false),
            slot("1", true, true),
            slot("2", false, false),
        ]),
        plain,
        holder: Holder {
            boot: "boot".into(),
            session: number,
        },
        tally: Arc::default(),
        limits: SessionLimits {
            window_bytes: 128,
            window_bytes_max: 1024,
            max_refused_per_minute: 100,
            ..SessionLimits::default()
        },
        checksum: true,
        announces: plain,
    }
}

fn upload(cursor: &mut Cursor<'_>) -> UploadRef {
    UploadRef::from_bytes([cursor.byte() % 4; 16])
}

fn client(cursor: &mut Cursor<'_>) -> Option<String> {
    match cursor.byte() % 3 {
        0 => None,
        1 => Some("tab".to_owned()),
        _ => Some("other".to_owned()),
    }
}

fn register(cursor: &mut Cursor<'_>) -> Register {
    Register {
        upload: upload(cursor),
        upload_name: (cursor.byte() % 4).to_string(),
        client_name: "a".to_owned(),
        client_type: String::new(),
        client_size: Some(u64::from(cursor.short() % 320)),
        resumable: match cursor.byte() % 3 {
            0 => None,
            1 => Some(true),
            _ => Some(false),
        },
        client_id: client(cursor),
        last_modified: None,
        relative_path: None,
        meta: None,
    }
}
