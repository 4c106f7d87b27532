//! How Prometheus reads what the server counts.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::{
    BUFFERED_BYTES, BYTES_RECEIVED_TOTAL, CLOSE_SECONDS, CONNECTIONS, CONNECTIONS_TOTAL,
    DISK_BYTES, DISK_FREE_BYTES, HANDSHAKES_REFUSED_TOTAL, HOOK_CALLS_TOTAL, HOOK_CALLS_WAITING,
    HOOKS_LOST_TOTAL, HTTP_REQUESTS_TOTAL, MESSAGES_RECEIVED_TOTAL, PARKED, REFUSED_TOTAL,
    SAVE_SECONDS, STORE_BYTES, STORE_FAILURES_TOTAL, STORE_RECORDS, STORE_UPLOAD_BYTES, UPLOADS,
    UPLOADS_ENDED_TOTAL, UPLOADS_STARTED_TOTAL, VISITS, WRITE_SECONDS,
};

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS_SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// How often samples are put into their buckets, so that they do not pile up where nobody reads.
const UPKEEP: Duration = Duration::from_secs(5);

/// Reads what this process counted.
#[derive(Clone, Debug)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// Becomes the recorder of this process; once per process.
    ///
    /// # Errors
    ///
    /// The process has a recorder already.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS_SECONDS)?
            .install_recorder()?;
        describe();
        begin();
        Ok(Self(handle))
    }

    /// Returns everything as Prometheus text.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Runs until the process ends, and tidies up every few seconds; otherwise measurements pile up until they are read.
    pub async fn keep_up(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Shows from the start what has no labels, so that nobody takes a missing line for a broken server.
fn begin() {
    for name in [CONNECTIONS, VISITS, BUFFERED_BYTES] {
        gauge!(name).set(0.0);
    }
    for name in [
        CONNECTIONS_TOTAL,
        HOOKS_LOST_TOTAL,
        BYTES_RECEIVED_TOTAL,
        MESSAGES_RECEIVED_TOTAL,
        STORE_FAILURES_TOTAL,
    ] {
        counter!(name).increment(0);
    }
}

/// Says of every metric what it is.
fn describe() {
    for (name, unit, meaning) in [
        (
            HOOK_CALLS_WAITING,
            Unit::Count,
            "calls of hooks that are outstanding",
        ),
        (CONNECTIONS, Unit::Count, "open WebSocket connections"),
        (
            DISK_FREE_BYTES,
            Unit::Bytes,
            "bytes free on the file system of unfinished files",
        ),
        (
            DISK_BYTES,
            Unit::Bytes,
            "bytes of the file system of unfinished files",
        ),
        (
            STORE_RECORDS,
            Unit::Count,
            "records in a store, by store and kind",
        ),
        (
            STORE_UPLOAD_BYTES,
            Unit::Bytes,
            "bytes of uploads with a record, by store and kind",
        ),
        (
            STORE_BYTES,
            Unit::Bytes,
            "bytes that records take up, by store",
        ),
        (
            PARKED,
            Unit::Count,
            "writers kept for clients that may come back",
        ),
        (VISITS, Unit::Count, "uploads that HTTP requests are about"),
        (
            BUFFERED_BYTES,
            Unit::Bytes,
            "payload that waits for writers",
        ),
        (
            UPLOADS,
            Unit::Count,
            "unfinished uploads in flight, by slot and door",
        ),
    ] {
        describe_gauge!(name, unit, meaning);
    }
    for (name, unit, meaning) in [
        (
            CONNECTIONS_TOTAL,
            Unit::Count,
            "WebSocket connections opened",
        ),
        (
            HANDSHAKES_REFUSED_TOTAL,
            Unit::Count,
            "handshakes refused, by status",
        ),
        (
            HTTP_REQUESTS_TOTAL,
            Unit::Count,
            "HTTP requests that upload, by door and status",
        ),
        (HOOK_CALLS_TOTAL, Unit::Count, "calls of hooks, by outcome"),
        (
            HOOKS_LOST_TOTAL,
            Unit::Count,
            "calls of hooks that are never made",
        ),
        (
            BYTES_RECEIVED_TOTAL,
            Unit::Bytes,
            "bytes of messages received",
        ),
        (MESSAGES_RECEIVED_TOTAL, Unit::Count, "messages received"),
        (
            UPLOADS_STARTED_TOTAL,
            Unit::Count,
            "uploads taken up, also after a resume, by slot and door",
        ),
        (
            UPLOADS_ENDED_TOTAL,
            Unit::Count,
            "uploads that left, by slot, door, outcome and code",
        ),
        (
            REFUSED_TOTAL,
            Unit::Count,
            "frames and messages refused, by code",
        ),
        (
            STORE_FAILURES_TOTAL,
            Unit::Count,
            "calls of a store that failed",
        ),
    ] {
        describe_counter!(name, unit, meaning);
    }
    for (name, meaning) in [
        (WRITE_SECONDS, "time of a writer's write"),
        (CLOSE_SECONDS, "time to finish a file"),
        (SAVE_SECONDS, "time to save a record"),
        ("upload_part_seconds", "time to store one part"),
    ] {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
}
