//! What the core asks for, carried out.
//!
//! What is known at once comes back from here; what takes longer comes back from
//! [`Host::poll_answer`]. The rooms next to this one, by addressee: `writers`, `records`,
//! `application` and `facts`.

mod application;
mod facts;
mod records;
mod writers;

use std::sync::Arc;

use upload_core::{Amendment, Door, Entry, EntryId, Notice, Output, StoreEvent};

use super::{
    host::Host,
    pending::{self, Input},
};
use crate::slots::slot::Slot;

impl<R: Door> Host<R> {
    /// Tells the core; the caller settles what comes of it.
    pub(crate) fn apply(&mut self, input: Input) {
        let now = self.now;
        match input {
            Input::Authorized(entry, Ok(amendment)) => {
                if amendment != Amendment::default() {
                    self.core.handle_amended(entry, amendment, now);
                }
                self.core.handle_authorized(entry, Ok(()), now);
            }
            Input::Authorized(entry, Err(denial)) => self.denied(entry, denial),
            Input::Verdict(entry, verdict) => self.core.handle_verdict(entry, verdict, now),
            Input::Writer(entry, event) => self.core.handle_writer(entry, event, now),
            Input::Store(entry, event) => self.core.handle_store(entry, event, now),
            Input::Announced(entry) => self.core.handle_announced(entry, now),
            Input::Called(call, outcome, passed_over) => {
                self.core.handle_passed_over(call, passed_over);
                self.core.handle_call(call, outcome, now);
            }
            Input::Listed(call, listed) => self.core.handle_listed(call, listed),
            Input::Removed(entry, removed) => self.core.handle_removed(entry, removed, now),
        }
    }

    /// Carries out what does not concern the client; returns what the core is to be told of it at once.
    pub(crate) fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Writer(entry, order) => self.order(entry, order),
            Output::Store(entry, query) => self.query(entry, query),
            Output::Neighbour(entry, notice) => self.notice(entry, notice),
            Output::App(question) => self.ask(question),
            Output::Fact(fact) => {
                self.note(fact);
                None
            }
            // A matter of the socket.
            Output::Send(_) | Output::Close(_) => None,
        }
    }

    fn notice(&mut self, entry: EntryId, notice: Notice) -> Option<Input> {
        match notice {
            Notice::Reserve(upload) => {
                let is_free = self.registration.reserve(entry, upload);
                self.core.handle_reserved(entry, is_free, self.now);
            }
            Notice::Hold(upload) => self.registration.attach(entry, upload),
            Notice::LetGo(_) => {
                let is_idle = !self.drivers.has(entry);
                self.registration.leave(entry, is_idle);
            }
            Notice::FindParked(upload) => {
                let key = self.registration.key(upload);
                let parked = self.shared.registry.find_parked(&key);
                return Some(Input::Store(entry, StoreEvent::Parked(parked)));
            }
            Notice::Evict(upload) => {
                let key = self.registration.key(upload);
                let shared = Arc::clone(&self.shared);
                self.pending_operations
                    .push(pending::evict(entry, shared, key, self.number));
            }
        }
        None
    }

    fn slot_of(&self, entry: &Entry) -> Option<&Slot> {
        self.config.slots.get(&*entry.slot)
    }
}
