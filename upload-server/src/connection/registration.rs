//! The uploads a session holds, as the rest of the process sees them.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::mpsc;
use upload_core::EntryId;
use upload_proto::UploadRef;

use crate::{
    metrics::{ActiveUpload, upload_begun},
    server::{
        registry::{EVICTIONS_MAX, Key, Mailbox},
        shared::Shared,
    },
    slots::events::{COMMANDS_MAX, Command},
};

/// What a session holds; the registry forgets all of it when this is dropped.
pub(super) struct Registration {
    shared: Arc<Shared>,
    owner: Arc<str>,
    session: u64,
    held: HashMap<EntryId, Registered>,
    /// Made with the first upload or call, so that an idle connection stays small.
    inbox: Option<Inbox>,
}

struct Registered {
    upload: UploadRef,
    stage: Stage,
    /// That it is in flight, for the metrics.
    active: Option<ActiveUpload>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A registration is being decided.
    Reserved,
    Attached,
    /// The core let go; the writer is not idle yet.
    Leaving,
}

struct Inbox {
    mailbox: Mailbox,
    evictions: mpsc::Receiver<UploadRef>,
    commands: mpsc::Receiver<Command>,
}

impl Registration {
    pub(super) fn new(shared: Arc<Shared>, owner: Arc<str>, session: u64) -> Self {
        Self {
            shared,
            owner,
            session,
            held: HashMap::new(),
            inbox: None,
        }
    }

    /// Returns the registry's key of an upload.
    pub(super) fn key(&self, upload: UploadRef) -> Key {
        Key::new(Arc::clone(&self.owner), upload)
    }

    /// Notes an upload that is about to be registered, unless another session holds it; returns
    /// whether it may be.
    pub(super) fn reserve(&mut self, entry: EntryId, upload: UploadRef) -> bool {
        let mailbox = self.mailbox();
        let is_free = self.shared.registry.reserve(self.key(upload), mailbox);
        if is_free {
            let held = Registered {
                upload,
                stage: Stage::Reserved,
                active: None,
            };
            self.held.insert(entry, held);
        }
        is_free
    }

    /// The session holds an upload from now on.
    pub(super) fn attach(&mut self, entry: EntryId, upload: UploadRef) {
        let mailbox = self.mailbox();
        self.shared.registry.attach(self.key(upload), mailbox);
        let before = self.held.remove(&entry);
        let held = Registered {
            upload,
            stage: Stage::Attached,
            active: before.and_then(|held| held.active),
        };
        self.held.insert(entry, held);
    }

    /// Counts an upload that is held as in flight, until it leaves.
    pub(super) fn count(&mut self, entry: EntryId, slot: &str, door: &'static str) {
        if let Some(held) = self.held.get_mut(&entry) {
            held.active.get_or_insert_with(|| upload_begun(slot, door));
        }
    }

    /// The core let go of an upload; others may have it once its writer is at rest too.
    pub(super) fn leave(&mut self, entry: EntryId, is_at_rest: bool) {
        let Some(held) = self.held.get_mut(&entry) else {
            return;
        };
        held.stage = Stage::Leaving;
        held.active = None;
        if is_at_rest {
            self.rest(entry);
        }
    }

    /// The writer of an upload is at rest.
    pub(super) fn rest(&mut self, entry: EntryId) {
        let held = self.held.get(&entry);
        if held.is_some_and(|held| held.stage == Stage::Leaving)
            && let Some(held) = self.held.remove(&entry)
            && !self.holds(held.upload)
        {
            self.shared
                .registry
                .leave(&self.key(held.upload), self.session);
        }
    }

    /// Returns the ref of an upload whose writer is still here, unless the same session has
    /// taken the upload up again since: then that entry's writer is the one that counts.
    pub(super) fn newest(&self, entry: EntryId) -> Option<UploadRef> {
        let upload = self.held.get(&entry)?.upload;
        let mut others = self.held.iter();
        let is_newest = !others.any(|(id, held)| held.upload == upload && *id > entry);
        is_newest.then_some(upload)
    }

    fn holds(&self, upload: UploadRef) -> bool {
        self.held.values().any(|held| held.upload == upload)
    }

    /// Returns how to reach this session.
    pub(super) fn mailbox(&mut self) -> Mailbox {
        let session = self.session;
        let inbox = self.inbox.get_or_insert_with(|| {
            let (evict, evictions) = mpsc::channel(EVICTIONS_MAX);
            let (command, commands) = mpsc::channel(COMMANDS_MAX);
            let mailbox = Mailbox {
                session,
                evictions: evict,
                commands: command,
            };
            Inbox {
                mailbox,
                evictions,
                commands,
            }
        });
        inbox.mailbox.clone()
    }

    /// Returns the next request to give an upload up.
    #[expect(clippy::expect_used, reason = "a channel ends with its last sender")]
    pub(super) fn poll_eviction(&mut self, cx: &mut Context<'_>) -> Poll<UploadRef> {
        match &mut self.inbox {
            Some(inbox) => inbox
                .evictions
                .poll_recv(cx)
                .map(|upload| upload.expect("the session holds a sender of its own mailbox")),
            None => Poll::Pending,
        }
    }

    /// Returns the next thing a handler asks for.
    #[expect(clippy::expect_used, reason = "a channel ends with its last sender")]
    pub(super) fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Command> {
        match &mut self.inbox {
            Some(inbox) => inbox
                .commands
                .poll_recv(cx)
                .map(|command| command.expect("the session holds a sender of its own mailbox")),
            None => Poll::Pending,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        for held in held.into_values() {
            self.shared
                .registry
                .leave(&self.key(held.upload), self.session);
        }
    }
}
