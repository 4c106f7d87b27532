//! Every phase and every wish.

use super::*;
use crate::record::tests::sample;

const UNTIL: u64 = 10_000;

fn borrower(boot: &str) -> Borrower {
    Borrower {
        holder: Holder {
            boot: boot.into(),
            session: 1,
        },
        lease_ttl: Duration::from_secs(1),
        shared_store: true,
    }
}

fn waiting() -> Record {
    Record {
        unclaimed: Some(Unclaimed {
            until_unix_ms: UNTIL,
            take_id: None,
            attempts: 0,
            target: None,
            earlier_targets: Vec::new(),
            code: None,
        }),
        ..sample().in_phase(RecordPhase::Waiting)
    }
}

fn lend(record: &Record, boot: &str, unix_ms: u64) -> (Record, Loan) {
    match record.lend(&borrower(boot), "new", unix_ms) {
        Lending::Lend(record, loan) => (*record, loan),
        other => panic!("{other:?}"),
    }
}

fn written(settlement: Settlement) -> Record {
    match settlement {
        Settlement::Write(record) => *record,
        other => panic!("{other:?}"),
    }
}

/// Every phase, with the loan of the one that is or was lent.
fn phases() -> (Vec<Record>, Loan) {
    let (lent, loan) = lend(&waiting(), "here", 0);
    let taken = written(lent.commit(&loan, 1));
    let ended = written(lent.refuse(&loan, Code::Cancelled, 1));
    let all = vec![
        sample(),
        sample().in_phase(RecordPhase::Completing),
        sample().in_phase(RecordPhase::Complete),
        waiting(),
        lent,
        taken,
        ended,
    ];
    (all, loan)
}

/// CTRL-6: every phase meets every wish of its borrower, of another one, and of who removes it.
#[test]
fn ctrl_6_every_phase_meets_every_wish() {
    // lend, renew, commit, give back, refuse, remove, expire too early
    let table = [
        ["unknown", "lost", "lost", "lost", "lost", "unknown", "no"],
        ["unknown", "lost", "lost", "lost", "lost", "unknown", "no"],
        ["taken", "lost", "lost", "lost", "lost", "taken", "no"],
        ["Lent", "lost", "lost", "lost", "lost", "Ended", "no"],
        ["lent", "Lent", "Taken", "Waiting", "Ended", "lent", "no"],
        ["taken", "lost", "done", "lost", "lost", "taken", "no"],
        ["unknown", "lost", "lost", "lost", "done", "ended", "no"],
    ];
    let settled = |settlement| match settlement {
        Settlement::Write(record) => format!("{:?}", record.phase),
        Settlement::Done => "done".into(),
        Settlement::Lost => "lost".into(),
    };
    let (all, loan) = phases();
    let by = borrower("there");
    for (record, row) in all.iter().zip(table) {
        let lending = match record.lend(&by, "new", 2) {
            Lending::Lend(record, _) => format!("{:?}", record.phase),
            Lending::Lent(left) => {
                assert_eq!(left, 998);
                "lent".into()
            }
            Lending::Taken => "taken".into(),
            Lending::Unknown => "unknown".into(),
        };
        let removal = match record.remove(&by, Code::Cancelled, 2) {
            Removal::End(record) => format!("{:?}", record.phase),
            Removal::Ended(code) => {
                assert_eq!(code, Code::Cancelled);
                "ended".into()
            }
            Removal::Lent => "lent".into(),
            Removal::Taken => "taken".into(),
            Removal::Unknown => "unknown".into(),
        };
        let expired = record.expire(&by, 2).map_or("no", |_| "yes");
        let found = [
            lending,
            settled(record.renew(&loan, &by, 2)),
            settled(record.commit(&loan, 2)),
            settled(record.give_back(&loan, 2)),
            settled(record.refuse(&loan, Code::Cancelled, 2)),
            removal,
            expired.into(),
        ];
        assert_eq!(found, row, "{:?}", record.phase);
    }
}

