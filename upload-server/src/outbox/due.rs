//! The calls that wait for one hook: bounded, and in turns between the parties they come from.
//!
//! A party is an address, or an owner where no address is known. A party that makes many calls waits behind itself,
//! and no other does.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Who a call comes from.
pub(crate) type Party = Arc<str>;

/// Calls that may wait for one hook; beyond it, uploads wait before they are complete.
pub(crate) const CALLS_MAX: usize = 50_000;
/// Calls of one party that may.
const PER_PARTY_MAX: usize = CALLS_MAX / 10;
/// The part of them, of [`CALLS_MAX`], that is kept for parties of which none waits.
const NEWCOMERS: usize = CALLS_MAX / 5;

/// The calls that wait for one hook, and the places of those to come.
#[derive(Debug, Default)]
pub(crate) struct Due {
    held: Mutex<Held>,
    /// Told of calls to make.
    pub(super) wake: Notify,
    /// Told of places that became free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    places: usize,
    parties: HashMap<Party, Queue>,
    /// Parties with a call that is due, in turn.
    ready: VecDeque<Party>,
    /// The others that have a call, by when it is due.
    later: BTreeSet<(u64, Party)>,
}

/// The calls of one party.
#[derive(Debug, Default)]
struct Queue {
    places: usize,
    /// When which call is due, the next one first.
    calls: BTreeSet<(u64, u128)>,
    position: Position,
}

/// Where a party is among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    /// Nowhere: all its calls are running.
    #[default]
    Nowhere,
    Ready,
    /// Until its next call is due.
    Later(u64),
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now(Party, u128),
    /// In so many milliseconds.
    In(u64),
    Never,
}

/// A place for a call; free again when dropped, unless it was [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct Place {
    of: Option<Arc<Due>>,
    party: Party,
}

impl Place {
    /// The call is in the journal: its place is free when it was made.
    pub(crate) fn keep(mut self, due_ms: u64, key: u128) {
        if let Some(of) = self.of.take() {
            of.put(&self.party, due_ms, key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            of.free(&self.party);
        }
    }
}

impl Due {
    /// Takes a place for a call, if there is one for this party.
    pub(crate) fn try_place(self: &Arc<Self>, party: &Party) -> Option<Place> {
        let mut held = self.lock();
        let own = held.parties.get(party).map_or(0, |queue| queue.places);
        let all_max = match own {
            0 => CALLS_MAX,
            _ => CALLS_MAX.saturating_sub(NEWCOMERS),
        };
        if held.places >= all_max || own >= PER_PARTY_MAX {
            return None;
        }
        held.count(party);
        Some(Place {
            of: Some(Arc::clone(self)),
            party: Arc::clone(party),
        })
    }

