//! The open pages of each owner, so that the application can tell them something.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Context,
};

use futures_util::task::AtomicWaker;
use serde_json::Value;

/// Most events that wait for one page; a page that falls behind misses the oldest.
const WAITING_MAX: usize = 64;
/// Most bytes of events that wait for one page, as JSON.
const WAITING_BYTES_MAX: usize = 512 * 1024;

/// What an application tells a page.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) event: Arc<str>,
    pub(crate) value: Arc<Value>,
    /// Its length as JSON.
    pub(crate) bytes: usize,
}

/// All pages that are open in this process.
#[derive(Default)]
pub(crate) struct Pages(Mutex<HashMap<Arc<str>, Vec<Arc<Inbox>>>>);

/// What waits for one page.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Waiting {
    pushes: VecDeque<Push>,
    bytes: usize,
}

/// One page, which is forgotten when this is dropped.
pub(crate) struct Page {
    pages: Arc<Pages>,
    owner: Arc<str>,
    inbox: Arc<Inbox>,
}

impl Pages {
    /// Notes a page of an owner.
    pub(crate) fn open(self: &Arc<Self>, owner: &str) -> Page {
        let owner: Arc<str> = owner.into();
        let inbox = Arc::<Inbox>::default();
        let mut pages = lock(&self.0);
        let of_owner = pages.entry(Arc::clone(&owner)).or_default();
        of_owner.push(Arc::clone(&inbox));
        drop(pages);
        Page {
            pages: Arc::clone(self),
            owner,
            inbox,
        }
    }

    /// Tells all pages of an owner; returns how many there are.
    pub(crate) fn tell(&self, owner: &str, push: &Push) -> usize {
        let inboxes = lock(&self.0).get(owner).cloned().unwrap_or_default();
        for inbox in &inboxes {
            lock(&inbox.waiting).add(push.clone());
            inbox.waker.wake();
        }
        inboxes.len()
    }
}

impl Waiting {
    fn add(&mut self, push: Push) {
        self.bytes = self.bytes.saturating_add(push.bytes);
        self.pushes.push_back(push);
        while self.pushes.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            if self.take().is_none() {
                return;
            }
        }
    }

    fn take(&mut self) -> Option<Push> {
        let push = self.pushes.pop_front()?;
        self.bytes = self.bytes.saturating_sub(push.bytes);
        if self.pushes.is_empty() {
            // Most pages are told nothing for hours.
            self.pushes = VecDeque::new();
        }
        Some(push)
    }
}

impl Page {
    /// Returns what waits for this page; without anything, the task is woken when there is.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Option<Push> {
        self.inbox.waker.register(cx.waker());
        lock(&self.inbox.waiting).take()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut pages = lock(&self.pages.0);
        if let Some(of_owner) = pages.get_mut(&self.owner) {
            of_owner.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
            if of_owner.is_empty() {
                pages.remove(&self.owner);
            }
        }
    }
}

/// Maps and queues are whole after every step, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn push(event: &str) -> Push {
        Push {
            event: event.into(),
            value: Arc::new(Value::Null),
            bytes: event.len(),
        }
    }

    #[test]
    fn a_page_hears_what_its_owner_receives_and_is_forgotten() {
        let pages = Arc::<Pages>::default();
        let cx = Context::from_waker(Waker::noop());
        let (first, second) = (pages.open("ann"), pages.open("ann"));
        let other = pages.open("bob");
        assert_eq!(pages.tell("ann", &push("done")), 2);
        for page in [&first, &second] {
            assert_eq!(
                page.poll(&cx).map(|push| push.event).as_deref(),
                Some("done")
            );
            assert!(page.poll(&cx).is_none());
        }
        assert!(other.poll(&cx).is_none());
        drop((first, second));
        assert_eq!(pages.tell("ann", &push("done")), 0);
        assert_eq!(lock(&pages.0).len(), 1, "bob's");
    }

    #[test]
    fn a_page_that_falls_behind_misses_the_oldest() {
        let pages = Arc::<Pages>::default();
        let cx = Context::from_waker(Waker::noop());
        let page = pages.open("ann");
        for number in 0..=WAITING_MAX {
            pages.tell("ann", &push(&number.to_string()));
        }
        assert_eq!(page.poll(&cx).map(|push| push.event).as_deref(), Some("1"));
        for number in 0..3 {
            let bytes = WAITING_BYTES_MAX / 2;
            let push = push(&format!("long {number}"));
            pages.tell("ann", &Push { bytes, ..push });
        }
        for event in ["long 1", "long 2"] {
            assert_eq!(
                page.poll(&cx).map(|push| push.event).as_deref(),
                Some(event)
            );
        }
        assert!(page.poll(&cx).is_none());
        assert_eq!(lock(&page.inbox.waiting).bytes, 0);
    }
}
