//! RESUME-8: an upload of a store that forgets by itself what is not finished.

use std::sync::{Arc, atomic::Ordering};

use upload_writers::{
    ObjectStoreWriterFactory, Unfinished, WriterFactory,
    conformance::{facts, pattern},
    remove_unfinished,
};

use super::{
    PART_BYTES, config, goes_on,
    store::{Counting, Ids},
    write,
};

/// Nothing can be seen of an abort there, so its word is taken, and no look has the store keep the parts for longer.
#[tokio::test]
async fn an_expired_upload_of_a_store_that_forgets_by_itself_is_removed() {
    let store = Arc::new(Counting {
        ids: Ids::Short,
        aborts_nothing: true,
        ..Counting::default()
    });
    let make = || {
        let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
        factory.expect("sets up")
    };
    let bytes = pattern(9, 3 * PART_BYTES as usize);
    let mut facts = facts(9, bytes.len());
    let mut writer = make().create(&facts).await.expect("creates");
    write(&mut writer, &bytes[..2 * PART_BYTES as usize]).await;
    let mut durable = 0;
    while durable < 2 * PART_BYTES {
        durable = writer.flush().await.expect("flushes").durable;
    }
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    drop(goes_on(&make(), &facts, &checkpoint, durable).await);
    facts.epoch += 1;
    let factory = make();
    for _ in 0..2 {
        let removed = remove_unfinished(&factory, &facts, &checkpoint, durable).await;
        assert_eq!(removed.expect("its word is taken"), Unfinished::Removed);
    }
    assert_eq!(store.open.load(Ordering::SeqCst), 1);
    assert_eq!(store.puts.load(Ordering::Relaxed), 2);
}
