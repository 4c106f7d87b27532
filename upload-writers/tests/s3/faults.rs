//! Every fault at every step: retried to one object with the right bytes, or one error and nothing
//! left behind.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use upload_writers::{
    AbortReason, S3Provider, WriteErrorKind, WriterFactory,
    conformance::{facts, pattern},
};

use super::{
    MIB, assert_stored, factory, factory_with,
    stage::{Asked, Fault, Stage},
    store, write,
};

pub(crate) const FAULTS: [Fault; 6] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::ErrorInBody,
    Fault::Reset,
    Fault::Hang,
    Fault::LoseAnswer,
];

/// The steps of an upload of 11 MiB.
pub(crate) const STEPS: [Asked; 4] = [
    Asked::Create,
    Asked::Part(1),
    Asked::Part(3),
    Asked::Complete,
];

async fn upload(stage: &Stage, size: usize) -> Result<(), upload_writers::WriteError> {
    let factory = factory_with(stage, |config| {
        // Long enough for an honest answer on a busy machine, short enough to wait for three times.
        config.retry.attempt_timeout = Duration::from_secs(2);
    });
    let bytes = Bytes::from(pattern(7, size));
    let result = store(&factory, &facts(7, size), &bytes).await?;
    assert_stored(stage, &result, &bytes).await;
    assert_eq!(stage.kept().len(), 1, "one object and nothing else");
    Ok(())
}

/// What passes by, once or three times, is overcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_are_overcome() {
    for step in STEPS {
        for fault in FAULTS {
            for times in [1, 3] {
                if fault == Fault::Hang && times > 1 {
                    continue;
                }
                let stage = Stage::new().await;
                let (mut left, at) = (times, step.clone());
                stage.disturb(move |asked| {
                    let strikes = *asked == at && left > 0;
                    left -= i32::from(strikes);
                    strikes.then_some(fault)
                });
                let done = upload(&stage, 11 * MIB).await;
                assert!(done.is_ok(), "{step:?} {fault:?} x {times}: {done:?}");
                assert_eq!(stage.ledger().wrongs, [""; 0]);
            }
        }
    }
}

/// So it is for a file of one part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_of_a_single_request_are_overcome() {
    for fault in FAULTS {
        let stage = Stage::new().await;
        let mut left = if fault == Fault::Hang { 1 } else { 3 };
        stage.disturb(move |asked| {
            let strikes = *asked == Asked::Put && left > 0;
            left -= i32::from(strikes);
            strikes.then_some(fault)
        });
        let done = upload(&stage, MIB).await;
        assert!(done.is_ok(), "{fault:?}: {done:?}");
    }
}

/// What stays is one error of its kind, and nothing is left behind: what may pass later is no failure
/// (RESUME-10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lasting_faults_end_in_one_error() {
    let cases = [
        (Fault::Status(500), WriteErrorKind::Throttled),
        (Fault::Status(502), WriteErrorKind::Throttled),
        (Fault::Status(503), WriteErrorKind::Throttled),
        (Fault::Status(403), WriteErrorKind::Denied),
        (Fault::Status(507), WriteErrorKind::Full),
        (Fault::ErrorInBody, WriteErrorKind::Throttled),
        (Fault::Reset, WriteErrorKind::Throttled),
    ];
    for step in STEPS {
        for (fault, kind) in cases {
            let stage = Stage::new().await;
            let at = step.clone();
            stage.disturb(move |asked| (*asked == at).then_some(fault));
            let error = upload(&stage, 11 * MIB).await.expect_err("it never works");
            assert_eq!(error.kind, kind, "{step:?} {fault:?} {:?}", error.source());
            assert_eq!(stage.kept(), [""; 0], "{step:?} {fault:?}");
        }
    }
}

/// An abort removes what it can: a finished object whose answer was lost goes, although the upload it
/// was made of cannot be aborted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_leaves_no_finished_object() {
    for (size, last) in [(11 * MIB, Asked::Complete), (MIB, Asked::Put)] {
        let stage = Stage::new().await;
        let at = last.clone();
        stage.disturb(move |asked| match asked {
            Asked::Head => Some(Fault::Status(500)),
            Asked::Abort => Some(Fault::Status(403)),
            asked if *asked == at => Some(Fault::LoseAnswer),
            _ => None,
        });
        let error = upload(&stage, size).await.expect_err("it is never known");
        assert_eq!(error.kind, WriteErrorKind::Throttled, "{last:?}");
        assert_eq!(stage.kept(), [""; 0], "{last:?}");
    }
}

