//! How many uploads an owner and a process have, and of how many bytes, counted by tokens that live with them.
//!
//! A token is dropped with its upload, so a count cannot go wrong. Uploads that exist only as records are
//! not counted here: the store counts them, by what each save says it counts as ([`Charge`]), and checks
//! an owner's quota in the same step.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// One part in this many of a process's room is kept for uploads that are resumed.
const RESUMES_PART: u32 = 4;
/// One part in this many of it may be taken by owners who have nothing yet, where others may not register.
const NEWCOMERS_PART: u32 = 8;

/// What an upload is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It begins.
    Register,
    /// It goes on: what was begun has a place before what was not.
    Resume,
}

/// The uploads of all owners of a process, or of all who come from one address, attached and parked.
///
/// Owners cost nothing, so what each may have bounds nothing by itself.
#[derive(Debug)]
pub struct ServerTally {
    uploads: AtomicU32,
    uploads_max: u32,
    /// How often there was no place.
    refusals: AtomicU64,
}

impl ServerTally {
    /// Begins to count up to `uploads_max`.
    ///
    /// The last quarter of it is for uploads that are resumed, and half of that quarter also for
    /// registrations of owners who have no upload.
    pub fn new(uploads_max: u32) -> Self {
        Self {
            uploads: AtomicU32::new(0),
            uploads_max,
            refusals: AtomicU64::new(0),
        }
    }

    fn take(self: &Arc<Self>, purpose: Purpose, is_newcomer: bool) -> Option<ServerToken> {
        let part = match (purpose, is_newcomer) {
            (Purpose::Resume, _) => 0,
            (Purpose::Register, true) => self.uploads_max / NEWCOMERS_PART,
            (Purpose::Register, false) => self.uploads_max / RESUMES_PART,
        };
        let is_counted = count_up(&self.uploads, self.uploads_max.saturating_sub(part));
        let refused = u64::from(!is_counted);
        self.refusals.fetch_add(refused, Ordering::Relaxed);
        is_counted.then(|| ServerToken(Arc::clone(self)))
    }

    /// Counts somebody for whom there is no place for another reason, such as a full disk.
    pub fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many uploads there are.
    pub fn count(&self) -> u32 {
        self.uploads.load(Ordering::Acquire)
    }
}

/// One upload counted for the process; uncounted when dropped.
#[derive(Debug)]
struct ServerToken(Arc<ServerTally>);

impl Drop for ServerToken {
    fn drop(&mut self) {
        count_down(&self.0.uploads);
    }
}

/// What a record counts as among the records of its owner (CTRL-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// As nothing: a receipt, or what is left of an upload that ended.
    Nothing,
    /// As an unfinished upload of so many declared bytes.
    Unfinished(u64),
    /// As a finished upload of so many bytes that waits for its application.
    Waiting(u64),
}

/// The most an owner may have of what a record counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerQuota {
    /// Records.
    pub uploads: u64,
    /// Bytes of them together.
    pub bytes: u64,
}

/// Who has as many uploads as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The owner, or as many bytes.
    Owner,
    /// All owners of the process together, or all who come from the same address.
    Server,
}

/// What one owner has.
#[derive(Debug, Default)]
struct Held {
    uploads: AtomicU32,
    /// What their clients declared, whether or not it came yet; where that is not known, what came.
    bytes: AtomicU64,
}

impl Held {
    fn weigh(&self, bytes: u64, bytes_max: u64) -> bool {
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let weighed = self.bytes.fetch_update(done, seen, |sum| {
            sum.checked_add(bytes).filter(|sum| *sum <= bytes_max)
        });
        weighed.is_ok()
    }
}

/// One owner's uploads, attached and parked, over all its connections (CTRL-3).
#[derive(Debug, Default)]
pub struct OwnerTally {
    held: Arc<Held>,
    server: Option<Arc<ServerTally>>,
    address: Option<Arc<ServerTally>>,
    /// Keeps the tally alive of which this is a view.
    _owner: Option<Arc<OwnerTally>>,
}

impl OwnerTally {
    /// Begins to count the uploads of one owner of a process.
    pub fn within(server: Arc<ServerTally>) -> Self {
        Self {
            server: Some(server),
            ..Self::default()
        }
    }

