//! How long the record of an unfinished upload is kept, and how the upload expires (RESUME-8).
//!
//! It expires in two steps, since a store that forgot the record first would leave bytes that nothing
//! names. The record is claimed by a conditional write, then the bytes are removed, then the record is
//! deleted. Until it is claimed, a resume wins; from then on the upload is not found. The next look
//! through the records does what is missing:
//!
//! | a process dies | record | bytes | the next look |
//! |---|---|---|---|
//! | before the claim is stored | receiving | there | claims it |
//! | before the bytes are removed | ended, with its checkpoint | there | removes them |
//! | before the record is deleted | ended, with its checkpoint | gone | deletes it |
//!
//! So a store keeps a record with a checkpoint longer than the upload lives, and any other only as long.
//! A registration of which nothing is stored is a reservation: it makes limits exact and refs unique
//! over all nodes, and is kept for minutes.

use std::time::Duration;

use serde_json::Value;
use upload_proto::Code;

use crate::{Borrower, Lease, Now, Record, RecordPhase, SessionLimits, Unclaimed, time::millis};

/// The time within which a holder saves again once its store works: its longest pause, and the call.
const SAVED_WITHIN: Duration = Duration::from_secs(20);

/// An unfinished upload whose time is over.
#[derive(Clone, Debug)]
pub struct Expired {
    /// What claims it, written in the place of the record that was read.
    pub record: Box<Record>,
    /// How long to wait before the claim is written, where a holder may be alive whose store failed: one
    /// that can save does so meanwhile, and the claim conflicts.
    pub held_for: Option<Duration>,
}

impl Record {
    /// Returns how long a store is to keep the record that an upload writes.
    pub(crate) fn kept(&self, limits: &SessionLimits, now: Now) -> Duration {
        let is_bare = self.phase == RecordPhase::Receiving && !self.opened && self.head.is_empty();
        match is_bare {
            true => limits.reserved_ttl.min(limits.record_ttl),
            false => self.kept_for(limits.record_ttl, now.unix_ms),
        }
    }

    /// Decides whether an unfinished upload without progress for `record_ttl` can be removed. One that
    /// has no bytes outside of its record is left to the store.
    pub fn expire_unfinished(
        &self,
        by: &Borrower,
        record_ttl: Duration,
        unix_ms: u64,
    ) -> Option<Expired> {
        let is_unfinished = match self.phase {
            RecordPhase::Receiving | RecordPhase::Completing => self.checkpoint.is_some(),
            RecordPhase::Complete
            | RecordPhase::Waiting
            | RecordPhase::Lent
            | RecordPhase::Taken
            | RecordPhase::Ended => false,
        };
        let until = self.updated_unix_ms.saturating_add(millis(record_ttl));
        if !is_unfinished || unix_ms < until || self.lent_for(by, unix_ms) > 0 {
            return None;
        }
        // A lease that is over does not say that its holder is dead.
        let is_counted = |lease: &&Lease| by.shared_store || lease.boot == by.holder.boot;
        let held_for = self.lease.as_ref().filter(is_counted);
        let held_for = held_for.map(|_| saved_within(by.lease_ttl));
        let record = Self {
            epoch: self.epoch.saturating_add(1),
            ..self.ended(Code::Expired, unix_ms)
        };
        Some(Expired {
            record: Box::new(record),
            held_for,
        })
    }

    /// Returns what takes the place of the record of an upload whose bytes are about to be removed, so that a holder
    /// that lost it finds out. It names nothing, so no look through the records removes it before its time.
    pub(crate) fn marked(&self, code: Code, unix_ms: u64) -> Self {
        Self {
            checkpoint: None,
            result: Value::Null,
            ..self.ended(code, unix_ms)
        }
    }

    /// Returns whether the upload expired unfinished, and its bytes may be there still.
    pub fn is_to_be_removed(&self) -> bool {
        self.phase == RecordPhase::Ended && self.checkpoint.is_some()
    }

    /// Returns what says that the upload ended and its bytes are to be removed.
    pub(crate) fn ended(&self, code: Code, unix_ms: u64) -> Self {
        Self {
            lease: None,
            unclaimed: Some(Unclaimed {
                until_unix_ms: unix_ms,
                take_id: None,
                attempts: 0,
                target: None,
                earlier_targets: Vec::new(),
                code: Some(code),
            }),
            updated_unix_ms: unix_ms,
            ..self.clone().in_phase(RecordPhase::Ended)
        }
    }
}

