//! Registrations that have sent nothing: where places run out, they give way first (CTRL-3).
//!
//! A party is an address, or an owner where no address is known. The party with the most of them gives way, its
//! oldest one first, so that who registers much and sends nothing takes places from itself only.
//! The place changes hands at once; the upload that lost it ends when its client sends.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Names a party for as long as one of its registrations is alive.
pub(crate) type Party = usize;

/// A registration without a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Empty {
    party: Party,
    number: u64,
}

/// For whom a place is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// For a registration of this party.
    Register(Party),
    /// For an upload that was begun, which has a place before any that sent nothing.
    Resume,
}

/// The registrations of a process that have sent nothing.
#[derive(Debug, Default)]
pub(crate) struct Empties(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    next: u64,
    /// Those of each party, the oldest first.
    parties: BTreeMap<Party, BTreeSet<u64>>,
    /// Parties by how many they have; of equals, the one with the oldest comes last.
    ranks: BTreeSet<(usize, Reverse<u64>, Party)>,
    /// Uploads that lost their place, and are still alive.
    lost: u32,
}

impl Empties {
    /// Adds one.
    pub(crate) fn add(&self, party: Party) -> Empty {
        let mut known = self.lock();
        let number = known.next;
        known.next = number.wrapping_add(1);
        known.change(party, |own| own.insert(number));
        Empty { party, number }
    }

    /// Removes one, which sends or ends. Returns whether it had its place still.
    pub(crate) fn remove(&self, empty: Empty) -> bool {
        let mut known = self.lock();
        let had_place = known.change(empty.party, |own| own.remove(&empty.number));
        if !had_place {
            known.lost = known.lost.saturating_sub(1);
        }
        had_place
    }

    /// Takes the place of one, unless no party has enough of them more, or `lost_max` lost theirs and are
    /// alive. Returns whether there is a place.
    pub(crate) fn give_way(&self, need: Need, lost_max: u32) -> bool {
        let mut known = self.lock();
        let Some(&(most, Reverse(oldest), party)) = known.ranks.last() else {
            return false;
        };
        let least = match need {
            // One less for them must not make it one less than for this one.
            Need::Register(own) => known.count(own).saturating_add(2),
            Need::Resume => 1,
        };
        if most < least || known.lost >= lost_max {
            return false;
        }
        known.change(party, |own| own.remove(&oldest));
        known.lost = known.lost.saturating_add(1);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn count(&self, party: Party) -> usize {
        self.parties.get(&party).map_or(0, BTreeSet::len)
    }

    /// Changes what a party has, and its rank.
    fn change<T>(&mut self, party: Party, act: impl FnOnce(&mut BTreeSet<u64>) -> T) -> T {
        let own = self.parties.entry(party).or_default();
        if let Some(rank) = rank(party, own) {
            self.ranks.remove(&rank);
        }
        let done = act(own);
        match rank(party, own) {
            Some(rank) => drop(self.ranks.insert(rank)),
            None => drop(self.parties.remove(&party)),
        }
        done
    }
}

fn rank(party: Party, own: &BTreeSet<u64>) -> Option<(usize, Reverse<u64>, Party)> {
    Some((own.len(), Reverse(*own.first()?), party))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(empties: &Empties, held: &[Empty]) -> Vec<bool> {
        held.iter().map(|empty| empties.remove(*empty)).collect()
    }

    /// CTRL-3: the oldest of the party with the most goes first, and nobody becomes poorer than who comes.
    #[test]
    fn ctrl_3_who_has_most_gives_way_first() {
        let empties = Empties::default();
        let one = [empties.add(1), empties.add(1)];
        let two = [empties.add(2), empties.add(2), empties.add(2)];
        assert!(
            !empties.give_way(Need::Register(1), 9),
            "one less would be as few"
        );
        assert!(empties.give_way(Need::Register(3), 9));
        assert!(empties.give_way(Need::Register(3), 9));
        let three = [empties.add(3), empties.add(3)];
        assert!(!empties.give_way(Need::Register(4), 0), "too many are lost");
        assert_eq!(kept(&empties, &two), [false, true, true]);
        assert_eq!(kept(&empties, &one), [false, true], "of equals the oldest");
        assert_eq!(kept(&empties, &three), [true, true]);
        assert!(!empties.give_way(Need::Resume, 9), "there is none");
        assert!(empties.lock().parties.is_empty() && empties.lock().ranks.is_empty());
        assert_eq!(empties.lock().lost, 0);
    }

    /// CTRL-3: what was begun has a place before what has sent nothing.
    #[test]
    fn ctrl_3_a_resume_takes_any_of_them() {
        let empties = Empties::default();
        let only = empties.add(1);
        assert!(!empties.give_way(Need::Register(2), 9));
        assert!(empties.give_way(Need::Resume, 9));
        assert!(!empties.remove(only));
    }
}
