//! What a WebSocket knows of one upload: indices, credit, and what was sent about it.

use std::{sync::Arc, time::Duration};

use upload_proto::{ResumeStatus, Resumed, Snapshot, Status, UploadRef, crc32c_hex};

use crate::{
    Entry, Length, Now, Record, SlotRules, Subject,
    news::Position,
    pace::Pace,
    sequencer::Sequencer,
    throttle::{Numbers, ProgressThrottle},
    window::{Window, WindowSizes},
};

/// Whether the client knows of the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its registration is not answered yet.
    Asked,
    /// It is, so that progress may be sent.
    Live,
}

/// One upload as its WebSocket client sees it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) upload: UploadRef,
    pub(super) slot: Arc<SlotRules>,
    pub(super) length: Length,
    pub(super) stage: Stage,
    pub(super) sequencer: Sequencer,
    window: Window,
    pub(super) throttle: ProgressThrottle,
    at: Position,
    /// When the last new bytes came, on the clock that stops while the host does not read the socket.
    pub(super) active_at: Duration,
    /// How fast it comes, on the same clock.
    pub(super) pace: Pace,
    overrun: Overrun,
}

/// Whether the session counts the client as past its credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overrun {
    No,
    Counted,
}

impl Channel {
    /// Begins at byte 0, or where a resumed upload is.
    pub(super) fn new(
        upload: UploadRef,
        slot: Arc<SlotRules>,
        length: Length,
        at: Position,
        sizes: WindowSizes,
        now: Now,
    ) -> Self {
        let window = Window::new(sizes, slot.chunk_size, slot.head_bytes, at.taken);
        let told = Numbers {
            received: 0,
            durable: 0,
            credit: window.credit(),
        };
        Self {
            upload,
            length,
            stage: Stage::Asked,
            sequencer: Sequencer::from(at.received, slot.chunk_size),
            window,
            throttle: ProgressThrottle::new(told, now),
            at,
            active_at: Duration::ZERO,
            pace: Pace::default(),
            overrun: Overrun::No,
            slot,
        }
    }

    /// Begins with an upload that the client did not hear of yet.
    pub(super) fn of(subject: &Subject, sizes: WindowSizes, now: Now) -> Self {
        let Subject {
            entry, slot, at, ..
        } = subject;
        let slot = Arc::clone(slot);
        Self::new(entry.upload, slot, entry.length, *at, sizes, now)
    }

    /// Notes how far the upload has come. What was durable once stays so (MSG-2).
    pub(super) fn note(&mut self, at: Position, sizes: WindowSizes) {
        if at.taken > self.at.taken {
            self.window.advance(at.taken, sizes);
        }
        self.at = Position {
            durable: self.at.durable.max(at.durable),
            ..at
        };
    }

    /// Notes that new bytes came, at a time on the clock that stops while the host does not read.
    pub(super) fn came(&mut self, at: Position, heard: Duration, sizes: WindowSizes) {
        self.active_at = heard;
        self.window.came(at.received, at.taken, heard, sizes);
        self.note(at, sizes);
    }

    /// Notes that its numbers are told.
    pub(super) fn told(&mut self, heard: Duration, now: Now) {
        self.window.tell(self.throttle.credit(), heard);
        self.throttle.told(self.numbers(), now);
    }

    /// Returns the numbers a snapshot carries.
    pub(super) fn numbers(&self) -> Numbers {
        Numbers {
            received: self.at.received,
            durable: self.at.durable,
            credit: self.window.credit(),
        }
    }

    /// Returns how large its window is.
    pub(super) fn window_size(&self, sizes: WindowSizes) -> u64 {
        self.window.size(sizes)
    }

    /// Returns whether the client may send its next chunk whole, or has none left.
    pub(super) fn has_credit(&self) -> bool {
        let rest = self.length.max().saturating_sub(self.at.received);
        let next = rest.min(u64::from(self.slot.chunk_size));
        self.at.received.saturating_add(next) <= self.window.credit()
    }

    /// Returns whether the session counts the client as past its credit.
    pub(super) fn was_overrun(&self) -> bool {
        self.overrun == Overrun::Counted
    }

