//! What a sweep without a server keeps to itself, and what it leaves to a server that starts.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use upload_stores::{RedbDurability, RedbStore};
use upload_writers::{Call, DiscardWriterFactory, Fault, FaultyWriterFactory, WriterFactory};

use super::read;

/// A bucket takes long to look through; a server has its embedded store meanwhile.
#[tokio::test]
async fn a_server_can_start_while_a_bucket_is_swept() {
    for dry_run in [true, false] {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        let config = read(&format!("data_dir = {data:?}\n[slots.a]")).expect("good");
        let open = || RedbStore::open(config.state_dir(), RedbDurability::Process);
        let bucket = FaultyWriterFactory::new(Arc::new(DiscardWriterFactory));
        bucket.disturb(Call::Sweep, 0, Fault::Hold);
        let writers: Arc<dyn WriterFactory> = Arc::new(bucket.clone());
        let serving = async {
            for _ in 0..1_000 {
                if bucket.count(Call::Sweep) > 0 {
                    break;
                }
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(bucket.count(Call::Sweep), 1, "the bucket is swept");
            let served = open().await.expect("the server has it");
            bucket.release();
            served
        };
        let (swept, served) = tokio::join!(config.sweep_with(vec![writers], dry_run), serving);
        let swept = swept.expect("swept");
        assert_eq!((swept.failures, swept.is_served), (0, !dry_run));
        served.close().await.expect("it was open");
        let last = open().await.expect("nothing keeps it open");
        last.close().await.expect("it was open");
    }
}
