//! What the host answers, and what happens to the connection as a whole.

use std::{sync::Arc, time::Instant};

use upload_proto::{Code, UploadRef};

use crate::{
    AbortReason, Amendment, DisconnectReason, EntryId, Notice, Now, Output, Refusal, StoreEvent,
    Uploads, Verdict, Why, WriterEvent, upload::Upload,
};

use super::{
    Stage,
    claim::Then,
    offer::{Offer, Wanted},
    reach::Reach,
};
use crate::upload::cleanup::Progress;

impl Uploads {
    /// Learns whether no other connection of the process holds what is to be registered.
    pub fn handle_reserved(&mut self, entry: EntryId, is_free: bool, now: Now) {
        if let Some(Offer::Reserving(..)) = self.offers.get(&entry)
            && let Some(Offer::Reserving(wanted)) = self.take_offer(entry)
        {
            if is_free {
                self.admit(entry, *wanted, now);
            } else {
                self.refuse(entry, Code::RefInUse);
            }
        }
    }

    /// Learns whether the application allows what it was asked about.
    pub fn handle_authorized(&mut self, entry: EntryId, answer: Result<(), Refusal>, now: Now) {
        if let Some(Offer::Asking { .. }) = self.offers.get(&entry) {
            if let Some(Offer::Asking {
                register,
                slot,
                folder,
                ends_by_word,
            }) = self.take_offer(entry)
            {
                match answer {
                    Ok(()) => {
                        let register = Arc::unwrap_or_clone(register);
                        let wanted = Wanted {
                            register,
                            slot,
                            folder,
                            ends_by_word,
                        };
                        self.reserve(entry, wanted, now);
                    }
                    Err(refusal) => self.refuse(entry, refusal),
                }
            }
        } else if self.reaches.contains_key(&entry) {
            self.with_reach(entry, now, |reach, cx, _| {
                reach.authorized(entry, answer, cx)
            });
        } else {
            self.with(entry, now, |upload, cx| upload.authorized(answer, cx));
        }
    }

    /// Learns that no one can say at present whether the application allows what it was asked about. Only a file that
    /// is all here could be lost by that: what has not begun is refused, and what is to be continued stays as it is.
    pub fn handle_undecided(&mut self, entry: EntryId, refusal: Refusal, now: Now) {
        if self.held.contains_key(&entry) {
            self.with(entry, now, |upload, cx| upload.undecided(refusal, cx));
        } else {
            self.handle_authorized(entry, Err(refusal), now);
        }
    }

    /// Learns as what the application takes an upload that it was asked about; comes before the answer.
    ///
    /// The name takes the place of the client's and is checked in its stead; once the upload has begun,
    /// name and folder stay as they are.
    pub fn handle_amended(&mut self, entry: EntryId, amendment: Amendment, now: Now) {
        let Amendment {
            client_name,
            folder: chosen,
            meta,
        } = amendment;
        if let Some(Offer::Asking {
            register, folder, ..
        }) = self.offers.get_mut(&entry)
        {
            let register = Arc::make_mut(register);
            if let Some(name) = client_name {
                register.client_name = name;
            }
            register.meta = meta.or(register.meta.take());
            *folder = chosen;
        } else if let Some(meta) = meta {
            self.with(entry, now, |upload, _| upload.amend(meta));
        }
    }

    /// Learns that a file is stored under another name than the client's; comes before the verdict.
    ///
    /// The name is in the entry and in its record from then on, so that a writer that is opened again finds it.
    pub fn handle_stored_name(&mut self, entry: EntryId, stored_name: String, now: Now) {
        self.with(entry, now, |upload, _| upload.rename(stored_name));
    }

    /// Learns what the content check found.
    pub fn handle_verdict(&mut self, entry: EntryId, verdict: Verdict, now: Now) {
        self.with(entry, now, |upload, cx| upload.verdict(verdict, cx));
    }

