//! Resumes that wait for each other, and those that do not.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    FileWriterConfig, FileWriterFactory, Reopened,
    writer::{Checkpoint, UploadFacts, WriterFactory},
};

/// An upload that was left with some bytes.
struct Left {
    facts: UploadFacts,
    checkpoint: Checkpoint,
    offset: u64,
}

impl Left {
    async fn of(factory: &FileWriterFactory, len: usize) -> Self {
        let mut facts = UploadFacts::new("upload", "slot", 1 << 30);
        facts.resumable = true;
        let mut writer = factory.create(&facts).await.expect("creates");
        let bytes = Bytes::from(vec![7; len]);
        let mut chunks = VecDeque::from([bytes.clone()]);
        writer.write_chunks(&mut chunks).await.expect("writes");
        let checkpoint = writer.checkpoint().expect("can be resumed");
        drop(writer);
        facts.crc32c_before = Some(crc32c::crc32c(&bytes));
        Self {
            facts,
            checkpoint,
            offset: len as u64,
        }
    }

    async fn reopen(&self, factory: &FileWriterFactory) -> bool {
        let mut facts = self.facts.clone();
        facts.epoch += 1;
        let reopened = factory.reopen(&facts, &self.checkpoint, self.offset).await;
        matches!(reopened.expect("reopens"), Reopened::Open(_))
    }
}

/// After a reboot large files are read whole, which takes long; other resumes do not wait for it.
#[tokio::test]
async fn a_resume_waits_for_no_file_that_is_compared() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = FileWriterConfig::new(dir.path());
    config.openings_max = 1;
    let factory = FileWriterFactory::new(config).expect("the directories");
    let small = Left::of(&factory, 1_000).await;
    let mut large = Left::of(&factory, 3 << 20).await;
    large.checkpoint.0["boot"] = json!("another");
    // One is being compared.
    let comparisons = factory.shared.comparisons.clone();
    let compared = comparisons.acquire_owned().await.expect("a permit");
    let comparing = large.reopen(&factory);
    tokio::pin!(comparing);
    tokio::select! {
        biased;
        _ = &mut comparing => panic!("it waits for the other"),
        is_open = small.reopen(&factory) => assert!(is_open),
    }
    let mut doubtful = Left::of(&factory, 1_000).await;
    doubtful.checkpoint.0["boot"] = json!("another");
    assert!(
        doubtful.reopen(&factory).await,
        "a small one is read at once"
    );
    let compares = timeout(Duration::from_millis(300), &mut comparing).await;
    assert!(compares.is_err(), "it waits for the other large one");
    drop(compared);
    assert!(comparing.await);
}
