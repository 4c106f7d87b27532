//! What the doors have in common: the session of a socket, and the visit of an upload over HTTP.
//!
//! Both stand over the same room of uploads. What a host answers goes to that room, and what comes of
//! it is passed on by the door that asked; so it is written here once.

use upload_proto::{UploadList, UploadRef};

use crate::{
    Amendment, CallId, CallOutcome, Entry, EntryId, Now, PassedOver, Refusal, Removed, StoreEvent,
    Uploads, Verdict, WriterEvent,
};

/// What a door has and does, for this trait only.
pub trait OverUploads {
    /// Returns the room that the door stands over.
    fn room(&self) -> &Uploads;

    /// Returns the room, to change it.
    fn room_mut(&mut self) -> &mut Uploads;

    /// Passes on the outputs of a change.
    fn pass_on(&mut self, now: Now);
}

/// A door, as its host sees it.
///
/// Handles never fail. After each of them, drain the door's outputs and ask it anew when it wants to be
/// woken.
pub trait Door: OverUploads {
    /// Learns whether no other connection of the process holds what is to be registered.
    fn handle_reserved(&mut self, entry: EntryId, is_free: bool, now: Now) {
        self.room_mut().handle_reserved(entry, is_free, now);
        self.pass_on(now);
    }

    /// Learns whether the application allows what it was asked about; the code of a refusal is usually
    /// [`Forbidden`](upload_proto::Code::Forbidden).
    fn handle_authorized(&mut self, entry: EntryId, answer: Result<(), Refusal>, now: Now) {
        self.room_mut().handle_authorized(entry, answer, now);
        self.pass_on(now);
    }

    /// Learns that no one can say at present whether the application allows what it was asked about; takes the
    /// place of [`handle_authorized`](Self::handle_authorized).
    ///
    /// An upload that can be resumed leaves before its file is stored, and is asked about again once it is back.
    /// Anything else is refused for this reason.
    fn handle_undecided(&mut self, entry: EntryId, refusal: Refusal, now: Now) {
        self.room_mut().handle_undecided(entry, refusal, now);
        self.pass_on(now);
    }

    /// Learns as what the application takes an upload that it was asked about; comes before the answer.
    fn handle_amended(&mut self, entry: EntryId, amendment: Amendment, now: Now) {
        self.room_mut().handle_amended(entry, amendment, now);
    }

    /// Learns that a file is stored under another name than the client's; comes before the verdict.
    ///
    /// The name is in the entry and in its record from then on, so that a writer that is opened again finds it.
    fn handle_stored_name(&mut self, entry: EntryId, stored_name: String, now: Now) {
        self.room_mut().handle_stored_name(entry, stored_name, now);
    }

    /// Learns what the content check found.
    fn handle_verdict(&mut self, entry: EntryId, verdict: Verdict, now: Now) {
        self.room_mut().handle_verdict(entry, verdict, now);
        self.pass_on(now);
    }

    /// Learns that the application will hear of a stored file, so that its receipt may be recorded.
    fn handle_announced(&mut self, entry: EntryId, now: Now) {
        self.room_mut().handle_announced(entry, now);
        self.pass_on(now);
    }

    /// Learns what a writer did.
    fn handle_writer(&mut self, entry: EntryId, event: WriterEvent, now: Now) {
        self.room_mut().handle_writer(entry, event, now);
        self.pass_on(now);
    }

    /// Learns what the store did.
    fn handle_store(&mut self, entry: EntryId, event: StoreEvent, now: Now) {
        self.room_mut().handle_store(entry, event, now);
        self.pass_on(now);
    }

    /// Lets go of an upload that another connection of this process takes over (RESUME-4);
    /// [`crate::Notice::LetGo`] says when.
    fn handle_evict(&mut self, upload: UploadRef, now: Now) {
        self.room_mut().handle_evict(upload, now);
        self.pass_on(now);
    }

    /// Learns what an event handler returned.
    ///
    /// This and the next three answer what only a socket asks; other doors take no notice.
    fn handle_call(&mut self, _call: CallId, _outcome: CallOutcome, _now: Now) {}

    /// Learns which of the uploads that a page named were not offered to a handler that runs (CTRL-6).
    fn handle_passed_over(&mut self, _call: CallId, _passed_over: PassedOver) {}

    /// Learns which uploads of the owner stores know; `None` if they did not answer.
    fn handle_listed(&mut self, _call: CallId, _listed: Option<UploadList>) {}

    /// Learns what became of the removal of a finished upload.
    fn handle_removed(&mut self, _entry: EntryId, _removed: Removed, _now: Now) {}

    /// Cancels an upload for the application. Returns whether it was in flight and not yet being closed.
    fn cancel(&mut self, upload: UploadRef, now: Now) -> bool {
        let room = self.room_mut();
        let held = room.find(upload);
        let entry = held.or_else(|| {
            let entry = room.find_reach(upload)?;
            room.entry(entry).map(|it| it.id)
        });
        let is_cancelled = entry.is_some_and(|entry| room.cancel(entry, now));
        self.pass_on(now);
        is_cancelled
    }

    /// Frees the place of a completed upload that the application took or removed (CTRL-3).
    fn free_completed(&mut self, upload: UploadRef) {
        self.room_mut().free_completed(upload);
    }

    /// Returns an entry that is in flight.
    fn entry(&self, entry: EntryId) -> Option<&Entry> {
        self.room().entry(entry)
    }

    /// Returns the entries in flight and those complete and not yet consumed, in the order of their
    /// registration.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<_> = self.room().entries().collect();
        entries.sort_by_key(|entry| entry.id);
        entries.into_iter()
    }

    /// Returns the CRC32C of an entry's whole file, once its client completed it and where it is
    /// computed: before the file is stored, unlike [`Entry::crc32c`].
    fn file_crc32c(&self, entry: EntryId) -> Option<u32> {
        self.room().file_crc32c(entry)
    }

    /// Returns the payload bytes that no writer has taken.
    fn buffered(&self) -> u64 {
        self.room().buffered()
    }

    /// Returns how many of the [`Door::buffered`] bytes wait in content gates for more of their files: no
    /// writer can take them before more is read.
    fn gated(&self) -> u64 {
        self.room().gated()
    }

    /// Returns how many of the [`Door::buffered`] bytes wait for their upload's record, verdict or writer.
    /// A host may delay reading for them: it answers all of that without another byte.
    fn opening(&self) -> u64 {
        self.room().opening()
    }
}
