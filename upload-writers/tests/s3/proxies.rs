//! RESUME-10: a proxy that has lost its bucket for a moment says nothing about what is in it.

use bytes::Bytes;
use upload_writers::{
    Reopened, WriteErrorKind, WriterFactory,
    conformance::{facts, pattern},
};

use super::{
    MIB, assert_stored, factory,
    resume::{Left, finish, leave, reopen},
    stage::{Asked, Fault, Stage},
    store,
};

/// What proxies answer that know of no bucket.
const PAGES: [Fault; 3] = [
    Fault::Page(404, "404 page not found"),
    Fault::Page(404, "<html><body><h1>404 Not Found</h1></body></html>"),
    Fault::Page(404, ""),
];

/// Asserts that storage counts as out of reach for now.
async fn assert_unknown(stage: &Stage, left: &Left) {
    let factory = factory(stage);
    let reopened = factory.reopen(&left.facts, &left.checkpoint, 20 << 20);
    let error = reopened.await.expect_err("the bucket said nothing");
    assert_eq!(error.kind, WriteErrorKind::Throttled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_404_is_no_answer_of_the_bucket() {
    for page in PAGES {
        let stage = Stage::new().await;
        let left = leave(&stage).await;
        stage.disturb(move |_| Some(page));
        assert_unknown(&stage, &left).await;
        stage.disturb(|_| None);
        let (_, result) = finish(&stage, &left, 20 * MIB).await;
        assert_stored(&stage, &result, &left.bytes).await;
    }
}

/// Whether it comes for a part or for the request that makes the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_404_is_sent_past() {
    for page in PAGES {
        for at in [Asked::Part(2), Asked::Complete] {
            let stage = Stage::new().await;
            let (mut left, step) = (1, at.clone());
            stage.disturb(move |asked| {
                let strikes = *asked == step && left > 0;
                left -= i32::from(strikes);
                strikes.then_some(page)
            });
            let bytes = Bytes::from(pattern(14, 11 * MIB));
            let stored = store(&factory(&stage), &facts(14, bytes.len()), &bytes).await;
            let result = stored.unwrap_or_else(|error| panic!("{at:?} {page:?}: {error:?}"));
            assert_stored(&stage, &result, &bytes).await;
            assert_eq!(stage.kept().len(), 1);
        }
    }
}

/// An answer to HEAD has no body, so the bucket is asked once more before a file counts as missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_404_hides_no_stored_file() {
    let stage = Stage::new().await;
    let left = leave(&stage).await;
    let (writer, result) = finish(&stage, &left, 20 * MIB).await;
    drop(writer);
    stage.disturb(|asked| (*asked == Asked::Head).then_some(Fault::Page(404, "")));
    assert_unknown(&stage, &left).await;
    stage.disturb(|_| None);
    let Reopened::Closed { result: told } = reopen(&stage, &left, 20 * MIB).await else {
        panic!("was closed");
    };
    assert_eq!(told, result);
}

/// What is not there is not removed by a page either: it is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_404_removes_nothing() {
    let stage = Stage::new().await;
    let bytes = Bytes::from(pattern(15, MIB));
    let facts = facts(15, bytes.len());
    let factory = factory(&stage);
    let result = store(&factory, &facts, &bytes).await.expect("stores");
    stage.disturb(|_| Some(Fault::Page(404, "")));
    let deleted = factory.delete(&facts, &result).await;
    let error = deleted.expect_err("the bucket said nothing");
    assert_eq!(error.kind, WriteErrorKind::Throttled);
    stage.disturb(|_| None);
    factory.delete(&facts, &result).await.expect("deletes");
    assert_eq!(stage.kept(), [""; 0]);
}
