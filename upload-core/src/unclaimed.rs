//! Finished uploads that wait for their application: who may take one, and what becomes of it (CTRL-6).
//!
//! ```text
//!             lend            commit
//! Waiting ─────────▶ Lent ──────────▶ Taken
//!    ▲                │ │ refuse
//!    └────────────────┘ └───────────▶ Ended ◀── remove, expire ── Waiting
//!        give back
//! ```
//!
//! An upload is lent under a lease and committed once. A lease that is not renewed ends, so a process
//! that died keeps nothing, and the upload is lent again under the same take id and as a higher attempt. Every
//! step is a conditional write of the record, so of any number of processes one takes it, and a
//! borrower whose lease went to another finds that out before it commits.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;
use upload_proto::{Code, UploadRef};

use crate::{
    Entry, EntryId, EntryStatus, Holder, Lease, Record, RecordPhase, Unclaimed, time::millis,
};

/// How much longer than its upload may wait a record is kept, so that the upload can be removed before the only
/// record that names it is gone (RESUME-8).
pub(crate) const OVERDUE_KEPT: Duration = Duration::from_secs(48 * 3600);

/// Who wants to borrow finished uploads.
#[derive(Clone, Debug)]
pub struct Borrower {
    /// The start of the process, and a number for the loan.
    pub holder: Holder,
    /// How long the loan lasts without renewal.
    pub lease_ttl: Duration,
    /// Whether other processes see the store; if not, a lease of another start is known to be dead.
    pub shared_store: bool,
}

/// Names one loan of one upload, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loan {
    /// Names every attempt to take the upload.
    pub take_id: String,
    /// Which attempt it is, beginning at 1.
    pub attempt: u32,
}

/// What becomes of a wish to borrow.
#[derive(Clone, Debug, PartialEq)]
pub enum Lending {
    /// Write this record; once it is written, the upload is lent.
    Lend(Box<Record>, Loan),
    /// Another borrower has it, for so many milliseconds unless it renews.
    Lent(u64),
    /// It was taken.
    Taken,
    /// There is no finished upload to be had: unfinished, ended and expired look alike.
    Unknown,
}

/// What becomes of a step of a borrower.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    /// Write this record; once it is written, the step is done.
    Write(Box<Record>),
    /// It was done before, and only its answer was lost.
    Done,
    /// The loan is over: the upload is another's by now, taken or gone.
    Lost,
}

/// What becomes of a wish to remove.
#[derive(Clone, Debug, PartialEq)]
pub enum Removal {
    /// Write this record; once it is written, remove the file, and then the record.
    End(Box<Record>),
    /// It ended before with this code; its file may have to be removed still.
    Ended(Code),
    /// It is lent.
    Lent,
    /// It was taken.
    Taken,
    /// There is no finished upload to be removed.
    Unknown,
}

impl Record {
    /// Decides whether a finished upload can be lent. `take_id` names it if it was never lent before.
    pub fn lend(&self, by: &Borrower, take_id: &str, unix_ms: u64) -> Lending {
        match self.phase {
            RecordPhase::Waiting if !self.is_overdue(unix_ms) => {}
            RecordPhase::Lent => {
                let left = self.lent_for(by, unix_ms);
                if left > 0 {
                    return Lending::Lent(left);
                }
                if self.is_overdue(unix_ms) {
                    return Lending::Unknown;
                }
            }
            RecordPhase::Complete | RecordPhase::Taken => return Lending::Taken,
            RecordPhase::Waiting
            | RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Ended => return Lending::Unknown,
        }
        let Some(unclaimed) = &self.unclaimed else {
            return Lending::Unknown;
        };
        let take_id = unclaimed.take_id.as_deref().unwrap_or(take_id);
        let loan = Loan {
            take_id: take_id.to_owned(),
            attempt: unclaimed.attempts.saturating_add(1),
        };
        let unclaimed = Unclaimed {
            take_id: Some(loan.take_id.clone()),
            attempts: loan.attempt,
            ..unclaimed.clone()
        };
        let record = Self {
            lease: Some(lease(by, unix_ms)),
            unclaimed: Some(unclaimed),
            updated_unix_ms: unix_ms,
            ..self.clone().in_phase(RecordPhase::Lent)
        };
        Lending::Lend(Box::new(record), loan)
    }

    /// Decides about a longer loan.
    pub fn renew(&self, loan: &Loan, by: &Borrower, unix_ms: u64) -> Settlement {
        if !self.is_lent(loan) {
            return Settlement::Lost;
        }
        Settlement::Write(Box::new(Self {
            lease: Some(lease(by, unix_ms)),
            updated_unix_ms: unix_ms,
            ..self.clone()
        }))
    }

