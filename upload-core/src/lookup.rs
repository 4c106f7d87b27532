//! What a record found in the store means to the one who asks (RESUME-4).
//!
//! Within a process, an older connection never takes an upload from a newer one by the client's id alone,
//! so a resume that was long on its way does no harm. Between processes there is no such order, and the
//! later one wins. While the store does not answer, the upload is `locked`, never `not_found`: what a
//! client knows to be durable may well be there.

use crate::{Holder, Lease, Record};

/// Who asks for a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) holder: &'a Holder,
    pub(crate) client_id: Option<&'a str>,
    /// Whether other processes see the same store.
    pub(crate) shared_store: bool,
    /// Whether this process's other holder was already asked to give way.
    pub(crate) evicted: bool,
    /// Whether leases count for nothing: the upload is to end, wherever it is held (COMPLETE-7).
    pub(crate) insists: bool,
    pub(crate) unix_ms: u64,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is complete: answer the receipt (COMPLETE-4).
    Receipt,
    /// Somebody else's lease is live.
    Locked,
    /// A connection of this process holds it and has to give way first.
    Evict,
    /// Take it: write it back with the next epoch.
    Take,
}

/// Judges a record.
pub(crate) fn judge(record: &Record, asker: Asker<'_>) -> Access {
    if record.phase.is_stored() {
        return Access::Receipt;
    }
    let Some(lease) = &record.lease else {
        return Access::Take;
    };
    let is_local = lease.boot == asker.holder.boot;
    // What an older connection says was on its way when its client opened the newer.
    let is_late = is_local && lease.session > asker.holder.session;
    if !asker.insists
        && is_live(lease, is_local, asker)
        && (is_late || !is_same_client(lease, asker))
    {
        return Access::Locked;
    }
    if is_local && !asker.evicted {
        return Access::Evict;
    }
    Access::Take
}

/// A lease of another start of this process is dead if nobody else can have
/// written to the store since.
fn is_live(lease: &Lease, is_local: bool, asker: Asker<'_>) -> bool {
    asker.unix_ms < lease.expires_unix_ms && (is_local || asker.shared_store)
}

fn is_same_client(lease: &Lease, asker: Asker<'_>) -> bool {
    match (lease.client_id.as_deref(), asker.client_id) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RecordPhase, record::tests::sample};

    fn holder() -> Holder {
        Holder {
            boot: "here".into(),
            session: 2,
        }
    }

    fn leased(boot: &str, client_id: Option<&str>, expires_unix_ms: u64) -> Record {
        Record {
            lease: Some(Lease {
                boot: boot.into(),
                session: 1,
                client_id: client_id.map(Into::into),
                expires_unix_ms,
            }),
            ..sample()
        }
    }

    /// RESUME-4: the lease and the client's id decide, nothing else.
    #[test]
    fn every_kind_of_lease() {
        use Access::*;
        let (live, past) = (1000, 10);
        let rows = [
            // boot, its client, expires, our client, shared, evicted, judgement
            ("here", Some("a"), live, Some("a"), false, false, Evict),
            ("here", Some("a"), live, Some("a"), false, true, Take),
            ("here", Some("a"), live, Some("b"), false, false, Locked),
            ("here", Some("a"), live, None, false, false, Locked),
            ("here", None, live, None, false, false, Locked),
            ("here", None, past, None, false, false, Evict),
            ("there", Some("a"), live, Some("a"), true, false, Take),
            ("there", Some("a"), live, Some("b"), true, false, Locked),
            ("there", Some("a"), live, Some("b"), false, false, Take),
            ("there", None, past, None, true, false, Take),
        ];
        for (boot, theirs, expires, ours, shared_store, evicted, expected) in rows {
            let record = leased(boot, theirs, expires);
            let asker = Asker {
                holder: &holder(),
                client_id: ours,
                shared_store,
                evicted,
                insists: false,
                unix_ms: 500,
            };
            assert_eq!(
                judge(&record, asker),
                expected,
                "{boot} {theirs:?} {expires} {ours:?} {shared_store} {evicted}"
            );
        }
    }

    /// RESUME-4: a request that was long on its way over an older connection takes
    /// nothing from the newer connection of the same client.
    #[test]
    fn a_late_request_takes_nothing() {
        let record = leased("here", Some("a"), 1000);
        for (session, unix_ms, expected) in [
            (0, 500, Access::Locked),
            (2, 500, Access::Evict),
            (0, 1000, Access::Evict),
        ] {
            let holder = Holder {
                session,
                ..holder()
            };
            let asker = Asker {
                holder: &holder,
                client_id: Some("a"),
                shared_store: true,
                evicted: false,
                insists: false,
                unix_ms,
            };
            assert_eq!(judge(&record, asker), expected, "{session} at {unix_ms}");
        }
    }

    /// COMPLETE-4: a receipt is anybody's of that owner, lease or not.
    #[test]
    fn a_receipt_needs_no_lease() {
        let mut record = leased("there", Some("a"), 1000);
        record.phase = RecordPhase::Complete;
        let asker = Asker {
            holder: &holder(),
            client_id: None,
            shared_store: true,
            evicted: false,
            insists: false,
            unix_ms: 500,
        };
        assert_eq!(judge(&record, asker), Access::Receipt);
        record.phase = RecordPhase::Receiving;
        record.lease = None;
        assert_eq!(judge(&record, asker), Access::Take);
    }
}
