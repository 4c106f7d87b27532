//! What has to be true of a finished upload, whatever handlers, pages and time do.

use upload_core::{Charge, EARLIER_TARGETS_MAX, Lending, Record, RecordPhase, Unclaimed};

use super::{EPOCH, FAULTS_END, KEY, Loans, Taking, actor::Job};

/// What is known, whatever the messages say.
pub(super) struct Truth {
    pub(super) loans: Loans,
    pub(super) file_is_there: bool,
    /// Who heard that it has the file for good.
    taken_by: Option<usize>,
    is_taken: bool,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            loans: Loans::new(),
            file_is_there: true,
            taken_by: None,
            is_taken: false,
        }
    }
}

impl Taking {
    /// Looks at a write that took effect.
    pub(super) fn judge(&mut self, actor: usize, job: Job, before: &Record, after: &Record) {
        use RecordPhase::{Ended, Lent, Taken, Waiting};
        let is_allowed = match (before.phase, after.phase) {
            (Waiting, Lent | Ended) | (Lent, Lent | Waiting | Taken | Ended) => true,
            (Ended, Ended) => after.result.is_null(),
            _ => false,
        };
        if !is_allowed {
            let (from, to) = (before.phase, after.phase);
            return self.fail(&format!("CTRL-6: {job:?} writes {to:?} after {from:?}"));
        }
        let charge = match after.phase {
            Waiting | Lent => Charge::Waiting(10),
            _ => Charge::Nothing,
        };
        if after.charge() != charge {
            self.fail("CTRL-3: a record counts as what it is not");
        }
        self.is_taken_now(after.phase == Taken);
        let (Some(old), Some(new)) = (&before.unclaimed, &after.unclaimed) else {
            return self.fail("CTRL-6: a record forgot that it waits");
        };
        self.judge_attempts(old, new, after.phase);
        let is_new = new.attempts != old.attempts;
        let is_removed = after.phase == Ended && matches!(job, Job::Remove | Job::Reap);
        if (is_new || is_removed) && self.is_exact() {
            let now = EPOCH + self.now;
            let live = self.truth.loans.iter();
            let mut live = live.filter(|(it, (_, until))| **it != actor && *until > now);
            if let Some((other, loan)) = live.find(|(other, _)| self.is_alive(**other)) {
                let what = if is_new { "lent" } else { "removed" };
                self.fail(&format!(
                    "CTRL-6: it is {what} by {actor} while {other} has {loan:?}"
                ));
            }
        }
    }

    fn is_taken_now(&mut self, is_taken: bool) {
        self.truth.is_taken |= is_taken;
    }

    fn judge_attempts(&mut self, old: &Unclaimed, new: &Unclaimed, phase: RecordPhase) {
        let lends = new.attempts == old.attempts + 1 && phase == RecordPhase::Lent;
        if new.attempts != old.attempts && !lends {
            self.fail(&format!(
                "CTRL-6: attempt {} after {}",
                new.attempts, old.attempts
            ));
        }
        if old.take_id.is_some() && old.take_id != new.take_id {
            self.fail("CTRL-6: another take id");
        }
        let keeps = |target| new.targets().any(|it| it == target);
        let is_full = new.earlier_targets.len() == EARLIER_TARGETS_MAX;
        if new.target.is_none() && old.target.is_some() || !is_full && !old.targets().all(keeps) {
            self.fail("CTRL-6: the target of a move is forgotten");
        }
        if old.until_unix_ms != new.until_unix_ms {
            self.fail("CTRL-6: it waits for another time");
        }
    }

    /// Checks what a handler is told when it asks for the upload.
    pub(super) fn judge_lending(&mut self, actor: usize, record: &Record, lending: &Lending) {
        let now = self.unix_ms(actor);
        let is_overdue = EPOCH + self.until <= now;
        let mine = self.borrower(actor).holder.boot;
        match lending {
            Lending::Lend(..) if is_overdue => self.fail("CTRL-6: lent after its time"),
            Lending::Lent(_) if !self.is_shared => {
                let lease = record.lease.as_ref();
                if lease.is_some_and(|lease| lease.boot != mine) {
                    self.fail("CTRL-6: a dead process keeps it");
                }
            }
            Lending::Taken if !self.truth.is_taken => self.fail("CTRL-6: nobody took it"),
            Lending::Unknown if record.phase.is_unclaimed() && !is_overdue => {
                self.fail("CTRL-6: what waits is not known");
            }
            _ => {}
        }
    }

    /// A handler heard that the file is its application's.
    pub(super) fn judge_commit(&mut self, actor: usize) {
        if let Some(other) = self.truth.taken_by.filter(|other| *other != actor) {
            self.fail(&format!("CTRL-6: taken by {other} and by {actor}"));
        }
        if !self.truth.is_taken {
            self.fail("CTRL-6: it is told to be taken, which no record says");
        }
        self.truth.taken_by = Some(actor);
    }

    /// A handler heard that its loan is over.
    pub(super) fn judge_loss(&mut self, actor: usize) {
        let now = self.unix_ms(actor);
        let counts = self.truth.loans.get(&actor);
        let is_live = counts.is_some_and(|(_, until)| *until > now);
        if is_live && self.is_exact() {
            self.fail(&format!("CTRL-6: the live loan of {actor} is over"));
        }
    }

    /// The only record that names a file is there as long as the file.
    pub(super) fn check_record(&mut self) {
        let is_there = self.records.is_there(KEY, self.now);
        if !is_there && self.truth.file_is_there && !self.truth.is_taken {
            self.fail("RESUME-8: no record tells of the file");
        }
    }

    /// In the end it is taken, or gone.
    pub(super) fn look_back(&mut self) {
        let phase = self.records.last.get(&KEY).map(|record| record.phase);
        if self.wrong.is_some() {
            return;
        }
        match phase {
            Some(RecordPhase::Taken) => {
                if !self.truth.file_is_there {
                    self.fail("CTRL-6: the file that was taken is gone");
                }
            }
            Some(RecordPhase::Ended) => {
                if self.truth.file_is_there {
                    self.fail("COMPLETE-7: the file of an upload that ended is left");
                }
            }
            other => self.fail(&format!(
                "7 liveness: {other:?}, though one came after {FAULTS_END} ms to take it"
            )),
        }
    }
}