    /// Notes where the borrower moves the file to, before it does: after a crash it is where it was stored, or at
    /// one of the targets. `found_at` is the target at which it is now; of the others the oldest is forgotten where
    /// there are too many.
    pub fn aim(
        &self,
        loan: &Loan,
        target: &str,
        found_at: Option<&str>,
        unix_ms: u64,
    ) -> Settlement {
        if !self.is_lent(loan) {
            return Settlement::Lost;
        }
        self.settle(RecordPhase::Lent, unix_ms, |unclaimed| {
            unclaimed.aim(target, found_at)
        })
    }

    /// Forgets a target that the file was not moved to: another file is there.
    pub fn forget_target(&self, loan: &Loan, target: &str, unix_ms: u64) -> Settlement {
        if !self.is_lent(loan) {
            return Settlement::Lost;
        }
        self.settle(RecordPhase::Lent, unix_ms, |unclaimed| {
            unclaimed.forget(target)
        })
    }

    /// Decides about the end of a loan: the application has the file, and it is never lent again.
    pub fn commit(&self, loan: &Loan, unix_ms: u64) -> Settlement {
        match self.phase {
            RecordPhase::Lent if self.is_of(loan) => {
                self.settle(RecordPhase::Taken, unix_ms, |_| {})
            }
            RecordPhase::Taken if self.is_of(loan) => Settlement::Done,
            RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Complete
            | RecordPhase::Waiting
            | RecordPhase::Lent
            | RecordPhase::Taken
            | RecordPhase::Ended => Settlement::Lost,
        }
    }

    /// Decides about a loan that comes back: the upload waits again.
    pub fn give_back(&self, loan: &Loan, unix_ms: u64) -> Settlement {
        match self.phase {
            RecordPhase::Lent if self.is_of(loan) => {
                self.settle(RecordPhase::Waiting, unix_ms, |_| {})
            }
            RecordPhase::Waiting if self.is_of(loan) => Settlement::Done,
            RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Complete
            | RecordPhase::Waiting
            | RecordPhase::Lent
            | RecordPhase::Taken
            | RecordPhase::Ended => Settlement::Lost,
        }
    }

    /// Decides about a loan whose borrower does not want the file: it is to be removed.
    pub fn refuse(&self, loan: &Loan, code: Code, unix_ms: u64) -> Settlement {
        match self.phase {
            RecordPhase::Lent if self.is_of(loan) => self.end(code, unix_ms),
            RecordPhase::Ended if self.is_of(loan) => Settlement::Done,
            RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Complete
            | RecordPhase::Waiting
            | RecordPhase::Lent
            | RecordPhase::Taken
            | RecordPhase::Ended => Settlement::Lost,
        }
    }

    /// Decides whether a finished upload that was not taken can be removed (COMPLETE-7).
    pub fn remove(&self, by: &Borrower, code: Code, unix_ms: u64) -> Removal {
        match self.phase {
            RecordPhase::Waiting => {}
            RecordPhase::Lent if self.lent_for(by, unix_ms) == 0 => {}
            RecordPhase::Lent => return Removal::Lent,
            RecordPhase::Complete | RecordPhase::Taken => return Removal::Taken,
            RecordPhase::Ended => return self.code().map_or(Removal::Unknown, Removal::Ended),
            RecordPhase::Receiving | RecordPhase::Completing => return Removal::Unknown,
        }
        match self.end(code, unix_ms) {
            Settlement::Write(record) => Removal::End(record),
            Settlement::Done | Settlement::Lost => Removal::Unknown,
        }
    }

    /// Returns the record of an upload that waited long enough, so that it can be removed.
    pub fn expire(&self, by: &Borrower, unix_ms: u64) -> Option<Box<Self>> {
        if !self.is_overdue(unix_ms) {
            return None;
        }
        match self.remove(by, Code::Expired, unix_ms) {
            Removal::End(record) => Some(record),
            Removal::Ended(_) | Removal::Lent | Removal::Taken | Removal::Unknown => None,
        }
    }

    /// Returns a finished upload as applications see it.
    pub fn entry(&self, upload: UploadRef) -> Entry {
        let mut entry = Entry::new(
            EntryId(0),
            self.slot.as_str().into(),
            self.registration(upload),
            self.length,
            false,
        );
        entry.stored_name.clone_from(&self.stored_name);
        entry.folder.clone_from(&self.folder);
        entry.bytes_received = self.length.max();
        entry.status = EntryStatus::Complete;
        entry.result = Some(self.result.clone());
        entry.crc32c = self.file_crc32c;
        entry
    }

