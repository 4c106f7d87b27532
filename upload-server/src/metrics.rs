//! What the server counts, and how Prometheus reads it.

use axum::http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Open WebSocket connections.
const CONNECTIONS: &str = "upload_connections";
/// WebSocket connections opened since the start.
const CONNECTIONS_TOTAL: &str = "upload_connections_total";
/// Handshakes refused since the start, by HTTP status.
const HANDSHAKES_REFUSED_TOTAL: &str = "upload_handshakes_refused_total";

/// Calls of hooks since the start, by outcome.
const HOOK_CALLS_TOTAL: &str = "upload_hook_calls_total";
/// Calls of hooks that will never be made.
const HOOKS_LOST_TOTAL: &str = "upload_hooks_lost_total";

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
        let handle = PrometheusBuilder::new().install_recorder()?;
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
}
