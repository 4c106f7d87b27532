//! RESUME-8: what a record names is no orphan, however long no part of it was stored.

use std::time::Duration;

use bytes::Bytes;
use upload_writers::{
    Checkpoint, NamedUploads, Orphan, Reopened, S3WriterFactory, SweepPolicy, UploadFacts,
    WriterFactory,
    conformance::{facts, pattern},
};

use super::{
    MIB, assert_stored, factory, factory_with,
    stage::{Asked, Fault, Stage},
    write,
};

/// An upload that was left with its first part stored, long ago.
struct Idle {
    facts: UploadFacts,
    bytes: Bytes,
    checkpoint: Checkpoint,
}

impl Idle {
    async fn leave(stage: &Stage, of: u64) -> Self {
        let bytes = Bytes::from(pattern(of, 12 * MIB));
        let facts = facts(of, bytes.len());
        let created = factory(stage).create(&facts).await;
        let mut writer = created.expect("creates");
        write(&mut writer, &bytes.slice(..6 * MIB))
            .await
            .expect("writes");
        while writer.flush().await.expect("flushes").durable < 5 * MIB as u64 {}
        let checkpoint = writer.checkpoint().expect("can be resumed");
        drop(writer);
        stage.ledger().age_by(1_000);
        Self {
            facts,
            bytes,
            checkpoint,
        }
    }

    async fn reopen(&self, factory: &S3WriterFactory, offset: usize) -> Reopened {
        let reopened = factory.reopen(&self.facts, &self.checkpoint, offset as u64);
        reopened.await.expect("reopens")
    }
}

async fn sweep(factory: &S3WriterFactory, named: NamedUploads) -> Vec<Orphan> {
    let policy = SweepPolicy {
        resumable_older_than: Duration::from_secs(500),
        others_older_than: Duration::ZERO,
        named,
        dry_run: false,
    };
    factory.sweep(&policy).await.expect("sweeps")
}

/// A client that was away, and a node that receives for another: the record says that the upload is alive.
#[tokio::test]
async fn resume_8_an_upload_that_a_record_names_stays_however_old_it_is() {
    let stage = Stage::new().await;
    let alive = Idle::leave(&stage, 31).await;
    let _abandoned = Idle::leave(&stage, 32).await;
    let mut named = NamedUploads::default();
    named.add(&alive.checkpoint);
    let factory = factory(&stage);
    assert_eq!(sweep(&factory, named).await.len(), 1);
    let Reopened::Open(mut writer) = alive.reopen(&factory, 5 * MIB).await else {
        panic!("its part is gone");
    };
    write(&mut writer, &alive.bytes.slice(5 * MIB..))
        .await
        .expect("writes");
    let result = writer.close().await.expect("closes");
    assert_stored(&stage, &result, &alive.bytes).await;
}

/// Where records could not be read, any upload may be alive.
#[tokio::test]
async fn resume_8_nothing_is_swept_where_records_are_unknown() {
    let stage = Stage::new().await;
    let left = Idle::leave(&stage, 33).await;
    let factory = factory(&stage);
    assert_eq!(sweep(&factory, NamedUploads::unknown()).await, []);
    assert!(matches!(
        left.reopen(&factory, 5 * MIB).await,
        Reopened::Open(_)
    ));
}

/// An upload is resumed here while the sweep lists its parts.
#[tokio::test]
async fn resume_8_an_upload_resumed_during_the_sweep_stays() {
    let stage = Stage::new().await;
    let left = Idle::leave(&stage, 34).await;
    stage.take_asked();
    // The sweep lists once more after a second; the resume comes before that.
    let factory = factory_with(&stage, |config| {
        config.retry.backoff = Duration::from_secs(1);
    });
    let mut is_first = true;
    stage.disturb(move |asked| {
        let is_list = *asked == Asked::Parts;
        (is_list && std::mem::take(&mut is_first)).then_some(Fault::Status(503))
    });
    let sweeping = sweep(&factory, NamedUploads::default());
    let resuming = async {
        while !stage.take_asked().contains(&Asked::Parts) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        left.reopen(&factory, 5 * MIB).await
    };
    let (swept, reopened) = tokio::join!(sweeping, resuming);
    assert_eq!(swept, []);
    let Reopened::Open(mut writer) = reopened else {
        panic!("its part is gone");
    };
    write(&mut writer, &left.bytes.slice(5 * MIB..))
        .await
        .expect("its upload is there");
    writer.close().await.expect("closes");
}
