//! A session, its writers, and the reference beside it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use upload_core::{
    CheckpointChange, Door, Entry, EntryId, EntryStatus, Fact, Holder, Notice, Now as Clock, Order,
    Output, Question, Session, SessionConfig, SessionLimits, SlotRules, StorageFault, Verdict,
    WriterEvent,
};
use upload_proto::{
    ClientMessage, Code, Frame, FrameError, FrameErrorKind, Register, ServerMessage, Status,
    UploadRef,
};

use super::{
    op::Op,
    reference::{CHUNK, ENTRIES, HEAD, Now, Reference, WINDOW, window},
};

/// A session under test.
pub(crate) struct Bench {
    session: Session,
    plain: bool,
    clock_ms: u64,
    window: u64,
    /// The latest upload of each number.
    uploads: BTreeMap<u8, Reference>,
    hosts: BTreeMap<u8, Host>,
    sent: Vec<ServerMessage>,
}

/// What the host has of an upload.
#[derive(Default)]
struct Host {
    entry: Option<EntryId>,
    /// Bytes that counted, in order.
    content: Vec<u8>,
    /// Bytes a writer was told.
    told: Vec<u8>,
    commands: VecDeque<Command>,
    waits_for_verdict: bool,
    has_writer: bool,
    is_consumed: bool,
}

#[derive(Debug)]
enum Command {
    Open,
    Write(u64),
    Close,
}

