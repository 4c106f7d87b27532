//! Control messages, and what the application asks of its connection.

use upload_proto::{
    ClientMessage, Code, Configs, EventCall, EventId, EventResult, Limits, MessageAbout,
    MessageError, ServerMessage, SlotConfig, UploadRef,
    limits::{CLIENT_NAME_BYTES_MAX, META_BYTES_MAX, PROTOCOL_VERSION, message_bytes_max},
};

use crate::{CallId, CallOutcome, Entry, EntryId, Now, Output, Session, SlotRules};

/// An event handler that runs.
#[derive(Debug)]
pub(super) struct Call {
    id: Option<EventId>,
    event: String,
}

impl Session {
    /// Takes a text message (PROTOCOL section 5).
    pub fn handle_message(&mut self, message: Result<ClientMessage, MessageError>, now: Now) {
        if !self.hears() {
            return;
        }
        match message {
            Ok(ClientMessage::Register(register)) => self.register(register, now),
            Ok(ClientMessage::Resume(resume)) => self.resume(resume),
            Ok(ClientMessage::Event(call)) => self.call(call),
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

    /// Learns what an event handler returned.
    pub fn handle_call(&mut self, call: CallId, outcome: CallOutcome, _now: Now) {
        if let Some(Call { id, event }) = self.calls.remove(&call) {
            self.answer_call(id, event, outcome);
        }
    }

    /// Returns an entry that is under way.
    pub fn entry(&self, entry: EntryId) -> Option<&Entry> {
        let upload = self.ids.get(&entry)?;
        self.uploads.get(upload).map(|held| &held.entry)
    }

    /// Returns the CRC32C of an entry's whole file, once its client completed it and where it is
    /// computed: before the file is stored, unlike [`Entry::crc32c`].
    pub fn file_crc32c(&self, entry: EntryId) -> Option<u32> {
        let upload = self.ids.get(&entry)?;
        self.uploads.get(upload)?.file_crc32c()
    }

    /// Returns the entries under way and those complete and not yet consumed,
    /// in the order of their registration.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let live = self.uploads.values().map(|held| &held.entry);
        let mut entries: Vec<_> = live.chain(&self.completed).collect();
        entries.sort_by_key(|entry| entry.id);
        entries.into_iter()
    }

    /// Takes out the completed entries of a slot, in the order of their
    /// registration; a second call finds none of them (CTRL-3).
    pub fn consume(&mut self, slot: &str) -> Vec<Entry> {
        let (mut taken, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.completed)
            .into_iter()
            .partition(|entry| &*entry.slot == slot);
        self.completed = kept;
        taken.sort_by_key(|entry| entry.id);
        taken
    }

    /// Cancels an upload for the application. Returns whether it was under way
    /// and not yet being closed.
    pub fn cancel(&mut self, upload: UploadRef, now: Now) -> bool {
        let mut cancelled = false;
        self.with_upload(upload, now, |held, cx| cancelled = held.cancel(cx));
        self.after_answer();
        cancelled
    }

    pub(super) fn keep_if_complete(&mut self, entry: Entry) {
        let consumes = self
            .config
            .slots
            .get(&*entry.slot)
            .is_none_or(|slot| slot.consume_on_complete);
        if entry.is_complete() && !consumes {
            self.completed.push(entry);
        }
    }

    fn call(&mut self, call: EventCall) {
        let EventCall { event, params, id } = call;
        if self.calls.len() >= self.config.limits.calls_max {
            let result = failed_call(id, event, Code::RateLimited, None);
            self.out.send(ServerMessage::EventResult(result));
            return;
        }
        let EntryId(number) = self.next_id();
        let call = CallId(number);
        self.out.push(Output::Call {
            call,
            event: event.clone(),
            params,
        });
        self.calls.insert(call, Call { id, event });
    }

    fn answer_call(&mut self, id: Option<EventId>, event: String, outcome: CallOutcome) {
        let result = match outcome {
            CallOutcome::Done(result) => EventResult {
                id,
                event,
                ok: true,
                result: Some(result),
                code: None,
                error: None,
            },
            CallOutcome::Unknown => failed_call(id, event, Code::UnknownEvent, None),
            CallOutcome::Failed(text) => failed_call(id, event, Code::EventFailed, text),
        };
        self.out.send(ServerMessage::EventResult(result));
    }

    /// The first message of every connection.
    pub(super) fn announce_slots(&mut self) {
        let config = &self.config;
        let limits = &config.limits;
        let largest_chunk = config.slots.values().map(|slot| slot.chunk_size).max();
        let message_bytes_max = message_bytes_max(largest_chunk.unwrap_or_default());
        let configs = Configs {
            protocol: PROTOCOL_VERSION,
            upload_configs: config
                .slots
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
        };
        self.out.send(ServerMessage::Configs(configs));
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
        error: Some(text.unwrap_or_else(|| code.text().to_owned())),
    }
}
