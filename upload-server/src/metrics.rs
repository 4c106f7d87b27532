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
        Ok(Self(handle))
    }

    /// Returns everything as Prometheus text.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
