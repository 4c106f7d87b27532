//! What a connection of any kind needs to carry out what its core asks for.
//!
//! A WebSocket and the visit of an HTTP request differ in how they hear their client and what they
//! answer. Writers, stores, the application, the registry and the budget are the same for both: they
//! are here, and `effects` says what is done with them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{task::JoinHandle, time::Instant};
use upload_core::{Door, EntryId, Holder, Now, SessionConfig, StorageFault, WriterEvent};
use upload_proto::UploadRef;

use super::{
    ConnectionConfig,
    pending::{Input, Operation},
    record_stores::Stores,
    registration::Registration,
};
use crate::{
    driver::{DriverEvent, Drivers},
    metrics::ConnectionMetrics,
    server::{
        budget::{Share, Unfreeable},
        registry::ParkedWriter,
        shared::Shared,
    },
    slots::events::Command,
};

/// Smallest window a short budget leaves an upload, in bytes; the core keeps two chunks.
const WINDOW_MIN: u64 = 128 * 1024;
/// Most bytes of a request that wait for their writer.
#[cfg(feature = "doors")]
const REQUEST_WINDOW_MAX: u64 = 256 * 1024;
/// How often a connection that waits for a claim looks whether others leave theirs unused.
const CLAIM_LOOK: Duration = Duration::from_secs(1);
/// Completion handlers of one connection that run at a time before it is not read from.
const COMPLETIONS_MAX: usize = 16;

/// What came back for a core, or comes from others of the process.
pub(crate) enum Answer {
    /// What a store, the application or another connection was asked for.
    Input(Input),
    Driver(DriverEvent),
    /// A completion handler ended, so there may be room to read again.
    Completion,
    /// Another connection takes this upload over.
    Evict(UploadRef),
    Command(Command),
}

/// A core, and everything that carries out what it asks for.
pub(crate) struct Host<R> {
    pub(super) shared: Arc<Shared>,
    pub(crate) config: ConnectionConfig,
    pub(super) number: u64,
    /// The time of this step: the clock is read once per message or answer, not for every look at it.
    pub(crate) now: Now,
    /// When the time of day was read.
    dated: Instant,
    pub(crate) core: R,
    pub(super) drivers: Drivers,
    pub(super) pending_operations: FuturesUnordered<Operation>,
    /// Completion handlers that run; the connection does not wait for their end.
    pub(super) completions: FuturesUnordered<JoinHandle<()>>,
    /// Since when each upload is held.
    pub(super) attached: HashMap<EntryId, Instant>,
    pub(super) stores: Stores,
    pub(super) registration: Registration,
    pub(super) share: Share,
    pub(super) metrics: ConnectionMetrics,
    /// Payload bytes that wait for their checksum.
    held_back: u64,
    /// How many more bytes are to come until those have it.
    to_come: u64,
}

/// How often the time of day is read; what it is for has its resolution.
const DATE_EVERY: Duration = Duration::from_millis(1);

/// Returns the time, as the core receives it.
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        // Tokio's clock, which tests can pause.
        instant: Instant::now().into_std(),
        unix_ms: since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
    }
}

