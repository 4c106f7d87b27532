//! The table of the machine.

use upload_proto::{Status, UploadRef};

use super::*;

/// Every stage with every step: the phase it leads to, `None` for a step without meaning.
#[test]
fn every_stage_meets_every_step() {
    use SenderPhase::{
        Asking, Cancelling, Checking, Completing, Done, Offline, Sending, Verifying, Waiting,
    };

    let goal = Goal {
        offset: 8,
        next_index: 2,
        crc32c: None,
    };
    let upload = UploadRef::from_bytes([1; 16]);
    let receipt = Box::new(Snapshot::new(upload, Status::Complete));
    let steps = [
        Step::Asked,
        Step::Registered(Reads::from(0)),
        Step::Resumed(Reads::from(0), goal),
        Step::SentBack(Reads::from(0), goal),
        Step::Verified,
        Step::AllSent(ReadId(5)),
        Step::Unchanged,
        Step::ReceiptAnnounced,
        Step::ReceiptToCompare(Reads::from(0), receipt.clone()),
        Step::Deferred(Wake::Unpaused),
        Step::Lost,
        Step::Ended(Outcome::Cancelled),
        Step::CancelledOffline,
    ];
    let (a, v, s, c, m, w) = (
        Some(Asking),
        Some(Verifying),
        Some(Sending),
        Some(Checking),
        Some(Completing),
        Some(Waiting),
    );
    let (lost, end, x) = (Some(Offline), Some(Done), Some(Cancelling));
    let sending = Stage::Sending {
        reads: Reads::from(4),
        next_index: 1,
    };
    let verifying = Stage::Verifying {
        reads: Reads::from(8),
        at_server: AtServer::Prefix(goal),
    };
    let comparing = Stage::Verifying {
        reads: Reads::from(8),
        at_server: AtServer::Whole(receipt.clone()),
    };
    let waits = [
        Wake::Unpaused,
        Wake::Reconnected,
        Wake::FreshRef,
        Wake::At(crate::time::tests::epoch()),
    ];
    let waiting = [
        a, None, v, None, None, None, None, m, None, w, lost, end, None,
    ];
    #[rustfmt::skip]
    let mut table = vec![
        //                 asked registered resumed back verified all unchanged receipt compare deferred lost ended cancelled
        (Stage::Idle,       [a,    None, None, None, None, None, None, None, None, None, lost, end,  x]),
        (Stage::Asking,     [None, s,    v,    None, None, None, None, m,    None, w,    lost, end,  None]),
        (verifying.clone(), [None, None, None, None, s,    None, None, None, None, w,    lost, end,  None]),
        (comparing,         [None, None, None, None, None, None, None, None, None, w,    lost, end,  None]),
        (sending,           [None, None, None, v,    None, c,    None, None, None, w,    lost, end,  None]),
        (Stage::Checking { id: ReadId(1) },
                            [None, None, None, v,    None, None, m,    None, None, w,    lost, end,  None]),
        (Stage::Completing, [None, None, None, v,    None, None, None, None, v,    w,    lost, end,  None]),
        (Stage::Cancelling, [None, None, None, None, None, None, None, None, None, None, x,    end,  None]),
        (Stage::Done(Outcome::FileChanged), [None; 13]),
    ];
    table.extend(waits.map(|wake| (Stage::Waiting(wake), waiting)));
    for (stage, row) in table {
        for (step, expected) in steps.iter().zip(row) {
            let mut next = stage.clone();
            let taken = next.step(step.clone());
            assert_eq!(taken.then(|| next.phase()), expected, "{stage:?}, {step:?}");
            assert!(taken || next == stage, "{stage:?}, {step:?}");
        }
    }
    // Sending begins where the goal is.
    let mut next = verifying;
    next.step(Step::Verified);
    let expected = Stage::Sending {
        reads: Reads::from(8),
        next_index: 2,
    };
    assert_eq!(next, expected);
}
