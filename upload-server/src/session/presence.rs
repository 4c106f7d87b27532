//! The uploads a session holds, as the rest of the process sees them.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::mpsc;
use upload_core::EntryId;
use upload_proto::UploadRef;

use super::meters::UploadMeters;
use crate::{
    events::{COMMANDS_MAX, Command},
    hub::{EVICTIONS_MAX, Key, Mailbox},
    shared::Shared,
};

/// What a session holds; the hub forgets all of it when this is dropped.
pub(super) struct Presence {
    shared: Arc<Shared>,
    owner: Arc<str>,
    session: u64,
    held: HashMap<EntryId, Held>,
    /// Made with the first upload or call, so that an idle connection stays small.
    post: Option<Post>,
    meters: Option<UploadMeters>,
}

struct Held {
    upload: UploadRef,
    /// The core let go; the writer is not at rest yet.
    is_leaving: bool,
}

struct Post {
    mailbox: Mailbox,
    evictions: mpsc::Receiver<UploadRef>,
    commands: mpsc::Receiver<Command>,
}

impl Presence {
    pub(super) fn new(shared: Arc<Shared>, owner: Arc<str>, session: u64) -> Self {
        Self {
            shared,
            owner,
            session,
            held: HashMap::new(),
            post: None,
            meters: None,
        }
    }

    /// Returns the hub's key of an upload.
    pub(super) fn key(&self, upload: UploadRef) -> Key {
        Key::new(Arc::clone(&self.owner), upload)
    }

    /// The session holds an upload from now on.
    pub(super) fn attach(&mut self, entry: EntryId, upload: UploadRef) {
        let mailbox = self.mailbox();
        self.shared.hub.attach(self.key(upload), mailbox);
        let held = Held {
            upload,
            is_leaving: false,
        };
        if self.held.insert(entry, held).is_none() {
            self.meters.get_or_insert_with(UploadMeters::new).attached();
        }
    }

    /// The core let go of an upload; others may have it once its writer is at rest too.
    pub(super) fn leave(&mut self, entry: EntryId, is_at_rest: bool) {
        let Some(held) = self.held.get_mut(&entry) else {
            return;
        };
        if !std::mem::replace(&mut held.is_leaving, true)
            && let Some(meters) = &self.meters
        {
            meters.left();
        }
        if is_at_rest {
            self.rest(entry);
        }
    }

    /// The writer of an upload is at rest.
    pub(super) fn rest(&mut self, entry: EntryId) {
        if self.held.get(&entry).is_some_and(|held| held.is_leaving)
            && let Some(held) = self.held.remove(&entry)
            && !self.holds(held.upload)
        {
            self.shared.hub.leave(&self.key(held.upload), self.session);
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
        let post = self.post.get_or_insert_with(|| {
            let (evict, evictions) = mpsc::channel(EVICTIONS_MAX);
            let (command, commands) = mpsc::channel(COMMANDS_MAX);
            let mailbox = Mailbox {
                session,
                evictions: evict,
                commands: command,
            };
            Post {
                mailbox,
                evictions,
                commands,
            }
        });
        post.mailbox.clone()
    }

    /// Returns the next request to give an upload up.
    #[expect(clippy::expect_used, reason = "a channel ends with its last sender")]
    pub(super) fn poll_eviction(&mut self, cx: &mut Context<'_>) -> Poll<UploadRef> {
        match &mut self.post {
            Some(post) => post
                .evictions
                .poll_recv(cx)
                .map(|upload| upload.expect("the session holds a sender of its own mailbox")),
            None => Poll::Pending,
        }
    }

    /// Returns the next thing a handler asks for.
    #[expect(clippy::expect_used, reason = "a channel ends with its last sender")]
    pub(super) fn poll_command(&mut self, cx: &mut Context<'_>) -> Poll<Command> {
        match &mut self.post {
            Some(post) => post
                .commands
                .poll_recv(cx)
                .map(|command| command.expect("the session holds a sender of its own mailbox")),
            None => Poll::Pending,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        for held in held.into_values() {
            if !held.is_leaving
                && let Some(meters) = &self.meters
            {
                meters.left();
            }
            self.shared.hub.leave(&self.key(held.upload), self.session);
        }
    }
}
