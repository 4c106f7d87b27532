//! Who holds which upload in this process, and the writers parked between two connections.
//!
//! Locks are held for a look-up and never across an await; writers are dropped
//! outside of them, since dropping one may touch storage.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use upload_core::{Fence, Parked};
use upload_proto::UploadRef;
use upload_writers::CheckedWriter;

use super::{budget::Share, parked::Parking};
use crate::slots::events::Command;

/// Requests to give an upload up that wait for one session at most.
pub(crate) const EVICTIONS_MAX: usize = 32;

/// One upload of one owner.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    owner: Arc<str>,
    upload: UploadRef,
}

impl Key {
    pub(crate) fn new(owner: Arc<str>, upload: UploadRef) -> Self {
        Self { owner, upload }
    }

    #[cfg(feature = "cli")]
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    #[cfg(feature = "cli")]
    pub(crate) fn upload(&self) -> UploadRef {
        self.upload
    }
}

/// How to reach a session that holds uploads.
#[derive(Clone)]
pub(crate) struct Mailbox {
    /// The session's number.
    pub(crate) session: u64,
    /// Takes requests to give an upload up.
    pub(crate) evictions: mpsc::Sender<UploadRef>,
    /// Takes what handlers ask for, so that other rooms can ask it too.
    pub(crate) commands: mpsc::Sender<Command>,
}

/// A quiet writer, and what the core wants back with it.
pub(crate) struct ParkedWriter {
    pub(crate) writer: CheckedWriter,
    pub(crate) parked: Box<Parked>,
    /// What of the budget it holds.
    pub(crate) share: Share,
}

/// Where the sessions of one process meet.
pub(crate) struct Registry {
    holders: Mutex<HashMap<Key, Holder>>,
    parked: Mutex<Parking<Fence, ParkedWriter>>,
}

struct Holder {
    mailbox: Mailbox,
    /// Cancelled when the session has let go; made for the first who waits for that.
    left: Option<CancellationToken>,
}

impl Holder {
    fn has_left(self) {
        if let Some(left) = self.left {
            left.cancel();
        }
    }
}

impl Registry {
    /// Makes a registry that parks at most `parked_max` writers, which hold at most `held_max` bytes
    /// together, each for `parked_for` at most.
    pub(crate) fn new(parked_max: usize, held_max: u64, parked_for: Duration) -> Self {
        Self {
            holders: Mutex::default(),
            parked: Mutex::new(Parking::new(parked_max, held_max, parked_for)),
        }
    }

    /// Notes that a session holds an upload; a session noted before is forgotten.
    pub(crate) fn attach(&self, key: Key, mailbox: Mailbox) {
        let holder = Holder {
            mailbox,
            left: None,
        };
        if let Some(before) = lock(&self.holders).insert(key, holder) {
            before.has_left();
        }
    }

    /// Notes that a session is about to hold an upload, unless another one holds it; returns
    /// whether it may.
    pub(crate) fn reserve(&self, key: Key, mailbox: Mailbox) -> bool {
        match lock(&self.holders).entry(key) {
            Entry::Occupied(holder) => holder.get().mailbox.session == mailbox.session,
            Entry::Vacant(place) => {
                place.insert(Holder {
                    mailbox,
                    left: None,
                });
                true
            }
        }
    }

    /// Notes that a session let go of an upload, unless another one holds it by now.
    pub(crate) fn leave(&self, key: &Key, session: u64) {
        let mut holders = lock(&self.holders);
        if holders
            .get(key)
            .is_some_and(|holder| holder.mailbox.session == session)
            && let Some(holder) = holders.remove(key)
        {
            holder.has_left();
        }
    }

    /// Returns how to reach the session that holds an upload.
    pub(crate) fn holder(&self, key: &Key) -> Option<Mailbox> {
        lock(&self.holders)
            .get(key)
            .map(|holder| holder.mailbox.clone())
    }

    /// Returns every upload that is held, and how to reach who holds it.
    #[cfg(feature = "cli")]
    pub(crate) fn held(&self) -> Vec<(Key, Mailbox)> {
        let holders = lock(&self.holders);
        let held = holders.iter();
        held.map(|(key, holder)| (key.clone(), holder.mailbox.clone()))
            .collect()
    }

    /// Asks the session that holds an upload to give it up, and waits until it
    /// has, but no longer than `patience`. At once where nobody else than `asker` holds it.
    pub(crate) async fn evict(&self, key: &Key, asker: u64, patience: Duration) {
        let (evictions, left) = {
            let mut holders = lock(&self.holders);
            match holders.get_mut(key) {
                Some(holder) if holder.mailbox.session != asker => {
                    let left = holder.left.get_or_insert_default();
                    (holder.mailbox.evictions.clone(), left.clone())
                }
                _ => return,
            }
        };
        let given_up = async {
            // A session that is gone closes its mailbox, and its uploads left with it.
            if evictions.send(key.upload).await.is_ok() {
                left.cancelled().await;
            }
        };
        if tokio::time::timeout(patience, given_up).await.is_err() {
            tracing::warn!(upload = %key.upload, "a session does not give its upload up");
        }
    }

