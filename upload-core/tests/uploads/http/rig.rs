//! A visit and its host, whose writers can be held up.

use std::collections::VecDeque;

use bytes::Bytes;
use upload_core::{
    Amendment, Broken, Content, ContentEnd, Door, Ends, EntryId, Notice, Now, Order, Output,
    Question, Removed, Reply, Request, RequestId, SlotRules, StorageFault, StoreEvent, Taken,
    Verdict, Visit, VisitOutput, WriterEvent,
};

use upload_proto::Code;

use crate::support::{Storage, at, config, register, up};

pub(crate) struct Rig {
    pub(crate) visit: Visit,
    pub(crate) storage: Storage,
    pub(crate) now: Now,
    /// Answers of writers that are held up.
    waiting: VecDeque<(EntryId, WriterEvent)>,
    pub(crate) holds_writers: bool,
    /// No writer can be opened, for this reason.
    pub(crate) fault: Option<StorageFault>,
    /// No writer takes bytes, for this reason.
    pub(crate) write_fault: Option<StorageFault>,
    opens: usize,
    pub(crate) verdict: Verdict,
    /// As what the application takes uploads, where it is asked.
    pub(crate) amendment: Amendment,
    /// It does not answer.
    pub(crate) is_undecided: bool,
    next: u64,
    pub(crate) receives: Vec<RequestId>,
    pub(crate) replies: Vec<(RequestId, Reply)>,
}

impl Rig {
    pub(crate) fn new(session: u64, storage: Storage) -> Self {
        Self::with(session, storage, |_| {})
    }

    pub(crate) fn with(
        session: u64,
        storage: Storage,
        change: impl FnOnce(&mut SlotRules),
    ) -> Self {
        let mut slot = SlotRules {
            resumable: true,
            head_bytes: 2,
            max_file_size: 1000,
            ..SlotRules::new("slot")
        };
        change(&mut slot);
        Self {
            visit: Visit::new(up(), config(session, slot)),
            storage,
            now: at(0),
            waiting: VecDeque::new(),
            holds_writers: false,
            fault: None,
            write_fault: None,
            opens: 0,
            verdict: Verdict::Accept,
            amendment: Amendment::default(),
            is_undecided: false,
            next: 0,
            receives: Vec::new(),
            replies: Vec::new(),
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        self.visit.request(id, request, self.now);
        self.drain();
        id
    }

    pub(crate) fn create(
        &mut self,
        size: impl Into<Option<u64>>,
        content: Option<Content>,
    ) -> RequestId {
        let register = register(size.into(), "http");
        self.ask(Request::Create(Box::new(register), content))
    }

    pub(crate) fn send(&mut self, id: RequestId, data: &'static str) -> Taken {
        let data = Bytes::from_static(data.as_bytes());
        let taken = self.visit.content(id, data, self.now);
        self.drain();
        taken
    }

    pub(crate) fn end(&mut self, id: RequestId, end: ContentEnd) {
        self.visit.content_end(id, end, self.now);
        self.drain();
    }

    /// Appends a whole request of tus, and returns its answer.
    pub(crate) fn append(&mut self, at: u64, data: &'static str) -> Reply {
        let id = self.ask(Request::Append(tus(at)));
        self.send(id, data);
        self.end(id, ContentEnd::Whole);
        self.reply(id)
    }

    pub(crate) fn offset(&mut self) -> Reply {
        let id = self.ask(Request::Offset(Ends::AtLength));
        self.reply(id)
    }

    /// Returns the one answer to a request.
    pub(crate) fn reply(&mut self, id: RequestId) -> Reply {
        let mut found = self.replies.iter().filter(|(of, _)| *of == id);
        let reply = found.next().expect("an answer").1.clone();
        assert!(found.next().is_none(), "one answer");
        reply
    }

    pub(crate) fn is_answered(&self, id: RequestId) -> bool {
        self.replies.iter().any(|(of, _)| *of == id)
    }

    /// Lets time pass.
    pub(crate) fn after(&mut self, ms: u64) {
        self.now = at(self.now.unix_ms + ms);
        if self
            .visit
            .poll_timeout()
            .is_some_and(|due| due <= self.now.instant)
        {
            self.visit.handle_timeout(self.now);
        }
        self.drain();
    }

    /// Lets writers answer.
    pub(crate) fn let_writers(&mut self) {
        self.holds_writers = false;
        while let Some((entry, event)) = self.waiting.pop_front() {
            self.visit.handle_writer(entry, event, self.now);
            self.drain();
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.visit.poll_output() {
            match output {
                VisitOutput::Do(output) => self.carry_out(output),
                VisitOutput::Receive(id) => self.receives.push(id),
                VisitOutput::Answer(id, reply) => self.replies.push((id, reply)),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        let now = self.now;
        match output {
            Output::Neighbour(entry, Notice::Reserve(_)) => {
                self.visit.handle_reserved(entry, true, now);
            }
            Output::Neighbour(entry, Notice::Evict(_)) => {
                self.visit.handle_store(entry, StoreEvent::Evicted, now);
            }
            Output::App(Question::Inspect { entry, .. }) => {
                self.visit.handle_verdict(entry, self.verdict.clone(), now);
            }
            Output::App(Question::Authorize { .. }) if self.is_undecided => {}
            Output::App(Question::Authorize { entry, .. }) => {
                let amendment = self.amendment.clone();
                self.visit.handle_amended(entry, amendment, now);
                self.visit.handle_authorized(entry, Ok(()), now);
            }
            Output::Store(entry, query) => {
                let event = self.storage.records.answer(query);
                self.visit.handle_store(entry, event, now);
            }
            Output::Writer(entry, order) => {
                if let Some(event) = self.write(entry, order) {
                    match self.holds_writers {
                        true => self.waiting.push_back((entry, event)),
                        false => self.visit.handle_writer(entry, event, now),
                    }
                }
            }
            Output::Fact(_) | Output::Neighbour(..) => {}
            Output::App(Question::Remove { entry, .. }) => {
                self.storage.removed += 1;
                let removed = Removed::Ended(Code::Cancelled);
                self.visit.handle_removed(entry, removed, now);
            }
            Output::Send(_) | Output::Close(_) | Output::App(_) => {
                unreachable!("a visit has no socket")
            }
        }
    }

    fn write(&mut self, entry: EntryId, order: Order) -> Option<WriterEvent> {
        if let Some(fault) = self.fault
            && matches!(order, Order::Open | Order::Reopen { .. })
        {
            self.opens += 1;
            assert!(self.opens < 100, "again and again");
            return Some(WriterEvent::Failed(fault));
        }
        if let Some(fault) = self.write_fault
            && matches!(order, Order::Write(_))
        {
            return Some(WriterEvent::Failed(fault));
        }
        self.storage.write(entry, order)
    }
}

/// Content as tus has it.
pub(crate) fn tus(at: u64) -> Content {
    Content {
        at,
        length: None,
        declares: None,
        crc32c: None,
        ends: Ends::AtLength,
        broken: Broken::Keep,
    }
}

/// Content as the IETF's draft has it.
pub(crate) fn ietf(at: u64, ends: Ends) -> Content {
    Content { ends, ..tus(at) }
}

/// The content of a plain request.
pub(crate) fn plain() -> Content {
    Content {
        at: 0,
        length: None,
        declares: None,
        crc32c: None,
        ends: Ends::Here,
        broken: Broken::Cancel,
    }
}