/// Returns within which time a holder that lives saves once more, and so finds out what became of its upload.
pub(crate) fn saved_within(lease_ttl: Duration) -> Duration {
    lease_ttl.max(SAVED_WITHIN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Holder, record::tests::sample, time::tests::epoch};

    const TTL: Duration = Duration::from_secs(100);

    fn by(shared_store: bool) -> Borrower {
        Borrower {
            holder: Holder {
                boot: "here".into(),
                session: 9,
            },
            lease_ttl: Duration::from_secs(30),
            shared_store,
        }
    }

    fn stored(updated_unix_ms: u64) -> Record {
        Record {
            checkpoint: Some(json!({"file": 1})),
            opened: true,
            lease: None,
            updated_unix_ms,
            ..sample()
        }
    }

    fn leased(boot: &str, expires_unix_ms: u64) -> Record {
        Record {
            lease: Some(Lease {
                boot: boot.into(),
                session: 1,
                client_id: None,
                expires_unix_ms,
            }),
            ..stored(0)
        }
    }

    /// RESUME-8: what was there a moment ago is left, and so is what has no bytes or is over.
    #[test]
    fn resume_8_only_what_made_no_progress_is_claimed() {
        let at = |record: &Record, unix_ms| record.expire_unfinished(&by(true), TTL, unix_ms);
        let record = stored(1_000);
        assert!(at(&record, 100_999).is_none());
        let expired = at(&record, 101_000).expect("its time is over");
        assert_eq!(expired.held_for, None);
        let claimed = *expired.record;
        assert_eq!(claimed.code(), Some(Code::Expired));
        assert_eq!((claimed.epoch, &claimed.lease), (record.epoch + 1, &None));
        assert_eq!(claimed.checkpoint, record.checkpoint);
        assert!(claimed.is_to_be_removed() && !record.is_to_be_removed());
        assert!(at(&claimed, u64::MAX).is_none(), "it is claimed once");
        let bytes = claimed.encode().expect("a small record");
        assert_eq!(Record::decode(&bytes).expect("it is read back"), claimed);
        for phase in [
            RecordPhase::Complete,
            RecordPhase::Waiting,
            RecordPhase::Lent,
            RecordPhase::Taken,
            RecordPhase::Ended,
        ] {
            assert!(at(&stored(0).in_phase(phase), u64::MAX).is_none());
        }
        let reserved = Record {
            checkpoint: None,
            ..stored(0)
        };
        assert!(at(&reserved, u64::MAX).is_none());
    }

    /// RESUME-8, RESUME-9: a holder whose store failed may be alive, whatever its lease says, and has time to save.
    #[test]
    fn resume_8_a_holder_that_may_live_is_waited_for() {
        let at = |record: &Record, shared| record.expire_unfinished(&by(shared), TTL, 200_000);
        let table = [
            // whose lease, until when, whether others see the store, what follows
            ("here", 1, false, Some(true)),
            ("here", 1, true, Some(true)),
            ("there", 1, true, Some(true)),
            ("there", 1, false, Some(false)),
            ("there", 300_000, false, Some(false)),
            ("there", 300_000, true, None),
            ("here", 300_000, false, None),
        ];
        for (boot, until, shared, expected) in table {
            let expired = at(&leased(boot, until), shared);
            let is_held = expired.map(|expired| {
                let held_for = expired.held_for;
                held_for.is_some_and(|pause| pause >= SAVED_WITHIN)
            });
            assert_eq!(is_held, expected, "{boot} {until} {shared}");
        }
    }

    /// COMPLETE-7: a mark is read back, and names nothing that a look through the records would remove.
    #[test]
    fn complete_7_a_mark_names_nothing() {
        let record = leased("there", 1_000);
        let mark = record.marked(Code::Cancelled, 500);
        assert_eq!(mark.code(), Some(Code::Cancelled));
        assert_eq!((mark.epoch, &mark.lease), (record.epoch, &None));
        assert!(mark.is_receipt() && !mark.is_to_be_removed());
        let bytes = mark.encode().expect("a small record");
        assert_eq!(Record::decode(&bytes).expect("it is read back"), mark);
    }

    /// RESUME-8: a record that names bytes outlives the upload, and a mere reservation is short.
    #[test]
    fn resume_8_records_are_kept_by_what_they_name() {
        let limits = SessionLimits::default();
        let now = Now {
            instant: epoch(),
            unix_ms: 0,
        };
        let record = stored(0);
        assert!(record.kept(&limits, now) > limits.record_ttl);
        let no_checkpoint = Record {
            checkpoint: None,
            ..record
        };
        assert_eq!(no_checkpoint.kept(&limits, now), limits.record_ttl);
        let reserved = Record {
            opened: false,
            offset: 0,
            ..no_checkpoint
        };
        assert_eq!(reserved.kept(&limits, now), limits.reserved_ttl);
        let head = Record {
            head: "ab".into(),
            offset: 2,
            ..reserved.clone()
        };
        assert_eq!(head.kept(&limits, now), limits.record_ttl);
        let short = SessionLimits {
            record_ttl: Duration::from_secs(60),
            ..limits
        };
        assert_eq!(reserved.kept(&short, now), short.record_ttl);
    }
}