    /// Returns how long a store is to keep the record: long enough for what has to be removed before it,
    /// and for `record_ttl` where it only tells what became of the upload.
    pub fn kept_for(&self, record_ttl: Duration, unix_ms: u64) -> Duration {
        let until = self
            .unclaimed
            .as_ref()
            .map(|unclaimed| unclaimed.until_unix_ms);
        let left = until.unwrap_or(0).saturating_sub(unix_ms);
        match self.phase {
            RecordPhase::Waiting | RecordPhase::Lent => {
                Duration::from_millis(left).saturating_add(OVERDUE_KEPT)
            }
            RecordPhase::Ended if !self.result.is_null() => record_ttl.saturating_add(OVERDUE_KEPT),
            RecordPhase::Receiving | RecordPhase::Completing | RecordPhase::Ended
                if self.checkpoint.is_some() =>
            {
                record_ttl.saturating_add(OVERDUE_KEPT)
            }
            RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Complete
            | RecordPhase::Taken
            | RecordPhase::Ended => record_ttl,
        }
    }

    /// Returns whether the record only tells what became of the upload: nothing is named by it alone, and losing it
    /// costs its client the answer.
    pub fn is_receipt(&self) -> bool {
        match self.phase {
            RecordPhase::Complete | RecordPhase::Taken => true,
            // Until its bytes or its file are removed, it says where they are.
            RecordPhase::Ended => self.result.is_null() && self.checkpoint.is_none(),
            RecordPhase::Receiving
            | RecordPhase::Completing
            | RecordPhase::Waiting
            | RecordPhase::Lent => false,
        }
    }

    /// Returns the record of an ended upload whose file is gone, which only tells how it ended; `None` for
    /// any other.
    pub fn removed(&self) -> Option<Self> {
        (self.phase == RecordPhase::Ended).then(|| Self {
            result: Value::Null,
            ..self.clone()
        })
    }

    /// Returns the code an upload ended with after it was stored, if it did.
    pub fn code(&self) -> Option<Code> {
        self.unclaimed.as_ref()?.code
    }

    /// Returns whether it waited for as long as it may.
    fn is_overdue(&self, unix_ms: u64) -> bool {
        let unclaimed = self.unclaimed.as_ref();
        unclaimed.is_none_or(|unclaimed| unclaimed.until_unix_ms <= unix_ms)
    }

    fn is_lent(&self, loan: &Loan) -> bool {
        self.phase == RecordPhase::Lent && self.is_of(loan)
    }

    fn is_of(&self, loan: &Loan) -> bool {
        self.unclaimed.as_ref().is_some_and(|unclaimed| {
            unclaimed.attempts == loan.attempt
                && unclaimed.take_id.as_deref() == Some(&*loan.take_id)
        })
    }

    /// Returns for how many milliseconds the lease is good; none of it once its process is known to
    /// be dead.
    pub(crate) fn lent_for(&self, by: &Borrower, unix_ms: u64) -> u64 {
        let lease = self.lease.as_ref();
        lease
            .filter(|lease| by.shared_store || lease.boot == by.holder.boot)
            .map_or(0, |lease| lease.expires_unix_ms.saturating_sub(unix_ms))
    }

    fn end(&self, code: Code, unix_ms: u64) -> Settlement {
        self.settle(RecordPhase::Ended, unix_ms, |unclaimed| {
            unclaimed.code = Some(code)
        })
    }

    fn settle(
        &self,
        phase: RecordPhase,
        unix_ms: u64,
        change: impl FnOnce(&mut Unclaimed),
    ) -> Settlement {
        let Some(mut unclaimed) = self.unclaimed.clone() else {
            return Settlement::Lost;
        };
        change(&mut unclaimed);
        let lease = self.lease.clone().filter(|_| phase == RecordPhase::Lent);
        Settlement::Write(Box::new(Self {
            lease,
            unclaimed: Some(unclaimed),
            updated_unix_ms: unix_ms,
            ..self.clone().in_phase(phase)
        }))
    }
}

fn lease(by: &Borrower, unix_ms: u64) -> Lease {
    Lease {
        boot: by.holder.boot.clone(),
        session: by.holder.session,
        client_id: None,
        expires_unix_ms: unix_ms.saturating_add(millis(by.lease_ttl)),
    }
}