    /// Keeps a quiet writer for a return; if there is no place, the oldest is released.
    ///
    /// The writer itself is released if another session than `session` holds its upload by now: that one waits for
    /// storage that this writer would keep locked.
    pub(crate) fn park(&self, key: Key, session: u64, mut writer: ParkedWriter) {
        // Another process may go on with it meanwhile; the epoch fences this one off then.
        writer.writer.suspend();
        let now = Instant::now();
        let fence = writer.parked.fence.clone();
        let released = {
            // HeldBytes until it is parked, so that who attaches after this look finds the writer.
            let holders = lock(&self.holders);
            let holder = holders.get(&key);
            if holder.is_some_and(|holder| holder.mailbox.session != session) {
                vec![writer]
            } else {
                let mut parking = lock(&self.parked);
                let mut released = parking.overdue(now);
                let held = writer.share.held();
                released.extend(parking.park(key, fence, writer, held, now));
                released
            }
        };
        drop(released);
    }

    /// Takes the writer parked under exactly this fence; a stale one is released.
    pub(crate) fn take(&self, key: &Key, fence: &Fence) -> Option<ParkedWriter> {
        let found = lock(&self.parked).take(key, fence);
        found.and_then(Result::ok)
    }

    /// Returns whose writer is parked for an upload, and how many bytes it has taken.
    pub(crate) fn find_parked(&self, key: &Key) -> Option<(Fence, u64)> {
        let parking = lock(&self.parked);
        let parked = &parking.find(key)?.parked;
        Some((parked.fence.clone(), parked.received))
    }

    /// Releases the writers whose time is up.
    pub(crate) fn release_overdue(&self) {
        let released = lock(&self.parked).overdue(Instant::now());
        drop(released);
    }

    /// Releases every parked writer: the process is about to end.
    pub(crate) fn release_all(&self) {
        let released = lock(&self.parked).clear();
        drop(released);
    }

    /// Returns how many writers are parked.
    pub(crate) fn parked(&self) -> usize {
        lock(&self.parked).len()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("holders", &lock(&self.holders).len())
            .field("parked", &self.parked())
            .finish()
    }
}

/// Both maps are whole after every step, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new("owner".into(), UploadRef::from_bytes([byte; 16]))
    }

    fn mailbox(session: u64) -> (Mailbox, mpsc::Receiver<UploadRef>) {
        let (evictions, inbox) = mpsc::channel(EVICTIONS_MAX);
        let (commands, _) = mpsc::channel(1);
        let mailbox = Mailbox {
            session,
            evictions,
            commands,
        };
        (mailbox, inbox)
    }

    fn registry() -> Registry {
        Registry::new(4, u64::MAX, Duration::from_secs(600))
    }

    /// RESUME-4: the newcomer waits until the holder has let go.
    #[tokio::test]
    async fn evicting_waits_for_the_holder() {
        let registry = Arc::new(registry());
        let (box_1, mut inbox) = mailbox(1);
        registry.attach(key(7), box_1);
        let asking = {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move { registry.evict(&key(7), 2, Duration::from_secs(60)).await })
        };
        assert_eq!(inbox.recv().await, Some(UploadRef::from_bytes([7; 16])));
        assert!(!asking.is_finished());
        registry.leave(&key(7), 1);
        asking.await.expect("does not panic");
        assert!(registry.holder(&key(7)).is_none());
    }

    /// RESUME-4: a holder that hangs is not waited for any longer than asked.
    #[tokio::test(start_paused = true)]
    async fn evicting_is_bounded() {
        let registry = registry();
        let (box_1, _inbox) = mailbox(1);
        registry.attach(key(7), box_1);
        let start = Instant::now();
        registry.evict(&key(7), 2, Duration::from_secs(3)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(registry.holder(&key(7)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_to_evict_answers_at_once() {
        let registry = registry();
        let start = Instant::now();
        registry.evict(&key(7), 2, Duration::from_secs(3)).await;
        let (box_2, _inbox) = mailbox(2);
        registry.attach(key(7), box_2);
        registry.evict(&key(7), 2, Duration::from_secs(3)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_session_is_not_waited_for() {
        let registry = registry();
        let (box_1, inbox) = mailbox(1);
        registry.attach(key(7), box_1);
        drop(inbox);
        let start = Instant::now();
        registry.evict(&key(7), 2, Duration::from_secs(3)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    /// CTRL-4: a ref that a session holds is not another's to register.
    #[tokio::test]
    async fn ctrl_4_a_held_ref_is_reserved_by_no_other() {
        let registry = registry();
        let ((box_1, _inbox_1), (box_2, _inbox_2)) = (mailbox(1), mailbox(2));
        assert!(registry.reserve(key(7), box_1.clone()));
        assert!(registry.reserve(key(7), box_1.clone()), "the same session");
        assert!(!registry.reserve(key(7), box_2.clone()));
        registry.leave(&key(7), 1);
        assert!(registry.reserve(key(7), box_2));
        assert!(!registry.reserve(key(7), box_1));
    }

    /// RESUME-4: the old holder's late goodbye does not touch the new one.
    #[tokio::test]
    async fn a_late_goodbye_changes_nothing() {
        let registry = registry();
        let ((box_1, _inbox_1), (box_2, _inbox_2)) = (mailbox(1), mailbox(2));
        registry.attach(key(7), box_1);
        registry.attach(key(7), box_2);
        registry.leave(&key(7), 1);
        assert_eq!(registry.holder(&key(7)).expect("still held").session, 2);
        registry.leave(&key(7), 2);
        assert!(registry.holder(&key(7)).is_none());
    }
}
