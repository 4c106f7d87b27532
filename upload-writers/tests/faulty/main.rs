//! The fault injector does what its script says, and nothing else.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{task::yield_now, time::timeout};
use upload_writers::{
    AbortReason, BoxWriter, Call, Durability, Fault, FaultyWriterFactory, FileWriterConfig,
    FileWriterFactory, Recorded, RecordingWriterFactory, Reopened, WriteErrorKind, WriterFactory,
    conformance::facts,
};

fn setup() -> (RecordingWriterFactory, FaultyWriterFactory) {
    let inner = RecordingWriterFactory::new();
    let faulty = FaultyWriterFactory::new(Arc::new(inner.clone()));
    (inner, faulty)
}

fn chunk() -> VecDeque<Bytes> {
    VecDeque::from([Bytes::from_static(b"abc")])
}

async fn opened(factory: &FaultyWriterFactory) -> BoxWriter {
    factory.create(&facts(0, 6)).await.expect("creates")
}

#[tokio::test]
async fn fails_the_call_that_the_script_names() {
    let (inner, factory) = setup();
    let mut writer = opened(&factory).await;
    factory.disturb(Call::Write, 1, Fault::Fail(WriteErrorKind::Full));
    writer
        .write_chunks(&mut chunk())
        .await
        .expect("the first passes");
    let error = writer
        .write_chunks(&mut chunk())
        .await
        .expect_err("the second fails");
    assert_eq!(error.kind, WriteErrorKind::Full);
    let reason = AbortReason::Storage(WriteErrorKind::Full);
    writer.abort(&reason).await;
    assert_eq!(factory.aborts(), std::slice::from_ref(&reason));
    assert_eq!(
        (factory.count(Call::Write), factory.count(Call::Abort)),
        (2, 1)
    );
    let calls = [
        Recorded::Create,
        Recorded::Write(chunk().into()),
        Recorded::Abort(reason),
    ];
    assert_eq!(inner.calls(&facts(0, 6).upload_id), calls);
    assert_eq!(inner.kept(), 0);
}

/// COMPLETE-4: a close whose answer was lost is found by reopening.
#[tokio::test]
async fn a_lost_answer_has_taken_effect() {
    let (inner, factory) = setup();
    let mut writer = opened(&factory).await;
    writer.write_chunks(&mut chunk()).await.expect("writes");
    factory.disturb(Call::Close, 0, Fault::LoseAnswer(WriteErrorKind::Throttled));
    let error = writer.close().await.expect_err("the answer is lost");
    assert_eq!(error.kind, WriteErrorKind::Throttled);
    let checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    let reopened = factory.reopen(&facts(0, 3), &checkpoint, 3).await;
    let Ok(Reopened::Closed { result }) = reopened else {
        panic!("reopened as {reopened:?}");
    };
    assert_eq!(inner.read(&result).as_deref(), Some(&b"abc"[..]));
}

#[tokio::test]
async fn a_held_call_waits_for_its_release() {
    let (inner, factory) = setup();
    let mut writer = opened(&factory).await;
    factory.disturb(Call::Write, 0, Fault::Hold);
    let task = tokio::spawn(async move { writer.write_chunks(&mut chunk()).await });
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(factory.count(Call::Write), 1, "the call was made");
    assert!(!task.is_finished(), "and waits");
    assert_eq!(inner.calls(&facts(0, 6).upload_id).len(), 1, "outside");
    factory.release();
    let written = task.await.expect("ends").expect("writes");
    assert_eq!(written.received, 3);
}

/// A flush that is stalled can be abandoned before it has begun, too.
#[tokio::test]
async fn a_stalled_flush_can_be_abandoned() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = FileWriterConfig {
        durability: Durability::Disk,
        ..FileWriterConfig::new(dir.path())
    };
    let files = FileWriterFactory::new(config).expect("sets up");
    let factory = FaultyWriterFactory::new(Arc::new(files));
    let mut writer = opened(&factory).await;
    writer.write_chunks(&mut chunk()).await.expect("writes");
    factory.disturb(Call::Flush, 0, Fault::Stall(Duration::from_secs(3_600)));
    let left = timeout(Duration::ZERO, writer.flush()).await;
    left.expect_err("is stalled");
    let written = writer.write_chunks(&mut chunk()).await.expect("continues");
    assert_eq!(written.received, 6);
    assert_eq!(writer.flush().await.expect("flushes").durable, 6);
    factory.disturb(Call::Flush, 0, Fault::Fail(WriteErrorKind::Failed));
    writer.flush().await.expect_err("fails");
}

#[tokio::test]
async fn a_creation_can_fail_or_lose_its_answer() {
    let (inner, factory) = setup();
    factory.disturb(Call::Create, 0, Fault::Fail(WriteErrorKind::Denied));
    let created = factory.create(&facts(0, 6)).await;
    assert_eq!(created.err().expect("denied").kind, WriteErrorKind::Denied);
    assert_eq!(inner.kept(), 0);
    factory.disturb(Call::Create, 0, Fault::LoseAnswer(WriteErrorKind::Failed));
    let created = factory.create(&facts(0, 6)).await;
    assert_eq!(created.err().expect("is lost").kind, WriteErrorKind::Failed);
    assert_eq!(inner.kept(), 1);
}

/// An abort that cannot remove anything leaves an orphan behind, for a sweep to find.
#[tokio::test]
async fn a_failed_abort_leaves_what_was_stored() {
    let (inner, factory) = setup();
    let writer = opened(&factory).await;
    factory.disturb(Call::Abort, 0, Fault::Fail(WriteErrorKind::Failed));
    writer.abort(&AbortReason::Cancelled).await;
    assert_eq!((inner.kept(), inner.aborts()), (1, 0));
    assert_eq!(factory.aborts(), [AbortReason::Cancelled]);
}

#[tokio::test]
async fn reopening_can_fail_too() {
    let (_, factory) = setup();
    let writer = opened(&factory).await;
    let checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    factory.disturb(Call::Reopen, 0, Fault::Fail(WriteErrorKind::Denied));
    let reopened = factory.reopen(&facts(0, 6), &checkpoint, 0).await;
    assert_eq!(reopened.expect_err("denied").kind, WriteErrorKind::Denied);
    let reopened = factory.reopen(&facts(0, 6), &checkpoint, 0).await;
    let Ok(Reopened::Open(mut writer)) = reopened else {
        panic!("reopened as {reopened:?}");
    };
    factory.disturb(Call::Close, 0, Fault::Fail(WriteErrorKind::Failed));
    writer
        .close()
        .await
        .expect_err("its writers are disturbed as well");
}
