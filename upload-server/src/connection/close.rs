//! How a connection closes its socket.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use upload_core::DisconnectReason;
use upload_proto::close;

use super::{Connection, after, websocket::CLOSE_TIMEOUT};

/// As [`CLOSE_TIMEOUT`] where the server restarts, and everybody is sent away at once: enough to read why, also from
/// far away, and no more, since the process waits for it.
const CLOSE_TIMEOUT_AT_RESTART: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Closes with this code, behind everything that waits to be sent; the connection is lost with it.
    pub(super) fn close_socket(&mut self, code: u16) {
        let timeout = match code {
            close::RESTARTING => CLOSE_TIMEOUT_AT_RESTART,
            _ => CLOSE_TIMEOUT,
        };
        if let Some(socket) = self.phase.open() {
            socket.close(code);
            self.phase.end(DisconnectReason::Lost, after(timeout));
        }
    }
}