    /// Learns that the application will hear of a stored file.
    pub fn handle_announced(&mut self, entry: EntryId, now: Now) {
        self.with(entry, now, Upload::announced);
    }

    /// Learns what a writer did.
    pub fn handle_writer(&mut self, entry: EntryId, event: WriterEvent, now: Now) {
        if self.reaches.contains_key(&entry) {
            self.with_reach(entry, now, |reach, cx, _| reach.writer(event, cx));
        } else {
            self.with(entry, now, |upload, cx| upload.writer(event, cx));
        }
    }

    /// Learns what the store did.
    pub fn handle_store(&mut self, entry: EntryId, event: StoreEvent, now: Now) {
        if self.held.contains_key(&entry) {
            self.with(entry, now, |upload, cx| upload.store(event, cx));
        } else if self.reaches.contains_key(&entry) {
            self.with_reach(entry, now, |reach, cx, accepts| {
                reach.store(entry, event, accepts, cx)
            });
        } else if let Some(cleanup) = self.cleanups.get_mut(&entry) {
            let holder = &self.config.holder;
            if cleanup.store(entry, event, holder, &mut self.effects) == Progress::Done {
                self.cleanups.remove(&entry);
            }
        } else {
            self.looked(entry, &event);
        }
    }

    /// Lets go of an upload that another connection of this process takes over.
    pub fn handle_evict(&mut self, upload: UploadRef, now: Now) {
        if let Some(entry) = self.find(upload) {
            self.with(entry, now, Upload::evict);
        } else if let Some(entry) = self.find_reach(upload) {
            self.leave_claim(entry, Why::Told(Code::Superseded));
        }
    }

    /// The server restarts: nothing begins any more, and what can be resumed leaves.
    pub fn drain(&mut self, now: Now) {
        self.stage = Stage::Draining;
        let why = Why::Told(Code::Draining);
        for entry in self.ids() {
            self.with(entry, now, |upload, cx| {
                if upload.can_be_resumed() {
                    upload.detach(why, cx);
                }
            });
            self.leave_claim(entry, why);
        }
    }

    /// The client is gone: what can be resumed leaves, what has every byte goes to its end, and the
    /// rest ends (the table of PROTOCOL 8).
    pub fn disconnect(&mut self, reason: DisconnectReason, now: Now) {
        self.stage = Stage::Gone;
        self.offered.clear();
        self.behind.clear();
        for (entry, offer) in std::mem::take(&mut self.offers) {
            if let Some(upload) = offer.reserved() {
                let notice = Notice::LetGo(upload);
                self.effects.push(Output::Neighbour(entry, notice));
            }
        }
        for entry in self.ids() {
            let Some(slot) = self.entry(entry).map(|entry| Arc::clone(&entry.slot)) else {
                continue;
            };
            let slot = self.config.slots.get(&*slot);
            let keeps = slot.is_some_and(|slot| slot.keep_on_leave);
            let keep = keeps || reason == DisconnectReason::Lost;
            self.with(entry, now, |upload, cx| upload.disconnected(keep, cx));
            if keep {
                self.leave_claim(entry, Why::Lost);
            } else if let Some(claim) = self.reaches.get_mut(&entry).and_then(Reach::claim_mut)
                && claim.then != Then::Cancel
            {
                claim.then = Then::Fail(Code::SessionClosed, AbortReason::SessionClosed);
            }
        }
        let dropped: Vec<_> = self
            .reaches
            .iter()
            .filter(|(_, reach)| !reach.outlives())
            .map(|(entry, _)| *entry)
            .collect();
        for entry in dropped {
            self.drop_reach(entry);
        }
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        for entry in self.timers.take_due(now.instant) {
            if let Some(mut reach) = self.reaches.remove(&entry) {
                reach.tick(entry, &mut self.context(now));
                self.reaches.insert(entry, reach);
                self.arm(entry);
            }
            self.with(entry, now, |upload, cx| {
                upload.advance(cx);
                upload.tell_moved(cx);
            });
        }
    }

    /// Returns when to call [`Uploads::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}
