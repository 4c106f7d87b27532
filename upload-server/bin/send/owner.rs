//! As whom a run sends: all its connections belong to one owner.

use std::{cell::RefCell, time::Duration};

use tokio::{sync::watch, time::timeout};

/// How long it is waited for: the first file may be a pipe without a writer.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The owner of a run, who is known once the first connection is there.
pub(super) struct Owner {
    /// The cookies of the first connection.
    cookie: RefCell<Option<String>>,
    is_known: watch::Sender<bool>,
}

impl Owner {
    /// Begins without one.
    pub(super) fn new() -> Self {
        Self {
            cookie: RefCell::default(),
            is_known: watch::Sender::new(false),
        }
    }

    /// Notes whom the first connection belongs to; `None` where the server gives no cookie.
    pub(super) fn is_known(&self, cookie: Option<&str>) {
        let mut known = self.cookie.borrow_mut();
        if known.is_none() {
            *known = cookie.map(str::to_owned);
        }
        self.is_known.send_replace(true);
    }

    /// Returns the cookie of later connections.
    pub(super) fn cookie(&self) -> Option<String> {
        self.cookie.borrow().clone()
    }

    /// Waits a moment until a connection was made, or there will be none.
    pub(super) async fn known(&self) {
        let mut is_known = self.is_known.subscribe();
        // The sender lives as long as this; without an answer each connection is for itself.
        let _ = timeout(WAIT_MAX, is_known.wait_for(|is_known| *is_known)).await;
    }
}
