//! Going on with an upload in another factory, as another process would.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use serde_json::Value;
use upload_writers::{
    AbortReason, BoxWriter, Checkpoint, Reopened, UploadFacts, WriteErrorKind, WriterFactory,
    conformance::{facts, pattern},
};

use super::{
    MIB, assert_stored, factory,
    stage::{Asked, BUCKET, Fault, Stage},
    write,
};

pub(crate) struct Left {
    pub(crate) facts: UploadFacts,
    pub(crate) bytes: Bytes,
    pub(crate) checkpoint: Checkpoint,
    durable: usize,
}

/// Leaves an upload of 26 MiB after 21 MiB, with all four whole parts stored.
pub(crate) async fn leave(stage: &Stage) -> Left {
    let bytes = Bytes::from(pattern(11, 26 * MIB));
    let facts = facts(11, bytes.len());
    let mut writer = factory(stage).create(&facts).await.expect("creates");
    write(&mut writer, &bytes.slice(..21 * MIB))
        .await
        .expect("writes");
    let mut durable = 0;
    while durable < 20 * MIB {
        durable = writer.flush().await.expect("flushes").durable as usize;
    }
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    stage.take_asked();
    Left {
        facts,
        bytes,
        checkpoint,
        durable,
    }
}

pub(crate) async fn reopen(stage: &Stage, left: &Left, offset: usize) -> Reopened {
    let factory = factory(stage);
    let reopened = factory.reopen(&left.facts, &left.checkpoint, offset as u64);
    reopened.await.expect("reopens")
}

pub(crate) async fn finish(stage: &Stage, left: &Left, offset: usize) -> (BoxWriter, Value) {
    let Reopened::Open(mut writer) = reopen(stage, left, offset).await else {
        panic!("resumes at {offset}");
    };
    write(&mut writer, &left.bytes.slice(offset..))
        .await
        .expect("writes");
    let result = writer.close().await.expect("closes");
    (writer, result)
}

/// RESUME-3: wherever another process goes on, no stored part is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stored_part_is_sent_again() {
    for offset in [20 * MIB, 20 * MIB - 1, 17 * MIB, 15 * MIB, 12_345, 0] {
        let stage = Stage::new().await;
        let left = leave(&stage).await;
        assert_eq!(left.durable, 20 * MIB);
        let (_, result) = finish(&stage, &left, offset).await;
        let asked = stage.take_asked();
        let parts: Vec<&Asked> = asked
            .iter()
            .filter(|one| matches!(one, Asked::Part(_)))
            .collect();
        assert!(
            parts.iter().all(|part| matches!(part, Asked::Part(5 | 6))),
            "{offset}: {parts:?}"
        );
        assert_eq!(parts.len(), 2, "{offset}: {parts:?}");
        assert_stored(&stage, &result, &left.bytes).await;
        assert_eq!(stage.kept().len(), 1);
        assert_eq!(stage.ledger().wrongs, [""; 0]);
    }
}

/// RESUME-3: where an upload goes on inside a stored part, what comes again of it has to be the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_a_stored_part_are_compared() {
    let stage = Stage::new().await;
    let bytes = Bytes::from(pattern(12, 21 * MIB));
    let mut facts = facts(12, bytes.len());
    let mut writer = factory(&stage).create(&facts).await.expect("creates");
    write(&mut writer, &bytes.slice(..11 * MIB))
        .await
        .expect("writes");
    while writer.flush().await.expect("flushes").durable < 10 * MIB as u64 {}
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    let at = 7 * MIB + 321;
    facts.crc32c_before = Some(crc32c::crc32c(&bytes[..at]));
    for (is_same, hides) in [(false, false), (false, true), (true, true)] {
        // A provider that lists no checksums: those of the checkpoint are enough.
        stage.ledger().hides_checksums = hides;
        let factory = factory(&stage);
        let reopened = factory.reopen(&facts, &checkpoint, at as u64).await;
        let Ok(Reopened::Open(mut writer)) = reopened else {
            panic!("resumes");
        };
        let kept = writer.checkpoint();
        assert_eq!(
            kept.as_ref(),
            Some(&checkpoint),
            "it can be gone on with again"
        );
        let mut rest = bytes.slice(at..).to_vec();
        rest[0] ^= u8::from(!is_same);
        let written = write(&mut writer, &Bytes::from(rest)).await;
        if is_same {
            written.expect("writes");
            let result = writer.close().await.expect("closes");
            assert_stored(&stage, &result, &bytes).await;
        } else {
            assert_eq!(written.expect_err("differs").to_string(), "storage failed");
        }
    }
}

