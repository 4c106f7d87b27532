//! The end of a server: clients are told, uploads come to rest, and then connections close.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::uploads::Uploads;

/// How long connections have to end once they are closed.
const CLOSE: Duration = Duration::from_millis(400);

impl Uploads {
    /// Drains: tells clients to come back later, has uploads flushed and their records saved, and
    /// closes what is left after [`Limits::drain`](crate::Limits::drain).
    ///
    /// New connections are answered with 503 from now on. Answers whether everything came to rest;
    /// with the default limits it takes 3 seconds at most. Call it before the program ends: a
    /// graceful shutdown of the HTTP server does not know upgraded connections.
    pub async fn shutdown(&self) -> bool {
        let shared = &self.app.shared;
        shared.draining.cancel();
        shared.tracker.close();
        let mut at_rest = timeout(shared.limits.drain, shared.tracker.wait())
            .await
            .is_ok();
        if !at_rest {
            tracing::warn!(
                connections = shared.tracker.len(),
                "connections did not end in time and are closed"
            );
            shared.closing.cancel();
            at_rest = timeout(CLOSE, shared.tracker.wait()).await.is_ok();
        }
        shared.hub.release_all();
        if let Some(events) = &self.app.s3_events {
            events.journal.close().await;
        }
        at_rest
    }
}

/// Waits until the process is told to end: SIGTERM, or SIGINT from a terminal.
///
/// # Errors
///
/// The process cannot listen for signals.
pub async fn terminated() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
