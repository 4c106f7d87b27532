//! The same faults before a writer of the object_store crate, whose retries are that crate's own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};
use upload_writers::{
    ObjectStoreWriterConfig, ObjectStoreWriterFactory, Reopened, WriteError, WriteErrorKind,
    WriterFactory,
    conformance::{facts, pattern},
};

use super::{
    MIB,
    faults::{FAULTS, STEPS},
    stage::{Asked, BUCKET, Fault, Stage},
    store, write,
};

fn bucket(stage: &Stage) -> AmazonS3 {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(5),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(60),
    };
    // Long enough for an honest answer on a busy machine, short enough to wait for it in a test.
    let client = ClientOptions::new()
        .with_allow_http(true)
        .with_timeout(Duration::from_secs(8));
    let builder = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_region("test")
        .with_endpoint(format!("http://{}", stage.addr))
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_client_options(client)
        .with_retry(retry);
    builder.build().expect("a store")
}

async fn upload(stage: &Stage, size: usize) -> Result<(), WriteError> {
    let config = ObjectStoreWriterConfig::default();
    let factory = ObjectStoreWriterFactory::resumable(Arc::new(bucket(stage)), config);
    let factory = factory.expect("a good configuration");
    let bytes = Bytes::from(pattern(7, size));
    let result = store(&factory, &facts(7, size), &bytes).await?;
    assert_eq!(result["size"], size);
    let key = result["key"].as_str().expect("a key");
    let stored = stage.read(key).await.expect("the object is there");
    assert!(stored == bytes, "differs");
    Ok(())
}

/// Every cell is one object with the right bytes, or one error and nothing left behind, but for a
/// beginning whose answer was lost: this crate cannot list those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_end_in_one_object_or_none() {
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
                let cell = format!("{step:?} {fault:?} x {times}");
                let done = upload(&stage, 11 * MIB).await;
                println!("{cell}: {done:?}");
                let passes = matches!(fault, Fault::Status(_));
                let objects = match done {
                    Ok(()) => 1,
                    Err(error) if !passes => {
                        assert_eq!(error.kind, WriteErrorKind::Failed, "{cell}");
                        0
                    }
                    Err(error) => panic!("{cell}: {error:?}"),
                };
                // Each answer that was lost is a beginning that nobody knows of.
                let lost = match (&step, fault) {
                    (Asked::Create, Fault::LoseAnswer) => times,
                    _ => 0,
                };
                let kept = stage.kept();
                let most = objects + usize::try_from(lost).expect("a few");
                assert!((objects..=most).contains(&kept.len()), "{cell}: {kept:?}");
            }
        }
    }
}

/// RESUME-10: a 404 of somebody before the bucket says nothing about what is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxys_404_is_no_answer_of_the_store() {
    for page in [Fault::Page(404, "404 page not found"), Fault::Page(404, "")] {
        let stage = Stage::new().await;
        let make = || {
            let config = ObjectStoreWriterConfig::default();
            ObjectStoreWriterFactory::resumable(Arc::new(bucket(&stage)), config)
                .expect("a good configuration")
        };
        let bytes = Bytes::from(pattern(8, 11 * MIB));
        let facts = facts(8, bytes.len());
        let mut writer = make().create(&facts).await.expect("creates");
        let begun = write(&mut writer, &bytes.slice(..6 * MIB)).await;
        begun.expect("writes");
        while writer.flush().await.expect("flushes").durable < 5 * MIB as u64 {}
        let checkpoint = writer.checkpoint().expect("can be resumed");
        drop(writer);
        let factory = make();
        let reopen = || factory.reopen(&facts, &checkpoint, 5 << 20);
        // Before it is looked for, and where its next part goes.
        for asked in [None, Some(Asked::Part(2))] {
            stage.disturb(move |it| {
                let strikes = asked.as_ref().is_none_or(|asked| asked == it);
                strikes.then_some(page)
            });
            let error = reopen().await.expect_err("the bucket said nothing");
            assert_eq!(error.kind, WriteErrorKind::Throttled, "{page:?}");
        }
        stage.disturb(|_| None);
        let Ok(Reopened::Open(mut writer)) = reopen().await else {
            panic!("resumes");
        };
        let rest = write(&mut writer, &bytes.slice(5 * MIB..)).await;
        rest.expect("writes");
        let result = writer.close().await.expect("closes");
        let key = result["key"].as_str().expect("a key");
        let stored = stage.read(key).await.expect("the object is there");
        assert!(stored == bytes, "differs");
    }
}

/// What stays is one error of its kind, and nothing is left behind: what may pass later is no failure
/// (RESUME-10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lasting_faults_end_in_one_error() {
    let cases = [
        (Fault::Status(500), WriteErrorKind::Throttled),
        (Fault::Status(503), WriteErrorKind::Throttled),
        (Fault::Status(403), WriteErrorKind::Denied),
        (Fault::Reset, WriteErrorKind::Throttled),
    ];
    for step in STEPS {
        for (fault, kind) in cases {
            let stage = Stage::new().await;
            let at = step.clone();
            stage.disturb(move |asked| (*asked == at).then_some(fault));
            let error = upload(&stage, 11 * MIB).await.expect_err("it never works");
            assert_eq!(error.kind, kind, "{step:?} {fault:?} {error:?}");
            assert_eq!(stage.kept(), [""; 0], "{step:?} {fault:?}");
        }
    }
}