    /// Returns the same tally for connections that come from an address, whose registrations are counted
    /// there as well.
    pub fn from_address(self: &Arc<Self>, address: Arc<ServerTally>) -> Self {
        Self {
            held: Arc::clone(&self.held),
            server: self.server.clone(),
            address: Some(address),
            _owner: Some(Arc::clone(self)),
        }
    }

    /// Returns how often the process had no place for an upload.
    pub(crate) fn refusals(&self) -> u64 {
        let server = self.server.as_ref();
        server.map_or(0, |server| server.refusals.load(Ordering::Relaxed))
    }

    /// Returns whether both count the uploads of one owner.
    pub fn is_same_owner(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }

    /// Counts one more upload of `bytes`, unless there are `uploads_max` already, all
    /// would be more than `bytes_max` bytes, or the process has as many as it may for this purpose.
    pub(crate) fn take(
        &self,
        bytes: u64,
        uploads_max: u32,
        bytes_max: u64,
        purpose: Purpose,
    ) -> Result<OwnerToken, Full> {
        let held = &self.held;
        if !count_up(&held.uploads, uploads_max) {
            return Err(Full::Owner);
        }
        let mut token = OwnerToken {
            held: Arc::clone(held),
            bytes: 0,
            server: None,
            address: None,
        };
        if !held.weigh(bytes, bytes_max) {
            return Err(Full::Owner);
        }
        token.bytes = bytes;
        let is_newcomer = held.uploads.load(Ordering::Acquire) == 1;
        if let Some(server) = &self.server {
            let taken = server.take(purpose, is_newcomer);
            token.server = Some(taken.ok_or(Full::Server)?);
        }
        // A visitor who comes back may have another address by now.
        if let (Some(address), Purpose::Register) = (&self.address, purpose) {
            let taken = address.take(Purpose::Resume, is_newcomer);
            token.address = Some(taken.ok_or(Full::Server)?);
        }
        Ok(token)
    }

    /// Returns how many uploads there are.
    pub fn count(&self) -> u32 {
        self.held.uploads.load(Ordering::Acquire)
    }

    /// Returns how many bytes they declared together.
    pub fn bytes(&self) -> u64 {
        self.held.bytes.load(Ordering::Acquire)
    }
}

/// One counted upload; uncounted when dropped.
#[derive(Debug)]
pub struct OwnerToken {
    held: Arc<Held>,
    bytes: u64,
    server: Option<ServerToken>,
    address: Option<ServerToken>,
}

impl OwnerToken {
    /// Counts `bytes` in all, unless the owner's uploads would then be more than `bytes_max` bytes.
    /// Returns whether so many are counted.
    pub(crate) fn grow(&mut self, bytes: u64, bytes_max: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let is_counted = more == 0 || self.held.weigh(more, bytes_max);
        if is_counted {
            self.bytes = self.bytes.saturating_add(more);
        }
        is_counted
    }
}

impl Drop for OwnerToken {
    fn drop(&mut self) {
        count_down(&self.held.uploads);
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self
            .held
            .bytes
            .fetch_update(done, seen, |sum| Some(sum.saturating_sub(self.bytes)));
    }
}

fn count_up(uploads: &AtomicU32, uploads_max: u32) -> bool {
    let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
    let counted = uploads.fetch_update(done, seen, |count| {
        (count < uploads_max).then(|| count.saturating_add(1))
    });
    counted.is_ok()
}

