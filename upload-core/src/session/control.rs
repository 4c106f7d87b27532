//! Control messages, and what the application asks of its connection.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use upload_proto::{
    ClientMessage, Code, Configs, EventCall, EventId, EventPush, EventResult, Limits, ListCall,
    MessageAbout, MessageError, Register, Resume, ResumeStatus, ServerMessage, SlotConfig,
    UploadList,
    limits::{CLIENT_NAME_BYTES_MAX, META_BYTES_MAX, PROTOCOL_VERSION, message_bytes_max},
};

use crate::{
    Asks, CallId, CallOutcome, Door, EntryId, Length, Now, Output, PassedOver, Position, Question,
    Removed, Session, SessionLimits, SlotRules,
    session::{
        Completes, Request,
        channel::{Channel, blank_resumed},
    },
};

/// An event handler that runs.
#[derive(Debug)]
pub(super) struct Call {
    id: Option<EventId>,
    event: String,
    passed_over: PassedOver,
    is_list: bool,
}

impl Session {
    /// Takes a text message (PROTOCOL section 5).
    pub fn handle_message(&mut self, message: Result<ClientMessage, MessageError>, now: Now) {
        if !self.is_reading() {
            return;
        }
        match message {
            Ok(ClientMessage::Register(register)) => self.register(register, now),
            Ok(ClientMessage::Resume(resume)) => self.resume(resume, now),
            Ok(ClientMessage::Event(call)) => self.call(call),
            Ok(ClientMessage::List(list)) => self.list(list),
            Ok(ClientMessage::Ping) => self.out.send(ServerMessage::Pong),
            Err(error) => match (error.about, error.upload) {
                (MessageAbout::Register, Some(upload)) => {
                    self.refuse_registration(error.code, upload);
                }
                (_, upload) => self.refuse(error.code, upload),
            },
        }
        self.after_input(now);
    }

    /// Tells the page something for the application.
    pub fn push_event(&mut self, event: String, value: Value) {
        let push = EventPush { event, value };
        self.out.send(ServerMessage::EventPush(push));
    }

    /// Takes `upload_register` (PROTOCOL section 5).
    fn register(&mut self, register: Register, now: Now) {
        let (upload, size) = (register.upload, register.client_size);
        let slots = &self.uploads.config().slots;
        let slot = slots.get(&register.upload_name).map(Arc::clone);
        let is_open = size.is_none();
        if is_open && slot.as_ref().is_some_and(|slot| !slot.unknown_size) {
            return self.refuse_registration(Code::BadSize, upload);
        }
        let entry = self.uploads.begin_by_word(register, now);
        self.requests.insert(entry, Request::Register(upload));
        if let Some(slot) = slot {
            let at = Position::default();
            let most = Length::AtMost(slot.max_file_size);
            let length = size.map_or(most, Length::Known);
            let mut channel = Channel::new(upload, slot, length, at, self.window, now);
            channel.active_at = self.heard(now);
            channel.pace = self.pace(0, now);
            self.channels.insert(entry, channel);
        }
    }

    /// Takes `upload_resume` (PROTOCOL section 8).
    fn resume(&mut self, resume: Resume, now: Now) {
        let Resume {
            upload,
            by_upload_id,
            client_id,
            ..
        } = resume;
        if let Some(held) = self.uploads.find(upload) {
            // RESUME-3a: this connection would have to take it from itself.
            let mut locked = blank_resumed(upload, ResumeStatus::Locked);
            let at = self.uploads.position(held).unwrap_or_default();
            locked.bytes_received = at.received;
            self.out.resumed(locked, by_upload_id);
            return;
        }
        let entry = self.uploads.reach(upload, Asks::Continue(client_id), now);
        self.requests.insert(
            entry,
            Request::Resume {
                upload,
                by_upload_id,
                completes: Completes::No,
            },
        );
    }

    fn call(&mut self, call: EventCall) {
        let EventCall {
            event,
            params,
            id,
            uploads,
        } = call;
        if self.calls.len() >= self.uploads.config().limits.calls_max {
            let result = failed_call(id, event, Code::RateLimited, None);
            self.out.send(ServerMessage::EventResult(Box::new(result)));
            return;
        }
        // CTRL-6: a page that names none has those of its connection.
        let uploads = uploads.unwrap_or_else(|| self.uploads.completed());
        let EntryId(number) = self.uploads.next_id();
        let call = CallId(number);
        self.out.push(Output::App(Question::Call {
            call,
            event: event.clone(),
            params,
            uploads,
        }));
        let passed_over = PassedOver::default();
        self.calls.insert(
            call,
            Call {
                id,
                event,
                passed_over,
                is_list: false,
            },
        );
    }

