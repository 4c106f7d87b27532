//! Tickets: what a browser's script opens a socket with, since it can set no header there.
//!
//! A ticket is in an address, which logs and histories keep, so it is good once and for a minute. A token
//! is never there.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::http::visitor::Visitor;

/// How long a ticket is good for.
pub(super) const LIFE: Duration = Duration::from_secs(60);
/// Tickets of one minute; beyond it none is given.
const TICKETS_MAX: usize = 20_000;
/// Tickets of one owner in a minute, used or not.
const PER_OWNER_MAX: u32 = 64;

/// Tickets that were given and not used.
#[derive(Default)]
pub(super) struct Tickets {
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    tickets: HashMap<Uuid, Arc<Visitor>>,
    /// The last minute's, used or not, the oldest first.
    order: VecDeque<(Instant, Uuid, Arc<str>)>,
    /// How many of those each owner has.
    counts: HashMap<Arc<str>, u32>,
}

impl Tickets {
    /// Gives a ticket; none where there were too many in the last minute.
    pub(super) fn give(&self, visitor: Arc<Visitor>) -> Option<String> {
        let now = Instant::now();
        let mut given = self.lock();
        given.forget(now);
        if given.order.len() >= TICKETS_MAX {
            return None;
        }
        let owner: Arc<str> = visitor.owner().into();
        let count = given.counts.entry(Arc::clone(&owner)).or_default();
        if *count >= PER_OWNER_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        let ticket = Uuid::new_v4();
        given.order.push_back((now, ticket, owner));
        given.tickets.insert(ticket, visitor);
        Some(ticket.simple().to_string())
    }

    /// Takes a ticket, which is none from then on.
    pub(super) fn take(&self, ticket: &str) -> Option<Arc<Visitor>> {
        let ticket = Uuid::try_parse(ticket).ok()?;
        let mut given = self.lock();
        given.forget(Instant::now());
        given.tickets.remove(&ticket)
    }

    /// Maps are whole after every step, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    /// Forgets the tickets whose minute is over.
    fn forget(&mut self, now: Instant) {
        while let Some((at, ticket, owner)) = self.order.front() {
            if now.saturating_duration_since(*at) < LIFE {
                return;
            }
            self.tickets.remove(ticket);
            if let Some(count) = self.counts.get_mut(owner) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(owner);
                }
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(owner: &str) -> Arc<Visitor> {
        Arc::new(Visitor::new(owner))
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_for_a_minute() {
        let tickets = Tickets::default();
        let ticket = tickets.give(visitor("alice")).expect("room");
        assert_eq!(tickets.take(&ticket).expect("good").owner(), "alice");
        assert!(tickets.take(&ticket).is_none(), "used");
        let ticket = tickets.give(visitor("alice")).expect("room");
        tokio::time::advance(LIFE - Duration::from_millis(1)).await;
        assert!(tickets.take(&ticket).is_some());
        let ticket = tickets.give(visitor("alice")).expect("room");
        tokio::time::advance(LIFE).await;
        assert!(tickets.take(&ticket).is_none(), "over");
        for bad in ["", "alice", "00000000-0000-0000-0000-000000000000"] {
            assert!(tickets.take(bad).is_none(), "{bad}");
        }
        tokio::time::advance(LIFE).await;
        tickets.give(visitor("bob")).expect("room");
        let given = tickets.lock();
        assert_eq!((given.tickets.len(), given.counts.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_owner_takes_no_ticket_from_another() {
        let tickets = Tickets::default();
        let given = (0..1_000).filter(|_| match tickets.give(visitor("alice")) {
            Some(ticket) => tickets.take(&ticket).is_some(),
            None => false,
        });
        assert_eq!(given.count(), PER_OWNER_MAX as usize);
        assert!(tickets.give(visitor("bob")).is_some());
        tokio::time::advance(LIFE).await;
        assert!(tickets.give(visitor("alice")).is_some(), "a minute later");
    }
}