/// A provider that lists no checksums gets what comes again once more, rather than bytes nobody
/// compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_without_a_checksum_are_sent_again() {
    let stage = Stage::new().await;
    stage.ledger().hides_checksums = true;
    let left = leave(&stage).await;
    let (_, result) = finish(&stage, &left, 10 * MIB).await;
    let asked = stage.take_asked();
    let parts = asked.iter().filter(|one| matches!(one, Asked::Part(3..)));
    assert_eq!(parts.count(), 4);
    assert_stored(&stage, &result, &left.bytes).await;
    assert_eq!(stage.ledger().wrongs, [""; 0]);
}

/// COMPLETE-4: a close whose answer never came is told by the object itself, in any process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_close_is_told() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    let (writer, result) = finish(&stage, &left, 20 * MIB).await;
    drop(writer);
    for offset in [0, 20 * MIB, 26 * MIB] {
        let Reopened::Closed { result: told } = reopen(&stage, &left, offset).await else {
            panic!("was closed");
        };
        assert_eq!(told, result);
    }
}

/// Has the request of a holder that died take effect: the upload is complete, and no more one.
async fn complete_late(stage: &Stage, left: &Left) {
    let key = left.checkpoint.0["key"].as_str().expect("a key");
    let upload = left.checkpoint.0["upload"].as_str().expect("an id");
    let request = stage.client.list_parts().bucket(BUCKET).key(key);
    let mut parts = Vec::new();
    let mut pages = request.upload_id(upload).into_paginator().send();
    while let Some(page) = pages.next().await {
        parts.extend(page.expect("lists").parts.unwrap_or_default());
    }
    let named = parts.into_iter().map(|part| {
        CompletedPart::builder()
            .set_part_number(part.part_number)
            .set_e_tag(part.e_tag)
            .build()
    });
    let named = CompletedMultipartUpload::builder().set_parts(Some(named.collect()));
    let request = stage.client.complete_multipart_upload().bucket(BUCKET);
    let request = request.key(key).upload_id(upload);
    let done = request.multipart_upload(named.build()).send().await;
    done.expect("is completed");
}

/// Leaves an upload whose parts all are stored, as a holder does that dies while it is completed.
async fn leave_all(stage: &Stage) -> Left {
    let mut left = leave(stage).await;
    let Reopened::Open(mut writer) = reopen(stage, &left, 20 * MIB).await else {
        panic!("resumes");
    };
    write(&mut writer, &left.bytes.slice(20 * MIB..))
        .await
        .expect("writes");
    while writer.flush().await.expect("flushes").durable < 25 * MIB as u64 {}
    // The short one at the end is sent by a close.
    stage.disturb(|asked| (*asked == Asked::Complete).then_some(Fault::Status(503)));
    writer.close().await.expect_err("is not completed");
    stage.disturb(|_| None);
    left.checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    left
}

/// COMPLETE-4: where the request of an earlier holder makes the file while its parts come again, the
/// upload ends complete, with that one object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_completed_meanwhile_is_found() {
    for hides in [false, true] {
        let stage = Stage::new().await;
        let left = leave_all(&stage).await;
        // What is listed without checksums is sent again.
        stage.ledger().hides_checksums = hides;
        let Reopened::Open(mut writer) = reopen(&stage, &left, 0).await else {
            panic!("resumes");
        };
        write(&mut writer, &left.bytes.slice(..12 * MIB))
            .await
            .expect("writes");
        while writer.flush().await.expect("flushes").durable < 10 * MIB as u64 {}
        complete_late(&stage, &left).await;
        write(&mut writer, &left.bytes.slice(12 * MIB..))
            .await
            .expect("writes");
        let result = writer.close().await.expect("is complete");
        assert_stored(&stage, &result, &left.bytes).await;
        assert_eq!(stage.kept().len(), 1);
    }
}

/// RESUME-10: an upload that is gone while its parts come, without an object, has not failed yet:
/// the client comes back, and finds that it has to begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_gone_meanwhile_can_be_asked_for() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    let Reopened::Open(mut writer) = reopen(&stage, &left, 20 * MIB).await else {
        panic!("resumes");
    };
    let Reopened::Open(other) = reopen(&stage, &left, 20 * MIB).await else {
        panic!("resumes");
    };
    other.abort(&AbortReason::Expired).await;
    let rest = left.bytes.slice(20 * MIB..);
    let ended = match write(&mut writer, &rest).await {
        Ok(()) => writer.close().await.map(|_| ()),
        failed => failed,
    };
    let error = ended.expect_err("its parts have no place");
    assert_eq!(error.kind, WriteErrorKind::Throttled);
    drop(writer);
    let reopened = reopen(&stage, &left, 20 * MIB).await;
    assert!(matches!(reopened, Reopened::Gone));
}