/// CTRL-6: what comes back is lent again under the same id, as a higher attempt; the first borrower
/// can not commit it any more.
#[test]
fn ctrl_6_an_attempt_that_is_over_commits_nothing() {
    let (lent, first) = lend(&waiting(), "here", 0);
    assert_eq!((&*first.take_id, first.attempt), ("new", 1));
    let back = written(lent.give_back(&first, 5));
    assert_eq!((back.phase, &back.lease), (RecordPhase::Waiting, &None));
    let again = match back.lend(&borrower("there"), "other", 6) {
        Lending::Lend(record, loan) => {
            assert_eq!((&*loan.take_id, loan.attempt), ("new", 2));
            *record
        }
        other => panic!("{other:?}"),
    };
    for settlement in [
        again.commit(&first, 7),
        again.give_back(&first, 7),
        again.refuse(&first, Code::Cancelled, 7),
        again.renew(&first, &borrower("here"), 7),
        again.aim(&first, "there", None, 7),
        again.forget_target(&first, "there", 7),
    ] {
        assert_eq!(settlement, Settlement::Lost);
    }
}

/// CTRL-6: a lease that is not renewed ends, and so does one of a process that is known to be dead.
#[test]
fn ctrl_6_a_dead_borrower_keeps_nothing() {
    let (lent, _) = lend(&waiting(), "here", 0);
    assert_eq!(lent.lend(&borrower("there"), "new", 999), Lending::Lent(1));
    assert_eq!(lend(&lent, "there", 1000).1.attempt, 2);
    let alone = Borrower {
        shared_store: false,
        ..borrower("there")
    };
    assert!(matches!(lent.lend(&alone, "new", 5), Lending::Lend(..)));
    let same = Borrower {
        shared_store: false,
        ..borrower("here")
    };
    assert_eq!(lent.lend(&same, "new", 5), Lending::Lent(995));
}

/// CTRL-6: what waited long enough is not lent, and not removed while it is lent.
#[test]
fn ctrl_6_waiting_has_an_end() {
    let by = borrower("here");
    assert_eq!(waiting().lend(&by, "new", UNTIL), Lending::Unknown);
    assert!(waiting().expire(&by, UNTIL - 1).is_none());
    let ended = waiting().expire(&by, UNTIL).expect("it is over");
    assert_eq!(
        (ended.phase, ended.code()),
        (RecordPhase::Ended, Some(Code::Expired))
    );
    let (lent, loan) = lend(&waiting(), "here", UNTIL - 1);
    assert!(lent.expire(&by, UNTIL + 1).is_none(), "a handler has it");
    assert_eq!(
        written(lent.commit(&loan, UNTIL + 1)).phase,
        RecordPhase::Taken
    );
    let back = written(lent.give_back(&loan, UNTIL + 1));
    assert!(back.expire(&by, UNTIL + 1).is_some());
}

/// CTRL-6: the file is at one of the targets that were named, so none of them is forgotten while it may be there.
#[test]
fn ctrl_6_targets_of_earlier_attempts_are_kept() {
    let (mut record, loan) = lend(&waiting(), "here", 0);
    let targets = |record: &Record| {
        let unclaimed = record.unclaimed.as_ref().expect("it waits");
        unclaimed.targets().collect::<Vec<_>>().join(" ")
    };
    for (target, found_at, wanted) in [
        ("a", None, "a"),
        ("a", None, "a"),
        ("b", Some("a"), "a b"),
        ("c", Some("a"), "a b c"),
        ("b", Some("a"), "a c b"),
        ("d", Some("a"), "a c b d"),
        ("e", Some("a"), "a b d e"),
        ("f", Some("d"), "b d e f"),
        ("g", None, "d e f g"),
    ] {
        record = written(record.aim(&loan, target, found_at, 1));
        assert_eq!(targets(&record), wanted, "after {target}");
    }
    for (target, wanted) in [
        ("f", "d e g"),
        ("g", "d e"),
        ("x", "d e"),
        ("e", "d"),
        ("d", ""),
    ] {
        record = written(record.forget_target(&loan, target, 2));
        assert_eq!(targets(&record), wanted, "without {target}");
    }
}

/// COMPLETE-4: only what names nothing that is left is a receipt.
#[test]
fn complete_4_a_receipt_names_nothing_to_be_removed() {
    let (all, _) = phases();
    let file = |record: Record| Record {
        result: serde_json::json!({"file": 1}),
        checkpoint: None,
        ..record
    };
    let found: Vec<bool> = all
        .iter()
        .map(|record| file(record.clone()).is_receipt())
        .collect();
    assert_eq!(found, [false, false, true, false, false, true, false]);
    let ended = file(sample().in_phase(RecordPhase::Ended));
    let removed = ended.removed().expect("it ended");
    assert!(removed.is_receipt());
    let has_bytes = Record {
        checkpoint: Some(serde_json::json!({"file": 1})),
        ..removed
    };
    assert!(!has_bytes.is_receipt());
}
