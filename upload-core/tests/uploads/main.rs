//! The room of uploads without any door, and the visits of HTTP over it.

mod flushes;
mod http;
mod lengths;
mod support;
mod visits;

use bytes::Bytes;
use serde_json::json;
use upload_core::{
    Answer, Append, Asks, Declare, Effect, EntryId, EntryStatus, Finish, Length, News, Notice,
    Output, Question, Refusal, SessionConfig, SlotRules, StoreEvent, Uploads, Verdict, Why,
};
use upload_proto::Code;

use support::{Keeping, Storage, at, config, register, up};

/// A room of uploads, and its host.
struct Visit {
    uploads: Uploads,
    storage: Storage,
    news: Vec<(EntryId, News)>,
}

impl Visit {
    fn new(session: u64, storage: Storage) -> Self {
        let slot = SlotRules {
            resumable: true,
            chunk_size: 4,
            head_bytes: 2,
            consume_on_complete: true,
            ..SlotRules::new("slot")
        };
        Self {
            uploads: Uploads::new(config(session, slot)),
            storage,
            news: Vec::new(),
        }
    }

    fn configure(&mut self, change: impl FnOnce(&mut SessionConfig)) {
        let mut config = self.uploads.config().clone();
        change(&mut config);
        self.uploads = Uploads::new(config);
    }

    fn begin(&mut self, size: impl Into<Option<u64>>) -> EntryId {
        let register = register(size.into(), "door");
        let entry = self.uploads.begin(register, at(0));
        self.drain();
        entry
    }

    fn reach(&mut self, asks: Asks) -> EntryId {
        let entry = self.uploads.reach(up(), asks, at(0));
        self.drain();
        entry
    }

    fn append(&mut self, entry: EntryId, data: &'static str) -> Append {
        let offset = self.uploads.position(entry).map_or(0, |it| it.received);
        self.append_at(entry, offset, data)
    }

    fn append_at(&mut self, entry: EntryId, offset: u64, data: &'static str) -> Append {
        let data = Bytes::from_static(data.as_bytes());
        let appended = self.uploads.append(entry, offset, data, at(0));
        self.drain();
        appended
    }

    fn last(&mut self) -> News {
        self.news.pop().expect("something happened").1
    }

    fn drain(&mut self) {
        while let Some(effect) = self.uploads.poll() {
            match effect {
                Effect::News(entry, news) => self.news.push((entry, news)),
                Effect::Do(output) => self.carry_out(output),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Neighbour(entry, Notice::Reserve(_)) => {
                self.uploads.handle_reserved(entry, true, at(0));
            }
            Output::Neighbour(entry, Notice::FindParked(_)) => {
                let parked = self.storage.parked.as_ref();
                let parked = parked.map(|(_, parked)| (parked.fence.clone(), parked.received));
                let event = StoreEvent::Parked(parked);
                self.uploads.handle_store(entry, event, at(0));
            }
            Output::Neighbour(entry, Notice::Evict(_)) => {
                self.uploads.handle_store(entry, StoreEvent::Evicted, at(0));
            }
            Output::App(Question::Inspect { entry, .. }) => {
                self.uploads.handle_verdict(entry, Verdict::Accept, at(0));
            }
            Output::Store(entry, query) => {
                let event = self.storage.records.answer(query);
                self.uploads.handle_store(entry, event, at(0));
            }
            Output::Writer(entry, order) => {
                if let Some(event) = self.storage.write(entry, order) {
                    self.uploads.handle_writer(entry, event, at(0));
                }
            }
            Output::Fact(_) | Output::Neighbour(..) => {}
            Output::Send(_) | Output::Close(_) | Output::App(_) => {
                unreachable!("a room has no words")
            }
        }
    }
}
