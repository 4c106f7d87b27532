//! What the application is asked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::{Map, Value};
use upload_core::{
    AuthorizeStage, CallId, CallOutcome, Door, EntryId, PassedOver, Question, Verdict,
};
use upload_proto::{Code, Register, UploadRef};
use upload_validate::{FileFacts, Head, safe_name};

use crate::{
    connection::{
        host::Host,
        pending::{self, Input},
    },
    outbox::hooks,
    slots::{
        answer::Denial,
        events::{EventContext, Offer, UploadsHandle},
        slot::{AuthorizeRequest, refusal_of},
        unclaimed,
    },
};

impl<R: Door> Host<R> {
    pub(super) fn ask(&mut self, question: Question) -> Option<Input> {
        match question {
            Question::Authorize {
                entry,
                register,
                stage,
            } => return self.authorize(entry, &register, stage),
            Question::Inspect {
                entry,
                head,
                is_whole,
            } => {
                let (verdict, stored_name) = self.inspect(entry, &head, is_whole);
                if let Some(name) = stored_name {
                    self.core.handle_stored_name(entry, name, self.now);
                }
                return Some(Input::Verdict(entry, verdict));
            }
            Question::Announce { entry, result } => return self.announce(entry, &result),
            Question::List { call, slot } => {
                let unclaimed = Arc::clone(&self.shared.unclaimed);
                let (owner, slots) = (self.config.owner.clone(), Arc::clone(&self.config.slots));
                self.pending_operations.push(Box::pin(async move {
                    let listed = unclaimed
                        .list_for_page(&owner, slot.as_deref(), &slots)
                        .await;
                    Input::Listed(call, listed)
                }));
            }
            Question::Remove { entry, upload } => {
                let unclaimed = Arc::clone(&self.shared.unclaimed);
                let (owner, slots) = (self.config.owner.clone(), Arc::clone(&self.config.slots));
                self.pending_operations.push(Box::pin(async move {
                    let removal = unclaimed.remove(&owner, upload, &slots).await;
                    Input::Removed(entry, unclaimed::removed(removal))
                }));
            }
            Question::Call {
                call,
                event,
                params,
                uploads,
            } => return self.call(call, event, params, uploads),
        }
        None
    }

    fn authorize(
        &mut self,
        entry: EntryId,
        register: &Register,
        stage: AuthorizeStage,
    ) -> Option<Input> {
        let slot = self.config.slots.get(&register.upload_name);
        let slot = slot.filter(|slot| !slot.rules.direct);
        let Some(ask) = slot.and_then(|slot| slot.authorize.clone()) else {
            // Nobody to ask lets nobody in; neither does a slot whose bytes do not come this way.
            let denial = Denial::Refused(Code::Forbidden.into());
            return Some(Input::Authorized(entry, Err(denial)));
        };
        let request = AuthorizeRequest::new(&self.config.owner, register, stage);
        self.pending_operations
            .push(pending::authorize(entry, ask, request));
        None
    }

    /// Tells the core that an upload is not allowed, or cannot be for now: then what can be resumed is kept.
    pub(super) fn denied(&mut self, entry: EntryId, denial: Denial) {
        let now = self.now;
        match denial {
            Denial::Refused(refusal) => self.core.handle_authorized(entry, Err(refusal), now),
            Denial::SignedOut => {
                // A socket closes by that, so that its client comes back with another sign-in.
                let until = self.config.until.or(Some(self.instant()));
                self.config.until = until;
                self.core.handle_undecided(entry, denial.into(), now);
            }
            #[cfg(feature = "cli")]
            Denial::Undecided => self.core.handle_undecided(entry, denial.into(), now),
        }
    }

    /// Judges the first bytes where they are, and names the file if it is not stored under its own name; a check
    /// that panics lets nothing pass.
    fn inspect(&self, entry: EntryId, head: &Bytes, is_whole: bool) -> (Verdict, Option<String>) {
        let entry = self.core.entry(entry);
        let Some((entry, slot)) = entry.and_then(|entry| Some((entry, self.slot_of(entry)?)))
        else {
            return (Verdict::Refuse(Code::Forbidden.into()), None);
        };
        let facts = FileFacts {
            name: &entry.client_name,
            media_type: &entry.client_type,
            size: entry.length.max(),
        };
        let head = Head {
            bytes: head,
            is_whole,
        };
        let checked = catch_unwind(AssertUnwindSafe(|| slot.checks.inspect(&facts, &head)));
        match checked {
            // The head is all that checks get to see: what it does not decide may pass.
            Ok(upload_validate::Verdict::Accept | upload_validate::Verdict::NeedMore) => {
                let name = slot.checks.any_picture.then(|| {
                    let stored = slot.checks.stored_name(&facts, &head);
                    stored.into_string()
                });
                let other = name.filter(|name| *name != *safe_name(&entry.client_name));
                (Verdict::Accept, other)
            }
            Ok(upload_validate::Verdict::Refuse(refusal)) => {
                (Verdict::Refuse(refusal_of(refusal)), None)
            }
            Err(_) => {
                tracing::error!(slot = &*entry.slot, "a validator panicked");
                (Verdict::Refuse(Code::Forbidden.into()), None)
            }
        }
    }

    fn call(
        &mut self,
        call: CallId,
        event: String,
        params: Map<String, Value>,
        uploads: Vec<UploadRef>,
    ) -> Option<Input> {
        let Some(handler) = self.shared.handlers.get(&event).cloned() else {
            let nothing = PassedOver::default();
            return Some(Input::Called(call, CallOutcome::Unknown, nothing));
        };
        let commands = self.registration.mailbox().commands;
        let unclaimed = Arc::clone(&self.shared.unclaimed);
        let offer = Arc::new(Offer::new(self.config.owner.clone(), uploads, unclaimed));
        let context = EventContext {
            owner: self.config.owner.clone(),
            event,
            params,
            uploads: UploadsHandle::new(
                commands,
                Arc::clone(&self.config.slots),
                Arc::clone(&offer),
            ),
            request: self.config.request.clone(),
        };
        self.pending_operations
            .push(pending::call(call, handler, context, offer));
        None
    }

    /// Has hooks learn of a stored file, so that a receipt is never kept without them.
    fn announce(&mut self, entry: EntryId, result: &Value) -> Option<Input> {
        let hooks = self.shared.hooks.clone();
        let Some((hooks, stored)) = hooks.zip(self.core.entry(entry)) else {
            return Some(Input::Announced(entry));
        };
        let crc32c = self.core.file_crc32c(entry);
        let party = self.config.party();
        let notice = hooks::Notice::of_upload(&self.config.owner, stored, crc32c, result);
        let tracker = self.shared.tracker.clone();
        self.pending_operations.push(Box::pin(async move {
            hooks.tell(&notice, &party, &tracker).await;
            Input::Announced(entry)
        }));
        None
    }
}