    /// One question at a time: each costs a look through the store.
    fn list(&mut self, list: ListCall) {
        let is_busy = self.calls.values().any(|call| call.is_list);
        if is_busy || self.calls.len() >= self.uploads.config().limits.calls_max {
            return self.refuse(Code::RateLimited, None);
        }
        let EntryId(number) = self.uploads.next_id();
        let call = CallId(number);
        let slot = list.upload_name;
        self.out.push(Output::App(Question::List { call, slot }));
        let asked = Call {
            id: list.id,
            event: String::new(),
            passed_over: PassedOver::default(),
            is_list: true,
        };
        self.calls.insert(call, asked);
    }

    fn answer_call(&mut self, call: Call, outcome: CallOutcome) {
        let Call {
            id,
            event,
            passed_over,
            ..
        } = call;
        let mut result = match outcome {
            CallOutcome::Done(result) => EventResult {
                id,
                event,
                ok: true,
                result: Some(result),
                code: None,
                reason: None,
                error: None,
                taken: Vec::new(),
                unknown: Vec::new(),
            },
            CallOutcome::Unknown => failed_call(id, event, Code::UnknownEvent, None),
            CallOutcome::Failed { reason, text } => EventResult {
                reason,
                ..failed_call(id, event, Code::EventFailed, text)
            },
        };
        result.taken = passed_over.taken;
        result.unknown = passed_over.unknown;
        self.out.send(ServerMessage::EventResult(Box::new(result)));
    }

    /// The first message of every connection.
    pub(super) fn announce_slots(&mut self) {
        let config = self.uploads.config();
        let configs = announcement(&config.slots, &config.limits);
        self.out.send(ServerMessage::Configs(configs));
    }
}

impl Door for Session {
    fn handle_call(&mut self, call: CallId, outcome: CallOutcome, _now: Now) {
        if let Some(call) = self.calls.remove(&call) {
            self.answer_call(call, outcome);
        }
    }

    fn handle_passed_over(&mut self, call: CallId, passed_over: PassedOver) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.passed_over = passed_over;
        }
    }

    fn handle_listed(&mut self, call: CallId, listed: Option<UploadList>) {
        let Some(Call { id, .. }) = self.calls.remove(&call) else {
            return;
        };
        match listed {
            Some(listed) => self
                .out
                .send(ServerMessage::List(UploadList { id, ..listed })),
            None => self.refuse(Code::StorageThrottled, None),
        }
    }

    fn handle_removed(&mut self, entry: EntryId, removed: Removed, now: Now) {
        self.removed(entry, removed);
        self.after(now);
    }
}

/// Returns what a client hears first: the rules of its slots, and what holds for all of them.
pub fn announcement(slots: &BTreeMap<String, Arc<SlotRules>>, limits: &SessionLimits) -> Configs {
    let largest_chunk = slots.values().map(|slot| slot.chunk_size).max();
    let message_bytes_max = message_bytes_max(largest_chunk.unwrap_or_default());
    Configs {
        protocol: PROTOCOL_VERSION,
        upload_configs: slots
            .iter()
            .map(|(name, slot)| (name.clone(), announced(slot)))
            .collect(),
        limits: Limits {
            max_uploads_per_owner: limits.max_uploads_per_owner,
            message_bytes_max: message_bytes_max as u64,
            window_bytes: limits.window_bytes,
            idle_upload_seconds: limits.idle_upload.as_secs(),
            ping_seconds: limits.ping_interval.as_secs(),
            meta_bytes_max: META_BYTES_MAX as u32,
            name_bytes_max: CLIENT_NAME_BYTES_MAX as u32,
        },
    }
}

fn announced(slot: &SlotRules) -> SlotConfig {
    SlotConfig {
        name: slot.name.clone(),
        accept: slot.accept.clone(),
        max_entries: slot.max_entries,
        max_file_size: slot.max_file_size,
        chunk_size: slot.chunk_size,
        auto_upload: slot.auto_upload,
        resumable: slot.resumable,
        allow_active_content: slot.allow_active_content,
        direct: slot.direct,
        unknown_size: slot.unknown_size,
        consumes_on_complete: Some(slot.consume_on_complete),
    }
}

/// MSG-4: the text is fixed unless the application chose one.
fn failed_call(
    id: Option<EventId>,
    event: String,
    code: Code,
    text: Option<String>,
) -> EventResult {
    EventResult {
        id,
        event,
        ok: false,
        result: None,
        code: Some(code),
        reason: None,
        error: Some(text.unwrap_or_else(|| code.text().to_owned())),
        taken: Vec::new(),
        unknown: Vec::new(),
    }
}
