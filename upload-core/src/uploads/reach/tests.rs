//! Every stage of a reach meets every event.

use serde_json::Value;

use super::*;
use crate::{
    CheckpointChange, Holder, Length, Now, SessionConfig, SessionLimits, StorageFault, WriterEvent,
    news::Effects, record::tests::sample, time::tests::epoch,
};

type Event = fn(&mut Reach, &mut Context<'_>) -> Step;

const ID: EntryId = EntryId(1);

/// The events, in the order of the table's columns.
const EVENTS: [Event; 13] = [
    |reach, cx| reach.store(ID, StoreEvent::Found(None), true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Failed, true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Evicted, true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Parked(None), true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Saved(RecordVersion(2)), true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Conflict, true, cx),
    |reach, cx| reach.store(ID, StoreEvent::Deleted, true, cx),
    |reach, cx| reach.authorized(ID, Ok(()), cx),
    |reach, cx| reach.authorized(ID, Err(Code::Forbidden.into()), cx),
    |reach, cx| {
        let checkpoint = CheckpointChange::Same;
        reach.writer(WriterEvent::Reopened { checkpoint }, cx)
    },
    |reach, cx| {
        let result = Value::Null;
        reach.writer(WriterEvent::ClosedBefore { result }, cx)
    },
    |reach, cx| reach.writer(WriterEvent::Gone, cx),
    |reach, cx| reach.writer(WriterEvent::Failed(StorageFault::Failed), cx),
];

/// One row per stage, one column per event: the stage it waits in next, or how it ends. A dot
/// means that the event changes nothing: a late answer.
const TABLE: [(&str, &str); 6] = [
    // none failed evicted parked saved conflict deleted yes no reopened closed gone broken
    ("reading", "not-found unreadable . . . . . . . . . . ."),
    ("asking", ". . . . . . . reading refused . . . ."),
    ("evicting", ". . reading . . . . . . . . . ."),
    ("looking", ". . . answered . . . . . . . . ."),
    ("claiming", ". locked . . reopening reading . . . . . . ."),
    ("reopening", ". . . . . . . . . became became lost became"),
];

fn stage(reach: &Reach) -> &'static str {
    match reach.stage {
        Stage::Reading(_) => "reading",
        Stage::Asking => "asking",
        Stage::Evicting => "evicting",
        Stage::Looking(_) => "looking",
        Stage::Claiming(_) => "claiming",
        Stage::Reopening(_) => "reopening",
    }
}

fn at_stage(name: &str, cx: &mut Context<'_>) -> Reach {
    at_stage_of(name, sample(), cx)
}

fn at_stage_of(name: &str, record: Record, cx: &mut Context<'_>) -> Reach {
    let mut reach = Reach::new(UploadRef::from_bytes([1; 16]), Asks::Continue(None));
    match name {
        "asking" => reach.stage = Stage::Asking,
        "evicting" => reach.stage = Stage::Evicting,
        "looking" => reach.stage = Stage::Looking(Box::new(record)),
        "claiming" | "reopening" => {
            let slot = Arc::new(SlotRules::new("video"));
            let found = (record, RecordVersion(1));
            let step = reach.take(ID, found, slot, None, cx);
            assert!(matches!(step, Step::Waits));
            if name == "reopening" {
                reach.store(ID, StoreEvent::Saved(RecordVersion(2)), true, cx);
            }
        }
        _ => {}
    }
    assert_eq!(stage(&reach), name);
    reach
}

fn with_context(test: impl FnOnce(&mut Context<'_>)) {
    let config = SessionConfig {
        slots: Default::default(),
        plain: false,
        holder: Holder {
            boot: "here".into(),
            session: 1,
        },
        tally: Arc::default(),
        limits: SessionLimits::default(),
        checksum: true,
        announces: false,
    };
    let mut effects = Effects::default();
    let mut cx = Context {
        effects: &mut effects,
        config: &config,
        now: Now {
            instant: epoch(),
            unix_ms: 0,
        },
        is_connected: true,
    };
    test(&mut cx);
}

#[test]
fn every_stage_meets_every_event() {
    with_context(|cx| {
        for (name, row) in TABLE {
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!(cells.len(), EVENTS.len(), "{name}");
            for (number, (event, cell)) in EVENTS.iter().zip(cells).enumerate() {
                let mut reach = at_stage(name, cx);
                let step = event(&mut reach, cx);
                let is = match step {
                    Step::Waits if stage(&reach) == name => ".",
                    Step::Waits => stage(&reach),
                    Step::Answered(Answer::NotFound) => "not-found",
                    Step::Answered(Answer::Locked(_)) => "locked",
                    Step::Answered(Answer::Unreadable) => "unreadable",
                    Step::Answered(Answer::Refused(_)) => "refused",
                    Step::Answered(Answer::Receipt(_) | Answer::Found(..) | Answer::Ended(_)) => {
                        "answered"
                    }
                    Step::Take(..) => "take",
                    Step::Became(..) => "became",
                    Step::Lost(_) => "lost",
                };
                assert_eq!(is, cell, "{name} {number}");
            }
        }
    });
}

/// The holder that stored the file had lost its record, and what is left of it tells no length.
#[test]
fn a_file_found_stored_is_not_what_a_record_without_its_length_is_about() {
    with_context(|cx| {
        let record = Record {
            length: Length::AtMost(100),
            ..sample()
        };
        let mut reach = at_stage_of("reopening", record, cx);
        let result = Value::Null;
        let step = reach.writer(WriterEvent::ClosedBefore { result }, cx);
        assert!(matches!(step, Step::Lost(_)), "{step:?}");
    });
}
