//! What the server counts.

#[cfg(feature = "cli")]
pub(crate) mod prometheus;

use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use upload_core::{Entry, EntryStatus};
use upload_proto::Code;

/// Open WebSocket connections.
const CONNECTIONS: &str = "upload_connections";
/// WebSocket connections opened since the start.
const CONNECTIONS_TOTAL: &str = "upload_connections_total";
/// Handshakes refused since the start, by HTTP status.
const HANDSHAKES_REFUSED_TOTAL: &str = "upload_handshakes_refused_total";

#[cfg(feature = "doors")]
/// Uploads that HTTP requests are about, or were a moment ago.
const VISITS: &str = "upload_http_visits";
#[cfg(feature = "doors")]
/// HTTP requests that upload, by `door` and `status`.
const HTTP_REQUESTS_TOTAL: &str = "upload_http_requests_total";

/// How long writers took for what was received meanwhile.
const WRITE_SECONDS: &str = "upload_write_seconds";
/// How long writers took to make a finished file durable and give it its name.
const CLOSE_SECONDS: &str = "upload_close_seconds";
/// How long stores took to save a record, also where they failed.
const SAVE_SECONDS: &str = "upload_save_seconds";

/// Calls of hooks since the start, by outcome.
const HOOK_CALLS_TOTAL: &str = "upload_hook_calls_total";
/// Calls of hooks that are outstanding, by `hook`.
const HOOK_CALLS_WAITING: &str = "upload_hook_calls_waiting";
/// Calls of hooks that will never be made.
const HOOKS_LOST_TOTAL: &str = "upload_hooks_lost_total";

/// Bytes of messages received.
const BYTES_RECEIVED_TOTAL: &str = "upload_bytes_received_total";
/// Messages received, binary and text.
const MESSAGES_RECEIVED_TOTAL: &str = "upload_messages_received_total";
/// Payload bytes that wait for writers.
const BUFFERED_BYTES: &str = "upload_buffered_bytes";
#[cfg(feature = "cli")]
/// Bytes that are free on the file system of unfinished files.
const DISK_FREE_BYTES: &str = "upload_disk_free_bytes";
#[cfg(feature = "cli")]
/// Bytes of that file system.
const DISK_BYTES: &str = "upload_disk_bytes";
#[cfg(feature = "cli")]
/// Records in a store, by `store` and `kind` (`unfinished`, `waiting`, or `other` for receipts).
const STORE_RECORDS: &str = "upload_store_records";
#[cfg(feature = "cli")]
/// Bytes of the uploads that these records are about, by `store` and `kind` (`unfinished` or `waiting`).
const STORE_UPLOAD_BYTES: &str = "upload_store_upload_bytes";
#[cfg(feature = "cli")]
/// Bytes that the records themselves take up, by `store`.
const STORE_BYTES: &str = "upload_store_bytes";
#[cfg(feature = "cli")]
/// Writers that are kept for clients that may come back.
const PARKED: &str = "uploads_parked";
/// Uploads in flight on a connection or by HTTP requests, by `slot` and `door`.
const UPLOADS: &str = "uploads_active";
/// Uploads that were taken up, also again after a resume, by `slot` and `door`.
const UPLOADS_STARTED_TOTAL: &str = "uploads_started_total";
/// Uploads that left their connection, by `slot`, `door`, `outcome` and `code`.
const UPLOADS_ENDED_TOTAL: &str = "uploads_ended_total";
/// Frames and messages refused, by `code`.
const REFUSED_TOTAL: &str = "upload_refused_total";
/// Calls of a store that failed or took too long.
const STORE_FAILURES_TOTAL: &str = "upload_store_failures_total";

/// Counts a connection as open until the answer is dropped.
pub(crate) fn connection_opened() -> OpenConnection {
    counter!(CONNECTIONS_TOTAL).increment(1);
    gauge!(CONNECTIONS).increment(1);
    OpenConnection
}

/// One open connection.
pub(crate) struct OpenConnection;

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1);
    }
}

/// Counts a visit as open until the answer is dropped.
#[cfg(feature = "doors")]
pub(crate) fn visit_opened() -> OpenVisit {
    gauge!(VISITS).increment(1);
    OpenVisit
}

/// One open visit.
#[cfg(feature = "doors")]
pub(crate) struct OpenVisit;

