//! What the server counts, and how Prometheus reads it.

use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Open WebSocket connections.
const CONNECTIONS: &str = "upload_connections";
/// WebSocket connections opened since the start.
const CONNECTIONS_TOTAL: &str = "upload_connections_total";
/// Handshakes refused since the start, by HTTP status.
const HANDSHAKES_REFUSED_TOTAL: &str = "upload_handshakes_refused_total";

/// How long writers took for what was received meanwhile.
const WRITE_SECONDS: &str = "upload_write_seconds";
/// How long writers took to make a finished file durable and give it its name.
const CLOSE_SECONDS: &str = "upload_close_seconds";
/// How long stores took to save a record, also where they failed.
const SAVE_SECONDS: &str = "upload_save_seconds";

/// Calls of hooks since the start, by outcome.
const HOOK_CALLS_TOTAL: &str = "upload_hook_calls_total";
/// Calls of hooks that will never be made.
const HOOKS_LOST_TOTAL: &str = "upload_hooks_lost_total";

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS_SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// How often samples are put into their buckets, so that they do not pile up where nobody reads.
const UPKEEP: Duration = Duration::from_secs(5);

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

/// Counts calls of hooks that will never be made.
pub(crate) fn hooks_lost(calls: usize) {
    let calls = u64::try_from(calls).unwrap_or(u64::MAX);
    counter!(HOOKS_LOST_TOTAL).increment(calls);
}

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
        describe_gauge!(CONNECTIONS, Unit::Count, "open WebSocket connections");
        describe_counter!(
            CONNECTIONS_TOTAL,
            Unit::Count,
            "WebSocket connections opened"
        );
        describe_counter!(
            HANDSHAKES_REFUSED_TOTAL,
            Unit::Count,
            "handshakes refused, by status"
        );
        describe_histogram!(WRITE_SECONDS, Unit::Seconds, "time of a writer's write");
        describe_histogram!(CLOSE_SECONDS, Unit::Seconds, "time to finish a file");
        describe_histogram!(SAVE_SECONDS, Unit::Seconds, "time to save a record");
        describe_counter!(HOOK_CALLS_TOTAL, Unit::Count, "calls of hooks, by outcome");
        describe_counter!(
            HOOKS_LOST_TOTAL,
            Unit::Count,
            "calls of hooks that are never made"
        );
        Ok(Self(handle))
    }

    /// Returns everything as Prometheus text.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Tidies up every few seconds, for ever; without it, what is measured piles up until it is read.
    pub async fn keep_up(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}