    /// Waits for a place.
    pub(crate) async fn place(self: &Arc<Self>, party: &Party) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_place(party) {
                return place;
            }
            freed.await;
        }
    }

    /// Adds a call that was in the journal at the start, whether or not there is a place.
    pub(super) fn load(&self, party: &Party, due_ms: u64, key: u128) {
        self.lock().count(party);
        self.put(party, due_ms, key);
    }

    /// Has a call made that has its place.
    pub(super) fn put(&self, party: &Party, due_ms: u64, key: u128) {
        let mut held = self.lock();
        if let Some(queue) = held.parties.get_mut(party) {
            queue.calls.insert((due_ms, key));
        }
        held.stand(party, None);
        drop(held);
        self.wake.notify_one();
    }

    /// A call was made, or abandoned.
    pub(super) fn free(&self, party: &Party) {
        let mut held = self.lock();
        held.places = held.places.saturating_sub(1);
        if let Some(queue) = held.parties.get_mut(party) {
            queue.places = queue.places.saturating_sub(1);
            if queue.places == 0 {
                held.parties.remove(party);
            }
        }
        drop(held);
        self.freed.notify_waiters();
    }

    /// Takes the next call that is due, of the party whose turn it is.
    pub(super) fn next(&self, now_ms: u64) -> Next {
        let mut held = self.lock();
        while let Some((at, party)) = held.later.first().cloned() {
            if at > now_ms {
                break;
            }
            held.stand(&party, Some(now_ms));
        }
        while let Some(party) = held.ready.pop_front() {
            let Some(queue) = held.parties.get_mut(&party) else {
                continue;
            };
            queue.position = Position::Nowhere;
            let call = queue.calls.pop_first();
            held.stand(&party, Some(now_ms));
            if let Some((_, key)) = call {
                return Next::Now(party, key);
            }
        }
        match held.later.first() {
            Some((at, _)) => Next::In(at.saturating_sub(now_ms)),
            None => Next::Never,
        }
    }

    /// Returns how many calls wait or run.
    pub(super) fn waiting(&self) -> usize {
        self.lock().places
    }

    /// Everything is whole after every step, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn count(&mut self, party: &Party) {
        self.places = self.places.saturating_add(1);
        let queue = self.parties.entry(Arc::clone(party)).or_default();
        queue.places = queue.places.saturating_add(1);
    }

    /// Puts a party where its next call belongs; behind the ready ones if that is due at `now_ms`.
    fn stand(&mut self, party: &Party, now_ms: Option<u64>) {
        let Some(queue) = self.parties.get_mut(party) else {
            self.later.retain(|(_, other)| other != party);
            return;
        };
        match queue.position {
            // Its turn comes.
            Position::Ready => return,
            Position::Later(at) => {
                self.later.remove(&(at, Arc::clone(party)));
            }
            Position::Nowhere => {}
        }
        queue.position = match queue.calls.first() {
            None => Position::Nowhere,
            Some((at, _)) if now_ms.is_some_and(|now| *at <= now) => {
                self.ready.push_back(Arc::clone(party));
                Position::Ready
            }
            Some((at, _)) => {
                self.later.insert((*at, Arc::clone(party)));
                Position::Later(*at)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: &str) -> Party {
        name.into()
    }

    fn put(due: &Arc<Due>, name: &str, due_ms: u64, key: u128) {
        let place = due.try_place(&party(name)).expect("a place");
        place.keep(due_ms, key);
    }

    #[test]
    fn parties_take_turns() {
        let due = Arc::new(Due::default());
        for key in 0..1_000 {
            put(&due, "greedy", 1, key);
        }
        put(&due, "honest", 2, 5_000);
        let next = || match due.next(10) {
            Next::Now(party, key) => (party.to_string(), key),
            other => panic!("{other:?}"),
        };
        assert_eq!(next(), ("greedy".to_owned(), 0));
        assert_eq!(next(), ("honest".to_owned(), 5_000));
        assert_eq!(next(), ("greedy".to_owned(), 1));
    }

    #[test]
    fn calls_wait_until_they_are_due() {
        let due = Arc::new(Due::default());
        assert_eq!(due.next(0), Next::Never);
        put(&due, "a", 50, 1);
        put(&due, "b", 30, 2);
        put(&due, "a", 20, 3);
        assert_eq!(due.next(10), Next::In(10));
        assert_eq!(due.next(20), Next::Now(party("a"), 3));
        // It failed, and is called again.
        due.put(&party("a"), 40, 3);
        assert_eq!(due.next(30), Next::Now(party("b"), 2));
        due.free(&party("b"));
        assert_eq!(due.next(30), Next::In(10));
        assert_eq!(due.next(60), Next::Now(party("a"), 3));
        assert_eq!(due.next(60), Next::Now(party("a"), 1));
        assert_eq!((due.next(60), due.waiting()), (Next::Never, 2));
        due.free(&party("a"));
        due.free(&party("a"));
        let held = due.lock();
        assert!(held.parties.is_empty() && held.later.is_empty() && held.ready.is_empty());
    }

    #[tokio::test]
    async fn who_has_many_waits_for_places_and_others_do_not() {
        let due = Arc::new(Due::default());
        let mut held = Vec::new();
        let mut number = 0;
        // Every party takes what it can, one after the other.
        loop {
            let greedy = party(&format!("greedy {number}"));
            let before = held.len();
            while let Some(place) = due.try_place(&greedy) {
                held.push(place);
            }
            if held.len() - before <= 1 {
                break;
            }
            assert!(held.len() - before <= PER_PARTY_MAX);
            number += 1;
        }
        assert!(held.len() <= CALLS_MAX - NEWCOMERS + 1, "{}", held.len());
        let honest = due.try_place(&party("honest")).expect("room is kept");
        assert!(due.try_place(&party("honest")).is_none());
        let first = party("greedy 0");
        let waiting = due.place(&first);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there is no place"),
            () = tokio::task::yield_now() => {}
        }
        drop(honest);
        held.truncate(held.len() - 10);
        held.drain(..10);
        tokio::time::timeout(std::time::Duration::from_secs(10), waiting)
            .await
            .expect("a place");
    }
}
