//! How many uploads an owner and a process have, and of how many bytes, counted by tokens that live with them.
//!
//! A token is dropped with its upload, so a count cannot go wrong. Uploads that exist only as records are
//! not counted here: the store counts them, by what each save says it counts as ([`Charge`]), and checks
//! an owner's quota in the same step.

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::empties::{Empties, Empty, Need, Party};

/// One part in this many of a process's room is kept for uploads that are resumed.
const RESUMES_PART: u32 = 4;
/// Of uploads that gave way, one part in this many of a process's room may be alive at a time.
const LOST_PART: u32 = 8;
/// One part in this many of it may be taken by owners who have nothing yet, where others may not register.
const NEWCOMERS_PART: u32 = 8;

/// What an upload is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It begins.
    Register,
    /// It is resumed, and bytes of it are here: what was begun has a place before what was not.
    Resume,
    /// It is resumed, and nothing of it was sent.
    ResumeEmpty,
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
    /// Those that have sent nothing.
    empties: Empties,
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
            empties: Empties::default(),
        }
    }

    fn take(self: &Arc<Self>, purpose: Purpose, is_newcomer: bool) -> Option<ServerToken> {
        let part = match (purpose, is_newcomer) {
            (Purpose::Resume | Purpose::ResumeEmpty, _) => 0,
            (Purpose::Register, true) => self.uploads_max / NEWCOMERS_PART,
            (Purpose::Register, false) => self.uploads_max / RESUMES_PART,
        };
        let is_counted = count_up(&self.uploads, self.uploads_max.saturating_sub(part));
        let refused = u64::from(!is_counted);
        self.refusals.fetch_add(refused, Ordering::Relaxed);
        is_counted.then(|| self.token())
    }

    /// Takes the place of a registration that has sent nothing.
    fn take_over(self: &Arc<Self>, need: Need) -> Option<ServerToken> {
        let lost_max = (self.uploads_max / LOST_PART).max(1);
        let has_place = self.empties.give_way(need, lost_max);
        has_place.then(|| self.token())
    }

    fn token(self: &Arc<Self>) -> ServerToken {
        ServerToken {
            of: Arc::clone(self),
            empty: None,
            has_place: true,
        }
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
struct ServerToken {
    of: Arc<ServerTally>,
    /// Among those that have sent nothing.
    empty: Option<Empty>,
    /// Whether another upload has not taken its place.
    has_place: bool,
}

impl ServerToken {
    /// Is among those that have sent nothing.
    fn begin_empty(&mut self, party: Party) {
        self.empty = Some(self.of.empties.add(party));
    }

    /// Is not among them any more. Returns whether it has its place.
    fn fill(&mut self) -> bool {
        if let Some(empty) = self.empty.take() {
            self.has_place = self.of.empties.remove(empty);
        }
        self.has_place
    }
}

impl Drop for ServerToken {
    fn drop(&mut self) {
        if self.fill() {
            count_down(&self.of.uploads);
        }
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
    /// Bytes of unfinished and of waiting uploads together.
    pub stored_bytes: u64,
}

impl OwnerQuota {
    /// No limit.
    pub const NONE: Self = Self {
        uploads: u64::MAX,
        bytes: u64::MAX,
        stored_bytes: u64::MAX,
    };
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

    fn unweigh(&self, bytes: u64) {
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self
            .bytes
            .fetch_update(done, seen, |sum| Some(sum.saturating_sub(bytes)));
    }
}

/// What owners have together who have little of their own, such as those who know an address only.
#[derive(Clone, Debug)]
struct Group {
    tally: Arc<OwnerTally>,
    quota: OwnerQuota,
}

/// One owner's uploads, attached and parked, over all its connections (CTRL-3).
#[derive(Debug, Default)]
pub struct OwnerTally {
    held: Arc<Held>,
    server: Option<Arc<ServerTally>>,
    address: Option<Arc<ServerTally>>,
    group: Option<Group>,
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

    /// Counts the uploads in a group as well, which has no more than this together.
    #[must_use]
    pub fn within_group(mut self, tally: Arc<OwnerTally>, quota: OwnerQuota) -> Self {
        self.group = Some(Group { tally, quota });
        self
    }

    /// Returns the same tally for connections that come from an address, whose registrations are counted
    /// there as well.
    pub fn from_address(self: &Arc<Self>, address: Arc<ServerTally>) -> Self {
        Self {
            held: Arc::clone(&self.held),
            server: self.server.clone(),
            address: Some(address),
            group: self.group.clone(),
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
            group: None,
        };
        if !held.weigh(bytes, bytes_max) {
            return Err(Full::Owner);
        }
        token.bytes = bytes;
        let is_newcomer = held.uploads.load(Ordering::Acquire) == 1;
        // A visitor who comes back may have another address by now.
        if let (Some(address), Purpose::Register) = (&self.address, purpose) {
            let taken = address.take(Purpose::Resume, is_newcomer);
            token.address = Some(taken.ok_or(Full::Server)?);
        }
        if let Some(Group { tally, quota }) = &self.group {
            let (uploads, most) = match purpose {
                Purpose::Register => (
                    u32::try_from(quota.uploads).unwrap_or(u32::MAX),
                    quota.bytes,
                ),
                // It has its place already.
                Purpose::Resume | Purpose::ResumeEmpty => (u32::MAX, u64::MAX),
            };
            let taken = tally.take(bytes, uploads, most, purpose);
            let taken = taken.map_err(|_| Full::Server)?;
            token.group = Some((Box::new(taken), quota.bytes));
        }
        // Last, since another gives way for it.
        if let Some(server) = &self.server {
            let need = match purpose {
                Purpose::Register | Purpose::ResumeEmpty => Need::Register(self.party()),
                Purpose::Resume => Need::Resume,
            };
            let taken = server.take(purpose, is_newcomer);
            let taken = taken.or_else(|| server.take_over(need));
            token.server = Some(taken.ok_or(Full::Server)?);
        }
        if let Some(server) = &mut token.server
            && purpose != Purpose::Resume
        {
            server.begin_empty(self.party());
        }
        Ok(token)
    }

    /// Names the address, or the owner where it is not known, for as long as it has an upload.
    fn party(&self) -> Party {
        match &self.address {
            Some(address) => Arc::as_ptr(address).addr(),
            None => Arc::as_ptr(&self.held).addr(),
        }
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
    /// The same upload, counted for the group, which may have so many bytes.
    group: Option<(Box<OwnerToken>, u64)>,
}

impl OwnerToken {
    /// Notes that its client sends. Returns whether it has its place: one that had sent nothing gives way where
    /// others find none.
    pub(crate) fn fill(&mut self) -> bool {
        self.server.as_mut().is_none_or(ServerToken::fill)
    }

    /// Counts `bytes` in all, unless the owner's uploads would then be more than `bytes_max` bytes.
    /// Returns whether so many are counted.
    pub(crate) fn grow(&mut self, bytes: u64, bytes_max: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let mut is_counted = more == 0 || self.held.weigh(more, bytes_max);
        if is_counted
            && let Some((group, most)) = &mut self.group
            && !group.grow(bytes, *most)
        {
            self.held.unweigh(more);
            is_counted = false;
        }
        if is_counted {
            self.bytes = self.bytes.saturating_add(more);
        }
        is_counted
    }
}

impl Drop for OwnerToken {
    fn drop(&mut self) {
        count_down(&self.held.uploads);
        self.held.unweigh(self.bytes);
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