/// COMPLETE-6: what an earlier holder's request made goes with the upload that is thrown away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_removes_a_file_completed_meanwhile() {
    let stage = Stage::new().await;
    let left = leave_all(&stage).await;
    let Reopened::Open(writer) = reopen(&stage, &left, 0).await else {
        panic!("resumes");
    };
    complete_late(&stage, &left).await;
    writer.abort(&AbortReason::Cancelled).await;
    assert_eq!(stage.kept(), [""; 0]);
}

/// What is not there cannot be gone on with: parts that are missing, an upload that was thrown away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_gone() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    for offset in [20 * MIB + 1, 26 * MIB, 27 * MIB] {
        let reopened = reopen(&stage, &left, offset).await;
        assert!(matches!(reopened, Reopened::Gone), "{offset}");
    }
    let Reopened::Open(writer) = reopen(&stage, &left, 5 * MIB).await else {
        panic!("resumes");
    };
    writer.abort(&AbortReason::Expired).await;
    let reopened = reopen(&stage, &left, 5 * MIB).await;
    assert!(matches!(reopened, Reopened::Gone));
    assert_eq!(stage.kept(), [""; 0]);
}

/// RESUME-10: an outage that lasts longer than the writer waits loses nothing that is stored, whether
/// it comes with a part or with the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_loses_nothing() {
    for fault in [Fault::Reset, Fault::Status(502)] {
        for at in [21 * MIB, 26 * MIB] {
            let stage = Stage::new().await;
            let bytes = Bytes::from(pattern(13, 26 * MIB));
            let facts = facts(13, bytes.len());
            let mut writer = factory(&stage).create(&facts).await.expect("creates");
            write(&mut writer, &bytes.slice(..at))
                .await
                .expect("writes");
            let mut durable = 0;
            while durable < at / (5 * MIB) * (5 * MIB) {
                durable = writer.flush().await.expect("flushes").durable as usize;
            }
            // With all bytes given, only putting them together fails.
            let is_end = at == bytes.len();
            stage.disturb(move |asked| {
                let passes = is_end && matches!(asked, Asked::Part(_));
                (!passes).then_some(fault)
            });
            let written = write(&mut writer, &bytes.slice(at..)).await;
            let ended = match written {
                Ok(()) => writer.close().await.map(|_| ()),
                failed => failed,
            };
            let error = ended.expect_err("nothing is answered");
            assert_eq!(error.kind, WriteErrorKind::Throttled, "{fault:?}");
            let checkpoint = writer.checkpoint().expect("can be resumed");
            drop(writer);
            stage.disturb(|_| None);
            let left = Left {
                facts,
                bytes,
                checkpoint,
                durable,
            };
            let (_, result) = finish(&stage, &left, durable).await;
            assert_stored(&stage, &result, &left.bytes).await;
            assert_eq!(stage.kept().len(), 1);
            assert_eq!(stage.ledger().wrongs, [""; 0]);
        }
    }
}

/// RESUME-10: a list that breaks off is no reason to think that the other parts are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_list_is_none() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    stage.ledger().breaks_off = true;
    let factory = factory(&stage);
    let reopened = factory
        .reopen(&left.facts, &left.checkpoint, 20 << 20)
        .await;
    reopened.expect_err("cannot be told");
    stage.ledger().breaks_off = false;
    let (_, result) = finish(&stage, &left, 20 * MIB).await;
    assert_stored(&stage, &result, &left.bytes).await;
}

/// RESUME-10: a bucket that denies access for now loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_reopen_can_be_tried_later() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    stage.disturb(|_| Some(Fault::Status(403)));
    let factory = factory(&stage);
    let denied = factory.reopen(&left.facts, &left.checkpoint, 0).await;
    assert_eq!(
        denied.expect_err("denied").to_string(),
        "storage denied access"
    );
    stage.disturb(|_| None);
    let (_, result) = finish(&stage, &left, 20 * MIB).await;
    assert_stored(&stage, &result, &left.bytes).await;
}