impl Bench {
    pub(crate) fn new(plain: bool) -> Self {
        let slot = SlotRules {
            max_entries: u32::try_from(ENTRIES).expect("few"),
            max_file_size: 30,
            chunk_size: u32::try_from(CHUNK).expect("small"),
            head_bytes: u32::try_from(HEAD).expect("small"),
            ..SlotRules::new("slot")
        };
        let day = Duration::from_secs(86_400);
        let config = SessionConfig {
            slots: BTreeMap::from([("slot".to_owned(), Arc::new(slot))]),
            plain,
            holder: Holder {
                boot: "boot".into(),
                session: 1,
            },
            tally: Arc::default(),
            limits: SessionLimits {
                window_bytes: WINDOW,
                window_bytes_max: WINDOW,
                idle_upload: day,
                first_message: day,
                ..SessionLimits::default()
            },
            checksum: true,
            announces: false,
        };
        let mut bench = Self {
            session: Session::new(config, clock(0)),
            plain,
            clock_ms: 0,
            window: window(WINDOW),
            uploads: BTreeMap::new(),
            hosts: BTreeMap::new(),
            sent: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// Does one thing to the session and to the reference.
    pub(crate) fn apply(&mut self, op: &Op) {
        self.sent.clear();
        match *op {
            Op::Register { n, size } => self.register(n, u64::from(size)),
            Op::Chunk { n, skip, length } => self.chunk(n, i64::from(skip), length),
            Op::Complete { n, checksum } => self.complete(n, checksum),
            Op::Cancel { n } => self.cancel(n),
            Op::BadFrame => self.bad_frame(),
            Op::Judge { n, accept } => self.judge(n, accept),
            Op::Writer { n, works } => self.writer(n, works),
            Op::Window { bytes } => {
                self.window = window(u64::from(bytes));
                self.session.handle_window(u64::from(bytes));
            }
            Op::Pass { ms } => {
                self.clock_ms += u64::from(ms);
                let now = self.now();
                self.session.handle_timeout(now);
                self.drain();
            }
            Op::Consume => {
                let complete = |entry: &&Entry| entry.is_complete();
                let entries = self.session.entries().filter(complete);
                let consumed: Vec<_> = entries.map(|entry| entry.upload).collect();
                for upload in &consumed {
                    self.session.free_completed(*upload);
                }
                let complete = |it: &Reference| it.now == Now::Complete;
                let mut expected = 0;
                for (n, host) in &mut self.hosts {
                    if complete(&self.uploads[n]) && !host.is_consumed {
                        host.is_consumed = true;
                        expected += 1;
                    }
                }
                assert_eq!(consumed.len(), expected, "PC-10");
            }
        }
    }

    fn register(&mut self, n: u8, size: u64) {
        let before = self
            .uploads
            .get(&n)
            .map(|it| (it.now, it.received, it.size));
        let is_held = before.is_some_and(|(now, ..)| {
            now == Now::Live || (now == Now::Complete && !self.hosts[&n].is_consumed)
        });
        let live = self.uploads.iter().filter(|(n, it)| {
            it.now == Now::Live || (it.now == Now::Complete && !self.hosts[n].is_consumed)
        });
        let expected = match before {
            Some((Now::Live, 0, same)) if same == size => "registered",
            _ if is_held => "ref_in_use",
            _ if live.count() >= ENTRIES => "too_many_entries",
            _ if size > 30 => "too_large",
            _ => "new",
        };
        let now = self.now();
        let message = ClientMessage::Register(Register {
            upload: up(n),
            upload_name: "slot".into(),
            client_name: "a".into(),
            client_type: String::new(),
            client_size: Some(size),
            resumable: None,
            client_id: None,
            last_modified: None,
            relative_path: None,
            meta: None,
        });
        if expected == "new" {
            self.uploads.insert(n, Reference::new(size, self.window));
            self.hosts.insert(n, Host::default());
        }
        self.session.handle_message(Ok(message), now);
        self.drain();
        let told = match &self.sent[..] {
            [ServerMessage::Registered(_)] => "registered",
            [ServerMessage::Error(it)] => it.code.as_str(),
            [ServerMessage::Progress(it)] => it.code.map_or("", Code::as_str),
            other => panic!("{other:?}"),
        };
        assert_eq!(told, expected.replace("new", "registered"));
    }

    fn chunk(&mut self, n: u8, skip: i64, length: u8) {
        let next = self.uploads.get(&n).map_or(0, |it| it.next);
        let index = next.saturating_add_signed(skip);
        let data: Vec<u8> = (0..length).map(|at| at ^ (index as u8) << 4 ^ n).collect();
        let is_live = self.is_live(n);
        if is_live && let Some(it) = self.uploads.get_mut(&n) {
            let counts = it.chunk(index, u64::from(length), self.plain);
            if counts && let Some(host) = self.hosts.get_mut(&n) {
                host.content.extend_from_slice(&data);
            }
        }
        let known = self.uploads.contains_key(&n);
        let is_refused =
            u64::from(length) > CHUNK && self.uploads.get(&n).is_some_and(|it| !it.finish);
        self.frame(Frame::Chunk {
            upload: up(n),
            index: u32::try_from(index).expect("small"),
            data: Bytes::from(data),
        });
        if !known {
            self.expect_error(Code::UnknownRef);
        } else if !is_live {
            assert!(self.sent.is_empty(), "CHUNK-7: {:?}", self.sent);
        } else if is_refused {
            self.expect_error(Code::BadFrame);
        }
    }

    fn complete(&mut self, n: u8, checksum: Option<bool>) {
        let is_live = self.is_live(n);
        let content = self.hosts.get(&n).map(|host| &host.content[..]);
        let right = crc32c::crc32c(content.unwrap_or_default());
        let crc32c = checksum.map(|is_right| if is_right { right } else { !right });
        if is_live && let Some(it) = self.uploads.get_mut(&n) {
            it.complete(checksum != Some(false), self.plain);
        }
        self.frame(Frame::Complete {
            upload: up(n),
            crc32c,
        });
        self.expect_ending_if(!is_live, n);
    }

    fn cancel(&mut self, n: u8) {
        let is_live = self.is_live(n);
        if is_live && let Some(it) = self.uploads.get_mut(&n) {
            it.cancel();
        }
        self.frame(Frame::Cancel { upload: up(n) });
        self.expect_ending_if(!is_live, n);
    }

    fn bad_frame(&mut self) {
        let now = self.now();
        let error = FrameError {
            kind: FrameErrorKind::Empty,
            upload: None,
        };
        self.session.handle_frame(Err(error), now);
        self.drain();
        self.expect_error(Code::BadFrame);
    }

    fn judge(&mut self, n: u8, accept: bool) {
        let Some(host) = self.hosts.get_mut(&n) else {
            return;
        };
        let Some(entry) = host.entry.filter(|_| host.waits_for_verdict) else {
            return;
        };
        host.waits_for_verdict = false;
        let verdict = if accept {
            Verdict::Accept
        } else {
            Verdict::Refuse(Code::ContentMismatch.into())
        };
        if !accept && let Some(it) = self.uploads.get_mut(&n).filter(|it| it.now == Now::Live) {
            it.now = Now::Failed("content_mismatch");
        }
        let now = self.now();
        self.session.handle_verdict(entry, verdict, now);
        self.drain();
    }

    fn writer(&mut self, n: u8, works: bool) {
        let Some(host) = self.hosts.get_mut(&n) else {
            return;
        };
        let (Some(entry), Some(command)) = (host.entry, host.commands.pop_front()) else {
            return;
        };
        let Some(it) = self.uploads.get_mut(&n) else {
            return;
        };
        let event = match command {
            _ if !works => {
                it.now = Now::Failed("storage_failed");
                WriterEvent::Failed(StorageFault::Failed)
            }
            Command::Open => WriterEvent::Opened { checkpoint: None },
            Command::Write(length) => {
                it.wrote(length, self.window);
                WriterEvent::Wrote {
                    received: it.written,
                    durable: it.written,
                    buffered: 0,
                    checkpoint: CheckpointChange::Same,
                }
            }
            Command::Close => {
                it.now = Now::Complete;
                WriterEvent::Closed {
                    result: Value::Null,
                }
            }
        };
        let now = self.now();
        self.session.handle_writer(entry, event, now);
        self.drain();
    }

    fn frame(&mut self, frame: Frame) {
        let now = self.now();
        self.session.handle_frame(Ok(frame), now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let find = |entry: EntryId, hosts: &mut BTreeMap<u8, Host>| {
            let mut all = hosts.iter_mut();
            let found = all.find(|(_, host)| host.entry == Some(entry));
            *found.expect("an entry that was attached").0
        };
        match output {
            Output::Send(message) => self.sent.push(message),
            Output::Neighbour(entry, Notice::Reserve(_)) => {
                let now = self.now();
                self.session.handle_reserved(entry, true, now);
            }
            Output::Fact(Fact::Attached(it)) => {
                let host = self.hosts.get_mut(&number(it.upload)).expect("registered");
                host.entry = Some(it.id);
            }
            Output::Fact(_) | Output::Neighbour(_, Notice::Hold(_) | Notice::LetGo(_)) => {}
            Output::App(Question::Inspect { entry, head, .. }) => {
                let n = find(entry, &mut self.hosts);
                let host = self.hosts.get_mut(&n).expect("found");
                let expected = HEAD.min(self.uploads[&n].size);
                assert_eq!(
                    head,
                    host.content[..usize::try_from(expected).expect("small")]
                );
                host.waits_for_verdict = true;
            }
            Output::Writer(entry, Order::Open) => {
                let n = find(entry, &mut self.hosts);
                let host = self.hosts.get_mut(&n).expect("found");
                assert!(!host.has_writer, "opened once");
                host.has_writer = true;
                host.commands.push_back(Command::Open);
            }
            Output::Writer(entry, Order::Write(data)) => {
                let n = find(entry, &mut self.hosts);
                let host = self.hosts.get_mut(&n).expect("found");
                assert!(host.has_writer && !data.is_empty());
                host.told.extend_from_slice(&data);
                host.commands.push_back(Command::Write(data.len() as u64));
            }
            Output::Writer(entry, Order::Close) => {
                let n = find(entry, &mut self.hosts);
                let host = self.hosts.get_mut(&n).expect("found");
                assert!(host.has_writer && host.commands.is_empty());
                assert_eq!(host.told, host.content);
                host.commands.push_back(Command::Close);
                self.uploads.get_mut(&n).expect("found").closes = true;
            }
            Output::Writer(entry, Order::Abort(_)) => {
                let n = find(entry, &mut self.hosts);
                let host = self.hosts.get_mut(&n).expect("found");
                assert!(host.has_writer, "aborted once, and only what was opened");
                host.has_writer = false;
                host.commands.clear();
            }
            other => panic!("{other:?} in a session without records"),
        }
    }

    fn is_live(&self, n: u8) -> bool {
        self.uploads.get(&n).is_some_and(|it| it.now == Now::Live)
    }

    fn expect_error(&self, code: Code) {
        match &self.sent[..] {
            [ServerMessage::Error(it)] => assert_eq!(it.code, code),
            other => panic!("{other:?} instead of {code}"),
        }
    }

    /// COMPLETE-6: an ending is told again, an unknown ref is an error.
    fn expect_ending_if(&self, is_over: bool, n: u8) {
        match (is_over, self.uploads.get(&n)) {
            (true, None) => self.expect_error(Code::UnknownRef),
            (true, Some(it)) => match &self.sent[..] {
                [ServerMessage::Progress(told)] => {
                    assert_eq!(status(it.now), told.status);
                    let next = match it.now {
                        // COMPLETE-4: as if its chunks had been full.
                        Now::Complete => it.received.div_ceil(CHUNK),
                        _ => it.next,
                    };
                    assert_eq!((told.bytes_received, told.next_index), (it.received, next));
                }
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    }

    /// Compares everything that can be seen.
    pub(crate) fn check(&self) {
        for (n, it) in &self.uploads {
            let host = &self.hosts[n];
            let entry = self.session.entries().find(|entry| entry.upload == up(*n));
            let status = entry.map(|entry| entry.status);
            match it.now {
                Now::Live => assert_eq!(status, Some(EntryStatus::Uploading), "{n}: {it:?}"),
                Now::Complete if !host.is_consumed => {
                    assert_eq!(status, Some(EntryStatus::Complete));
                }
                _ => assert_eq!(status, None, "{n}: {it:?}"),
            }
            if let Some(entry) = entry {
                assert_eq!(entry.bytes_received, it.received);
            }
            if it.now != Now::Live && it.now != Now::Complete {
                assert!(!host.has_writer, "{n} leaves a writer behind");
            }
            assert!(host.content.starts_with(&host.told));
        }
        let live = || self.uploads.values().filter(|it| it.now == Now::Live);
        let buffered: u64 = live().map(|it| it.received - it.written).sum();
        assert_eq!(self.session.buffered(), buffered);
        let is_overrun = live().any(|it| it.received > it.credit);
        assert_eq!(self.session.wants_input(), !is_overrun, "CREDIT-3");
        for message in &self.sent {
            if let ServerMessage::Progress(told) = message
                && let Some(it) = self.uploads.get(&number(told.upload))
                && told.status == Status::Uploading
            {
                assert_eq!(told.credit, it.credit, "CREDIT-1");
                assert_eq!(
                    (told.bytes_received, told.next_index),
                    (it.received, it.next)
                );
            }
        }
    }

    fn now(&self) -> Clock {
        clock(self.clock_ms)
    }
}

fn status(now: Now) -> Status {
    match now {
        Now::Live => Status::Uploading,
        Now::Complete => Status::Complete,
        Now::Failed(_) => Status::Error,
        Now::Cancelled => Status::Cancelled,
    }
}

fn up(n: u8) -> UploadRef {
    UploadRef::from_bytes([n; 16])
}

fn number(upload: UploadRef) -> u8 {
    upload.as_bytes()[0]
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one reading all others count from; the fuzzer, which has this file too, may read clocks"
)]
fn clock(ms: u64) -> Clock {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Clock {
        instant: *EPOCH.get_or_init(Instant::now) + Duration::from_millis(ms),
        unix_ms: ms,
    }
}