#[cfg(feature = "doors")]
impl Drop for OpenVisit {
    fn drop(&mut self) {
        gauge!(VISITS).decrement(1);
    }
}

/// Counts an answer to a request that uploads.
#[cfg(feature = "doors")]
pub(crate) fn http_request(door: &'static str, status: StatusCode) {
    let status = status.as_u16().to_string();
    counter!(HTTP_REQUESTS_TOTAL, "door" => door, "status" => status).increment(1);
}

/// Counts a request for a socket that was refused.
pub(crate) fn handshake_refused(status: StatusCode) {
    counter!(HANDSHAKES_REFUSED_TOTAL, "status" => status.as_u16().to_string()).increment(1);
}

/// How long the writers of a connection take, looked up once.
pub(crate) struct WriterTimes {
    write: Histogram,
    close: Histogram,
}

impl WriterTimes {
    pub(crate) fn new() -> Self {
        Self {
            write: histogram!(WRITE_SECONDS),
            close: histogram!(CLOSE_SECONDS),
        }
    }

    /// Notes how long a write took.
    pub(crate) fn wrote_in(&self, time: Duration) {
        self.write.record(time);
    }

    /// Notes how long it took to finish a file.
    pub(crate) fn closed_in(&self, time: Duration) {
        self.close.record(time);
    }
}

/// Notes how long it took to save a record.
pub(crate) fn saved_in(time: Duration) {
    histogram!(SAVE_SECONDS).record(time);
}

/// Counts a call of a hook.
pub(crate) fn hook_called(outcome: &'static str) {
    counter!(HOOK_CALLS_TOTAL, "outcome" => outcome).increment(1);
}

/// Notes how many calls of a hook are outstanding.
pub(crate) fn hook_calls_waiting(hook: &str, calls: usize) {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    gauge!(HOOK_CALLS_WAITING, "hook" => hook.to_owned()).set(f64::from(calls));
}

/// Counts calls of hooks that will never be made.
pub(crate) fn hooks_lost(calls: usize) {
    let calls = u64::try_from(calls).unwrap_or(u64::MAX);
    counter!(HOOKS_LOST_TOTAL).increment(calls);
}

/// The counters a session touches for every message, looked up once.
pub(crate) struct ConnectionMetrics {
    received_bytes: Counter,
    received_messages: Counter,
    buffered_bytes: Gauge,
    /// What of the gauge is this session's.
    buffered: u64,
}

/// What a connection of WebSockets is as a `door`; those of HTTP have names of their own.
pub(crate) const SOCKET: &str = "socket";
#[cfg(feature = "presign")]
/// The `door` of what goes straight into a bucket. The server learns of its beginning only.
pub(crate) const PRESIGNED: &str = "presigned";
/// The `slot` of slots that only `mount` names: they may be without number.
pub(crate) const MOUNTED: &str = "mounted";

/// Counts an upload as taken up, and as in flight until the answer is dropped.
pub(crate) fn upload_begun(slot: &str, door: &'static str) -> ActiveUpload {
    upload_started(slot, door);
    let active = gauge!(UPLOADS, "slot" => slot.to_owned(), "door" => door);
    active.increment(1);
    ActiveUpload(active)
}

/// Counts an upload as taken up.
pub(crate) fn upload_started(slot: &str, door: &'static str) {
    counter!(UPLOADS_STARTED_TOTAL, "slot" => slot.to_owned(), "door" => door).increment(1);
}

/// One upload in flight.
pub(crate) struct ActiveUpload(Gauge);

impl Drop for ActiveUpload {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl ConnectionMetrics {
    pub(crate) fn new() -> Self {
        Self {
            received_bytes: counter!(BYTES_RECEIVED_TOTAL),
            received_messages: counter!(MESSAGES_RECEIVED_TOTAL),
            buffered_bytes: gauge!(BUFFERED_BYTES),
            buffered: 0,
        }
    }

    /// Counts messages of together `bytes`.
    pub(crate) fn received(&self, messages: u64, bytes: u64) {
        self.received_messages.increment(messages);
        self.received_bytes.increment(bytes);
    }

