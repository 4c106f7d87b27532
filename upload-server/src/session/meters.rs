//! What one session counts, under names with their units.

use metrics::{Counter, Gauge, counter, gauge};
use upload_core::{Entry, EntryStatus};
use upload_proto::Code;

/// Bytes of messages received.
const BYTES_RECEIVED_TOTAL: &str = "upload_bytes_received_total";
/// Messages received, binary and text.
const MESSAGES_RECEIVED_TOTAL: &str = "upload_messages_received_total";
/// Payload bytes that wait for writers.
const BUFFERED_BYTES: &str = "upload_buffered_bytes";
/// Uploads under way on a connection.
const UPLOADS: &str = "uploads_active";
/// Uploads that were taken up, also again after a resume.
const UPLOADS_STARTED_TOTAL: &str = "uploads_started_total";
/// Uploads that left their connection, by `outcome` and `code`.
const UPLOADS_ENDED_TOTAL: &str = "uploads_ended_total";
/// Frames and messages refused, by `code`.
const REFUSED_TOTAL: &str = "upload_refused_total";
/// Calls of a store that failed or took too long.
const STORE_FAILURES_TOTAL: &str = "upload_store_failures_total";

/// The counters a session touches for every message, looked up once.
pub(super) struct Meters {
    received_bytes: Counter,
    received_messages: Counter,
    buffered_bytes: Gauge,
    /// What of the gauge is this session's.
    buffered: u64,
}

/// The counters a session touches for every upload, looked up once.
pub(super) struct UploadMeters {
    active: Gauge,
    started: Counter,
}

impl UploadMeters {
    pub(super) fn new() -> Self {
        Self {
            active: gauge!(UPLOADS),
            started: counter!(UPLOADS_STARTED_TOTAL),
        }
    }

    /// Counts an upload as under way.
    pub(super) fn attached(&self) {
        self.active.increment(1);
        self.started.increment(1);
    }

    /// Counts an upload as under way no more.
    pub(super) fn left(&self) {
        self.active.decrement(1);
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            received_bytes: counter!(BYTES_RECEIVED_TOTAL),
            received_messages: counter!(MESSAGES_RECEIVED_TOTAL),
            buffered_bytes: gauge!(BUFFERED_BYTES),
            buffered: 0,
        }
    }

    /// Counts messages of together `bytes`.
    pub(super) fn received(&self, messages: u64, bytes: u64) {
        self.received_messages.increment(messages);
        self.received_bytes.increment(bytes);
    }

    /// Says how many payload bytes the session buffers now.
    pub(super) fn buffered(&mut self, bytes: u64) {
        if bytes != self.buffered {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            self.buffered_bytes
                .increment(bytes as f64 - self.buffered as f64);
            self.buffered = bytes;
        }
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        self.buffered(0);
    }
}

/// Counts an upload that ended.
pub(super) fn ended(entry: &Entry) {
    let (outcome, code) = match entry.status {
        EntryStatus::Complete => ("complete", ""),
        EntryStatus::Cancelled => ("cancelled", Code::Cancelled.as_str()),
        EntryStatus::Failed(code) => ("failed", code.as_str()),
        EntryStatus::Uploading => ("detached", ""),
    };
    count_end(outcome, code);
}

/// Counts an upload that left and can be resumed.
pub(super) fn detached(code: Option<Code>) {
    count_end("detached", code.map_or("", Code::as_str));
}

/// Counts a refused frame or message.
pub(super) fn refused(code: Code) {
    counter!(REFUSED_TOTAL, "code" => code.as_str()).increment(1);
}

/// Counts a store call that failed.
pub(super) fn store_failed() {
    counter!(STORE_FAILURES_TOTAL).increment(1);
}

fn count_end(outcome: &'static str, code: &'static str) {
    counter!(UPLOADS_ENDED_TOTAL, "outcome" => outcome, "code" => code).increment(1);
}
