//! The end of a server: clients are told, uploads come to rest, and then connections close.

use std::{io, time::Duration};

use tokio::time::{Instant, timeout};

use super::{limits::Limits, shared::Shared};

/// How long connections have to end once they are closed.
const CLOSE: Duration = Duration::from_millis(400);
/// How long each file has to close where connections took all of the time.
const FILE_CLOSE_MIN: Duration = Duration::from_millis(25);

/// A shutdown under way, and the time it may take.
pub(crate) struct ShutdownDeadline {
    begun: Instant,
    patience: Duration,
}

impl ShutdownDeadline {
    pub(crate) fn begin(limits: &Limits) -> Self {
        Self {
            begun: Instant::now(),
            patience: limits.drain.saturating_add(CLOSE),
        }
    }

    /// Waits for a file to be closed while there is time: a disk may hang, and what is on it
    /// serves after a crash as well.
    pub(crate) async fn close<T>(&self, file: &str, close: impl Future<Output = T>) -> Option<T> {
        let left = self.patience.saturating_sub(self.begun.elapsed());
        let closed = timeout(left.max(FILE_CLOSE_MIN), close).await.ok();
        if closed.is_none() {
            tracing::warn!(file, "a file did not close in time");
        }
        closed
    }
}

impl Shared {
    /// Drains: tells clients to come back later, has uploads flushed and their records saved, and
    /// closes what is left in time. Answers whether everything came to rest.
    pub(crate) async fn drain(&self) -> bool {
        self.draining.cancel();
        self.tracker.close();
        let mut at_rest = timeout(self.limits.drain, self.tracker.wait())
            .await
            .is_ok();
        if !at_rest {
            tracing::warn!(
                connections = self.tracker.len(),
                "connections did not end in time and are closed"
            );
            self.closing.cancel();
            at_rest = timeout(CLOSE, self.tracker.wait()).await.is_ok();
        }
        self.registry.release_all();
        at_rest
    }
}

/// Waits until the process is told to end: SIGTERM, or SIGINT from a terminal.
///
/// Called within a runtime, it counts from the call on, so that a signal between the call and the first poll is
/// not lost and does not kill the process.
///
/// # Errors
///
/// The process cannot listen for signals.
pub fn terminated() -> impl Future<Output = io::Result<()>> + Send {
    let signals = tokio::runtime::Handle::try_current()
        .is_ok()
        .then(Signals::listen);
    async move {
        let signals = signals.unwrap_or_else(Signals::listen)?;
        signals.received().await
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

/// Where there is only the terminal's signal, it is listened for when it is waited for.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn received(self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