/// So it goes where nobody waited for the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_removes_what_a_dropped_call_made() {
    for (size, at) in [(11 * MIB, Asked::Complete), (MIB, Asked::Put)] {
        let stage = Stage::new().await;
        let held = at.clone();
        stage.disturb(move |asked| (*asked == held).then_some(Fault::HoldAnswer));
        let created = factory(&stage).create(&facts(10, size)).await;
        let mut writer = created.expect("creates");
        let bytes = Bytes::from(pattern(10, size));
        let all = async {
            write(&mut writer, &bytes).await?;
            writer.close().await
        };
        let dropped = tokio::time::timeout(Duration::from_secs(2), all).await;
        dropped.expect_err("there is no answer");
        assert_eq!(stage.kept().len(), 1, "{at:?} took effect");
        writer.abort(&AbortReason::Cancelled).await;
        assert_eq!(stage.kept(), [""; 0], "{at:?}");
    }
}

/// What began for a caller that has gone is removed when its answer comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_beginning_is_removed() {
    let stage = Stage::new().await;
    let facts = facts(11, 11 * MIB);
    let factory = factory(&stage);
    let mut create = factory.create(&facts);
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(create.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    drop(create);
    let removed = async {
        while !stage.take_asked().contains(&Asked::Abort) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while !stage.kept().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let removed = tokio::time::timeout(Duration::from_secs(60), removed).await;
    removed.expect("it is removed");
}

/// An upload that began without anybody knowing is found by its key: used if the next try comes
/// through, removed if none does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_beginning_is_found() {
    let stage = Stage::new().await;
    let mut left = 1;
    stage.disturb(move |asked| {
        let strikes = *asked == Asked::Create && left > 0;
        left -= i32::from(strikes);
        strikes.then_some(Fault::LoseAnswer)
    });
    upload(&stage, 11 * MIB).await.expect("stores");
    let asked = stage.take_asked();
    let creates = asked.iter().filter(|asked| **asked == Asked::Create);
    assert_eq!(creates.count(), 1, "the first one is used");

    let stage = Stage::new().await;
    stage.disturb(|asked| match asked {
        Asked::Create => Some(Fault::LoseAnswer),
        _ => None,
    });
    let factory = factory_with(&stage, |config| config.retry.attempts = 1);
    let bytes = Bytes::from(pattern(8, 11 * MIB));
    let error = store(&factory, &facts(8, 11 * MIB), &bytes).await;
    error.expect_err("no answer ever comes");
    assert_eq!(stage.kept(), [""; 0]);
}

/// COMPLETE-3: a bit that changes on the way is noticed before every kind of provider, and sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bytes_are_not_stored() {
    for provider in S3Provider::ALL {
        for (size, at) in [(11 * MIB, Asked::Part(3)), (MIB, Asked::Put)] {
            let stage = Stage::new().await;
            let factory = factory_with(&stage, |config| config.provider = provider);
            let mut left = 1;
            stage.disturb(move |asked| {
                let strikes = *asked == at && left > 0;
                left -= i32::from(strikes);
                strikes.then_some(Fault::Flip)
            });
            let bytes = Bytes::from(pattern(10, size));
            let stored = store(&factory, &facts(10, size), &bytes).await;
            assert_stored(&stage, &stored.expect("stores"), &bytes).await;
        }
    }
}

/// An abandoned request for a part may store it once more, under another entity tag:
/// the bytes are the same, so the file is complete with that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_stored_again_late_is_taken_as_it_is() {
    let stage = Stage::new().await;
    stage.ledger().stored_late = Some(2);
    upload(&stage, 11 * MIB).await.expect("stores");
    assert_eq!(stage.ledger().wrongs, [""; 0]);

    // Without checksums in lists it cannot be known to be the same.
    let stage = Stage::new().await;
    stage.ledger().stored_late = Some(2);
    stage.ledger().hides_checksums = true;
    upload(&stage, 11 * MIB).await.expect_err("cannot be told");
    assert_eq!(stage.kept(), [""; 0]);
}

/// MSG-4: no text for a client names what was written where; the log has it.
#[tokio::test]
async fn errors_name_nothing() {
    let stage = Stage::new().await;
    stage.disturb(|_| Some(Fault::Status(403)));
    let error = store(
        &factory(&stage),
        &facts(9, 10),
        &Bytes::from_static(b"0123456789"),
    )
    .await;
    let error = error.expect_err("is refused");
    assert_eq!(error.to_string(), "storage denied access");
    assert!(error.source().is_some());
}