    /// Looks whether the client is past its credit (CREDIT-3); returns whether it was, and is.
    pub(super) fn recount_overrun(&mut self) -> (bool, bool) {
        let (was, is) = (self.was_overrun(), self.at.received > self.window.credit());
        self.overrun = match is {
            true => Overrun::Counted,
            false => Overrun::No,
        };
        (was, is)
    }

    /// Returns whether a chunk is longer than the slot allows (CHUNK-8).
    pub(super) fn is_too_long(&self, chunk: &[u8]) -> bool {
        chunk.len() > usize::try_from(self.slot.chunk_size).unwrap_or(usize::MAX)
    }

    /// Returns the snapshot of this moment.
    pub(super) fn snapshot(&self, status: Status) -> Snapshot {
        let numbers = self.numbers();
        let mut snapshot = Snapshot::new(self.upload, status);
        snapshot.progress = self.length.percent(numbers.received);
        snapshot.bytes_received = numbers.received;
        snapshot.bytes_durable = numbers.durable;
        snapshot.next_index = self.sequencer.next_index();
        snapshot.credit = numbers.credit;
        snapshot
    }

    /// Returns the snapshot of a file that is stored.
    pub(super) fn receipt(&self, entry: &Entry) -> Snapshot {
        let mut snapshot = self.snapshot(Status::Complete);
        snapshot.next_index = receipt_index(entry.bytes_received, self.slot.chunk_size);
        snapshot.result = entry.result.clone();
        snapshot.crc32c = entry.crc32c.map(crc32c_hex);
        snapshot
    }

    /// Returns the answer to a resume.
    pub(super) fn resumed(&self, status: ResumeStatus, crc32c: Option<u32>) -> Resumed {
        let numbers = self.numbers();
        let next_index = match status {
            ResumeStatus::Complete => receipt_index(numbers.received, self.slot.chunk_size),
            ResumeStatus::Resumed | ResumeStatus::NotFound | ResumeStatus::Locked => {
                self.sequencer.next_index()
            }
        };
        let mut resumed = blank_resumed(self.upload, status);
        resumed.bytes_received = numbers.received;
        resumed.next_index = next_index;
        resumed.chunks_received = received_ranges(next_index);
        resumed.crc32c = crc32c.map(crc32c_hex);
        resumed.chunk_size = self.slot.chunk_size;
        resumed.credit = numbers.credit;
        resumed
    }
}

/// Returns the index behind the last chunk of a file of `size` bytes whose chunks were full: the same
/// in every receipt, however its client cut the file (COMPLETE-4).
pub(super) fn receipt_index(size: u64, chunk_size: u32) -> u64 {
    size.div_ceil(u64::from(chunk_size.max(1)))
}

/// Returns an answer to a resume that says nothing but its status.
pub(super) fn blank_resumed(upload: UploadRef, status: ResumeStatus) -> Resumed {
    Resumed {
        upload,
        status,
        bytes_received: 0,
        next_index: 0,
        chunks_received: Vec::new(),
        crc32c: None,
        chunk_size: 0,
        credit: 0,
    }
}

/// Returns the indices before `next_index` as inclusive ranges, as `chunks_received` has them
/// (PROTOCOL section 6).
pub fn received_ranges(next_index: u64) -> Vec<[u64; 2]> {
    next_index
        .checked_sub(1)
        .map(|last| vec![[0, last]])
        .unwrap_or_default()
}

/// Returns the receipt that a record tells of.
pub(super) fn receipt(upload: UploadRef, record: &Record) -> Snapshot {
    let mut snapshot = Snapshot::new(upload, Status::Complete);
    snapshot.progress = 100;
    snapshot.bytes_received = record.length.max();
    snapshot.bytes_durable = record.length.max();
    snapshot.next_index = receipt_index(record.length.max(), record.chunk_size);
    snapshot.credit = record.length.max();
    snapshot.result = Some(record.result.clone());
    snapshot.crc32c = record.file_crc32c.map(crc32c_hex);
    snapshot
}