impl<R: Door> Host<R> {
    /// Makes the host of a core that `make` makes of its configuration.
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: ConnectionConfig,
        number: u64,
        make: impl FnOnce(SessionConfig, Now) -> R,
    ) -> Self {
        let now = now();
        let limits = &shared.limits;
        let stores = Stores::new(&config.slots, &shared);
        let rules = config.slots.iter();
        let session = SessionConfig {
            slots: rules
                .map(|(name, slot)| (name.clone(), Arc::clone(&slot.rules)))
                .collect::<BTreeMap<_, _>>(),
            plain: config.plain,
            holder: Holder {
                boot: shared.boot.clone(),
                session: number,
            },
            tally: shared.owner_counts.of(&config.owner, config.address),
            limits: config.limits.clone(),
            checksum: limits.checksum,
            announces: shared.hooks.is_some(),
        };
        Self {
            core: make(session, now),
            now,
            dated: Instant::from_std(now.instant),
            drivers: Drivers::default(),
            pending_operations: FuturesUnordered::new(),
            completions: FuturesUnordered::new(),
            attached: HashMap::new(),
            stores,
            registration: Registration::new(
                Arc::clone(&shared),
                config.owner.as_str().into(),
                number,
            ),
            share: shared.budget.share(),
            metrics: ConnectionMetrics::new(),
            held_back: 0,
            to_come: 0,
            shared,
            config,
            number,
        }
    }

    /// Begins a step.
    pub(crate) fn look_at_clock(&mut self) {
        let instant = Instant::now();
        if instant.saturating_duration_since(self.dated) < DATE_EVERY {
            self.now.instant = instant.into_std();
        } else {
            self.dated = instant;
            self.now = now();
        }
    }

    /// Returns the time of this step.
    pub(crate) fn instant(&self) -> Instant {
        Instant::from_std(self.now.instant)
    }

    /// Has idle writers take what waits, and returns the next thing that came back.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = if let Poll::Ready(event) = self.drivers.poll(cx) {
            Answer::Driver(event)
        } else if let Poll::Ready(Some(input)) = self.pending_operations.poll_next_unpin(cx) {
            Answer::Input(input)
        } else if let Poll::Ready(Some(_)) = self.completions.poll_next_unpin(cx) {
            Answer::Completion
        } else if let Poll::Ready(upload) = self.registration.poll_eviction(cx) {
            Answer::Evict(upload)
        } else if let Poll::Ready(command) = self.registration.poll_command(cx) {
            Answer::Command(command)
        } else {
            return Poll::Pending;
        };
        self.look_at_clock();
        Poll::Ready(answer)
    }

    /// Has idle writers take what waits where it is enough for them, and returns what one of them did.
    pub(crate) fn poll_writers(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.drivers.poll_reading(cx).map(Answer::Driver)
    }

    /// Takes what came back; the caller drains the core then.
    pub(crate) fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Input(input) => self.apply(input),
            Answer::Driver(event) => self.take_driver_event(event),
            Answer::Completion => {}
            Answer::Evict(upload) => self.core.handle_evict(upload, self.now),
            Answer::Command(command) => self.command(command),
        }
    }

    fn take_driver_event(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Event { entry, event } => {
                if matches!(event, WriterEvent::Failed(StorageFault::Full)) {
                    self.shared.owner_counts.refuse();
                }
                self.core.handle_writer(entry, event, self.now);
            }
            DriverEvent::Parked {
                entry,
                writer,
                parked,
            } => {
                if let Some(upload) = self.registration.newest(entry) {
                    let key = self.registration.key(upload);
                    let mut share = self.shared.budget.share();
                    let bytes = writer.buffered().bytes;
                    share.hold(bytes);
                    share.keep(bytes);
                    let writer = ParkedWriter {
                        writer,
                        parked,
                        share,
                    };
                    self.shared.registry.park(key, self.number, writer);
                }
                self.registration.rest(entry);
            }
            DriverEvent::Rested { entry } => self.registration.rest(entry),
        }
    }

    /// Returns whether memory and completion handlers leave room to read more; the task is woken
    /// when they do.
    pub(crate) fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        if self.completions.len() >= COMPLETIONS_MAX {
            return false;
        }
        let unfreeable = || Unfreeable {
            awaiting_verdict: self.core.gated(),
            partial_bytes: self
                .drivers
                .held()
                .partial_bytes
                .saturating_add(self.held_back),
            missing: self.drivers.held().missing.saturating_add(self.to_come),
        };
        self.share.poll_room(unfreeable, cx).is_ready()
    }

    /// Tells the budget what is buffered.
    pub(crate) fn account(&mut self) {
        let buffered = self.buffered();
        self.share.hold(buffered);
        self.share.open(self.core.opening());
        self.metrics.buffered(buffered);
    }

    /// Returns the payload bytes that wait for this connection's writers, or are in their memory.
    pub(crate) fn buffered(&self) -> u64 {
        let orphaned = self.drivers.orphaned_bytes();
        let held = self.drivers.held().bytes;
        let waiting = self.core.buffered().saturating_add(orphaned);
        waiting.saturating_add(held).saturating_add(self.held_back)
    }

    /// Returns the window that the budget leaves an upload, in bytes.
    pub(crate) fn window(&self) -> u64 {
        self.window_of(self.shared.limits.session.largest_window())
    }

    /// Returns how many bytes of a request may wait for their writer. TCP fills a long link by itself, so they only
    /// have to last until the writer is ready again.
    #[cfg(feature = "doors")]
    pub(crate) fn request_window(&self) -> u64 {
        let most = self.shared.limits.session.window_bytes;
        self.window_of(most.min(REQUEST_WINDOW_MAX))
    }

    fn window_of(&self, most: u64) -> u64 {
        let least = WINDOW_MIN.min(self.shared.limits.session.window_bytes);
        self.share.window(least, most)
    }

    /// Returns when the host has something to do by time alone.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.share.is_waiting_for_claim().then(|| {
            let now = Instant::now();
            now.checked_add(CLAIM_LOOK).unwrap_or(now)
        })
    }

    /// Counts messages, or pieces of content, of together `bytes`.
    pub(crate) fn received(&self, pieces: u64, bytes: u64) {
        self.metrics.received(pieces, bytes);
    }

    /// Says how many payload bytes wait for their checksum, and how many more are to come until they have it.
    #[cfg(feature = "doors")]
    pub(crate) fn hold_back(&mut self, bytes: u64, to_come: u64) {
        (self.held_back, self.to_come) = (bytes, to_come);
    }

    /// Returns how long a client may send nothing although it could.
    #[cfg(feature = "doors")]
    pub(crate) fn content_pause(&self) -> Duration {
        self.shared.limits.session.idle_upload
    }

    /// Returns whether no writer and no answer is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.drivers.are_at_rest() && self.pending_operations.is_empty()
    }
}
