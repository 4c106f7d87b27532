//! What is looked at when a request over HTTP is answered, or is not.

use upload_core::Reply;

use crate::{plan::FAULTS_END, world::World};

use super::{ANSWER, Asker, Http};

impl World {
    /// Every request that a node was asked is answered while its client waits, even if the answer gets lost.
    pub(super) fn check_answered(&mut self, node: usize, asker: Asker) {
        // What was asked before the last fault may wait for what that held up.
        if self.now < FAULTS_END + 2 * ANSWER {
            return;
        }
        let mut hosts = self.conns.iter().filter(|conn| conn.node == node);
        let is_held = hosts.any(|conn| {
            let mut requests = conn.host.iter().flat_map(|host| host.requests.values());
            requests.any(|(held, _)| held == &asker)
        });
        if is_held {
            self.fail(format!("7 liveness: {asker:?} waits for an answer"));
        }
    }

    /// RESUME-2: an offset that the holder tells is never less than what it told as durable.
    pub(super) fn check_reply(&mut self, conn: usize, reply: &Reply) {
        let (Reply::Created(subject)
        | Reply::At(subject)
        | Reply::Mismatch(subject)
        | Reply::Incomplete(subject)
        | Reply::Excess(subject)) = reply
        else {
            return;
        };
        let key = (self.conns[conn].owner, subject.entry.upload);
        // An old holder that could not learn of the new one tells what it has.
        let lease = self.records.record(key).and_then(|it| it.lease);
        let holds = lease.is_some_and(|lease| lease.session == conn as u64);
        let is_lossy = self.is_lossy || !holds;
        let Some(truth) = self.truth.get_mut(&key) else {
            return;
        };
        let promised = truth.durable_told;
        let is_owed = !truth.may_be_gone && !truth.lost_record && !truth.lost_checkpoint;
        if subject.entry.resumable && is_owed && holds {
            truth.durable_told = promised.max(subject.at.durable);
        }
        if is_owed && !is_lossy && !self.plan.has_delays() && subject.at.received < promised {
            let offered = subject.at.received;
            self.fail(format!(
                "RESUME-2: {promised} bytes were durable, HTTP offers {offered}"
            ));
        }
    }

    /// What is stored may be so only while the answer is on its way, so this is looked at where it is given.
    pub(super) fn check_answered_not_found(&mut self, asker: Asker) {
        let it = &self.tabs[asker.tab].members[asker.member];
        if it.is_excused || it.http != Http::Waiting(asker.attempt) {
            return;
        }
        let key = (self.tabs[asker.tab].owner, it.upload);
        let owed = self.truth.get(&key).filter(|truth| !truth.may_be_gone);
        let promised = owed.map_or(0, |truth| truth.durable_told);
        self.check_not_found(key, promised);
    }
}
