//! Who signed in with a request, and what they may do, as middleware in front found out.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request::Parts;
use upload_core::SessionLimits;

use crate::slots::{
    answer::{Authorization, Denial, asked},
    handlers::{Authorize, both},
    slot::{AuthorizeRequest, Slot, Slots},
};

/// What middleware found out about who sent a request; it goes before [`UploadsBuilder::owner`] and the
/// cookie.
///
/// Put it into the request's extensions, in a layer around [`Uploads::router`]: unlike an owner closure, the
/// layer may wait for somebody's answer.
///
/// [`UploadsBuilder::owner`]: crate::UploadsBuilder::owner
/// [`Uploads::router`]: crate::Uploads::router
#[derive(Clone, Debug)]
pub enum SignIn {
    /// The request belongs to this visitor.
    Visitor(Arc<Visitor>),
    /// The request belongs to no one: it is answered with 401, a WebSocket is closed with 4401.
    Unauthenticated,
    /// Who sent it cannot be found out at present: it is answered with 503. A `HEAD` that asks how far an
    /// upload has come is answered with 423, after which tus clients keep the upload and come again.
    Unavailable,
}

/// The sender of a request is known and may not upload, as the sign-in of the ready server found out.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotAllowed;

impl SignIn {
    pub(crate) fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    /// Returns the visitor of a request, if somebody signed in.
    pub(crate) fn visitor(parts: &Parts) -> Option<&Arc<Visitor>> {
        match Self::of(parts)? {
            Self::Visitor(visitor) => Some(visitor),
            Self::Unauthenticated | Self::Unavailable => None,
        }
    }
}

/// Somebody who signed in, and what they may do.
#[derive(Clone)]
#[must_use]
pub struct Visitor {
    owner: String,
    slots: Option<BTreeSet<String>>,
    max_file_size: Option<u64>,
    max_uploads: Option<u32>,
    max_bytes: Option<u64>,
    max_stored_bytes: Option<u64>,
    until: Option<SystemTime>,
    authorize: Option<Authorize>,
}

impl Visitor {
    /// Makes a visitor of this owner, at most 255 bytes, who may do what anyone may.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            slots: None,
            max_file_size: None,
            max_uploads: None,
            max_bytes: None,
            max_stored_bytes: None,
            until: None,
            authorize: None,
        }
    }

    /// Leaves these slots, of those there are.
    pub fn slots<S: Into<String>>(mut self, slots: impl IntoIterator<Item = S>) -> Self {
        self.slots = Some(slots.into_iter().map(Into::into).collect());
        self
    }

    /// Bounds the size of each file, in bytes, below what its slot takes.
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.max_file_size = Some(bytes);
        self
    }

    /// Bounds the unfinished uploads at a time, below what every owner has.
    pub fn max_uploads(mut self, uploads: u32) -> Self {
        self.max_uploads = Some(uploads);
        self
    }

    /// Bounds the declared bytes of unfinished uploads together, below what every owner has.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Bounds the bytes of unfinished uploads and of those that wait, together, below what every owner has.
    pub fn max_stored_bytes(mut self, bytes: u64) -> Self {
        self.max_stored_bytes = Some(bytes);
        self
    }

    /// Ends the sign-in at that time: sockets are closed with 4401, and nothing begins or completes. What came of an
    /// upload that can be resumed is kept, and continues with another sign-in.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.until = Some(end);
        self
    }

    /// Asks `authorize` about every upload, besides what slot and server ask; see
    /// [`SlotOptions::authorize`](crate::SlotOptions::authorize).
    pub fn authorize<F, R>(mut self, authorize: F) -> Self
    where
        F: FnOnce(AuthorizeRequest) -> R + Clone + Send + Sync + 'static,
        R: Future<Output: Authorization> + Send + 'static,
    {
        self.authorize = Some(asked(authorize));
        self
    }

    /// The same with an answer that may be that no one knows.
    #[cfg(feature = "cli")]
    pub(crate) fn asking(mut self, authorize: Authorize) -> Self {
        self.authorize = Some(authorize);
        self
    }

    /// Returns who the visitor is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns whether this visitor may use a slot of this name.
    pub fn may_use(&self, slot: &str) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.contains(slot))
    }

    /// Returns how long the sign-in lasts from now on; `None` for ever.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let until = self.until?;
        Some(until.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Returns what is left of the server's limits.
    pub(crate) fn limits(&self, mut limits: SessionLimits) -> SessionLimits {
        if let Some(uploads) = self.max_uploads {
            limits.max_uploads_per_owner = limits.max_uploads_per_owner.min(uploads);
        }
        if let Some(bytes) = self.max_bytes {
            let most = limits.max_bytes_per_owner.unwrap_or(u64::MAX);
            limits.max_bytes_per_owner = Some(most.min(bytes));
        }
        if let Some(bytes) = self.max_stored_bytes {
            let most = limits.max_stored_bytes_per_owner.unwrap_or(u64::MAX);
            limits.max_stored_bytes_per_owner = Some(most.min(bytes));
        }
        limits
    }

    /// Returns what is left of the slots.
    pub(crate) fn narrow(&self, slots: Slots) -> Slots {
        let asks = self.asks();
        if self.slots.is_none() && self.max_file_size.is_none() && asks.is_none() {
            return slots;
        }
        let slots = slots.iter().filter(|(name, _)| self.may_use(name));
        let slots = slots.map(|(name, slot)| (name.clone(), self.narrowed(slot, asks.as_ref())));
        Arc::new(slots.collect())
    }

    fn narrowed(&self, slot: &Slot, asks: Option<&Authorize>) -> Slot {
        let mut slot = slot.clone();
        let rules = Arc::make_mut(&mut slot.rules);
        if let Some(bytes) = self.max_file_size {
            rules.max_file_size = rules.max_file_size.min(bytes);
        }
        if let Some(asks) = asks {
            rules.authorize = true;
            slot.authorize = Some(both(slot.authorize.take(), asks));
        }
        slot
    }

    /// Returns what is asked about every upload of this visitor.
    fn asks(&self) -> Option<Authorize> {
        let Some(until) = self.until else {
            return self.authorize.clone();
        };
        let lasts: Authorize = Arc::new(move |_| {
            let lasts = SystemTime::now() < until;
            let answer = lasts.then_some(()).ok_or(Denial::SignedOut);
            Box::pin(std::future::ready(answer))
        });
        Some(match &self.authorize {
            Some(authorize) => both(Some(lasts), authorize),
            None => lasts,
        })
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("owner", &self.owner)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