fn count_down(uploads: &AtomicU32) {
    let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
    let _ = uploads.fetch_update(done, seen, |count| Some(count.saturating_sub(1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: past the maximum there is no token; a dropped one makes room.
    #[test]
    fn counts_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally
            .take(0, 2, u64::MAX, Purpose::Register)
            .expect("room for the first");
        let _second = tally
            .take(0, 2, u64::MAX, Purpose::Register)
            .expect("room for the second");
        assert_eq!(
            tally.take(0, 2, u64::MAX, Purpose::Register).err(),
            Some(Full::Owner)
        );
        drop(first);
        assert_eq!(tally.count(), 1);
        assert!(tally.take(0, 2, u64::MAX, Purpose::Register).is_ok());
    }

    /// CTRL-3: bytes are counted as declared, and a refusal counts nothing.
    #[test]
    fn weighs_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally
            .take(60, 9, 100, Purpose::Register)
            .expect("room for 60");
        assert!(tally.take(41, 9, 100, Purpose::Register).is_err());
        assert!(
            tally
                .take(u64::MAX, 9, u64::MAX, Purpose::Register)
                .is_err()
        );
        let second = tally
            .take(40, 9, 100, Purpose::Register)
            .expect("room for 40");
        assert_eq!((tally.count(), tally.bytes()), (2, 100));
        drop(first);
        assert_eq!((tally.count(), tally.bytes()), (1, 40));
        drop(second);
        assert_eq!((tally.count(), tally.bytes()), (0, 0));
    }

    /// CTRL-3: what arrives of a file of unknown length is counted as it comes.
    #[test]
    fn a_token_grows_within_the_limit() {
        let tally = Arc::new(OwnerTally::default());
        let mut token = tally
            .take(0, 9, 100, Purpose::Register)
            .expect("room for one");
        assert!(token.grow(60, 100) && token.grow(50, 100));
        assert!(!token.grow(101, 100));
        assert_eq!(tally.bytes(), 60);
        drop(token);
        assert_eq!(tally.bytes(), 0);
    }

    /// CTRL-3: owners share what the process has room for, and a refusal counts nothing.
    #[test]
    fn owners_share_the_room_of_a_process() {
        let server = Arc::new(ServerTally::new(2));
        let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
        let (one, two) = (owner(), owner());
        let first = one
            .take(5, 9, 9, Purpose::Register)
            .expect("room for the first");
        let _second = two
            .take(5, 9, 9, Purpose::Register)
            .expect("room for the second");
        assert_eq!(
            two.take(1, 9, 9, Purpose::Register).err(),
            Some(Full::Server)
        );
        assert_eq!(
            two.take(5, 9, 9, Purpose::Register).err(),
            Some(Full::Owner)
        );
        assert_eq!((two.count(), two.bytes(), server.count()), (1, 5, 2));
        drop(first);
        assert_eq!((one.count(), server.count()), (0, 1));
        assert!(two.take(1, 9, 9, Purpose::Register).is_ok());
    }

    /// CTRL-3: what was begun has a place before what was not, and who has nothing before who has much.
    #[test]
    fn room_is_kept_for_resumes_and_newcomers() {
        let server = Arc::new(ServerTally::new(16));
        let greedy = Arc::new(OwnerTally::within(Arc::clone(&server)));
        let take = |owner: &OwnerTally, purpose| owner.take(0, u32::MAX, u64::MAX, purpose);
        let mut held = Vec::new();
        while let Ok(token) = take(&greedy, Purpose::Register) {
            held.push(token);
        }
        assert_eq!(held.len(), 12);
        let owner = || OwnerTally::within(Arc::clone(&server));
        while let Ok(token) = take(&owner(), Purpose::Register) {
            held.push(token);
        }
        assert_eq!(held.len(), 14);
        while let Ok(token) = take(&greedy, Purpose::Resume) {
            held.push(token);
        }
        assert_eq!(held.len(), 16);
        held.clear();
        assert_eq!((server.count(), greedy.count()), (0, 0));
    }

    /// CTRL-3: any number of owners who come from one address have what that address has.
    #[test]
    fn owners_of_one_address_share_its_room() {
        let server = Arc::new(ServerTally::new(100));
        let address = Arc::new(ServerTally::new(3));
        let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
        let take = |owner: &OwnerTally, purpose| owner.take(0, 9, u64::MAX, purpose);
        let mut held: Vec<_> = (0..3)
            .map(|_| {
                take(
                    &owner().from_address(Arc::clone(&address)),
                    Purpose::Register,
                )
            })
            .collect();
        assert!(held.iter().all(Result::is_ok));
        let fourth = owner();
        let here = fourth.from_address(Arc::clone(&address));
        assert_eq!(take(&here, Purpose::Register).err(), Some(Full::Server));
        assert_eq!((fourth.count(), server.count(), address.count()), (0, 3, 3));
        let _resumed = take(&here, Purpose::Resume).expect("a resume");
        let _elsewhere = take(&fourth, Purpose::Register).expect("from another address");
        assert!(here.is_same_owner(&fourth) && here.count() == 2);
        held.pop();
        assert!(take(&here, Purpose::Register).is_ok());
    }
}
