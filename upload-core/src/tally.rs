//! How many uploads an owner and a process have, and of how many bytes, counted by tokens that live with them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// The uploads of all owners of a process, attached and parked.
///
/// Owners cost nothing, so what each may have bounds nothing by itself.
#[derive(Debug)]
pub struct ServerTally {
    uploads: AtomicU32,
    uploads_max: u32,
}

impl ServerTally {
    /// Begins to count up to `uploads_max`.
    pub fn new(uploads_max: u32) -> Self {
        Self {
            uploads: AtomicU32::new(0),
            uploads_max,
        }
    }

    fn take(self: &Arc<Self>) -> Option<ServerToken> {
        let is_counted = count_up(&self.uploads, self.uploads_max);
        is_counted.then(|| ServerToken(Arc::clone(self)))
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

/// Who has as many uploads as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The owner, or as many bytes.
    Owner,
    /// All owners of the process together.
    Server,
}

/// One owner's uploads, attached and parked, over all its connections (CTRL-3).
#[derive(Debug, Default)]
pub struct OwnerTally {
    uploads: AtomicU32,
    /// What their clients declared, whether or not it came yet.
    bytes: AtomicU64,
    server: Option<Arc<ServerTally>>,
}

impl OwnerTally {
    /// Begins to count the uploads of one owner of a process.
    pub fn within(server: Arc<ServerTally>) -> Self {
        Self {
            server: Some(server),
            ..Self::default()
        }
    }

    /// Counts one more upload of `bytes`, unless there are `uploads_max` already, all
    /// would be more than `bytes_max` bytes, or the process has as many as it may.
    pub(crate) fn take(
        self: &Arc<Self>,
        bytes: u64,
        uploads_max: u32,
        bytes_max: u64,
    ) -> Result<OwnerToken, Full> {
        if !count_up(&self.uploads, uploads_max) {
            return Err(Full::Owner);
        }
        let mut token = OwnerToken {
            tally: Arc::clone(self),
            bytes: 0,
            server: None,
        };
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let weighed = self.bytes.fetch_update(done, seen, |sum| {
            sum.checked_add(bytes).filter(|sum| *sum <= bytes_max)
        });
        weighed.map_err(|_| Full::Owner)?;
        token.bytes = bytes;
        if let Some(server) = &self.server {
            token.server = Some(server.take().ok_or(Full::Server)?);
        }
        Ok(token)
    }

    /// Returns how many uploads there are.
    pub fn count(&self) -> u32 {
        self.uploads.load(Ordering::Acquire)
    }

    /// Returns how many bytes they declared together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// One counted upload; uncounted when dropped.
#[derive(Debug)]
pub struct OwnerToken {
    tally: Arc<OwnerTally>,
    bytes: u64,
    server: Option<ServerToken>,
}

impl Drop for OwnerToken {
    fn drop(&mut self) {
        count_down(&self.tally.uploads);
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self
            .tally
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
        let first = tally.take(0, 2, u64::MAX).expect("room for the first");
        let _second = tally.take(0, 2, u64::MAX).expect("room for the second");
        assert_eq!(tally.take(0, 2, u64::MAX).err(), Some(Full::Owner));
        drop(first);
        assert_eq!(tally.count(), 1);
        assert!(tally.take(0, 2, u64::MAX).is_ok());
    }

    /// CTRL-3: bytes are counted as declared, and a refusal counts nothing.
    #[test]
    fn weighs_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally.take(60, 9, 100).expect("room for 60");
        assert!(tally.take(41, 9, 100).is_err());
        assert!(tally.take(u64::MAX, 9, u64::MAX).is_err());
        let second = tally.take(40, 9, 100).expect("room for 40");
        assert_eq!((tally.count(), tally.bytes()), (2, 100));
        drop(first);
        assert_eq!((tally.count(), tally.bytes()), (1, 40));
        drop(second);
        assert_eq!((tally.count(), tally.bytes()), (0, 0));
    }

    /// CTRL-3: owners share what the process has room for, and a refusal counts nothing.
    #[test]
    fn owners_share_the_room_of_a_process() {
        let server = Arc::new(ServerTally::new(2));
        let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
        let (one, two) = (owner(), owner());
        let first = one.take(5, 9, 9).expect("room for the first");
        let _second = two.take(5, 9, 9).expect("room for the second");
        assert_eq!(two.take(1, 9, 9).err(), Some(Full::Server));
        assert_eq!(two.take(5, 9, 9).err(), Some(Full::Owner));
        assert_eq!((two.count(), two.bytes(), server.count()), (1, 5, 2));
        drop(first);
        assert_eq!((one.count(), server.count()), (0, 1));
        assert!(two.take(1, 9, 9).is_ok());
    }
}