    /// Says how many payload bytes the session buffers now.
    pub(crate) fn buffered(&mut self, bytes: u64) {
        if bytes != self.buffered {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            self.buffered_bytes
                .increment(bytes as f64 - self.buffered as f64);
            self.buffered = bytes;
        }
    }
}

impl Drop for ConnectionMetrics {
    fn drop(&mut self) {
        self.buffered(0);
    }
}

/// Notes how much of the disk is free, and how many writers are parked.
#[cfg(feature = "cli")]
pub(crate) fn stand(disk: Option<Disk>, parked: usize) {
    if let Some(disk) = disk {
        gauge!(DISK_FREE_BYTES).set(float(disk.free));
        gauge!(DISK_BYTES).set(float(disk.all));
    }
    let parked = u32::try_from(parked).unwrap_or(u32::MAX);
    gauge!(PARKED).set(f64::from(parked));
}

/// A file system, in bytes.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) free: u64,
    pub(crate) all: u64,
}

/// Notes what a store has.
#[cfg(feature = "cli")]
pub(crate) fn store_has(store: &'static str, counts: &upload_stores::Counts) {
    let counted = counts.unfinished.plus(counts.waiting).records;
    let other = counts.all.records.saturating_sub(counted);
    for (kind, records) in [
        ("unfinished", counts.unfinished.records),
        ("waiting", counts.waiting.records),
        ("other", other),
    ] {
        gauge!(STORE_RECORDS, "store" => store, "kind" => kind).set(float(records));
    }
    for (kind, bytes) in [
        ("unfinished", counts.unfinished.bytes),
        ("waiting", counts.waiting.bytes),
    ] {
        gauge!(STORE_UPLOAD_BYTES, "store" => store, "kind" => kind).set(float(bytes));
    }
    gauge!(STORE_BYTES, "store" => store).set(float(counts.all.bytes));
}

#[cfg(feature = "cli")]
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Counts an upload that ended.
pub(crate) fn ended(entry: &Entry, slot: &str, door: &'static str) {
    let (outcome, code) = match entry.status {
        EntryStatus::Complete => COMPLETE,
        EntryStatus::Cancelled => CANCELLED,
        EntryStatus::Failed(code) => ("failed", code.as_str()),
        EntryStatus::Uploading => DETACHED,
    };
    count_end(slot, door, outcome, code).increment(1);
}

/// Counts an upload that left and can be resumed.
pub(crate) fn detached(code: Option<Code>, slot: &str, door: &'static str) {
    let code = code.map_or(DETACHED.1, Code::as_str);
    count_end(slot, door, DETACHED.0, code).increment(1);
}

/// Counts a refused frame or message.
pub(crate) fn refused(code: Code) {
    counter!(REFUSED_TOTAL, "code" => code.as_str()).increment(1);
}

/// Counts a store call that failed.
pub(crate) fn store_failed() {
    counter!(STORE_FAILURES_TOTAL).increment(1);
}

/// The ends that every slot knows: `outcome` and `code`.
const COMPLETE: (&str, &str) = ("complete", "");
const CANCELLED: (&str, &str) = ("cancelled", "cancelled");
const DETACHED: (&str, &str) = ("detached", "");

fn count_end(slot: &str, door: &'static str, outcome: &'static str, code: &'static str) -> Counter {
    let slot = slot.to_owned();
    counter!(
        UPLOADS_ENDED_TOTAL,
        "slot" => slot, "door" => door, "outcome" => outcome, "code" => code
    )
}

/// Shows a slot from the start, with every end that an alert may wait for: its first one is a rise from 0 then.
pub(crate) fn show_slot(slot: &str, door: &'static str) {
    counter!(UPLOADS_STARTED_TOTAL, "slot" => slot.to_owned(), "door" => door).increment(0);
    gauge!(UPLOADS, "slot" => slot.to_owned(), "door" => door).increment(0);
    for (outcome, code) in [COMPLETE, CANCELLED, DETACHED] {
        count_end(slot, door, outcome, code).increment(0);
    }
    for code in [
        Code::StorageFailed,
        Code::StorageFull,
        Code::StorageDenied,
        Code::StorageThrottled,
    ] {
        count_end(slot, door, "failed", code.as_str()).increment(0);
    }
}

/// Shows a slot whose files go straight into a bucket.
#[cfg(feature = "presign")]
pub(crate) fn show_direct_slot(slot: &str) {
    counter!(UPLOADS_STARTED_TOTAL, "slot" => slot.to_owned(), "door" => PRESIGNED).increment(0);
}
