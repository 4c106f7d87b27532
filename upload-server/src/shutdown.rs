//! The end of a server: clients are told, uploads come to rest, and then connections close.

use std::{io, time::Duration};

use tokio::time::{Instant, timeout};

use crate::{shared::Limits, uploads::Uploads};

/// How long connections have to end once they are closed.
const CLOSE: Duration = Duration::from_millis(400);
/// How long each file has to close where connections took all of the time.
const FILE_CLOSE_MIN: Duration = Duration::from_millis(25);

/// A shutdown under way, and the time it may take.
pub(crate) struct Ending {
    begun: Instant,
    patience: Duration,
}

impl Ending {
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

impl Uploads {
    /// Drains: tells clients to come back later, has uploads flushed and their records saved, and
    /// closes what is left after [`Limits::drain`](crate::Limits::drain).
    ///
    /// New connections are answered with 503 from now on. Answers whether everything came to rest;
    /// with the default limits it takes 3 seconds at most. Call it before the program ends: a
    /// graceful shutdown of the HTTP server does not know upgraded connections.
    pub async fn shutdown(&self) -> bool {
        let shared = &self.app.shared;
        let ending = Ending::begin(&shared.limits);
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
            ending.close("journal", events.journal.close()).await;
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use upload_writers::DiscardWriterFactory;

    use super::*;
    use crate::options::SlotOptions;

    #[tokio::test(start_paused = true)]
    async fn a_journal_whose_disk_hangs_is_not_waited_for() {
        let slot = SlotOptions::new().writer(DiscardWriterFactory);
        let uploads = Uploads::builder().secret([7; 32]).webhook("secret");
        let uploads = uploads.allow_upload("a", slot).build().expect("good");
        let events = uploads.app.s3_events.as_ref().expect("a webhook");
        let (answer, answered) = mpsc::channel::<()>();
        let journal = events.journal.clone();
        let hanging = tokio::spawn(async move {
            let work = move |_: &_| Ok(answered.recv().is_ok());
            journal.write(work).await
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let ended = timeout(Duration::from_secs(60), uploads.shutdown()).await;
        assert_eq!(ended, Ok(true));
        assert!(begun.elapsed() <= Duration::from_secs(3));
        drop(answer);
        assert_eq!(hanging.await.expect("no panic"), Ok(false));
    }
}
